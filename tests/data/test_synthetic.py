import json

import numpy as np
import pytest
import soundfile

from auralflow_pl.data.sources.synthetic import SyntheticSongs
from auralflow_pl.data.synthesis.song import render_song
from auralflow_pl.errors import InputError
from support import ended, forked

STEMS = ("vocals", "drums", "bass", "other")


def test_layout_is_that_of_musdb18_hq(songs):
    found = sorted(str(p.relative_to(songs)) for p in songs.rglob("*.wav"))
    expected = [
        f"{split}/song{index:03d}/{stem}.wav"
        for split, count in (("train", 3), ("valid", 1), ("test", 2))
        for index in range(count)
        for stem in (*STEMS, "mixture")
    ]
    assert found == sorted(expected)


def test_files_are_stereo_16_bit_of_the_same_length(songs):
    for path in songs.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (44100, 2, "PCM_16")
        assert info.frames == 6 * 44100


def test_mixture_is_the_sum_of_the_stems(songs):
    for folder in songs.glob("*/song*"):
        pcm = {
            p.stem: soundfile.read(p, dtype="int16")[0].astype(int) for p in folder.glob("*.wav")
        }
        mixture = pcm.pop("mixture")
        assert np.abs(mixture - sum(pcm.values())).max() <= 1


def test_a_song_is_a_function_of_its_seed():
    one, two, other = (render_song(seed, 4.0) for seed in ((1, 0, 0), (1, 0, 0), (1, 0, 1)))
    assert all(np.array_equal(one[stem], two[stem]) for stem in one)
    assert not np.array_equal(one["mixture"], other["mixture"])


def test_songs_vary_and_leave_silence():
    """Over some songs every stem plays, and every stem rests somewhere; no sample is clipped."""
    rms = {stem: [] for stem in STEMS}
    for index in range(12):
        song = render_song((0, 0, index), 12.0)
        assert max(np.abs(pcm.astype(int)).max() for pcm in song.values()) < 32767
        for stem in STEMS:
            seconds = song[stem].astype(float).reshape(12, -1)
            rms[stem] += list(np.sqrt(np.square(seconds).mean(1)))
    for stem, levels in rms.items():
        assert np.median(levels) > 300, stem
        assert min(levels) < 30, stem


@pytest.mark.parametrize("seconds", [1.0, 1.7, 31.3])
def test_length_is_exact(seconds):
    song = render_song((3, 1, 4), seconds)
    assert {pcm.shape for pcm in song.values()} == {(round(seconds * 44100), 2)}


def test_an_interrupted_generation_goes_on(songs, tmp_path):
    source = SyntheticSongs(tmp_path / "s", 2, 1, 0, seconds=2, workers=1)
    source.prepare()
    victim = tmp_path / "s" / "train" / "song001"
    before = (victim / "vocals.wav").read_bytes()
    for path in victim.iterdir():
        path.unlink()
    victim.rmdir()
    untouched = (tmp_path / "s" / "train" / "song000" / "vocals.wav").stat().st_mtime_ns
    source.prepare()
    assert (victim / "vocals.wav").read_bytes() == before
    assert (tmp_path / "s" / "train" / "song000" / "vocals.wav").stat().st_mtime_ns == untouched


def test_two_processes_generate_one_set(tmp_path):
    """As the first two jobs of a sweep do."""
    songs = SyntheticSongs(tmp_path / "s", 2, 1, 0, seconds=2, workers=1)
    pair = [forked(songs.prepare) for _ in range(2)]
    assert [ended(*process)[0] for process in pair] == [0, 0]
    assert len(list(tmp_path.glob("s/*/*/mixture.wav"))) == 3
    assert not list(tmp_path.rglob(".partial-*"))


def test_another_recipe_in_the_folder_is_refused(songs):
    before = json.loads((songs / "synthetic.json").read_text())
    with pytest.raises(InputError, match=r"another recipe \(seed differ\)"):
        SyntheticSongs(songs, 3, 1, 2, seconds=6, seed=7).prepare()
    assert json.loads((songs / "synthetic.json").read_text()) == before


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and was not generated"):
        SyntheticSongs(tmp_path).prepare()
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
