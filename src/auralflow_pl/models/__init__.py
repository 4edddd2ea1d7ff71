"""Networks: the magnitude of a mixture in, a mask for each target out.

May import `errors`, `checks` and `system`; they work in a notebook with torch alone.
Start with `base.MaskEstimator`, the contract of all networks, then `unet.UNet`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.models.all_frames import AttentionBottleneck, DualPathBottleneck
    from auralflow_pl.models.base import CausalMaskEstimator, MaskEstimate, MaskEstimator
    from auralflow_pl.models.causal import CausalNetwork
    from auralflow_pl.models.ensemble import MaskEnsemble
    from auralflow_pl.models.lstm import RecurrentBottleneck
    from auralflow_pl.models.open_unmix import OpenUnmix
    from auralflow_pl.models.spleeter import Spleeter
    from auralflow_pl.models.unet import Bottleneck, UNet
    from auralflow_pl.models.vae import VariationalBottleneck
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "AttentionBottleneck",
    "Bottleneck",
    "CausalMaskEstimator",
    "CausalNetwork",
    "DualPathBottleneck",
    "MaskEnsemble",
    "MaskEstimate",
    "MaskEstimator",
    "OpenUnmix",
    "RecurrentBottleneck",
    "Spleeter",
    "UNet",
    "VariationalBottleneck",
]
