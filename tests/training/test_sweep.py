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


def test_a_folder_of_another_sweep_is_refused(sweep, tmp_path):
    (tmp_path / "mended").touch()
    assert sweep("seed=0").code == 0
    assert "is of another sweep" in sweep("seed=1").err


def test_a_killed_process_does_not_lose_the_other_trials(command, songs, tmp_path, monkeypatch):
    """The launchers of clusters raise an error if one of their processes is killed."""
    folder = tmp_path / "study"

    def make_launcher(*arguments, **keys):
        launcher = make(*arguments, **keys)
        launch = launcher.launch

        def launch_one(jobs, initial_job_idx):
            launch(jobs[:1], initial_job_idx)
            assert [row["error"] for row in table(folder)] == [""]  # while the sweep goes on
            raise ConnectionError("a worker died\nunexpectedly")

        launcher.launch = launch_one
        return launcher

    def search():
        trials = ["sweep=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2"]
        keys = ["model.dropout=choice(0.1,0.2)", *TINY, f"data.root={songs}"]
        return command("train", "-m", *trials, *keys, f"paths.run_dir={folder}")

    make = Plugins.instantiate_launcher
    with monkeypatch.context() as patch:
        patch.setattr(Plugins, "instantiate_launcher", make_launcher)
        assert "1 of the jobs failed" in search().error
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


def test_values_have_their_places_on_an_axis():
    places, marks = axis_places(["b", "a", "b", "c"])
    assert places == [0.5, 0, 0.5, 1]
    assert marks == {"a": 0, "b": 0.5, "c": 1}
    places, marks = axis_places([str(10.0**-n) for n in range(7)])
    assert places == pytest.approx([1 - n / 6 for n in range(7)])
    assert marks == {"1e-06": 0, "1": 1}
    assert axis_places(["3", "3"]) == ([0.5, 0.5], {"3": 0.5})
