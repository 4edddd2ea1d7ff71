"""PCM as bytes, raw or as WAV, and in pipes, of which nothing is read ahead."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from auralflow_pl.audio.checks import STREAMED_SIZES, UNKNOWN_SIZES, check_finite, check_rate
from auralflow_pl.audio.writing import PCM_BITS, encode
from auralflow_pl.errors import InputError

SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}

WAV_CODES = {(1, 16): "PCM_16", (1, 24): "PCM_24", (1, 32): "PCM_32", (3, 32): "FLOAT"}

EXTENSIBLE = 0xFFFE  # format code of a header in which the code comes later

MOST_PIPE_CHANNELS = 64

LARGEST_CHUNK = 2**24  # bytes of a chunk before the sound, such as a picture

STREAM_SIZE = 2**32 - 1  # size fields of a WAV stream whose length is not known

HEADER_BYTES = 44

LARGEST_WAV = 2**32 - 64  # bytes of samples


class PcmFormat(NamedTuple):
    """Format of interleaved little-endian samples."""

    sample_rate: int  # Hz
    channels: int
    subtype: str  # a key of `SAMPLE_BYTES`, libsndfile's names

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * SAMPLE_BYTES[self.subtype]


class PcmReader:
    """Reads blocks of samples from a pipe.

    Args:
        read: returns at most as many bytes as asked for; none at the end.
        name: name of the input, for messages.
        form: format of raw samples; None: the input is WAV.

    Raises:
        InputError: the input is empty, or no WAV of 16, 24 or 32 bits or 32-bit floats.
    """

    def __init__(
        self, read: Callable[[int], bytes], name: str, form: PcmFormat | None = None
    ) -> None:
        self.pipe, self.name = read, name
        self.left: int | None = None  # bytes of samples that the header still promises
        self.form = form or self.read_header()
        self.frames, self.torn = 0, False

    def read(self, frames: int) -> Tensor:
        """The next samples `(channels, time)`, fewer than `frames` at the end only.

        Raises:
            InputError: the input ends before its header says, or within a sample, or a sample is
                not finite. What was complete has been returned before.
        """
        size = self.form.frame_bytes
        wanted = frames * size if self.left is None else min(frames * size, self.left)
        content = self.exactly(wanted)
        whole = len(content) // size
        if self.torn or (not whole and len(content) < wanted and (content or self.left)):
            seconds = self.frames / self.form.sample_rate
            raise InputError(
                f"{self.name}: truncated after {seconds:.2f} s: ends within a sample or before "
                "its header says"
            )
        if self.left is not None:
            self.left -= whole * size
        self.frames += whole
        self.torn = len(content) % size > 0
        return check_finite(decode_pcm(content[: whole * size], self.form), self.name)

    def exactly(self, size: int) -> bytes:
        """Read `size` bytes, fewer at the end only."""
        parts, held = [], 0
        while held < size:
            part = self.pipe(size - held)
            if not part:
                break
            parts.append(part)
            held += len(part)
        return b"".join(parts)

    def read_header(self) -> PcmFormat:
        """Read a WAV header up to the first sample."""
        magic = self.exactly(12)
        if not magic:
            raise InputError(f"{self.name}: is empty; expected WAV, or raw samples and raw.*")
        if magic[:4] not in (b"RIFF", b"RF64") or magic[8:] != b"WAVE":
            raise InputError(
                f"{self.name}: no WAV; decode it first, as `ffmpeg -i song.mp3 -f wav -` does, or "
                "pass raw.sample_rate for raw samples"
            )
        form = None
        while True:
            head = self.exactly(8)
            if len(head) < 8:
                raise InputError(f"{self.name}: truncated: ends within the WAV header")
            name, size = struct.unpack("<4sI", head)
            if name == b"data":
                break
            if size > LARGEST_CHUNK:
                raise InputError(f"{self.name}: damaged WAV header: {size} bytes before the sound")
            content = self.exactly(size + size % 2)
            if name == b"fmt ":
                form = parse_format(content, self.name)
        if form is None:
            raise InputError(f"{self.name}: damaged WAV header: no format before the sound")
        if size not in UNKNOWN_SIZES and size < STREAMED_SIZES.start:  # above: 3 hours, or unknown
            self.left = size // form.frame_bytes * form.frame_bytes
        return form


def parse_format(content: bytes, name: str) -> PcmFormat:
    """Format in the chunk `fmt ` of a WAV header.

    Raises:
        InputError: a format that is not in `WAV_CODES`, or an implausible number.
    """
    if len(content) < 16:
        raise InputError(f"{name}: damaged WAV header: a format of {len(content)} bytes")
    code, channels, rate, _, align, bits = struct.unpack("<HHIIHH", content[:16])
    if code == EXTENSIBLE and len(content) >= 26:
        (code,) = struct.unpack("<H", content[24:26])
    subtype = WAV_CODES.get((code, bits))
    if subtype is None:
        raise InputError(
            f"{name}: WAV of format {code} with {bits} bits; expected 16, 24 or 32 bits, or "
            "floats of 32 bits"
        )
    form = PcmFormat(rate, channels, subtype)
    check_rate(rate, name)
    if not 1 <= channels <= MOST_PIPE_CHANNELS or align != form.frame_bytes:
        raise InputError(f"{name}: damaged WAV header: {channels} channels in {align} bytes")
    return form


def decode_pcm(content: bytes, form: PcmFormat) -> Tensor:
    """Samples `(channels, time)`, float32, of interleaved little-endian bytes."""
    if form.subtype == "FLOAT":
        samples = np.frombuffer(content, "<f4").astype(np.float32)
    elif form.subtype == "PCM_24":
        octets = np.frombuffer(content, np.uint8).reshape(-1, 3)
        padded = np.pad(octets, ((0, 0), (1, 0)))  # the upper three bytes of 32 bits
        samples = padded.reshape(-1).view("<i4").astype(np.float32) * np.float32(2.0**-31)
    else:
        bits = 8 * SAMPLE_BYTES[form.subtype]
        found = np.frombuffer(content, f"<i{bits // 8}")
        samples = found.astype(np.float32) * np.float32(2.0 ** (1 - bits))
    return torch.from_numpy(samples.reshape(-1, form.channels).T.copy())


def encode_pcm(samples: Tensor, form: PcmFormat) -> bytes:
    """Interleaved little-endian bytes of samples `(channels, time)`; integers are clipped."""
    stored = encode(clip_to_grid(samples, form.subtype), form.subtype)
    if form.subtype == "PCM_24":
        return stored.astype("<i4").reshape(-1).view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    return stored.astype("<i2" if form.subtype == "PCM_16" else "<f4").tobytes()


def clip_to_grid(samples: Tensor, subtype: str) -> Tensor:
    """Clip samples to what an integer format holds; floats are left as they are."""
    if subtype not in PCM_BITS:
        return samples
    return samples.clamp(-1.0, 1.0 - 2.0 ** (1 - PCM_BITS[subtype]))


def wav_header(form: PcmFormat, size: int | None = None) -> bytes:
    """Header of a WAV file or stream, 44 bytes, for PCM_16, PCM_24 and FLOAT.

    Args:
        form: format of the samples.
        size: bytes of the samples that follow; None: a stream whose length is not known.

    Raises:
        InputError: more than a WAV file can hold.
    """
    if size is not None and size > LARGEST_WAV:
        raise InputError(f"{size / 2**30:.1f} GiB of samples; expected less than 4 in a WAV file")
    whole = STREAM_SIZE if size is None else HEADER_BYTES - 8 + size  # what follows this field
    bits = 8 * SAMPLE_BYTES[form.subtype]
    code = 3 if form.subtype == "FLOAT" else 1
    second = form.sample_rate * form.frame_bytes
    content = struct.pack(
        "<HHIIHH", code, form.channels, form.sample_rate, second, form.frame_bytes, bits
    )
    return (
        struct.pack("<4sI4s4sI", b"RIFF", whole, b"WAVE", b"fmt ", len(content))
        + content
        + struct.pack("<4sI", b"data", STREAM_SIZE if size is None else size)
    )
