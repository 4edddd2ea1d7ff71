"""Oracle masks: upper bounds for separation by masking."""

from __future__ import annotations

import torch
from torch import Tensor


def ideal_ratio_mask(target: Tensor, rest: Tensor) -> Tensor:
    """Ideal ratio mask `|T| / (|T| + |R|)`, in [0, 1].

    The ratio mask of magnitudes (exponent 1) of open-unmix and of the oracles of SiSEC 2018. Bins
    in which both are silent get 0.

    Args:
        target: magnitude or complex spectrogram of the target, any shape.
        rest: spectrogram of the mixture without the target, the same shape.
    """
    target, rest = target.abs(), rest.abs()
    eps = torch.finfo(target.dtype).tiny
    return target / (target + rest + eps)


def ideal_binary_mask(target: Tensor, rest: Tensor) -> Tensor:
    """Ideal binary mask: 1 where the target is louder than the rest, else 0 (Wang, 2005).

    Args:
        target: magnitude or complex spectrogram of the target, any shape.
        rest: spectrogram of the mixture without the target, the same shape.
    """
    target, rest = target.abs(), rest.abs()
    return (target > rest).to(target.dtype)


def mixture_phase(target: Tensor, mixture: Tensor) -> Tensor:
    """Combine the magnitude of the target with the phase of the mixture.

    The upper bound for an exact estimate of the magnitude, which may need masks above 1. Bins in
    which the mixture is silent get the phase 0.

    Args:
        target: magnitude or complex spectrogram, any shape.
        mixture: complex spectrogram of the same shape.

    Returns:
        complex spectrogram of the same shape.
    """
    return torch.polar(target.abs(), mixture.angle())
