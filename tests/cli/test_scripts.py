"""Scripts that measure: each is imported, and refuses a key that it does not have."""

import importlib
import sys

import pytest
from omegaconf.errors import OmegaConfBaseException

from support import REPOSITORY

NAMES = sorted(path.stem for path in (REPOSITORY / "scripts").glob("*.py"))
NO_KEYS = ("bench_startup", "bench_synthetic")
OTHER_PACKAGES = ("tinysoundfont", "pyworld")  # which only the makers of the packaged songs need


@pytest.mark.parametrize("name", NAMES)
def test_a_script_refuses_unknown_keys(name, monkeypatch):
    try:
        script = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OTHER_PACKAGES:
            raise
        pytest.skip(f"no {error.name} here")
    if name in NO_KEYS or not hasattr(script, "main"):
        return
    monkeypatch.setattr(sys, "argv", [name, "nonsense=1"])
    with pytest.raises((SystemExit, OmegaConfBaseException)) as error:
        script.main()
    assert str(error.value) != "0"


def test_the_speed_of_synthesis_is_printed(monkeypatch, capsys):
    script = importlib.import_module("bench_synthetic")
    monkeypatch.setattr(script, "SECONDS", 1.0)
    monkeypatch.setattr(script, "SONGS", 1)
    script.main()
    assert "times real time" in capsys.readouterr().out
