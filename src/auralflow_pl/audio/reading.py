"""Reading sound files: libsndfile for what it knows, FFmpeg (PyAV) for everything else."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile
import torch
from torch import Tensor

from auralflow_pl.errors import InputError

# What a folder is searched for. Reading itself goes by content, not by name.
AUDIO_SUFFIXES = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .caf .w64 .rf64 "  # noqa: SIM905
    ".m4a .m4b .mp4 .aac .wma .mka .webm .mov .mkv .ac3 .ape .wv .tta".split()
)
INTEGER_FORMATS = {"s16": "PCM_16", "s32": "PCM_24"}  # what lossless codecs of FFmpeg decode to
UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # what streaming writers put where a size belongs


class Audio(NamedTuple):
    """Decoded sound."""

    samples: Tensor  # (channels, time), float32
    sample_rate: int  # Hz
    subtype: (
        str  # as libsndfile names sample formats: PCM_16, FLOAT, ...; AAC and so on from FFmpeg
    )


class Header(NamedTuple):
    """What a file says of itself."""

    sample_rate: int
    channels: int
    frames: int


def read_header(path: Path) -> Header:
    """Rate, channels and length; only what libsndfile cannot read is decoded for that.

    Raises:
        InputError: missing, empty, truncated, or not audio.
    """
    check_file(path)
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        audio = read_streams(path, streams=1, because=reason(error))[0]
        return Header(audio.sample_rate, *audio.samples.shape)
    check_riff_length(path)
    return Header(info.samplerate, info.channels, info.frames)


def read_span(path: Path, start: int, frames: int) -> Tensor:
    """`frames` samples from `start` on, `(channels, frames)`.

    Nothing else is decoded, if the file is one that libsndfile can read.

    Raises:
        InputError: unreadable, shorter than that, or samples that are not finite.
    """
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            span = torch.from_numpy(file.read(frames, dtype="float32", always_2d=True)).T
    except soundfile.LibsndfileError as error:
        whole = read_streams(path, streams=1, because=reason(error))[0].samples
        span = whole[:, start : start + frames]
    if span.shape[-1] < frames:
        raise InputError(f"{path}: truncated: no {frames} samples at {start}; replace the file")
    return check_finite(span.contiguous(), path)


def read_audio(path: Path) -> Audio:
    """Decode a whole file, whatever its format.

    From files with several audio streams (`.stem.mp4`) it takes the first, the mixture.

    Raises:
        InputError: missing, empty, truncated, not audio, or samples that are not finite.
    """
    check_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            samples = file.read(dtype="float32", always_2d=True)
            audio = Audio(
                torch.from_numpy(np.ascontiguousarray(samples.T)), file.samplerate, file.subtype
            )
            if len(samples) < file.frames:
                raise InputError(
                    f"{path}: truncated: the header promises {file.frames} samples, "
                    f"{len(samples)} could be decoded; replace the file"
                )
        check_riff_length(path)
    except InputError:
        raise
    except (soundfile.LibsndfileError, ValueError, MemoryError) as error:
        audio = read_streams(path, streams=1, because=reason(error))[0]
    if audio.samples.shape[-1] == 0:
        raise InputError(f"{path}: holds no samples; expected at least one")
    check_finite(audio.samples, path)
    return audio


def read_streams(path: Path, streams: int | None = None, because: str = "") -> list[Audio]:
    """Decode the audio streams of a container with FFmpeg, all in one pass.

    Args:
        path: any container that FFmpeg knows.
        streams: how many to decode, from the first on; all by default.
        because: why another reader gave up, for the error message.

    Returns:
        one `Audio` per stream, in the order of the file.
    """
    check_file(path)
    try:
        with av.open(str(path)) as container:
            chosen = list(container.streams.audio)[:streams]
            if not chosen:
                raise InputError(f"{path}: holds no audio stream")
            return decode(container, chosen)
    except av.error.FFmpegError as error:
        detail = because or reason(error)
        raise InputError(
            f"{path}: not readable as audio ({detail}); expected WAV, FLAC, OGG, MP3, M4A, MP4 "
            "or another format of libsndfile or FFmpeg, complete and undamaged"
        ) from error


def decode(container: av.container.InputContainer, chosen: list[av.AudioStream]) -> list[Audio]:
    """Demultiplex once, and gather each stream as planar float32 at its own rate and layout."""
    planar = {stream.index: av.AudioResampler(format="fltp") for stream in chosen}
    parts: dict[int, list[np.ndarray]] = {stream.index: [] for stream in chosen}
    for packet in container.demux(chosen):
        for frame in packet.decode():
            for out in planar[packet.stream.index].resample(frame):
                parts[packet.stream.index].append(out.to_ndarray())
    return [
        Audio(
            torch.from_numpy(
                np.concatenate(parts[s.index] or [np.zeros((s.channels, 0), np.float32)], axis=1)
            ),
            s.rate,
            INTEGER_FORMATS.get(s.format.name.rstrip("p"), s.codec_context.name.upper()),
        )
        for s in chosen
    ]


def check_file(path: Path) -> None:
    """Raise InputError unless `path` is a file with something in it."""
    if not path.is_file():
        what = "is a folder, expected a file" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file (0 bytes); expected audio")


def check_finite(samples: Tensor, path: Path) -> Tensor:
    """Return `samples`, or raise InputError if one of them is NaN or infinite."""
    if not torch.isfinite(samples.sum(dtype=torch.float64)):
        raise InputError(f"{path}: has NaN or infinite samples; repair or replace the file")
    return samples


def check_riff_length(path: Path) -> None:
    """Raise InputError if a WAV header promises more data than the file holds.

    libsndfile reads such files without a word, as if the rest had never been there.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        form = file.read(12)
        if form[:4] != b"RIFF" or form[8:] != b"WAVE":
            return
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            held = size - file.tell()
            if name == b"data":
                if length > held and length not in UNKNOWN_SIZES:
                    raise InputError(
                        f"{path}: truncated: the header promises {length} bytes of audio, the file "
                        f"holds {held}; replace the file"
                    )
                return
            file.seek(length + length % 2, 1)


def reason(error: Exception) -> str:
    """The last clause of a library's message, on one line."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")
