"""Sweeps: a failing job leaves the others alone, and a rerun does only what is missing."""

from __future__ import annotations

import csv
import json
import sys

import optuna
import pytest
from hydra.core.plugins import Plugins
from PIL import Image

from auralflow_pl.report.figures import axis_places
from auralflow_pl.training.sweeps.launching import short_cause
from support import TINY

CRASH = """
from pathlib import Path
import torch
from pytorch_lightning import Callback
from auralflow_pl.errors import InputError

class Crash(Callback):
    def __init__(self, kind):
        self.kind = kind
    def on_train_start(self, trainer, module):
        with Path(__file__).with_name("ran.txt").open("a") as file:
            print(self.kind, file=file)
        if Path(__file__).with_name("mended").exists():
            return
        if self.kind == "b_input":
            raise InputError("data.root=x: bad")
        if self.kind == "d_memory":
            raise RuntimeError("out of memory\\nin two lines")
        if self.kind == "gpu":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0")
        if self.kind == "f_nan":
            next(module.separator.network.parameters()).data.fill_(float("nan"))
"""


@pytest.fixture
def sweep(command, songs, tmp_path, monkeypatch):
    (tmp_path / "crashing.py").write_text(CRASH)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "crashing", raising=False)

    def call(*arguments: str):
        return command(
            "train",
            "-m",
            "+callbacks.crash.kind=a,b_input,c,d_memory,e,f_nan",
            "+callbacks.crash._target_=crashing.Crash",
            *TINY,
            "silent=false",
            "print_config=false",
            f"data.root={songs}",
            f"paths.run_dir={tmp_path / 'sweep'}",
            *arguments,
        )

    return call


def table(folder):
    with (folder / "summary.csv").open() as file:
        return list(csv.DictReader(file))


def test_three_of_six_jobs_crash_and_a_rerun_does_these(sweep, tmp_path):
    done = sweep()
    assert "3 of the jobs failed" in done.error
    rows = table(tmp_path / "sweep")
    kinds = [row["callbacks.crash.kind"] for row in rows]
    assert kinds == ["a", "b_input", "c", "d_memory", "e", "f_nan"]
    assert [bool(row["error"]) for row in rows] == [False, True] * 3
    assert rows[1]["error"] == "data.root=x: bad"
    assert rows[3]["error"] == "RuntimeError: out of memory in two lines"
    assert "is not finite" in rows[5]["error"]
    assert all(row["score_db"] == "" for row in rows[1::2])
    assert len({row["score_db"] for row in rows[::2]}) == 1  # the same training
    with Image.open(tmp_path / "sweep" / "summary.png") as picture:
        assert picture.size[0] > 500
    assert not list((tmp_path / "sweep" / "5" / "checkpoints").glob("*.ckpt"))

    (tmp_path / "mended").touch()
    (tmp_path / "ran.txt").unlink()
    done = sweep()
    assert done.code == 0, done.err
    assert (tmp_path / "ran.txt").read_text().split() == ["b_input", "d_memory", "f_nan"]
    assert [row["error"] for row in table(tmp_path / "sweep")] == [""] * 6
    assert json.loads((tmp_path / "sweep" / "3" / "result.json").read_text())["score"] is not None


def test_a_folder_of_another_sweep_is_refused(sweep):
    assert sweep("+callbacks.crash.kind=a", "seed=0").code == 0
    assert "is of another sweep" in sweep("+callbacks.crash.kind=a", "seed=1").err


@pytest.mark.parametrize(
    "kind", [[], ["sweep=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2"]]
)
def test_a_killed_process_does_not_lose_the_other_jobs(kind, command, songs, tmp_path, monkeypatch):
    """The launchers of clusters raise an error if one of their processes is killed."""
    folder = tmp_path / "study"

    def make_launcher(*arguments, **keys):
        launcher = make(*arguments, **keys)
        launch = launcher.launch

        def launch_one(jobs, initial_job_idx):
            launch(jobs[:1], initial_job_idx)
            assert [row["error"] for row in table(folder)] == [""]  # while the sweep goes on
            raise ConnectionError("a worker died\nunexpectedly. See /tmp/x.log for help.")

        launcher.launch = launch_one
        return launcher

    def search():
        keys = ["model.dropout=choice(0.1,0.2)", *TINY, f"data.root={songs}"]
        return command("train", "-m", *kind, *keys, f"paths.run_dir={folder}")

    make = Plugins.instantiate_launcher
    with monkeypatch.context() as patch:
        patch.setattr(Plugins, "instantiate_launcher", make_launcher)
        assert "1 of the jobs failed" in search().error
    assert (folder / "summary.png").is_file()
    causes = [row["error"] for row in table(folder)]
    assert causes == ["", "no result: ConnectionError: a worker died unexpectedly"]
    done = search()
    assert done.code == 0, done.err
    assert [row["error"] for row in table(folder)] == ["", ""]


def test_a_study_is_kept_continued_and_pruned(command, songs, tmp_path):
    folder = tmp_path / "study"

    def search(trials):
        done = command(
            "train",
            "-m",
            "sweep=optuna",
            f"hydra.sweeper.n_trials={trials}",
            "optimizer.lr=tag(log,interval(1e-12,1e-2))",
            "model.dropout=choice(0.1,0.2)",
            *TINY,
            "trainer.max_epochs=2",
            "callbacks.pruning.startup_trials=1",
            "callbacks.pruning.warmup_epochs=0",
            f"data.root={songs}",
            f"paths.run_dir={folder}",
        )
        assert done.code == 0, done.err
        return optuna.load_study(study_name="auralflow", storage=f"sqlite:///{folder}/study.db")

    assert len(search(2).trials) == 2
    study = search(5)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 5
    assert len({trial.params["optimizer.lr"] for trial in study.trials}) == 5
    first = study.trials[0]
    assert set(first.intermediate_values) == {0, 1}
    assert first.value == pytest.approx(max(first.intermediate_values.values()))
    for trial in study.trials[1:]:
        assert bool(trial.user_attrs.get("pruned")) == (len(trial.intermediate_values) == 1), trial
    assert any(trial.user_attrs.get("pruned") for trial in study.trials)
    assert len(search(5).trials) == 5
    rows = table(folder)
    scores = [trial.value for trial in study.trials]
    assert [float(row["score_db"]) for row in rows] == pytest.approx(scores, abs=1e-3)
    assert set(rows[0]) == {"job", "optimizer.lr", "model.dropout", "score_db", "error"}


