"""Scores of estimates against references: pure functions on tensors, and classes that average them.

May import `errors`, `checks` and `system`; nothing of networks, losses or data.
Start with `scale_invariant.si_sdr`, a metric as a function; `base.TargetMetric` and `scores`
make metrics of a data set out of such functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.metrics.base import (
        Measurement,
        MetricInfo,
        MetricInput,
        RatioMetric,
        TargetMetric,
    )
    from auralflow_pl.metrics.distortion import BssEval, bss_eval
    from auralflow_pl.metrics.oracle import ideal_binary_mask, ideal_ratio_mask, mixture_phase
    from auralflow_pl.metrics.ratios import leak_level, log_wmse, si_snr, snr, usdr
    from auralflow_pl.metrics.scale_invariant import is_silent, si_sdr
    from auralflow_pl.metrics.scores import SDR, SISDR, SISNR, SNR, BSSEval, Leak, LogWMSE
    from auralflow_pl.metrics.spectral import bleedless_and_fullness, l1_freq, mr_stft
    from auralflow_pl.metrics.spectral_scores import (
        Bleedless,
        Fullness,
        L1Freq,
        MultiResolutionSTFT,
    )
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "SDR",
    "SISDR",
    "SISNR",
    "SNR",
    "BSSEval",
    "Bleedless",
    "BssEval",
    "Fullness",
    "L1Freq",
    "Leak",
    "LogWMSE",
    "Measurement",
    "MetricInfo",
    "MetricInput",
    "MultiResolutionSTFT",
    "RatioMetric",
    "TargetMetric",
    "bleedless_and_fullness",
    "bss_eval",
    "ideal_binary_mask",
    "ideal_ratio_mask",
    "is_silent",
    "l1_freq",
    "leak_level",
    "log_wmse",
    "mixture_phase",
    "mr_stft",
    "si_sdr",
    "si_snr",
    "snr",
    "usdr",
]
