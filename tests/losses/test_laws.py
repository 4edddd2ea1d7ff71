"""Laws that every loss of configs/loss obeys, and numbers worked out on paper."""

import pytest
import torch
from torch.nn.functional import l1_loss
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from auralflow_pl.config import build
from auralflow_pl.separation import Separation
from auralflow_pl.signal.stft import STFT
from support import composed, option_names


def bundle(mixture, target, mask):
    stft = STFT(256, 256, 128)
    return Separation(mixture, stft(mixture), mask, {}, stft, target)


def random_bundle(dtype=torch.float32, mixture_gain=1.0, target_gain=1.0, batch=2):
    target = torch.randn(batch, 2, 1, 1000, dtype=dtype) * target_gain
    mixture = target.sum(1) * mixture_gain + 0.1 * mixture_gain * torch.randn(
        batch, 1, 1000, dtype=dtype
    )
    mask = torch.rand(batch, 2, 1, 129, 9, dtype=dtype) * 0.8 + 0.1
    return mixture, target, mask.requires_grad_()


@pytest.fixture(params=option_names("loss"))
def loss(request):
    return build(composed("train", f"loss={request.param}").loss)


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
@pytest.mark.parametrize("mask_gain", [0.0, 1.0])
def test_finite_on_silence(loss, gains, mask_gain):
    mixture, target, mask = random_bundle(torch.float32, *gains)
    value = loss(bundle(mixture, target, mask * mask_gain))
    value.backward()
    assert value.shape == ()
    assert torch.isfinite(value)
    assert torch.isfinite(mask.grad).all()


def test_the_ideal_mask_is_better_than_noise_and_silence(loss):
    mixture, target, mask = random_bundle()
    separation = bundle(mixture, target, mask)
    ideal = (separation.target_magnitude / separation.mixture_magnitude.unsqueeze(1)).clamp(0, 1)
    best = loss(bundle(mixture, target, ideal))
    assert best < loss(bundle(mixture, target, torch.rand_like(ideal)))
    assert best < loss(bundle(mixture, target, torch.full_like(ideal, 1e-3)))


def test_silence_does_not_beat_a_poor_estimate(loss):
    mixture, target, mask = random_bundle()
    separation = bundle(mixture, target, mask)
    ideal = (separation.target_magnitude / separation.mixture_magnitude.unsqueeze(1)).clamp(0, 1)
    poor = (ideal + 0.1 * torch.rand_like(ideal)).clamp(0, 1)
    assert loss(bundle(mixture, target, poor)) < loss(bundle(mixture, target, 0 * ideal))


def test_gradient_agrees_with_finite_differences(loss):
    mixture, target, mask = random_bundle(torch.float64, batch=1)
    small = mask.detach()[..., :3, :2].clone().requires_grad_()

    def value(part):
        whole = mask.detach().clone()
        whole[..., :3, :2] = part
        return loss(bundle(mixture, target, whole))

    assert torch.autograd.gradcheck(value, small, atol=1e-6)


def test_l1_of_known_magnitudes():
    mixture, target, mask = random_bundle()
    separation = bundle(mixture, target, torch.full_like(mask, 0.5))
    expected = l1_loss(
        0.5 * separation.stft(mixture).abs().unsqueeze(1).expand_as(mask),
        separation.stft(target).abs(),
    )
    value = build(composed("train", "loss=l1").loss)(separation)
    torch.testing.assert_close(value, expected)


def test_si_sdr_agrees_with_torchmetrics():
    separation = bundle(*random_bundle(torch.float64))
    value = build(composed("train", "loss=si_sdr", "loss.floor_db=-200").loss)(separation)
    reference = scale_invariant_signal_distortion_ratio(separation.estimate, separation.target)
    torch.testing.assert_close(value, -reference.mean())
