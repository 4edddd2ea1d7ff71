import pytest
import torch
from torchmetrics.functional.audio import (
    scale_invariant_signal_noise_ratio,
    signal_noise_ratio,
)

from auralflow_pl.metrics.ratios import leak_level, log_wmse, si_snr, snr, usdr


def test_agree_with_torchmetrics():
    target = torch.randn(3, 2, 8000, dtype=torch.float64) + 0.1
    estimate = 0.5 * target + 0.2 * torch.randn_like(target)
    torch.testing.assert_close(
        si_snr(estimate, target), scale_invariant_signal_noise_ratio(estimate, target)
    )
    torch.testing.assert_close(snr(estimate, target), signal_noise_ratio(estimate, target))


@pytest.mark.parametrize("metric", [snr, usdr])
def test_half_the_amplitude_is_6_db(metric):
    target = torch.randn(44100, dtype=torch.float64)
    assert float(metric(0.5 * target, target)) == pytest.approx(6.0206, abs=1e-4)


def test_usdr_is_that_of_the_challenge():
    target, estimate = torch.randn(2, 4, 2, 1000, dtype=torch.float64) * 1e-4
    energy, noise = (x.square().sum((1, 2)) for x in (target, target - estimate))
    expected = 10 * torch.log10((energy + 1e-7) / (noise + 1e-7))
    torch.testing.assert_close(usdr(estimate.flatten(1), target.flatten(1)), expected)


@pytest.mark.parametrize("metric", [si_snr, snr, usdr])
@pytest.mark.parametrize("estimate, target", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_finite_on_silence(metric, estimate, target):
    sound = torch.randn(1000)
    assert torch.isfinite(metric(estimate * sound, target * sound))


def test_log_wmse_is_that_of_the_package():
    from torch_log_wmse import LogWMSE

    mixture, target = torch.randn(5, 2, 4000), torch.randn(5, 3, 2, 4000)
    estimate = target + 0.1 * torch.randn_like(target)
    package = LogWMSE(sample_rate=44100, reduction="none")
    expected = package(mixture, estimate.transpose(1, 2), target.transpose(1, 2))
    ours = log_wmse(estimate, target, mixture.unsqueeze(1), 44100)
    assert ours.shape == (5, 3, 2)
    torch.testing.assert_close(ours.mean((1, 2)), expected)


def test_leak_of_known_level():
    mixture, target = torch.randn(2, 8000)
    target[2000:6000] = 0
    estimate = target.clone()
    estimate[2000:6000] = 0.1 * mixture[2000:6000]
    assert float(leak_level(estimate, target, mixture, 1000)) == pytest.approx(-20, abs=1e-4)
    assert float(leak_level(target, target, mixture, 1000)) == -120
    loud = torch.randn(8000)
    assert leak_level(estimate, loud, mixture, 1000).isnan()
    assert leak_level(estimate, target, torch.zeros(8000), 1000).isnan()
