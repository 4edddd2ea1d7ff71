"""Our tracks of MUSDB18 are those of the musdb package, sample by sample."""

import shutil

import numpy as np
import pytest

from auralflow_pl.data.sources.musdb18 import Musdb18, Musdb18HQ

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")),
    reason="musdb cannot be imported without the programs ffmpeg and ffprobe",
)

STEMS = ("vocals", "drums", "bass", "other")
TRAIN = ("A - Song", "ANiMAL - Rockshow", "B - Song", "Meaxic - Take A Step")
SPLITS = {"train": ("train", "train"), "valid": ("train", "valid"), "test": ("test", None)}
STEP = 1 / 32768  # musdb decodes to 16 bits, which clips what we keep


@pytest.fixture(scope="module")
def stem_files(excerpt, tmp_path_factory):
    root = tmp_path_factory.mktemp("musdb18")
    for split, names in (("train", TRAIN), ("test", ("C - Song",))):
        (root / split).mkdir()
        for name in names:
            shutil.copyfile(excerpt, root / split / f"{name}.stem.mp4")
    return root


@pytest.fixture(scope="module")
def wav_files(songs, tmp_path_factory):
    root = tmp_path_factory.mktemp("musdb18hq")
    for split, names in (("train", TRAIN), ("test", ("C - Song",))):
        for name in names:
            shutil.copytree(songs / "train" / "song000", root / split / name)
    return root


@pytest.fixture(params=["stem files", "WAV files"])
def both(request):
    """Our source and a function that opens musdb's."""
    import musdb

    is_wav = request.param == "WAV files"
    root = request.getfixturevalue("wav_files" if is_wav else "stem_files")
    source = (Musdb18HQ if is_wav else Musdb18)(root, STEMS)
    return source, lambda *split: musdb.DB(
        str(root), is_wav=is_wav, subsets=split[0], split=split[1]
    )


@pytest.mark.parametrize("split", SPLITS)
def test_splits_are_equal(both, split):
    source, database = both
    expected = [track.name for track in database(*SPLITS[split]).tracks]
    assert [track.name for track in source.tracks(split)] == expected
    assert expected


def test_published_samples_are_equal(stem_files):
    """But for a few that the AAC decoders of two builds of FFmpeg round to different sides."""
    import musdb

    theirs = musdb.DB(str(stem_files), subsets="train", split="valid").tracks[0]
    ours = Musdb18(stem_files, STEMS).tracks("valid")[0].read_published()
    pairs = [(ours.mixture, theirs.audio)]
    pairs += [(s, theirs.targets[name].audio) for name, s in zip(STEMS, ours.stems, strict=True)]
    rest = theirs.targets["accompaniment"].audio
    for one, two in (*pairs, (ours.total - ours.stems[0], rest)):
        steps = np.abs(one.T.numpy() - two) / STEP
        assert steps.max() < 3.1
        assert (steps > 0.01).mean() < 0.001


def test_samples_are_equal(both):
    source, database = both
    ours, theirs = source.tracks("valid")[0], database(*SPLITS["valid"]).tracks[0]
    assert (ours.name, ours.sample_rate) == (theirs.name, theirs.rate)
    mixture, stems = ours.read()
    pairs = {"mixture": (mixture, theirs.audio)}
    pairs |= {
        name: (stem, theirs.targets[name].audio) for name, stem in zip(STEMS, stems, strict=True)
    }
    for name, (one, two) in pairs.items():
        expected = one.T.numpy().clip(-1, 1 - STEP)
        assert expected.shape == two.shape, name
        assert np.abs(expected).max() > 0.01, name
        np.testing.assert_allclose(two, expected, rtol=0, atol=STEP, err_msg=name)
