"""What all losses share: an error for each target, and how errors become one number."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import permutations
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from auralflow_pl.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from auralflow_pl.separation import Separation


def choose(name: str, options: tuple[str, ...], key: str) -> str:
    """`name`, if it is one of `options`.

    Raises:
        InputError: it is not.
    """
    if name not in options:
        raise InputError(f"loss.{key}={name}: {did_you_mean(name, options)}")
    return name


def positive(value: float, key: str) -> float:
    """`value`, if it is more than 0.

    Raises:
        InputError: it is not.
    """
    if not 0 < value < math.inf:
        raise InputError(f"loss.{key}={value}: expected more than 0")
    return value


class TargetLoss(nn.Module, ABC):
    """A loss that is made of one error for each target of each item.

    Args:
        reduction: `mean` or `sum` over all terms of the batch; a sum weighs a batch by its size.
        best_perm: with several targets, let each item choose the assignment of estimates to targets
            that costs least. For networks whose outputs have no fixed order; exact, and therefore
            for up to four targets.
    """

    def __init__(self, reduction: str = "mean", best_perm: bool = False) -> None:
        super().__init__()
        self.reduction = choose(reduction, ("mean", "sum"), "reduction")
        self.best_perm = best_perm

    @abstractmethod
    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Mean error `(batch, targets)` of estimate `i` against target `order[i]`."""

    def terms(self, separation: Separation) -> int:
        """How many terms the mean over a batch is taken of; here one for each target and item."""
        batch, targets, *_ = separation.mask.shape
        return batch * targets

    def forward(self, separation: Separation) -> Tensor:
        """Loss of a batch, a scalar; lower is better."""
        targets = separation.mask.shape[1]
        if self.best_perm and targets > 4:
            raise InputError(f"loss.best_perm=true: {targets} targets, expected at most 4")
        if self.best_perm:
            loss = self.least_cost(separation, targets).mean()
        else:
            loss = self.error(separation, range(targets)).mean()
        return loss * self.terms(separation) if self.reduction == "sum" else loss

    def least_cost(self, separation: Separation, targets: int) -> Tensor:
        """Mean error of the cheapest assignment of each item, `(batch,)`."""
        numbers = torch.arange(targets)
        shifts = [(numbers + shift) % targets for shift in range(targets)]
        errors = torch.stack([self.error(separation, s.tolist()) for s in shifts])
        costs = [
            errors[(torch.tensor(order) - numbers) % targets, :, numbers].mean(0)
            for order in permutations(range(targets))
        ]
        return torch.stack(costs).min(0).values
