"""Metrics of `evaluate` and validation, as classes of torchmetrics."""

from __future__ import annotations

import torch
from torch import Tensor

from auralflow_pl.checks.values import positive
from auralflow_pl.metrics.base import (
    Measurement,
    MetricInfo,
    MetricInput,
    RatioMetric,
    TargetMetric,
    seconds_to_samples,
)
from auralflow_pl.metrics.distortion import bss_eval, check_taps
from auralflow_pl.metrics.ratios import leak_level, log_wmse, si_snr, snr, usdr
from auralflow_pl.metrics.scale_invariant import si_sdr

SOURCE_TEXT = " (BSS Eval; Vincent et al., 2006; Stöter et al., 2018)"


class SISDR(RatioMetric):
    """Scale-invariant SDR in dB; see `si_sdr`."""

    headings = (
        MetricInfo(
            "si_sdr",
            "SI-SDR",
            "dB",
            "scaled target against the rest of the estimate (Le Roux et al., 2019)",
        ),
    )

    def ratio(self, estimate: Tensor, target: Tensor) -> Tensor:
        """SI-SDR in dB, `(..., time)` to `(...)`."""
        return si_sdr(estimate, target)


class SISNR(RatioMetric):
    """Scale-invariant SNR in dB; see `si_snr`."""

    headings = (
        MetricInfo(
            "si_snr",
            "SI-SNR",
            "dB",
            "SI-SDR of signals without their mean (Luo and Mesgarani, 2018)",
        ),
    )

    def ratio(self, estimate: Tensor, target: Tensor) -> Tensor:
        """SI-SNR in dB, `(..., time)` to `(...)`."""
        return si_snr(estimate, target)


class SNR(RatioMetric):
    """Signal-to-noise ratio in dB; see `snr`."""

    headings = (
        MetricInfo(
            "snr",
            "SNR",
            "dB",
            "target against the error of the estimate",
        ),
    )

    def ratio(self, estimate: Tensor, target: Tensor) -> Tensor:
        """SNR in dB, `(..., time)` to `(...)`."""
        return snr(estimate, target)


class SDR(RatioMetric):
    """SDR of the Music Demixing Challenges in dB; see `usdr`."""

    headings = (
        MetricInfo(
            "sdr",
            "SDR (MDX)",
            "dB",
            "target against the error of the estimate, over the whole song, as in the "
            "Music Demixing Challenges (Mitsufuji et al., 2022), also called uSDR",
        ),
    )

    def ratio(self, estimate: Tensor, target: Tensor) -> Tensor:
        """SDR in dB, `(..., time)` to `(...)`."""
        return usdr(estimate, target)


class LogWMSE(TargetMetric):
    """Log-WMSE, averaged over channels; see `log_wmse`."""

    headings = (
        MetricInfo(
            "log_wmse",
            "log-WMSE",
            "",
            "error after a filter for the sensitivity of hearing, relative to the mixture, also "
            "where the target is silent (Nomono, 2023)",
        ),
    )

    def values(self, sounds: MetricInput) -> Tensor:
        """Log-WMSE, `(..., targets)`."""
        mixture = sounds.mixture.unsqueeze(-3)
        return log_wmse(sounds.estimate, sounds.target, mixture, sounds.sample_rate).mean(-1)


class Leak(TargetMetric):
    """Leakage into windows in which the target is silent, in dB; see `leak_level`."""

    higher_is_better = False
    headings = (
        MetricInfo(
            "leak",
            "leak",
            "dB",
            "estimate against the mixture, over the windows in which the target is silent (defined "
            "by this project)",
            higher_is_better=False,
            bounded=False,
        ),
    )

    def values(self, sounds: MetricInput) -> Tensor:
        """Leakage in dB, `(..., targets)`; NaN without such a window."""
        mixture = sounds.mixture.unsqueeze(-3).expand_as(sounds.target)
        parts = (sounds.estimate, sounds.target, mixture)
        channels = sounds.target.shape[-2]
        window = channels * seconds_to_samples(self.window_seconds, sounds.sample_rate)
        # Interleave the channels in time: a window then holds all of them.
        return leak_level(*(x.transpose(-1, -2).flatten(-2) for x in parts), window)


class BSSEval(TargetMetric):
    """BSS Eval ratios in dB, as medians over the windows in which they are defined; see `bss_eval`.

    Args:
        window_seconds: length of a window in seconds.
        hop_seconds: seconds from one window to the next.
        taps: length of the filters in samples, 1 to 2048.
        framewise_filters: new filters for each window (version 3) instead of one set (version 4).
        all_audible: leave out windows in which any target or estimate is silent, as museval does.

    Raises:
        InputError: an option out of range.
    """

    headings = (
        MetricInfo("bss_sdr", "BSS SDR", "dB", f"target against all distortion{SOURCE_TEXT}"),
        MetricInfo(
            "bss_isr",
            "BSS ISR",
            "dB",
            f"target against its spatial distortion{SOURCE_TEXT}",
            bounded=False,
        ),
        MetricInfo(
            "bss_sir", "BSS SIR", "dB", f"filtered target against interference{SOURCE_TEXT}"
        ),
        MetricInfo(
            "bss_sar",
            "BSS SAR",
            "dB",
            f"filtered targets against artifacts{SOURCE_TEXT}",
            bounded=False,
        ),
    )

    def __init__(
        self,
        window_seconds: float = 1.0,
        hop_seconds: float = 1.0,
        taps: int = 512,
        framewise_filters: bool = False,
        all_audible: bool = False,
    ) -> None:
        super().__init__(window_seconds)
        positive("hop_seconds", hop_seconds, "seconds")
        check_taps(taps)
        self.hop_seconds, self.taps = hop_seconds, taps
        self.framewise_filters, self.all_audible = framewise_filters, all_audible

    def frames(self, sounds: MetricInput) -> dict[str, Tensor]:
        """Ratios of all windows in dB, `(..., targets, windows)`, by column name."""
        scores = bss_eval(
            sounds.estimate,
            sounds.target,
            seconds_to_samples(self.window_seconds, sounds.sample_rate),
            seconds_to_samples(self.hop_seconds, sounds.sample_rate),
            self.taps,
            self.framewise_filters,
            all_audible=self.all_audible,
        )
        return {h.name: part for h, part in zip(self.headings, scores, strict=True)}

    def values(self, sounds: MetricInput) -> Tensor:
        """Median SDR over windows in dB, `(..., targets)`."""
        return nan_median(self.frames(sounds)["bss_sdr"])

    def measure(self, sounds: MetricInput) -> dict[str, Measurement]:
        """All four ratios of windows in dB and their medians, by column name."""
        return {
            name: Measurement(nan_median(part), part) for name, part in self.frames(sounds).items()
        }


def nan_median(frames: Tensor) -> Tensor:
    """Median over the last axis, ignoring NaN; for an even number the mean of the middle two."""
    return torch.nanquantile(frames, 0.5, dim=-1)
