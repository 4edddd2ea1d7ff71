"""The contract of every network: a mask for each target from the magnitude of the mixture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn


class MaskEstimate(NamedTuple):
    """What every mask estimator returns, whatever its architecture."""

    mask: Tensor  # (batch, targets, channels, freq, frames), in [0, 1]
    penalties: Mapping[str, Tensor] = MappingProxyType({})  # scalars the network adds to the loss


class MaskEstimator(nn.Module, ABC):
    """Base of all networks.

    Subclasses accept any number of frames >= 1; batch items do not interact in evaluation mode.
    """

    frame_multiple: int = 1
    """Frames per cell of the coarsest grid: passes that start at multiples of it agree."""

    frame_reach: int | None = None
    """How many frames to either side of a frame its mask depends on; None: all, or not known."""

    def simplify(self) -> None:
        """Rewrite the network so that evaluation is faster, with the same masks but for rounding.

        It can be neither trained nor saved afterwards. By default nothing is changed.
        """

    @abstractmethod
    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Magnitude `(batch, channels, freq, frames)` to masks and penalties."""
