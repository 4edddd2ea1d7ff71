"""An average of the weights over the steps, which is what gets validated and used later."""

from __future__ import annotations

import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from auralflow_pl.errors import InputError


class WeightAverage(WeightAveraging):
    """Exponential moving average of all weights and of the statistics of normalisations.

    Validation runs with it and checkpoints hold it as the weights, so that it is what is evaluated
    and separated with; they hold the raw weights as well, from which a resumed run goes on. In the
    beginning the average is short: after n steps the decay is at most (1 + n) / (10 + n).

    Args:
        decay: of the average, for each step; at least 0 and less than 1.

    Raises:
        InputError: `decay` out of range.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise InputError(
                f"callbacks.weight_average.decay={decay}: expected at least 0, less than 1"
            )
        self.decay = decay
        super().__init__(multi_avg_fn=self.average)

    def average(self, averages: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        """Move averages of one type towards the values; counters are copied."""
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, values)
            return
        steps = int(count)
        decay = min(self.decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(averages, values, 1 - decay)
