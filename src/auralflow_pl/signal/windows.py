"""Process long signals in overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from auralflow_pl.signal.stft import STFT
from auralflow_pl.signal.streams import SampleQueue


@dataclass(frozen=True)
class WindowLayout:
    """How a signal is cut. All numbers are samples.

    Consecutive windows share `2 * context + fade` samples. Of those, `context` samples at each edge
    are computed and thrown away, because the network saw too little around them, and neighbours are
    cross-faded over the `fade` samples between. The two ends of the signal keep everything.

    Args:
        length: samples per window.
        context: samples thrown away at each inner edge.
        fade: samples over which neighbours are cross-faded.
        align: window starts are multiples of this, so that every window meets the same grid of
            STFT frames and strided convolutions as one pass over the whole signal would.
    """

    length: int
    context: int
    fade: int
    align: int = 1

    @property
    def hop(self) -> int:
        """Distance between the starts of consecutive windows, at least `align`."""
        free = self.length - 2 * self.context - self.fade
        return max(self.align, free // self.align * self.align)

    def taper(self, window: WindowSpan) -> Tensor:
        """Weights `(time,)` of a window: 0 in the context, ramps in the fades, 1 inside."""
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
    """A span of a signal, and where it stands."""

    samples: Tensor  # (channels, time)
    first: bool
    last: bool


def cut_windows(blocks: Iterable[Tensor], windows: WindowLayout) -> Iterator[WindowSpan]:
    """The windows of a stream, each as soon as it is complete; the last ends with the stream."""
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
    """Apply `process` to the windows of a stream and join what comes out.

    No more than a batch of windows is held at a time.

    Args:
        process: maps `(batch, channels, time)` to `(batch, ..., time)`, keeping `time`.
        blocks: a stream of `(channels, time)`.
        windows: how it is cut.
        batch_size: windows per call of `process`.

    Yields:
        `(..., time)`, together as long as the stream. With a `process` that needs no more than
        `context` samples around, they are the same as `process` of the whole but for rounding.
    """
    rest = rest_weight = None  # what a window leaves for the beginning of the next
    for window, part in process_windows(process, cut_windows(blocks, windows), batch_size):
        taper = windows.taper(window)
        total, weight = part * taper, taper.clone()
        if rest is not None:
            total[..., : rest.shape[-1]] += rest
            weight[: len(rest_weight)] += rest_weight
        done = len(weight) if window.last else windows.hop
        yield total[..., :done].div_(weight[:done])
        rest, rest_weight = total[..., done:], weight[done:]


def process_windows(
    process: Callable[[Tensor], Tensor], windows: Iterable[WindowSpan], batch_size: int
) -> Iterator[tuple[WindowSpan, Tensor]]:
    """Process windows of one length together, and a shorter last one by itself."""
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
    """Process windows of one length together."""
    samples = [window.samples for window in batch]
    parts = process(torch.stack(samples) if len(samples) > 1 else samples[0][None])
    yield from zip(batch, parts, strict=True)


WINDOW_SECONDS, RECURRENT_OVERLAP = 30.0, 0.25  # where a network does not say what it sees

SHORTEST_FRAMES, LONGEST_FRAMES = 600, 2600  # where it does: 7 s and 30 s at a hop of 512


def choose_windows(
    stft: STFT,
    frame_multiple: int,
    frame_reach: int | None,
    sample_rate: int,
    window_seconds: float | None,
    overlap: float | None,
) -> WindowLayout:
    """How signals are cut for a network.

    Where the network says what it sees (`frame_reach`), that is the context, and a window is ten
    times as long, so that a quarter of the work is done twice; but memory sets a limit to windows,
    and contexts are at most an eighth of them. Otherwise, windows of 30 s share a quarter.

    Args:
        stft: that the network is fed with.
        frame_multiple: see `models.base.MaskEstimator`.
        frame_reach: likewise.
        sample_rate: in Hz.
        window_seconds: length of a window; None: as above.
        overlap: share of a window that neighbours have in common, two fifths of it as context on
            either side and one fifth as a cross-fade; None: as above.
    """
    align = stft.hop_length * frame_multiple
    reach = None if frame_reach is None else frame_reach * stft.hop_length
    seen = None if reach is None else reach + stft.n_fft
    if window_seconds is not None:
        time = window_seconds * sample_rate
    elif seen is not None:
        time = min(
            max(10 * seen, SHORTEST_FRAMES * stft.hop_length), LONGEST_FRAMES * stft.hop_length
        )
    else:
        time = WINDOW_SECONDS * sample_rate
    length = max(2, round(time / align)) * align
    if overlap is None and seen is not None:
        return WindowLayout(length, min(seen, length // 8), length // 40, align)
    shared = int((RECURRENT_OVERLAP if overlap is None else overlap) * length)
    context = 2 * shared // 5
    return WindowLayout(length, context, shared - 2 * context, align)
