"""Writing stems: the grid of the file format, residuals that null, and no half-written files."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from auralflow_pl.errors import InputError

PCM_BITS = {"PCM_16": 16, "PCM_24": 24}


def output_subtype(source: str) -> str:
    """The sample format of stems for an input of libsndfile subtype `source`.

    24-bit and floating-point inputs keep their resolution, everything else becomes 16 bit. 32-bit
    integers become float, which is what the program computes with.
    """
    if source in ("PCM_24", "ALAC_24"):
        return "PCM_24"
    return "FLOAT" if source in ("FLOAT", "DOUBLE", "PCM_32", "ALAC_32") else "PCM_16"


def complementary(
    mixture: Tensor, estimates: Mapping[str, Tensor], subtype: str, residual: bool = True
) -> tuple[dict[str, Tensor], str]:
    """Round estimates to the grid of `subtype`, and let `residual` be what is left of the mixture.

    Because the residual is taken from the *rounded* estimates, stems and residual add up to the
    mixture within one quantisation step. Where a stem would exceed full scale, all are kept as
    FLOAT instead: nothing is clipped and nothing is rescaled.

    Args:
        mixture: `(channels, time)`.
        estimates: name to `(channels, time)`.
        subtype: PCM_16, PCM_24 or FLOAT.
        residual: whether it is wanted.

    Returns:
        the stems, with `residual` as the last, and the subtype to write them with.
    """
    if subtype in PCM_BITS:
        scale = 2.0 ** (PCM_BITS[subtype] - 1)
        stems = {name: torch.round(x.double() * scale) for name, x in estimates.items()}
        if residual:
            stems["residual"] = torch.round(mixture.double() * scale) - sum(stems.values())
        if all(x.min() >= -scale and x.max() < scale for x in stems.values()):
            return {name: x / scale for name, x in stems.items()}, subtype
    rest = {"residual": mixture - sum(estimates.values())} if residual else {}
    return {**estimates, **rest}, "FLOAT"


def encode(samples: Tensor, subtype: str) -> np.ndarray:
    """`(channels, time)` to the `(time, channels)` that libsndfile stores without rounding."""
    frames = samples.T.contiguous()
    if subtype == "PCM_16":
        return torch.round(frames.double() * 2**15).to(torch.int16).numpy()
    if subtype == "PCM_24":  # libsndfile keeps the upper 24 of 32 bits
        return (torch.round(frames.double() * 2**23).to(torch.int32) * 256).numpy()
    return frames.float().numpy()


def write_wav(path: Path, samples: Tensor, sample_rate: int, subtype: str) -> None:
    """Write `(channels, time)` in [-1, 1) as WAV, or as RF64 if it is too large for that.

    Raises:
        InputError: the disk is full, or the file cannot be written for another reason.
    """
    too_large = samples.numel() * 4 >= 2**32 - 2**16
    data = encode(samples, subtype)
    try:
        soundfile.write(path, data, sample_rate, subtype, format="RF64" if too_large else "WAV")
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path.name}: {data.nbytes} bytes cannot be written into {path.parent.parent} "
            f"({error.error_string.rstrip('.')}); is the disk full?"
        ) from error


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` together once the block has succeeded.

    If the block raises, nothing of it remains and `folder` is as it was.

    Raises:
        InputError: `folder` cannot be written.
    """
    check_writable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as name:
        yield Path(name)
        folder.mkdir(exist_ok=True)
        for part in sorted(Path(name).iterdir()):
            part.replace(folder / part.name)


def check_writable(folder: Path) -> None:
    """Raise InputError unless files can be made in `folder` or where it is to be created."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(f"output={folder}: {nearest} is a file, expected a folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"output={folder}: cannot write into {nearest}: {error.strerror}"
        ) from None
