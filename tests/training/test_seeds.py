"""Several seeds as one experiment."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from support import TINY


@pytest.fixture
def train(command, songs, tmp_path):
    """Train with several seeds, and return what was said."""

    def call(*arguments: str, root=songs):
        tiny = TINY if root is songs else [key for key in TINY if "data.source" not in key]
        keys = [*tiny, f"data.root={root}", f"paths.run_dir={tmp_path / 'runs'}"]
        return command("train", *keys, "silent=false", "print_config=false", *arguments)

    return call


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_seeds_are_trained_evaluated_summarized_and_continued(train, tmp_path):
    done = train("seeds=2", "seed=5")
    assert done.code == 0, done.err
    runs = tmp_path / "runs"
    assert [row["seed"] for row in table(runs / "summary.csv")] == ["5", "6"]
    rows = {row["metric"]: row for row in table(runs / "seeds.csv")}
    means = []
    for job in ("0", "1"):
        found = runs / job / json.loads((runs / job / "result.json").read_text())["evaluation"]
        assert found.with_name("report.html").is_file()
        tracks = json.loads(found.read_text())["tracks"]
        scores = [track["targets"][0]["values"]["si_sdr"]["estimate"] for track in tracks]
        means.append(sum(scores) / len(scores))
    assert float(rows["si_sdr"]["mean"]) == pytest.approx(sum(means) / 2, abs=1e-4)
    assert float(rows["si_sdr"]["spread"]) == pytest.approx(
        abs(means[0] - means[1]) / 2**0.5, abs=1e-4
    )
    assert (rows["sdr"]["tracks"], rows["sdr"]["seeds"], rows["sdr"]["low"]) == ("2", "2", "")
    assert "2 tracks, 2 seeds" in done.out

    # killed while the second was evaluated; then a third is wanted
    shutil.rmtree(runs / "1" / "eval")
    before = {job: (runs / job / "train.log").read_text() for job in "01"}
    done = train("seeds=3", "seed=5")
    assert done.code == 0, done.err
    assert {job: (runs / job / "train.log").read_text() for job in "01"} == before
    after = {row["metric"]: row for row in table(runs / "seeds.csv")}
    assert after["si_sdr"]["seeds"] == "3"
    assert "is of another sweep" in train("seeds=3", "seed=6").err


def test_what_cannot_be_evaluated_is_not_trained(train, songs, tmp_path):
    root = tmp_path / "songs"
    shutil.copytree(songs / "train", root / "train")
    shutil.copytree(songs / "train", root / "valid")
    done = train("seeds=2", "data=stem_folder", root=root)
    assert "2 of the jobs failed" in done.error
    assert "seeds=2: evaluates on the split test, but no tracks in" in done.out
    assert not list((tmp_path / "runs").glob("*/checkpoints"))


@pytest.mark.parametrize(
    "given, said",
    [
        (["seeds=0"], "seeds=0: expected the number of trainings, 1 or more"),
        (["seeds=1.5"], "seeds=1.5: expected the number of trainings, 1 or more"),
        (["seeds=2,3"], "seeds=2,3: expected one number of trainings"),
        (["seeds=3", "seed=0,1"], "seed=0,1, seeds=3: both give several seeds"),
        (["-m", "sweep=optuna", "seeds=3", "seed=1,2"], "seeds=3: not with sweep=optuna"),
    ],
)
def test_numbers_of_seeds_that_are_none(train, tmp_path, given, said):
    assert said in train(*given).error
    assert not (tmp_path / "runs").exists()
