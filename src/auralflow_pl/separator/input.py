"""What a Separator is given: settings and sound, checked, and what its network hears of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auralflow_pl.audio.checks import RATES_HZ
from auralflow_pl.checks.values import is_number, within
from auralflow_pl.errors import InputError, shown
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.signal.stft import magnitude

AudioArray = Tensor | np.ndarray

SETTING_RANGES = {
    "window_seconds": (0.001, 600),  # longer windows take more memory without benefit
    "overlap": (0, 0.5),
    "shifts": (1, 100),
    "seed": (0, 2**63 - 1),  # of a generator of torch
    "batch_size": (1, 2**20),
    "padding_seconds": (0, 600),
    "wiener_steps": (0, 20),
}

MOST_SPEEDS = 20


class CheckedBlocks:
    """Iterate over the blocks of a signal as checked float32 tensors and count their samples.

    Args:
        blocks: tensors or arrays `(channels, time)`.
        record: keep the blocks attached to the autograd graph.
        device: device that the blocks are moved to.
    """

    def __init__(self, blocks: Iterable[AudioArray], record: bool, device: torch.device) -> None:
        self.blocks, self.record, self.device = blocks, record, device
        self.given = device  # of the last block
        self.channels = self.time = 0
        self.arrays = self.ended = False

    def __iter__(self) -> Iterator[Tensor]:
        for block in self.blocks:
            self.arrays = isinstance(block, np.ndarray)
            tensor = as_float_tensor(block)
            if tensor.ndim != 2 or self.channels not in (0, tensor.shape[0]):
                raise InputError(
                    f"block of shape {tuple(tensor.shape)}: expected (channels, time), with as "
                    "many channels as the blocks before"
                )
            self.channels = tensor.shape[0]
            self.time += tensor.shape[1]
            self.given = tensor.device
            yield (tensor if self.record else tensor.detach()).to(self.device)
        self.ended = True
        if self.time == 0:
            raise InputError("a signal without samples: expected at least one")


def as_float_tensor(audio: AudioArray) -> Tensor:
    """Convert a tensor or array `(..., channels, time)` to a float32 tensor.

    Arrays may have any memory layout and byte order.

    Raises:
        InputError: the audio is not a tensor or array, has no channel axis or no channels, is
            not floating-point, or has samples that are not finite.
    """
    if not isinstance(audio, AudioArray):
        raise InputError(
            f"audio of type {type(audio).__name__}: expected a tensor or a NumPy array "
            "(..., channels, time)"
        )
    if audio.ndim < 2 or 0 in audio.shape[:-1]:
        raise InputError(f"audio of shape {tuple(audio.shape)}: expected (..., channels, time)")
    floats = (
        np.issubdtype(audio.dtype, np.floating)
        if isinstance(audio, np.ndarray)
        else audio.is_floating_point()
    )
    if not floats:
        raise InputError(
            f"audio of {audio.dtype}: expected floats in [-1, 1]; divide 16-bit integers by 32768"
        )
    # torch cannot share other byte orders, negative strides or read-only memory: these are copied.
    if isinstance(audio, np.ndarray):
        tensor = torch.from_numpy(np.require(audio, np.float32, ["C", "A", "W"]))
    else:
        tensor = audio.float()
    samples = tensor.detach()
    if not (samples.sum().isfinite() or samples.isfinite().all()):  # the sum takes no memory
        raise InputError("audio: has NaN or infinite samples; expected floats in [-1, 1]")
    return tensor


def whole_rate(name: str, value: float | None, default: int) -> int:
    """Check a sample rate in Hz; None becomes `default`.

    Raises:
        InputError: the rate is not a whole number from 4000 to 768000; `name` is named in the
            message.
    """
    if value is None:
        return default
    if value not in RATES_HZ:
        raise InputError(
            f"{name}={value}: expected a whole number of Hz from {RATES_HZ[0]} to {RATES_HZ[-1]}"
        )
    return int(value)


def network_input(network: MaskEstimator, spectrogram: Tensor) -> Tensor:
    """What a network hears of a complex spectrogram `(batch, channels, freq, frames)`.

    Returns:
        its magnitude, or for `complex_masks` its real parts before its imaginary ones,
        `(batch, 2 * channels, freq, frames)`.
    """
    if network.complex_masks:
        return torch.cat([spectrogram.real, spectrogram.imag], dim=1)
    return magnitude(spectrogram)


def check_setting_ranges(settings: Mapping[str, Any]) -> None:
    """Raise InputError for a setting of a Separator that is out of its range; None is in any.

    Args:
        settings: arguments of `Separator` by name, of the right types.
    """
    for name, value in settings.items():
        if value is not None and name in SETTING_RANGES:
            within(f"separation.{name}", value, *SETTING_RANGES[name])
        if value is not None and name == "speeds":
            check_speeds(value)


def check_speeds(speeds: Any) -> None:
    """Raise InputError unless these are 1 to 20 numbers from 0.5 to 2."""
    given = list(speeds) if isinstance(speeds, list | tuple) else []
    fitting = [speed for speed in given if is_number(speed) and 0.5 <= speed <= 2]
    if not 1 <= len(given) <= MOST_SPEEDS or len(fitting) < len(given):
        raise InputError(
            f"separation.speeds={shown(str(speeds))}: expected 1 to {MOST_SPEEDS} numbers, 0.5 to 2"
        )


def rate_heard(sample_rate: int, speed: float) -> int:
    """Rate in Hz of a signal that a network of `sample_rate` takes as its own, so it is faster.

    The rate is rounded to about a hundredth of `sample_rate`: ratios of large numbers are slow to
    resample.
    """
    parts = max(number for number in range(1, 101) if sample_rate % number == 0)
    step = sample_rate // parts if parts >= 20 else 1
    return round(sample_rate / speed / step) * step
