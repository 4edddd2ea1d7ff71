"""Losses on magnitudes and masks.

`M` is the mask, `X` the mixture, `T` a target and `R` the rest of the mixture: magnitudes of shape
`(batch, targets, channels, freq, frames)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError
from auralflow_pl.losses.base import TargetLoss

if TYPE_CHECKING:
    from auralflow_pl.losses.base import Separation

ITEM_AXES = (-3, -2, -1)  # the axes of one target: channels, freq, frames


def mean_distance(difference: Tensor, kind: str) -> Tensor:
    """Mean over the axes of an item: of absolute values (`l1`) or of squares (`l2`)."""
    values = difference.abs() if kind == "l1" else difference.square()
    return values.mean(ITEM_AXES)


class SpectralLoss(TargetLoss):
    """A loss whose terms are the values of spectrograms."""

    def terms(self, separation: Separation) -> int:
        """Every value of the masks is one."""
        return separation.mask.numel()


class L1Loss(SpectralLoss):
    """Mean absolute difference of magnitudes, `|M X - T|`."""

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`(batch, targets)`."""
        target = separation.target_magnitude[:, order]
        return mean_distance(separation.estimate_magnitude - target, "l1")


class L2Loss(SpectralLoss):
    """Mean squared difference of magnitudes, `(M X - T)^2`."""

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`(batch, targets)`."""
        target = separation.target_magnitude[:, order]
        return mean_distance(separation.estimate_magnitude - target, "l2")


class RMSELoss(L2Loss):
    """Root of the mean squared difference of magnitudes, one root for each target of each item.

    A tiny constant under the root keeps the gradient finite at a perfect estimate.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`(batch, targets)`."""
        return torch.sqrt(super().error(separation, order) + 1e-10)


class ConstructionLoss(SpectralLoss):
    """A loss that can measure its difference in two ways.

    Args:
        construction_loss: `l1` or `l2`.
        reduction: `mean` or `sum`.
        best_perm: see `TargetLoss`.
    """

    def __init__(
        self, construction_loss: str = "l2", reduction: str = "mean", best_perm: bool = False
    ) -> None:
        super().__init__(reduction, best_perm)
        self.kind = one_of("loss.construction_loss", construction_loss, ("l1", "l2"))


class MaskLoss(ConstructionLoss):
    """Difference between the mask and the ideal amplitude mask, cut to [0, 1]: `M - min(T / X, 1)`.

    Where phases cancel, `T / X` exceeds 1 without bound, and no mask could follow.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`(batch, targets)`."""
        mixture = separation.mixture_magnitude.unsqueeze(1)
        ideal = separation.target_magnitude[:, order] / mixture.clamp(min=1e-8)
        return mean_distance(separation.mask - ideal.clamp(max=1), self.kind)


class ComponentLoss(SpectralLoss):
    """What the mask does to the target and to the rest, as separate terms (Xu et al., 2020).

    - target: `(M T - T)^2`, what is lost of the target;
    - rest: `(M R)^2`, what is let through of everything else;
    - shape: `(M R - g R)^2` with `g = |M R| / |R|`, norms over an item: whether what is let through
      still sounds like the rest, only softer, instead of like artefacts. With `beta=0` there are
      two terms only.

    Two things differ from the paper. It weighs the terms `1 - alpha - beta`, `alpha` and `beta`;
    with `alpha=0.2, beta=0.8`, the defaults of an earlier toolkit, the first weight is 0, and a
    mask of zeros is then the best of all. Here the weights are `1, alpha, beta` divided by their
    sum, so every term counts whatever the values. And it compares shapes of unit norm, whose
    distance stays large however little is let through, and so works against separation where the
    rest is loud. Here the shapes have the level of what is let through, which is also the unit of
    the other terms.

    Args:
        alpha: weight of the rest, relative to the target.
        beta: weight of the shape, relative to the target; 0 for the two-term loss.
        reduction: `mean` or `sum`.
        best_perm: see `TargetLoss`.

    Raises:
        InputError: a negative weight.
    """

    def __init__(
        self,
        alpha: float = 0.2,
        beta: float = 0.8,
        reduction: str = "mean",
        best_perm: bool = False,
    ) -> None:
        super().__init__(reduction, best_perm)
        if alpha < 0 or beta < 0:
            raise InputError(f"loss.alpha={alpha}, loss.beta={beta}: expected at least 0")
        total = 1 + alpha + beta
        self.weights = (1 / total, alpha / total, beta / total)

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`(batch, targets)`."""
        mask = separation.mask
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
    """Root mean square of each item, never 0: `(batch, targets, 1, 1, 1)`."""
    return torch.sqrt(magnitude.square().mean(ITEM_AXES, keepdim=True) + 1e-10)


class KLDivLoss(ConstructionLoss):
    """Distance of magnitudes for a network with a latent, whose divergence is the other term.

    The Kullback-Leibler divergence itself is a penalty of the network, with the weight
    `model.bottleneck.kl_weight`, that the task adds; this loss sees to it that there is one.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`(batch, targets)`.

        Raises:
            InputError: the network has no latent.
        """
        if "kl" not in separation.penalties:
            raise InputError(
                "loss=kl_div: the network has no latent; use model=vae or another loss"
            )
        target = separation.target_magnitude[:, order]
        return mean_distance(separation.estimate_magnitude - target, self.kind)
