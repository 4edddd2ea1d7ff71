"""Streams of blocks: signals as iterables of tensors `(..., time)`.

The blocks of a stream differ only in the length of their last axis. Results do not depend on how a
signal is cut into blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


class SampleQueue:
    """A FIFO buffer of samples along the last axis."""

    def __init__(self) -> None:
        self.blocks: deque[Tensor] = deque()
        self.length = 0

    def __len__(self) -> int:
        return self.length

    def push(self, block: Tensor) -> None:
        """Append a block `(..., time)`."""
        if block.shape[-1]:
            self.blocks.append(block)
            self.length += block.shape[-1]

    def read(self, length: int) -> Tensor:
        """Return the first `length` samples and keep them; `length` is from 1 to `len(queue)`."""
        parts, held = [], 0
        while held < length:
            parts.append(self.blocks.popleft())
            held += parts[-1].shape[-1]
        joined = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        self.blocks.appendleft(joined)
        return joined[..., :length]

    def drop(self, length: int) -> None:
        """Remove the first `length` samples, at most as many as there are."""
        self.length -= length
        while length:
            block = self.blocks.popleft()
            if block.shape[-1] > length:
                self.blocks.appendleft(block[..., length:])
                return
            length -= block.shape[-1]

    def take(self, length: int) -> Tensor:
        """Return the first `length` samples and remove them."""
        block = self.read(length)
        self.drop(length)
        return block


def delay_blocks(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """Prepend `length` zeros to a stream."""
    for block in blocks:
        yield pad(block, (length, 0))
        length = 0


def extend_blocks(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """Append `length` zeros to a stream that is not empty."""
    block = None
    for block in blocks:
        yield block
    if length and block is not None:
        yield block.new_zeros(*block.shape[:-1], length)


def skip_samples(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """Leave out the first `length` samples of a stream."""
    for block in blocks:
        if block.shape[-1] > length:
            yield block[..., length:]
        length = max(0, length - block.shape[-1])


def limit_samples(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """Yield the first `length` samples of a stream; no further block is requested."""
    for block in blocks:
        yield block[..., :length]
        length -= block.shape[-1]
        if length <= 0:
            return


def lengthen_blocks(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """Join blocks to ones of at least `length` samples; the last one may be shorter."""
    queue = SampleQueue()
    for block in blocks:
        queue.push(block)
        if len(queue) >= length:
            yield queue.take(len(queue))
    if len(queue):
        yield queue.take(len(queue))


def branch_blocks(blocks: Iterable[Tensor], count: int) -> list[Iterator[Tensor]]:
    """Several iterators over one stream; a block is kept until all of them have taken it.

    `itertools.tee` keeps up to 57 blocks longer, which may be as long as windows.
    """
    source, queues = iter(blocks), [deque[Tensor]() for _ in range(count)]

    def branch(queue: deque[Tensor]) -> Iterator[Tensor]:
        while True:
            if not queue:
                block = next(source, None)
                if block is None:
                    return
                for each in queues:
                    each.append(block)
                del block
            yield queue.popleft()

    return [branch(queue) for queue in queues]


def align_blocks(streams: Sequence[Iterable[Tensor]]) -> Iterator[tuple[Tensor, ...]]:
    """Yield equal spans of equally long streams, each as soon as all streams have supplied it."""
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
