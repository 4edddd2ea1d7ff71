"""Names and mixtures of the songs of a listening page."""

import pytest
import soundfile
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.gallery.page import songs_of_all
from auralflow_pl.gallery.recordings import loudest_start
from auralflow_pl.gallery.songs import common_names, songs_of_estimates, songs_of_folder
from auralflow_pl.gallery.subjects import StemFolders

RATE = 8000


def write(path, samples, rate=RATE):
    """Write a sound `(channels, time)` and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.T.numpy(), rate, "FLOAT")
    return samples


@pytest.mark.parametrize(
    "sources, names",
    [
        ([["test/a"], ["a"]], {"test/a": "a", "a": "a"}),
        ([["test/a"], ["test/a"]], {"test/a": "a"}),
        ([["test/a"], ["train/a"]], {"test/a": "test/a", "train/a": "train/a"}),
        ([["test/a", "train/a"], ["test/a"]], {"test/a": "test/a", "train/a": "train/a"}),
        ([["test/a", "train/a"], ["a"]], {"test/a": "test/a", "train/a": "train/a", "a": "a"}),
        ([["test/a", "train/b"], ["a", "b"]], {"test/a": "a", "train/b": "b", "a": "a", "b": "b"}),
        ([["test/a/mixture"], ["a"]], {"test/a/mixture": "a", "a": "a"}),
        ([["a/mixture", "a"], ["a"]], {"a/mixture": "a/mixture", "a": "a"}),
        ([["album/a"], ["a"]], {"album/a": "album/a", "a": "a"}),
        ([["test"], ["mixture"]], {"test": "test", "mixture": "mixture"}),
    ],
)
def test_a_song_has_one_name_wherever_it_lies(sources, names):
    assert common_names(sources) == names


@pytest.mark.parametrize("places", [("test/song", "song"), ("test/song", "song/mixture")])
def test_songs_of_folders_with_and_without_splits_meet(tmp_path, places):
    for model, place in zip("ab", places, strict=True):
        write(tmp_path / model / place / "vocals.wav", torch.randn(1, 99))
    write(tmp_path / "songs" / places[0] / "vocals.wav", torch.randn(1, 99))
    write(tmp_path / "b" / "test" / "other" / "vocals.wav", torch.randn(1, 99))
    for make in (
        lambda folders: songs_of_folder(tmp_path / "songs", "truth"),
        lambda folders: songs_of_estimates([folder.files for folder in folders]),
    ):
        folders = [StemFolders(model, tmp_path / model) for model in "ab"]
        (song,) = songs_of_all(make(folders), folders, 9)
        assert song.name == "song"
        for folder, place in zip(folders, places, strict=True):
            assert folder.whole(song, "vocals").path.parent == tmp_path / folder.name / place


def test_songs_of_one_name_in_different_splits_are_not_the_same(tmp_path):
    for place in ("a/train/song", "b/test/song"):
        write(tmp_path / place / "vocals.wav", torch.randn(1, 99))
    folders = [StemFolders(model, tmp_path / model) for model in "ab"]
    with pytest.raises(InputError, match="no song in common; found the songs: train/song; b: test"):
        songs_of_all(songs_of_folder(tmp_path / "a", "truth"), folders[1:], 9)


def test_the_mixture_of_a_song_without_one_is_the_sum_of_its_stems(tmp_path):
    song = tmp_path / "songs" / "song"
    vocals = write(song / "vocals.wav", torch.randn(2, 3 * RATE))
    vocals[:, : 2 * RATE] *= 0.1
    write(song / "vocals.wav", vocals)
    drums = write(song / "drums.wav", 0.1 * torch.randn(2, 2 * RATE))  # a second less
    (found,) = songs_of_folder(tmp_path / "songs", "truth")
    assert sorted(found.truth) == ["drums", "vocals"]
    total = vocals.clone()
    total[:, : 2 * RATE] += drums
    clip = found.mixture.read(1.0, 5.0)
    torch.testing.assert_close(clip.samples, total[:, RATE:])
    assert clip.sample_rate == RATE
    assert loudest_start(found.mixture.energies(), 1.0) == pytest.approx(2.0, abs=0.1)
    write(song / "accompaniment.wav", 3 * drums)  # which holds the drums
    (found,) = songs_of_folder(tmp_path / "songs", "truth")
    total[:, : 2 * RATE] += 2 * drums
    torch.testing.assert_close(found.mixture.read(0.0, 3.0).samples, total)
    mixture = write(song / "mixture.wav", torch.randn(2, 99))
    (found,) = songs_of_folder(tmp_path / "songs", "truth")
    assert torch.equal(found.mixture.read(0.0, 3.0).samples, mixture)


def test_a_single_stem_is_no_mixture_and_unequal_stems_have_no_sum(tmp_path):
    write(tmp_path / "song" / "vocals.wav", torch.randn(1, 99))
    (found,) = songs_of_folder(tmp_path, "truth")
    assert found.mixture is None
    write(tmp_path / "song" / "drums.wav", torch.randn(1, 99), RATE // 2)
    (found,) = songs_of_folder(tmp_path, "truth")
    message = r"vocals.wav: 8000 Hz, 1 channels, drums.wav has 4000 Hz, 1: no sum of stems; add"
    with pytest.raises(InputError, match=message):
        found.mixture.read(0.0, 1.0)
