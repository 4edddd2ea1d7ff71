"""No command connects to another machine, or writes outside of the folders of docs/files.md."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import soundfile
import torch

from auralflow_pl.system.telemetry import SWITCHES, disable_telemetry
from support import TINY, untrained

COMMANDS = """
import sys
from auralflow_pl.cli import main as cli

def run(name, *arguments):
    sys.argv = [name, *arguments]
    try:
        cli.run(name)
    except SystemExit as end:
        assert not end.code, (name, end.code)

ckpt, songs, tiny = sys.argv[1], sys.argv[2], sys.argv[3:]
run("separate", f"ckpt={ckpt}", "input=song.wav", "output=stems", "engine=onnx",
    "plot=true")
run("export", f"ckpt={ckpt}", "format=onnx", "output=model.onnx")
run("evaluate", f"ckpt={ckpt}", "data=stem_folder", f"data.root={songs}", "output=eval")
run("train", *tiny, f"data.root={songs}", "paths.run_dir=run", "logger=wandb",
    "logger.wandb.offline=true")
run("doctor", "data=stem_folder", f"data.root={songs}")
run("models")
"""

AT_HOME = r"\.cache/(matplotlib|wandb)/.*"


def test_the_users_own_choice_stays(monkeypatch):
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")
    disable_telemetry()
    expected = {**SWITCHES, "WANDB_ERROR_REPORTING": "true"}
    assert {name: os.environ[name] for name in SWITCHES} == expected


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_no_command_connects_or_leaves_files_at_home(songs, tmp_path):
    work, home, trace = tmp_path / "work", tmp_path / "home", tmp_path / "trace"
    work.mkdir()
    home.mkdir()
    ckpt = untrained(tmp_path / "vocals.ckpt")
    soundfile.write(work / "song.wav", torch.randn(4000, 2).mul(0.1).numpy(), 16000)
    environment = {
        **{name: value for name, value in os.environ.items() if name not in SWITCHES},
        "HOME": str(home),
        "AURALFLOW_DATA": str(tmp_path / "data"),
        "AURALFLOW_CACHE": str(tmp_path / "cache"),
        "XDG_CACHE_HOME": "",
        "CI": "",  # ONNX Runtime would be silent there
    }
    tracing = ["strace", "-f", "--seccomp-bpf", "-e", "trace=connect,sendto", "-o", str(trace)]
    command = [sys.executable, "-c", COMMANDS, str(ckpt), str(songs), *TINY]
    done = subprocess.run(
        [*tracing, *command], cwd=work, env=environment, capture_output=True, text=True
    )
    if "PTRACE" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in trace.read_text().splitlines() if "AF_INET" in line]
    assert [line for line in lines if not re.search(r'"127\.|"::1"', line)] == []
    left = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    assert [name for name in left if not re.fullmatch(AT_HOME, name)] == []
