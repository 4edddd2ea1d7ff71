"""Scores from the evaluations of a model, for model cards and registries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from auralflow_pl.evaluation.results import read_evaluation
from auralflow_pl.pretrained.locations import model_label, output_root


def find_scores(ckpt: Path, targets: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Metrics from the evaluations found beside a checkpoint.

    Yields:
        for each metric its `name`, `definition` and `values`.

    Raises:
        InputError: an eval.json cannot be read.
    """
    files = sorted((output_root(ckpt) / "eval" / model_label(ckpt)).glob("*/eval.json"))
    read = {path.parent.name: read_evaluation(path) for path in files}
    headings = {n: h for content in read.values() for n, h in content["headings"].items()}
    for name, heading in headings.items():
        values = [
            average_scores(one, data)
            for data, content in read.items()
            for one in content["aggregates"]
            if one["heading"] == name and one["tracks"] and one["target"] in targets
        ]
        if values:
            unit = f", in {heading['unit']}" if heading["unit"] else ""
            better = "higher" if heading["higher_is_better"] else "lower"
            definition = f"{heading['definition']}{unit}; {better} is better"
            yield {"name": name, "definition": definition, "values": values}


def average_scores(aggregate: Mapping[str, Any], data: str) -> dict[str, Any]:
    """Entry of `values` for an average in eval.json, with mixture and oracle if measured."""
    values = aggregate["values"]
    found = {
        "target": aggregate["target"],
        "data": data,
        "average": aggregate["name"],
        "value": round(values["estimate"], 3),
        "tracks": aggregate["tracks"],
    }
    bounds = {name: values.get(name) for name in ("mixture", "oracle")}
    return found | {name: round(v, 3) for name, v in bounds.items() if v is not None}