DEAD = """Job 12 (task: 0) with path /runs/sweep/.submitit/12/12_0_result.pkl
has not produced any output (state: {})
Error stream produced:
----------------------------------------
an epoch takes about 3 s"""

FAILED = """Job (task=0) failed during processing with trace:
----------------------
Traceback (most recent call last):
  File "/lib/submitit/core/submission.py", line 55, in process_job
    result = delayed.result()
ModuleNotFoundError: No module named 'mypkg'

----------------------
You can check full logs with 'job.stderr(0)' and 'job.stdout(0)'or at paths:
  - /runs/sweep/.submitit/12/12_0_log.err"""


@pytest.mark.parametrize(
    "text, cause",
    [
        (DEAD.format("FINISHED"), "its process ended or was killed"),
        (DEAD.format("OUT_OF_MEMORY"), "its process ended or was killed (OUT_OF_MEMORY)"),
        (FAILED, "ModuleNotFoundError: No module named 'mypkg'"),
        ("A worker died. See python-core-worker-*.log\nfor more.", "RuntimeError: A worker died"),
    ],
)
def test_the_cause_of_a_death_is_short(text, cause):
    assert short_cause(RuntimeError(text)) == f"no result: {cause}"


@pytest.fixture
def two_jobs(command, songs, tmp_path):
    def call(*arguments: str):
        keys = [*TINY, f"data.root={songs}", f"paths.run_dir={tmp_path / 'sweep'}"]
        return command("train", "-m", *keys, *arguments)

    return call


def test_a_check_of_all_jobs_leaves_nothing(two_jobs, tmp_path):
    done = two_jobs("trainer.fast_dev_run=true", "seed=0,1")
    assert done.code == 0, done.err
    assert done.out == ""  # silent=true: also without the lines of Hydra
    assert not (tmp_path / "sweep").exists()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").touch()
    done = two_jobs("trainer.fast_dev_run=true", "model.width=-1,2")
    assert done.code == 1
    assert "width=-1" in done.error
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["multirun.yaml"]
    assert not (tmp_path / "sweep" / "multirun.yaml").read_text()


def test_the_best_of_a_loss_is_the_lowest(two_jobs, tmp_path):
    monitor = "callbacks.best_checkpoint.monitor=val/loss"
    done = two_jobs(monitor, "optimizer.lr=1e-9,1e-2", "silent=false", "print_config=false")
    assert done.code == 0, done.err
    rows = table(tmp_path / "sweep")
    assert list(rows[0]) == ["job", "optimizer.lr", "val/loss", "error"]
    losses = [float(row["val/loss"]) for row in rows]
    assert losses[0] > losses[1] > 0
    (best,) = [line for line in done.out.splitlines() if "(lowest)" in line]
    assert f"optimizer.lr=0.01  val/loss {rows[1]['val/loss']}  (lowest)" in best
    assert "no winner shown: one score per job does not tell better values from chance" in done.out
    result = json.loads((tmp_path / "sweep" / "1" / "result.json").read_text())
    assert (result["monitor"], result["mode"]) == ("val/loss", "min")


@pytest.mark.parametrize(
    "keys, said",
    [
        (
            ["callbacks.best_checkpoint.monitor=val/loss"],
            "hydra.sweeper.direction=maximize: of callbacks.best_checkpoint.monitor=val/loss, "
            "lower is better; pass hydra.sweeper.direction=minimize",
        ),
        (["callbacks.best_checkpoint.monitor=val/si_sdr,val/loss"], "val/loss, lower is better"),
        (["hydra.sweeper.direction=minimize"], "val/si_sdr, higher is better"),
        (["trainer.fast_dev_run=true"], "trainer.fast_dev_run: leaves no scores"),
    ],
)
def test_what_a_study_cannot_do_is_refused_before_its_first_trial(keys, said, two_jobs, tmp_path):
    done = two_jobs("sweep=optuna", "seed=0,1", *keys)
    assert done.code == 1
    assert said in done.error
    assert not (tmp_path / "sweep").exists()


def test_a_job_that_is_out_of_memory_has_a_short_cause(sweep, tmp_path):
    done = sweep("+callbacks.crash.kind=gpu")
    assert done.code == 1
    assert "Traceback" not in done.err + done.out
    (row,) = table(tmp_path / "sweep")
    assert row["error"].startswith("the memory does not suffice; lower data.batch_size")
    assert row["error"].endswith("(20.00 MiB more were asked for)")


def test_values_have_their_places_on_an_axis():
    places, marks = axis_places(["b", "a", "b", "c"])
    assert places == [0.5, 0, 0.5, 1]
    assert marks == {"a": 0, "b": 0.5, "c": 1}
    places, marks = axis_places([str(10.0**-n) for n in range(7)])
    assert places == pytest.approx([1 - n / 6 for n in range(7)])
    assert marks == {"1e-06": 0, "1": 1}
    assert axis_places(["3", "3"]) == ([0.5, 0.5], {"3": 0.5})
