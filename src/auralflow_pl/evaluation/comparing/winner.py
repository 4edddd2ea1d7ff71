"""Whether one of several groups is shown to be the best."""

from __future__ import annotations

from collections.abc import Mapping

from auralflow_pl.evaluation.comparing.comparison import compare_groups, signed_number
from auralflow_pl.evaluation.comparing.seeds import Group, summarize_seeds, target_names
from auralflow_pl.metrics.base import MetricInfo


def winner_texts(
    groups: Mapping[str, Group],
    heading: MetricInfo,
    confidence: float = 0.95,
    resamples: int = 10000,
    seed: int = 0,
) -> list[str]:
    """A sentence for each target that names the best group, or says that none is shown.

    The group with the best mean is the winner if it is better than every other group. As all of
    these comparisons must show it, their level needs no correction.

    Args:
        groups: runs by the name of their group.
        heading: heading to decide by.
        confidence: level of the intervals, between 0 and 1.
        resamples: number of bootstrap resamples.
        seed: seed of the resamples.
    """
    targets = dict.fromkeys(name for runs in groups.values() for name in target_names(runs[0]))
    sign, given, found = 1 if heading.higher_is_better else -1, (confidence, resamples, seed), []
    for target in targets:
        means = {
            name: sign * one.mean
            for name, runs in groups.items()
            for one in summarize_seeds(runs, [heading], confidence, resamples, seed)
            if one.target == target
        }
        if len(means) < 2:
            continue
        best, *others = sorted(means, key=lambda name: -means[name])
        ordered = {name: groups[name] for name in (best, *others)}
        rivals = [c for c in compare_groups(ordered, [heading], *given) if c.target == target]
        subject = f"{target}, {heading.label}"
        doubt = next((c for c in rivals if c.outcome != "worse"), None)
        if doubt is None:
            than = others[0] if len(others) == 1 else f"each of the other {len(others)}"
            found.append(f"{subject}: the winner is {best}, shown to be better than {than}")
            continue
        reason = f"{len(doubt.tracks)} tracks are too few to tell"
        if doubt.interval:
            low, high = map(signed_number, sorted((-doubt.interval.low, -doubt.interval.high)))
            chance = f"{confidence:.0%} interval {low} to {high}"
            reason = f"its lead over {doubt.run} may be chance ({chance})"
        found.append(f"{subject}: no winner shown; {best} has the best mean, but {reason}")
    return found
