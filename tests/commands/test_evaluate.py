"""The command `evaluate`: caches, processes, folders of estimates, museval's layout."""

import csv
import hashlib
import json
import math
import os
import shutil
import signal
import time
from multiprocessing import active_children

import numpy as np
import pytest
import soundfile
import torch
from filelock import FileLock
from torchmetrics.functional.audio import signal_noise_ratio

from auralflow_pl import __version__
from auralflow_pl.audio.reading import read_audio
from auralflow_pl.data.sources.synthetic import SyntheticSongs
from support import ended, forked_command, python, runs
from support.museval_code import museval_bss_eval

STEMS = ("vocals", "drums", "bass", "other")


def rows(folder):
    with (folder / "eval.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Two songs of three seconds, since most tests need no more."""
    root = tmp_path_factory.mktemp("short") / "songs"
    SyntheticSongs(root, 1, 1, 2, seconds=3, workers=1).prepare()
    return root


@pytest.fixture
def estimates(short, tmp_path):
    """Stems of some other tool: each hears a little of all the others, and noise."""
    root = tmp_path / "estimates"
    for song in (short / "test").iterdir():
        mixture, rate = soundfile.read(song / "mixture.wav")
        (root / song.name).mkdir(parents=True)
        for stem in STEMS:
            sound = 0.8 * soundfile.read(song / f"{stem}.wav")[0] + 0.1 * mixture
            sound += 0.01 * np.random.default_rng(0).standard_normal(sound.shape)
            soundfile.write(root / song.name / f"{stem}.wav", sound, rate, "FLOAT")
    return root


@pytest.fixture
def evaluate(command, estimates, short, tmp_path):
    def call(*arguments, output="eval"):
        given = [f"estimates={estimates}", "data=stem_folder", f"data.root={short}"]
        done = command(
            "evaluate", *given, f"output={tmp_path / output}", "report=false", *arguments
        )
        assert done.code == 0, done.err
        return tmp_path / output

    return call


def test_stems_of_another_tool_agree_with_museval_and_torchmetrics(evaluate, estimates, short):
    folder = evaluate(
        "metrics=[snr,bss_eval]",
        "references=[mixture]",
        "metrics.bss_eval.taps=64",
        "metrics.bss_eval.all_audible=true",
    )
    sound, song = {}, sorted(p.name for p in estimates.iterdir())[0]
    for kind, root in (("estimate", estimates), ("target", short / "test")):
        sound[kind] = torch.stack([read_audio(root / song / f"{s}.wav").samples for s in STEMS])
    rate = read_audio(estimates / song / "vocals.wav").sample_rate
    theirs = museval_bss_eval(sound["estimate"], sound["target"], rate, rate, 64)
    table = [row for row in rows(folder) if row["track"] == song]
    assert [row["target"] for row in table] == list(STEMS)
    for number, row in enumerate(table):
        for name, frames in zip(("sdr", "isr", "sir", "sar"), theirs[:, number], strict=True):
            median = torch.nanquantile(frames[frames.isfinite()], 0.5)
            assert float(row[f"bss_{name}"]) == pytest.approx(float(median), abs=1e-4)
        snr = signal_noise_ratio(*(sound[k][number].flatten() for k in ("estimate", "target")))
        assert float(row["snr"]) == pytest.approx(float(snr), abs=1e-3)


def test_museval_reads_its_layout(evaluate, estimates, tmp_path):
    """In a process of its own, and with an `ffmpeg` that museval only looks for."""
    sound, rate = soundfile.read(estimates / "song000" / "vocals.wav")
    sound[rate : 2 * rate] = 0
    soundfile.write(estimates / "song000" / "vocals.wav", sound, rate, "FLOAT")
    folder = evaluate("metrics=[bss_eval]", "references=[]", "metrics.bss_eval.taps=16")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("ffmpeg", "ffprobe"):
        (tools / name).write_text("#!/bin/sh\nexit 0\n")
        (tools / name).chmod(0o755)
    code = (
        "import json, pathlib, sys, museval\n"
        "for path in pathlib.Path(sys.argv[1]).glob('test/*.json'):\n"
        "    track = museval.TrackStore(path.stem)\n"
        "    track.scores = json.loads(path.read_text())\n"
        "    track.validate()\n"
        "    repr(track)\n"
        "store = museval.EvalStore()\n"
        "store.add_eval_dir(sys.argv[1])\n"
        "scores = store.agg_frames_scores()\n"
        "print(scores.to_json())\n"
        "print(repr(store))\n"
    )
    path = f"{tools}:/usr/bin:/bin"
    done = python("-W", "ignore", "-c", code, folder / "museval", PATH=path)
    assert done.code == 0, done.err
    theirs = json.loads(done.out.splitlines()[0])
    for row in rows(folder):
        key = f"('{row['track']}', '{row['target']}', 'SDR')"
        assert theirs[key] == pytest.approx(float(row["bss_sdr"]), abs=1e-3)
    assert "median over tracks" in done.out
    assert "NaN" in (folder / "museval" / "test" / "song000.json").read_text()
    assert "NaN" not in (folder / "eval.json").read_text()


def test_nothing_of_an_earlier_evaluation_stays(evaluate, estimates, short, tmp_path):
    fast = ["references=[]", "metrics.bss_eval.taps=16"]
    folder = evaluate("metrics=[bss_eval]", *fast, "report=true")
    theirs = [folder / "museval" / "test" / name for name in ("notes.json", "list.json", "a.txt")]
    for path, text in zip(
        theirs, ('{"targets": [], "museval_version": "0.4.1"}', "[", "x"), strict=True
    ):
        path.write_text(text)
    evaluate("metrics=[bss_eval]", *fast, f"data.root={without(short, 'song001', tmp_path)}")
    assert not (folder / "report.html").exists()
    (folder / "report.html").write_text("<!doctype html><title>mine</title>")
    files = {path.name for path in folder.glob("museval/*/*")}
    assert files == {"song000.json", *(path.name for path in theirs)}
    evaluate("metrics=[snr]")
    assert {path.name for path in folder.glob("museval/*/*")} == {path.name for path in theirs}
    for path in theirs:
        path.unlink()
    evaluate("metrics=[bss_eval]", *fast)
    assert len(list(folder.glob("museval/*/*"))) == 2
    evaluate("metrics=[snr]")
    assert not (folder / "museval").exists()
    assert "mine" in (folder / "report.html").read_text()


def without(short, name, tmp_path):
    """A data set that has lost a song."""
    shutil.copytree(short / "test", tmp_path / "fewer" / "test")
    shutil.rmtree(tmp_path / "fewer" / "test" / name)
    return tmp_path / "fewer"


def test_a_second_run_computes_nothing_and_a_changed_file_one_track(evaluate, estimates):
    folder = evaluate()
    first, stamps = (folder / "eval.csv").read_bytes(), times(folder)
    assert len(stamps) == 2
    for name in ("._vocals.wav", ".DS_Store", "residual.mp3", "residual.wav", "notes.txt"):
        (estimates / "song000" / name).write_text("no estimate")
    evaluate()
    assert times(folder) == stamps
    assert (folder / "eval.csv").read_bytes() == first
    shutil.copy(estimates / "song000" / "drums.wav", estimates / "song000" / "vocals.wav")
    evaluate()
    assert len(times(folder)) == 3
    assert (folder / "eval.csv").read_bytes() != first
    evaluate("metrics=[snr]")
    assert len(times(folder)) == 5


def times(folder):
    return {p.name: p.stat().st_mtime_ns for p in (folder / "tracks").iterdir()}


def test_two_processes_give_the_same_files(evaluate):
    one, two = evaluate("jobs=1", output="one"), evaluate("jobs=2", output="two")
    ddp = evaluate("trainer=ddp", "trainer.accelerator=cpu", output="ddp")
    for name in ("eval.csv", "eval.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes() == (ddp / name).read_bytes()
    assert times(one).keys() == times(two).keys() == times(ddp).keys()


@pytest.fixture
def many(short, estimates, tmp_path):
    """Ten times the same song and its estimates, and the arguments that evaluate them."""
    for number in range(10):
        shutil.copytree(short / "test" / "song000", tmp_path / "many" / "test" / f"{number}")
        shutil.copytree(estimates / "song000", tmp_path / "stems" / f"{number}")
    given = [f"estimates={tmp_path / 'stems'}", "data=stem_folder", f"data.root={tmp_path}/many"]
    return [*given, f"output={tmp_path / 'eval'}", "report=false", "metrics=[bss_eval]", "jobs=2"]


def test_an_error_in_one_process_stops_the_others(command, many, tmp_path):
    broken = tmp_path / "stems" / "1" / "bass.wav"
    sound, rate = soundfile.read(broken)
    soundfile.write(broken, np.full_like(sound, np.nan), rate, "FLOAT")
    before = set(active_children())
    done = command("evaluate", *many)
    assert str(broken) in done.error
    assert len(list((tmp_path / "eval").glob("tracks/*.json"))) < 4
    assert set(active_children()) <= before


def killed_after_a_track(folder, *arguments):
    """Kill an evaluation when its first track is written; return its exit code and its output."""
    child, read = forked_command("evaluate", *arguments)
    deadline = time.monotonic() + 400
    while not list(folder.glob("tracks/*.json")):
        assert runs(child)
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return ended(child, read, within=60)


def test_a_killed_evaluation_leaves_no_processes(many, tmp_path):
    """Its processes share its output, which ends with the last of them."""
    code, _ = killed_after_a_track(tmp_path / "eval", *many)
    assert code == -signal.SIGKILL
    assert 0 < len(list((tmp_path / "eval").glob("tracks/*.json"))) < 10


def test_a_process_of_ddp_takes_what_nobody_has_begun(evaluate, monkeypatch):
    """As torchrun starts them, one after the other."""
    few = ["metrics=[snr]", "references=[]", "trainer=ddp"]
    one = evaluate(*few[:2], output="one")
    first, second = sorted(times(one))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with FileLock((one.parent / "two" / "tracks" / first).with_suffix(".lock")):
        two = evaluate(*few, output="two")
        assert [path.name for path in two.glob("tracks/*.json")] == [second]
        assert not (two / "eval.csv").exists()
    before = times(two)[second]
    monkeypatch.setenv("RANK", "0")
    evaluate(*few, output="two")
    assert times(two).keys() == {first, second}
    assert times(two)[second] == before
    assert (one / "eval.csv").read_bytes() == (two / "eval.csv").read_bytes()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["trainer=ddp", "trainer.max_epochs=3"], "trainer.max_epochs: has no meaning here"),
        (["trainer=ddp", "jobs=2"], "jobs=2: trainer starts the processes"),
        (["trainer.devices=2"], "needs several processes, for example trainer=ddp"),
        (["trainer=ddp", "trainer.devices=0"], "trainer.devices=0: expected a number"),
    ],
)
def test_mistakes_with_several_processes(command, estimates, short, arguments, message):
    given = [f"estimates={estimates}", "data=stem_folder", f"data.root={short}"]
    assert message in command("evaluate", *given, *arguments).error


