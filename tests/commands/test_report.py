"""The command `report`: one page of all runs of a folder."""

import json
import shutil

import numpy as np
import pytest

from auralflow_pl.evaluation.results import TargetScores, TrackScores
from auralflow_pl.evaluation.tables import evaluation_content
from auralflow_pl.metrics.scores import SISDR
from auralflow_pl.training.sweeps.results import SweepResult, save_result
from support.browser import browser, messages, requests

HOSTILE = "</script><b>bad"


@pytest.fixture
def sweep(tmp_path, ckpt):
    """Two groups of two seeds, of which one failed, and a job that was interrupted."""
    rng = np.random.default_rng(0)
    track = rng.normal(size=8)
    for job, (loss, seed) in enumerate([("l1", 0), ("l1", 1), ("l2", 0), ("l2", 1)]):
        folder = tmp_path / "sweep" / str(job)
        made = folder / "eval" / "best" / "songs-test"
        made.mkdir(parents=True)
        values = track + 2 * (loss == "l1") + 0.1 * rng.normal(size=8)
        tracks = [
            TrackScores(
                f"song{n}", 1.0, [TargetScores("vocals", {"si_sdr": {"estimate": float(v)}}, {})]
            )
            for n, v in enumerate(values)
        ]
        content = evaluation_content(tracks, [], SISDR.headings, {"checkpoint": str(job)})
        (made / "eval.json").write_text(json.dumps(content))
        (made / "report.html").touch()
        (folder / "csv").mkdir()
        rows = [f"{0.1 * step},5.0,{step}" for step in range(1, 9)]
        head = "val/si_sdr,throughput/steps_per_second,step"
        (folder / "csv" / "metrics.csv").write_text("\n".join([head, *rows, "0.3"]))
        keys = [f"loss={loss}", f"seed={seed}"]
        evaluation = "eval/best/songs-test/eval.json"
        save_result(SweepResult(folder, keys, float(values.mean()), None, evaluation=evaluation))
    save_result(SweepResult(tmp_path / "sweep" / "4", ["loss=kl", "seed=0"], None, HOSTILE))
    alarm = {"kind": "no_gain", "target": "vocals", "text": f"no gain {HOSTILE}"}
    (tmp_path / "sweep" / "3" / "alarms.json").write_text(json.dumps([alarm]))
    (tmp_path / "sweep" / "2" / "alarms.json").write_text("{")
    (tmp_path / "sweep" / "5" / "checkpoints").mkdir(parents=True)
    shutil.copy(ckpt, tmp_path / "sweep" / "5" / "checkpoints" / "last.ckpt")
    (tmp_path / "sweep" / "5" / "config.yaml").write_text("seed: 7\nmodel: {width: 2}\n")
    return tmp_path / "sweep"


def test_the_page_shows_all_runs_in_a_browser(sweep, command):
    done = command("report", sweep)
    assert done.code == 0, done.err
    assert done.out.strip() == str(sweep / "report.html")
    with browser(dark=True) as chrome:
        chrome.set_window_size(420, 900)
        chrome.get((sweep / "report.html").as_uri())

        def cells(name):
            rows = f"return [...document.querySelectorAll('#{name} tbody tr')]"
            return chrome.execute_script(
                f"{rows}.map((tr) => [...tr.cells].map((td) => td.textContent))"
            )

        scores, runs = cells("scores"), cells("runs")
        note = chrome.find_element("id", "notes").text
        assert len(chrome.find_elements("css selector", "#plots path")) == 4
        link = chrome.find_element("css selector", "#runs a").get_attribute("href")
        width = chrome.execute_script("return document.documentElement.scrollWidth")
        assert width <= chrome.execute_script("return innerWidth")
        assert (messages(chrome), requests(chrome)) == ([], [])
    assert note.splitlines() == [
        "vocals, SI-SDR: the winner is loss=l1, shown to be better than loss=l2",
        f"3: alarm: no gain {HOSTILE}",
    ]
    assert [row[0] for row in scores] == ["loss=l1", "loss=l2"]
    assert [row[-2:] for row in scores] == [["8", "2"]] * 2
    assert [row[1] for row in runs] == [*["finished"] * 4, f"failed: {HOSTILE}", "no end recorded"]
    assert [row[2:4] for row in runs[3:]] == [["l2", "1"], ["kl", "0"], ["", "7"]]
    assert runs[5][5] == "3"  # steps
    assert link == (sweep / "0" / "eval" / "best" / "songs-test" / "report.html").as_uri()


def test_a_single_run_has_a_page_too(run, command, tmp_path):
    single = tmp_path / "run"
    shutil.copytree(run, single, ignore=shutil.ignore_patterns("eval"))  # of other tests
    done = command("report", single, f"output={tmp_path / 'page.html'}")
    assert done.code == 0, done.err
    text = (tmp_path / "page.html").read_text()
    assert '"state": "no end recorded"' in text  # it was silent
    assert "no run was evaluated" in text


@pytest.mark.parametrize(
    "keys, said",
    [
        (["{0}/nowhere"], "nowhere: no such folder; expected one with run folders"),
        (["{0}"], "holds no runs; expected a folder of a sweep"),
        (["{0}", "confidence=1"], "confidence=1.0: expected more than 0 and less than 1"),
        (["{0}", "resamples=99"], "resamples=99: expected 100 or more"),
        ([], "missing required key: folder"),
    ],
)
def test_what_is_no_folder_of_runs(tmp_path, command, keys, said):
    assert said in command("report", *(key.format(tmp_path) for key in keys)).error
