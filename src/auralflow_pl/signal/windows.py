"""Processing of long signals in overlapping windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from auralflow_pl.errors import InputError
from auralflow_pl.signal.stft import STFT
from auralflow_pl.signal.streams import SampleQueue


@dataclass(frozen=True)
class WindowLayout:
    """Lengths, in samples, of the overlapping windows into which a signal is cut.

    Consecutive windows share `2 * context + fade` samples. The results for `context` samples at
    each edge are discarded, since the network lacks input around them. Neighbours are
    cross-faded over the `fade` samples between. The two ends of the signal are kept.

    Args:
        length: samples per window.
        context: samples that are discarded at each inner edge.
        fade: samples over which neighbours are cross-faded.
        align: window starts are multiples of this, which keeps the grid of STFT frames and strided
            convolutions the same as in one pass over the whole signal.
        spare: what a window lacks to a multiple of `align`: a hop of the STFT, whose frames are one
            more than its hops, so they fill whole cells of the network.
    """

    length: int
    context: int
    fade: int
    align: int = 1
    spare: int = 0

    @property
    def hop(self) -> int:
        """Distance between the starts of consecutive windows in samples, at least `align`."""
        free = self.length - 2 * self.context - self.fade
        return max(self.align, free // self.align * self.align)

    def shortened(self) -> WindowLayout | None:
        """Half as much hop and fade with the same context; None if there is no such window."""
        if self.hop < 2 * self.align:
            return None
        hop, fade = self.hop // 2 // self.align * self.align, self.fade // 2
        length = -(-(2 * self.context + fade + hop + self.spare) // self.align) * self.align
        return replace(self, length=length - self.spare, fade=fade)

    def taper(self, window: WindowSpan) -> Tensor:
        """Weights `(time,)` of a window: 0 in the context, ramps in the fades, 1 between."""
        samples = window.samples
        ramp = torch.arange(1, self.fade + 1, dtype=samples.dtype, device=samples.device)
        edge = torch.cat([ramp.new_zeros(self.context), ramp / (self.fade + 1)])
        weights = samples.new_ones(samples.shape[-1])
        if not window.first:
            weights[: len(edge)] *= edge[: len(weights)]
        if not window.last:
            weights[len(weights) - len(edge) :] *= edge.flip(0)
        return weights


class WindowSpan(NamedTuple):
    """The samples of a window, and whether it is the first or last of its signal."""

    samples: Tensor  # (channels, time)
    first: bool
    last: bool


def cut_windows(blocks: Iterable[Tensor], windows: WindowLayout) -> Iterator[WindowSpan]:
    """Yield the windows of a stream, each as soon as it is complete; the last may be shorter."""
    queue, first = SampleQueue(), True
    for block in blocks:
        queue.push(block)
        while len(queue) > windows.length:
            yield WindowSpan(queue.read(windows.length), first, False)
            queue.drop(windows.hop)
            first = False
    if len(queue):
        yield WindowSpan(queue.read(len(queue)), first, True)


def overlap_add(
    process: Callable[[Tensor], Tensor],
    blocks: Iterable[Tensor],
    windows: WindowLayout,
    batch_size: int = 1,
) -> Iterator[Tensor]:
    """Apply `process` to the windows of a stream and cross-fade the results.

    At most one batch of windows is held at a time.

    Args:
        process: maps `(batch, channels, time)` to `(batch, ..., time)`, keeping `time`; what it
            returns is changed in place.
        blocks: stream of blocks `(channels, time)`.
        windows: layout of the windows.
        batch_size: windows per call of `process`.

    Yields:
        blocks `(..., time)`, together as long as the stream. If an output of `process` depends on
        at most `context` samples on either side, they equal `process` of the whole signal up to
        rounding.
    """
    rest = rest_weight = None  # overlap with the next window
    for window, part in process_windows(process, cut_windows(blocks, windows), batch_size):
        total = part.clone() if part.requires_grad else part
        weight = windows.taper(window)
        shared = 0 if rest is None else rest.shape[-1]  # with the window before
        done = len(weight) if window.last else windows.hop
        for span in (slice(shared), slice(max(shared, done), None)):  # between them weights are 1
            total[..., span] *= weight[span]
        if rest is not None:
            total[..., :shared] += rest
            weight = torch.cat([weight[:shared] + rest_weight, weight[shared:]])
            total[..., : min(shared, done)] /= weight[: min(shared, done)]
        yield total[..., :done]
        rest, rest_weight = total[..., done:], weight[done:]


def process_windows(
    process: Callable[[Tensor], Tensor], windows: Iterable[WindowSpan], batch_size: int
) -> Iterator[tuple[WindowSpan, Tensor]]:
    """Process windows of equal length in batches, and a shorter last one separately."""
    batch: list[WindowSpan] = []
    for window in windows:
        if batch and batch[0].samples.shape != window.samples.shape:
            yield from process_batch(process, batch)
            batch = []
        batch.append(window)
        if len(batch) == batch_size:
            yield from process_batch(process, batch)
            batch = []
    if batch:
        yield from process_batch(process, batch)


def process_batch(
    process: Callable[[Tensor], Tensor], batch: Sequence[WindowSpan]
) -> Iterator[tuple[WindowSpan, Tensor]]:
    """Process windows of equal length together."""
    samples = [window.samples for window in batch]
    parts = process(torch.stack(samples) if len(samples) > 1 else samples[0][None])
    yield from zip(batch, parts, strict=True)


UNKNOWN_CONTEXT_SECONDS = 3.0  # for a network whose receptive field is the whole signal

SHORTEST_FRAMES, LONGEST_FRAMES = 600, 2600  # of a default window: 7 s and 30 s at a hop of 512

FEWEST_CELLS = 8  # of the coarsest grid in a default window, of which it shares up to two

FADE = 40  # windows are this many times as long as their cross-fade


def choose_windows(
    stft: STFT,
    frame_multiple: int,
    frame_reach: int | None,
    sample_rate: int,
    window_seconds: float | None,
    overlap: float | None,
) -> WindowLayout:
    """Choose the window layout for a network.

    The context covers the receptive field of the network (`frame_reach`), or 3 s if that is
    unknown. A window is ten times as long, so about a quarter of the work is done twice. The
    lengths have an upper limit because of memory, but about a third of a window is new at least,
    and a window has at least eight cells of the coarsest grid of the network.

    Args:
        stft: transform of the network's input.
        frame_multiple: see `models.base.MaskEstimator`.
        frame_reach: see `models.base.MaskEstimator`.
        sample_rate: in Hz.
        window_seconds: length of a window; None: as above.
        overlap: share of a window that neighbours have in common; two fifths of it are context on
            either side and one fifth is the cross-fade; None: as above.

    Raises:
        InputError: a window of `window_seconds` has no room for the context.
    """
    align = stft.hop_length * frame_multiple
    if frame_reach is None:
        seen = round(UNKNOWN_CONTEXT_SECONDS * sample_rate)
    else:
        seen = frame_reach * stft.hop_length + stft.n_fft
    if window_seconds is None:
        shortest, longest = (n * stft.hop_length for n in (SHORTEST_FRAMES, LONGEST_FRAMES))
        time = max(min(max(10 * seen, shortest), longest), 3 * seen, FEWEST_CELLS * align)
    else:
        time = window_seconds * sample_rate
    spare = stft.hop_length
    length = max(2, round(time / align)) * align
    if overlap is not None:
        shared = int(overlap * length)
        context = 2 * shared // 5
        return WindowLayout(length, context, shared - 2 * context, align)
    least = math.ceil((2 * seen + align + spare) / (1 - 1 / FADE) / align) * align
    if window_seconds is not None and length < least:
        raise InputError(
            f"separation.window_seconds={window_seconds}: too short for the "
            f"{seen / sample_rate:.1f} s on either side that the network needs; expected "
            f"{math.ceil(10 * least / sample_rate) / 10} or more, or separation.overlap=0.25 as "
            "well for less exact seams"
        )
    length = max(length, least)
    return WindowLayout(length - spare, seen, length // FADE, align, spare)
