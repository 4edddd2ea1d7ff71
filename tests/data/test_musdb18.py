"""MUSDB18 as it is laid out, with the real excerpt of the stempeg wheel as its only song."""

import csv
import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from auralflow_pl.audio.reading import read_streams
from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sources.musdb18 import (
    STREAM_NAMES,
    Musdb18,
    Musdb18HQ,
    musdb_settings,
    to_integers,
)
from auralflow_pl.errors import InputError
from auralflow_pl.metrics.oracle import ideal_ratio_mask
from auralflow_pl.signal.stft import STFT
from support import TINY, TINY_SET
from support.museval_code import museval_bss_eval

NAMES = ["A - Song", "ANiMAL - Rockshow", "B - Song"]  # the second one is of the validation set


@pytest.fixture(scope="module")
def root(excerpt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("musdb18")
    for split, names in (("train", NAMES), ("test", ["C - Song"])):
        (folder / split).mkdir()
        for name in names:
            shutil.copyfile(excerpt, folder / split / f"{name}.stem.mp4")
    return folder


def names(source, split):
    return [track.name for track in source.tracks(split)]


def test_settings_come_from_the_musdb_package():
    settings = musdb_settings()
    assert len(settings.validation_tracks) == 14
    assert settings.sample_url.endswith(".zip")
    package = importlib.util.find_spec("musdb").submodule_search_locations[0]
    content = yaml.safe_load((Path(package) / "configs" / "mus.yaml").read_text())
    assert content["stem_ids"] == {name: number for number, name in enumerate(STREAM_NAMES)}


@pytest.mark.parametrize(
    "content", [None, "", "sample-url: x", "validation_tracks: [x]", "validation_tracks: [", "[]"]
)
def test_another_musdb_package_is_one_clear_line(tmp_path, monkeypatch, content):
    package = tmp_path / "musdb"
    (package / "configs").mkdir(parents=True)
    (package / "__init__.py").touch()
    if content is not None:
        (package / "configs" / "mus.yaml").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "musdb", raising=False)
    musdb_settings.cache_clear()
    try:
        with pytest.raises(InputError, match=r"configs/mus.yaml has no .*pip install") as error:
            musdb_settings()
    finally:
        musdb_settings.cache_clear()
    assert "\n" not in str(error.value)


def test_splits(root):
    (root / "train" / "._A - Song.stem.mp4").touch()
    source = Musdb18(root)
    assert names(source, "train") == ["A - Song", "B - Song"]
    assert names(source, "valid") == ["ANiMAL - Rockshow"]
    assert names(source, "test") == ["C - Song"]
    assert names(Musdb18(root, max_tracks=1), "train") == ["A - Song"]


def test_splits_of_the_uncompressed_edition(songs, tmp_path):
    for name in NAMES:
        shutil.copytree(songs / "train" / "song000", tmp_path / "train" / name)
    source = Musdb18HQ(tmp_path, ["vocals", "bass"])
    assert names(source, "train") == ["A - Song", "B - Song"]
    assert names(source, "valid") == ["ANiMAL - Rockshow"]
    with pytest.raises(InputError, match="no tracks"):
        source.tracks("test")
    shutil.rmtree(tmp_path / "train" / "ANiMAL - Rockshow")
    with pytest.raises(InputError, match=r"none of the 14 songs .* pass data=stem_folder"):
        source.tracks("valid")


def test_hidden_files_are_no_songs(excerpt, tmp_path):
    (tmp_path / "train").mkdir()
    shutil.copyfile(excerpt, tmp_path / "train" / "A - Song.stem.mp4")
    (tmp_path / "train" / "._A - Song.stem.mp4").touch()
    assert names(Musdb18(tmp_path), "train") == ["A - Song"]
    with pytest.raises(InputError, match=r"no valid tracks .* none of the 14 songs"):
        Musdb18(tmp_path).find("valid")
    with pytest.raises(InputError, match="split=None"):
        Musdb18(tmp_path).find(None)


def test_stems_come_in_the_order_that_is_asked_for(root, excerpt):
    streams = dict(zip(STREAM_NAMES, read_streams(excerpt), strict=True))
    track = Musdb18(root, ["bass", "vocals"]).tracks("test")[0]
    mixture, stems = track.read()
    assert torch.equal(mixture, streams["mixture"].samples)
    assert torch.equal(stems[0], streams["bass"].samples)
    assert torch.equal(stems[1], streams["vocals"].samples)
    assert torch.equal(track.read_stem("vocals", 100, 50), stems[1][:, 100:150])


def test_the_pool_holds_stems_and_mixture(root, tmp_path):
    track = Musdb18(root).tracks("test")[0]
    pool = Pool(tmp_path, 44100, "float32")
    pool.build([track])
    for one, two in zip(pool.open(track).read(), track.read(), strict=True):
        assert torch.equal(one, two)


