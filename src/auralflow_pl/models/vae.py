"""Variational bottleneck: a Gaussian latent (Kingma and Welling, 2014) in front of an LSTM."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.models.blocks import SELU, full_precision
from auralflow_pl.models.lstm import FREQUENCY_AXIS, RecurrentBottleneck


class VariationalBottleneck(RecurrentBottleneck):
    """Variational latent in front of the bidirectional LSTM of `RecurrentBottleneck`.

    A Gaussian `N(mean, exp(log_var))` is computed from the deepest map. In training the latent is
    sampled from it; in evaluation the latent is its mean. The penalty `kl` is `kl_weight` times
    the Kullback-Leibler divergence from `N(0, 1)`, `0.5 (mean^2 + exp(log_var) - 1 - log_var)`,
    averaged over batch and latent. The weight rises linearly from 0 over the first
    `kl_warmup_steps` training steps.

    Args:
        size: channels of the deepest map.
        cells: frequency cells of the deepest map.
        recurrent_depth: number of LSTM layers.
        hidden_size: units per direction.
        input_axis: 0 for time, 1 for frequency.
        dropout: dropout probability between the layers.
        kl_weight: weight of the divergence after the warm-up.
        kl_warmup_steps: training steps of the warm-up; 0: full weight from the beginning.

    Raises:
        InputError: a negative weight or number of steps.
    """

    seen_steps: Tensor

    penalty_names = ("kl",)

    def __init__(
        self,
        size: int,
        cells: int,
        recurrent_depth: int = 3,
        hidden_size: int = 608,
        input_axis: int = FREQUENCY_AXIS,
        dropout: float = 0.0,
        kl_weight: float = 1e-3,
        kl_warmup_steps: int = 1000,
    ) -> None:
        super().__init__(size, cells, recurrent_depth, hidden_size, input_axis, dropout)
        if kl_weight < 0 or kl_warmup_steps < 0:
            raise InputError(
                f"kl_weight={kl_weight}, kl_warmup_steps={kl_warmup_steps}: expected at least 0"
            )
        self.kl_weight, self.kl_warmup_steps = kl_weight, kl_warmup_steps
        self.mean = nn.Conv2d(size, size, 3, padding=1)
        self.log_var: nn.Conv2d | None = nn.Conv2d(size, size, 3, padding=1)
        self.leave = nn.Conv2d(size, size, 3, padding=1)
        self.activation = SELU()
        if self.frame_reach is not None:
            self.frame_reach += 2  # the 3x3 convolutions `mean` and `leave`
        self.register_buffer("seen_steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Map `(batch, size, cells, frames)` to the same shape, with the penalty `kl`."""
        mean = full_precision(self.mean(x))
        if self.log_var is None:
            return self.read(mean), {}
        log_var = full_precision(self.log_var(x)).clamp(-10, 10)
        latent = self.sample_latent(mean, log_var)
        divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).mean()
        return self.read(latent), {"kl": self.current_weight() * divergence}

    def read(self, latent: Tensor) -> Tensor:
        """Map a latent to the output of the bottleneck, through a convolution and the LSTM."""
        return super().forward(self.activation(self.leave(latent)))[0]

    def simplify(self) -> None:
        """Remove the variance, which only training needs."""
        self.log_var = None

    def sample_latent(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """Sample from `N(mean, exp(log_var))` in training; return `mean` in evaluation."""
        if not self.training:
            return mean
        return mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)

    def current_weight(self) -> Tensor | float:
        """Weight of the divergence; counts the training steps, also across a resume."""
        if self.training:
            self.seen_steps += 1
        if self.kl_warmup_steps == 0:
            return self.kl_weight
        return self.kl_weight * (self.seen_steps / self.kl_warmup_steps).clamp(max=1)
