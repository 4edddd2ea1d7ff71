"""BSS Eval: distortion, spatial distortion, interference and artifacts of estimates.

Each estimate is projected onto the delayed versions of its own target (`own`) and onto those of all
targets (`all`), by least-squares filters. With the target `s` and the estimate `e`, in dB, with
sums over the channels and the samples of a window (Vincent et al., 2006 and 2007; version 4:
Stöter, Liutkus and Ito, 2018):

    SDR = |s|^2 / |e - s|^2              source to distortion
    ISR = |s|^2 / |own - s|^2            source image to spatial distortion
    SIR = |own|^2 / |all - own|^2        source to interference
    SAR = |all|^2 / |e - all|^2          source to artifacts

Version 4 uses one set of filters for the whole signal, version 3 one for each window. The results
equal those of the `museval` package except for silence; see `bss_eval`.

The correlations of the targets over the lags of the filters are summed block by block in the
frequency domain, and the filters follow from a Cholesky factorisation. The projections are computed
block by block too, so memory hardly depends on the length of the signal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.metrics.toeplitz import solve_toeplitz, toeplitz_matrix

FFT_SIZE = 4096  # points of the transforms

BLOCKS_TOGETHER = 4  # number of blocks that are correlated at a time; they fit a CPU cache

ROUNDING_DB = 150.0  # larger ratios are those of rounding errors: 155 dB and more on music

ROUNDING_DB_FLOAT32 = 130.0  # the same for float32: 143 dB and more in sums of 8 targets

BSS_WINDOW_SECONDS = BSS_HOP_SECONDS = 1.0  # defaults of museval


class BssEval(NamedTuple):
    """Ratios in dB, higher is better; float64 `(..., targets, windows)`, NaN where undefined."""

    sdr: Tensor
    isr: Tensor
    sir: Tensor
    sar: Tensor


def bss_eval(
    estimate: Tensor,
    target: Tensor,
    window: int | None = None,
    hop: int | None = None,
    taps: int = 512,
    framewise_filters: bool = False,
    images: bool = True,
    all_audible: bool = False,
) -> BssEval:
    """Compute SDR, ISR, SIR and SAR of estimates, `(..., targets, channels, time)`.

    A ratio is undefined (NaN) in a window in which all samples of its target or its estimate are
    0. It is also undefined if its denominator is 0 up to rounding, that is beyond 150 dB, or 130
    dB if an input is float32. This holds for perfect estimates, for the SIR of a single target,
    and for the SAR of a mixture of the targets.

    A silent target does not affect the ratios of the others. In contrast, museval raises an error
    for an entirely silent signal, makes all targets undefined in a window in which one is silent,
    and returns infinity for perfect estimates.

    Args:
        estimate: estimates in the order of the targets.
        target: all sources of the mixture.
        window: samples per window; None: the whole signal. An incomplete window at the end is left
            out.
        hop: samples from one window to the next; None: `window`.
        taps: length of the filters in samples, 1 to 2048.
        framewise_filters: new filters for each window (version 3) instead of one set (version 4).
        images: compare with the target itself. False: compare with the filtered target as
            `bss_eval_sources` does, which allows filtering; the ISR is then NaN.
        all_audible: like museval, use only windows in which all targets and estimates are audible.

    Raises:
        ValueError: the shapes differ or hold no samples, or an option is out of range.
    """
    if estimate.shape != target.shape or target.ndim < 3:
        raise ValueError(
            f"estimate {tuple(estimate.shape)} and target {tuple(target.shape)}: expected the same "
            "shape (..., targets, channels, time)"
        )
    if not target.numel():
        raise ValueError(f"target {tuple(target.shape)}: holds no samples")
    check_taps(taps)
    for name, samples in (("window", window), ("hop", hop)):
        if samples is not None and samples < 1:
            raise ValueError(f"{name}={samples}: expected at least one sample")
    shape, one = target.shape[:-3], target.shape[-3:]
    scores = []
    for pair in zip(target.reshape(-1, *one), estimate.reshape(-1, *one), strict=True):
        filters = None if framewise_filters else solve_filters(*pair, taps)
        parts = []
        for start, stop in window_spans(one[-1], window, hop):
            part = [sound[..., start:stop] for sound in pair]
            found = solve_filters(*part, taps) if filters is None else filters
            parts.append(bss_ratios(*part, found, taps, images, all_audible))
        scores.append(torch.stack(parts, -1))
    result = torch.stack(scores, 1).reshape(4, *shape, *scores[0].shape[1:])
    return BssEval(*result)


def check_taps(taps: int) -> None:
    """Raise InputError unless `taps` is from 1 to `FFT_SIZE // 2`."""
    if taps not in range(1, FFT_SIZE // 2 + 1):
        raise InputError(f"taps={taps}: expected 1 to {FFT_SIZE // 2} samples")


def window_spans(time: int, window: int | None, hop: int | None) -> Iterator[tuple[int, int]]:
    """Yield `(start, stop)` of every complete window, or the whole signal if there is none."""
    if window is None or window >= time:
        yield 0, time
        return
    for start in range(0, time - window + 1, hop or window):
        yield start, start + window


class DistortionFilters(NamedTuple):
    """Filters that project targets, as spectra `(from, targets, channels, freq)`."""

    own: Tensor  # from the channels of the same target
    every: Tensor  # from the channels of all targets


def solve_filters(target: Tensor, estimate: Tensor, taps: int) -> DistortionFilters:
    """Least-squares filters from targets to estimates, `(targets, channels, time)` each."""
    targets, channels = target.shape[:2]
    planes = targets * channels
    lags = correlate(
        target.flatten(0, 1), estimate.flatten(0, 1), taps
    )  # (planes, 2 * planes, taps)
    gram = toeplitz_matrix(lags[:, :planes])  # (planes, taps, planes, taps)
    cross = lags[:, planes:].transpose(1, 2)  # (planes, taps, planes of estimates)
    spectra = []
    for start in range(0, planes, channels):
        p = slice(start, start + channels)
        own = solve_toeplitz(gram[p, :, p].flatten(2).flatten(0, 1), cross[p, :, p].flatten(0, 1))
        spectra.append(torch.fft.rfft(own.unflatten(0, (channels, taps)).transpose(1, 2), FFT_SIZE))
    owns = torch.stack(spectra, 1)
    if targets == 1:
        return DistortionFilters(owns, owns)
    every = solve_toeplitz(gram.flatten(2).flatten(0, 1), cross.flatten(0, 1))
    every = every.reshape(planes, taps, planes).transpose(1, 2)
    return DistortionFilters(
        owns, torch.fft.rfft(every, FFT_SIZE).unflatten(1, (targets, channels))
    )


def correlate(first: Tensor, second: Tensor, taps: int) -> Tensor:
    """Correlation `sum_t x(t) y(t + lag)` of each `x` in `first` with each `y` in both.

    Args:
        first: `(planes, time)`.
        second: the same shape.
        taps: number of lags, from 0 on.

    Returns:
        float64 `(planes, 2 * planes, taps)`; the second axis is `first`, then `second`.
    """
    planes, time = first.shape
    size = FFT_SIZE - taps + 1
    total = first.new_zeros(FFT_SIZE // 2 + 1, planes, 2 * planes, dtype=torch.complex128)
    blocks = first.new_zeros(3 * planes, BLOCKS_TOGETHER, FFT_SIZE, dtype=torch.float64)
    spectra = total.new_empty(FFT_SIZE // 2 + 1, BLOCKS_TOGETHER, 3 * planes)
    for start in range(0, time, size * BLOCKS_TOGETHER):
        stop = start + size * BLOCKS_TOGETHER
        blocks[:planes, :, :size] = pad_signal(first, start, stop).unfold(-1, size, size)
        for rows, sound in zip(blocks[planes:].split(planes), (first, second), strict=True):
            rows.copy_(pad_signal(sound, start, stop + taps - 1).unfold(-1, FFT_SIZE, size))
        spectra.copy_(torch.fft.rfft(blocks).transpose(0, 2))
        total.baddbmm_(spectra[..., :planes].mH, spectra[..., planes:])
    return torch.fft.irfft(total.permute(1, 2, 0), FFT_SIZE)[..., :taps]


def pad_signal(sound: Tensor, start: int, stop: int) -> Tensor:
    """Samples from `start` to `stop`, with zeros outside of the signal."""
    known = sound[..., max(0, start) : max(0, stop)]
    before = min(max(0, -start), stop - start)
    return nn.functional.pad(known, (before, stop - start - before - known.shape[-1]))


def bss_ratios(
    target: Tensor,
    estimate: Tensor,
    filters: DistortionFilters,
    taps: int,
    images: bool,
    all_audible: bool,
) -> Tensor:
    """The four ratios of a window in dB, `(4, targets)`.

    Args:
        target: `(targets, channels, time)`.
        estimate: the same shape.
        filters: projections of the targets.
        taps: length of the filters.
        images: see `bss_eval`.
        all_audible: see `bss_eval`.
    """
    energy = target.new_zeros(9, len(target), dtype=torch.float64)
    for one, other, own, every in project_on(target, estimate, filters, taps):
        wanted = one if images else own
        parts = (one, other, own, every, other - wanted, own - one, every - own, other - every)
        energy[:8] += torch.stack([torch.linalg.vecdot(part, part) for part in parts])
    one, other, own, every, error, spatial, interference, artifacts, nothing = energy
    over = torch.stack([one if images else own, one if images else nothing, own, every])
    values = 10 * torch.log10(over / torch.stack([error, spatial, interference, artifacts]))
    heard = (one > 0) & (other > 0)
    if all_audible:
        heard = torch.stack([s.double().sum(1).any(-1).all() for s in (target, estimate)]).all()
    coarse = torch.float32 in (target.dtype, estimate.dtype)
    limit = ROUNDING_DB_FLOAT32 if coarse else ROUNDING_DB
    known = heard & (values < limit) & (values > -ROUNDING_DB)
    return torch.where(known, values, torch.nan)


def project_on(
    target: Tensor, estimate: Tensor, filters: DistortionFilters, taps: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield target, estimate and both projections in blocks `(targets, channels * time)`.

    The blocks are consecutive. They end `taps - 1` samples after the window, where the response of
    the filters ends.
    """
    targets, channels, time = target.shape
    size, history = FFT_SIZE - taps + 1, taps - 1
    for start in range(0, time + history, size):
        one = pad_signal(target, start - history, start + size).double()
        other = pad_signal(estimate, start, start + size).double()
        spectrum = torch.fft.rfft(one)
        own = apply_filters(spectrum.transpose(0, 1).unsqueeze(2), filters.own)
        if targets == 1:
            every = own
        else:
            every = apply_filters(spectrum.reshape(targets * channels, 1, 1, -1), filters.every)
        projections = [torch.fft.irfft(x, FFT_SIZE)[..., history:] for x in (own, every)]
        one, other, own, every = (x.flatten(1) for x in (one[..., history:], other, *projections))
        yield one, other, own, every


def apply_filters(spectra: Tensor, filters: Tensor) -> Tensor:
    """Sum of filtered spectra over the first axis of `(from, ..., freq)`, accumulated in place."""
    total = spectra[0] * filters[0]
    for spectrum, answer in zip(spectra[1:], filters[1:], strict=True):
        total.addcmul_(spectrum, answer)
    return total
