from pathlib import Path

import pytest

from auralflow_pl.audio.staging import check_writable, publish, staged, tidy, workshop
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


def test_a_workshop_begins_empty_and_leaves_nothing(tmp_path):
    with workshop(tmp_path, "song") as folder:
        (folder / "1").mkdir()
        (folder / "1" / "vocals.wav").write_text("half")
        left = tmp_path / "copy"
        folder.rename(left)
    left.rename(folder)  # as if the process had been killed
    with workshop(tmp_path, "song") as again:
        assert again == folder
        assert not (again / "1").exists()
    assert list(tmp_path.iterdir()) == []
    folder.mkdir()
    tidy(tmp_path, "song")
    tidy(tmp_path, "another")
    assert list(tmp_path.iterdir()) == []


def test_files_are_published_together_or_not_at_all(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    (tmp_path / "file").write_text("mine")
    finals = {tmp_path / "a": tmp_path / "out" / "a", tmp_path / "b": tmp_path / "file" / "b"}
    with pytest.raises(InputError, match="file"):
        publish(finals)
    assert not (tmp_path / "out" / "a").exists()
    assert (tmp_path / "file").read_text() == "mine"
