"""What a training hears: shares of tracks, data sets, classes and stems in its chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from auralflow_pl.data.chunks import ChunkDataset
from auralflow_pl.data.examination import AUDIBLE_DB
from auralflow_pl.data.mixtures import power_to_db
from auralflow_pl.data.sampling import labels_of
from auralflow_pl.data.tracks import Track
from auralflow_pl.system.progress import Progress


class ChunkDraw(NamedTuple):
    """Share of the drawn chunks with a track, of a class, or with a silent stem."""

    kind: str  # "track", "dataset" or a label (share of all drawn stems), "stem" (share of the
    # chunks in which it is audible) or "silence" (share of the chunks with it in which it is not)
    name: str  # of the track, the class or the stem
    hours: float | None  # of music in the training set; None for silence
    expected: float | None  # expected share; None: depends on the music or on several data sets
    drawn: float  # share found


def draw_chunks(chunks: ChunkDataset, epoch: int, count: int) -> list[ChunkDraw]:
    """Draw the chunks of a training from an epoch on.

    Args:
        chunks: chunks of the training.
        epoch: first epoch, from 0.
        count: number of chunks, at least 1.
    """
    places: Counter[Track] = Counter()
    silent, held = np.zeros(len(chunks.stems)), np.zeros(len(chunks.stems))
    first = epoch * chunks.chunks_per_epoch
    for number in Progress(range(first, first + count), "draws", unit="chunk"):
        places.update(position.track for position in chunks.positions(number))
        chunk = chunks[number]
        here = np.ones(len(chunks.stems), bool)
        if chunks.is_mixed:  # a stem in an undivided sum has no place of its own
            here = chunk["holds"].any(1).numpy()
        levels = np.array([power_to_db(float(stem.square().mean())) for stem in chunk["stems"]])
        held += here
        silent += here & (levels < AUDIBLE_DB)
    draws = list(track_draws(chunks, places, chunks.draws_of(first).chances))
    for number, stem in enumerate(chunks.stems):
        known = (t for t in chunks.tracks if stem in t.stems and stem not in t.absent)
        hours = sum(map(hours_of, known))
        draws.append(ChunkDraw("stem", stem, hours, None, (held - silent)[number] / count))
    quiet = zip(chunks.stems, silent / np.maximum(held, 1), strict=True)
    return draws + [ChunkDraw("silence", stem, None, None, float(share)) for stem, share in quiet]


def track_draws(
    chunks: ChunkDataset, places: Counter[Track], chances: np.ndarray
) -> Iterator[ChunkDraw]:
    """Yield shares of the tracks, and of their classes by each label."""
    total = places.total()
    groups: dict[tuple[str, str], np.ndarray] = {}
    for track, chance in zip(chunks.tracks, chances, strict=True):
        row = np.array([hours_of(track), chance, places[track] / total])
        for key in (("track", track.name), *labels_of(track).items()):
            groups[key] = groups.get(key, 0) + row
    for (kind, name), (hours, chance, share) in sorted(
        groups.items(), key=lambda group: group[0][0] != "track"
    ):
        expected = None if chunks.is_mixed else float(chance)
        yield ChunkDraw(kind, name, float(hours), expected, float(share))


def hours_of(track: Track) -> float:
    """Length of a track in hours."""
    return track.frames / track.sample_rate / 3600


def draws_lines(draws: list[ChunkDraw], count: int) -> Iterator[str]:
    """Yield lines that sum up the shares of `count` chunks."""
    by_kind: dict[str, list[ChunkDraw]] = {}
    for draw in draws:
        by_kind.setdefault(draw.kind, []).append(draw)
    if not draws:
        return
    silence, stems = by_kind.pop("silence"), by_kind.pop("stem")
    shares = [draw.drawn for draw in by_kind.pop("track")]
    heard = sum(share > 0 for share in shares)
    yield (
        f"drawn: {count} chunks, stems from {heard} of {len(shares)} tracks, "
        f"{min(shares):.1%} to {max(shares):.1%} from each"
    )
    for kind, classes in by_kind.items():
        if len(classes) > 1:
            yield f"by {kind}: " + ", ".join(
                f"{d.name} {d.drawn:.0%} ({d.hours:.2f} h)" for d in classes
            )
    audible = ", ".join(f"{d.name} {d.drawn:.0%} ({d.hours:.2f} h)" for d in stems)
    yield f"audible in chunks: {audible}"
    quiet = ", ".join(f"{d.name} {d.drawn:.0%}" for d in silence)
    yield f"silent chunks (below {AUDIBLE_DB:g} dB): {quiet}"
