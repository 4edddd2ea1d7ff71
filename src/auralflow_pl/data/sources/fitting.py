"""Tracks of sound files that may differ in length, sample rate or channels, or be missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.audio.reading import Header, read_header
from auralflow_pl.checks.values import one_of
from auralflow_pl.data.tracks import REST, FileTrack, FittedTrack, RestTrack, Track
from auralflow_pl.errors import InputError

MISMATCH_NAMES, MISSING_NAMES = ("error", "pad", "trim"), ("error", "silent")


class Part(NamedTuple):
    """A sound file of a track, or a span of it."""

    path: Path
    header: Header  # of the span
    start: int | None = None  # first sample of the span; None: the whole file

    @classmethod
    def whole(cls, path: Path) -> Part:
        """The whole of a file.

        Raises:
            InputError: the file cannot be read.
        """
        return cls(path, read_header(path))


@dataclass(frozen=True)
class Fitting:
    """How tracks are made of files.

    Args:
        stems: stems of a track in the order of the tensors. `rest`, if it has no file, is the
            mixture minus the others.
        mismatch: what to do with files of a track that differ in length, sample rate or channels:
            `error`, or fit them to the highest rate and most channels, and `pad` them with zeros
            to the longest or `trim` them to the shortest.
        missing: `error`, or `silent`: a stem without a file is silence, if another stem has one.

    Raises:
        InputError: an unknown choice.
    """

    stems: tuple[str, ...]
    mismatch: str = "error"
    missing: str = "error"

    def __post_init__(self) -> None:
        one_of("data.mismatch", self.mismatch, MISMATCH_NAMES)
        one_of("data.missing", self.missing, MISSING_NAMES)

    def track(self, parts: Mapping[str, Part], where: str, expected: str, **known: Any) -> Track:
        """Make a track.

        Args:
            parts: files by name of the stem, and of `mixture` if there is one.
            where: what messages name as the place of the track.
            expected: the expected layout, for messages.
            **known: further fields of the track, which do not depend on files.

        Raises:
            InputError: a stem has no file, a file is empty, or the files do not agree.
        """
        has_mixture = "mixture" in parts
        has_rest = REST in self.stems and REST not in parts and has_mixture
        stems = tuple(stem for stem in self.stems if stem != REST or not has_rest)
        absent = tuple(stem for stem in stems if stem not in parts)
        if absent and (self.missing == "error" or len(absent) == len(stems)):
            hint = f" (or mixture, to make {REST} of)" if REST in absent else ""
            raise InputError(f"{where}: no file for {', '.join(absent)}{hint}; {expected}")
        names = [*(stem for stem in stems if stem in parts), *(["mixture"] if has_mixture else [])]
        fields = known | {"stems": stems, "has_mixture": has_mixture}
        track = self.fitted([parts[name] for name in names], absent, fields)
        return RestTrack.of(track, self.stems) if has_rest else track

    def fitted(
        self, parts: Sequence[Part], absent: tuple[str, ...], fields: dict[str, Any]
    ) -> Track:
        """Make a track of parts, which must agree, or be made to fit.

        With `parts` among the fields, which are sums of files, files may always be shorter than
        others with `mismatch=pad`, which is then no change.

        Raises:
            InputError: a part is empty, or the parts do not agree with `mismatch=error`.
        """
        for part in parts:
            if self.mismatch == "error":
                check_alike(parts[0], part)
            if part.header.frames == 0:
                raise InputError(f"{part.path}: holds no samples")
        headers = tuple(part.header for part in parts)
        rate, channels = (max(h[field] for h in headers) for field in (0, 1))
        lengths = [math.ceil(h.frames * rate / h.sample_rate) for h in headers]
        frames = min(lengths) if self.mismatch == "trim" else max(lengths)
        fields |= {"files": tuple(part.path for part in parts)}
        fields |= {"sample_rate": rate, "frames": frames, "channels": channels}
        changes = [f"no {stem}, taken as silence" for stem in absent]
        for (path, header, _), length in zip(parts, lengths, strict=True):
            if header.sample_rate != rate:
                changes.append(f"{path.name} resampled from {header.sample_rate} to {rate} Hz")
            if header.channels != channels:
                changes.append(f"{path.name} has {header.channels} channels, made {channels}")
            if length > frames or (length < frames and not fields.get("parts")):
                change = "padded" if length < frames else "trimmed"
                changes.append(f"{path.name} {change} by {abs(frames - length)} samples")
        spans = tuple((part.start or 0, part.header.frames) for part in parts)
        if all(part.start is None for part in parts):
            spans = ()
        if not (changes or spans or fields.get("parts")):
            return FileTrack(**fields)
        text = "; ".join(changes)
        return FittedTrack(**fields, absent=absent, changes=text, headers=headers, spans=spans)


def check_alike(one: Part, other: Part) -> None:
    """Raise InputError if two parts of a track differ in sample rate, channels or length."""
    for field, unit in (("sample_rate", "Hz"), ("channels", "channels"), ("frames", "samples")):
        expected, found = getattr(one.header, field), getattr(other.header, field)
        if expected != found:
            raise InputError(
                f"{other.path}: {found} {unit}, but {one.path.name} has {expected}; stems of a "
                "track must agree, or pass data.mismatch=pad or data.mismatch=trim"
            )
