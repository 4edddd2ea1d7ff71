"""Scale-invariant signal-to-distortion ratio, and a test for silence."""

from __future__ import annotations

import torch
from torch import Tensor


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant SDR in dB, `(..., time)` to `(...)`; higher is better.

    `10 log10(|a t|^2 / |e - a t|^2)` with `a = <e, t> / <t, t>` (Le Roux et al., 2019, without
    removing the mean). The result is always finite: the noise has a floor of the machine epsilon
    times the energy of the estimate, so a perfect estimate gives about +69 dB in float32. A silent
    estimate gives -69 dB or less. A silent target gives such a value too, which is meaningless;
    test for it with `is_silent`.

    For multichannel audio, flatten channels and time into the last axis first; all channels then
    share one scale.

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(estimate, target)
    eps = torch.finfo(target.dtype).eps
    energy = target.square().sum(-1)
    scale = (estimate * target).sum(-1) / (energy + eps**2)
    projection = scale.square() * energy
    noise = torch.addcmul(estimate, scale.unsqueeze(-1), target, value=-1).square().sum(-1)
    floor = (
        eps * (projection + noise) + eps**2
    )  # projection and noise are orthogonal: their sum is the energy of the estimate
    return 10 * torch.log10((projection + eps**3) / (noise + floor))


def check_same_shape(estimate: Tensor, target: Tensor) -> None:
    """Raise ValueError unless both have the same shape; broadcasting would mix up the pairs."""
    if estimate.shape != target.shape:
        raise ValueError(
            f"estimate {tuple(estimate.shape)} and target {tuple(target.shape)}: expected the same "
            "shape (..., time); expand one of them"
        )


SILENCE_DB = -80.0  # level in dBFS below which ratios in dB are meaningless


def is_silent(target: Tensor, threshold_db: float = SILENCE_DB) -> Tensor:
    """Whether the RMS over `time` is below `threshold_db` dBFS, `(..., time)` to bool `(...)`.

    Ratios in dB are meaningless for a silent target.
    """
    return target.square().mean(-1) < 10 ** (threshold_db / 10)
