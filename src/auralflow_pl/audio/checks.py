"""What a sound file must be, before it is believed."""

from __future__ import annotations

import struct
from pathlib import Path

import torch
from torch import Tensor

from auralflow_pl.errors import InputError

UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # what streaming writers put where a size belongs
RATES_HZ = range(4000, 768001)


def check_file(path: Path) -> None:
    """Raise InputError unless `path` is a file with something in it."""
    if not path.is_file():
        what = "is a folder, expected a file" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file (0 bytes); expected audio")


def check_finite(samples: Tensor, name: str) -> Tensor:
    """Return `samples`, or raise InputError if one of them is NaN or infinite."""
    if not torch.isfinite(samples.sum(dtype=torch.float64)):
        raise InputError(f"{name}: has NaN or infinite samples; repair or replace the file")
    return samples


def check_rate(sample_rate: int, name: str) -> None:
    """Raise InputError for a rate that only a damaged header gives."""
    if sample_rate not in RATES_HZ:
        raise InputError(
            f"{name}: a sample rate of {sample_rate} Hz; expected {RATES_HZ[0]} to {RATES_HZ[-1]}"
        )


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
