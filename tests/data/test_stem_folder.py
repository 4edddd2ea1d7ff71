import shutil

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.checks.imports import import_class
from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.tracks import TrackSource
from auralflow_pl.errors import InputError

STEMS = ("vocals", "drums", "bass", "other")
PAD_TRIM = ("pad", "trim")


@pytest.fixture
def root(songs, tmp_path):
    shutil.copytree(songs, tmp_path / "set")
    return tmp_path / "set"


def test_reads_what_another_tool_wrote(root):
    track = StemFolder(root, STEMS).tracks("test")[1]
    mixture, stems = track.read()
    expected = soundfile.read(root / "test" / "song001" / "bass.wav", dtype="float32")[0].T
    assert torch.equal(stems[2], torch.from_numpy(np.ascontiguousarray(expected)))
    assert (mixture - stems.sum(0)).abs().max() < 1e-4
    assert (track.name, track.sample_rate, track.frames) == ("song001", 44100, 6 * 44100)


def test_max_tracks(root):
    assert [t.name for t in StemFolder(root, STEMS, max_tracks=2).tracks("train")] == [
        "song000",
        "song001",
    ]


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            shutil.rmtree,
            r"no such folder; expected \[train/\]<track>/{vocals,drums,bass,other}.wav, "
            "with folders train, valid and test or with none of them",
        ),
        (lambda r: shutil.rmtree(r / "train"), r"no tracks in .*train; expected \[train/\]<track>"),
        (
            lambda r: [shutil.rmtree(r / split) for split in ("train", "valid", "test")],
            r"no tracks in data.root=.*/set; expected \[train/\]<track>/.* or with none of them",
        ),
        (lambda r: (r / "train/song001/bass.wav").unlink(), "song001: no file for bass"),
        (
            lambda r: soundfile.write(r / "train/song001/bass.wav", np.zeros((99, 2)), 44100),
            "bass.wav: 99 samples, but vocals.wav has 264600",
        ),
        (
            lambda r: soundfile.write(r / "train/song001/bass.wav", np.zeros((264600, 2)), 48000),
            "bass.wav: 48000 Hz, but vocals.wav has 44100",
        ),
        (
            lambda r: soundfile.write(r / "train/song001/bass.wav", np.zeros(264600), 44100),
            "bass.wav: 1 channels, but vocals.wav has 2",
        ),
        (
            lambda r: (r / "train/gone").symlink_to("/nowhere/else"),
            "gone: a link to /nowhere/else, which is missing; mend or remove it",
        ),
        (lambda r: (r / "train/song001/bass.wav").write_bytes(b""), "bass.wav: empty file"),
        (
            lambda r: (r / "train/song001/bass.flac").touch(),
            "song001/bass.wav: bass.flac is there too; expected one file for bass",
        ),
        (
            lambda r: (r / "train/song001/bass.wav").write_text("no"),
            "bass.wav: not readable as audio",
        ),
        (
            lambda r: (r / "train/song001/bass.wav").write_bytes(
                (r / "train/song001/drums.wav").read_bytes()[:50000]
            ),
            "bass.wav: truncated: the header promises 1058400 bytes",
        ),
    ],
)
def test_faults_are_named(root, damage, message):
    damage(root)
    with pytest.raises(InputError, match=message):
        StemFolder(root, STEMS).tracks("train")


def test_hidden_and_unused_files_are_skipped(root):
    for name in ("._bass.wav", ".bass.flac", "notes.mp3", "notes.wav"):
        (root / "train" / "song001" / name).touch()
    assert len(StemFolder(root, STEMS).tracks("train")) == 3


def test_nan_samples_are_named(root):
    path = root / "train/song001/bass.wav"
    samples = soundfile.read(path)[0]
    samples[1000] = np.nan
    soundfile.write(path, samples, 44100, "FLOAT")
    track = StemFolder(root, STEMS).tracks("train")[1]
    with pytest.raises(InputError, match=r"bass.wav: has NaN or infinite samples"):
        track.read()


def test_several_roots_make_one_set(root, tmp_path):
    more = tmp_path / "more"
    shutil.copytree(root / "train" / "song000", more / "train" / "another")  # nothing to validate
    source = StemFolder(None, STEMS, roots=[root, more], weights=[1, 3])
    train, valid = source.tracks("train"), source.tracks("valid")
    assert [(t.name, t.root) for t in train][-1] == ("another", more)
    assert {track.root for track in valid} == {root}
    assert source.weights == {root: 1, more: 3}
    assert len(StemFolder(None, STEMS, 1, roots=[root, more]).tracks("train")) == 2


