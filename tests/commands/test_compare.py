"""The command `compare`."""

import json
import re
from pathlib import Path

import pytest

from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.comparing.members import find_members
from auralflow_pl.evaluation.results import TargetScores, TrackScores
from auralflow_pl.evaluation.tables import evaluation_content
from auralflow_pl.metrics.scores import SISDR

SETTINGS = {
    "metrics": {"si_sdr": {"_target_": "SISDR", "window_seconds": 1.0}},
    "targets": {"vocals": ["vocals"]},
}


def write_run(folder, values, targets=("vocals",), settings=SETTINGS, **changes):
    """An evaluation with these SI-SDRs of its tracks."""
    scores = [
        [TargetScores(target, {"si_sdr": {"estimate": value}}, {}) for target in targets]
        for value in values
    ]
    kept = {"seconds": 1.0, "sound": "abc"} | changes
    tracks = [TrackScores(f"song{n}", targets=found, **kept) for n, found in enumerate(scores)]
    folder.mkdir(parents=True)
    content = evaluation_content(tracks, [], SISDR.headings, settings)
    (folder / "eval.json").write_text(json.dumps(content))


@pytest.fixture
def runs(tmp_path):
    """Evaluations of nine tracks; `better` has half a decibel more."""
    for name, gain in (("base", 0.0), ("same", 0.0), ("better", 0.5)):
        folder = tmp_path / name / "eval" / "best" / "songs-test"
        write_run(folder, [gain + n + 0.01 * (n % 3) * gain for n in range(9)])
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


@pytest.fixture
def seeds(tmp_path):
    """Two folders of three runs on nine tracks; those of `b` have a decibel more."""
    for group, gain in (("a", 0.0), ("b", 1.0)):
        for seed, shift in enumerate((-0.05, 0.0, 0.05)):
            folder = tmp_path / group / str(seed)
            values = [gain + shift + n + 0.01 * (n % (2 + seed)) for n in range(9)]
            settings = SETTINGS | {"checkpoint": f"{group}{seed}"}
            write_run(folder / "eval" / "best" / "songs-test", values, settings=settings)
            config = {"seed": seed, "loss": group, "paths": {"run_dir": str(folder)}}
            config["dirpath"] = f"{folder}/checkpoints"
            (folder / "config.yaml").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    "given",
    [
        ["{0}/a", "{0}/b"],
        ["runs=[[{0}/a/0,{0}/a/1, {0}/a/2],{0}/b]"],
        ["[{0}/a/0,{0}/a/1,{0}/a/2]", "{0}/b"],
    ],
)
def test_groups_of_seeds_are_compared(seeds, command, given):
    done = command("compare", *(word.format(seeds) for word in given))
    assert done.code == 0, done.err
    verdict, page = done.out.splitlines()
    before = "a" if given[0].endswith("a") else "a/0, a/1, a/2"
    assert verdict.startswith(f"vocals, SI-SDR: b is better than {before}: +1.00 dB (95% interval ")
    assert verdict.endswith("better in 9 of 9 tracks, 3 seeds against 3)")
    assert '"seeds": [3, 3]' in Path(page).read_text()


@pytest.mark.parametrize(
    "given, message",
    [
        ([["a/0", "a/0"], "b"], "a/0/eval/best/songs-test stands twice"),
        ([["a/0", "a/1"], ["a/1"]], "stands twice; expected every run once"),
        (["a", "b", "b/0"], "stands twice"),
        ([[], "b"], "runs: [] in it; expected folders, or lists of folders"),
        ([[["a"]], "b"], "runs: a list in it; expected folders"),
        (["all", "b"], "differ in more than their seed; pass them in groups, runs='[[all/0],["),
        (["empty", "b"], "runs=empty: no eval.json there"),
    ],
)
def test_groups_that_are_none_are_named(seeds, monkeypatch, given, message):
    monkeypatch.chdir(seeds)
    for path in (Path("all"), Path("empty")):
        path.mkdir()
    for number, group in enumerate("ab"):
        (Path("all") / str(number)).symlink_to(seeds / group / "0")
    with pytest.raises(InputError, match=re.escape(message)):
        find_members(given)


