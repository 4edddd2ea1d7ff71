"""The command `compare`."""

import json

import pytest

from auralflow_pl.metrics.scores import SISDR
from auralflow_pl.report.tables import evaluation
from auralflow_pl.scoring import TargetScores, TrackScores


@pytest.fixture
def runs(tmp_path):
    """Evaluations of nine tracks; `better` has half a decibel more, `other` another metric."""
    for name, gain in (("base", 0.0), ("same", 0.0), ("better", 0.5)):
        values = [gain + n + 0.01 * (n % 3) * gain for n in range(9)]
        tracks = [
            TrackScores(f"song{n}", 1.0, [TargetScores("vocals", {"si_sdr": {"estimate": v}}, {})])
            for n, v in enumerate(values)
        ]
        folder = tmp_path / name / "eval" / "best" / "songs-test"
        folder.mkdir(parents=True)
        content = evaluation(tracks, [], SISDR.headings)
        (folder / "eval.json").write_text(json.dumps(content))
    return tmp_path


def test_runs_are_compared_with_the_first(runs, command):
    folders = [runs / name for name in ("base", "same", "better")]
    done = command("compare", *folders)
    assert done.code == 0, done.err
    verdicts = done.out.splitlines()
    assert "is equal to base" in verdicts[0]
    assert "is better than base" in verdicts[1]
    assert "better in 9 of 9 tracks" in verdicts[1]
    page = runs / "better" / "eval" / "best" / "songs-test" / "comparison.html"
    assert verdicts[2] == str(page)
    assert verdicts[1] in page.read_text()


@pytest.mark.parametrize(
    "given, message",
    [
        (["base"], "expected two or more evaluations"),
        (["base", "nowhere"], "no eval.json there; expected the output of `evaluate`"),
        (["base", "better", "confidence=1.5"], "confidence=1.5: expected more than 0"),
        (["base", "strange"], "not written by `evaluate`"),
        (["base", "twice"], "holds 2 evaluations, name one of"),
    ],
)
def test_mistakes_are_named(runs, command, given, message):
    (runs / "strange").mkdir()
    (runs / "strange" / "eval.json").write_text("[]")
    for name in ("one", "two"):
        (runs / "twice" / "eval" / name).mkdir(parents=True)
        (runs / "twice" / "eval" / name / "eval.json").write_text("{}")
    folders = [str(runs / name) if "=" not in name else name for name in given]
    assert message in command("compare", *folders).error
