"""What the lines of a table of shards have in common: no track twice, no bytes twice."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np

from auralflow_pl.data.table import Row
from auralflow_pl.errors import InputError, shown


class ShardPlaces:
    """Names, digests and places of the tracks of a table, as its lines are read.

    Args:
        file: the table, for messages.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.names: dict[tuple[str, str], str] = {}  # place of the line by split and name
        self.digests: dict[str, tuple[str, str]] = {}  # split and place of the line
        self.shards: dict[str, int] = {}  # numbers by name
        self.lines: list[str] = []  # places of the lines, by number
        self.owners, self.numbers = array("q"), array("q")  # of spans: line and shard
        self.firsts, self.lasts = array("q"), array("q")  # of spans: bytes

    def add(self, row: Row, name: str, split: str, digest: str) -> None:
        """Add a track.

        Raises:
            InputError: its name is there in this split, or its sound in another one.
        """
        former = self.names.setdefault((split, name), row.place)
        if former != row.place:
            raise InputError(
                f"{row.place}: track={shown(name)} of {split} is in {line_of(former)} already; "
                "expected one line for it"
            )
        known, place = self.digests.setdefault(digest, (split, row.place))
        if known != split:
            raise InputError(
                f"{row.place}: {shown(name)} in {split} has the sound (digest) of {line_of(place)} "
                f"in {known}; expected no sound in two splits, as scores would be too high"
            )

    def fill(self, row: Row, shard: str, starts: Mapping[str, int], size: int) -> None:
        """Add the spans of the stems of a track, of `size` bytes each, to those of its shard."""
        number = self.shards.setdefault(shard, len(self.shards))
        for start in starts.values():
            self.owners.append(len(self.lines))
            self.numbers.append(number)
            self.firsts.append(start)
            self.lasts.append(start + size)
        self.lines.append(row.place)

    def check(self, sizes: Mapping[str, int | None]) -> None:
        """Raise InputError if spans share bytes, or are not in the shards.

        Args:
            sizes: sizes of the files in bytes by name; None: not known. Empty: not checked.
        """
        owners, numbers, firsts, lasts = (
            np.array(one) for one in (self.owners, self.numbers, self.firsts, self.lasts)
        )
        order = np.lexsort((firsts, numbers))
        same = numbers[order][1:] == numbers[order][:-1]
        (bad,) = np.nonzero(same & (firsts[order][1:] < lasts[order][:-1]))
        if len(bad):
            one, other = sorted(owners[order[bad[0] : bad[0] + 2]])
            raise InputError(
                f"{self.lines[other]}: shares bytes of its shard with {line_of(self.lines[one])}; "
                "expected a place of its own for each stem"
            )
        if sizes:
            self.check_sizes(sizes, owners[order], numbers[order], lasts[order])

    def check_sizes(
        self,
        sizes: Mapping[str, int | None],
        owners: np.ndarray,
        numbers: np.ndarray,
        lasts: np.ndarray,
    ) -> None:
        """Raise InputError if a shard is missing, or ends before a span; spans are sorted."""
        ends = np.searchsorted(numbers, np.arange(len(self.shards)), "right") - 1
        for shard, number in self.shards.items():
            place = self.lines[int(owners[ends[number]])]
            if shard not in sizes:
                raise InputError(f"{place}: no shard {shard} beside the table; copy it there")
            size = sizes[shard]
            if size is not None and size < lasts[ends[number]]:
                raise InputError(
                    f"{place}: {shard} has {size} bytes, expected at least "
                    f"{lasts[ends[number]]}; write the shard again"
                )


def line_of(place: str) -> str:
    """The line of a place that names file and line."""
    return place.rpartition(", ")[2]
