"""Interrupted trainings, resumed: nothing may tell them from one that was never interrupted."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from support import REPOSITORY, TINY, runs, script
from support.trainings import LONG, assert_same_run, exit_code, finished, start, state


@pytest.fixture(scope="module")
def timed(songs, tmp_path_factory) -> tuple[Path, float]:
    """A training that is never interrupted, and its seconds on this machine today."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    began = time.monotonic()
    assert finished(start([*LONG, f"data.root={songs}", f"paths.run_dir={folder}"]))
    return folder, time.monotonic() - began


@pytest.fixture
def whole(timed) -> Path:
    return timed[0]


@pytest.mark.parametrize("workers, kills", [(0, 6), (2, 3)])
def test_killed_at_any_moment_and_resumed_it_is_the_same_run(
    timed, songs, tmp_path, workers, kills
):
    whole, seconds = timed
    folder = tmp_path / "run"
    arguments = [*LONG, f"data.num_workers={workers}", f"data.root={songs}"]
    moments = random.Random(workers)
    steps = set()
    count = after = 0
    while True:
        child = start([*arguments, f"paths.run_dir={folder}"])
        if count == kills:
            break
        wait_for(folder / "claim.json", after, child)
        if count % 2 == 0:  # soon after a checkpoint
            wait_for(folder / "checkpoints" / "last.ckpt", after, child)
        time.sleep(moments.uniform(0, 0.2 if count % 2 == 0 else 0.7) * seconds)
        after = time.time_ns()
        os.kill(child, signal.SIGKILL)
        if finished(child):  # it was faster: begin again elsewhere
            assert_same_run(whole, folder)
            folder = tmp_path / f"run{count}"
        elif (folder / "checkpoints" / "last.ckpt").is_file():
            steps.add(state(folder)["global_step"])
        count += 1
    assert finished(child)
    assert_same_run(whole, folder)
    assert len(steps) >= kills // 3, steps  # it was not killed at the same place all the time


def test_killed_before_its_first_checkpoint_it_logs_nothing_twice(whole, songs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "checkpoints")
    assert finished(start([*LONG, f"data.root={songs}", f"paths.run_dir={folder}"]))
    assert_same_run(whole, folder)


def processes(first: int) -> list[int]:
    """A process and all below it."""
    listed = Path(f"/proc/{first}/task").glob("*/children")
    children = [int(number) for path in listed for number in path.read_text().split()]
    return [first, *(number for child in children for number in processes(child))]


def test_sigterm_writes_a_checkpoint_and_ends_with_its_code(songs, tmp_path):
    """Sent to the workers as well, as a cluster does it."""
    folder = tmp_path / "run"
    arguments = [*LONG, "silent=false", "callbacks.autosave.minutes=10", "trainer.max_epochs=1000"]
    arguments += ["data.num_workers=2"]
    child = start([*arguments, f"data.root={songs}", f"paths.run_dir={folder}"])
    last = folder / "checkpoints" / "last.ckpt"
    wait_for(last)
    before = state(folder)["global_step"]
    assert len(processes(child)) >= 3
    for process in reversed(processes(child)):
        os.kill(process, signal.SIGUSR1)
    deadline = time.monotonic() + 30
    while "written at step" not in (folder / "train.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for process in reversed(processes(child)):
        os.kill(process, signal.SIGTERM)
    assert exit_code(child) == 128 + signal.SIGTERM
    assert state(folder)["global_step"] > before
    assert "resume=auto goes on from it" in (folder / "train.log").read_text()


def wait_for(path: Path, after: int = 0, child: int | None = None) -> None:
    """Until a file is written, later than `after` in ns, or a child ends that had no need to."""
    deadline = time.monotonic() + 60
    while not (path.is_file() and path.stat().st_mtime_ns > after):
        if child is not None and not runs(child):
            return
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def test_an_interrupted_training_saves_its_step(songs, tmp_path):
    folder = tmp_path / "run"
    child = start(
        [
            *LONG,
            "silent=false",
            "trainer.max_epochs=1000",
            f"data.root={songs}",
            f"paths.run_dir={folder}",
        ]
    )
    wait_for(folder / "checkpoints" / "last.ckpt")
    os.kill(child, signal.SIGINT)
    assert exit_code(child) == 130
    assert "a checkpoint is written after this step" in (folder / "train.log").read_text()


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pytorch_lightning import Callback
class Fill(Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
"""


def test_a_full_disk_leaves_the_checkpoint_before(songs, tmp_path, monkeypatch):
    (tmp_path / "fill.py").write_text(FULL)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "run"
    code, text = script(
        REPOSITORY / "train.py",
        *TINY,
        "+callbacks.fill._target_=fill.Fill",
        "trainer.max_epochs=2",
        f"data.root={songs}",
        f"paths.run_dir={folder}",
    )
    assert code == 1
    (error,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert "not written: File too large" in error
    assert "MB are needed" in error
    assert str(folder / "checkpoints") in error
    assert "Traceback" not in text
    assert state(folder)["epoch"] == 0
    assert not list(folder.rglob("*.part"))
