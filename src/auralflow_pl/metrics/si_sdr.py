"""Scale-invariant signal-to-distortion ratio."""

from __future__ import annotations

import torch
from torch import Tensor


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant SDR in dB, `(..., time)` to `(...)`; higher is better.

    `10 log10(|a t|^2 / |e - a t|^2)` with `a = <e, t> / <t, t>` (Le Roux et al., 2019, without
    removing the mean). Finite everywhere: the noise has a floor, the machine epsilon relative to
    the energy of the estimate, so a perfect estimate gives about +69 dB in float32. A silent
    estimate gives -69 dB or less. So does a silent target, for which that is no measurement;
    `is_silent` finds those.

    For music with several channels, flatten them into `time` first, so that one scale serves all.
    """
    eps = torch.finfo(target.dtype).eps
    energy = target.square().sum(-1)
    scale = (estimate * target).sum(-1) / (energy + eps**2)
    projection = scale.square() * energy
    noise = torch.addcmul(estimate, scale.unsqueeze(-1), target, value=-1).square().sum(-1)
    floor = (
        eps * (projection + noise) + eps**2
    )  # the energy of the estimate, as they are orthogonal
    return 10 * torch.log10((projection + eps**3) / (noise + floor))


def is_silent(target: Tensor, threshold_db: float = -80.0) -> Tensor:
    """Whether the RMS over `time` is below `threshold_db` dBFS, `(..., time)` to bool `(...)`.

    Against such a target a ratio in dB measures nothing.
    """
    return target.square().mean(-1) < 10 ** (threshold_db / 10)
