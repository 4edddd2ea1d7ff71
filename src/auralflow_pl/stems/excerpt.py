"""Keep the middle excerpt of a stream of audio blocks."""

from __future__ import annotations

import torch
from torch import Tensor


class MiddleExcerpt:
    """Keeps an excerpt from the middle of a stream of audio blocks.

    The excerpt is the beginning if the length is unknown, and the last block if the stream ends
    before the expected middle.

    Args:
        frames: expected length of the stream, in samples; None: unknown.
        length: length of the excerpt, in samples.
    """

    def __init__(self, frames: int | None, length: int) -> None:
        self.first = 0 if frames is None else max(0, (frames - length) // 2)
        self.stop = self.first + length
        self.position = self.start = 0
        self.parts: list[Tensor] = []

    def push(self, block: Tensor) -> None:
        """Take the next block `(..., time)`."""
        begin, self.position = self.position, self.position + block.shape[-1]
        if self.position <= self.first:
            self.start, self.parts = begin, [block.clone()]
        elif begin < self.stop:
            if begin <= self.first:
                self.start, self.parts = self.first, []
            self.parts.append(block[..., max(0, self.first - begin) : self.stop - begin].clone())

    @property
    def sound(self) -> Tensor:
        """The excerpt, `(..., time)`."""
        return torch.cat(self.parts, -1)
