"""Distances of spectrograms, `(..., channels, time)` to `(...)`; phases do not count."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from auralflow_pl.metrics.scale_invariant import check_same_shape
from auralflow_pl.metrics.spectrograms import Transform, by_items, mel_magnitude

AXES = (-3, -2, -1)  # channels, freq, frames
BLEED = Transform(4096, 1024, 4096, mirrored=False)
MEL_BANDS = 512
LEVEL_FLOOR, LEVEL_RANGE_DB = 1e-10, 80.0
L1 = Transform(2048, 1024, 0)
MR_STFT_FLOOR = 1e-4


def bleedless_and_fullness(estimate: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """Bleedless and fullness, `(..., 2)`, each from 0 to 100; higher is better.

    `100 / (1 + d)`, where `d` is the mean of the level differences in dB over the mel bins that are
    louder (bleedless) or softer (fullness) in the estimate than in the target (arredou, 2024).
    Levels have a floor 80 dB below the loudest bin of the signal. Meaningless for a silent target.

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(estimate, target)

    def score(*signals: Tensor) -> Tensor:
        floors = [torch.full((len(x), 1, 1, 1), -torch.inf, device=x.device) for x in signals]
        for piece in BLEED.pieces(*signals):
            peaks = [levels(x, sample_rate).amax(AXES, keepdim=True) for x in piece]
            floors = [
                torch.maximum(x, y - LEVEL_RANGE_DB) for x, y in zip(floors, peaks, strict=True)
            ]
        sums = torch.zeros(len(signals[0]), 2, dtype=torch.float64, device=signals[0].device)
        counts = torch.zeros_like(sums)
        for piece in BLEED.pieces(*signals):
            heard, wanted = (
                torch.maximum(levels(x, sample_rate), y) for x, y in zip(piece, floors, strict=True)
            )
            more = heard - wanted
            for column, part in enumerate((more.clamp(min=0), -more.clamp(max=0))):
                sums[:, column] += part.sum(AXES, dtype=torch.float64)
                counts[:, column] += (part > 0).sum(AXES)
        return 100 / (1 + sums / counts.clamp(min=1))

    return by_items(score, estimate, target, BLEED)


def levels(magnitude: Tensor, sample_rate: int) -> Tensor:
    """Levels of mel bands in dB, at least -200."""
    bands = mel_magnitude(magnitude, sample_rate, MEL_BANDS)
    return 20 * bands.clamp(min=LEVEL_FLOOR).log10()


def l1_freq(estimate: Tensor, target: Tensor) -> Tensor:
    """L1 score of magnitudes, from 0 to 100; higher is better.

    `100 / (1 + 10 d)` with the mean absolute difference `d` of magnitudes. It depends on the level
    of the signals, and is also defined for silent ones.

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(estimate, target)

    def distance(estimate: Tensor, target: Tensor) -> Tensor:
        total, count = 0, 0
        for heard, wanted in L1.pieces(estimate, target):
            total = total + (heard - wanted).abs().sum(AXES, dtype=torch.float64)
            count += wanted[0].numel()
        return total / count

    return 100 / (1 + 10 * by_items(distance, estimate, target, L1))


def mr_stft(estimate: Tensor, target: Tensor, transforms: Sequence[Transform]) -> Tensor:
    """Multi-resolution STFT loss; lower is better (Yamamoto et al., 2020).

    Mean over transforms of `norm(E - T) / norm(T)` plus the mean of `|ln E - ln T|`, for magnitudes
    of at least 1e-4. Meaningless for a silent target.

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(estimate, target)
    return torch.stack([stft_loss(estimate, target, x) for x in transforms]).mean(0)


def stft_loss(estimate: Tensor, target: Tensor, transform: Transform) -> Tensor:
    """`mr_stft` of one transform."""

    def loss(estimate: Tensor, target: Tensor) -> Tensor:
        error, energy, distance, count = 0, 0, 0, 0
        for piece in transform.pieces(estimate, target):
            heard, wanted = (x.clamp(min=MR_STFT_FLOOR) for x in piece)
            error = error + (heard - wanted).square().sum(AXES, dtype=torch.float64)
            energy = energy + wanted.square().sum(AXES, dtype=torch.float64)
            logs = (heard.log() - wanted.log()).abs()
            distance = distance + logs.sum(AXES, dtype=torch.float64)
            count += wanted[0].numel()
        return (error / energy).sqrt() + distance / count

    return by_items(loss, estimate, target, transform)
