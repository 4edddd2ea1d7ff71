"""Check a composed configuration against its schema."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.utils import get_method
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.checks.arguments import check_arguments
from auralflow_pl.checks.imports import current_name, with_current_arguments
from auralflow_pl.config.explain import SET_BY, explain_value, set_elsewhere
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.names import (
    LIST_GROUPS,
    check_paths,
    home_expanded,
    literal,
    mapped_texts,
)
from auralflow_pl.config.schema import EACH
from auralflow_pl.errors import InputError, did_you_mean, shown

POSITIVE_KEYS = (
    "chunk_seconds",
    "audio.sample_rate",
    "audio.channels",
    "separation.window_seconds",
    "separation.batch_size",
    "separation.shifts",
    "data.batch_size",
    "data.chunks_per_epoch",
    "data.max_tracks",
    "data.prefetch_factor",
    "duration",
    "jobs",
    "idle_seconds",
    "keep_minutes",
    "keep_seconds",
    "max_channels",
    "max_mb",
    "max_minutes",
    "max_seconds",
    "max_upload_mb",
    "queue",
    "resamples",
    "seconds",
    "seeds",
    "songs",
    "sample_rate",
    "raw.sample_rate",
    "raw.channels",
    "timeout_seconds",
    "upload_seconds",
    "workers",
)

NOT_NEGATIVE_KEYS = (
    "offset",
    "seed",
    "val_chunks",
    "separation.seed",
    "draws",
    "epoch",
    "port",
    "queue_size",
    "data.num_workers",
    "trainer.log_every_n_steps",
    "separation.overlap",
    "separation.padding_seconds",
    "separation.wiener_steps",
)


def validate(config: DictConfig, schema: type) -> DictConfig:
    """Check keys, types and arguments of a configuration; return a resolved copy.

    In texts, `~` at the beginning stands for the home folder.

    Args:
        config: composed configuration.
        schema: dataclass of the command, such as `TrainKeys`.

    Raises:
        InputError: an unknown key (the message names a similar one), a missing key, a value of
            the wrong type or out of range, an empty path, an argument that a `_target_` does
            not have or that is given by its former and its present name, a flag of the Trainer
            that another key sets, or keys of an option of a group that is not chosen.
    """
    for key in missing_keys(OmegaConf.to_container(config)):
        raise InputError(f"missing required key: {key}; pass {key}=...")
    try:
        check_keys(config, schema, "")
        checked = OmegaConf.merge(OmegaConf.structured(schema), config)
        values = mapped_texts(lambda text: literal(home_expanded(text)), to_plain(checked))
    except OmegaConfBaseException as error:
        raise InputError(explain_value(error)) from error
    for flag in filter(SET_BY.__contains__, config.get("trainer") or ()):
        raise InputError(set_elsewhere(flag))
    checked = OmegaConf.merge(OmegaConf.structured(schema), with_current_arguments(values))
    assert isinstance(checked, DictConfig)  # as the schema is
    check_paths(checked)
    check_ranges(checked)
    check_parts(checked)
    for where, node in target_nodes(checked):
        node["_target_"] = current_name(node["_target_"])
        check_target(where, node)
    return checked


def check_parts(config: DictConfig) -> None:
    """Raise InputError for keys of parts that are not chosen, as an experiment may have."""
    for group in LIST_GROUPS:
        parts = config.get(group) or {}
        left = [n for n in parts if OmegaConf.is_dict(parts[n]) and "_target_" not in parts[n]]
        if left:
            names = ", ".join(f"{group}.{name}" for name in left)
            removed = " ".join(f"'~{group}.{name}'" for name in left)
            raise InputError(
                f"{names}: has keys, but is not chosen; add it to {group}=[...], or remove its "
                f"keys with {removed}"
            )


def check_ranges(config: DictConfig) -> None:
    """Raise InputError unless the numbers of `POSITIVE_KEYS` and `NOT_NEGATIVE_KEYS` are."""
    for key in (*POSITIVE_KEYS, *NOT_NEGATIVE_KEYS):
        value = OmegaConf.select(config, key)
        if value is None:
            continue
        least = "at least 0" if key in NOT_NEGATIVE_KEYS else "more than 0"
        if not isinstance(value, int | float):
            raise InputError(f"{key}={shown(value)}: expected a number, {least}")
        if not math.isfinite(value) or value < 0 or (value == 0 and key in POSITIVE_KEYS):
            raise InputError(f"{key}={value}: expected {least}")


def missing_keys(node: Any, where: str = "") -> Iterator[str]:
    """Yield the keys of plain, unresolved containers whose value is `???`."""
    if node == "???":
        yield where
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from missing_keys(value, f"{where}.{key}" if where else str(key))


def check_keys(config: Mapping[str, Any], schema: type, where: str) -> None:
    """Raise InputError for keys that the schema lacks, and for null or plain values of nodes.

    Args:
        config: the configuration or one of its nodes.
        schema: dataclass of the node.
        where: key of the node with a trailing dot, or empty.
    """
    valid = {entry.name: entry for entry in fields(schema)}
    for key in config:
        name = f"{where}{key}"
        if key not in valid:
            raise InputError(f"{name}: no such key, {did_you_mean(str(key), valid)}")
        default = valid[key].default_factory
        optional = "None" in str(valid[key].type)
        if config[key] is None and valid[key].default is MISSING and not optional:
            raise InputError(f"{name}=null: expected a value")
        if is_dataclass(default) and not OmegaConf.is_dict(config[key]):
            raise InputError(
                f"{name}={config[key]}: expected {name}.<key>=... with one of "
                f"{', '.join(entry.name for entry in fields(default))}"
            )
        if is_dataclass(default):
            check_keys(config[key], default, f"{name}.")
        if EACH in valid[key].metadata and config[key] is not None:
            check_each(config[key], valid[key].metadata[EACH], name)


def check_each(nodes: Any, schema: type, where: str) -> None:
    """Raise InputError unless every value of a mapping is a node of a schema, with its keys."""
    names = [entry.name for entry in fields(schema)]
    for name in nodes if OmegaConf.is_dict(nodes) else [""]:
        node = nodes[name] if name else nodes
        if not OmegaConf.is_dict(node) or not name:
            place = f"{where}.{name}" if name else where
            raise InputError(
                f"{place}={shown(node)}: expected {where}.<name>.<key>=... with one of "
                f"{', '.join(names)}"
            )
        check_keys(node, schema, f"{where}.{name}.")
        for entry in fields(schema):
            if entry.default is MISSING and entry.name not in node:
                key = f"{where}.{name}.{entry.name}"
                raise InputError(f"missing required key: {key}; pass {key}=...")


def target_nodes(node: Any, where: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Yield `(key, node)` of every node with a `_target_`."""
    if OmegaConf.is_dict(node):
        if "_target_" in node:
            yield where, node
        for key in node:
            yield from target_nodes(node[key], f"{where}.{key}" if where else str(key))


def check_target(where: str, node: DictConfig) -> None:
    """Raise InputError unless `_target_` exists and takes the other keys as arguments."""
    try:
        function = get_method(node["_target_"])
    except Exception as error:
        name = node["_target_"]
        package = str(name).partition(".")[0]
        ours = package == "auralflow_pl"
        hint = "" if ours else f"; install {package} (pip install -e), or set PYTHONPATH"
        raise InputError(f"{where}._target_={name}: cannot be imported{hint}") from error
    values = {name: value for name, value in to_plain(node).items() if not name.startswith("_")}
    check_arguments(function, values, where)
