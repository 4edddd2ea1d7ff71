"""A folder for each stem and for the mixture, with files that are paired by name."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.data.sources.mixed import MixedSets
from auralflow_pl.data.sources.pairs import PairedFolders
from auralflow_pl.errors import InputError

STEMS = ("vocals", "rest")
RATE = 8000


@pytest.fixture
def root(tmp_path):
    """Two songs to train with and one to validate with; every file holds one value."""
    for track in ("train/a", "train/b.1", "valid/c"):
        split, name = track.split("/")
        for stem, level in (("mixture", 0.5), ("vocals", 0.125)):
            (tmp_path / split / stem).mkdir(parents=True, exist_ok=True)
            sound = np.full(1000, level)
            soundfile.write(tmp_path / split / stem / f"{name}.wav", sound, RATE, "FLOAT")
    return tmp_path


def test_rest_is_the_mixture_without_the_vocals(root):
    source = PairedFolders(root, STEMS)
    tracks = source.tracks("train")
    assert [track.name for track in tracks] == ["a", "b.1"]
    assert [track.name for track in source.tracks("valid")] == ["c"]
    mixture, stems = tracks[1].read()
    assert torch.equal(stems.mean((1, 2)), torch.tensor([0.125, 0.375]))
    assert mixture.mean() == 0.5
    sets = {"pairs": {"layout": "pairs", "root": str(root)}}
    assert [track.name for track in MixedSets(STEMS, sets).tracks("train")] == ["a", "b.1"]


def test_a_mixture_is_optional_beside_all_stems(root):
    (root / "train/mixture").rename(root / "train/rest")
    track = PairedFolders(root, STEMS).tracks("train")[0]
    assert not track.has_mixture
    assert track.read()[0].mean() == 0.625
    with pytest.raises(InputError, match=r"no folder drums; expected \[train/\]{vocals,drums}/"):
        PairedFolders(root, ["vocals", "drums"]).find("train")
    (root / "train/rest").rename(root / "train/other")
    with pytest.raises(InputError, match=r"no folder rest \(or mixture, .*{vocals,mixture}/<tra"):
        PairedFolders(root, STEMS).find("train")


def test_songs_without_folders_of_splits_are_divided(root):
    songs = root / "train"
    source = PairedFolders(songs, STEMS)
    with pytest.raises(InputError, match=r"no train tracks in .*; too few songs to divide \(2\)"):
        source.find("train")
    for stem in ("mixture", "vocals"):
        shutil.copyfile(songs / stem / "a.wav", songs / stem / "d.wav")
    found = [track.name for split in ("train", "valid", "test") for track in source.tracks(split)]
    assert sorted(found) == ["a", "b.1", "d"]


def test_files_without_a_partner_are_named(root):
    (root / "train/vocals/a.wav").unlink()
    shutil.copyfile(root / "train/vocals/b.1.wav", root / "train/vocals/e.wav")
    message = (
        r"files without a partner of that name: mixture/a.wav \(none in vocals\), "
        r"vocals/e.wav \(none in mixture\); add or remove"
    )
    with pytest.raises(InputError, match=message):
        PairedFolders(root, STEMS).find("train")
    for number in range(9):
        shutil.copyfile(root / "train/vocals/e.wav", root / f"train/vocals/e{number}.wav")
    with pytest.raises(InputError, match=r"e2.wav \(none in mixture\) and 6 more; add"):
        PairedFolders(root, STEMS).find("train")
    shutil.rmtree(root / "train/mixture")
    for name in ("drums", "vocals"):
        (root / "train" / name).mkdir(exist_ok=True)
    shutil.copyfile(root / "train/vocals/e.wav", root / "train/drums/e.wav")
    tracks = PairedFolders(root, ["vocals", "drums"], missing="silent").tracks("train")
    assert [track.absent for track in tracks[:3]] == [("drums",), (), ("drums",)]


@pytest.mark.parametrize("given, message", [(None, "not given"), ("none", "none: no such folder")])
def test_a_missing_root_is_named(given, message):
    with pytest.raises(InputError, match=f"data.root.*{message}"):
        PairedFolders(given, STEMS).find("train")
