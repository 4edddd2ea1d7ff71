"""Window by window processing of long signals, joined without seams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Windows:
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

    def spans(self, time: int) -> Iterator[tuple[int, int]]:
        """`(start, stop)` of every window; the last one ends where the signal ends."""
        start = 0
        while start + self.length < time:
            yield start, start + self.length
            start += self.hop
        yield start, time

    def taper(self, span: tuple[int, int], time: int, like: Tensor) -> Tensor:
        """Weights `(stop - start,)` of a window: 0 in the context, ramps in the fades, 1 inside."""
        start, stop = span
        ramp = torch.arange(1, self.fade + 1, dtype=like.dtype, device=like.device)
        ramp = ramp / (self.fade + 1)
        edge = torch.cat([ramp.new_zeros(self.context), ramp])
        weights = like.new_ones(stop - start)
        if start > 0:
            weights[: len(edge)] *= edge[: len(weights)]
        if stop < time:
            weights[len(weights) - len(edge) :] *= edge.flip(0)
        return weights


def overlap_add(
    process: Callable[[Tensor], Tensor], audio: Tensor, windows: Windows, batch_size: int = 1
) -> Tensor:
    """Apply `process` to windows of `audio` and join what comes out.

    Args:
        process: maps `(batch, channels, time)` to `(batch, ..., time)`, keeping `time`.
        audio: `(channels, time)`, `time` >= 1.
        windows: how the signal is cut.
        batch_size: windows per call of `process`.

    Returns:
        `(..., time)`: with a `process` that needs no more than `context` samples around, the same
        as `process(audio[None])[0]` but for rounding.
    """
    time = audio.shape[-1]
    if time <= windows.length:
        return process(audio[None])[0]
    spans = list(windows.spans(time))
    total, weight = None, audio.new_zeros(time)
    for first in range(0, len(spans), batch_size):
        for span, part in process_spans(process, audio, spans[first : first + batch_size]):
            taper = windows.taper(span, time, audio)
            if total is None:
                total = part.new_zeros(*part.shape[:-1], time)
            total[..., span[0] : span[1]] += part * taper
            weight[span[0] : span[1]] += taper
    return total / weight


def process_spans(
    process: Callable[[Tensor], Tensor], audio: Tensor, spans: list[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Process windows of one length together, and a shorter last one by itself."""
    full = spans[0][1] - spans[0][0]
    together = [span for span in spans if span[1] - span[0] == full]
    batch = torch.stack([audio[:, start:stop] for start, stop in together])
    yield from zip(together, process(batch), strict=True)
    for start, stop in spans[len(together) :]:
        yield (start, stop), process(audio[None, :, start:stop])[0]
