"""The layout of the package: folders, names and the direction of imports."""

from __future__ import annotations

import ast
import collections
import importlib
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import psutil  # noqa: F401 - its module for Linux needs resource, those for others do not
import pytest
import soundfile
import torch

from support import REPOSITORY, ended, forked, untrained

PACKAGE = REPOSITORY / "src" / "auralflow_pl"
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)
MOST_FILES = 12
WITH_GRADIO = ("auralflow_pl.demo.page", "auralflow_pl.demo.server")  # takes seconds to import


def test_the_root_holds_no_other_module():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {
        "__init__",
        "__main__",
        "errors",
        "version",
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_folder_is_small_and_says_what_it_is_for(folder):
    assert len([path for path in folder.glob("*.py") if path.stem != "__init__"]) <= MOST_FILES
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert text, folder
    assert 3 <= len(text.splitlines()) <= 8, text


def public_definitions() -> dict[str, list[str]]:
    """Classes and functions at the top of modules, with the modules that define them."""
    found = collections.defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                found[node.name].append(str(path.relative_to(PACKAGE)))
    return found


def test_no_two_public_classes_or_functions_share_a_name():
    shared = {name: paths for name, paths in public_definitions().items() if len(paths) > 1}
    assert shared == {}


def test_no_two_constants_share_a_name():
    found = collections.defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            for name in names:
                if name.isupper():
                    found[name].append(str(path.relative_to(PACKAGE)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_an_import_that_points_up_is_refused(tmp_path):
    shutil.copytree(REPOSITORY / "src", tmp_path / "src")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    with (tmp_path / "src/auralflow_pl/signal/stft.py").open("a") as file:
        file.write("\nfrom auralflow_pl.separator.separator import Separator  # noqa\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "src"), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Folders import downwards BROKEN" in done.stdout


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_public_name_of_a_folder_is_there(folder):
    module = importlib.import_module(".".join(folder.relative_to(PACKAGE.parent).parts))
    for name in getattr(module, "__all__", ()):
        assert name in dir(module)
        getattr(module, name)


def test_all_modules_load_and_separate_without_resource_and_fcntl(tmp_path):
    ckpt = untrained(tmp_path / "vocals.ckpt")

    soundfile.write(tmp_path / "song.wav", torch.randn(16000, 2).mul(0.1).numpy(), 16000)

    def work():
        for name in [name for name in sys.modules if name.split(".")[0] == "auralflow_pl"]:
            del sys.modules[name]
        sys.modules |= dict.fromkeys(("resource", "fcntl"))
        package = importlib.import_module("auralflow_pl")
        for module in pkgutil.walk_packages(package.__path__, "auralflow_pl."):
            if module.name not in (*WITH_GRADIO, "auralflow_pl.__main__"):
                importlib.import_module(module.name)
        sound, output = tmp_path / "song.wav", tmp_path / "out"
        sys.argv = ["separate", f"ckpt={ckpt}", f"input={sound}", f"output={output}"]
        sys.modules["auralflow_pl.cli.main"].run("separate")

    code, text = ended(*forked(work))
    assert code == 0, text
    assert (tmp_path / "out" / "song" / "vocals.wav").is_file()
