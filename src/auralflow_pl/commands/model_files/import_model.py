"""The command `import-model`: keep the weights of another project as a model of this one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import ImportKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, printable_lines
from auralflow_pl.pretrained.cache import fetch_model
from auralflow_pl.pretrained.entries import RegistryEntry
from auralflow_pl.pretrained.locations import WEIGHTS_FILE, model_label
from auralflow_pl.pretrained.registry import find_published, read_registries, user_registry
from auralflow_pl.publishing.card import source_section
from auralflow_pl.publishing.entry import (
    check_model_name,
    entry_content,
    metric_nodes,
    write_registry,
)
from auralflow_pl.publishing.exporting import export_weights, load_model, weight_format
from auralflow_pl.system.staging import check_writable

IMPORTED = """{folder}: {note}
{registry}: the entry {name}; nothing else is needed from now on:
  auralflow separate ckpt=pretrained:{name} input=song.mp3{where}"""


def import_model(config: DictConfig) -> Path:
    """Write the model folder and the registry entry of foreign weights; return the folder.

    Raises:
        InputError: the source is neither a file nor a known model, its weights cannot be used, or
            the folder exists already.
    """
    config = to_plain(validate(config, ImportKeys))
    dtype = weight_format(config["dtype"], config["half"])
    entry = None
    ckpt = Path(config["source"])
    if not ckpt.exists():
        entry = find_published(read_registries(config["registries"]), config["source"])
    name = check_model_name(config["name"] or (entry.name if entry else label_of(ckpt)))
    output = Path(config["output"] or user_registry())
    folder, registry = output / name, output / f"{name}.yaml"
    for path in (folder, registry):
        if path.exists() and not config["overwrite"]:
            raise InputError(f"{path}: is there already; pass another name= or overwrite=true")
    check_writable(output)
    ckpt = fetch_model(entry) if entry else ckpt
    values = described(config, entry)
    model = load_model(ckpt, [], values["licence"])
    model = replace(model, card=f"{model.card}\n\n{source_section(ckpt, entry)}")
    note = export_weights(model, folder, dtype)
    content = entry_content(values, model, ckpt, folder / WEIGHTS_FILE, folder.name)
    if entry and entry.metrics:
        content["metrics"] = metric_nodes(entry.metrics)
    write_registry(registry, name, content)
    where = f" registries={registry}" if config["output"] else ""
    text = IMPORTED.format(folder=folder, note=note, registry=registry, name=name, where=where)
    print(printable_lines(text))
    return folder


def described(config: dict[str, Any], entry: RegistryEntry | None) -> dict[str, Any]:
    """Keys of a registry entry that the user, or the registry of the source, states."""
    return {
        "sources": [],
        "architecture": entry.architecture if entry else None,
        "trained_on": entry.data if entry else None,
        "licence": config["licence"] or (entry.licence if entry else "not stated"),
        "description": config["description"] or (entry.description if entry else None),
    }


def label_of(path: Path) -> str:
    """Name for a model from that of its file: other characters become `-`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", model_label(path)).strip("-_")[:64] or "model"
