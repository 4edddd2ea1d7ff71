"""Ratios of energies in dB over the last axis.

For multichannel audio, flatten channels and time into the last axis first.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch_log_wmse import LogWMSE

from auralflow_pl.metrics.scale_invariant import check_same_shape, is_silent, si_sdr

MDX_EPS = 1e-7  # constant of the Music Demixing Challenges

LEAK_FLOOR_DB = -120.0


def si_snr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant SNR in dB, `(..., time)` to `(...)`; higher is better.

    SI-SDR of signals whose means over time are removed (Luo and Mesgarani, 2018). The result is
    always finite; see `si_sdr`.

    Raises:
        ValueError: the shapes differ.
    """
    return si_sdr(
        estimate - estimate.mean(-1, keepdim=True), target - target.mean(-1, keepdim=True)
    )


def snr(estimate: Tensor, target: Tensor) -> Tensor:
    """Signal-to-noise ratio in dB, `(..., time)` to `(...)`; higher is better.

    `10 log10(|t|^2 / |e - t|^2)`. The machine epsilon times the mean energy of target and estimate
    is added to both energies, so a perfect estimate gives about +69 dB in float32.

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(estimate, target)
    eps = torch.finfo(target.dtype).eps
    energy, noise = target.square().sum(-1), (estimate - target).square().sum(-1)
    floor = eps * (energy + estimate.square().sum(-1)) / 2 + eps**2
    return 10 * torch.log10((energy + floor) / (noise + floor))


def usdr(estimate: Tensor, target: Tensor) -> Tensor:
    """SDR of the Music Demixing Challenges in dB, `(..., time)` to `(...)`; higher is better.

    `10 log10((|t|^2 + 1e-7) / (|e - t|^2 + 1e-7))` over all channels and the whole song (Mitsufuji
    et al., 2022; Fabbro et al., 2024). Also called utterance-level SDR or uSDR.

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(estimate, target)
    energy, noise = target.square().sum(-1), (estimate - target).square().sum(-1)
    return 10 * torch.log10((energy + MDX_EPS) / (noise + MDX_EPS))


def log_wmse(estimate: Tensor, target: Tensor, mixture: Tensor, sample_rate: int) -> Tensor:
    """Log-WMSE, `(..., time)` to `(...)`, dimensionless; higher is better, 73.7 at most.

    Logarithm of the squared error after a filter for the frequency sensitivity of human hearing,
    relative to the mixture (Nomono, 2023; computed by the package `torch_log_wmse`). Also defined
    for silent targets.

    Args:
        estimate: estimate of the target.
        target: true signal.
        mixture: mixture, broadcast to the shape of the target.
        sample_rate: in Hz.

    Raises:
        ValueError: the shapes of estimate and target differ.
    """
    check_same_shape(estimate, target)
    shape = target.shape
    one = (1, 1, -1, shape[-1])  # (batch, channels, stems, time) of the package
    scores = log_wmse_metric(sample_rate, target.device).per_stem(
        mixture.expand(shape).reshape(-1, 1, shape[-1]),
        estimate.reshape(one).transpose(0, 2),
        target.reshape(one).transpose(0, 2),
    )
    return scores.reshape(shape[:-1])


@lru_cache(maxsize=8)
def log_wmse_metric(sample_rate: int, device: torch.device) -> LogWMSE:
    """The metric of `torch_log_wmse` for a sample rate and a device; cached."""
    return LogWMSE(sample_rate=sample_rate).to(device)


def leak_level(estimate: Tensor, target: Tensor, mixture: Tensor, window: int) -> Tensor:
    """Leakage into silence in dB, `(..., time)` to `(...)`; lower is better.

    Energy of the estimate relative to that of the mixture, over all windows in which the target is
    silent (below -80 dBFS) and the mixture is not; at least -120 dB. NaN if there is no such
    window.

    Args:
        estimate: estimate of the target.
        target: true signal.
        mixture: mixture, broadcast to the shape of the target.
        window: samples per window; a shorter rest at the end is a window too.

    Raises:
        ValueError: the shapes of estimate and target differ.
    """
    check_same_shape(estimate, target)
    mixture = mixture.expand_as(target)
    leaked, total = target.new_zeros(2, *target.shape[:-1], dtype=torch.float64)
    for start in range(0, target.shape[-1], window):
        parts = (x[..., start : start + window] for x in (estimate, target, mixture))
        heard, silent, played = parts
        counts = is_silent(silent) & ~is_silent(played)
        leaked += counts * heard.double().square().sum(-1)
        total += counts * played.double().square().sum(-1)
    level = 10 * torch.log10(leaked / total).clamp(min=LEAK_FLOOR_DB / 10)
    return torch.where(total > 0, level, torch.nan)
