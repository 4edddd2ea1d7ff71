from pathlib import Path

import pytest

from auralflow_pl.audio.staging import check_writable, staged
from auralflow_pl.errors import InputError


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
