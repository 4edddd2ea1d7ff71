import contextlib
import json
import os
from pathlib import Path

import pytest

from auralflow_pl.errors import InputError
from auralflow_pl.system.staging import (
    JOURNAL_FILE,
    check_writable,
    move_together,
    staged_folder,
    work_folder,
    work_folder_path,
)
from support import ended, forked
from support.windows import keep_open_files


def test_a_failure_leaves_nothing(tmp_path):
    output = tmp_path / "out"

    def fail():
        with staged_folder(output) as folder:
            (folder / "vocals.wav").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_files_that_were_there_stay(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    with staged_folder(output) as folder:
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
    with pytest.raises(InputError, match="output=/proc/none: cannot write into /proc"):
        check_writable(Path("/proc/none"))
    with pytest.raises(InputError, match="folder=/proc/none: cannot write into /proc"):
        check_writable(Path("/proc/none"), "folder")


def test_a_workshop_begins_empty_and_leaves_nothing(tmp_path):
    with work_folder(tmp_path, "song") as folder:
        (folder / "1").mkdir()
        (folder / "1" / "vocals.wav").write_text("half")
        left = tmp_path / "copy"
        folder.rename(left)
    left.rename(folder)  # as if the process had been killed
    with work_folder(tmp_path, "song") as again:
        assert again == folder
        assert not (again / "1").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_open_cannot_be_removed_on_windows(monkeypatch, tmp_path):
    keep_open_files(monkeypatch)
    with work_folder(tmp_path, "song") as folder:
        make(folder, vocals="half")
        with pytest.raises(InputError, match="another process is making song"):
            work_folder(tmp_path, "song").__enter__()
        assert contents(folder)["vocals"] == "half"
    assert list(tmp_path.iterdir()) == []


def make(folder, **contents):
    """Files in a folder, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_are_published_together_or_not_at_all(tmp_path):
    make(tmp_path / "out", a="old a", c="old c")
    (tmp_path / "out" / "b").mkdir()
    with work_folder(tmp_path, "song") as folder:
        make(folder, a="a", b="b")
        finals = {folder / name: tmp_path / "out" / name for name in "ab"}
        with pytest.raises(InputError, match="out/b: a folder has this name"):
            move_together(folder, finals, [tmp_path / "out" / "c"])
        (tmp_path / "out" / "b").rmdir()
        assert contents(tmp_path / "out") == {"a": "old a", "c": "old c"}
        make(folder, a="a", b="b")
        move_together(folder, finals, [tmp_path / "out" / "c"])
    assert contents(tmp_path / "out") == {"a": "a", "b": "b"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("killed_after", range(7))
def test_a_process_that_is_killed_while_it_publishes(tmp_path, monkeypatch, killed_after):
    """The next one finds all that was there before, or all that was to come."""
    before, after = {"a": "old a", "b": "old b", "c": "old c"}, {"a": "a", "b": "b", "d": "d"}
    make(tmp_path / "out", **before)
    replace, count = Path.replace, iter(range(100))

    def replace_or_die(self, target):
        if next(count) == killed_after:
            os._exit(9)
        return replace(self, target)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(Path, "replace", replace_or_die)
        with work_folder(tmp_path, "song") as folder:
            make(folder, **after)
            finals = {folder / name: tmp_path / "out" / name for name in after}
            move_together(folder, finals, [tmp_path / "out" / "c"])
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with work_folder(tmp_path, "song"):
        assert contents(tmp_path / "out") == (before if code else after)
    assert contents(tmp_path / "out") == (before if code else after)
    assert (code == 0) == (killed_after == 6)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_processes_that_make_one_output_in_turn_never_meet(tmp_path):
    """Each finds the folder made, at work, being removed, or gone; also the lock in it."""

    def take_turns():
        for _ in range(300):
            with contextlib.suppress(InputError), work_folder(tmp_path, "song") as folder:
                (folder / "1").mkdir()
                make(folder / "1", vocals="half")
                assert contents(folder / "1") == {"vocals": "half"}

    others = [forked(take_turns) for _ in range(3)]
    assert [ended(*other) for other in others] == [(0, "")] * 3
    assert list(tmp_path.iterdir()) == []


def test_the_parent_of_an_output_folder_need_not_be_writable(tmp_path):
    """As that of a mount point; the temporary files are on the file system of the output."""
    output = tmp_path / "mounted"
    output.mkdir()
    before = tmp_path.stat().st_mtime_ns
    with staged_folder(output) as folder:
        assert folder.parent == output
        (folder / "vocals.wav").write_text("new")
    assert contents(output) == {"vocals.wav": "new"}
    assert tmp_path.stat().st_mtime_ns == before  # nothing was ever created beside it


def test_a_foreign_journal_is_not_obeyed(tmp_path):
    """It could name any file as one that an interrupted move had written."""
    mine = tmp_path / "mine.wav"
    mine.write_text("mine")
    folder = work_folder_path(tmp_path / "out", "song")
    folder.mkdir(parents=True)
    (folder / "1.wav").write_text("unmoved")
    gone, before = str(folder / "gone"), str(folder / "before-0")
    steps = [[gone, str(mine), before], [str(folder / "1.wav"), str(tmp_path / "b.wav"), before]]
    (folder / JOURNAL_FILE).write_text(json.dumps(steps))
    with work_folder(tmp_path / "out", "song"):
        assert mine.read_text() == "mine"
