"""The command `selfcheck`: verify that a killed and resumed training gives identical results."""

from __future__ import annotations

import csv
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from auralflow_pl.config.relaunch import command_line
from auralflow_pl.config.schema import SelfcheckKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError
from auralflow_pl.system.processes import child_environment

OWN_KEYS = ("check", "kills", "steps")

ABOUT_TIME = "throughput"  # prefix of logged values that depend on time


def selfcheck(config: DictConfig) -> None:
    """Compare a short uninterrupted training with one that is killed several times and resumed.

    Raises:
        InputError: the results differ, or a training fails.
    """
    config = validate(config, SelfcheckKeys)
    check_selfcheck_keys(config)
    epoch = -(-config.steps // 2)
    keys = [
        f"data.chunks_per_epoch={epoch * config.data.batch_size}",
        "trainer.max_epochs=2",
        "trainer.log_every_n_steps=1",
        "++trainer.limit_val_batches=1",
        "callbacks.autosave.minutes=0",
        "logger=csv",
        "print_config=false",
        "silent=true",
        "resume=auto",
    ]
    with tempfile.TemporaryDirectory(prefix="auralflow-") as name:
        whole, killed = Path(name) / "whole", Path(name) / "killed"
        train_killed(keys, whole)
        print(f"not interrupted: {2 * epoch} steps")
        for number in range(config.kills):
            step = train_killed(keys, killed, kill_after=max(1, 2 * epoch // (config.kills + 1)))
            print(f"killed: {number + 1}, the checkpoint is of step {step}")
        train_killed(keys, killed)
        found = different_entries(whole, killed)
        rows = len(logged_rows(whole))
    if found:
        raise InputError(f"selfcheck resume: the two trainings differ in {', '.join(found[:5])}")
    print(
        f"the same, bit for bit: weights, optimizer, schedule, callbacks and {rows} rows of the log"
    )


def check_selfcheck_keys(config: DictConfig) -> None:
    """Raise InputError for keys with which the check is impossible."""
    if config.check != "resume":
        raise InputError(f"check={config.check}: expected resume")
    if config.steps < 2 or config.kills < 0:
        raise InputError(
            f"steps={config.steps}, kills={config.kills}: expected steps >= 2, kills >= 0"
        )
    if "autosave" not in (config.callbacks or {}):
        raise InputError("callbacks: without autosave there is nothing to resume from; add it")


def train_killed(keys: Sequence[str], folder: Path, kill_after: int | None = None) -> int:
    """Train in a subprocess and kill it after some checkpoints.

    Args:
        keys: `key=value` of the command line.
        folder: run folder.
        kill_after: number of checkpoints after which to kill it; None: never.

    Returns:
        optimizer step of the last checkpoint; 0 if there is none.

    Raises:
        InputError: the training fails.
    """
    command = command_line("train", *keys, f"paths.run_dir={folder}", without=OWN_KEYS)
    last = folder / "checkpoints" / "last.ckpt"
    environment = child_environment()
    with (  # a pipe would be full at some time, and the training would wait
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as messages,
        subprocess.Popen(command, env=environment, stderr=messages) as process,  # noqa: S603
    ):
        changes, before = 0, modified_ns(last)
        while kill_after is not None and changes < kill_after and process.poll() is None:
            now = modified_ns(last)
            changes, before = changes + (now != before), now
            time.sleep(0.002)
        killed = kill_after is not None and process.poll() is None
        if killed:
            process.kill()
        process.wait()
        messages.seek(0)
        error = messages.read()
    if process.returncode and not killed:
        lines = [line for line in error.splitlines() if line.startswith("error: ")]
        raise InputError(f"selfcheck: {(lines or error.splitlines() or ['no message'])[-1]}")
    return load_last(folder)["global_step"] if last.is_file() else 0


def modified_ns(path: Path) -> int:
    """Modification time of a file in ns; 0 if it does not exist."""
    return path.stat().st_mtime_ns if path.is_file() else 0


def load_last(folder: Path) -> dict[str, Any]:
    """Load the last checkpoint of a run folder."""
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def logged_rows(folder: Path) -> list[dict[str, str]]:
    """Rows of the log without values that depend on time."""
    with (folder / "csv" / "metrics.csv").open(encoding="utf-8") as file:
        table = [
            {k: v for k, v in row.items() if v and not k.startswith(ABOUT_TIME)}
            for row in csv.DictReader(file)
        ]
    return [row for row in table if len(row) > 2]  # has values besides epoch and step


def different_entries(one: Path, two: Path) -> list[str]:
    """Names of entries that are not bit-identical in last checkpoints and logs of two runs."""
    first, second = load_last(one), load_last(two)
    for content in (first, second):
        content["auralflow_pl"].pop("config")
        content.pop("hyper_parameters")  # the configuration again
        content.pop("loops")  # counts how often Lightning's loops were entered
        content["callbacks"] = {
            name.partition("{")[0]: {k: v for k, v in state.items() if "path" not in k}
            for name, state in content["callbacks"].items()
            if "dirpath" not in state
        }
    found = list(unequal_parts(first, second, ""))
    return found + (["the log"] if logged_rows(one) != logged_rows(two) else [])


def unequal_parts(one: Any, two: Any, name: str) -> Iterator[str]:
    """Yield the names of entries of nested containers that are not equal."""
    if isinstance(one, Mapping) and isinstance(two, Mapping) and one.keys() == two.keys():
        for key in one:
            yield from unequal_parts(one[key], two[key], f"{name}.{key}" if name else str(key))
    elif isinstance(one, list | tuple) and isinstance(two, list | tuple) and len(one) == len(two):
        for number, (a, b) in enumerate(zip(one, two, strict=True)):
            yield from unequal_parts(a, b, f"{name}[{number}]")
    elif isinstance(one, Tensor) and isinstance(two, Tensor):
        if not torch.equal(one, two):
            yield name
    elif one != two:
        yield name
