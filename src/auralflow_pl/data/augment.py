"""Augmentations: what is done to the stems of a chunk before they are added to a mixture.

Every one is a function of the chunk and of a random generator that belongs to the chunk, so a chunk
stays a pure function of (seed, epoch, index).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from auralflow_pl.errors import InputError

DrawStem = Callable[[np.random.Generator, int], Tensor]
"""Reads stem number `k` of a random track at a random place: `(channels, time)`."""


class Augmentation(ABC):
    """Base of all augmentations."""

    @abstractmethod
    def __call__(self, stems: Tensor, rng: np.random.Generator, draw: DrawStem) -> Tensor:
        """Other stems of the same shape, `(stems, channels, time)`.

        Args:
            stems: of one chunk; not changed.
            rng: of this chunk; the only source of chance.
            draw: reads a stem from elsewhere in the training set.
        """


class Remix(Augmentation):
    """Put stems of different tracks together (Uhlich et al., 2017), each from a place of its own.

    Args:
        probability: of a chunk to be remixed.
    """

    def __init__(self, probability: float = 1.0) -> None:
        self.probability = check_probability("remix", probability)

    def __call__(self, stems: Tensor, rng: np.random.Generator, draw: DrawStem) -> Tensor:
        """All stems drawn anew, or all as they were."""
        if rng.random() >= self.probability:
            return stems
        return torch.stack([draw(rng, number) for number in range(len(stems))])


class Gain(Augmentation):
    """Scale every stem by a level of its own.

    Args:
        range_db: levels are drawn evenly from `-range_db` to `range_db`.
    """

    def __init__(self, range_db: float = 6.0) -> None:
        if not 0 <= range_db <= 60:
            raise InputError(f"augment.gain.range_db={range_db}: expected from 0 to 60 dB")
        self.range_db = range_db

    def __call__(self, stems: Tensor, rng: np.random.Generator, draw: DrawStem) -> Tensor:  # noqa: ARG002
        """Scaled stems."""
        levels = torch.from_numpy(rng.uniform(-self.range_db, self.range_db, len(stems)))
        return stems * (10 ** (levels / 20)).to(stems.dtype).reshape(-1, 1, 1)


class ChannelSwap(Augmentation):
    """Exchange left and right; every stem decides for itself. Mono stays as it is.

    Args:
        probability: of a stem to be turned round.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = check_probability("channel_swap", probability)

    def __call__(self, stems: Tensor, rng: np.random.Generator, draw: DrawStem) -> Tensor:  # noqa: ARG002
        """Stems, some of them with channels in reverse order."""
        swap = torch.from_numpy(rng.random(len(stems)) < self.probability)
        return torch.where(swap.reshape(-1, 1, 1), stems.flip(1), stems)


def check_probability(name: str, value: float) -> float:
    """`value`, if it is one.

    Raises:
        InputError: it is not from 0 to 1.
    """
    if not 0 <= value <= 1:
        raise InputError(f"augment.{name}.probability={value}: expected from 0 to 1")
    return value
