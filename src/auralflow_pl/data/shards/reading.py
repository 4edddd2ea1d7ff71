"""Tracks in shards, as a table lists them: places of the stems in tar files, checked strictly."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auralflow_pl.audio.checks import RATES_HZ, check_finite
from auralflow_pl.audio.pcm import PcmFormat, decode_pcm
from auralflow_pl.checks.values import one_of
from auralflow_pl.data.shards.cells import first_byte, label_text, pairs, powers_of, whole
from auralflow_pl.data.shards.places import ShardPlaces
from auralflow_pl.data.shards.store import ByteSpan, Store
from auralflow_pl.data.sources.fitting import MISSING_NAMES
from auralflow_pl.data.table import Row, parse_rows
from auralflow_pl.data.tracks import (
    REST,
    SPLIT_NAMES,
    NoTracksError,
    RestTrack,
    Track,
    TrackSource,
)
from auralflow_pl.errors import InputError, shown

INDEX_NAME = "index.jsonl"

INDEX_COLUMNS = (
    "track", "split", "shard", "sample_rate", "frames", "channels", "subtype", "stems", "digest",
)  # fmt: skip

INDEX_OPTIONS = ("powers", "weight", "labels")

SHARD_NAME = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*\.tar", re.ASCII)

SHARD_SUBTYPES = ("PCM_16", "FLOAT")

MIXTURE = "mixture"


@dataclass(frozen=True)
class ShardTrack(Track):
    """A track whose stems lie in a shard as uncompressed samples."""

    store: Store
    shard: str  # name of the tar file
    members: tuple[str, ...]  # stems in the shard, and `mixture`
    starts: tuple[int, ...]  # first byte of the samples of each member
    powers: tuple[float | None, ...]  # mean square of each whole member, if known
    subtype: str  # of `SHARD_SUBTYPES`
    digest: str  # of the sound

    def span(self, name: str, start: int, frames: int) -> ByteSpan:
        """Bytes of some samples of a stem or of the mixture."""
        step = self.form.frame_bytes
        stop = min(start + frames, self.frames)
        first = self.starts[self.members.index(name)]
        return ByteSpan(self.shard, first + step * min(start, stop), first + step * stop)

    def read_members(self, names: Sequence[str], start: int, frames: int) -> list[Tensor]:
        """Read a span of some stems at the same time, `(channels, frames)` each.

        Raises:
            InputError: see `Store.read`; or the track ends before the span, or a sample is not
                finite.
        """
        if start + frames > self.frames:
            raise InputError(f"{self.place}: no {frames} samples at {start}, it has {self.frames}")
        present = [name for name in names if name not in self.absent]
        contents = self.store.read([self.span(name, start, frames) for name in present])
        found = {
            name: check_finite(decode_pcm(content, self.form), self.place)
            for name, content in zip(present, contents, strict=True)
        }
        silence = torch.zeros(self.channels, frames)
        return [found.get(name, silence) for name in names]

    @property
    def form(self) -> PcmFormat:
        """Format of its samples."""
        return PcmFormat(self.sample_rate, self.channels, self.subtype)

    @property
    def place(self) -> str:
        """The track and its shard, for messages."""
        return f"{self.store.url}/{self.shard}: {self.name}"

    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """Read a span of one stem, `(channels, frames)`."""
        return self.read_members([stem], start, frames)[0]

    def read_stems(self, start: int, frames: int) -> Tensor:
        """Read a span of all stems at the same time, `(stems, channels, frames)`."""
        return torch.stack(self.read_members(self.stems, start, frames))

    def read_mixture(self, start: int, frames: int) -> Tensor:
        """Read a span of the mixture, `(channels, frames)`."""
        if not self.has_mixture:
            return super().read_mixture(start, frames)
        return self.read_members([MIXTURE], start, frames)[0]

    def level(self, stem: str, start: int, frames: int) -> float:
        """Mean square of one stem over a span; that of the whole track is in the table."""
        known = self.powers[self.members.index(stem)] if stem in self.members else None
        if (start, frames) == (0, self.frames) and known is not None:
            return known
        return super().level(stem, start, frames)

    def planes(self) -> Iterator[Tensor]:
        """All stems, then the mixture if there is one, `(channels, time)` each."""
        names = [*self.stems, *([MIXTURE] if self.has_mixture else [])]
        return (self.read_members([name], 0, self.frames)[0] for name in names)

    @property
    def identity(self) -> str:
        """Digest of the sound, which is in no file."""
        return f"{self.digest} {self.subtype}"


class Shards(TrackSource):
    """Tracks in tar files at an address of fsspec, read by spans as they are drawn.

    The table `index.jsonl` beside the shards has a line for each track: `track`, `split`, `shard`,
    `sample_rate`, `frames`, `channels`, `subtype` (PCM_16 or FLOAT), `stems` (by name the first
    byte of the samples in the shard and their number of bytes, also of the `mixture`), `digest` (of
    the sound) and optional `powers` (mean square of each stem), `weight` and `labels`, as
    `scripts/make_shards.py` writes them. Tracks must have the sample rate of the training.

    Args:
        url: folder or address of fsspec, as `s3://bucket/songs`.
        stems: names of the stems, in the order of the tensors. `rest`, if it is not in the shards,
            is the mixture minus the others.
        options: options of the file system, as `endpoint_url`; no secrets, which are taken from the
            environment.
        timeout_seconds: time after which a request has stalled and is made again.
        patience_seconds: time for which a failing read is tried again before it is an error.
        max_tracks: use only the first tracks (by name) of each split.
        missing: `error`, or `silent`: a stem that a track does not have is silence.

    Raises:
        InputError: no address or a wrong one, no table, a fault in a line of it, or a shard that is
            missing or too short.
    """

    pooled = False
    opens_addresses = True

    def __init__(
        self,
        url: str | None,
        stems: Sequence[str],
        options: Mapping[str, Any] | None = None,
        timeout_seconds: float = 30.0,
        patience_seconds: float = 300.0,
        max_tracks: int | None = None,
        missing: str = "error",
    ) -> None:
        self.stems: tuple[str, ...] = tuple(stems)
        self.max_tracks = max_tracks
        self.missing = one_of("data.missing", missing, MISSING_NAMES)
        self.store = Store(url, options, timeout_seconds, patience_seconds)
        self.root = Path(self.store.url)
        self.found: dict[str, dict[str, Track]] = {split: {} for split in SPLIT_NAMES}
        self.layouts: dict[tuple[str, ...], tuple[str, ...]] = {}
        file = f"{self.store.url}/{INDEX_NAME}"
        places = ShardPlaces(file)
        for row in parse_rows(file, self.store.content(INDEX_NAME), INDEX_COLUMNS, INDEX_OPTIONS):
            track = self.listed(row, places)
            self.found[track.split][track.name] = track
        places.check(self.store.sizes())

    def find(self, split: str) -> list[Path]:
        """Names of the tracks of a split below the address, sorted."""
        return [self.root / track.name for track in self.tracks(split)]

    def track(self, path: Path, split: str) -> Track:
        """A track of the table."""
        return self.found[split][path.name]

    def tracks(self, split: str) -> list[Track]:
        """All tracks of a split, sorted by name.

        Raises:
            NoTracksError: there are none.
        """
        found = self.found[one_of("split", split, SPLIT_NAMES)]
        if not found:
            raise NoTracksError(
                f"no {split} tracks in {self.store.url}/{INDEX_NAME}; expected lines with "
                f"split={split}"
            )
        return [found[name] for name in sorted(found)[: self.max_tracks]]

    def listed(self, row: Row, places: ShardPlaces) -> Track:
        """The track of a line, after checking it alone and beside the lines before it.

        Raises:
            InputError: the line is not valid.
        """
        name = row.text("track")
        if "/" in name or "\\" in name or name in (".", ".."):
            raise InputError(f"{row.place}: track={shown(name)}: expected a name without / and \\")
        split = one_of(f"{row.place}: split", row.text("split"), SPLIT_NAMES)
        shard = row.text("shard")
        if not SHARD_NAME.fullmatch(shard):
            raise InputError(
                f"{row.place}: shard={shown(shard)}: expected the name of a tar file below "
                f"{self.store.url}, as train-00000.tar, of letters, digits, '.', '-' and '_'"
            )
        subtype = one_of(f"{row.place}: subtype", row.text("subtype"), SHARD_SUBTYPES)
        channels = whole(row, "channels", range(1, 33))
        frames = whole(row, "frames", range(1, 2**40))
        rate = whole(row, "sample_rate", RATES_HZ)
        size = frames * PcmFormat(rate, channels, subtype).frame_bytes
        starts = {stem: first_byte(row, stem, given, size) for stem, given in pairs(row, "stems")}
        weight = row.number("weight")
        if weight is not None and weight <= 0:
            raise InputError(f"{row.place}: weight={weight:g}: expected more than 0")
        digest = row.text("digest")
        places.add(row, name, split, digest)
        places.fill(row, shard, starts, size)
        return self.made(
            row,
            starts,
            dict(powers_of(row)),
            name=name,
            split=sys.intern(split),
            sample_rate=rate,
            frames=frames,
            channels=channels,
            weight=1.0 if weight is None else weight,
            labels=tuple(
                (label, label_text(row, label, given)) for label, given in pairs(row, "labels")
            ),
            shard=sys.intern(shard),
            subtype=sys.intern(subtype),
            digest=digest,
        )

    def made(
        self, row: Row, starts: Mapping[str, int], powers: Mapping[str, float], **known: Any
    ) -> Track:
        """A track with the stems of the training.

        Raises:
            InputError: it lacks one.
        """
        has_mixture = MIXTURE in starts
        has_rest = REST in self.stems and REST not in starts and has_mixture
        stems = tuple(stem for stem in self.stems if stem != REST) if has_rest else self.stems
        absent = tuple(stem for stem in stems if stem not in starts)
        if absent and (self.missing == "error" or len(absent) == len(stems)):
            raise InputError(
                f"{row.place}: no {', '.join(absent)} in stems ({shown(', '.join(starts))}); "
                "expected all of data.stems"
                + (f", or mixture, to make {REST} of" if REST in absent else "")
            )
        changes = "; ".join(f"no {stem}, taken as silence" for stem in absent)
        members = tuple(name for name in (*stems, MIXTURE) if name in starts)
        members = self.layouts.setdefault(members, members)  # one object for all tracks
        fields = known | {
            "stems": stems,
            "has_mixture": has_mixture,
            "absent": absent,
            "changes": changes,
            "files": (),
            "root": self.root,
            "store": self.store,
            "members": members,
            "starts": tuple(starts[name] for name in members),
            "powers": tuple(powers.get(name) for name in members),
        }
        track = ShardTrack(**fields)
        return RestTrack.of(track, self.stems) if has_rest else track
