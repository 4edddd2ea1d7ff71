"""What Windows and macOS lack, or do otherwise; nothing here was run there."""

import ast
import types

import psutil
import pytest
import soundfile
import torch

import auralflow_pl
from auralflow_pl.system import memory
from support import REPOSITORY, untrained
from support.windows import keep_open_files

PACKAGE = REPOSITORY / "src" / "auralflow_pl"

NOT_ON_WINDOWS = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}


def test_no_module_needs_what_windows_lacks():
    """At its top, that is: a function may ask whether it is there."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [name.name for name in getattr(node, "names", [])]
            names.append(getattr(node, "module", None) or "")
            assert not {name.partition(".")[0] for name in names} & NOT_ON_WINDOWS, path


def test_commands_leave_files_alone_that_are_open(command, monkeypatch, tmp_path):
    """The lock in a folder that is removed, mapped weights in one, a checkpoint that is in use."""
    ckpt, model = untrained(tmp_path / "vocals.ckpt"), tmp_path / "model.zip"
    soundfile.write(tmp_path / "song.wav", torch.randn(16000, 2).mul(0.1).numpy(), 16000)
    keep_open_files(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert command("export", f"ckpt={ckpt}", f"output={model}").code == 0
    for given in (ckpt, model):
        keys = [f"ckpt={given}", "input=song.wav", "output=out", "overwrite=true"]
        done = command("separate", *keys)
        assert done.code == 0, done.err
    loaded = auralflow_pl.load(ckpt)
    untrained(tmp_path / "next.ckpt").replace(ckpt)  # as a training does
    assert loaded(torch.zeros(1, 1000)).shape == (1, 1, 1000)
    assert sorted(path.name for path in (tmp_path / "out" / "song").iterdir()) == [
        "report.json",
        "vocals.wav",
    ]


@pytest.mark.parametrize("peak", [{"peak_wset": 5.0}, {}], ids=["windows", "macos"])
def test_memory_is_that_in_use_not_the_peak(peak, monkeypatch, tmp_path):
    device = torch.device("cpu")
    before, block = memory.memory_in_use(device), torch.ones(2**24)
    during = memory.memory_in_use(device)
    assert during - before > 0.9 * block.nbytes
    del block
    assert during - memory.memory_in_use(device) > 0.9 * 2**26
    monkeypatch.setattr(memory, "STATUS_FILE", tmp_path / "none")
    usage = types.SimpleNamespace(rss=3.0, **peak)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda process: usage)
    assert memory.memory_in_use(device) == 3.0
    assert memory.peak_memory(device) == peak.get("peak_wset", pytest.approx(during, rel=0.5))
