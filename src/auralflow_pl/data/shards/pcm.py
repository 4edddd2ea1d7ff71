"""Uncompressed WAV files: the samples, a header before them, and any span by its bytes."""

from __future__ import annotations

import struct

import numpy as np
import torch
from torch import Tensor

from auralflow_pl.errors import InputError

SAMPLE_TYPES = {"PCM_16": "<i2", "FLOAT": "<f4"}  # NumPy's type by libsndfile's name

WAVE_FORMATS = {"PCM_16": 1, "FLOAT": 3}  # codes in a WAV header

LARGEST_WAV = 2**32 - 64  # bytes of samples


def sample_bytes(subtype: str, channels: int) -> int:
    """Bytes of the samples of all channels at one time."""
    return np.dtype(SAMPLE_TYPES[subtype]).itemsize * channels


def wav_header(subtype: str, sample_rate: int, channels: int, size: int) -> bytes:
    """The 44 bytes that come before `size` bytes of samples.

    Raises:
        InputError: more than a WAV file can hold.
    """
    if size > LARGEST_WAV:
        raise InputError(f"{size / 2**30:.1f} GiB, expected less than 4 for each stem of a track")
    step = sample_bytes(subtype, channels)
    code, bits = WAVE_FORMATS[subtype], 8 * step // channels
    form = struct.pack("<HHIIHH", code, channels, sample_rate, sample_rate * step, step, bits)
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", len(head) + size) + head


def to_pcm(audio: Tensor, subtype: str) -> bytes:
    """Samples `(channels, time)` as the bytes of a WAV file; PCM is clipped at full scale."""
    if subtype == "PCM_16":
        audio = (audio * 32768.0).round().clamp(-32768, 32767)
    return audio.T.contiguous().numpy().astype(SAMPLE_TYPES[subtype]).tobytes()


def from_pcm(content: bytes, subtype: str, channels: int) -> Tensor:
    """Samples `(channels, time)` in float32 of bytes of a WAV file; full scale is 1."""
    samples = np.frombuffer(content, SAMPLE_TYPES[subtype]).reshape(-1, channels)
    floats = torch.from_numpy(np.ascontiguousarray(samples.T).astype(np.float32))
    return floats.mul_(2.0**-15) if subtype == "PCM_16" else floats
