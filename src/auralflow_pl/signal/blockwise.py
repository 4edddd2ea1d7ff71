"""STFT and inverse of a signal that arrives in blocks, equal to those of the whole signal."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from auralflow_pl.errors import InputError
from auralflow_pl.signal.stft import STFT
from auralflow_pl.signal.streams import SampleQueue


class BlockwiseSTFT:
    """Computes the frames of `STFT` as soon as their samples have arrived.

    Args:
        stft: the transform, with `pad_mode=zeros`.

    Raises:
        InputError: another `pad_mode`.
    """

    def __init__(self, stft: STFT) -> None:
        if stft.pad_mode != "zeros":
            raise InputError(
                f"stft.pad_mode={stft.pad_mode}: mirrors samples that have not arrived; only "
                "stft.pad_mode=zeros works block by block"
            )
        self.stft = stft
        self.queue = SampleQueue()
        self.time = 0

    def push(self, block: Tensor) -> Tensor | None:
        """Frames that are complete with this block.

        Args:
            block: `(..., time)`, of any length.

        Returns:
            `(..., freq, frames)`; None: no further frame is complete.
        """
        if not self.time and block.shape[-1]:
            self.queue.push(block.new_zeros(*block.shape[:-1], self.stft.n_fft // 2))
        self.time += block.shape[-1]
        self.queue.push(block)
        return self.complete()

    def complete(self) -> Tensor | None:
        """Frames whose samples are all there."""
        hop, n_fft = self.stft.hop_length, self.stft.n_fft
        frames = (len(self.queue) - n_fft) // hop + 1
        if frames < 1:
            return None
        spec = self.stft.frames_of(self.queue.read((frames - 1) * hop + n_fft))
        self.queue.drop(frames * hop)
        return spec

    def finish(self) -> Tensor | None:
        """The frames that are left when the signal has ended; None if there was no sample."""
        if not self.time:
            return None
        like = self.queue.read(1)
        missing = -self.time % self.stft.hop_length + self.stft.n_fft // 2
        self.queue.push(like.new_zeros(*like.shape[:-1], missing))
        return self.complete()


class BlockwiseInverse:
    """Computes the samples of `STFT.inverse` as soon as all frames over them have arrived.

    After frame `k`, the samples before `(k + 1) * hop_length - n_fft / 2` are final.

    Args:
        stft: the transform.
    """

    def __init__(self, stft: STFT) -> None:
        self.stft = stft
        self.window = stft.padded_window(stft.window.dtype)
        self.rest: Tensor | None = None  # sums over samples that further frames will reach
        self.weight = self.window.new_zeros(stft.n_fft - stft.hop_length)  # of these samples
        self.early = stft.n_fft // 2  # samples before the signal that are still to come

    def push(self, spec: Tensor) -> Tensor:
        """Add frames.

        Args:
            spec: `(..., freq, frames)`, at least one frame.

        Returns:
            `(..., time)`: the samples that are final now, maybe none.
        """
        *batch, freq, frames = spec.shape
        n_fft, done = self.stft.n_fft, frames * self.stft.hop_length
        with torch.autocast(spec.device.type, enabled=False):
            columns = torch.fft.irfft(spec.reshape(-1, freq, frames), n_fft, dim=1)
            total = self.added(columns * self.window[:, None])
            squares = self.window.square()[None, :, None].expand(1, n_fft, frames)
            weight = self.added(squares)[0]
            if self.rest is not None:
                total[:, : self.rest.shape[-1]] += self.rest
            weight[: len(self.weight)] += self.weight
        self.rest, self.weight = total[:, done:], weight[done:]
        skipped = min(done, self.early)
        self.early -= skipped
        final = total[:, skipped:done] / weight[skipped:done]
        return final.reshape(*batch, done - skipped)

    def added(self, columns: Tensor) -> Tensor:
        """Overlap-add windowed frames `(batch, n_fft, frames)` to `(batch, time)`."""
        n_fft, hop = self.stft.n_fft, self.stft.hop_length
        time = (columns.shape[-1] - 1) * hop + n_fft
        return F.fold(columns, (1, time), (1, n_fft), stride=(1, hop)).flatten(1)

    def finish(self, length: int) -> Tensor:
        """The last samples after the last frame, `(items, length)`; items are flattened."""
        assert self.rest is not None  # there is a frame
        span = slice(self.early, self.early + length)
        return self.rest[:, span] / self.weight[span]
