from pathlib import Path

import pytest
import soundfile
import torch

from auralflow_pl.audio.writing import check_writable, complementary, staged, write_wav
from auralflow_pl.errors import InputError


def grid(subtype):
    return {"PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "FLOAT": 2.0**-24}[subtype]


def read_back(folder, name):
    return torch.from_numpy(
        soundfile.read(folder / f"{name}.wav", dtype="float64", always_2d=True)[0].T
    )


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_files_null_within_one_step(tmp_path, subtype, channels):
    step = grid(subtype)
    mixture = torch.round((torch.rand(channels, 5000) - 0.5) / step) * step
    estimates = {"vocals": mixture * torch.rand(channels, 5000), "drums": mixture * 0.3}
    stems, written = complementary(mixture, estimates, subtype)
    assert written == subtype
    for name, samples in stems.items():
        write_wav(tmp_path / f"{name}.wav", samples, 44100, written)
        assert soundfile.info(tmp_path / f"{name}.wav").subtype == subtype
    total = sum(read_back(tmp_path, name) for name in ("vocals", "drums", "residual"))
    assert (total - mixture.double()).abs().max() <= step
    assert (read_back(tmp_path, "vocals") - estimates["vocals"].double()).abs().max() <= step


def test_stems_beyond_full_scale_become_float_and_still_null(tmp_path):
    mixture = torch.full((1, 100), 0.9)
    stems, written = complementary(mixture, {"vocals": torch.full((1, 100), -0.4)}, "PCM_16")
    assert written == "FLOAT"
    write_wav(tmp_path / "residual.wav", stems["residual"], 44100, written)
    assert read_back(tmp_path, "residual").max() == pytest.approx(1.3)


def test_a_failure_leaves_nothing(tmp_path):
    output = tmp_path / "out"

    def fail():
        with staged(output) as folder:
            (folder / "vocals.wav").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_files_that_were_there_stay(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    with staged(output) as folder:
        assert not (output / "vocals.wav").exists()
        (folder / "vocals.wav").write_text("new")
    assert {p.name: p.read_text() for p in output.iterdir()} == {
        "notes.txt": "mine",
        "vocals.wav": "new",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        check_writable(tmp_path / "file" / "sub")
    with pytest.raises(InputError, match="cannot write into /proc"):
        check_writable(Path("/proc/none"))
