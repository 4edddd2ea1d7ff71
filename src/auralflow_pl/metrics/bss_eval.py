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
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8192  # points of a transform
TOGETHER = 8  # blocks at a time
REFINEMENTS = 3  # of filters whose equations are singular but for rounding
WINDOW_SECONDS = HOP_SECONDS = 1.0  # of museval


class BssEval(NamedTuple):
    """Ratios in dB, higher is better; float64 `(..., targets, windows)`, NaN where undefined."""

    sdr: Tensor
    isr: Tensor
    sir: Tensor
    sar: Tensor


class Filters(NamedTuple):
    """Spectra of the filters, for the transforms of projections."""

    own: Tensor  # (freq, targets, channels of the estimate, channels of its target)
    all: Tensor  # (freq, targets * channels, targets * channels)


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
    other than 0, and one that is not finite: of a perfect estimate, or the SIR of a single target.
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
    for sound in torch.stack([target, estimate], -4).reshape(-1, 2, *one):
        filters = None if framewise_filters else solve_filters(sound, taps)
        parts = []
        for start, stop in spans(one[-1], window, hop):
            part = sound[..., start:stop]
            found = solve_filters(part, taps) if filters is None else filters
            parts.append(ratios(part, found, taps, images, all_audible))
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


def solve_filters(sound: Tensor, taps: int) -> Filters:
    """Filters that fit targets to estimates by least squares, `(2, targets, channels, time)`."""
    targets, channels = sound.shape[1:3]
    planes = targets * channels
    lags = correlate(sound, taps)  # (planes, 2 * planes, taps)
    gram = toeplitz(lags[:, :planes])  # (planes, taps, planes, taps)
    cross = lags[:, planes:].transpose(1, 2)  # (planes, taps, planes of estimates)
    own = torch.stack(
        [
            solve(gram[p, :, p].reshape(channels * taps, -1), cross[p, :, p].reshape(-1, channels))
            for p in (slice(t * channels, (t + 1) * channels) for t in range(targets))
        ]
    )
    together = own[0] if targets == 1 else None
    if together is None:
        together = solve(gram.reshape(planes * taps, -1), cross.reshape(-1, planes))
    own = own.reshape(targets, channels, taps, channels)
    together = together.reshape(planes, taps, planes)
    return Filters(
        torch.fft.rfft(own, BLOCK, dim=2).permute(2, 0, 3, 1).contiguous(),
        torch.fft.rfft(together, BLOCK, dim=1).permute(1, 2, 0).contiguous(),
    )


def correlate(sound: Tensor, taps: int) -> Tensor:
    """`sum_t x(t) y(t + lag)` of every target `x` with every target and estimate `y`.

    Returns:
        float64 `(targets * channels, 2 * targets * channels, taps)`.
    """
    planes = sound.flatten(0, 2)
    count = len(planes) // 2
    size = BLOCK - taps + 1
    total = planes.new_zeros(BLOCK // 2 + 1, count, 2 * count, dtype=torch.complex128)
    for start in range(0, planes.shape[-1], size * TOGETHER):
        part = planes[:, start : start + size * TOGETHER + taps - 1].double()
        blocks = -(-min(part.shape[-1], size * TOGETHER) // size)
        part = F.pad(part, (0, blocks * size + taps - 1 - part.shape[-1]))
        late = torch.fft.rfft(part.unfold(-1, BLOCK, size))
        early = torch.fft.rfft(part[:count, : blocks * size].unflatten(-1, (blocks, size)), BLOCK)
        early, late = early.permute(2, 0, 1).contiguous(), late.permute(2, 1, 0).contiguous()
        total += early.conj() @ late
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
    solution is refined, so that the projections stay those of the given targets.
    """
    eps = torch.finfo(gram.dtype).eps
    diagonal = gram.diagonal().clone()
    raise_by = eps
    for _ in range(8):
        raised = gram.clone()
        raised.diagonal().copy_(torch.where(diagonal > 0, diagonal + raise_by, 1.0))
        factor, failed = torch.linalg.cholesky_ex(raised)
        if not failed:
            break
        raise_by = max(10 * raise_by, len(gram) * eps * float(diagonal.max()))
    solution = torch.cholesky_solve(cross, factor)
    for _ in range(0 if raise_by == eps else REFINEMENTS):
        solution = solution + torch.cholesky_solve(cross - gram @ solution, factor)
    return solution


def ratios(sound: Tensor, filters: Filters, taps: int, images: bool, all_audible: bool) -> Tensor:
    """The four ratios of a window `(2, targets, channels, time)`: `(4, targets)`."""
    count = sound.shape[1]
    energy = sound.new_zeros(8, count, dtype=torch.float64)
    for target, estimate, own, every in project(sound, filters, taps):
        parts = (
            *(target, estimate - target, own - target, estimate - own),
            *(own, every - own, every, estimate - every),
        )
        energy += torch.stack([part.square().sum((1, 2)) for part in parts])
    true, error, spatial, filtered_error, own, interference, every, artifacts = energy
    nothing = torch.full_like(true, torch.nan)
    over = torch.stack([true, true, own, every] if images else [own, nothing, own, every])
    under = torch.stack([error if images else filtered_error, spatial, interference, artifacts])
    values = 10 * torch.log10(over / under)
    heard = sound.any(-1).any(-1)  # (2, targets)
    if all_audible:
        heard = (sound.double().sum(2) != 0).any(-1).all()
    return torch.where(heard.all(0) & values.isfinite(), values, torch.nan)


def project(
    sound: Tensor, filters: Filters, taps: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Target, estimate and the two projections, in blocks `(targets, channels, time)`.

    The blocks follow each other and end `taps - 1` samples after the window, with the filters.
    """
    targets, channels, time = sound.shape[1:]
    size = BLOCK - taps + 1
    for start in range(0, time + taps - 1, size * TOGETHER):
        first = max(0, start - taps + 1)
        part = sound[..., first : start + size * TOGETHER].double()
        blocks = -(-(min(time + taps - 1, start + size * TOGETHER) - start) // size)
        length = blocks * size + taps - 1
        before = first - (start - taps + 1)
        part = F.pad(part, (before, length - before - part.shape[-1]))
        spectrum = torch.fft.rfft(part[0].unfold(-1, BLOCK, size))  # (targets, channels, blocks, f)
        spectrum = spectrum.permute(3, 0, 1, 2).contiguous()
        own = filters.own @ spectrum
        every = filters.all @ spectrum.flatten(1, 2)
        shape = (targets, channels, blocks, BLOCK // 2 + 1)
        both = torch.stack([own.flatten(1, 2), every]).permute(0, 2, 3, 1)
        both = torch.fft.irfft(both.contiguous(), BLOCK)[..., taps - 1 :]
        both = both.reshape(2, *shape[:2], -1)
        target, estimate = part[..., taps - 1 :]
        yield target, estimate, both[0], both[1]
