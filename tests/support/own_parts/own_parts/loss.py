"""A loss on magnitudes."""

from __future__ import annotations

from torch import Tensor, nn

from auralflow_pl.losses import Separation


class PowerLoss(nn.Module):
    """Mean difference of magnitudes, raised to a power.

    Args:
        power: of the differences.
    """

    def __init__(self, power: float = 1.5) -> None:
        super().__init__()
        self.power = power

    def forward(self, separation: Separation) -> Tensor:
        """A scalar; lower is better."""
        difference = separation.estimate_magnitude - separation.target_magnitude
        return (difference.abs() + 1e-8).pow(self.power).mean()
