"""Scripts that measure: each is imported and refuses unknown keys; some run with tiny settings."""

import importlib
import logging
import sys

import pytest
import torch
from omegaconf.errors import OmegaConfBaseException

from support import REPOSITORY, TINY

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


@pytest.fixture
def settings():
    """Settings of the process that scripts change."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    logging.disable(logging.NOTSET)


def test_the_cost_of_metrics_is_measured(monkeypatch, capsys, settings):
    script = importlib.import_module("bench_metrics")
    for name, value in {"STEMS": 1, "CHANNELS": 1, "CHUNKS": 2, "ROUNDS": 1}.items():
        monkeypatch.setattr(script, name, value)
    script.bench_si_sdr()
    assert "SI-SDR of 2 chunks: ours / torchmetrics" in capsys.readouterr().out
    ours, theirs = (script.measured(program, 2) for program in ("ours", "museval"))
    assert ours.seconds > 0
    assert abs(ours.scores - theirs.scores)[0].max() < 1e-6


def test_the_cost_of_training_is_printed(monkeypatch, capsys, settings, songs):
    script = importlib.import_module("bench_training")
    keys = ",".join([*TINY, f"data.root={songs}"])
    given = ["steps=1", "rounds=1", f"overrides=[{keys}]"]
    monkeypatch.setattr(sys, "argv", ["bench_training", *given])
    script.main()
    assert "1 steps under Lightning / bare loop" in capsys.readouterr().out
