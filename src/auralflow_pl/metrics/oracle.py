"""What masking can reach at best: ceilings that an estimate is compared with."""

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


def ideal_binary_mask(target: Tensor, rest: Tensor) -> Tensor:
    """1 in the bins in which the target is louder than the rest, else 0 (Wang, 2005).

    Args:
        target: magnitude or complex spectrogram of the target, any shape.
        rest: of everything else in the mixture, the same shape.
    """
    target, rest = target.abs(), rest.abs()
    return (target > rest).to(target.dtype)


def mixture_phase(target: Tensor, mixture: Tensor) -> Tensor:
    """The magnitude of the target with the phase of the mixture.

    The best that an exact estimate of magnitudes reaches, with masks above 1 where needed. Bins in
    which the mixture is silent get the phase 0.

    Args:
        target: magnitude or complex spectrogram, any shape.
        mixture: complex spectrogram of the same shape.
    """
    return torch.polar(target.abs(), mixture.angle())
