"""Sound in a stem that belongs to another one, found by a trained model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from auralflow_pl.data.examination import AUDIBLE_DB, Finding
from auralflow_pl.data.mixtures import power_to_db
from auralflow_pl.data.spans import MarkedSpan
from auralflow_pl.data.tracks import Track
from auralflow_pl.separator.separator import Separator

WRONG_LABEL_DB = -3.0  # level of foreign sound from which a stem is rather another one


@torch.inference_mode()
def foreign_spans(track: Track, separator: Separator, threshold_db: float) -> Iterator[MarkedSpan]:
    """Yield the spans, in whole seconds, in which a stem has the sound of another one.

    The model separates every stem alone. Foreign is, in a stem of a target, what the model leaves
    of it, and in all others, the sum of its estimates. Seconds are marked in which the stem is
    audible and foreign sound is above the threshold.

    Args:
        track: a track.
        separator: model; targets that hold more than stems of the track are not used.
        threshold_db: level of the foreign sound relative to the stem, in dB.
    """
    targets = {
        name: {name} if name in track.stems else set(members)
        for name, members in separator.target_stems.items()
    }
    usable = [members <= set(track.stems) for members in targets.values()]
    for stem in track.stems:
        if stem in track.absent or not any(usable):
            continue
        sound = track.read_stem(stem, 0, track.frames)
        estimates = separator(sound, track.sample_rate)[usable]
        members = [m for m, use in zip(targets.values(), usable, strict=True) if use]
        own = [number for number, m in enumerate(members) if stem in m]
        foreign = sound - estimates[own[0]] if own else estimates.sum(0)
        powers = [power_by_second(part, track.sample_rate) for part in (sound, foreign)]
        yield from marked(track, stem, powers, threshold_db)


def power_by_second(sound: Tensor, rate: int) -> list[float]:
    """Mean square of each second of `(channels, time)`; the last one may be shorter."""
    return [float(part.square().mean()) for part in sound.split(rate, dim=-1)]


def marked(
    track: Track, stem: str, powers: Sequence[Sequence[float]], threshold_db: float
) -> Iterator[MarkedSpan]:
    """Yield the spans of consecutive seconds with foreign sound.

    Args:
        track: the track.
        stem: the stem.
        powers: mean square of the stem and of the foreign sound, by second.
        threshold_db: as for `foreign_spans`.
    """
    heard, foreign = powers
    levels = [f / max(h, 1e-20) for h, f in zip(heard, foreign, strict=True)]
    found = [
        power_to_db(h) > AUDIBLE_DB and power_to_db(level) > threshold_db
        for h, level in zip(heard, levels, strict=True)
    ]
    for is_foreign, group in groupby(range(len(found)), key=found.__getitem__):
        seconds = list(group)
        if not is_foreign:
            continue
        ratio = sum(foreign[s] for s in seconds) / sum(heard[s] for s in seconds)
        level = power_to_db(ratio)
        yield MarkedSpan(
            track.split,
            track.name,
            stem,
            float(seconds[0]),
            min(seconds[-1] + 1.0, track.frames / track.sample_rate),
            0.0,
            "label" if level > WRONG_LABEL_DB else "bleed",
            round(level, 1),
        )


def foreign_findings(track: Track, spans: Sequence[MarkedSpan]) -> Iterator[Finding]:
    """Yield a warning for each stem of a track with such spans."""
    for stem in track.stems:
        here = [span for span in spans if span.stem == stem]
        if here:
            seconds, loudest = sum(s.end - s.start for s in here), max(here, key=level_of)
            text = (
                f"{seconds:.0f} of {track.frames / track.sample_rate:.0f} s have sound of other "
                f"stems by the model, up to {loudest.level_db} dB; see spans.csv"
            )
            yield Finding("warning", "foreign", track.split, track.name, stem, text)


def level_of(span: MarkedSpan) -> float:
    """Level of the foreign sound of a span in dB."""
    return -200.0 if span.level_db is None else span.level_db
