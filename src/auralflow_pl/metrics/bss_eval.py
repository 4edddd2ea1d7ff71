"""BSS Eval: how much of an estimate is target, spatial distortion, interference and artifacts.

Each estimate is projected on what short filters can make of its own target (`own`), and of all
targets together (`all`). With the target `s` and the estimate `e`, in dB, sums over channels and
the time of a window (Vincent et al., 2006 and 2007; version 4: Stoter, Liutkus and Ito, 2018):

    SDR = |s|^2 / |e - s|^2              source to distortion
    ISR = |s|^2 / |own - s|^2            source image to spatial distortion
    SIR = |own|^2 / |all - own|^2        source to interference
    SAR = |all|^2 / |e - all|^2          source to artifacts

Version 4 has one set of filters for the whole signal, version 3 one for each window. The numbers
are those of the `museval` package; silence is treated differently, see `bss_eval`.

The correlations of the targets over the lags of the filters are summed block by block in the
frequency domain, the filters follow from a Cholesky factorisation, and the projections of a window
are made block by block too. So the work grows with the length of the signal, and the memory hardly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 4096  # points of a transform
TOGETHER = 4  # blocks at a time, so that they stay in the cache
ROUNDING_DB = 180.0  # ratios beyond are those of rounding errors
ATTEMPTS = 10  # to factorise such equations
REFINEMENTS = 3  # of filters whose equations are singular but for rounding
WINDOW_SECONDS = HOP_SECONDS = 1.0  # of museval


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
    """SDR, ISR, SIR and SAR of estimates, `(..., targets, channels, time)` each.

    Undefined, and NaN, is a ratio in a window in which its target or its estimate has no sample
    other than 0, and one whose denominator is 0 but for rounding (beyond 180 dB): of a perfect
    estimate, the SIR of a single target, or the SAR of a mixture of the targets.
    A silent target is left out of what the others are compared with, and spoils none of them.
    (museval raises for a signal that is silent from end to end, calls all targets undefined in a
    window in which one is silent, and gives infinity where there is no error.)

    Args:
        estimate: of the targets, in their order.
        target: whatever the mixture is made of.
        window: samples; None: the whole signal. A rest that is shorter than a window is left out.
        hop: samples from one window to the next; None: `window`.
        taps: length of the filters in samples.
        framewise_filters: new filters for each window (version 3) instead of one set (version 4).
        images: compare with the target itself. False: with what filters make of it, so that
            filtering is no distortion, as `bss_eval_sources` has it; the ISR is NaN then.
        all_audible: as museval has it, only windows in which all targets and estimates are audible.

    Raises:
        ValueError: the shapes differ.
    """
    if estimate.shape != target.shape or target.ndim < 3:
        raise ValueError(
            f"estimate {tuple(estimate.shape)} and target {tuple(target.shape)}: expected the same "
            "shape (..., targets, channels, time)"
        )
    shape, one = target.shape[:-3], target.shape[-3:]
    scores = []
    for pair in zip(target.reshape(-1, *one), estimate.reshape(-1, *one), strict=True):
        filters = None if framewise_filters else solve_filters(*pair, taps)
        parts = []
        for start, stop in spans(one[-1], window, hop):
            part = [sound[..., start:stop] for sound in pair]
            found = solve_filters(*part, taps) if filters is None else filters
            parts.append(ratios(*part, found, taps, images, all_audible))
        scores.append(torch.stack(parts, -1))
    result = torch.stack(scores, 1).reshape(4, *shape, *scores[0].shape[1:])
    return BssEval(*result)


def spans(time: int, window: int | None, hop: int | None) -> Iterator[tuple[int, int]]:
    """`(start, stop)` of every window that fits in, or the whole signal if none does."""
    if window is None or window >= time:
        yield 0, time
        return
    for start in range(0, time - window + 1, hop or window):
        yield start, start + window


def solve_filters(target: Tensor, estimate: Tensor, taps: int) -> Tensor:
    """Filters that fit targets to estimates by least squares, `(targets, channels, time)`.

    Returns:
        spectra `(freq, planes of targets, 2 * planes of estimates)`: what an estimate has of its
        own target, for all estimates, then what it has of all.
    """
    targets, channels = target.shape[:2]
    planes = targets * channels
    lags = correlate(
        target.flatten(0, 1), estimate.flatten(0, 1), taps
    )  # (planes, 2 * planes, taps)
    gram = toeplitz(lags[:, :planes])  # (planes, taps, planes, taps)
    cross = lags[:, planes:].transpose(1, 2)  # (planes, taps, planes of estimates)
    filters = cross.new_zeros(planes, taps, 2 * planes)
    for start in range(0, planes, channels):
        p = slice(start, start + channels)
        own = solve(gram[p, :, p].flatten(2).flatten(0, 1), cross[p, :, p].flatten(0, 1))
        filters[p, :, p] = own.reshape(channels, taps, channels)
    if targets == 1:
        filters[..., planes:] = filters[..., :planes]
    else:
        every = solve(gram.flatten(2).flatten(0, 1), cross.flatten(0, 1))
        filters[..., planes:] = every.reshape(planes, taps, planes)
    return torch.fft.rfft(filters, BLOCK, dim=1).transpose(0, 1).contiguous()


def correlate(first: Tensor, second: Tensor, taps: int) -> Tensor:
    """`sum_t x(t) y(t + lag)` of every `x` of `first` with every `y` of `first` and `second`.

    Args:
        first: `(planes, time)`.
        second: the same shape.
        taps: number of lags, from 0 on.

    Returns:
        float64 `(planes, 2 * planes, taps)`.
    """
    planes, time = first.shape
    size = BLOCK - taps + 1
    total = first.new_zeros(BLOCK // 2 + 1, planes, 2 * planes, dtype=torch.complex128)
    for start in range(0, time, size * TOGETHER):
        blocks = min(TOGETHER, -(-(time - start) // size))
        part = first.new_zeros(2 * planes, blocks * size + taps - 1, dtype=torch.float64)
        for rows, sound in zip(part.split(planes), (first, second), strict=True):
            known = sound[:, start : start + part.shape[-1]]
            rows[:, : known.shape[-1]] = known
        cut = part.new_zeros(3 * planes, blocks, BLOCK)
        cut[:planes, :, :size] = part[:planes, : blocks * size].unflatten(-1, (blocks, size))
        cut[planes:] = part.unfold(-1, BLOCK, size)
        spectrum = torch.fft.rfft(cut).transpose(0, 2).contiguous()  # (freq, blocks, planes)
        total += spectrum[..., :planes].mH @ spectrum[..., planes:]
    return torch.fft.irfft(total.permute(1, 2, 0), BLOCK)[..., :taps]


def toeplitz(lags: Tensor) -> Tensor:
    """Correlations of delayed planes `(planes, taps, planes, taps)` from those over lags.

    Args:
        lags: `(planes, planes, taps)`, from 0 on.
    """
    taps = lags.shape[-1]
    both = torch.cat([lags.transpose(0, 1)[..., 1:].flip(-1), lags], -1)
    # Entry (i, a, j, b) is that of lag a - b, at a - b + taps - 1; backwards, windows are rows.
    rows = both.flip(-1).unfold(-1, taps, 1).flip(-2)  # (planes, planes, a, b)
    return rows.transpose(1, 2).contiguous()


def solve(gram: Tensor, cross: Tensor) -> Tensor:
    """Solve `gram @ x = cross`; what is 0 in `gram` from end to end is 0 in `x`.

    As in museval, the diagonal is raised by the machine epsilon. Where that is not enough, because
    targets or channels depend on each other, it is raised by as much as rounding can hide, and the
    solution is refined, so that the projections stay those of the given targets. The diagonal of
    `gram` is changed.
    """
    eps = torch.finfo(gram.dtype).eps
    diagonal = gram.diagonal().clone()
    raise_by, largest = eps, len(gram) * eps * float(diagonal.max())
    for _ in range(ATTEMPTS):
        gram.diagonal().copy_(torch.where(diagonal > 0, diagonal + raise_by, 1.0))
        factor, failed = torch.linalg.cholesky_ex(gram)
        if not failed:
            break
        raise_by = max(10 * raise_by, largest)
    solution = torch.cholesky_solve(cross, factor)
    if raise_by > eps:
        gram.diagonal().copy_(diagonal)
        for _ in range(REFINEMENTS):
            solution += torch.cholesky_solve(cross - gram @ solution, factor)
    return solution


def ratios(
    target: Tensor, estimate: Tensor, filters: Tensor, taps: int, images: bool, all_audible: bool
) -> Tensor:
    """The four ratios of a window, `(targets, channels, time)` each: `(4, targets)`."""
    energy = target.new_zeros(9, len(target), dtype=torch.float64)
    for one, other, own, every in project(target, estimate, filters, taps):
        wanted = one if images else own
        parts = (one, other, own, every, other - wanted, own - one, every - own, other - every)
        energy[:8] += torch.stack([torch.linalg.vecdot(part, part) for part in parts])
    one, other, own, every, error, spatial, interference, artifacts, nothing = energy
    over = torch.stack([one if images else own, one if images else nothing, own, every])
    values = 10 * torch.log10(over / torch.stack([error, spatial, interference, artifacts]))
    heard = (one > 0) & (other > 0)
    if all_audible:
        heard = torch.stack([s.double().sum(1).any(-1).all() for s in (target, estimate)]).all()
    return torch.where(heard & (values.abs() < ROUNDING_DB), values, torch.nan)


def project(
    target: Tensor, estimate: Tensor, filters: Tensor, taps: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Target, estimate and the two projections, in blocks `(targets, channels * time)`.

    The blocks follow each other and end `taps - 1` samples after the window, with the filters.
    """
    targets, channels, time = target.shape
    size, history = BLOCK - taps + 1, taps - 1
    for start in range(0, time + history, size * TOGETHER):
        blocks = min(TOGETHER, -(-(time + history - start) // size))
        part = target.new_zeros(2, targets, channels, blocks * size + history, dtype=torch.float64)
        for rows, sound in zip(part, (target, estimate), strict=True):
            known = sound[..., max(0, start - history) : start + blocks * size]
            rows[..., max(0, history - start) :][..., : known.shape[-1]] = known
        spectrum = torch.fft.rfft(part[0].flatten(0, 1).unfold(-1, BLOCK, size).contiguous())
        products = spectrum.transpose(0, 2).contiguous() @ filters  # (freq, blocks, planes)
        projections = torch.fft.irfft(products.transpose(0, 2).contiguous(), BLOCK)[..., history:]
        both = part[..., history:].reshape(2, targets, -1)
        yield *both, *projections.reshape(2, targets, -1)
