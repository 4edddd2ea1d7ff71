"""The wheel, installed into an empty environment, works from another folder."""

import subprocess
import sys
import tempfile
import venv
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import REPOSITORY, TINY


def asked_for(wheel):
    """The distributions that a wheel needs, and those that these need, as they are here."""
    (text,) = (wheel.read(n) for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    needs = [(line, "") for line in message_from_bytes(text).get_all("Requires-Dist")]
    found = {}
    for line, extra in needs:  # which grows
        need = Requirement(line)
        if need.marker and not need.marker.evaluate({"extra": extra}):
            continue
        new = {canonicalize_name(need.name) + f"[{name}]" for name in ("", *need.extras)}
        for name in sorted(new - found.keys()):
            found[name] = distribution(need.name)
            needs += [(line, name.partition("[")[2][:-1]) for line in found[name].requires or ()]
    return found.values()


def link(distributions, folder):
    """Link distributions into a folder: as if installed there, with their compiled bytecode."""
    folder.mkdir()
    for one in distributions:
        for top in {file.parts[0] for file in one.files} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(one.locate_file(top))


@pytest.fixture(scope="module")
def installed():
    """Folder of the scripts of a new environment that holds the wheel and what it asks for."""
    with tempfile.TemporaryDirectory(prefix="auralflow-wheel-") as name:
        folder = Path(name)
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", name]
        subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True)
        venv.create(folder / "env")
        (wheel,) = folder.glob("*.whl")
        python = folder / "env" / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--no-compile", wheel], check=True, capture_output=True)
        link(asked_for(zipfile.ZipFile(wheel)), folder / "needed")
        (packages,) = (folder / "env").glob("lib/python*/site-packages")
        (packages / "needed.pth").write_text(f"{folder / 'needed'}\n")
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
