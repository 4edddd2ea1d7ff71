"""Streams of blocks: signals that come in pieces `(..., time)` of any length.

A stream is an iterable of tensors that differ in their last axis only. What is made of one depends
on the samples, never on where the pieces begin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


class SampleQueue:
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


def delay_blocks(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """A stream with `length` zeros before it."""
    for block in blocks:
        yield pad(block, (length, 0))
        length = 0


def skip_samples(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """A stream without its first `length` samples."""
    for block in blocks:
        if block.shape[-1] > length:
            yield block[..., length:]
        length = max(0, length - block.shape[-1])


def limit_samples(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """The first `length` samples of a stream; no more blocks are asked for than needed."""
    for block in blocks:
        yield block[..., :length]
        length -= block.shape[-1]
        if length <= 0:
            return


def align_blocks(streams: Sequence[Iterable[Tensor]]) -> Iterator[tuple[Tensor, ...]]:
    """Equal spans of equally long streams; each sample comes as soon as all streams have it."""
    sources = [iter(stream) for stream in streams]
    queues = [SampleQueue() for _ in sources]
    while True:
        for source, queue in zip(sources, queues, strict=True):
            while not len(queue):
                block = next(source, None)
                if block is None:
                    return
                queue.push(block)
        length = min(map(len, queues))
        yield tuple(queue.take(length) for queue in queues)
