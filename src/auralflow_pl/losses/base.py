"""Base of all losses: errors per target, their reduction, and permutations of targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any, cast

import torch
from torch import Tensor, nn

from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError
from auralflow_pl.signal.stft import STFT, magnitude


@dataclass
class Separation:
    """A batch of chunks and its separation; derived quantities are computed on demand."""

    mixture: Tensor  # (batch, channels, time)
    spectrogram: Tensor  # of the mixture, complex: (batch, channels, freq, frames)
    mask: Tensor  # (batch, targets, channels, freq, frames), real or complex
    penalties: Mapping[str, Tensor]  # scalars of the network that are added to the loss
    stft: STFT
    target: Tensor  # (batch, targets, channels, time)
    known: Tensor | None = None  # (batch, targets), targets that a chunk can teach; None: all
    bandwidth: Tensor | None = None  # (batch,), share of half the sample rate; above is no sound
    truncation: float = 0.0  # share of the items, those of highest error, that do not count

    @cached_property
    def mixture_magnitude(self) -> Tensor:
        """Magnitude of the mixture, `(batch, channels, freq, frames)`."""
        return magnitude(self.spectrogram)

    @cached_property
    def estimate_magnitude(self) -> Tensor:
        """Masked magnitude of the mixture, `(batch, targets, channels, freq, frames)`."""
        return self.mask_magnitude * self.mixture_magnitude.unsqueeze(1)

    @cached_property
    def mask_magnitude(self) -> Tensor:
        """The mask, or the magnitude of complex masks."""
        return magnitude(self.mask) if self.mask.is_complex() else self.mask

    @cached_property
    def target_spectrogram(self) -> Tensor:
        """Complex spectrogram of the targets, `(batch, targets, channels, freq, frames)`."""
        return self.stft(self.target)

    def deviation_from(self, order: Sequence[int]) -> Tensor:
        """Estimate `i` minus target `order[i]`, `(batch, targets, channels, freq, frames)`.

        Of magnitudes, or of complex spectrograms if the masks are complex.
        """
        if self.mask.is_complex():
            estimate = self.mask * self.spectrogram.unsqueeze(1)
            return estimate - self.target_spectrogram[:, order]
        return self.estimate_magnitude - self.target_magnitude[:, order]

    @cached_property
    def target_magnitude(self) -> Tensor:
        """Magnitude of the targets, `(batch, targets, channels, freq, frames)`."""
        return magnitude(self.target_spectrogram)

    @cached_property
    def rest_magnitude(self) -> Tensor:
        """Magnitude of mixture minus target, `(batch, targets, channels, freq, frames)`."""
        return magnitude(self.stft(self.mixture.unsqueeze(1) - self.target))

    @cached_property
    def estimate(self) -> Tensor:
        """Estimated waveforms `(batch, targets, channels, time)`, with the phase of the mixture."""
        length = self.mixture.shape[-1]
        return self.stft.inverse(self.spectrogram.unsqueeze(1), length, self.mask)


def below_bandwidth(separation: Separation, bins: int) -> Tensor | float:
    """1 for the bins of a spectrum below `bandwidth`, else 0, `(batch, 1, 1, freq, 1)`.

    Losses that compare ratios need it: those of masks, and of logarithms of magnitudes.
    """
    if separation.bandwidth is None:
        return 1.0
    frequencies = torch.linspace(0, 1, bins, device=separation.target.device)
    below = frequencies <= separation.bandwidth.reshape(-1, 1)
    return below.to(separation.target.dtype)[:, None, None, :, None]


class SignalPair:
    """Estimates and targets without a `Separation`, for losses that need nothing else.

    Args:
        estimate: `(batch, targets, channels, time)`; targets and channels may be missing.
        target: the same shape.

    Raises:
        InputError: other shapes, or (when read) something that only a `Separation` has.
    """

    known = None  # all targets
    bandwidth = None  # all frequencies
    truncation = 0.0

    def __init__(self, estimate: Tensor, target: Tensor | None) -> None:
        shapes = [None if signal is None else tuple(signal.shape) for signal in (estimate, target)]
        if target is None or shapes[0] != shapes[1] or not 2 <= estimate.ndim <= 4:
            raise InputError(
                f"estimate {shapes[0]}, target {shapes[1]}: expected one shape for both, "
                "(batch, targets, channels, time), (batch, channels, time) or (batch, time)"
            )
        axes = (1,) * (4 - estimate.ndim)
        self.estimate, self.target = (
            signal.reshape(signal.shape[:1] + axes + signal.shape[1:])
            for signal in (estimate, target)
        )

    def __getattr__(self, name: str) -> Any:
        raise InputError(
            f"this loss needs more than estimate and target: the {name} of a Separation; pass "
            "Separator.separate_chunk(mixture, target)"
        )


class TargetLoss(nn.Module, ABC):
    """Base of losses that reduce one error per target and item to a scalar.

    Args:
        reduction: `mean` or `sum` over all terms of the batch; a sum weighs a batch by its size.
            Items that do not count (`Separation.truncation`) are in neither.
        best_perm: with several targets, let each item choose the assignment of estimates to targets
            with the lowest error (permutation-invariant training). For networks whose outputs have
            no fixed order. All assignments are tried, so at most four targets are allowed.

    Raises:
        InputError: unknown reduction.
    """

    def __init__(self, reduction: str = "mean", best_perm: bool = False) -> None:
        super().__init__()
        self.reduction = one_of("loss.reduction", reduction, ("mean", "sum"))
        self.best_perm = best_perm

    @abstractmethod
    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Mean error `(batch, targets)` of estimate `i` compared with target `order[i]`."""

    def terms(self, separation: Separation) -> int:
        """Number of terms in the mean over a whole batch; by default one per target and item."""
        batch, targets, *_ = separation.target.shape
        return batch * targets

    def forward(self, separation: Separation | Tensor, target: Tensor | None = None) -> Tensor:
        """Loss of a batch, a scalar; lower is better.

        Args:
            separation: a `Separation`, or for losses on waveforms the estimates
                `(batch, targets, channels, time)`, `(batch, channels, time)` or `(batch, time)`.
            target: targets of the same shape as the estimates; a `Separation` has its own.

        Raises:
            InputError: `best_perm` with more than four targets, estimate and target of different
                shapes, or without a `Separation` for a loss that needs one.
        """
        if isinstance(separation, Tensor):
            separation = cast("Separation", SignalPair(separation, target))
        targets = separation.target.shape[1]
        if self.best_perm and targets > 4:
            raise InputError(f"loss.best_perm=true: {targets} targets, expected at most 4")
        if self.best_perm:
            error = self.least_cost(separation, targets)
        else:
            error = self.counted(separation, range(targets))
        known, items = separation.known, len(error)
        if dropped := int(separation.truncation * items):
            kept = least_errors(error.detach(), known, items - dropped)
            error, known = error[kept], None if known is None else known[kept]
        loss = error.mean()
        if self.reduction == "sum":
            return loss * (self.terms(separation) * len(error) / items)
        return loss if known is None else loss * (known.numel() / known.sum().clamp(min=1))

    def counted(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`error`, with 0 for targets that are not `known`, `(batch, targets)`."""
        error = self.error(separation, order)
        if separation.known is None:
            return error
        return torch.where(separation.known[:, list(order)], error, torch.zeros_like(error))

    def least_cost(self, separation: Separation, targets: int) -> Tensor:
        """Mean error of the best assignment of each item, `(batch,)`."""
        numbers = torch.arange(targets)
        shifts = [(numbers + shift) % targets for shift in range(targets)]
        errors = torch.stack([self.counted(separation, s.tolist()) for s in shifts])
        costs = [
            errors[(torch.tensor(order) - numbers) % targets, :, numbers].mean(0)
            for order in permutations(range(targets))
        ]
        return torch.stack(costs).min(0).values


def least_errors(error: Tensor, known: Tensor | None, count: int) -> Tensor:
    """Numbers of the `count` items of a batch with the lowest mean error over known targets.

    Args:
        error: `(batch, ...)`, 0 for targets that are not known.
        known: targets that an item can teach, `(batch, targets)`; None: all.
        count: number of items.
    """
    means = error.flatten(1).mean(1) if error.ndim > 1 else error
    if known is not None:
        means = means / known.float().mean(1).clamp(min=1e-6)
    return means.topk(count, largest=False).indices
