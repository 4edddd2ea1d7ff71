"""The base of all augmentations of a training chunk.

An augmentation depends only on the chunk and on the chunk's random generator, so a chunk is a pure
function of (seed, epoch, index). A chunk is made in steps: read positions are drawn for its stems
and for what is added to them, the stems that are read are changed, and their sum is changed. An
augmentation can override any step.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from auralflow_pl.data.tracks import Track


class ReadPosition(NamedTuple):
    """Track and first sample from which a stem of a chunk is read."""

    track: Track
    start: int  # first sample


class Addition(NamedTuple):
    """Another sound of the kind of a stem that is added to it."""

    stem: int  # number of the stem
    place: ReadPosition
    gain: float  # factor of the amplitude


DrawPosition = Callable[[np.random.Generator, int], ReadPosition]


class Augmentation(ABC):  # noqa: B024 - either method will do
    """Base of all augmentations; by default all steps return their input."""

    reach: float = 1.0  # largest ratio of input length to output length
    lowest: float = 1.0  # smallest factor of the frequencies of a stem

    def places(
        self,
        places: list[ReadPosition],
        rng: np.random.Generator,  # noqa: ARG002
        draw: DrawPosition,  # noqa: ARG002
    ) -> list[ReadPosition]:
        """Choose other read positions for the stems.

        Args:
            places: one position for each stem.
            rng: random generator of this chunk; the only source of randomness.
            draw: function that draws another position in the training set for a stem number,
                where tracks have the same in the place of this stem.
        """
        return places

    def additions(
        self,
        count: int,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
        draw: DrawPosition,  # noqa: ARG002
    ) -> list[Addition]:
        """Choose further sounds that are added to stems.

        Args:
            count: number of stems.
            rng: random generator of this chunk; the only source of randomness.
            draw: as for `places`.
        """
        return []

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:  # noqa: ARG002
        """Change the stems; the result has the same shape, with at least `time / reach` samples.

        Args:
            stems: stems of one chunk, `(stems, channels, time)`; not changed.
            rng: random generator of this chunk; the only source of randomness.
        """
        return stems

    def change_mixture(self, mixture: Tensor, rng: np.random.Generator) -> Tensor:  # noqa: ARG002
        """Change the mixture alone; the stems, which are the targets, stay as they are.

        Args:
            mixture: sum of the stems, `(channels, time)`; not changed.
            rng: random generator of this chunk; the only source of randomness.
        """
        return mixture


def choose_value(stems: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """Draw for each stem whether it is changed, bool `(stems, 1, 1)`."""
    return torch.from_numpy(rng.random(len(stems)) < probability).reshape(-1, 1, 1)
