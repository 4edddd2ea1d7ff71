"""Bars on terminals, lines in logs."""

import io

import pytest

from auralflow_pl.system import progress
from auralflow_pl.system.progress import Progress


class Terminal(io.StringIO):
    """A file that is a terminal."""

    def isatty(self):
        return True


def work(file):
    """Two bars at once, and text beside them."""
    with Progress(total=4, desc="pool", file=file, mininterval=0) as bar:
        for share in Progress(range(2), "song", file=file, mininterval=0):
            bar.set_postfix_str(f"share {share}")
            bar.update(1)
        Progress.write("one\n", file=file, end="")
    return file.getvalue()


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """A command with silent=true may have run in this process."""
    monkeypatch.setattr(Progress, "hidden", False)


def test_a_log_gets_lines(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    text = work(io.StringIO())
    assert text.replace("\n", "").isprintable()
    lines = text.splitlines()
    assert "pool: 25%, 00:00 left, share 0" in lines
    assert "song: 50%, 00:00 left" in lines
    assert "one" in lines


def test_short_work_leaves_only_the_text_in_a_log():
    assert work(io.StringIO()) == "one\n"


def test_a_terminal_gets_bars_that_vanish():
    text = work(Terminal())
    assert "pool:  25%" in text
    assert text.endswith("\r")
    assert text.rpartition("\r")[0].rpartition("\r")[2].strip() == ""


def test_a_closed_standard_error_is_no_fault(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert list(Progress(range(3), "song")) == [0, 1, 2]
