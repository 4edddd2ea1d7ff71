"""What training hears is the mixture of the data set, or it does not begin."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.data.mixtures import check_mixtures
from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.errors import InputError
from support import TINY, TINY_SET

STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture
def pairs(songs, tmp_path):
    """Songs with a mixture and vocals only."""
    names = shutil.ignore_patterns("drums.*", "bass.*", "other.*")
    return shutil.copytree(songs, tmp_path / "pairs", ignore=names)


def change(path, function):
    sound, rate = soundfile.read(path, always_2d=True)
    soundfile.write(path, function(sound), rate, "FLOAT")


@pytest.mark.parametrize("stems", [("vocals", "rest"), ("rest", "vocals", "drums")])
@pytest.mark.parametrize("dtype", [None, "int16"])
def test_rest_is_the_mixture_without_the_other_stems(songs, tmp_path, stems, dtype):
    track = StemFolder(songs, stems).tracks("train")[0]
    whole = StemFolder(songs, STEMS).tracks("train")[0]
    if dtype:
        pool = Pool(tmp_path, 44100, dtype)
        pool.build([track, whole])
        track, whole = pool.open(track), pool.open(whole)
    mixture, sounds = track.read()
    expected, known = whole.read()
    step = 2**-15
    assert torch.equal(mixture, expected)
    assert (sounds.sum(0) - mixture).abs().max() < 3 * step
    others = [known[STEMS.index(name)] for name in STEMS if name not in stems]
    assert (sounds[stems.index("rest")] - sum(others)).abs().max() < 5 * step  # written in 16 bits
    for number, name in enumerate(stems):
        assert torch.equal(track.read_stem(name, 99, 50), sounds[number, :, 99:149])
    assert torch.equal(track.read_mixture(99, 50), mixture[:, 99:149])


def test_a_file_of_that_name_is_a_stem_like_others(pairs):
    for folder in pairs.glob("*/*"):
        shutil.copyfile(folder / "vocals.wav", folder / "rest.wav")
    _, sounds = StemFolder(pairs, ["vocals", "rest"]).tracks("train")[0].read()
    assert torch.equal(*sounds)
    (pairs / "train/song000/rest.wav").unlink()
    (pairs / "train/song000/mixture.wav").unlink()
    with pytest.raises(InputError, match=r"no file for rest \(or mixture, to make rest of\)"):
        StemFolder(pairs, ["vocals", "rest"]).tracks("train")


FAULTS = {
    "louder without vocals than with it": lambda s: np.roll(s, 7000, axis=0),
    "another song": lambda s: -s,
}


@pytest.mark.parametrize("message", FAULTS)
@pytest.mark.parametrize("dtype", [None, "int16"])
def test_a_mixture_that_does_not_hold_the_stem_is_refused(pairs, tmp_path, message, dtype):
    def tracks():
        found = StemFolder(pairs, ["vocals", "rest"]).tracks("train")
        if dtype is None:
            return found
        pool = Pool(tmp_path / "pool", 44100, dtype)
        pool.build(found)
        return [pool.open(track) for track in found]

    check_mixtures(tracks())
    change(pairs / "train/song001/vocals.wav", FAULTS[message])
    with pytest.raises(InputError, match=f"train/song001: .*{message}"):
        check_mixtures(tracks())


def test_silence_fits_any_mixture(pairs):
    for path in (pairs / "train").glob("*/mixture.wav"):
        change(path, np.zeros_like)
    check_mixtures(StemFolder(pairs, ["vocals", "rest"]).tracks("train"))


@pytest.fixture
def train(command, songs, tmp_path):
    def call(stems):
        tiny = TINY[len(TINY_SET) :]
        return command(
            "train",
            *tiny,
            "data=stem_folder",
            f"data.root={songs}",
            f"data.stems={stems}",
            f"paths.run_dir={tmp_path / 'run'}",
        )

    return call


def test_a_single_stem_is_no_training(train, tmp_path):
    done = train("[vocals]")
    assert "data.stems=[vocals,rest], where rest is the mixture without vocals" in done.error
    assert not (tmp_path / "run").exists()


def test_a_mixture_with_more_than_the_stems_stops_a_training(train):
    assert "pass data.stems=[vocals,drums,rest] to train" in train("[vocals,drums]").error
    assert train("[vocals,drums,rest]").code == 0
