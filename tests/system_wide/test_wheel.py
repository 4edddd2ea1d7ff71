"""The wheel, installed into an empty environment, works from another folder."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from support import REPOSITORY, TINY


@pytest.fixture(scope="module")
def installed():
    """Folder of the scripts of a new environment that holds the wheel and what it asks for."""
    with tempfile.TemporaryDirectory(prefix="auralflow-wheel-") as name:
        folder = Path(name)
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", name]
        subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True)
        venv.create(folder / "env", with_pip=True)
        (wheel,) = folder.glob("*.whl")
        python = folder / "env" / "bin" / "python"
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, wheel]
        if subprocess.run(uv, capture_output=True).returncode:
            pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", wheel]
            subprocess.run(pip, check=True, capture_output=True)
        yield folder / "env" / "bin"


COMMANDS = """
import sys
from auralflow_pl.cli import main as cli
for line in sys.argv[1:]:
    sys.argv = ["auralflow", *line.split("\\n")]
    cli.main()
"""


def test_commands_work_from_another_folder(installed, songs, tmp_path):
    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "separate files or folders" in run(installed / "auralflow", "--help")
    ckpt = "ckpt=mine/checkpoints/best.ckpt"
    source = f"input={songs / 'test' / 'song000' / 'mixture.wav'}"
    commands = [  # in one process, since the imports of each take long
        ["train", *TINY, f"data.root={songs}", "paths.run_dir=mine"],
        ["evaluate", ckpt],
        ["separate", ckpt, source, "residual=true"],
        ["separate", source, "output=bundled", "engine=torch"],
    ]
    assert "mean" in run(installed / "python", "-c", COMMANDS, *map("\n".join, commands))
    assert (tmp_path / "mine" / "eval" / "best" / "synthetic-test" / "eval.csv").is_file()
    assert (tmp_path / "separated" / "mixture" / "vocals.wav").is_file()
    assert (tmp_path / "bundled" / "mixture" / "vocals.wav").is_file()