def test_a_killed_evaluation_goes_on(evaluate, estimates, short, tmp_path):
    whole = evaluate(output="whole")
    folder = tmp_path / "killed"
    arguments = [f"estimates={estimates}", "data=stem_folder", f"data.root={short}"]
    killed_after_a_track(folder, *arguments, f"output={folder}", "report=false")
    before = {p.name: p.stat().st_mtime_ns for p in folder.glob("tracks/*.json")}
    assert before
    evaluate(output="killed")
    after = times(folder)
    assert {name: after[name] for name in before} == before
    for name in ("eval.csv", "eval.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_silence_is_null_and_counted(evaluate, short, estimates, tmp_path, command):
    quiet = tmp_path / "quiet" / "test"
    shutil.copytree(short / "test", quiet)
    (quiet / "song000" / "mixture.wav").unlink()
    sound, rate = soundfile.read(quiet / "song000" / "vocals.wav")
    soundfile.write(quiet / "song000" / "vocals.wav", 0 * sound, rate)
    folder = evaluate(
        f"data.root={tmp_path / 'quiet'}",
        "metrics=[si_sdr,leak,bss_eval]",
        "metrics.bss_eval.taps=16",
    )
    text = (folder / "eval.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    content = json.loads(text)
    first = content["tracks"][0]["targets"]
    assert first[0]["values"]["si_sdr"]["estimate"] is None
    assert first[0]["values"]["leak"]["estimate"] < 0
    assert all(t["values"]["bss_sdr"]["estimate"] is not None for t in first[1:])
    one = content["aggregates"][0]
    assert (one["target"], one["heading"], one["name"]) == ("vocals", "si_sdr", "mean over tracks")
    assert (one["tracks"], one["undefined"]) == (1, 1)
    assert rows(folder)[0]["si_sdr"] == ""


def test_the_tables_say_what_was_measured(evaluate, estimates, short):
    folder = evaluate("metrics=[snr]", "references=[mixture]", "metrics.snr.window_seconds=2")
    content = json.loads((folder / "eval.json").read_text())
    assert content["settings"] == {
        "version": __version__,
        "subject": estimates.name,
        "checkpoint": None,
        "separation": None,
        "data": short.name,
        "split": "test",
        "targets": {stem: [stem] for stem in STEMS},
        "rest": False,
        "references": ["mixture"],
        "metrics": {"snr": {"_target_": "auralflow_pl.metrics.scores.SNR", "window_seconds": 2.0}},
    }
    assert len({track["sound"] for track in content["tracks"]}) == 2


def test_every_file_is_hashed_once(command, ckpt, short, tmp_path, monkeypatch):
    """Not once for every track and use."""
    model, hashed, digest = shutil.copy(ckpt, tmp_path / "own.ckpt"), [], hashlib.file_digest

    def note(file, kind):
        hashed.append(file.name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", note)
    given = [f"ckpt={model}", f"data.root={shutil.copytree(short, tmp_path / 'set')}"]
    given += ["data=stem_folder", f"output={tmp_path / 'eval'}", "metrics=[snr]", "references=[]"]
    assert command("evaluate", *given, "report=false").code == 0
    names = [str(name) for name in hashed]
    assert names.count(str(model)) == 1
    assert len(names) == len(set(names)) == 1 + 2 * 5


def test_the_digest_of_a_checkpoint_follows_its_content(command, ckpt, tmp_path):
    found = []
    for number, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        copied = shutil.copy(ckpt, tmp_path / name / "best.ckpt")
        few = ["metrics=[snr]", "references=[]", "report=false", f"separation.overlap=0.{number}"]
        done = command("evaluate", f"ckpt={copied}", f"output={tmp_path / name}", *few)
        assert done.code == 0, done.err
        found.append(json.loads((tmp_path / name / "eval.json").read_text())["settings"])
    assert found[0]["subject"] == "best.ckpt"
    assert found[0]["checkpoint"] == found[1]["checkpoint"]
    assert [settings["separation"]["overlap"] for settings in found] == [0.0, 0.1]


def test_evaluations_of_other_sound_or_settings_are_not_compared(
    evaluate, command, short, tmp_path
):
    louder = tmp_path / "louder"
    shutil.copytree(short / "test", louder / "test")
    for path in (louder / "test").rglob("*.wav"):
        sound, rate = soundfile.read(path)
        soundfile.write(path, 0.5 * sound, rate)
    few = ["metrics=[snr]", "references=[]"]
    one = evaluate(*few, output="one")
    other = evaluate(*few, f"data.root={louder}", output="other")
    windows = evaluate(*few, "metrics.snr.window_seconds=2.5", output="windows")
    assert "song000, song001: not the same sound" in command("compare", one, other).error
    message = "metrics.snr.window_seconds=1.0 in one and 2.5 in windows"
    assert message in command("compare", one, windows).error


def test_the_report_names_settings_and_no_private_folder(evaluate, tmp_path):
    folder = evaluate("metrics=[snr]", "references=[mixture]", "report=true")
    text = (folder / "report.html").read_text()
    assert "window_seconds=1.0" in text
    assert str(tmp_path) not in text


def test_aggregates_and_share_of_the_gap(evaluate):
    folder = evaluate("metrics=[sdr]")
    content = json.loads((folder / "eval.json").read_text())
    table = [row for row in rows(folder) if row["target"] == "drums"]
    mean = next(
        a
        for a in content["aggregates"]
        if (a["target"], a["name"]) == ("drums", "mean over tracks")
    )
    values = {
        name: sum(float(row[column]) for row in table) / len(table)
        for name, column in (
            ("estimate", "sdr"),
            ("mixture", "sdr_mixture"),
            ("oracle", "sdr_oracle"),
        )
    }
    for name, value in values.items():
        assert mean["values"][name] == pytest.approx(value, abs=1e-4)
    gap = (values["estimate"] - values["mixture"]) / (values["oracle"] - values["mixture"])
    assert mean["gap"] == pytest.approx(gap, abs=1e-3)
    assert values["mixture"] < values["estimate"]
    assert math.isfinite(mean["values"]["ibm"])
    assert mean["values"]["phase"] > values["mixture"]


def test_the_accompaniment_of_a_single_target(command, ckpt, short, tmp_path):
    done = command(
        "evaluate",
        f"ckpt={ckpt}",
        "data=stem_folder",
        f"data.root={short}",
        f"output={tmp_path}",
        "metrics=[bss_eval,si_sdr]",
        "metrics.bss_eval.taps=16",
        "references=[mixture]",
        "rest=true",
        "report=false",
    )
    assert done.code == 0, done.err
    table = rows(tmp_path)
    assert [row["target"] for row in table[:2]] == ["vocals", "accompaniment"]
    stems = [soundfile.read(short / "test" / "song000" / f"{s}.wav")[0].T for s in STEMS]
    mixture = read_audio(short / "test" / "song000" / "mixture.wav").samples.double()
    target = mixture - torch.from_numpy(stems[0])
    from auralflow_pl.metrics.scale_invariant import si_sdr

    expected = float(si_sdr(mixture.flatten(), target.flatten()))
    assert float(table[1]["si_sdr_mixture"]) == pytest.approx(expected, abs=1e-3)


def test_nothing_is_no_target(evaluate, short, tmp_path):
    """All four stems are the whole mixture, unless that holds more than the stems."""
    few = ["metrics=[sdr]", "references=[]", "rest=true"]
    assert [row["target"] for row in rows(evaluate(*few))] == [*STEMS, *STEMS]
    more = tmp_path / "more"
    shutil.copytree(short / "test", more / "test")
    mixture, rate = soundfile.read(more / "test" / "song000" / "mixture.wav")
    mixture += 0.01 * np.random.default_rng(0).standard_normal(mixture.shape)
    soundfile.write(more / "test" / "song000" / "mixture.wav", mixture, rate, "FLOAT")
    shown = [row["target"] for row in rows(evaluate(*few, f"data.root={more}"))]
    assert shown == [*STEMS, "rest", *STEMS]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "missing required key: ckpt; pass either ckpt=... or estimates=<folder>"),
        (["estimates=nowhere"], "estimates: of which data set?"),
        (["ckpt=x", "references=[mixtur]"], "references=mixtur: did you mean 'mixture'?"),
        (["ckpt=x", "metrics=[si_sdn]"], "metrics=si_sdn: no such option, did you mean"),
        (["ckpt=x", "metrics=[]"], "metrics: none; expected some"),
        (["ckpt=x", "jobs=0"], "jobs=0: expected more than 0"),
    ],
)
def test_mistakes_are_named(command, arguments, message):
    assert message in command("evaluate", *arguments).error


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda p: shutil.rmtree(p / "song001"), "no folder song001 for this track"),
        (lambda p: (p / "song000" / "bass.wav").unlink(), "song000: no file for bass"),
        (lambda p: (p / "song001" / "bass.wav").unlink(), "song001: no file for bass"),
        (lambda p: [f.unlink() for f in p.glob("*/*.wav")], "holds no estimates; expected"),
        (lambda p: soundfile.write(p / "song001" / "bass.wav", [[0.0, 0.0]] * 9, 8000), "8000 Hz"),
        (lambda p: soundfile.write(p / "song001" / "bass.wav", [[0.0, 0.0]] * 9, 44100), "samples"),
        (lambda p: (p / "song000" / "basss.wav").write_text("x"), "target=basss: no such stem"),
        (
            lambda p: (p / "song001" / "bass.mp3").write_text("x"),
            "song001/bass.wav: bass.mp3 is there too; expected one file for bass",
        ),
    ],
)
def test_faulty_estimates_are_named(command, estimates, short, tmp_path, spoil, message):
    spoil(estimates)
    given = [f"estimates={estimates}", "data=stem_folder", f"data.root={short}"]
    done = command("evaluate", *given, f"output={tmp_path / 'eval'}", "report=false")
    assert message in done.error
    assert not (tmp_path / "eval" / "eval.csv").exists()
