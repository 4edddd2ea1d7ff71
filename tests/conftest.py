"""Shared material: a tiny generated data set, a tiny trained run, and commands in process."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Small networks gain nothing from threads, which wait for each other when the machine is busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from filelock import FileLock
from hydra._internal.hydra import Hydra

from auralflow_pl.cli import main as cli
from auralflow_pl.data.sources.synthetic import SyntheticSongs
from support import TINY, Result, python

# What takes minutes begins first, so that no worker is left with it at the end.
LONG = (
    "test_wheel.py",
    "test_site.py",
    "test_machines.py",
    "test_processes.py",
    "test_selfcheck.py",
    "test_own_parts.py",
    "test_made_before.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, else as they are."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True, scope="session")
def data_dir(tmp_path_factory) -> Iterator[None]:
    """Pools and graphs of the tests are kept apart from those of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURALFLOW_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("AURALFLOW_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def one_composition(monkeypatch) -> None:
    """Hydra composes once where it cannot find a mode.

    It composes every configuration twice, the first time for the key `hydra.mode` alone. That is
    null unless the arguments set it or choose a file that may.
    """
    search = Hydra.get_mode

    def get_mode(self: Hydra, config_name: str, overrides: list[str]) -> object:
        if any("hydra" in key or key.startswith("experiment=") for key in overrides):
            return search(self, config_name, overrides)
        return None

    monkeypatch.setattr(Hydra, "get_mode", get_mode)


@pytest.fixture
def command(monkeypatch, capfd, one_composition) -> Callable[..., Result]:
    """Run a command in this process as its entry point would: `command("train", "seed=1")`.

    Standard output is a log here, so no command writes a control character.
    """

    def call(name: str, *arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        logging.getLogger("auralflow_pl").setLevel(logging.NOTSET)  # after silent=true
        capfd.readouterr()
        code = 0
        try:
            cli.run(name)
        except SystemExit as end:
            code = int(end.code or 0)
        result = Result(code, *capfd.readouterr())
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", result.out + result.err)
        return result

    return call


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder for what is made once for all processes of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def songs(shared) -> Path:
    """Six generated songs of six seconds, in MUSDB18-HQ layout; to be left as they are."""
    root = shared / "synthetic"
    SyntheticSongs(root, 3, 1, 2, seconds=6, workers=1).prepare()
    return root


@pytest.fixture(scope="session")
def run(songs, shared, tmp_path_factory) -> Path:
    """A run folder of a tiny vocal network, trained by train.py in a process of its own."""
    made = shared / "run"
    with FileLock(shared / "run.lock"):
        if not (made / "checkpoints" / "best.ckpt").is_file():
            done = python("train.py", *TINY, f"data.root={songs}", f"paths.run_dir={made}")
            assert done.code == 0, done.err
    return shutil.copytree(made, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="session")
def ckpt(run) -> Path:
    """Its best checkpoint."""
    return run / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="session")
def excerpt() -> Path:
    """The real six-second multitrack in the stempeg wheel (which needs ffmpeg to be imported)."""
    spec = importlib.util.find_spec("stempeg")
    return next((Path(spec.submodule_search_locations[0]) / "data").glob("*.stem.mp4"))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Tests do not depend on their order."""
    torch.manual_seed(0)
