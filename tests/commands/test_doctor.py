"""The doctor finds every fault that is planted, and nothing in a clean data set."""

import csv
import os
import shutil

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from auralflow_pl.data.examination import same_song, song_features
from auralflow_pl.data.sources.synthetic import SyntheticSongs

RATE = 44100


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    root = tmp_path_factory.mktemp("clean") / "set"
    SyntheticSongs(root, 2, 1, 1, seconds=10, seed=3, workers=1).prepare()
    (root / "synthetic.json").unlink()
    song = root / "test" / "song000"
    song.rename(song.with_name(os.fsdecode(b"caf\xe9")))  # no valid UTF-8, as from an old archive
    return root


@pytest.fixture
def songs(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "set")


def read(path):
    return soundfile.read(path, always_2d=True)[0]


def write(path, sound, rate=RATE, subtype="FLOAT"):
    soundfile.write(path, sound, rate, subtype)


def change(song, stem, function, remix=True):
    """Replace a stem; the mixture follows, unless it is told not to."""
    before = read(song / f"{stem}.wav")
    after = function(before)
    write(song / f"{stem}.wav", after)
    if remix:
        write(song / "mixture.wav", read(song / "mixture.wav") + after - before)


def bleed(song, into, source):
    leaked = 0.1 * np.roll(read(song / f"{source}.wav"), 60, axis=0)
    change(song, into, lambda x: x + leaked)


def cut(path):
    write(path, read(path)[:-100])


def other_rate(path):
    write(path, read(path), 48000)


def resampled_song(song):
    for path in song.iterdir():
        write(path, read(path), 48000)


def same_song_again(root, level=0.5, start=4000):
    """A quieter part of a training song, under another name."""
    again = root / "test" / "renamed"
    again.mkdir()
    for path in (root / "train" / "song000").iterdir():
        write(again / path.name, level * read(path)[start:])


def duplicate(song):
    vocals = read(song / "vocals.wav")
    change(song, "other", lambda _: vocals)


FAULTS = {
    "silent": lambda s: change(s, "vocals", lambda x: 0 * x),
    "loud": lambda s: change(s, "bass", lambda x: 8 * x),
    "clipped": lambda s: change(s, "drums", lambda x: x.clip(-0.5 * x.max(), 0.5 * x.max())),
    "dc": lambda s: change(s, "bass", lambda x: x + 0.01),
    "misaligned": lambda s: change(s, "bass", lambda x: np.roll(x, 37, axis=0), remix=False),
    "misaligned mixture": lambda s: write(
        s / "mixture.wav", np.roll(read(s / "mixture.wav"), -50, axis=0)
    ),
    "mono": lambda s: change(s, "other", lambda x: x.mean(1, keepdims=True).repeat(2, 1)),
    "duplicate": duplicate,
    "sum": lambda s: write(s / "mixture.wav", 0.5 * read(s / "mixture.wav")),
    "bleed": lambda s: bleed(s, "vocals", "drums"),
    "files length": lambda s: cut(s / "drums.wav"),
    "files rate": lambda s: other_rate(s / "drums.wav"),
    "files missing": lambda s: (s / "drums.wav").unlink(),
    "files damaged": lambda s: (s / "drums.wav").write_text("no sound"),
    "rate": resampled_song,
    "leak": lambda s: same_song_again(s.parents[1]),
    "split": lambda s: shutil.rmtree(s.parents[1] / "valid"),
}
WARNINGS = {"silent", "loud", "clipped", "dc", "mono", "bleed", "rate"}
STEMS = {
    "silent": "vocals",
    "loud": "bass",
    "clipped": "drums",
    "dc": "bass",
    "misaligned": "bass",
    "mono": "other",
}


def diagnose(command, songs, output, *more):
    done = command("doctor", "data=stem_folder", f"data.root={songs}", f"output={output}", *more)
    with (output / "findings.csv").open() as file:
        return done, list(csv.DictReader(file))


def test_nothing_is_found_in_a_clean_set(command, clean, tmp_path):
    output = tmp_path / "report"
    done, findings = diagnose(command, clean, output, "draws=60", "chunk_seconds=1")
    assert done.code == 0, done.err
    assert findings == []
    assert "0 errors, 0 warnings in 4 tracks" in done.out
    with (output / "levels.csv").open() as file:
        levels = list(csv.DictReader(file))
    assert len(levels) == 16
    vocals = read(clean / levels[0]["split"] / levels[0]["track"] / "vocals.wav")
    assert float(levels[0]["level_db"]) == pytest.approx(
        10 * np.log10((vocals**2).mean()), abs=0.01
    )
    assert float(levels[0]["seconds"]) == 10
    picture = imread(output / "levels.png")
    assert picture[..., :3].std() > 0.1


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(command, songs, tmp_path, name):
    song = songs / "train" / "song000"
    FAULTS[name](song)
    done, findings = diagnose(command, songs, tmp_path / "report", "draws=0")
    check = name.split()[0]
    found = {f["check"]: f for f in findings}
    assert set(found) == {check}, findings
    severity = "warning" if check in WARNINGS else "error"
    assert found[check]["severity"] == severity
    assert done.code == (severity == "error")
    assert found[check]["stem"] == STEMS.get(name, "")
    assert found[check]["text"] in done.out
    if severity == "error":
        assert done.err.splitlines()[-1].startswith("error: 1 errors, 0 warnings in")


