"""`precision=auto` measures steps of the network."""

import time

import pytest
import torch
from torch import nn

from auralflow_pl.config.compose import compose
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.training.start.precision import choose_precision, measured_ratio, step_ratio


class SlowInOnePrecision(MaskEstimator):
    """A network that takes 20 ms longer in bf16, or else in fp32."""

    def __init__(self, half):
        super().__init__()
        self.slow = half
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, magnitude):
        """Estimate masks."""
        if torch.is_autocast_enabled("cpu") == self.slow:
            time.sleep(0.02)
        return MaskEstimate(magnitude[:, None] * self.gain)


@pytest.mark.parametrize("half", [True, False])
def test_the_slower_precision_is_found(half):
    ratio = step_ratio(SlowInOnePrecision(half), torch.ones(1, 1, 4, 4))
    assert ratio > 2 if half else ratio < 0.5


def test_the_network_of_a_configuration_is_measured():
    config = compose("train", ["precision=auto", "model.width=1", "model.levels=2"])
    assert 0.01 < measured_ratio(config) < 1000
    config.trainer.accelerator = "cpu"
    choose_precision(config)
    assert config.precision.precision in ("32-true", "bf16-mixed")
