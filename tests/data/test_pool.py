"""The pool holds what the files hold, survives what may happen to it, and never lies."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.data.chunks import ChunkDataset
from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sources.stem_folder import AudioFolder, StemFolder
from auralflow_pl.errors import InputError
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.training.data_module import StemDataModule
from support import REPOSITORY
from support.windows import keep_open_files

KILLS = int(os.environ.get("POOL_KILLS", "12"))  # more of them take longer
STEMS = ("vocals", "drums", "bass", "other")
BUILD = f"""
import sys
from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sources.stem_folder import StemFolder
Pool(sys.argv[2], 22050).build(StemFolder(sys.argv[1], {STEMS}).tracks("train"))
"""


@pytest.fixture
def tracks(songs):
    return StemFolder(songs, STEMS).tracks("train")


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_samples_are_those_of_the_files(tracks, tmp_path, dtype):
    pool = Pool(tmp_path, 44100, dtype)
    pool.build(tracks)
    for track in tracks:
        pooled = pool.open(track)
        assert torch.equal(pooled.read_stems(1000, 500), track.read_stems(1000, 500))
        assert torch.equal(pooled.read_stem("bass", 7, 9), track.read_stem("bass", 7, 9))
        for one, two in zip(pooled.read(), track.read(), strict=True):
            assert torch.equal(one, two)


def test_chunks_are_those_of_the_files(songs, tmp_path):
    def chunks(pool, source=StemFolder):
        module = StemDataModule(source(songs, STEMS), 2, 44100, 0.2, 4, 2, 0, 0, pool=pool)
        module.prepare_data()
        module.setup("fit")
        return next(iter(module.train_dataloader()))["stems"]

    pool = Pool(tmp_path, 44100)
    assert torch.equal(chunks(pool), chunks(None))
    files = set(tmp_path.glob("*.npy"))
    assert len(files) == 4  # train and valid, not test
    shutil.rmtree(tmp_path)
    assert torch.equal(chunks(pool, AudioFolder), chunks(None))
    assert not tmp_path.exists()  # read on the fly


def test_another_rate_is_resampled_once(tracks, tmp_path):
    pool = Pool(tmp_path, 22050)
    pool.build(tracks[:1])
    pooled = pool.open(tracks[0])
    assert (pooled.sample_rate, pooled.frames) == (22050, tracks[0].frames // 2)
    assert len(ChunkDataset([pooled], 1, 22050, 0.5, seed=0)[0]["mixture"][0]) == 11025
    slow, fast = pooled.read_stem("bass", 0, 22050), tracks[0].read_stem("bass", 0, 44100)
    below = torch.fft.rfft(fast)[..., : 22050 // 2 - 1500] / 2  # what half the rate can hold
    same = torch.fft.rfft(slow)[..., : 22050 // 2 - 1500]
    parts = [torch.view_as_real(x).flatten() for x in (same, below)]
    assert si_sdr(*parts) > 35  # the cut at the ends is the difference


def test_sound_beyond_full_scale_is_clipped_by_integers_only(tmp_path):
    for stem in STEMS:
        path = tmp_path / "train" / "loud" / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full((100, 2), 1.5), 44100, "FLOAT")
    (track,) = StemFolder(tmp_path, STEMS).tracks("train")
    for dtype, level in (("int16", 32767 / 32768), ("float32", 1.5)):
        pool = Pool(tmp_path / "pool", 44100, dtype)
        pool.build([track])
        assert pool.open(track).read_stem("bass", 0, 100).unique().tolist() == [level]


def test_nothing_is_decoded_twice(tracks, tmp_path):
    pool = Pool(tmp_path, 44100)
    pool.build(tracks)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    pool.build(tracks)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert len(before) == len(tracks)


@pytest.mark.parametrize("system", ["posix", "windows"])
def test_a_changed_source_is_decoded_anew(system, songs, monkeypatch, tmp_path):
    root = tmp_path / "songs"
    shutil.copytree(songs, root)
    pool = Pool(tmp_path / "pool", 44100)
    (track, *_) = StemFolder(root, STEMS).tracks("train")
    pool.build([track])
    old = pool.open(track).read_stem("vocals", 0, 1000)
    soundfile.write(root / "train" / track.name / "vocals.wav", np.zeros((264600, 2)), 44100)
    (track, *_) = StemFolder(root, STEMS).tracks("train")
    with pytest.raises(InputError, match="missing or damaged; start again to rebuild it"):
        pool.open(track)
    if system == "windows":  # the former file is still mapped
        keep_open_files(monkeypatch)
    pool.build([track])
    assert pool.open(track).read_stem("vocals", 0, 1000).abs().max() == 0
    assert old.shape == (2, 1000)


@pytest.mark.parametrize("damage", [b"", b"no array", None])
def test_a_damaged_file_is_built_anew(tracks, tmp_path, damage):
    pool = Pool(tmp_path, 44100)
    pool.build(tracks[:1])
    path = pool.path(tracks[0])
    path.write_bytes(path.read_bytes()[:-1000] if damage is None else damage)
    with pytest.raises(InputError, match="missing or damaged"):
        pool.open(tracks[0])
    pool.build(tracks[:1])
    assert torch.equal(pool.open(tracks[0]).read()[1], tracks[0].read()[1])


def test_builders_that_are_killed_leave_nothing_wrong(songs, tmp_path):
    """In a process without other threads, which may be copied at any moment."""
    script = REPOSITORY / "tests" / "support" / "kill_builders.py"
    command = [sys.executable, script, songs, tmp_path, str(KILLS)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "tests")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_a_full_disk_is_named_before_anything_is_written(tracks, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    with pytest.raises(InputError, match=r"13.* GB|GB are needed, 0.0 GB are free; free some"):
        Pool(tmp_path, 44100).build(tracks)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_meanwhile_leaves_no_part(songs, tmp_path):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500000, 500000))\n"
    handled = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    done = subprocess.run(
        [sys.executable, "-c", limited + handled + BUILD, songs, tmp_path],
        capture_output=True,
        text=True,
    )
    assert "cannot be written: File too large; free some space" in done.stderr
    assert not list(tmp_path.glob("*.npy"))
    assert not list(tmp_path.glob("*.part"))


def test_faults_of_options_and_folders_are_named(tracks, tmp_path):
    with pytest.raises(InputError, match=r"pool\.dtype=int24: did you mean 'int16'"):
        Pool(tmp_path, 44100, "int24")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"pool\.folder=.*file: cannot be written"):
        Pool(tmp_path / "file", 44100).build(tracks)


def test_a_broken_source_stops_the_build_with_its_name(songs, tmp_path):
    root = tmp_path / "songs"
    shutil.copytree(songs, root)
    tracks = StemFolder(root, STEMS).tracks("train")
    path = root / "train" / tracks[1].name / "bass.wav"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=rf"{tracks[1].name}/bass.wav: truncated"):
        Pool(tmp_path / "pool", 44100).build(tracks)


def test_stems_far_above_full_scale_are_told(songs, tmp_path, caplog):
    shutil.copytree(songs / "train" / "song000", tmp_path / "set" / "train" / "loud")
    loud = torch.zeros(264600, 2)
    loud[1000] = 4.0
    soundfile.write(tmp_path / "set/train/loud/bass.wav", loud.numpy(), 44100, "FLOAT")
    tracks = StemFolder(tmp_path / "set", STEMS).tracks("train")
    Pool(tmp_path / "float", 44100, "float32").build(tracks)
    assert not caplog.records
    Pool(tmp_path / "int", 44100).build(tracks)
    assert "train/loud: peak 12.0 dB above full scale" in caplog.text
    assert "pool=float32" in caplog.text
