"""Losses of a training; each maps a `Separation` to a scalar, lower is better.

May import `signal` and all that is below it; networks, data and Lightning are unknown here.
Start with `base`: what a loss can read (`Separation`), and `TargetLoss`, the base of most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.losses.base import Separation, TargetLoss
    from auralflow_pl.losses.multi_resolution import MultiResolutionSTFTLoss
    from auralflow_pl.losses.spectral import (
        ComponentLoss,
        KLDivLoss,
        L1Loss,
        L2Loss,
        MaskLoss,
        RMSELoss,
    )
    from auralflow_pl.losses.waveform import L1SNRLoss, LogWMSELoss, SISDRLoss, SNRLoss
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "ComponentLoss",
    "KLDivLoss",
    "L1Loss",
    "L1SNRLoss",
    "L2Loss",
    "LogWMSELoss",
    "MaskLoss",
    "MultiResolutionSTFTLoss",
    "RMSELoss",
    "SISDRLoss",
    "SNRLoss",
    "Separation",
    "TargetLoss",
]
