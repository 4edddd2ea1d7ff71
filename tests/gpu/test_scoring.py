"""Metrics on a GPU give what they give on the CPU."""

import json

import pytest
import torch

from auralflow_pl.config.instantiate import build
from auralflow_pl.evaluation.results import REFERENCE_NAMES
from auralflow_pl.evaluation.scoring import reference_estimates
from auralflow_pl.metrics.base import MetricInput
from auralflow_pl.signal.stft import STFT
from support import TINY_SET, composed, option_names, untrained

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

RATE = 8000


@pytest.fixture
def sounds():
    """Two targets in stereo, three seconds, the second one silent at first."""
    target = 0.1 * torch.randn(2, 2, 3 * RATE)
    target[1, :, :RATE] = 0
    return target + 0.05 * torch.randn_like(target), target, target.sum(0)


@pytest.mark.parametrize("name", option_names("metrics"))
def test_a_metric_is_that_of_the_cpu(name, sounds, device):
    metric = build(composed("evaluate", "ckpt=x", f"metrics={name}").metrics[name])
    on_cpu, on_device = (
        metric.measure(MetricInput(*(sound.to(place) for sound in sounds), RATE))
        for place in ("cpu", device)
    )
    for column, measured in on_cpu.items():
        for mine, theirs in zip(on_device[column], measured, strict=True):
            torch.testing.assert_close(
                mine.cpu().double(), theirs.double(), rtol=1e-4, atol=1e-2, equal_nan=True
            )


@pytest.mark.parametrize("name", option_names("metrics"))
def test_the_mean_of_a_metric_is_kept_on_the_device(name, sounds, device):
    metric = build(composed("evaluate", "ckpt=x", f"metrics={name}").metrics[name]).to(device)
    metric.update(*(sound.to(device) for sound in sounds), RATE)
    assert metric.compute().device.type == device.type


@pytest.mark.parametrize("name", REFERENCE_NAMES)
def test_references_are_those_of_the_cpu(name, sounds, device):
    _, target, mixture = sounds
    stft = STFT(512, 512, 128)
    on_cpu = reference_estimates(name, stft, target, mixture)
    found = reference_estimates(name, stft.to(device), target.to(device), mixture.to(device))
    # a bin in which both are equally loud may fall to either side
    assert (found.cpu() - on_cpu).abs().mean() < 1e-5


def test_the_command_gives_the_scores_of_the_cpu(command, songs, exact, tmp_path):
    ckpt = untrained(tmp_path / "model.ckpt")
    tables = []
    for place in ("cpu", exact):
        out = tmp_path / str(place) / "scores"
        keys = ("data=synthetic", *TINY_SET, f"data.root={songs}", "engine=torch")
        done = command("evaluate", f"ckpt={ckpt}", f"output={out}", f"device={place}", *keys)
        assert done.code == 0, done.err
        tables.append(json.loads((out / "eval.json").read_text()))
    first, second = ([track["targets"] for track in table["tracks"]] for table in tables)
    assert numbers(second) == pytest.approx(numbers(first), abs=0.02)


def numbers(node):
    """All numbers of nested values, in their order."""
    if isinstance(node, dict):
        return [x for value in node.values() for x in numbers(value)]
    if isinstance(node, list):
        return [x for value in node for x in numbers(value)]
    return [node] if isinstance(node, float) else []
