"""The parts of docs/extending.md, as the page writes, checks and uses them, and in the project."""

from __future__ import annotations

import csv
import importlib
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from auralflow_pl.cli import main as cli
from support import REPOSITORY, TINY, TINY_SET, ended, forked

PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```", PAGE, re.M | re.S))
CHECKS = [
    code for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if "assert" in code
]
COMMANDS = [
    shlex.split(line.replace("\\\n", " "))
    for line in re.findall(r"^    auralflow (.*?[^\\])$", PAGE, re.M | re.S)
]
MOVES = [  # files of the package, and what they become in this project
    row.split("|")[2:4]
    for row in (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8").splitlines()
    if re.match(r"\| [a-z ]+ \| `mypkg/", row)
]
SMALL = [key for key in TINY if key not in TINY_SET and not re.match("model|logger", key)]


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The package, as the page writes it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("own") / "mypkg"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_page_is_read_as_a_whole():
    assert len(FILES) == 13
    assert len(CHECKS) == 4
    assert [words[0] for words in COMMANDS] == ["train", "evaluate"]
    assert len(MOVES) == 5


@pytest.mark.parametrize("check", CHECKS)
def test_each_part_is_checked_as_shown(package, songs, tmp_path, monkeypatch, check):
    monkeypatch.syspath_prepend(package)
    monkeypatch.chdir(tmp_path)
    Path("songs").symlink_to(songs)
    exec(check, {})
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypkg"]:
        del sys.modules[name]


def test_the_commands_train_and_evaluate_with_all_parts(package, songs, tmp_path):
    (tmp_path / "mypkg").symlink_to(package)
    (tmp_path / "songs").symlink_to(songs)

    def work() -> None:
        os.chdir(tmp_path)
        sys.path.insert(0, str(tmp_path / "mypkg"))
        for command, *words in COMMANDS:
            sys.argv = [command, *words, *(SMALL if command == "train" else ["device=cpu"])]
            cli.run(command)

    code, text = ended(*forked(work))
    assert code == 0, text
    run = tmp_path / "runs" / "mine"
    with next(run.glob("csv/**/metrics.csv")).open(newline="") as file:
        assert [row for row in csv.DictReader(file) if row.get("train/weight_norm")]
    assert "val/level_error" in next(run.glob("csv/**/metrics.csv")).read_text()
    with (tmp_path / "scores" / "eval.csv").open(newline="") as file:
        columns = csv.DictReader(file).fieldnames or ()
    assert {"si_sdr", "level_error"} <= {*columns}


def test_the_same_parts_work_in_this_project(package, songs, tmp_path):
    for folder in ("src", "configs"):
        shutil.copytree(
            REPOSITORY / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns("__pycache__", "bundled"),
        )
    modules = {}
    for row in MOVES:
        (code, keys), (module, options) = (re.findall(r"`(\S+)`", cell) for cell in row)
        modules[code] = module.removeprefix("src/").removesuffix(".py").replace("/", ".")
        shutil.copy(package / code, tmp_path / module)
        former = code.removesuffix(".py").replace("/", ".")
        text = (package / keys).read_text().replace(f"{former}.", f"{modules[code]}.")
        assert "mypkg" not in text
        (tmp_path / options).write_text(text)
    words = [word for word in COMMANDS[0][1:] if word != "--config-dir" and "mypkg" not in word]

    def work() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "auralflow_pl"]:
            del sys.modules[name]
        sys.path.insert(0, str(tmp_path / "src"))
        os.chdir(tmp_path)
        Path("songs").symlink_to(songs)
        main = importlib.import_module("auralflow_pl.cli.main")
        assert main.__file__.startswith(str(tmp_path))
        sys.argv = ["train", *words, *SMALL]
        main.run("train")

    code, text = ended(*forked(work))
    assert code == 0, text
    assert (tmp_path / "runs" / "mine" / "checkpoints" / "best.ckpt").is_file()
