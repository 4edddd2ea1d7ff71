"""Trainings in forks of this process, and whether two gave the same results."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from auralflow_pl.cli import main as cli
from support import TINY, fork

LONG = [  # everything that has a state or draws numbers
    *TINY,
    "model=vae",
    "model.bottleneck.hidden_size=8",
    "augment=light",
    "callbacks=[default,weight_average]",
    "callbacks.autosave.minutes=0",
    "callbacks.plateau_stopping.stop_patience=1",
    "logger=[csv,tensorboard]",
    "data.chunks_per_epoch=12",
    "trainer.max_epochs=4",
    "trainer.log_every_n_steps=1",
    "print_config=false",
    "resume=auto",
]


def state(folder: Path) -> dict:
    """The last checkpoint, without what times and paths say."""
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def rows(folder: Path) -> list[dict[str, str]]:
    """What was logged, without speeds, in the order of steps."""
    with (folder / "csv" / "metrics.csv").open() as file:
        table = [
            {k: v for k, v in row.items() if v and not k.startswith("throughput")}
            for row in csv.DictReader(file)
        ]
    return [row for row in table if len(row) > 1]


def same(one: object, two: object) -> bool:
    """Whether nested containers hold the same bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def assert_same_run(one: Path, two: Path) -> None:
    """Weights, averages, optimizer, schedule, callbacks and logs are the same, bit for bit."""
    first, second = state(one), state(two)
    for key in ("state_dict", "current_model_state", "optimizer_states", "global_step", "epoch"):
        assert same(first[key], second[key]), key
    for key in ("sums", "schedule"):
        assert same(first["auralflow_pl"][key], second["auralflow_pl"][key]), key
    plateau = next(key for key in first["callbacks"] if key.startswith("PlateauStopping"))
    assert first["callbacks"][plateau] == second["callbacks"][plateau]
    assert rows(one) == rows(two)
    assert scalars(one) == scalars(two)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows."""
    events = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith("throughput")
    }


def start(arguments: list[str]) -> int:
    """Begin a training in a copy of this process, which has imported everything already."""
    child = fork()
    if child:
        return child
    code = 1
    try:
        sys.argv = ["train", *arguments]
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        cli.run("train")
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def exit_code(child: int) -> int:
    """Wait for a training; its exit code, negative if a signal killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finished(child: int) -> bool:
    """Wait for a training; whether it came to its end."""
    return exit_code(child) == 0
