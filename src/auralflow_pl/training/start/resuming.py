"""Find and check the checkpoint that a training resumes from."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.checks.imports import current_name, import_class
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.names import moved_paths
from auralflow_pl.errors import InputError, shown
from auralflow_pl.signal.stft import STFT

log = logging.getLogger(__name__)

EPOCH_KEYS = (  # which chunks are left of an epoch depends on them
    "data.batch_size",
    "data.chunks_per_epoch",
    "trainer.devices",
    "trainer.num_nodes",
)

UNTRAINED_KEYS = (
    "resume",
    "init",
    "init_strict",
    "print_config",
    "silent",
    "paths.run_dir",
    "seeds",
)


def find_resume(config: DictConfig, run_dir: Path) -> tuple[str | None, int]:
    """Find the checkpoint for the key `resume`.

    `resume` is a path, or `auto` for the newest checkpoint in the run folder, if there is any.

    Returns:
        path of the checkpoint (None: start from the beginning) and its optimizer steps.

    Raises:
        InputError: the run folder has another run, or the checkpoint does not fit the
            configuration.
    """
    checkpoints = run_dir / "checkpoints"
    found = list(checkpoints.glob("*.ckpt"))
    if config.resume == "auto" and not found:
        log.info("resume=auto: no checkpoint in %s yet, starting from the beginning", checkpoints)
        return None, 0
    path = newest(found) if config.resume == "auto" else Path(config.resume or "")
    if found and (config.resume is None or checkpoints.resolve() not in path.resolve().parents):
        raise InputError(
            f"paths.run_dir={run_dir}: holds a run already; pass resume=auto to go on with it, "
            "or choose another folder"
        )
    if config.resume is None:
        return None, 0
    if config.init is not None and config.resume != "auto":
        raise InputError(
            f"init={config.init}, resume={config.resume}: both bring weights; pass one of the two"
        )
    return str(path), check_same_run(to_plain(config), path)


def newest(checkpoints: Sequence[Path]) -> Path:
    """The checkpoint with the most optimizer steps; of several, the one written last.

    Exported models, from which no training can resume, count as older than all others.

    Raises:
        InputError: one cannot be read.
    """

    def age(path: Path) -> tuple[bool, int, int]:
        content = load_checkpoint(path, "resume")
        return not content.exported, content.step, path.stat().st_mtime_ns

    return max(checkpoints, key=age)


def check_same_run(config: dict[str, Any], path: Path) -> int:
    """Check that a training with `config` can resume from a checkpoint; return its steps.

    Raises:
        InputError: the checkpoint is an exported model, or its configuration differs.
    """
    checkpoint = load_checkpoint(path, "resume")
    if checkpoint.exported:
        raise InputError(
            f"resume={path}: an exported model holds no state of a training; pass a checkpoint"
        )
    saved = checkpoint.config
    average = "weight_average" in (config.get("callbacks") or {})
    if average != checkpoint.averaged:
        raise InputError(
            f"resume={path}: was trained {'with' if checkpoint.averaged else 'without'} "
            "callbacks=weight_average; use the same callbacks, or another paths.run_dir"
        )
    for key in ("model", "target", "stft", "audio", "freeze", "lora", "optimizer", "scheduler"):
        here, there = (comparable(key, one.get(key)) for one in (config, saved))
        if here != there:
            raise InputError(
                f"resume={path}: its {key} differs from this configuration ({there} there, {here} "
                "here); use the same keys, or another paths.run_dir"
            )
    folders = (saved["paths"]["run_dir"], config["paths"]["run_dir"])
    changes = dict(changed_keys(moved_paths(saved, *folders), config))
    if checkpoint.batches:
        for key in EPOCH_KEYS:
            if key in changes:
                there, here = changes[key]
                raise InputError(
                    f"resume={path}: was written within an epoch, after {checkpoint.batches} "
                    f"batches, and {key} was {shown(there)} there, is {shown(here)} here; finish "
                    "the epoch with the former value (trainer.max_epochs ends after it), then "
                    "change it"
                )
    listed = ", ".join(
        f"{key}={shown(here)} (was {shown(there)})" for key, (there, here) in changes.items()
    )
    log.info(
        "resume=%s: weights, optimizer, schedule and epoch are those of step %d; %s",
        path,
        checkpoint.step,
        f"changed since: {listed}" if listed else "no key was changed",
    )
    return checkpoint.step


def changed_keys(
    before: dict[str, Any], now: dict[str, Any], where: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield keys in dotted form whose values differ, with both values; None: the key is absent."""
    for key in before | now:
        name, there, here = f"{where}{key}", before.get(key), now.get(key)
        if isinstance(there, dict) and isinstance(here, dict):
            yield from changed_keys(there, here, f"{name}.")
        elif (name, here) == ("precision.precision", "auto"):
            continue  # takes what was there
        elif there != here and name not in UNTRAINED_KEYS and not str(key).startswith("_"):
            yield name, (there, here)


def comparable(key: str, node: Any) -> Any:
    """The part of a node that must be the same when a training resumes, by its key."""
    if key in ("optimizer", "scheduler"):  # arguments may change, the class may not
        return kind_of(node)
    if key == "lora":
        return node if node and node["rank"] else None
    if key == "model":
        return with_defaults(without_partial(node))
    return with_defaults(node, STFT) if key == "stft" else node


def without_partial(node: Any) -> Any:
    """A node without `_partial_`, which former versions did not write."""
    if not isinstance(node, Mapping):
        return node
    return {k: without_partial(value) for k, value in node.items() if k != "_partial_"}


def with_defaults(node: Mapping[str, Any], kind: type | None = None) -> dict[str, Any]:
    """A node with all arguments of its class, some of which former versions did not have.

    Args:
        node: the arguments.
        kind: the class; None: that of `_target_`.
    """
    kind = kind or import_class(node, object, "model", None)
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | dict(node)


def kind_of(node: Mapping[str, Any] | None) -> str | None:
    """Current name of the `_target_` of a node; None if there is no node."""
    return current_name(node["_target_"]) if node else None
