"""Callback that fits the state of a checkpoint to a moved run folder and to changed keys."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from auralflow_pl.checkpoints.trained import CHECKPOINT_KEY
from auralflow_pl.config.instantiate import build
from auralflow_pl.errors import InputError
from auralflow_pl.training.schedules import Schedule
from auralflow_pl.training.task import SeparationTask

log = logging.getLogger(__name__)

State = dict[str, Any]


class ResumeChanges(pl.Callback):
    """Edits a checkpoint while it is loaded, before optimizer, schedule and callbacks read it.

    Best checkpoints stay known after their run folder was moved, copied or renamed. Arguments of
    optimizer, schedule and early stopping are those of this configuration: what differs from the
    configuration of the checkpoint is set in the saved state, and learning rates are scaled by
    the ratio of the new to the old.
    """

    resumed = False

    def on_load_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: SeparationTask,
        checkpoint: State,
    ) -> None:
        """Edit the checkpoint.

        Raises:
            InputError: the optimizer has other parameter groups than that of the checkpoint.
        """
        self.resumed = True
        callbacks = checkpoint["callbacks"]
        for callback in trainer.callbacks:
            state = callbacks.get(callback.state_key)
            if isinstance(callback, ModelCheckpoint) and state:
                callbacks[callback.state_key] = found_here(state, Path(callback.dirpath))
            elif isinstance(callback, EarlyStopping) and state:
                state["patience"] = callback.patience
        ours = checkpoint[CHECKPOINT_KEY]
        before, now = ours["config"], pl_module.config
        if before.get("loss") != now.get("loss"):
            pl_module.sums = {}  # of this epoch; they were of another loss
        schedules = [ours["schedule"]] if "schedule" in ours else checkpoint["lr_schedulers"]
        change_arguments(pl_module, before, checkpoint["optimizer_states"][0], schedules)

    def on_train_start(self, trainer: pl.Trainer, pl_module: SeparationTask) -> None:
        """Tell if the learning rate jumps, because a schedule has another end than before."""
        groups = pl_module.optimizer_groups()
        for entry in trainer.lr_scheduler_configs if self.resumed else ():
            schedule = entry.scheduler
            if not isinstance(schedule, LambdaLR):
                continue
            for group, base, factor in zip(
                groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
            ):
                rate = base * factor(schedule.last_epoch)
                if abs(rate - group["lr"]) > 0.01 * group["lr"]:
                    log.info(
                        "%s changes from %.3g to %.3g: the schedule now ends at step %d",
                        group["name"],
                        group["lr"],
                        rate,
                        trainer.estimated_stepping_batches,
                    )


def found_here(state: Mapping[str, Any], folder: Path) -> State:
    """State of a ModelCheckpoint whose paths lead to `folder`; files not found there are left out.

    Args:
        state: its `state_dict`, with absolute paths of the time at which it was saved.
        folder: its folder now.
    """

    def moved(path: str) -> str:
        """The path in `folder` of a file that was saved; empty if it is not there."""
        old, home = PureWindowsPath(path), PureWindowsPath(state["dirpath"])  # or with slashes
        name = old.relative_to(home).as_posix() if old.is_relative_to(home) else old.name
        here = folder / name
        return str(here) if path and here.is_file() else ""

    scores = {moved(path): score for path, score in state["best_k_models"].items()}
    scores.pop("", None)
    paths = {
        key: moved(state[key])
        for key in ("best_model_path", "kth_best_model_path", "last_model_path")
    }
    best = state["best_model_score"] if paths["best_model_path"] else None
    return {
        **state,
        **paths,
        "dirpath": str(folder),
        "best_k_models": scores,
        "best_model_score": best,
    }


def change_arguments(
    task: SeparationTask, before: Mapping[str, Any], saved: State, schedules: list[State]
) -> None:
    """Set arguments of optimizer and schedule that were changed since a checkpoint in its state.

    Args:
        task: the task that resumes.
        before: configuration of the checkpoint.
        saved: state of the optimizer, edited in place.
        schedules: states of the schedules, at most one; edited in place.

    Raises:
        InputError: the optimizer has other parameter groups.
    """
    now = task.config
    if all(arguments(before[key]) == arguments(now[key]) for key in ("optimizer", "scheduler")):
        return
    old, new = (
        build(named_like(node, now["optimizer"]))(task)
        for node in (before["optimizer"], now["optimizer"])
    )
    ratios = change_optimizer(saved, old, new)
    for state in schedules:
        plans = [
            build(named_like(config["scheduler"], now["scheduler"]))(optimizer, 1)
            for config, optimizer in ((before, old), (now, new))
        ]
        rates = [rate * ratio for rate, ratio in zip(state["_last_lr"], ratios, strict=True)]
        change_schedule(state, *plans)
        state["_last_lr"] = rates


def change_optimizer(saved: State, old: Optimizer, new: Optimizer) -> list[float]:
    """Set in the state of an optimizer what differs between two new ones.

    Returns:
        ratio of the new to the old learning rate of each group.

    Raises:
        InputError: the groups differ.
    """
    groups = saved["param_groups"]
    there, here = ([group["name"] for group in one.param_groups] for one in (old, new))
    if there != here or len(groups) != len(here):
        raise InputError(
            f"optimizer: its groups of weights are {', '.join(here)} here, {', '.join(there)} in "
            "the checkpoint; keep the parts of lr_scale, and lr_recurrent a number, or null, as "
            "in that training; the values may change"
        )
    ratios = []
    for group, one, other in zip(groups, old.param_groups, new.param_groups, strict=True):
        ratio = other["lr"] / one["lr"] if one["lr"] else 1.0
        rate = group["lr"] * ratio if one["lr"] else other["lr"]
        group.update({key: other[key] for key in other if differs(key, one, other)})
        group["lr"] = rate
        if "initial_lr" in group:
            group["initial_lr"] = other["lr"]
        ratios.append(ratio)
    return ratios


def change_schedule(state: State, old: Schedule, new: Schedule) -> None:
    """Set in the state of a schedule what differs between two new ones.

    With another monitor or direction, the search for a plateau begins anew.
    """
    one, other = (plan["scheduler"].state_dict() for plan in (old, new))
    state.update({key: other[key] for key in other if differs(key, one, other)})
    if old.get("monitor") != new.get("monitor") or differs("mode", one, other):
        state.update({key: other[key] for key in ("best", "num_bad_epochs")})


def differs(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a setting differs between two states; weights are no setting."""
    return key != "params" and one.get(key) != other.get(key)


def arguments(node: Mapping[str, Any] | None) -> State:
    """Arguments in a node with `_target_`."""
    return {key: value for key, value in (node or {}).items() if not key.startswith("_")}


def named_like(node: Mapping[str, Any], like: Mapping[str, Any]) -> State:
    """A node of an older configuration under today's name of its class."""
    return arguments(node) | {key: value for key, value in like.items() if key.startswith("_")}
