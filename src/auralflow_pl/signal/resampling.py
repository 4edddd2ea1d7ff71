"""Band-limited change of the sample rate, for whole signals and streams."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from auralflow_pl.signal.streams import SampleQueue

ZERO_CROSSINGS = 64  # zero crossings of the sinc on either side

ROLLOFF_SHARE = 0.95  # cutoff as a share of the lower Nyquist frequency

KAISER_BETA = 14.8  # shape parameter of the Kaiser window

CHUNK_FRAMES = 2**13  # approximate number of source samples that are resampled at a time

MAX_TABLE_BYTES = 2**24  # size of the cached coefficients; larger tables are computed on the fly


@dataclass(frozen=True)
class RateConversion:
    """A rate conversion as a matrix product that maps frames of `source` to `target` samples.

    Output `m` lies at `m * source / target` on the axis of the input. Its value is the sum of
    `x[k] * kernel(k - m * source / target)`, and the kernel is 0 beyond `reach` (Smith, Digital
    Audio Resampling, 2002). All frames have the same phases, so the kernel is sampled once.
    Frames are at least twice as long as `reach`, which keeps the matrix dense. Outputs are
    computed in groups of neighbours, which keeps it dense for rates without a common factor too.
    """

    source: int  # input samples per frame
    target: int  # output samples per frame
    reach: int  # half the length of the kernel, in samples of the source

    @classmethod
    def of(cls, source_rate: int, target_rate: int) -> RateConversion:
        """Conversion between two rates in Hz, with the shortest suitable frames."""
        common = math.gcd(source_rate, target_rate)
        source, target = source_rate // common, target_rate // common
        reach = math.ceil(ZERO_CROSSINGS * source / (min(source, target) * ROLLOFF_SHARE))
        repeat = -(-2 * reach // source)
        return cls(source * repeat, target * repeat, reach)

    @property
    def groups(self) -> list[range]:
        """Groups of outputs of a frame that are computed in one product."""
        size = max(1, 2 * self.reach * self.target // self.source)
        return [range(i, min(i + size, self.target)) for i in range(0, self.target, size)]

    def inputs(self, group: range) -> range:
        """Indices of the samples that a group depends on; 0 is `reach` samples before the frame."""
        first, last = (i * self.source // self.target for i in (group[0], group[-1]))
        return range(first, last + 2 * self.reach + 1)

    def kernel(self, group: range, like: Tensor) -> Tensor:
        """Coefficients `(inputs, outputs)` of a group, with the dtype and device of `like`."""
        places = torch.arange(group.start, group.stop, dtype=torch.float64)
        inputs = torch.tensor(self.inputs(group), dtype=torch.float64) - self.reach
        distance = inputs[:, None] - places * (self.source / self.target)
        cutoff = min(1.0, self.target / self.source) * ROLLOFF_SHARE
        position = (distance * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
        window = torch.special.i0(KAISER_BETA * (1 - (position / ZERO_CROSSINGS).square()).sqrt())
        window = window / torch.special.i0(torch.tensor(KAISER_BETA, dtype=torch.float64))
        return (cutoff * torch.sinc(position) * window).to(like)


@lru_cache(maxsize=4)  # both directions of two rates
def kernel_table(
    ratio: RateConversion, dtype: torch.dtype, device: torch.device
) -> list[Tensor] | None:
    """Kernels of all groups; None if they are larger than `MAX_TABLE_BYTES`."""
    if 4 * ratio.reach * ratio.target > MAX_TABLE_BYTES:
        return None
    like = torch.empty(0, dtype=dtype, device=device)
    with torch.inference_mode(False):
        return [ratio.kernel(group, like) for group in ratio.groups]


def convert_blocks(span: Tensor, ratio: RateConversion) -> Tensor:
    """Convert whole frames, with `reach` samples on either side, `(..., time)`, to the new rate."""
    kernels = kernel_table(ratio, span.dtype, span.device)
    frames = (span.shape[-1] - 2 * ratio.reach) // ratio.source
    parts = []
    for number, group in enumerate(ratio.groups):
        inputs = ratio.inputs(group)
        kernel = ratio.kernel(group, span) if kernels is None else kernels[number]
        stop = inputs.start + (frames - 1) * ratio.source + len(inputs)
        rows = span[..., inputs.start : stop].unfold(-1, len(inputs), ratio.source)
        parts.append(rows @ kernel)
    return torch.cat(parts, -1).flatten(-2)


def resample_blocks(
    blocks: Iterable[Tensor], source_rate: int, target_rate: int
) -> Iterator[Tensor]:
    """Resample a stream of blocks `(..., time)`; the same samples as from `resample`."""
    if source_rate == target_rate:
        yield from blocks
        return
    ratio = RateConversion.of(source_rate, target_rate)
    frames = max(1, CHUNK_FRAMES // ratio.source)
    span = frames * ratio.source + 2 * ratio.reach
    queue, taken, given = SampleQueue(), 0, 0
    for block in blocks:
        if not len(queue):
            queue.push(block.new_zeros(*block.shape[:-1], ratio.reach))
        queue.push(block)
        taken += block.shape[-1]
        while len(queue) >= span:
            yield convert_blocks(queue.read(span), ratio)
            queue.drop(frames * ratio.source)
            given += frames * ratio.target
    total = -(-taken * target_rate // source_rate)
    while given < total:
        rest = convert_blocks(match_length(queue.read(min(span, len(queue))), span), ratio)
        queue.drop(min(frames * ratio.source, len(queue)))
        yield rest[..., : total - given]
        given += frames * ratio.target


def resample(audio: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """Resample `(..., time)` by band-limited interpolation.

    Windowed-sinc interpolation with a Kaiser window and 64 zero crossings on either side (Smith,
    Digital Audio Resampling, 2002).

    Args:
        audio: `(..., time)`.
        source_rate: in Hz.
        target_rate: in Hz.

    Returns:
        `(..., ceil(time * target_rate / source_rate))`.
    """
    parts = list(resample_blocks([audio], source_rate, target_rate))
    return torch.cat(parts, -1) if parts else audio


def match_length(audio: Tensor, length: int) -> Tensor:
    """Cut or zero-pad `(..., time)` at the end to `length` samples."""
    return pad(audio, (0, length - audio.shape[-1]))


def limit_band(audio: Tensor, share: float) -> Tensor:
    """Remove all frequencies of `(..., time)` from a share of half the sample rate on."""
    spectrum = torch.fft.rfft(audio)
    spectrum[..., int(share * spectrum.shape[-1]) :] = 0
    return torch.fft.irfft(spectrum, audio.shape[-1])
