"""Reading sound files: libsndfile for what it knows, FFmpeg for everything else."""

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
from auralflow_pl.errors import InputError
from auralflow_pl.signal.streams import limit_samples, skip_samples
from auralflow_pl.system.files import check_file

# What a folder is searched for. Reading itself goes by content, not by name.
AUDIO_SUFFIXES = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .caf .w64 .rf64 "  # noqa: SIM905
    ".m4a .m4b .mp4 .aac .wma .mka .webm .mov .mkv .ac3 .ape .wv .tta".split()
)

DECODE_FRAMES = 2**17  # samples of all channels that are read at a time

TAG_NAMES = ("title", "artist", "album", "date", "tracknumber", "genre", "comment", "copyright")

FFMPEG_TAG_NAMES = {"track": "tracknumber"}  # where its names differ

UNRECOGNISED_FORMAT = 1  # libsndfile's code of a format that it does not know


class DecodedAudio(NamedTuple):
    """Decoded sound."""

    samples: Tensor  # (channels, time), float32
    sample_rate: int  # Hz
    subtype: str  # as libsndfile names sample formats: PCM_16, ...; AAC and so on from FFmpeg


class Header(NamedTuple):
    """What a file says of itself."""

    sample_rate: int
    channels: int
    frames: int


class Span(NamedTuple):
    """A part of a signal in seconds."""

    offset: float = 0.0
    duration: float | None = None  # None: to the end


WHOLE_SPAN = Span()


@dataclass(frozen=True)
class Source:
    """A sound file that is open, and read block by block."""

    name: str
    sample_rate: int
    channels: int
    frames: int | None  # that will come; about, or not known, where FFmpeg reads
    subtype: str
    tags: Mapping[str, str]
    blocks: Iterator[Tensor]  # (channels, time), float32; raises InputError at a fault


@contextlib.contextmanager
def open_source(path: Path, span: Span = WHOLE_SPAN) -> Iterator[Source]:
    """Open a sound file of any format; of several audio streams (`.stem.mp4`) the first.

    Raises:
        InputError: here or at a later block: missing, empty, truncated, not audio, no samples,
            samples that are not finite, or a rate that cannot be.
    """
    check_file(path)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(soundfile.SoundFile(path))
        except (soundfile.LibsndfileError, ValueError) as error:
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
    """Open what can be read only once: WAV or another format that FFmpeg recognises, or raw PCM.

    Args:
        file: open for reading.
        name: of it, for messages.
        span: what is wanted of it.
        pcm: FFmpeg's name of the samples (`s16le`, `s24le`, `f32le`), rate and channels of raw PCM.
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
    """What libsndfile has opened; it can go to any place at once."""
    check_rate(file.samplerate, name)
    start = min(round(span.offset * file.samplerate), file.frames)
    left = file.frames - start
    if span.duration is not None:
        left = min(left, round(span.duration * file.samplerate))
    if start:
        file.seek(start)
    tags = {key: text for key, text in file.copy_metadata().items() if key in TAG_NAMES and text}
    found = sound_blocks(file, left, name)
    return Source(
        name,
        file.samplerate,
        file.channels,
        left,
        file.subtype,
        tags,
        finite_blocks(found, name, span),
    )


def sound_blocks(file: soundfile.SoundFile, frames: int, name: str) -> Iterator[Tensor]:
    """The next `frames` samples of a file, which must be there."""
    left, size = frames, max(1, DECODE_FRAMES // file.channels)
    dtype, unit = ("int16", 2.0**-15) if file.subtype == "PCM_16" else ("float32", 1.0)
    while left:
        try:
            block = file.read(min(size, left), dtype=dtype, always_2d=True)
        except soundfile.LibsndfileError as error:
            raise InputError(
                f"{name}: damaged after sample {frames - left} ({reason_of(error)}); "
                "replace the file"
            ) from error
        if not len(block):
            raise InputError(
                f"{name}: truncated: the header promises {frames} samples, {frames - left} could "
                "be decoded; replace the file"
            )
        left -= len(block)
        yield torch.from_numpy(block.T.copy()).float().mul_(unit)


def ffmpeg_source(stream: ffmpeg.DecodedStream, name: str, span: Span) -> Source:
    """What FFmpeg has opened; everything before the span is decoded, and dropped."""
    check_rate(stream.sample_rate, name)
    start = round(span.offset * stream.sample_rate)
    found: Iterator[Tensor] = skip_samples(stream.blocks, start)
    frames = None if stream.frames is None else max(0, stream.frames - start)
    if span.duration is not None:
        wanted = round(span.duration * stream.sample_rate)
        found = limit_samples(found, wanted)
        frames = wanted if frames is None else min(frames, wanted)
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
    """Blocks whose samples are all finite, and at least one of them."""
    block = None
    for block in blocks:
        yield check_finite(block, name)
    if block is None:
        where = f" after offset={span.offset} s" if span.offset else ""
        where += "" if span.duration is None else f" within duration={span.duration} s"
        raise InputError(f"{name}: holds no samples{where}; expected at least one")


def read_header(path: Path) -> Header:
    """Rate, channels and length; only what libsndfile cannot read is decoded for that.

    Raises:
        InputError: missing, empty, truncated, or not audio.
    """
    with open_source(path) as source:
        if source.frames is not None and is_sound_file(path):
            return Header(source.sample_rate, source.channels, source.frames)
        frames = sum(block.shape[-1] for block in source.blocks)
        return Header(source.sample_rate, source.channels, frames)


def is_sound_file(path: Path) -> bool:
    """Whether libsndfile knows the format."""
    try:
        soundfile.info(path)
    except soundfile.LibsndfileError:
        return False
    return True


def read_span(path: Path, start: int, frames: int) -> Tensor:
    """`frames` samples from `start` on, `(channels, frames)`.

    Nothing else is decoded, if the file is one that libsndfile can read.

    Raises:
        InputError: unreadable, shorter than that, or samples that are not finite.
    """
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(min(start, file.frames))
            span = torch.from_numpy(file.read(frames, dtype="float32", always_2d=True)).T
    except soundfile.LibsndfileError:
        span = read_audio(path).samples[:, start : start + frames]
    if span.shape[-1] < frames:
        raise InputError(f"{path}: truncated: no {frames} samples at {start}; replace the file")
    return check_finite(span.contiguous(), str(path))


def read_audio(path: Path) -> DecodedAudio:
    """Decode a whole file, whatever its format; see `open_source`."""
    with open_source(path) as source:
        return DecodedAudio(torch.cat(list(source.blocks), -1), source.sample_rate, source.subtype)


def read_streams(path: Path, streams: int | None = None) -> list[DecodedAudio]:
    """Decode the audio streams of a container with FFmpeg, all in one pass.

    Args:
        path: any container that FFmpeg knows.
        streams: how many to decode, from the first on; all by default.

    Returns:
        one `DecodedAudio` per stream, in the order of the file.
    """
    check_file(path)
    return [DecodedAudio(*stream) for stream in ffmpeg.decode_streams(path, streams)]
