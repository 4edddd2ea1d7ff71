"""Streams of blocks: signals that come in pieces `(..., time)` of any length.

A stream is an iterable of tensors that differ in their last axis only. What is made of one depends
on the samples, never on where the pieces begin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from auralflow_pl.errors import InputError

Audio = Tensor | np.ndarray


class Queue:
    """Samples that wait: blocks come in at one end, spans are read and dropped at the other."""

    def __init__(self) -> None:
        self.blocks: deque[Tensor] = deque()
        self.length = 0

    def __len__(self) -> int:
        return self.length

    def push(self, block: Tensor) -> None:
        """Add a block `(..., time)` at the end."""
        if block.shape[-1]:
            self.blocks.append(block)
            self.length += block.shape[-1]

    def read(self, length: int) -> Tensor:
        """The first `length` samples, which stay; at most as many as there are, at least one."""
        parts, held = [], 0
        while held < length:
            parts.append(self.blocks.popleft())
            held += parts[-1].shape[-1]
        joined = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        self.blocks.appendleft(joined)
        return joined[..., :length]

    def drop(self, length: int) -> None:
        """Forget the first `length` samples, of at most as many as there are."""
        self.length -= length
        while length:
            block = self.blocks.popleft()
            if block.shape[-1] > length:
                self.blocks.appendleft(block[..., length:])
                return
            length -= block.shape[-1]

    def take(self, length: int) -> Tensor:
        """Read and drop the first `length` samples."""
        block = self.read(length)
        self.drop(length)
        return block


def delay(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """A stream with `length` zeros before it."""
    for block in blocks:
        yield pad(block, (length, 0))
        length = 0


def skip(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """A stream without its first `length` samples."""
    for block in blocks:
        if block.shape[-1] > length:
            yield block[..., length:]
        length = max(0, length - block.shape[-1])


def limit(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """The first `length` samples of a stream; no more blocks are asked for than needed."""
    for block in blocks:
        yield block[..., :length]
        length -= block.shape[-1]
        if length <= 0:
            return


def aligned(streams: Sequence[Iterable[Tensor]]) -> Iterator[tuple[Tensor, ...]]:
    """Equal spans of equally long streams; each sample comes as soon as all streams have it."""
    sources = [iter(stream) for stream in streams]
    queues = [Queue() for _ in sources]
    while True:
        for source, queue in zip(sources, queues, strict=True):
            while not len(queue):
                block = next(source, None)
                if block is None:
                    return
                queue.push(block)
        length = min(map(len, queues))
        yield tuple(queue.take(length) for queue in queues)


class Signal:
    """The blocks of a signal as checked float32 tensors; counts what has passed.

    Args:
        blocks: `(channels, time)` each, tensors or arrays.
        record: keep the gradients of the blocks.
    """

    def __init__(self, blocks: Iterable[Audio], record: bool) -> None:
        self.blocks, self.record = blocks, record
        self.channels = self.time = 0
        self.arrays = self.ended = False

    def __iter__(self) -> Iterator[Tensor]:
        for block in self.blocks:
            self.arrays = isinstance(block, np.ndarray)
            tensor = checked(block)
            if tensor.ndim != 2 or self.channels not in (0, tensor.shape[0]):
                raise InputError(
                    f"block of shape {tuple(tensor.shape)}: expected (channels, time), with as "
                    "many channels as the blocks before"
                )
            self.channels = tensor.shape[0]
            self.time += tensor.shape[1]
            yield tensor if self.record else tensor.detach()
        self.ended = True
        if self.time == 0:
            raise InputError("a signal without samples: expected at least one")


def checked(audio: Audio) -> Tensor:
    """Tensors and arrays `(..., channels, time)` as float32; arrays may have any layout.

    Raises:
        InputError: neither tensor nor array, no axis of channels, no channels, no floats, or not
            finite.
    """
    if not isinstance(audio, Audio):
        raise InputError(
            f"audio of type {type(audio).__name__}: expected a tensor or a NumPy array "
            "(..., channels, time)"
        )
    if audio.ndim < 2 or 0 in audio.shape[:-1]:
        raise InputError(f"audio of shape {tuple(audio.shape)}: expected (..., channels, time)")
    array = isinstance(audio, np.ndarray)
    if not (np.issubdtype(audio.dtype, np.floating) if array else audio.is_floating_point()):
        raise InputError(
            f"audio of {audio.dtype}: expected floats in [-1, 1]; divide 16-bit integers by 32768"
        )
    # What torch cannot share is copied: other byte orders, steps backwards, memory to be read only.
    tensor = torch.from_numpy(np.require(audio, np.float32, "CAW")) if array else audio.float()
    samples = tensor.detach()
    if not (samples.sum().isfinite() or samples.isfinite().all()):  # the sum takes no memory
        raise InputError("audio: has NaN or infinite samples; expected floats in [-1, 1]")
    return tensor
