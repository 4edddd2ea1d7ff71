"""Keep the middle of a sound that comes in blocks."""

from __future__ import annotations

import torch
from torch import Tensor


class MiddleExcerpt:
    """The middle of a sound that comes in blocks, or its beginning if its length is not known.

    If it ends before the middle that was expected, its last block.
    """

    def __init__(self, frames: int | None, length: int) -> None:
        self.first = 0 if frames is None else max(0, (frames - length) // 2)
        self.stop = self.first + length
        self.position = self.start = 0
        self.parts: list[Tensor] = []

    def push(self, block: Tensor) -> None:
        """The next block `(..., time)`."""
        begin, self.position = self.position, self.position + block.shape[-1]
        if self.position <= self.first:
            self.start, self.parts = begin, [block.clone()]
        elif begin < self.stop:
            if begin <= self.first:
                self.start, self.parts = self.first, []
            self.parts.append(block[..., max(0, self.first - begin) : self.stop - begin].clone())

    @property
    def sound(self) -> Tensor:
        """What was kept, `(..., time)`."""
        return torch.cat(self.parts, -1)
