"""Signals within a validation and amid gradient accumulation: no step is lost."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback

from support import TINY_SET
from support.trainings import LONG, assert_same_run, exit_code, finished, rows, same, start, state

KEYS = [  # validations at batches 3 and 6 of an epoch
    *(key for key in LONG if key not in TINY_SET),
    "data=stem_folder",
    "callbacks.autosave.minutes=10",
    "silent=false",
    "trainer.max_epochs=2",
    "trainer.val_check_interval=0.5",
]
SIGNALS = "training.callbacks.test_autosave.Signals"


class Signals(Callback):
    """Sends this process signals once so many optimizer steps are done.

    Args:
        step: number of optimizer steps.
        batches: names of the signals by the number of the training batch.
        tracks: names of the signals by the number of the validation track.
    """

    def __init__(self, step, batches=None, tracks=None):
        self.step, self.batches, self.tracks = step, batches or {}, tracks or {}

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.send(trainer, self.batches.get(batch_idx))

    def on_validation_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0):
        self.send(trainer, self.tracks.get(batch_idx))

    def send(self, trainer, name):
        if name and trainer.global_step == self.step:
            os.kill(os.getpid(), signal.Signals[name])


@pytest.fixture(scope="module")
def root(songs, tmp_path_factory) -> Path:
    """A data set with two validation tracks."""
    root = shutil.copytree(songs, tmp_path_factory.mktemp("two") / "songs")
    (track,) = (root / "valid").iterdir()
    shutil.copytree(track, track.with_name("second"))
    return root


@pytest.fixture
def train(root, tmp_path):
    def call(name: str, *arguments: str) -> tuple[int, Path]:
        folder = tmp_path / name
        keys = [*KEYS, f"data.root={root}", f"paths.run_dir={folder}", *arguments]
        return start(keys), folder

    return call


def signalled(step: int, **sent: str) -> list[str]:
    """Keys of the callback `Signals`."""
    given = [f"+callbacks.signals.{name}={value}" for name, value in sent.items()]
    return [f"+callbacks.signals._target_={SIGNALS}", f"+callbacks.signals.step={step}", *given]


def test_signals_within_a_validation_lose_no_step_and_change_no_result(train):
    accumulation = "trainer.accumulate_grad_batches=3"
    child, whole = train("whole", accumulation)
    assert finished(child)
    for code, step, kept, sent in (
        (143, 0, 1, {"batches": "{0:SIGTERM}"}),  # amid accumulation
        (143, 1, 1, {"tracks": "{1:SIGTERM}"}),  # validation within an epoch
        (143, 1, 1, {"tracks": "{0:SIGTERM}"}),  # again, before any batch
        (130, 2, 2, {"tracks": "{1:SIGINT}"}),  # validation at the end of an epoch
        (-9, 3, 3, {"tracks": "{0:SIGUSR1,1:SIGKILL}"}),
        (143, 3, 4, {"batches": "{5:SIGTERM}"}),  # last batch of an epoch
    ):
        child, folder = train("run", accumulation, *signalled(step, **sent))
        assert exit_code(child) == code, sent
        assert state(folder)["global_step"] == kept
        assert state(folder)["StemDataModule"]["taken"] > 0  # the epoch has not ended
        validated = [row for row in rows(folder) if "val/si_sdr" in row]
        assert len(validated) == kept - 1, sent
    assert finished(train("run", accumulation)[0])
    assert_same_run(whole, folder)
    assert_same_best(whole, folder)


def assert_same_best(*folders):
    one, two = (torch.load(f / "checkpoints" / "best.ckpt", weights_only=True) for f in folders)
    for key in ("state_dict", "current_model_state", "global_step", "epoch"):
        assert same(one[key], two[key]), key


def test_killed_after_the_only_validation_of_an_epoch_its_scores_count_at_the_end(train):
    keys = ["trainer.val_check_interval=4", "trainer.max_epochs=1", "callbacks.autosave.minutes=0"]
    child, whole = train("whole", *keys)
    assert finished(child)
    child, folder = train("run", *keys, *signalled(5, batches="{5:SIGKILL}"))
    assert exit_code(child) == -9
    assert state(folder)["global_step"] == 5
    assert finished(train("run", *keys)[0])
    assert_same_run(whole, folder)
    assert_same_best(whole, folder)


@pytest.mark.parametrize(
    "key, steps, kept",
    [
        ("trainer.accumulate_grad_batches=2", 1, 2),  # the first validation is amid a step
        ("trainer.max_steps=2", 2, 2),  # which ends within an epoch
    ],
)
def test_a_validation_that_is_not_repeated_is_finished(train, key, steps, kept):
    child, folder = train("run", key, *signalled(steps, tracks="{0:SIGTERM}"))
    assert exit_code(child) == 143
    assert state(folder)["global_step"] == kept
    assert len([row for row in rows(folder) if "val/si_sdr" in row]) == 1
