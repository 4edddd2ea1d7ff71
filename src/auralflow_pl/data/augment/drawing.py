"""Augmentations that choose what is read: stems of other songs, and several sounds in a stem."""

from __future__ import annotations

import numpy as np

from auralflow_pl.checks.values import within
from auralflow_pl.data.augment.base import Addition, Augmentation, DrawPosition, ReadPosition
from auralflow_pl.errors import InputError


class Remix(Augmentation):
    """Combine stems from different tracks and positions (Uhlich et al., 2017).

    Args:
        probability: probability that a chunk is remixed.
    """

    def __init__(self, probability: float = 1.0) -> None:
        self.probability = within("augment.remix.probability", probability, 0, 1)

    def places(
        self, places: list[ReadPosition], rng: np.random.Generator, draw: DrawPosition
    ) -> list[ReadPosition]:
        """Draw a new position for each stem, or keep all positions."""
        if rng.random() >= self.probability:
            return places
        return [draw(rng, number) for number in range(len(places))]


class Mixup(Augmentation):
    """Add a second sound of the same kind to random stems, such as a second singer.

    Args:
        probability: probability for each stem.
        low_db: lowest gain of the added sound in dB; gains are uniform in dB.
        high_db: highest gain of the added sound in dB.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self, probability: float = 0.1, low_db: float = -12.0, high_db: float = 0.0
    ) -> None:
        self.probability = within("augment.mixup.probability", probability, 0, 1)
        if not -100 <= low_db <= high_db <= 40:
            raise InputError(
                f"augment.mixup.low_db={low_db}, high_db={high_db}: expected "
                "-100 <= low_db <= high_db <= 40"
            )
        self.low_db, self.high_db = low_db, high_db

    def additions(self, count: int, rng: np.random.Generator, draw: DrawPosition) -> list[Addition]:
        """Draw a sound for some of the stems."""
        gains = 10 ** (rng.uniform(self.low_db, self.high_db, count) / 20)
        chosen = np.flatnonzero(rng.random(count) < self.probability)
        return [Addition(int(n), draw(rng, int(n)), float(gains[n])) for n in chosen]
