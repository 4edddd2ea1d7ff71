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
        install = [folder / "env/bin/python", "-m", "pip", "install", "--quiet", wheel]
        subprocess.run(install, check=True, capture_output=True)
        yield folder / "env" / "bin"


def test_commands_work_from_another_folder(installed, songs, tmp_path):
    def auralflow(*arguments):
        done = subprocess.run(
            [installed / "auralflow", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "separate files or folders" in auralflow("--help")
    auralflow("train", *TINY, f"data.root={songs}", "paths.run_dir=mine")
    ckpt = "mine/checkpoints/best.ckpt"
    assert "mean" in auralflow("evaluate", f"ckpt={ckpt}")
    assert (tmp_path / "mine" / "eval" / "best" / "synthetic-test" / "eval.csv").is_file()
    source = songs / "test" / "song000" / "mixture.wav"
    auralflow("separate", f"ckpt={ckpt}", f"input={source}", "residual=true")
    assert (tmp_path / "separated" / "mixture" / "vocals.wav").is_file()
    auralflow("separate", f"input={source}", "output=bundled", "engine=torch")
    assert (tmp_path / "bundled" / "mixture" / "vocals.wav").is_file()