@pytest.mark.parametrize(
    "group, message",
    [
        ("[{0}/a/0,{0}/copy]", "two of these runs are of the same checkpoint"),
        ("[{0}/a/0,{0}/other]", "not the same sound in a/0 and "),
    ],
)
def test_groups_of_other_data_or_of_one_model_are_refused(seeds, command, group, message):
    write_run(seeds / "copy", range(9), settings=SETTINGS | {"checkpoint": "a0"})
    write_run(seeds / "other", range(9), sound="def")
    assert message in command("compare", f"runs=[{group},{{0}}/b]".format(seeds)).error


@pytest.mark.parametrize(
    "given, message",
    [
        (["base"], "expected two or more evaluations"),
        (["base", "nowhere"], "no eval.json there; expected the output of `evaluate`"),
        (["base", "better", "confidence=1.5"], "confidence=1.5: expected more than 0"),
        (["base", "better", "resamples=99"], "resamples=99: expected 100 or more"),
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


@pytest.fixture
def pair(tmp_path, command):
    """Compare nine tracks with an evaluation that `write_run` makes of the arguments."""

    def call(*arguments, **changes):
        write_run(tmp_path / "base", range(9))
        write_run(tmp_path / "other", *arguments, **changes)
        return command("compare", tmp_path / "base", tmp_path / "other")

    return call


def changed(**options):
    metrics = {"si_sdr": SETTINGS["metrics"]["si_sdr"] | options, "sdr": {"window_seconds": 3.0}}
    return {"settings": SETTINGS | {"metrics": metrics}}


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            changed(window_seconds=2.0),
            "metrics.si_sdr.window_seconds=1.0 in base and 2.0 in other; evaluate both with the "
            "same settings",
        ),
        (
            {"settings": SETTINGS | {"targets": {"vocals": ["choir", "solo"]}}},
            'targets.vocals=["vocals"] in base and ["choir", "solo"] in other',
        ),
        (
            {"sound": "def"},
            "song0, song1, song2 and 6 more: not the same sound in base and other; evaluate both "
            "on the same data set",
        ),
        ({"seconds": 2.0, "sound": None}, "not the same sound in base and other"),
    ],
)
def test_what_was_measured_differently_is_not_compared(pair, changes, message):
    assert message in pair(range(9), **changes).error


def test_the_rest_of_other_targets_is_not_compared(tmp_path, command):
    for name, targets in (("base", ("drums", "bass")), ("other", ("drums", "vocals"))):
        settings = SETTINGS | {"rest": True, "targets": {target: [target] for target in targets}}
        write_run(tmp_path / name, range(9), ("drums", "rest"), settings)
    done = command("compare", tmp_path / "base", tmp_path / "other")
    assert 'targets.rest=["mixture", "-bass", "-drums"] in base' in done.error


@pytest.mark.parametrize("changes", [changed(), {"settings": {}, "sound": None}])
def test_other_metrics_beside_and_tables_without_settings_are_no_obstacle(pair, changes):
    done = pair(range(9), **changes)
    assert done.code == 0, done.err
    assert "other is equal to base" in done.out


def test_tables_from_before_there_were_settings_are_compared(runs, command):
    (path,) = (runs / "same").rglob("eval.json")
    content = json.loads(path.read_text())
    del content["settings"]
    for track in content["tracks"]:
        del track["sound"]
    path.write_text(json.dumps(content))
    done = command("compare", runs / "base", runs / "same")
    assert "is equal to base" in done.out


def test_tracks_and_targets_of_only_one_run_are_named(pair):
    done = pair(range(7), targets=("vocals", "drums"))
    assert done.code == 0, done.err
    verdict, note, page = done.out.splitlines()
    assert verdict.endswith("; 2 tracks only in base: song7, song8")
    assert note == "only other has the target drums"
    text = Path(page).read_text()
    assert note in text
    assert '"only_before": ["song7", "song8"]' in text


def test_nothing_in_common_is_a_mistake(pair):
    done = pair(range(9), targets=("drums",))
    assert "no track and target in common" in done.error


def test_a_folder_is_no_page(runs, command):
    done = command("compare", runs / "base", runs / "same", f"output={runs}")
    assert f"output={runs}: is a folder; expected a file, as in output={runs}/comparison.html" in (
        done.error
    )
