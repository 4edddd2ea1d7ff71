"""Scores of estimates against references: pure functions on tensors, and classes that average them.

May import `errors`, `checks` and `system`; nothing of networks, losses or data.
Start with `base.TargetMetric`, then `scores`. Functions that have a file of their own are
imported from it: `metrics.si_sdr.si_sdr`, `metrics.bss_eval.bss_eval`.
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
    from auralflow_pl.metrics.oracle import ideal_binary_mask, ideal_ratio_mask, mixture_phase
    from auralflow_pl.metrics.ratios import leak_level, log_wmse, si_snr, snr, usdr
    from auralflow_pl.metrics.scores import SDR, SISDR, SISNR, SNR, BSSEval, Leak, LogWMSE
    from auralflow_pl.metrics.si_sdr import is_silent
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "SDR",
    "SISDR",
    "SISNR",
    "SNR",
    "BSSEval",
    "Leak",
    "LogWMSE",
    "Measurement",
    "MetricInfo",
    "MetricInput",
    "RatioMetric",
    "TargetMetric",
    "ideal_binary_mask",
    "ideal_ratio_mask",
    "is_silent",
    "leak_level",
    "log_wmse",
    "mixture_phase",
    "si_snr",
    "snr",
    "usdr",
]
