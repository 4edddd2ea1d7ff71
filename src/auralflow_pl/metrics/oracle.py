"""What masking can reach at best: the ceiling that an estimate is compared with."""

from __future__ import annotations

import torch
from torch import Tensor


def ideal_ratio_mask(target: Tensor, rest: Tensor) -> Tensor:
    """Share of the target in the magnitude of every bin, in [0, 1].

    `|T| / (|T| + |R|)`, the ratio mask of magnitudes as open-unmix and the oracles of SiSEC 2018
    define it with exponent 1. Bins in which both are silent get 0.

    Args:
        target: magnitude or complex spectrogram of the target, any shape.
        rest: of everything else in the mixture, the same shape.
    """
    target, rest = target.abs(), rest.abs()
    eps = torch.finfo(target.dtype).tiny
    return target / (target + rest + eps)
