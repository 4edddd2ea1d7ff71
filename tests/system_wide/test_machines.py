"""Jobs on the engines of clusters, as far as one machine has them: submitit, and a local Ray."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch

from support import REPOSITORY, TINY, python


def table(folder):
    with (folder / "summary.csv").open() as file:
        return list(csv.DictReader(file))


def arguments(songs, folder, *more):
    return ["train.py", "-m", *TINY, f"data.root={songs}", f"paths.run_dir={folder}", *more]


def test_a_sweep_on_a_local_ray(songs, tmp_path):
    ray = ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]
    done = python(*arguments(songs, tmp_path / "ray", *ray, "seed=0,1", "model.hidden_leak=0.1"))
    assert done.code == 0, done.err
    rows = table(tmp_path / "ray")
    assert [row["seed"] for row in rows] == ["0", "1"]
    assert rows[0]["score_db"] != rows[1]["score_db"]
    assert all((tmp_path / "ray" / job / "checkpoints" / "best.ckpt").is_file() for job in "01")


def test_a_job_of_submitit_that_is_killed_is_named_and_the_others_are_waited_for(songs, tmp_path):
    (tmp_path / "killing.py").write_text(KILLING)
    folder = tmp_path / "sweep"
    keys = ["hydra/launcher=submitit_local", "+callbacks.own._target_=killing.Killing"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    kinds = "+callbacks.own.kind=killed,slow"
    done = python(*arguments(songs, folder, *keys, kinds), PYTHONPATH=path)
    assert done.code == 1
    assert done.error.startswith(f"error: 1 of the jobs failed: {folder / '0'}; repeat"), done.err
    assert "Traceback" not in done.err
    rows = table(folder)
    assert [row["error"] for row in rows] == ["no result: its process ended or was killed", ""]
    assert rows[1]["score_db"]
    assert (folder / "summary.png").is_file()


KILLING = """
import os, signal, time
from pytorch_lightning import Callback

class Killing(Callback):
    def __init__(self, kind):
        self.kind = kind
    def on_train_start(self, trainer, module):
        if self.kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10)
"""


def test_shards_on_a_local_ray_survive_the_death_of_a_worker(ckpt, command, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    (tmp_path / "in").mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).uniform(-0.1, 0.1, 30 * 44100)
        soundfile.write(tmp_path / "in" / f"{number}.wav", noise, 44100)
    keys = [f"ckpt={ckpt}", f"input={tmp_path / 'in'}", f"output={out}", "separation.shifts=2"]
    shards = [*keys, "shard=1/2,2/2", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    ray = ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]
    with log.open("w") as stream:
        sweep = subprocess.Popen(
            [sys.executable, "separate.py", "-m", *ray, *shards],
            cwd=REPOSITORY,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    wait_until(lambda: list(out.glob("*/report.json")), sweep)
    worker = next(pid for pid in descendants(sweep.pid) if "ray::_run_job" in title(pid))
    os.kill(worker, signal.SIGKILL)
    assert sweep.wait(180) == 0, log.read_text()
    assert "A worker died" in log.read_text()
    assert len(list(out.glob("[0123]/vocals.wav"))) == 4
    assert not list(out.glob(".partial-*"))
    done = command("separate", "-m", *shards)
    assert done.out.count("0 separated, 2 there already, 0 failed") == 2


def title(pid: int) -> str:
    """What a process calls itself; empty if it has ended."""
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_text() if path.is_file() else ""


def descendants(pid: int) -> Iterator[int]:
    """Processes that a process has started, and those that these have."""
    for child in children(pid):
        yield child
        yield from descendants(child)


def children(pid: int) -> list[int]:
    """Processes that a process has started, from any of its threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(number) for path in threads for number in path.read_text().split()]


def test_a_preempted_job_of_submitit_goes_on_from_its_last_step(songs, tmp_path):
    """The signal that SLURM sends before it preempts a job: submitit starts the job again."""
    folder = tmp_path / "sweep"
    keys = [
        "hydra/launcher=submitit_local",
        "hydra.launcher.timeout_min=30",
        "callbacks.autosave.minutes=10",
        "data.chunks_per_epoch=4000",
        "seed=3",
        "silent=false",
        "logger=csv",
    ]
    sweep = subprocess.Popen(
        [sys.executable, *arguments(songs, folder, *keys)],
        cwd=REPOSITORY,
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = folder / "0" / "train.log"
    wait_until(lambda: log.is_file() and "an epoch takes about" in log.read_text(), sweep)
    (job,) = [int(p.name) for p in (folder / ".submitit").iterdir() if p.name.isdigit()]
    (process,) = children(job)
    os.kill(process, signal.SIGUSR2)
    wait_until(lambda: log.read_text().count("run folder") == 2, sweep)
    step = int(log.read_text().partition("written at step ")[2].partition(";")[0])
    assert 0 < step < 2000
    resumed = children(job)
    assert resumed != [process]
    os.kill(resumed[0], signal.SIGTERM)
    sweep.wait(120)
    content = torch.load(folder / "0" / "checkpoints" / "last.ckpt", weights_only=True)
    assert step < content["global_step"] < 2000


def wait_until(condition, process):
    """Until something holds, while a process runs."""
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
