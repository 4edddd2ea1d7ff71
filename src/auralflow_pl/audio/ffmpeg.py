"""Decoding with FFmpeg (PyAV), for pipes and for formats that libsndfile cannot read."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import torch
from torch import Tensor

from auralflow_pl.audio.packets import MPEG_CODECS, codec_name, report_gaps, without_tags
from auralflow_pl.errors import InputError, one_line

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet
    from av.container import InputContainer

TIME_BASE = 1_000_000  # units per second in the duration of a container

INTEGER_FORMATS = {"s16": "PCM_16", "s32": "PCM_24"}  # sample formats of lossless codecs

PCM_CODECS = {"pcm_s32le": "PCM_32", "pcm_s32be": "PCM_32"} | {
    f"pcm_f{bits}{order}": "FLOAT" for bits in (32, 64) for order in ("le", "be")
}

# Packed samples: PyAV looks for planes until a null pointer, and crashes after eight of them.
SAMPLE_FORMAT = "flt"

# Some formats (playlists) refer to other files and URLs; FFmpeg must not open these.
CONTAINER_OPTIONS = {"protocol_whitelist": "none"}


ONE_KIND = "expected one kind of sound throughout; split the file there, or convert its parts first"


class DecodedStream(NamedTuple):
    """An audio stream with its first samples decoded."""

    sample_rate: int
    channels: int
    frames: int | None  # approximate, from the duration of the container
    subtype: str  # libsndfile's name of the sample format, or the name of the codec
    tags: Mapping[str, str]
    blocks: Iterator[Tensor]  # (channels, time), float32


@contextlib.contextmanager
def open_container(
    file: BinaryIO,
    name: str,
    because: str = "",
    form: str | None = None,
    options: Mapping[str, str] | None = None,
) -> Iterator[InputContainer]:
    """Open a container that holds at least one audio stream.

    Args:
        file: binary file open for reading; need not be seekable.
        name: name of the file, for messages.
        because: reason why another reader failed, for the message.
        form: name of FFmpeg's demuxer; None: detect the format.
        options: options of the demuxer.

    Raises:
        InputError: not readable as audio, or no audio stream.
    """
    import av

    with translated_errors(name, because):
        container = av.open(file, format=form, options={**CONTAINER_OPTIONS, **(options or {})})
    with container:
        if not container.streams.audio:
            raise InputError(f"{name}: holds no audio stream")
        yield container


@contextlib.contextmanager
def translated_errors(name: str, because: str = "") -> Iterator[None]:
    """Turn errors of FFmpeg within the block into InputErrors; arguments as in `open_container`."""
    import av

    try:
        yield
    except InputError:
        raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise InputError(
            f"{name}: not readable as audio ({because or reason_of(error)}); expected WAV, FLAC, "
            "OGG, MP3, M4A, MP4 or another format of libsndfile or FFmpeg, complete and undamaged"
        ) from error


def open_stream(container: InputContainer, name: str, because: str = "") -> DecodedStream:
    """Decode the first audio stream of a container block by block.

    Sample rate and channels are taken from the first decoded samples.

    Args:
        container: an open container.
        name: name of the file, for messages.
        because: reason why another reader failed, for messages.

    Raises:
        InputError: no sample can be decoded.
    """
    stream = container.streams.audio[0]
    frames = decode_stream(container, stream, name, because)
    first = next(frames, None)
    if first is None:
        raise InputError(f"{name}: holds no samples; expected at least one")
    seconds = container.duration / TIME_BASE if container.duration else None
    return DecodedStream(
        first.sample_rate,
        first.layout.nb_channels,
        None if seconds is None else round(seconds * first.sample_rate),
        sample_format(stream),
        {**container.metadata, **stream.metadata},
        map(samples_of, itertools.chain([first], frames)),
    )


def decode_stream(
    container: InputContainer, stream: AudioStream, name: str, because: str
) -> Iterator[AudioFrame]:
    """Yield the frames of a stream, converted to `SAMPLE_FORMAT`.

    Raises:
        InputError: damaged, or much shorter than promised; channels or rate change midway.
    """
    import av

    converted = av.AudioResampler(format=SAMPLE_FORMAT)
    first = frame = None
    with translated_errors(name, because):
        for packet in sound_packets(container, stream, name):
            for frame in packet.decode():
                first = first or frame
                check_same_kind(frame, first, name)
                yield from converted.resample(frame)
    promised = promised_seconds(container, stream)
    if promised is not None and frame is not None and frame.time is not None:
        end = frame.time + frame.samples / frame.sample_rate
        if end < 0.98 * promised - 0.5:  # tolerance for rounded headers and padding of codecs
            raise InputError(
                f"{name}: truncated: the header promises {promised:.1f} s, {end:.1f} s could be "
                "decoded; replace the file"
            )


def sound_packets(container: InputContainer, stream: AudioStream, name: str) -> Iterator[Packet]:
    """Yield the packets of a stream without the tags between them.

    Raises:
        InputError: another kind of sound follows in an Ogg file.
    """
    import av

    packets: Iterator[Packet] = container.demux(stream)
    if codec_name(stream) in MPEG_CODECS:
        packets = without_tags(packets)
    try:
        yield from report_gaps(packets, name)
    except (av.error.PatchWelcomeError, av.error.ArgumentError) as error:
        if container.format.name != "ogg":
            raise
        raise InputError(
            f"{name}: the number of channels, the sample rate or the codec changes midway; "
            f"{ONE_KIND}"
        ) from error


def check_same_kind(frame: AudioFrame, first: AudioFrame, name: str) -> None:
    """Raise InputError if `frame` has another number of channels or sample rate than `first`."""
    then, now = ((f.layout.nb_channels, f.sample_rate) for f in (first, frame))
    if now != then:
        raise InputError(
            f"{name}: the number of channels or the sample rate changes midway, from {then[0]} at "
            f"{then[1]} Hz to {now[0]} at {now[1]} Hz; {ONE_KIND}"
        )


def promised_seconds(container: InputContainer, stream: AudioStream) -> float | None:
    """End of a stream in seconds according to the header; None if unknown or only an estimate."""
    form = container.format.name
    if form.startswith("mov,"):
        return None if stream.duration is None else float(stream.duration * stream.time_base)
    # The duration in an FLV header is that of the longest stream.
    if form == "flv" and len(container.streams) == 1 and container.duration:
        return container.duration / TIME_BASE
    return None


def samples_of(frame: AudioFrame) -> Tensor:
    """Samples `(channels, time)` of a frame in `SAMPLE_FORMAT`."""
    return torch.from_numpy(frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T)


def decode_streams(path: Path, streams: int | None = None) -> list[tuple[Tensor, int, str]]:
    """Decode the audio streams of a container in one pass.

    Args:
        path: any container that FFmpeg can read.
        streams: number of streams to decode, counted from the first; None: all.

    Returns:
        samples `(channels, time)`, sample rate in Hz and subtype of each stream.

    Raises:
        InputError: not readable as audio, or no audio stream.
    """
    import av

    name = str(path)
    with path.open("rb") as file, open_container(file, name) as container, translated_errors(name):
        chosen = list(container.streams.audio)[:streams]
        converted = {s.index: av.AudioResampler(format=SAMPLE_FORMAT) for s in chosen}
        parts: dict[int, list[Tensor]] = {stream.index: [] for stream in chosen}
        for packet in container.demux(chosen):
            for frame in packet.decode():
                for out in converted[packet.stream.index].resample(frame):
                    parts[packet.stream.index].append(samples_of(out))
        return [
            (join_blocks(parts[stream.index], stream.channels), stream.rate, sample_format(stream))
            for stream in chosen
        ]


def join_blocks(parts: list[Tensor], channels: int) -> Tensor:
    """Concatenate blocks `(channels, time)`; without any block, return `(channels, 0)`."""
    return torch.cat([torch.zeros(channels, 0), *parts], 1)


def sample_format(stream: AudioStream) -> str:
    """Name in libsndfile of the sample format of a stream; for lossy codecs, the codec's name."""
    codec = stream.codec_context.name
    integers = INTEGER_FORMATS.get(stream.format.name.rstrip("p"), codec.upper())
    return PCM_CODECS.get(codec, integers)


def reason_of(error: Exception) -> str:
    """Message of a library's error on one line, without a full stop."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return one_line(text).rstrip(".")
