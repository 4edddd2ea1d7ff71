from functools import partial

import pytest
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from auralflow_pl.metrics.ratios import leak_level, si_snr, snr, usdr
from auralflow_pl.metrics.scale_invariant import is_silent, si_sdr


def test_known_noise_level():
    target, noise = torch.randn(2, 44100, dtype=torch.float64)
    noise -= (noise @ target) / (target @ target) * target  # orthogonal to the target
    noise *= 10 ** (-12 / 20) * target.norm() / noise.norm()  # 12 dB below it
    torch.testing.assert_close(si_sdr(3 * (target + noise), target).item(), 12.0)


def test_agrees_with_torchmetrics():
    target = torch.randn(3, 2, 8000, dtype=torch.float64)
    estimate = 0.5 * target + 0.2 * torch.randn_like(target)
    torch.testing.assert_close(
        si_sdr(estimate, target), scale_invariant_signal_distortion_ratio(estimate, target)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("estimate, target", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_finite_on_silence(estimate, target, dtype):
    sound = torch.randn(1000, dtype=dtype)
    assert torch.isfinite(si_sdr(estimate * sound, target * sound))


@pytest.mark.parametrize("gain", [1e-6, 1e-3, 1.0, 1e3])
def test_scale_does_not_matter(gain):
    target = torch.randn(44100)
    estimate = target + torch.randn(44100)
    reference = si_sdr(estimate, target)
    torch.testing.assert_close(si_sdr(gain * estimate, target), reference, atol=0.01, rtol=0)


def test_silence_is_a_bad_estimate():
    target = torch.randn(44100)
    assert si_sdr(torch.zeros(44100), target) < -60


def test_perfect_estimate_is_better_than_60_db():
    target = torch.randn(44100)
    assert si_sdr(target, target) > 60


@pytest.mark.parametrize("level_db, silent", [(-90, True), (-70, False)])
def test_silence_threshold(level_db, silent):
    sound = torch.randn(44100) * 10 ** (level_db / 20)
    assert bool(is_silent(sound)) is silent


@pytest.mark.parametrize("metric", [si_sdr, si_snr, snr, usdr, partial(leak_level, window=10)])
def test_other_shapes_are_refused(metric):
    one, other = torch.randn(4, 1, 100), torch.randn(4, 100)
    mixture = (one,) if isinstance(metric, partial) else ()
    with pytest.raises(ValueError, match=r"estimate \(4, 1, 100\) and target \(4, 100\)"):
        metric(one, other, *mixture)
