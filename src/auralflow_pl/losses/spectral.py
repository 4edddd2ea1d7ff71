"""Losses on magnitudes and masks.

In the formulas `M` is the mask, and `X`, `T` and `R` are the magnitudes of the mixture, of a target
and of the mixture without the target; their shape is `(batch, targets, channels, freq, frames)`.
With complex masks, `|M X - T|` is that of complex spectrograms, so phases count; the losses on
masks and components compare magnitudes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError
from auralflow_pl.losses.base import TargetLoss, below_bandwidth

if TYPE_CHECKING:
    from auralflow_pl.losses.base import Separation

ITEM_AXES = (-3, -2, -1)  # channels, freq, frames


def mean_distance(difference: Tensor, kind: str) -> Tensor:
    """Mean over channels, freq and frames of absolute values (`l1`) or of their squares (`l2`)."""
    if kind == "l1":
        values = difference.abs()
    elif difference.is_complex():
        values = torch.view_as_real(difference).square().sum(-1)
    else:
        values = difference.square()
    return values.mean(ITEM_AXES)


class SpectralLoss(TargetLoss):
    """Base of losses whose terms are the bins of spectrograms."""

    def terms(self, separation: Separation) -> int:
        """Number of bins of all masks in the batch."""
        return separation.mask.numel()


class L1Loss(SpectralLoss):
    """Mean absolute difference of magnitudes, `|M X - T|`."""

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Mean absolute difference, `(batch, targets)`."""
        return mean_distance(separation.deviation_from(order), "l1")


class L2Loss(SpectralLoss):
    """Mean squared difference of magnitudes, `(M X - T)^2`."""

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Mean squared difference, `(batch, targets)`."""
        return mean_distance(separation.deviation_from(order), "l2")


class RMSELoss(L2Loss):
    """Root mean squared difference of magnitudes, one root per target and item.

    A constant of 1e-10 under the root keeps the gradient finite for a perfect estimate.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Root mean squared difference, `(batch, targets)`."""
        return torch.sqrt(super().error(separation, order) + 1e-10)


class ConstructionLoss(SpectralLoss):
    """Base of losses on a difference whose distance can be chosen.

    Args:
        construction_loss: `l1` for absolute values, `l2` for squares.
        reduction: `mean` or `sum` over all bins of the batch.
        best_perm: see `TargetLoss`.

    Raises:
        InputError: unknown distance or reduction.
    """

    def __init__(
        self, construction_loss: str = "l2", reduction: str = "mean", best_perm: bool = False
    ) -> None:
        super().__init__(reduction, best_perm)
        self.kind = one_of("loss.construction_loss", construction_loss, ("l1", "l2"))


class MaskLoss(ConstructionLoss):
    """Difference of the mask from the ideal amplitude mask clipped to [0, 1]: `M - min(T / X, 1)`.

    The ideal mask is clipped because `T / X` is unbounded where the phases of sources cancel.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Mean distance of the masks, `(batch, targets)`."""
        mixture = separation.mixture_magnitude.unsqueeze(1)
        ideal = separation.target_magnitude[:, order] / mixture.clamp(min=1e-8)
        difference = separation.mask_magnitude - ideal.clamp(max=1)
        counted = below_bandwidth(separation, difference.shape[-2])
        return mean_distance(difference * counted, self.kind)


class ComponentLoss(SpectralLoss):
    """Component loss: separate terms for target, rest and artifacts (Xu et al., 2020).

    - target: `(M T - T)^2`, distortion of the target;
    - rest: `(M R)^2`, leakage of the rest of the mixture;
    - shape: `(M R - g R)^2` with `g = |M R| / |R|`, norms over an item: difference between the
      leakage and the rest at the same level, a measure of artifacts. With `shape_weight=0` this
      term is left out.

    There are two differences from the paper. First, the paper weighs the terms by
    `1 - alpha - beta`, `alpha` and `beta`. With `alpha=0.2, beta=0.8`, the defaults of an earlier
    toolkit, the target then has weight 0, and a mask of zeros is optimal. Here the weights are
    `1, rest_weight, shape_weight` divided by their sum. Second, the paper compares shapes of unit
    norm. Their distance stays large for little leakage, which works against separation where the
    rest is loud. Here the shapes have the level of the leakage, which gives all terms the same
    unit.

    Args:
        rest_weight: weight of the rest relative to the target.
        shape_weight: weight of the shape relative to the target; 0: leave out the term.
        reduction: `mean` or `sum` over all bins of the batch.
        best_perm: see `TargetLoss`.

    Raises:
        InputError: a negative weight.
    """

    def __init__(
        self,
        rest_weight: float = 0.2,
        shape_weight: float = 0.8,
        reduction: str = "mean",
        best_perm: bool = False,
    ) -> None:
        super().__init__(reduction, best_perm)
        if rest_weight < 0 or shape_weight < 0:
            raise InputError(
                f"rest_weight={rest_weight}, shape_weight={shape_weight}: expected at least 0"
            )
        total = 1 + rest_weight + shape_weight
        self.weights = (1 / total, rest_weight / total, shape_weight / total)

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Weighted mean of the terms, `(batch, targets)`."""
        mask = separation.mask_magnitude
        target = separation.target_magnitude[:, order]
        rest = separation.rest_magnitude[:, order]
        passed = mask * rest
        softer = log_level(passed) / log_level(rest) * rest
        terms = (mask * target - target, passed, passed - softer)
        return sum(
            weight * mean_distance(term, "l2")
            for weight, term in zip(self.weights, terms, strict=True)
        )


def log_level(magnitude: Tensor) -> Tensor:
    """Root mean square of each item, more than 0: `(batch, targets, 1, 1, 1)`."""
    return torch.sqrt(magnitude.square().mean(ITEM_AXES, keepdim=True) + 1e-10)


class KLDivLoss(ConstructionLoss):
    """Distance of magnitudes, for a network with a variational latent.

    The network supplies the Kullback-Leibler divergence as a penalty with the weight
    `model.bottleneck.kl_weight`, which the task adds to this loss.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Mean distance of the magnitudes, `(batch, targets)`.

        Raises:
            InputError: the network has no latent.
        """
        if "kl" not in separation.penalties:
            raise InputError(
                "loss=kl_div: the network has no latent; use model=vae or another loss"
            )
        return mean_distance(separation.deviation_from(order), self.kind)
