"""Tables of an evaluation: one row per track and target, aggregates, and museval's layout."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.evaluation.results import ESTIMATE_NAME, ScoreValue, TargetScores, TrackScores
from auralflow_pl.metrics.base import MetricInfo
from auralflow_pl.system.files import read_json, write_csv

FLOOR_NAME, CEILING_NAME = "mixture", "oracle"

SMALLEST_GAP = 1.0  # smallest gap, in dB or without unit, whose closed share is meaningful

AVERAGE_NAMES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
}

SOFTWARE = "auralflow_pl"  # marks the files for museval's tools that are ours

MUSEVAL_NAMES = {"SDR": "bss_sdr", "SIR": "bss_sir", "SAR": "bss_sar", "ISR": "bss_isr"}


class Aggregate(NamedTuple):
    """Average over tracks for one heading of one target."""

    target: str
    heading: MetricInfo
    name: str  # kind of average: "median over tracks of median over frames"
    values: dict[str, ScoreValue]  # averages of the estimate and the references
    gap: float | None  # share of the gap from floor to ceiling that the estimate closes
    tracks: int  # number of tracks in the average
    undefined: int  # number of tracks without a value


def score_column(heading: str, candidate: str) -> str:
    """Column name in eval.csv for a heading and a candidate (estimate or reference)."""
    return heading if candidate == ESTIMATE_NAME else f"{heading}_{candidate}"


def score_rows(tracks: Iterable[TrackScores]) -> Iterator[dict[str, Any]]:
    """Rows of eval.csv, one for each track and target."""
    for track in tracks:
        for target in track.targets:
            row: dict[str, Any] = {"track": track.track, "target": target.target}
            for heading, values in target.values.items():
                row |= {score_column(heading, name): value for name, value in values.items()}
            yield row


def write_scores(tracks: Iterable[TrackScores], path: Path) -> None:
    """Write eval.csv with four decimals; undefined values have empty cells."""
    table = list(score_rows(tracks))
    write_csv(path, list(table[0]), table)


def aggregates(
    tracks: Sequence[TrackScores], headings: Sequence[MetricInfo], framewise: Sequence[str]
) -> Iterator[Aggregate]:
    """Means and medians over the tracks in which the estimate has a value.

    Args:
        tracks: scores of all tracks.
        headings: headings in the order of the table.
        framewise: names of headings whose value is the median over the frames of a track.
    """
    names = dict.fromkeys(target.target for track in tracks for target in track.targets)
    for name in names:
        mine = [t for track in tracks for t in track.targets if t.target == name]
        for heading in headings:
            scores = [target.values[heading.name] for target in mine]
            scored = [values for values in scores if values[ESTIMATE_NAME] is not None]
            for label, average in AVERAGE_NAMES.items():
                of = " of median over frames" if heading.name in framewise else ""
                means = average_of(scored, average)
                sign = 1 if heading.higher_is_better else -1
                gap = gap_closed(scored, average, sign) if heading.bounded else None
                full = f"{label} over tracks{of}"
                undefined = len(scores) - len(scored)
                yield Aggregate(name, heading, full, means, gap, len(scored), undefined)


def average_of(
    scores: Sequence[Mapping[str, ScoreValue]], average: Callable[[Sequence[float]], float]
) -> dict[str, ScoreValue]:
    """Average of each candidate over the tracks in which it has a value."""
    result: dict[str, ScoreValue] = {}
    for name in dict.fromkeys(name for values in scores for name in values):
        known = [values[name] for values in scores if values[name] is not None]
        result[name] = average(known) if known else None
    return result


def gap_closed(
    scores: Sequence[Mapping[str, ScoreValue]],
    average: Callable[[Sequence[float]], float],
    sign: int,
) -> float | None:
    """Share of the gap from floor (mixture) to ceiling (oracle) that the estimate closes.

    Args:
        scores: values by candidate for each track; tracks without all three are left out.
        average: average over tracks.
        sign: 1 if higher is better, -1 if lower is better.

    Returns:
        None if the ceiling is not better than the floor by at least `SMALLEST_GAP`.
    """
    wanted = (ESTIMATE_NAME, FLOOR_NAME, CEILING_NAME)
    known = [[v.get(name) for name in wanted] for v in scores]
    known = [values for values in known if None not in values]
    if not known:
        return None
    estimate, floor, ceiling = (average(values) for values in zip(*known, strict=True))
    return (
        (estimate - floor) / (ceiling - floor) if sign * (ceiling - floor) >= SMALLEST_GAP else None
    )


def summary_text(found: Sequence[Aggregate]) -> str:
    """Format the aggregates as a table for the terminal."""
    candidates = list(dict.fromkeys(name for one in found for name in one.values))
    width = max(len(one.name) for one in found) + 2
    labels = [titled_table(one.heading) for one in found]
    wide = max(len(label) for label in labels) + 2
    longest = max(len(one.target) for one in found) + 2
    lines = [
        f"{'target':<{longest}}{'':<{wide}}{'':<{width}}"
        + "".join(f"{name:>10}" for name in candidates)
        + f"{'gap':>8}"
    ]
    for one, label in zip(found, labels, strict=True):
        if not one.tracks:
            continue
        cells = (one.values.get(name) for name in candidates)
        shown = "".join(f"{v:>10.2f}" if v is not None else f"{'':>10}" for v in cells)
        gap = f"{one.gap:>8.0%}" if one.gap is not None else ""
        lines.append(f"{one.target:<{longest}}{label:<{wide}}{one.name:<{width}}{shown}{gap}")
    first = found[0].heading
    usual = {one.target: one.undefined for one in found if one.heading == first}
    for one in found[:: len(AVERAGE_NAMES)]:
        if one.heading == first or one.undefined != usual[one.target]:
            text = f"{one.tracks} tracks, {one.undefined} undefined and left out"
            lines.append(f"{one.target:<{longest}}{titled_table(one.heading):<{wide}}{text}")
    return "\n".join(lines)


def titled_table(heading: MetricInfo) -> str:
    """Label and unit of a heading."""
    return f"{heading.label} [{heading.unit}]" if heading.unit else heading.label


def museval_layout(
    track: TrackScores, window_seconds: float, hop_seconds: float
) -> dict[str, Any] | None:
    """Scores of a track in museval's JSON layout, NaN if undefined; None without BSS Eval.

    Args:
        track: scores of the track.
        window_seconds: length of a window.
        hop_seconds: distance of consecutive windows.
    """
    targets = []
    for target in track.targets:
        if MUSEVAL_NAMES["SDR"] not in target.frames:
            return None
        targets.append({"name": target.target, "frames": []})
        for number in range(len(target.frames[MUSEVAL_NAMES["SDR"]])):
            found = {key: target.frames[name][number] for key, name in MUSEVAL_NAMES.items()}
            values = {key: math.nan if v is None else v for key, v in found.items()}
            frame = {"time": number * hop_seconds, "duration": window_seconds, "metrics": values}
            targets[-1]["frames"].append(frame)
    return {"targets": targets, "museval_version": "0.4.1", "software": SOFTWARE}


def is_museval_of_ours(path: Path) -> bool:
    """Return True if `museval_layout` made a file; those of museval itself have no `software`."""
    content = read_json(path)
    return isinstance(content, dict) and content.get("software") == SOFTWARE


def evaluation_content(
    tracks: Sequence[TrackScores],
    found: Sequence[Aggregate],
    headings: Sequence[MetricInfo],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Content of eval.json; `settings` as in `Evaluation.settings`."""
    return {
        "settings": dict(settings),
        "headings": {h.name: h._asdict() for h in headings},
        "aggregates": [one._asdict() | {"heading": one.heading.name} for one in found],
        "tracks": [track.plain() for track in tracks],
    }


def track_scores(tracks: Iterable[TrackScores], target: str) -> dict[str, TargetScores]:
    """Scores of one target by track."""
    return {t.track: s for t in tracks for s in t.targets if s.target == target}