def test_the_size_of_a_misalignment_is_told(command, songs, tmp_path):
    FAULTS["misaligned"](songs / "train" / "song000")
    _, (finding,) = diagnose(command, songs, tmp_path / "report", "draws=0")
    assert finding["text"] == "bass is +37 samples late"


def test_a_mixture_without_its_stem_is_found(command, songs, tmp_path):
    path = songs / "train" / "song000" / "vocals.wav"
    write(path, np.roll(read(path), 7000, axis=0))
    done, found = diagnose(command, songs, tmp_path / "report", "data.stems=[vocals,rest]")
    (error,) = (finding for finding in found if finding["severity"] == "error")
    assert (error["check"], error["track"], done.code) == ("misaligned", "song000", 1)
    assert error["text"].endswith("than with them: they are +7000 samples late")


def test_what_would_stop_a_training_is_found(command, songs, tmp_path):
    for path in songs.glob("*/*/mixture.wav"):
        path.unlink()
    done, findings = diagnose(command, songs, tmp_path / "report", "data.stems=[vocals]")
    assert [finding["check"] for finding in findings] == ["chunks"]
    assert findings[0]["text"].startswith("data.stems=[vocals]: training would hear nothing else")
    assert "1 errors, 0 warnings" in done.error


def test_what_is_drawn_is_told(command, songs, tmp_path):
    """A song three times as long is drawn three times as often; silence is where it was put."""
    long, short = (songs / "train" / name for name in ("song000", "song001"))
    for path in short.iterdir():
        write(path, read(path)[: len(read(path)) // 3])
    for song in (long, short):
        change(song, "bass", lambda x: 1e-5 * x)
    output = tmp_path / "report"
    done, _ = diagnose(command, songs, output, "draws=400", "chunk_seconds=0.5", "augment=remix")
    assert done.code == 0, done.err
    with (output / "draws.csv").open() as file:
        draws = {(d["kind"], d["name"]): d for d in csv.DictReader(file)}
    assert float(draws["track", "song000"]["expected"]) == pytest.approx(0.75, abs=1e-3)
    assert float(draws["track", "song000"]["drawn"]) == pytest.approx(0.75, abs=0.05)
    assert float(draws["silence", "bass"]["drawn"]) == 1
    assert float(draws["silence", "drums"]["drawn"]) < 0.5
    assert "drawn: 400 chunks, stems from 2 of 2 tracks" in done.out


def test_songs_are_recognised_at_another_level_and_place(clean):
    one, two = (
        sum(read(p) for p in sorted((clean / s).glob("[bdov]*.wav"))).mean(1).astype(np.float32)
        for s in ("train/song000", "train/song001")
    )
    whole = song_features(one, RATE)
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(one)).astype(np.float32)
    assert same_song(whole, song_features(0.1 * one[100000:300001] + noise[:200001], RATE)) > 0.8
    assert same_song(whole, song_features(two, RATE)) < 0.5


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["data.root=none"], "no such folder"),
        (["draws=-1"], "draws=-1: expected at least 0"),
        (["ckpt=nowhere"], "ckpt=nowhere: no such file, nor a model"),
        (["drawz=3"], "drawz: no such key, did you mean 'draws'?"),
    ],
)
def test_mistakes_are_one_line(command, clean, tmp_path, arguments, message):
    given = ["data=stem_folder", f"data.root={clean}", f"output={tmp_path / 'x'}"]
    done = command("doctor", *given, *arguments)
    assert done.code == 1
    assert message in done.out + done.err
    assert "Traceback" not in done.err


def test_songs_that_are_made_to_fit_are_named(command, songs, tmp_path):
    song = songs / "train" / "song000"
    cut(song / "drums.wav")
    (song / "bass.wav").unlink()
    (song / "mixture.wav").unlink()
    options = ("data.mismatch=pad", "data.missing=silent", "draws=0")
    done, findings = diagnose(command, songs, tmp_path / "report", *options)
    text = "no bass, taken as silence; drums.wav padded by 100 samples"
    assert [(f["check"], f["track"], f["text"]) for f in findings] == [("changed", "song000", text)]
    assert done.code == 0
