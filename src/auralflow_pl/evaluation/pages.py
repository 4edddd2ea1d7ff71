"""HTML reports of an evaluation and of a comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from auralflow_pl.report.page import html_page

if TYPE_CHECKING:
    from auralflow_pl.evaluation.comparing.comparison import Comparison
    from auralflow_pl.evaluation.results import TrackScores
    from auralflow_pl.evaluation.tables import Aggregate
    from auralflow_pl.metrics.base import MetricInfo


def evaluation_page(
    title: str,
    subtitle: str,
    tracks: Sequence[TrackScores],
    found: Sequence[Aggregate],
    headings: Sequence[MetricInfo],
    hops: Mapping[str, float],
    moments: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """HTML report of an evaluation.

    Args:
        title: title of the page.
        subtitle: subject and data set of the evaluation.
        tracks: scores of all tracks.
        found: averages over the tracks.
        headings: headings of the metrics; the first one is selected initially.
        hops: distance of consecutive windows in seconds, by heading.
        moments: excerpts to listen to, see `Moment.shown`.
        settings: subject and settings, see `Evaluation.settings`.
    """
    rows = [
        {"track": t.track, "target": s.target, "values": s.values, "frames": s.frames}
        for t in tracks
        for s in t.targets
    ]
    candidates = list(dict.fromkeys(name for one in found for name in one.values))
    data = {
        "headings": [h._asdict() for h in headings],
        "aggregates": [a._asdict() | {"heading": a.heading.name} for a in found],
        "candidates": candidates,
        "rows": rows,
        "hops": dict(hops),
        "moments": list(moments),
        "settings": list(setting_rows(settings)),
    }
    return html_page("evaluation", title, subtitle, data)


def setting_rows(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and text of each setting and each metric, without empty settings."""
    for key, value in settings.items():
        if key == "metrics":
            yield from (
                (f"metric {name}", setting_in_words(options)) for name, options in value.items()
            )
        elif value not in (None, [], {}):
            yield key, setting_in_words(value)


def setting_in_words(value: Any) -> str:
    """Format a setting on one line, without `_target_`."""
    if isinstance(value, Mapping):
        parts = (f"{k}={setting_in_words(v)}" for k, v in value.items() if k != "_target_")
        return ", ".join(parts) or "no options"
    if isinstance(value, str):
        return value
    return "+".join(map(str, value)) if isinstance(value, list) else json.dumps(value)


def comparison_page(
    names: Sequence[str],
    found: Sequence[Comparison],
    confidence: float,
    notes: Sequence[str] = (),
) -> str:
    """HTML report of a comparison.

    Args:
        names: names of the runs; the others are compared with the first.
        found: comparisons of runs.
        confidence: level of the intervals, between 0 and 1.
        notes: sentences on targets and metrics that could not be compared.
    """
    comparisons = [
        asdict(one)
        | {
            "heading": one.heading._asdict(),
            "differences": one.differences,
            "wins": one.wins,
            "outcome": one.outcome,
            "verdict": one.verdict(confidence),
        }
        for one in found
    ]
    subtitle = f"{', '.join(names[1:])} against {names[0]}, track by track"
    data = {"confidence": confidence, "comparisons": comparisons, "notes": list(notes)}
    return html_page("comparison", "Comparison", subtitle, data)
