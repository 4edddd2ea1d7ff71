"""Reading with FFmpeg (PyAV): whatever libsndfile does not know, and pipes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import av
import numpy as np
import torch
from torch import Tensor

from auralflow_pl.errors import InputError, one_line

INTEGER_FORMATS = {"s16": "PCM_16", "s32": "PCM_24"}  # what lossless codecs of FFmpeg decode to

PCM_CODECS = {"pcm_s32le": "PCM_32", "pcm_s32be": "PCM_32"} | {
    f"pcm_f{bits}{order}": "FLOAT" for bits in (32, 64) for order in ("le", "be")
}

# Some formats are lists of other files and addresses; a sound file opens nothing but itself.
CONTAINER_OPTIONS = {"protocol_whitelist": "none"}


class DecodedStream(NamedTuple):
    """An audio stream whose first samples are decoded."""

    sample_rate: int
    channels: int
    frames: int | None  # about, as the container says
    subtype: str  # as libsndfile names sample formats, or the name of the codec
    tags: Mapping[str, str]
    blocks: Iterator[Tensor]  # (channels, time), float32


@contextlib.contextmanager
def open_container(
    file: BinaryIO,
    name: str,
    because: str = "",
    form: str | None = None,
    options: Mapping[str, str] | None = None,
) -> Iterator[av.container.InputContainer]:
    """A container with an audio stream at least.

    Args:
        file: open for reading; need not be seekable.
        name: of it, for messages.
        because: why another reader gave up, for the message.
        form: name of FFmpeg's demuxer; by default it is recognised.
        options: of the demuxer.
    """
    with translated_errors(name, because):
        container = av.open(file, format=form, options={**CONTAINER_OPTIONS, **(options or {})})
    with container:
        if not container.streams.audio:
            raise InputError(f"{name}: holds no audio stream")
        yield container


@contextlib.contextmanager
def translated_errors(name: str, because: str = "") -> Iterator[None]:
    """Turn errors of FFmpeg into InputErrors."""
    try:
        yield
    except InputError:
        raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise InputError(
            f"{name}: not readable as audio ({because or reason_of(error)}); expected WAV, FLAC, "
            "OGG, MP3, M4A, MP4 or another format of libsndfile or FFmpeg, complete and undamaged"
        ) from error


def open_stream(
    container: av.container.InputContainer, name: str, because: str = ""
) -> DecodedStream:
    """The first audio stream of a container, in blocks; what it is, its first samples tell.

    Args:
        container: open.
        name: of the file, for messages.
        because: why another reader gave up, for messages.

    Raises:
        InputError: not one sample can be decoded.
    """
    stream = container.streams.audio[0]
    frames = decode_stream(container, stream, name, because)
    first = next(frames, None)
    if first is None:
        raise InputError(f"{name}: holds no samples; expected at least one")
    seconds = container.duration / av.time_base if container.duration else None
    return DecodedStream(
        first.sample_rate,
        first.layout.nb_channels,
        None if seconds is None else round(seconds * first.sample_rate),
        sample_format(stream),
        {**container.metadata, **stream.metadata},
        decode_blocks(first, frames),
    )


def decode_stream(
    container: av.container.InputContainer, stream: av.AudioStream, name: str, because: str
) -> Iterator[av.AudioFrame]:
    """The frames of a stream as planar float32.

    Raises:
        InputError: damaged, or much shorter than promised; channels or rate change midway.
    """
    planar = av.AudioResampler(format="fltp")
    first = frame = None
    with translated_errors(name, because):
        for packet in container.demux(stream):
            for frame in packet.decode():
                first = first or frame
                check_same_kind(frame, first, name)
                yield from planar.resample(frame)
    promised = promised_seconds(container, stream)
    if promised is not None and frame is not None and frame.time is not None:
        end = frame.time + frame.samples / frame.sample_rate
        if end < 0.98 * promised - 0.5:  # headers round, and codecs pad
            raise InputError(
                f"{name}: truncated: the header promises {promised:.1f} s, {end:.1f} s could be "
                "decoded; replace the file"
            )


def check_same_kind(frame: av.AudioFrame, first: av.AudioFrame, name: str) -> None:
    """Raise InputError where the channels or the rate of a stream change."""
    then, now = ((f.layout.nb_channels, f.sample_rate) for f in (first, frame))
    if now != then:
        raise InputError(
            f"{name}: the number of channels or the sample rate changes midway, from {then[0]} at "
            f"{then[1]} Hz to {now[0]} at {now[1]} Hz; expected no change; convert the file first"
        )


def promised_seconds(
    container: av.container.InputContainer, stream: av.AudioStream
) -> float | None:
    """When a stream ends according to the header; None where that is unknown, or an estimate."""
    form = container.format.name
    if form.startswith("mov,"):
        return None if stream.duration is None else float(stream.duration * stream.time_base)
    # The duration of Matroska is that of its longest stream.
    if form.startswith("matroska,") and len(container.streams) == 1 and container.duration:
        return container.duration / av.time_base
    return None


def decode_blocks(first: av.AudioFrame, frames: Iterator[av.AudioFrame]) -> Iterator[Tensor]:
    """Samples `(channels, time)` of frames."""
    yield torch.from_numpy(first.to_ndarray())
    for frame in frames:
        yield torch.from_numpy(frame.to_ndarray())


def decode_streams(path: Path, streams: int | None = None) -> list[tuple[Tensor, int, str]]:
    """Samples `(channels, time)`, rate and subtype of the audio streams of a container.

    All are decoded in one pass.

    Args:
        path: any container that FFmpeg knows.
        streams: how many to decode, from the first on; all by default.
    """
    name = str(path)
    with path.open("rb") as file, open_container(file, name) as container, translated_errors(name):
        chosen = list(container.streams.audio)[:streams]
        planar = {stream.index: av.AudioResampler(format="fltp") for stream in chosen}
        parts: dict[int, list[np.ndarray]] = {stream.index: [] for stream in chosen}
        for packet in container.demux(chosen):
            for frame in packet.decode():
                for out in planar[packet.stream.index].resample(frame):
                    parts[packet.stream.index].append(out.to_ndarray())
        return [
            (join_blocks(parts[stream.index], stream.channels), stream.rate, sample_format(stream))
            for stream in chosen
        ]


def join_blocks(parts: list[np.ndarray], channels: int) -> Tensor:
    """Blocks `(channels, time)` as one, also if there is none."""
    return torch.from_numpy(np.concatenate([np.zeros((channels, 0), np.float32), *parts], axis=1))


def sample_format(stream: av.AudioStream) -> str:
    """What libsndfile would call the samples of a stream; for lossy codecs, their name."""
    codec = stream.codec_context.name
    integers = INTEGER_FORMATS.get(stream.format.name.rstrip("p"), codec.upper())
    return PCM_CODECS.get(codec, integers)


def reason_of(error: Exception) -> str:
    """The last clause of a library's message, on one line."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return one_line(text).rstrip(".")
