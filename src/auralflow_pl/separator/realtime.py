"""Separation of a signal while it arrives, with a network that has no look-ahead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from auralflow_pl.errors import InputError
from auralflow_pl.models.base import CausalMaskEstimator, MaskEstimator
from auralflow_pl.separator.input import AudioArray, as_float_tensor
from auralflow_pl.signal.blockwise import BlockwiseInverse, BlockwiseSTFT
from auralflow_pl.signal.stft import STFT, magnitude

PIECE_FRAMES = 256  # of the STFT that are computed at once; a longer block is cut

LONGEST_BLOCK_SECONDS = 60


class RealTimeSeparator:
    """Separates one signal block by block; made by `Separator.realtime`.

    All state is kept from block to block. So the estimates do not depend on how the signal is cut,
    and are those of one pass over the whole signal up to rounding.

    Args:
        network: network without look-ahead, in evaluation mode.
        stft: the STFT that the network was trained with.
        targets: number of targets.
        sample_rate: sample rate of the network, in Hz.
        channels: channels of the network.
        block: samples per block for which `latency` is stated; blocks of other lengths may be
            passed too.
        precision: dtype of the network in autocast; None: no autocast.

    Attributes:
        delay: samples by which the estimates are behind at most after a block has been passed.
        latency: samples from the first sample of a block to its estimate: the block itself, which
            must be complete, and `delay`.
        latency_seconds: the same in seconds, without the time for computing.

    Raises:
        InputError: the network has look-ahead or is in training mode, the STFT mirrors samples, or
            `block` is out of range.
    """

    def __init__(
        self,
        network: MaskEstimator,
        stft: STFT,
        targets: int,
        sample_rate: int,
        channels: int,
        block: int,
        precision: torch.dtype | None = None,
    ) -> None:
        if not isinstance(network, CausalMaskEstimator):
            raise InputError(
                f"realtime: {type(network).__name__} needs sound that has not arrived, or keeps no "
                "state; pass a model trained with model=causal, with engine=torch"
            )
        if network.training:
            raise InputError("realtime: the Separator is in training mode; call .eval() first")
        longest = LONGEST_BLOCK_SECONDS * sample_rate
        if type(block) is not int or not 1 <= block <= longest:
            raise InputError(f"block={block}: expected a number of samples from 1 to {longest}")
        self.network, self.stft, self.targets = network, stft, targets
        self.sample_rate, self.channels = sample_rate, channels
        self.block, self.precision = block, precision
        self.delay = delay_of(stft, block)
        self.latency = block + self.delay
        self.latency_seconds = self.latency / sample_rate
        self.reset()

    def reset(self) -> None:
        """Forget the signal; the next block begins another one."""
        self.analysis, self.synthesis = BlockwiseSTFT(self.stft), BlockwiseInverse(self.stft)
        self.state: Sequence[Tensor] | None = None
        self.given = 0  # samples that were returned
        self.signal_channels = 0

    @torch.no_grad()
    def push(self, block: AudioArray) -> AudioArray:
        """Separate the next block.

        Args:
            block: float tensor or array `(channels, time)`, in [-1, 1], at the sample rate of the
                network; any number of samples, also none. With another number of channels than
                that of the network, each channel is separated independently.

        Returns:
            float32 `(targets, channels, time)`: the estimates that are final now, which follow
            those of the call before. An array if `block` is one, else on its device.

        Raises:
            InputError: no channel axis, another number of channels than before, integers, or
                samples that are not finite. The state is as it was before.
        """
        tensor = as_float_tensor(block)
        if tensor.ndim != 2 or self.signal_channels not in (0, len(tensor)):
            raise InputError(
                f"block of shape {tuple(tensor.shape)}: expected (channels, time), with as many "
                "channels as the blocks before"
            )
        self.signal_channels = len(tensor)
        pieces = tensor.to(self.stft.window.device).split(PIECE_FRAMES * self.stft.hop_length, -1)
        return self.returned([self.estimate(self.analysis.push(piece)) for piece in pieces], block)

    @torch.no_grad()
    def flush(self) -> Tensor:
        """The estimates that are left when the signal has ended; then another one may begin.

        Returns:
            float32 `(targets, channels, time)`: all estimates together are as long as the signal.
            Without a signal, `channels` is that of the network and `time` is 0.
        """
        channels = self.signal_channels or self.channels
        if not self.analysis.time:
            return torch.zeros(self.targets, channels, 0)
        left = self.analysis.time - self.given
        parts = self.estimate(self.analysis.finish())[..., :left]
        rest = self.synthesis.finish(left - parts.shape[-1])
        parts = torch.cat([parts, rest.reshape(self.targets, channels, -1)], -1)
        self.reset()
        return parts

    def estimate(self, spec: Tensor | None) -> Tensor:
        """Waveforms that are final after frames `(channels, freq, frames)`; None: no frames."""
        if spec is None:
            return self.stft.window.new_zeros(self.targets, self.signal_channels, 0)
        together = len(spec) == self.channels
        heard = magnitude(spec)
        heard = heard[None] if together else heard[:, None].expand(-1, self.channels, -1, -1)
        device, precision = heard.device.type, self.precision
        with torch.autocast(device, precision) if precision else nullcontext():
            (mask, _), self.state = self.network.step(heard, self.state)
        masks = mask[0] if together else mask.mean(2).transpose(0, 1)
        return self.synthesis.push(masks.float() * spec)

    def returned(self, parts: Sequence[Tensor], block: AudioArray) -> AudioArray:
        """Join parts, count their samples, and make of them what the block was."""
        joined = torch.cat(list(parts), -1) if len(parts) > 1 else parts[0]
        self.given += joined.shape[-1]
        return joined.cpu().numpy() if isinstance(block, np.ndarray) else joined.to(block.device)


def delay_of(stft: STFT, block: int) -> int:
    """Samples by which the estimates are behind at most, after any number of whole blocks.

    After `n` samples, `(n - n_fft / 2) mod hop_length` of them do not complete a frame. Final are
    those that no further frame reaches, which is `n_fft - hop_length` fewer than the others.
    """
    step = math.gcd(block, stft.hop_length)
    return stft.n_fft - step + -(stft.n_fft // 2) % step
