"""Which checkpoint a training goes on from, and whether it may."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.checks.imports import current_name
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.errors import InputError

log = logging.getLogger(__name__)


def find_resume(config: DictConfig, run_dir: Path) -> tuple[str | None, int]:
    """The checkpoint to go on from, and how many steps it has seen.

    It is given by its path, or as `auto`: the newest one of the run folder, if there is any.

    Raises:
        InputError: the run folder holds another run, or a run of another configuration.
    """
    checkpoints = run_dir / "checkpoints"
    found = sorted(checkpoints.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    holds_run = bool(found)
    if config.resume == "auto" and not found:
        log.info("resume=auto: no checkpoint in %s yet, starting from the beginning", checkpoints)
        return None, 0
    path = found[-1] if config.resume == "auto" else Path(config.resume or "")
    if holds_run and (config.resume is None or checkpoints.resolve() not in path.resolve().parents):
        raise InputError(
            f"paths.run_dir={run_dir}: holds a run already; pass resume=auto to go on with it, "
            "or choose another folder"
        )
    if config.resume is None:
        return None, 0
    return str(path), check_same_run(to_plain(config), path)


def check_same_run(config: Mapping[str, Any], path: Path) -> int:
    """The steps of a checkpoint that `config` can go on with.

    Raises:
        InputError: it is of a run with another configuration.
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
    for key in ("model", "target", "stft", "audio", "optimizer", "scheduler"):
        here, there = config.get(key), saved.get(key)
        if key in ("optimizer", "scheduler"):  # their numbers may change, their kind may not
            here, there = (kind_of(node) for node in (here, there))
        if key == "model":
            here, there = (without_partial(node) for node in (here, there))
        if here != there:
            raise InputError(
                f"resume={path}: its {key} differs from this configuration ({there} there, {here} "
                "here); use the same keys, or another paths.run_dir"
            )
    return checkpoint.step


def without_partial(node: Any) -> Any:
    """A node without `_partial_`, which former versions did not write."""
    if not isinstance(node, Mapping):
        return node
    return {k: without_partial(value) for k, value in node.items() if k != "_partial_"}


def kind_of(node: Mapping[str, Any] | None) -> str | None:
    """The class or function that a node names; None for none."""
    return current_name(node["_target_"]) if node else None
