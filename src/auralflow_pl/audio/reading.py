"""Reading of sound files with libsndfile, and with FFmpeg for the formats it lacks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import soundfile
import torch
from torch import Tensor

from auralflow_pl.audio import ffmpeg
from auralflow_pl.audio.checks import CountingReader, check_finite, check_length, check_rate
from auralflow_pl.audio.ffmpeg import open_container, open_stream, reason_of
from auralflow_pl.audio.lengths import check_not_joined, length_is_known
from auralflow_pl.errors import InputError
from auralflow_pl.signal.streams import lengthen_blocks, limit_samples, skip_samples
from auralflow_pl.system.files import check_file

# Suffixes of sound files in a folder. The format of a file is detected from its content.
AUDIO_SUFFIXES = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .caf .w64 .rf64 "  # noqa: SIM905
    ".m4a .m4b .mp4 .m4v .aac .wma .wmv .mka .webm .mov .mkv .avi .flv .ts .mp2 .mpg .mpeg .3gp "
    ".ac3 .eac3 .dts .ape .wv .tta".split()
)

DECODE_FRAMES = 2**17  # block size in samples, summed over channels

TAG_NAMES = ("title", "artist", "album", "date", "tracknumber", "genre", "comment", "copyright")

FFMPEG_TAG_NAMES = {"track": "tracknumber"}  # FFmpeg's tag names that differ from `TAG_NAMES`

UNRECOGNISED_FORMAT = 1  # libsndfile's error code for an unknown format


class DecodedAudio(NamedTuple):
    """The samples of a sound file, with sample rate and sample format."""

    samples: Tensor  # (channels, time), float32
    sample_rate: int  # Hz
    subtype: str  # libsndfile's name of the sample format (PCM_16, ...), or a codec (AAC, ...)


class Header(NamedTuple):
    """Sample rate in Hz, channels and length in samples of a sound file."""

    sample_rate: int
    channels: int
    frames: int


class Span(NamedTuple):
    """A part of a signal; times in seconds."""

    offset: float = 0.0
    duration: float | None = None  # None: to the end


WHOLE_SPAN = Span()


@dataclass(frozen=True)
class Source:
    """An open sound file that is read block by block."""

    name: str
    sample_rate: int
    channels: int
    frames: int | None  # number of samples in `blocks`; with FFmpeg approximate, or None
    subtype: str
    tags: Mapping[str, str]
    blocks: Iterator[Tensor]  # (channels, time), float32; raises InputError for damaged data
    exact: bool = False  # whether `frames` is exact


class UnknownLengthError(Exception):
    """libsndfile does not know the length of a file, so FFmpeg must read it."""


def open_sound(path: Path) -> soundfile.SoundFile:
    """Open a file with libsndfile.

    Raises:
        LibsndfileError: a format that libsndfile cannot read.
        UnknownLengthError: libsndfile might read only a part of the file.
    """
    file = soundfile.SoundFile(path)
    if not length_is_known(file, path):
        file.close()
        raise UnknownLengthError
    return file


@contextlib.contextmanager
def open_source(path: Path, span: Span = WHOLE_SPAN) -> Iterator[Source]:
    """Open a sound file of any format; of several audio streams (`.stem.mp4`) the first.

    Args:
        path: path of the file.
        span: part of the sound that is read.

    Raises:
        InputError: the file is missing, empty, truncated, not audio, or holds no samples, samples
            that are not finite, or an implausible sample rate. Some of these faults are only found
            while `blocks` is read.
    """
    check_file(path)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_sound(path))
        except (soundfile.LibsndfileError, UnknownLengthError, ValueError) as error:
            because = "" if getattr(error, "code", 0) == UNRECOGNISED_FORMAT else reason_of(error)
            content = stack.enter_context(path.open("rb"))
            container = stack.enter_context(open_container(content, str(path), because))
            check_length(path)
            stream = open_stream(container, str(path), because)
            yield ffmpeg_source(stream, str(path), span)
        else:
            check_length(path)
            yield sound_source(file, str(path), span)


@contextlib.contextmanager
def open_pipe(
    file: BinaryIO, name: str, span: Span = WHOLE_SPAN, pcm: tuple[str, int, int] | None = None
) -> Iterator[Source]:
    """Open a non-seekable input: WAV or another format that FFmpeg detects, or raw PCM.

    Args:
        file: binary file open for reading.
        name: name of the input, for messages.
        span: part of the sound that is read.
        pcm: for raw PCM: FFmpeg's name of the sample format (`s16le`, `s24le`, `f32le`), sample
            rate in Hz and number of channels.

    Raises:
        InputError: as for `open_source`.
    """
    form, options = None, {}
    if pcm:
        form, options = pcm[0], {"sample_rate": str(pcm[1]), "ch_layout": f"{pcm[2]}c"}
    counted = CountingReader(file)
    with open_container(counted, name, form=form, options=options) as container:
        stream = open_stream(container, name)
        whole = counted.complete(stream.blocks, name)
        yield ffmpeg_source(stream._replace(blocks=whole), name, span)


def sound_source(file: soundfile.SoundFile, name: str, span: Span) -> Source:
    """Make a `Source` of a file that libsndfile has opened."""
    check_rate(file.samplerate, name)
    start = min(round(span.offset * file.samplerate), file.frames)
    left = file.frames - start
    if span.duration is not None:
        left = min(left, round(span.duration * file.samplerate))
    tags = {key: text for key, text in file.copy_metadata().items() if key in TAG_NAMES and text}
    found = sound_blocks(file, start, left, name)
    return Source(
        name,
        file.samplerate,
        file.channels,
        left,
        file.subtype,
        tags,
        finite_blocks(found, name, span),
        exact=True,
    )


def sound_blocks(file: soundfile.SoundFile, start: int, frames: int, name: str) -> Iterator[Tensor]:
    """Yield `frames` samples of a file from sample `start` on in blocks `(channels, time)`.

    Raises:
        InputError: the file is damaged, ends before, or is several FLAC files joined to one.
    """
    if file.format == "FLAC":
        check_not_joined(Path(name), file.frames)
    place, stop, size = start, start + frames, max(1, DECODE_FRAMES // file.channels)
    dtype, unit = ("int16", 2.0**-15) if file.subtype == "PCM_16" else ("float32", 1.0)
    try:
        if start:
            file.seek(start)
        while place < stop:
            block = file.read(min(size, stop - place), dtype=dtype, always_2d=True)
            if not len(block):
                raise InputError(
                    f"{name}: truncated: the header promises {file.frames} samples, {place} could "
                    "be decoded; replace the file"
                )
            place += len(block)
            yield torch.from_numpy(block.T.copy()).float().mul_(unit)
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{name}: damaged or truncated at sample {place} ({reason_of(error)}); replace the file"
        ) from error


def ffmpeg_source(stream: ffmpeg.DecodedStream, name: str, span: Span) -> Source:
    """Make a `Source` of a stream that FFmpeg decodes; samples before the span are dropped."""
    check_rate(stream.sample_rate, name)
    start = round(span.offset * stream.sample_rate)
    found: Iterator[Tensor] = skip_samples(stream.blocks, start)
    frames = None if stream.frames is None else max(0, stream.frames - start)
    if span.duration is not None:
        wanted = round(span.duration * stream.sample_rate)
        found = limit_samples(found, wanted)
        frames = wanted if frames is None else min(frames, wanted)
    found = lengthen_blocks(found, DECODE_FRAMES // stream.channels)
    named = {FFMPEG_TAG_NAMES.get(k.lower(), k.lower()): text for k, text in stream.tags.items()}
    tags = {key: text for key, text in named.items() if key in TAG_NAMES}
    return Source(
        name,
        stream.sample_rate,
        stream.channels,
        frames,
        stream.subtype,
        tags,
        finite_blocks(found, name, span),
    )


def finite_blocks(blocks: Iterator[Tensor], name: str, span: Span) -> Iterator[Tensor]:
    """Yield the blocks after checking them.

    Raises:
        InputError: a sample is not finite, or there is no block.
    """
    block = None
    for block in blocks:
        yield check_finite(block, name)
    if block is None:
        where = f" after offset={span.offset} s" if span.offset else ""
        where += "" if span.duration is None else f" within duration={span.duration} s"
        raise InputError(f"{name}: holds no samples{where}; expected at least one")


def read_header(path: Path) -> Header:
    """Read sample rate, channels and length; decode the file only if libsndfile cannot read it.

    Raises:
        InputError: missing, empty, truncated, or not audio.
    """
    with open_source(path) as source:
        if source.exact and source.frames is not None:
            return Header(source.sample_rate, source.channels, source.frames)
        frames = sum(block.shape[-1] for block in source.blocks)
        return Header(source.sample_rate, source.channels, frames)


def read_span(path: Path, start: int, frames: int) -> Tensor:
    """Read `frames` samples from sample `start` on, `(channels, frames)`.

    With libsndfile, nothing outside the span is decoded.

    Raises:
        InputError: the file is unreadable or too short, or a sample is not finite.
    """
    try:
        with open_sound(path) as file:
            file.seek(min(start, file.frames))
            span = torch.from_numpy(file.read(frames, dtype="float32", always_2d=True)).T
    except (soundfile.LibsndfileError, UnknownLengthError):
        span = read_audio(path).samples[:, start : start + frames]
    if span.shape[-1] < frames:
        raise InputError(f"{path}: truncated: no {frames} samples at {start}; replace the file")
    return check_finite(span.contiguous(), str(path))


def read_audio(path: Path) -> DecodedAudio:
    """Decode a whole file of any format.

    Raises:
        InputError: as for `open_source`.
    """
    with open_source(path) as source:
        return DecodedAudio(torch.cat(list(source.blocks), -1), source.sample_rate, source.subtype)


def read_streams(path: Path, streams: int | None = None) -> list[DecodedAudio]:
    """Decode the audio streams of a container with FFmpeg, all in one pass.

    Args:
        path: any container that FFmpeg can read.
        streams: number of streams to decode, counted from the first; None: all.

    Returns:
        one `DecodedAudio` per stream, in the order of the file.

    Raises:
        InputError: missing, empty, or not readable as audio.
    """
    check_file(path)
    return [DecodedAudio(*stream) for stream in ffmpeg.decode_streams(path, streams)]