@pytest.mark.parametrize(
    "roots, weights, message",
    [
        ([], None, "data.root: not given"),
        (["a", "./a"], None, "a root is repeated"),
        (["a", "b"], [1], "data.weights=.1.: expected 2, one for each"),
        (["a", "b"], [1, 0], "data.weights.1=0: expected more than 0"),
        (["none"], None, "data.root=none: no such folder"),
    ],
)
def test_bad_roots_are_named(roots, weights, message):
    with pytest.raises(InputError, match=message):
        StemFolder(None, STEMS, roots=roots, weights=weights).tracks("train")


def test_a_split_that_is_a_link_to_nothing_is_named(root):
    shutil.rmtree(root / "train")
    (root / "train").symlink_to("/nowhere/else")
    with pytest.raises(InputError, match="train: a link to /nowhere/else"):
        StemFolder(root, STEMS).find("train")


def test_folders_of_the_system_are_skipped_and_named_once(root, caplog):
    for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints"):
        (root / "train" / name).mkdir()
    (root / "train" / ".DS_Store").touch()
    source = StemFolder(root, STEMS)
    expected = [path for path in source.find("train") if path.name.startswith("song")]
    assert source.find("train") == expected
    assert [record.getMessage() for record in caplog.records] == [
        f"{root / 'train'}: skipped @eaDir, __MACOSX, made by the operating system"
    ]


@pytest.mark.parametrize("count, split", [(1, "train"), (1, "test"), (2, "train")])
def test_too_few_songs_to_divide(root, count, split):
    source = StemFolder(root / "train", STEMS)
    for folder in sorted((root / "train").iterdir())[count:]:
        shutil.rmtree(folder)
    with pytest.raises(InputError, match=rf"too few songs .* \({count}\): .* data.roots="):
        source.find(split)


def short_and_coarse(root):
    """Cut the bass of song000 by 99 samples and store its vocals at half the rate, in mono."""
    song = root / "train" / "song000"
    bass, rate = soundfile.read(song / "bass.wav", dtype="float32")
    soundfile.write(song / "bass.wav", bass[:-99], rate, "FLOAT")
    vocals = soundfile.read(song / "vocals.wav", dtype="float32")[0]
    soundfile.write(song / "vocals.wav", vocals[::2, 0], rate // 2, "FLOAT")
    return song, bass


@pytest.mark.parametrize("mismatch, frames", [("pad", 264600), ("trim", 264501)])
def test_stems_are_made_to_fit(root, tmp_path, caplog, mismatch, frames):
    _, bass = short_and_coarse(root)
    track, *others = StemFolder(root, STEMS, mismatch=mismatch).tracks("train")
    assert (track.frames, track.sample_rate, track.channels) == (frames, 44100, 2)
    assert [r.getMessage() for r in caplog.records] == [f"train/song000: {track.changes}"]
    assert "vocals.wav resampled from 22050 to 44100 Hz; vocals.wav has 1 channels" in track.changes
    assert not any(other.changes for other in others)
    pool = Pool(tmp_path / "pool", 44100, "float32")
    pool.build([track])
    heard = pool.open(track).read()[1]
    assert torch.equal(heard, track.read()[1])
    assert torch.equal(heard[:, :, -500:], track.read_stems(frames - 500, 500))
    assert torch.equal(heard[2, :, :264501], torch.from_numpy(bass[:-99].T.copy()))
    assert not heard[2, :, 264501:].any()
    assert torch.equal(heard[0, 0], heard[0, 1])


def test_a_missing_stem_is_silence(root):
    (root / "train/song000/bass.wav").unlink()
    track = StemFolder(root, STEMS, missing="silent").tracks("train")[0]
    assert track.absent == ("bass",)
    assert track.changes == "no bass, taken as silence"
    assert not track.read_stem("bass", 5, 100).any()
    assert track.read_stem("drums", 5, 200000).any()
    assert not track.read()[1][2].any()
    for stem in STEMS:
        (root / f"train/song001/{stem}.wav").unlink()
    with pytest.raises(InputError, match="song001: no file for vocals, drums, bass, other"):
        StemFolder(root, STEMS, missing="silent").tracks("train")


def test_the_pool_tells_padded_from_trimmed_songs(root, tmp_path):
    short_and_coarse(root)
    pool = Pool(tmp_path, 44100)
    paths = {pool.path(StemFolder(root, STEMS, mismatch=m).tracks("train")[0]) for m in PAD_TRIM}
    assert len(paths) == 2


@pytest.mark.parametrize(
    "name", ["musdb18.Musdb18", "stem_folder.StemFolder", "synthetic.SyntheticSongs"]
)
def test_former_names_of_data_sets_work(name):
    node = {"_target_": f"auralflow_pl.data.{name}"}
    assert import_class(node, TrackSource, "data.source", []).__name__ == name.partition(".")[2]


def test_stems_of_other_names_are_named(root):
    with pytest.raises(
        InputError, match=r"song000: no file for voice, guitar; found .*drums.*: if"
    ):
        StemFolder(root, ["voice", "guitar"]).tracks("train")
