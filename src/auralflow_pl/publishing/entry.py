"""The registry entry of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.config.instantiate import flat_keys
from auralflow_pl.config.search_path import command_sources, group_options, initialized_hydra
from auralflow_pl.errors import InputError, shown
from auralflow_pl.pretrained.entries import NAME_PATTERN, RegistryEntry, ReportedMetric
from auralflow_pl.pretrained.registry import REGISTRY_FORMAT, read_registry
from auralflow_pl.publishing.card import training_hours
from auralflow_pl.publishing.exporting import ExportedModel
from auralflow_pl.publishing.scores import find_scores
from auralflow_pl.system.files import file_sha256, write_text

REGISTRY_HEADER = (
    "# A registry of auralflow_pl: pass it as registries=<this file>, or see docs/models.md.\n"
)


def check_model_name(name: str) -> str:
    """Return a name of a model.

    Raises:
        InputError: it is not safe as a file name.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise InputError(
            f"name={shown(name)}: not a name; use up to 64 letters, digits, - and _, as in "
            "vae-vocals"
        )
    return name


def write_registry(path: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Write a registry with one entry."""
    content = {"format": REGISTRY_FORMAT, "models": {name: entry}}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    write_text(path, REGISTRY_HEADER + text)


def read_back(written: Path, output: Path) -> RegistryEntry:
    """Read the registry just written, as its users will, and return its only entry.

    Args:
        written: registry in the temporary folder.
        output: final folder, named in messages instead.

    Raises:
        InputError: the entry is not valid.
    """
    try:
        (entry,) = read_registry(written)
    except InputError as error:
        raise InputError(str(error).replace(str(written.parent), str(output))) from None
    return entry


def entry_content(
    config: Mapping[str, Any], model: ExportedModel, ckpt: Path, file: Path, source: str
) -> dict[str, Any]:
    """Registry entry as plain values.

    Args:
        config: `sources`, `description`, `architecture`, `trained_on` and `licence`.
        model: the exported model.
        ckpt: checkpoint of the model, whose evaluations give the metrics.
        file: archive of the model, or the weights file of its folder.
        source: path of the archive or folder beside the registry.
    """
    sources = config["sources"]
    optional = {
        "description": config["description"],
        "metrics": reported_metrics(ckpt, model.separator.targets),
    }
    return {
        "targets": list(model.separator.targets),
        "architecture": config["architecture"]
        or architecture_of(model.description["config"]["model"]),
        "data": config["trained_on"] or data_name(model.description),
        "licence": config["licence"],
        "size": file.stat().st_size,
        "sha256": file_sha256(file),
        "sources": [*([sources] if isinstance(sources, str) else sources), source],
        **{key: value for key, value in optional.items() if value},
    }


def data_name(description: Mapping[str, Any]) -> str:
    """Training data, steps and hours of a model, from its description."""
    config, step = description["config"], description["step"]
    hours = training_hours(config, step)
    heard = f", about {hours:.3g} hours of audio" if hours else ""
    return f"{config['data'].get('name') or 'not known'}, {step} steps{heard}"


def architecture_of(model: Mapping[str, Any]) -> str:
    """The option of the group `model` that a network is most like, or the name of its class."""
    ours = scalar_entries(OmegaConf.create(dict(model)))
    differences = {}
    for name in group_options("model", command_sources()):
        theirs = scalar_entries(model_option(name))
        if class_names(theirs) == class_names(ours):
            differences[name] = sum(ours.get(k, v) != v for k, v in theirs.items())
    if not differences:
        return str(model["_target_"]).rpartition(".")[2]
    return min(differences, key=lambda name: differences[name])


def model_option(name: str) -> DictConfig:
    """The node `model` of an option, with what it inherits and with its interpolations."""
    with initialized_hydra():
        return hydra.compose(f"model/{name}", command_sources()).model


def scalar_entries(node: DictConfig) -> dict[str, Any]:
    """Values of a node by dotted key, without interpolations and nested nodes."""
    found = {}
    for key in flat_keys(node):
        parent, _, last = key.rpartition(".")
        holder = OmegaConf.select(node, parent) if parent else node
        if not OmegaConf.is_interpolation(holder, last) and not OmegaConf.is_config(holder[last]):
            found[key] = holder[last]
    return found


def class_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Entries whose key ends in `_target_`."""
    return {key: value for key, value in values.items() if key.endswith("_target_")}


def reported_metrics(ckpt: Path, targets: Sequence[str]) -> list[dict[str, Any]]:
    """Metrics from the evaluations of a model in the form of a registry, without oracles."""
    return [
        metric
        | {"values": [{k: v for k, v in one.items() if k != "oracle"} for one in metric["values"]]}
        for metric in find_scores(ckpt, targets)
    ]


def metric_nodes(metrics: Sequence[ReportedMetric]) -> list[dict[str, Any]]:
    """Metrics of an entry in the form of a registry."""
    return [
        {
            "name": metric.name,
            "definition": metric.definition,
            "values": [
                {key: value for key, value in row._asdict().items() if value is not None}
                for row in metric.values
            ],
        }
        for metric in metrics
    ]