def test_the_pool_keeps_other_stems_apart(root, tmp_path):
    """All are made of the same file."""
    pool = Pool(tmp_path, 44100, "float32")
    for stems in (["vocals", "bass"], ["bass", "vocals"], ["other", "drums"], ["vocals", "rest"]):
        track = Musdb18(root, stems).tracks("test")[0]
        pool.build([track])
        for one, two in zip(pool.open(track).read(), track.read(), strict=True):
            assert torch.equal(one, two), stems


def test_rest_is_the_mixture_without_the_named_stems(root):
    track = Musdb18(root, ["rest", "vocals"]).tracks("test")[0]
    mixture, (rest, vocals) = track.read()
    assert torch.equal(rest, mixture - vocals)
    assert torch.equal(track.read_stem("rest", 100, 50), rest[:, 100:150])


def test_scores_are_those_of_museval_with_the_samples_of_musdb(root, tmp_path, command):
    """16 bits, and an accompaniment that is the sum of its stems; floats give another SIR."""
    streams = [to_integers(stream.samples) for stream in read_streams(next(root.glob("test/*")))]
    assert {sound.mul(2**15).frac().abs().max().item() for sound in streams} == {0.0}
    mixture, stems = streams[0], dict(zip(STREAM_NAMES[1:], streams[1:], strict=True))
    stft = STFT(2048, 2048, 512)
    mask = ideal_ratio_mask(stft(stems["vocals"]), stft(mixture - stems["vocals"]))
    vocals = stft.inverse(mask * stft(mixture), mixture.shape[-1])
    target = torch.stack([stems["vocals"], sum(stems[s] for s in ("drums", "bass", "other"))])
    theirs = museval_bss_eval(torch.stack([vocals, mixture - vocals]), target, 44100, 44100, 64)
    folder = tmp_path / "estimates" / "C - Song"
    folder.mkdir(parents=True)
    soundfile.write(folder / "vocals.wav", vocals.T.numpy(), 44100, "FLOAT")

    def scores(*more):
        done = command(
            "evaluate", "data=musdb18", f"data.root={root}", f"estimates={folder.parent}",
            "metrics=bss_eval", "metrics.bss_eval.taps=64", "references=[]", "report=false",
            f"output={tmp_path / 'scores'}", *more,
        )  # fmt: skip
        assert done.code == 0, done.err
        (row,) = csv.DictReader((tmp_path / "scores" / "eval.csv").read_text().splitlines())
        return [float(row[f"bss_{name}"]) for name in ("sdr", "isr", "sir", "sar")]

    medians = torch.nanquantile(theirs[:, 0], 0.5, dim=-1)
    rounding = 6e-5  # of the four decimals in eval.csv
    assert scores() == pytest.approx(medians.tolist(), abs=rounding)
    floats = scores("published_references=false")
    assert floats[0] == pytest.approx(float(medians[0]), abs=rounding)
    assert abs(floats[2] - float(medians[2])) > 0.5


def test_the_rest_of_published_scores_is_the_sum_of_the_other_stems(root):
    whole = Musdb18(root).tracks("test")[0].read_published()
    part = Musdb18(root, ["rest", "vocals"]).tracks("test")[0].read_published()
    torch.testing.assert_close(part.stems[0], whole.stems[1:].sum(0))
    assert torch.equal(part.total, whole.total)
    assert torch.equal(part.mixture, whole.mixture)


def test_train_and_evaluate(command, root, tmp_path, monkeypatch):
    monkeypatch.setenv("MUSDB_PATH", str(root))
    tiny = TINY[len(TINY_SET) :]
    done = command("train", *tiny, "data=musdb18", f"paths.run_dir={tmp_path / 'run'}")
    assert done.code == 0, done.err
    done = command("evaluate", f"ckpt={tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}")
    assert done.code == 0, done.err
    assert "C - Song" in next((tmp_path / "run").rglob("eval.csv")).read_text()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            [],
            r"data.root=.*none: no such folder; expected <train\|test>/<track>.*MUSDB_PATH",
        ),
        (["data.stems=[vocals,kick]"], "data.stems=kick: expected one of"),
        (["data.source.download=true"], "could not be fetched .*unpack it to data.root"),
    ],
)
def test_mistakes(command, tmp_path, arguments, message):
    tiny = TINY[len(TINY_SET) :]
    root = tmp_path / "none"
    done = command("train", *tiny, "data=musdb18", f"data.root={root}", *arguments)
    assert re.search(message, done.error), done.error
    assert not root.exists()


def test_damaged_stem_files_are_named(excerpt, tmp_path):
    (tmp_path / "train").mkdir()
    path = tmp_path / "train" / "x.stem.mp4"
    for content in (b"", b"nothing", excerpt.read_bytes()[:5000]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.stem\.mp4: (empty|not readable)"):
            Musdb18(tmp_path).tracks("train")
