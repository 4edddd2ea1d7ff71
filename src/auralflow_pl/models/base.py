"""Interface of all networks: a mask for each target from the magnitude of the mixture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn


class MaskEstimate(NamedTuple):
    """Output of a mask estimator: masks, and penalties to be added to the loss."""

    mask: Tensor  # (batch, targets, channels, freq, frames), see `bounded` and `complex_masks`
    penalties: Mapping[str, Tensor] = MappingProxyType({})  # scalars to be added to the loss


class MaskEstimator(nn.Module, ABC):
    """Base of all networks that estimate masks from the spectrum of the mixture.

    Subclasses accept any number of frames from 1 on. Items of a batch do not interact in
    evaluation mode.
    """

    bounded: bool = True
    """Whether masks are at most 1; if not, an estimate may be louder than the mixture."""

    complex_masks: bool = False
    """Whether it hears and gives complex numbers, as real tensors: the real parts of all channels
    before the imaginary ones, `(batch, 2 * channels, freq, frames)`, and so with the targets of the
    masks, `(batch, 2 * targets, channels, freq, frames)`. If not, it hears magnitudes, and masks
    are not negative."""

    frame_multiple: int = 1
    """Frames per cell of the coarsest grid; windows should start at multiples of it."""

    frame_reach: int | None = None
    """Receptive field: frames on either side that a mask depends on; None: all, or unknown."""

    penalty_names: tuple[str, ...] = ()
    """Names of its penalties, by which they are logged; a layer may have the same attribute."""

    untrainable: str = ""
    """Why it cannot be trained, for messages; empty if it can."""

    def simplify(self) -> None:
        """Rewrite the network for faster evaluation, with the same masks up to rounding.

        The network can be neither trained nor saved afterwards. The default changes nothing.
        """

    @property
    def planes(self) -> int:
        """Real numbers for each bin of an input and for each value of a mask: 1, complex 2."""
        return 2 if self.complex_masks else 1

    @abstractmethod
    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Estimate masks and penalties from a magnitude `(batch, channels, freq, frames)`.

        With `complex_masks` the input is the spectrum, as said there.
        """


class CausalMaskEstimator(MaskEstimator):
    """Base of networks without look-ahead, which can be run frame by frame.

    The mask of a frame depends on this frame and on earlier ones only. `step` over the parts of a
    signal, with the state passed on, gives the masks of `forward` over the whole up to rounding.
    """

    @abstractmethod
    def step(
        self, magnitude: Tensor, state: Sequence[Tensor] | None
    ) -> tuple[MaskEstimate, tuple[Tensor, ...]]:
        """Estimate masks and penalties of frames that follow those before.

        Args:
            magnitude: one or more frames, `(batch, channels, freq, frames)`.
            state: what the call for the frames before returned; None: the frames are the beginning.

        Returns:
            as `forward`, and the state after the last of these frames.
        """

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Estimate masks and penalties from a magnitude `(batch, channels, freq, frames)`."""
        return self.step(magnitude, None)[0]
