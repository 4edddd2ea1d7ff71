"""Laws that every YAML of configs/metrics obeys."""

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from auralflow_pl.config.locations import config_dir
from auralflow_pl.errors import InputError
from auralflow_pl.metrics.base import MetricInput
from auralflow_pl.metrics.distortion import bss_eval
from auralflow_pl.metrics.scores import BSSEval
from support import option_names

RATE, TIME = 4000, 10001


def build(name):
    return instantiate(OmegaConf.load(config_dir() / "metrics" / f"{name}.yaml"))


@pytest.fixture(params=option_names("metrics"))
def score(request):
    return build(request.param)


def sounds(noise=0.1):
    target = torch.randn(3, 2, TIME)
    target[0, :, 4000:8000] = 0
    return MetricInput(target + noise * torch.randn_like(target), target, target.sum(0), RATE)


def test_every_heading_says_what_it_is(score):
    for heading in score.headings:
        assert heading.label
        assert len(heading.definition) > 20


def test_less_noise_is_better(score):
    heading = score.headings[0]
    bad, good = (float(score.measure(sounds(n))[heading.name].value[0]) for n in (0.3, 0.03))
    assert (good > bad) == heading.higher_is_better


def test_targets_and_windows(score):
    for measured in score.measure(sounds()).values():
        assert measured.value.shape == (3,)
        assert measured.frames.shape == (3, TIME // RATE)


def test_a_silent_target_spoils_no_other(score):
    given = sounds()
    before = score.measure(given)
    given.target[1] = 0
    for name, measured in score.measure(given).items():
        assert not measured.value.isinf().any()
        assert not measured.frames.isinf().any()
        kept = before[name].value[[0, 2]].isfinite()
        assert (measured.value[[0, 2]].isfinite() == kept).all()


def test_the_state_is_the_mean_of_what_is_defined(score):
    items = [sounds(), sounds(0.5)]
    items[1].target[1] = 0
    values = torch.stack([score.values(item) for item in items]).double()
    for item in items:
        score.update(*item)
    torch.testing.assert_close(score.compute(), values.nanmean())
    assert int(score.undefined) == int(values.isnan().sum())


def test_bss_eval_is_the_median_over_windows():
    given = sounds()
    frames = bss_eval(given.estimate, given.target, 2000, 1000, taps=8)
    measured = BSSEval(0.5, 0.25, taps=8).measure(given)
    torch.testing.assert_close(measured["bss_sir"].frames, frames.sir, equal_nan=True)
    heard = frames.sir[0][frames.sir[0].isfinite()].sort().values
    middle = heard[(len(heard) - 1) // 2 : len(heard) // 2 + 1].mean()
    torch.testing.assert_close(measured["bss_sir"].value[0], middle)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), "long"])
def test_a_window_has_a_length(score, seconds):
    with pytest.raises(InputError, match=r"window_seconds=.*: expected seconds, more than 0"):
        type(score)(window_seconds=seconds)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hop_seconds": -1}, "hop_seconds=-1: expected seconds, more than 0"),
        ({"taps": 0}, "taps=0: expected 1 to 2048"),
        ({"taps": 5000}, "taps=5000: expected 1 to 2048"),
        ({"taps": 0.5}, "taps=0.5: expected 1 to 2048"),
    ],
)
def test_options_of_bss_eval_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        BSSEval(**options)


def test_the_shortest_window_is_a_sample(score):
    measured = type(score)(window_seconds=1e-9).measure(
        MetricInput(*(part[..., :40] for part in sounds()[:3]), RATE)
    )
    assert measured[score.headings[0].name].frames.shape[0] == 3
