"""Several networks as one: their masks are averaged, with weights for each target and band."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.models.blocks import full_precision

COMBINATIONS = ("mean", "median", "min", "max")


class MaskEnsemble(MaskEstimator):
    """Networks of the same targets and input, whose masks are combined.

    The phase is that of the mixture, so a mean of masks is a mean of the waveforms, and median,
    least and greatest mask are those of the magnitudes.

    Args:
        members: functions that make the networks from the number of targets.
        targets: number of targets.
        combine: mean, median, min or max.
        weights: of the mean, `members` numbers, or `members x targets x bands`; at least 0; None:
            equal weights.
        band_edges: upper edges of all bands but the last, as rising shares of the frequencies.

    Raises:
        InputError: fewer than two members, complex masks, or weights that do not fit.
    """

    weights: Tensor

    def __init__(
        self,
        members: Sequence[Callable[..., MaskEstimator]],
        targets: int = 1,
        combine: str = "mean",
        weights: Sequence[Any] | None = None,
        band_edges: Sequence[float] = (),
    ) -> None:
        super().__init__()
        if len(members) < 2 or combine not in COMBINATIONS:
            raise InputError(
                f"model: {len(members)} members, combine={combine}: expected at least two members, "
                f"and one of {', '.join(COMBINATIONS)}"
            )
        edges = [0.0, *band_edges, 1.0]
        if sorted(set(edges)) != edges:
            raise InputError(
                f"model.band_edges={list(band_edges)}: expected rising numbers between 0 and 1"
            )
        if weights is not None and combine != "mean":
            raise InputError(f"model.combine={combine}: has no weights; use combine=mean")
        self.members = nn.ModuleList(make(targets=targets) for make in members)
        if any(one.complex_masks for one in self.networks()):
            raise InputError("model.members: complex masks; only magnitude masks can be combined")
        self.combine, self.band_edges = combine, tuple(band_edges)
        given = [1 / len(members)] * len(members) if weights is None else weights
        table = weight_table(given, (len(members), targets, len(edges) - 1))
        # They are in the configuration, so not in the state.
        self.register_buffer("weights", torch.from_numpy(table), persistent=False)
        total = float(table.sum(0).max())
        self.bounded = all(one.bounded for one in self.networks()) and (
            combine != "mean" or total <= 1 + 1e-6
        )
        self.frame_multiple = math.lcm(*(one.frame_multiple for one in self.networks()))
        reaches = [one.frame_reach for one in self.networks()]
        known = [reach for reach in reaches if reach is not None]
        self.frame_reach = max(known) if len(known) == len(reaches) else None

    def networks(self) -> list[MaskEstimator]:
        """The members with their type."""
        return [one for one in self.members if isinstance(one, MaskEstimator)]

    def simplify(self) -> None:
        """Simplify every member."""
        for one in self.networks():
            one.simplify()

    def masks(self, magnitude: Tensor) -> Tensor:
        """Masks of all members, `(members, batch, targets, channels, freq, frames)`."""
        return torch.stack([full_precision(one(magnitude).mask) for one in self.members])

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Estimate masks from a magnitude `(batch, channels, freq, frames)`."""
        masks = self.masks(magnitude)
        match self.combine:
            case "median":
                return MaskEstimate(median(masks))
            case "min":
                return MaskEstimate(masks.amin(0))
            case "max":
                return MaskEstimate(masks.amax(0))
        bands = band_of_frequency(self.band_edges, magnitude.shape[-2], magnitude.device)
        weights = self.weights[:, :, bands]  # (members, targets, freq)
        mean = (masks * weights[:, None, :, None, :, None]).sum(0)
        return MaskEstimate(mean.clamp(max=1.0) if self.bounded else mean)


def median(masks: Tensor) -> Tensor:
    """Median over the first axis; of an even number, the mean of the two in the middle."""
    ordered, middle = masks.sort(0).values, (len(masks) - 1) // 2
    return ordered[middle : len(masks) // 2 + 1].mean(0)


def band_of_frequency(edges: Sequence[float], freq: int, device: torch.device) -> Tensor:
    """Number of the band of each frequency, `(freq,)`."""
    shares = torch.arange(freq, device=device) / max(1, freq - 1)
    return torch.bucketize(shares, torch.tensor(list(edges), device=device), right=True)


def weight_table(weights: Sequence[Any], shape: tuple[int, int, int]) -> np.ndarray:
    """Weights as float32 `(members, targets, bands)`.

    Raises:
        InputError: they have another shape, are no numbers, or negative.
    """
    expected = (
        f"expected {shape[0]} numbers of at least 0, one for each member, or "
        f"{' x '.join(map(str, shape))} (members, targets, bands)"
    )
    try:
        table = np.asarray(weights, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"model.weights: {error}; {expected}") from error
    if table.shape not in (shape, shape[:1]) or not np.isfinite(table).all() or table.min() < 0:
        raise InputError(f"model.weights: {expected}")
    return np.broadcast_to(table.reshape(*table.shape, *[1] * (3 - table.ndim)), shape).copy()
