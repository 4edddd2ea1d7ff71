"""Laws that every loss of configs/loss obeys, numbers worked out on paper, other libraries."""

import itertools

import auraloss
import fast_bss_eval
import pytest
import torch
from torch.nn.functional import l1_loss
from torchmetrics.functional.audio import (
    scale_invariant_signal_distortion_ratio,
    signal_noise_ratio,
)

from auralflow_pl.config.instantiate import build
from auralflow_pl.errors import InputError
from auralflow_pl.losses.base import Separation
from auralflow_pl.losses.spectral import ComponentLoss
from auralflow_pl.signal.resampling import limit_band
from auralflow_pl.signal.stft import STFT
from support import composed, option_names


def bundle(mixture, target, mask):
    stft = STFT(256, 256, 128)
    return Separation(mixture, stft(mixture), mask, {"kl": torch.zeros(())}, stft, target)


def random_bundle(dtype=torch.float32, mixture_gain=1.0, target_gain=1.0, batch=2):
    target = torch.randn(batch, 2, 1, 1000, dtype=dtype) * target_gain
    mixture = target.sum(1) * mixture_gain + 0.1 * mixture_gain * torch.randn(
        batch, 1, 1000, dtype=dtype
    )
    mask = torch.rand(batch, 2, 1, 129, 9, dtype=dtype) * 0.8 + 0.1
    return mixture, target, mask.requires_grad_()


def make(name, *overrides):
    return build(composed("train", f"loss={name}", *overrides).loss[name])


@pytest.fixture(params=option_names("loss"))
def loss(request):
    return make(request.param)


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
@pytest.mark.parametrize("mask_gain", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_on_silence(loss, gains, mask_gain, dtype):
    mixture, target, mask = random_bundle(torch.float32, *gains)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        value = loss(bundle(mixture, target, (mask * mask_gain).to(dtype).float()))
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
    value = make("l1")(separation)
    torch.testing.assert_close(value, expected)


def test_bf16_changes_the_value_little(loss):
    mixture, target, mask = random_bundle()
    exact = loss(bundle(mixture, target, mask))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = loss(bundle(mixture, target, mask.bfloat16().float()))
    rounding = 2**-8  # of one value in bf16; the mean of many is far closer
    torch.testing.assert_close(rounded, exact, rtol=rounding, atol=0)


def test_si_sdr_agrees_with_torchmetrics_and_fast_bss_eval():
    separation = bundle(*random_bundle(torch.float64))
    value = make("si_sdr", "loss.si_sdr.floor_db=-200")(separation)
    reference = scale_invariant_signal_distortion_ratio(separation.estimate, separation.target)
    torch.testing.assert_close(value, -reference.mean())
    pairwise = fast_bss_eval.si_sdr(
        separation.target.squeeze(2), separation.estimate.squeeze(2), return_perm=False
    )
    free = make("si_sdr", "loss.si_sdr.floor_db=-200", "loss.si_sdr.best_perm=true")(separation)
    torch.testing.assert_close(free, -pairwise.mean())


def test_snr_agrees_with_torchmetrics():
    separation = bundle(*random_bundle(torch.float64))
    value = make("snr", "loss.snr.floor_db=-200")(separation)
    reference = signal_noise_ratio(separation.estimate, separation.target)
    torch.testing.assert_close(value, -reference.mean())


def test_multi_resolution_stft_agrees_with_auraloss():
    """Silence at both ends, since auraloss mirrors the signal there and we add zeros."""
    mixture, target, mask = random_bundle(batch=1)
    mixture, target = (torch.nn.functional.pad(x, (3000, 3200)) for x in (mixture, target[:, :1]))
    stft = STFT(256, 256, 128)
    mask = torch.rand(1, 1, 1, *stft(mixture).shape[-2:])
    separation = Separation(mixture, stft(mixture), mask, {}, stft, target)
    value = make("mr_stft")(separation)
    reference = auraloss.freq.MultiResolutionSTFTLoss(eps=1e-8)
    expected = reference(separation.estimate.squeeze(1), target.squeeze(1))
    torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-3)


def known(mixture, target, mask, **penalties):
    """A bundle with magnitudes given as numbers: items of one channel, one bin, one frame."""
    shape = (1, len(target), 1, 1, 1)
    audio, stems, whole = random_bundle(batch=1)
    separation = bundle(audio, stems[:, : len(target)], whole)
    separation.mask = torch.tensor(mask).reshape(shape)
    separation.mixture_magnitude = torch.tensor(mixture).reshape(1, 1, 1, 1)
    separation.target_magnitude = torch.tensor(target).reshape(shape)
    separation.rest_magnitude = (
        separation.mixture_magnitude.unsqueeze(1) - separation.target_magnitude
    )
    separation.penalties = penalties
    return separation


@pytest.mark.parametrize(
    "options, expected",
    [
        # Mixture 4, targets 1 and 3, masks 0.5 and 1: estimates 2 and 4, errors 1 and 1.
        (["l1"], 1.0),
        (["l2"], 1.0),
        (["rmse"], 1.0),
        (["l1", "loss.l1.reduction=sum"], 2.0),
        # The other way round the errors are 2 - 3 and 4 - 1: worse in the mean, so it is not taken.
        (["l1", "loss.l1.best_perm=true"], 1.0),
        # Ideal masks 1/4 and 3/4: both are off by 1/4.
        (["mask", "loss.mask.construction_loss=l1"], 0.25),
        (["mask", "loss.mask.construction_loss=l2"], 0.0625),
        # Two terms, weights 1 / 1.5 and 0.5 / 1.5. Target lost: (0.5 * 1 - 1)^2 = 0.25 and 0.
        # Rest let through: (0.5 * 3)^2 = 2.25 and 1^2 = 1. Mean of (0.25 + 0.5 * 2.25, 0.5) / 1.5.
        (
            ["component", "loss.component.rest_weight=0.5", "loss.component.shape_weight=0"],
            (1.375 + 0.5) / 1.5 / 2,
        ),
    ],
)
def test_numbers_worked_out_on_paper(options, expected):
    value = make(*options)(known(4.0, [1.0, 3.0], [0.5, 1.0]))
    torch.testing.assert_close(float(value), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "name, expected, near_the_ends",  # where windows of the STFT are cut
    [
        # The target is half of the mixture and the estimate a quarter of it: half of the target.
        ("snr", -6.0206, 1e-4),  # the error has a quarter of the power
        ("l1_snr", -3 * 3.0103, 0.015),  # the error has half of the amplitude, three times over
        ("log_wmse", 4 * -2.7726, 1e-3),  # 4 ln(1 / 16): a quarter of the amplitude of the mixture
        ("mr_stft", 0.5 + 0.6931, 1e-3),  # convergence 1 / 2, logarithms ln 2 apart
        ("si_sdr", -100.0, 0.015),  # perfect but for its level, -6 dB: the floor is left
    ],
)
def test_levels_worked_out_on_paper(name, expected, near_the_ends):
    mixture = 2 * torch.randn(1, 1, 44100)
    options = ["loss.si_sdr.floor_db=-106.0206"] if name == "si_sdr" else []
    stft = STFT(256, 256, 128)
    mask = torch.full((1, 1, 1, *stft(mixture).shape[-2:]), 0.25)
    separation = Separation(mixture, stft(mixture), mask, {}, stft, mixture.unsqueeze(1) / 2)
    value = make(name, *options)(separation)
    torch.testing.assert_close(float(value), expected, atol=near_the_ends, rtol=0)


def test_shape_term_of_the_component_loss():
    """Passed rest (1, 0) has the level sqrt(1/2) of rest (1, 1): it should be (.707, .707)."""
    loss = make("component", "loss.component.rest_weight=0", "loss.component.shape_weight=1")
    separation = known(2.0, [1.0], [1.0])
    separation.target_magnitude = torch.zeros(1, 1, 1, 2, 1)
    separation.rest_magnitude = torch.ones(1, 1, 1, 2, 1)
    separation.mask = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2, 1)
    expected = ((1 - 0.5**0.5) ** 2 + 0.5) / 2 / 2  # mean over two bins; weight 1 / (1 + beta)
    torch.testing.assert_close(float(loss(separation)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("targets", [1, 2, 3, 4])
def test_best_permutation_is_that_of_a_search(loss, targets):
    """The least of the losses over all orders of the targets, item by item."""
    target = torch.randn(2, targets, 1, 1000)
    mixture, mask = target.sum(1), torch.rand(2, targets, 1, 129, 9)
    loss.best_perm = False
    fixed = torch.stack(
        [
            loss(bundle(mixture[i, None], target[i, None, list(order)], mask[i, None]))
            for order in itertools.permutations(range(targets))
            for i in range(2)
        ]
    ).reshape(-1, 2)
    loss.best_perm = True
    torch.testing.assert_close(loss(bundle(mixture, target, mask)), fixed.min(0).values.mean())


def test_a_sum_has_as_many_terms_as_values_or_signals(loss):
    """Magnitudes count every value of the mask, waveforms the two targets of two items."""
    mixture, target, mask = random_bundle()
    mean = loss(bundle(mixture, target, mask))
    loss.reduction = "sum"
    total = loss(bundle(mixture, target, mask))
    count = float((total / mean).detach())
    spectral = type(loss).__module__.endswith(".spectral")
    assert count == pytest.approx(mask.numel() if spectral else 4, rel=1e-5)


def test_kl_div_needs_a_latent():
    loss = make("kl_div")
    with pytest.raises(InputError, match="the network has no latent; use model=vae"):
        loss(known(4.0, [1.0], [0.5]))
    assert float(loss(known(4.0, [1.0], [0.5], kl=torch.zeros(())))) == 1.0


@pytest.mark.parametrize("option", ["loss.mask.reduction=maen", "loss.mask.construction_loss=l3"])
def test_unknown_options_are_named(option):
    with pytest.raises(InputError, match=r"loss.*: (did you mean|expected one of)"):
        make("mask", option)


@pytest.mark.parametrize("name", ["l1_snr", "mr_stft"])
@pytest.mark.parametrize("floor", [0, -1, "nan"])
def test_impossible_floors_are_named(name, floor):
    with pytest.raises(InputError, match=rf"loss\.{name}\.floor=.*: expected more than 0"):
        make(name, f"loss.{name}.floor={floor}")


def test_the_weights_of_the_component_loss_are_relative_to_the_target():
    assert ComponentLoss(rest_weight=3, shape_weight=0).weights == (0.25, 0.75, 0)


def test_silence_is_not_the_best_mask_of_the_component_loss():
    """The published weights would make it so: 1 - 0.2 - 0.8 = 0 for the target term."""
    loss = make("component")
    mixture, target, mask = random_bundle()
    logits = torch.zeros_like(mask).requires_grad_()
    optimizer = torch.optim.Adam([logits], 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(bundle(mixture, target, torch.sigmoid(logits))).backward()
        optimizer.step()
    separation = bundle(mixture, target, torch.sigmoid(logits.detach()))
    assert (
        separation.estimate_magnitude.square().sum()
        > 0.3 * separation.target_magnitude.square().sum()
    )


def test_losses_on_waveforms_take_estimate_and_target(loss, request):
    separation = bundle(*random_bundle())
    estimate, target = separation.estimate, separation.target
    if request.node.callspec.params["loss"] in ("si_sdr", "snr", "mr_stft"):
        torch.testing.assert_close(loss(estimate, target), loss(separation))
        together = loss(estimate.flatten(0, 2)[:2], target.flatten(0, 2)[:2])
        torch.testing.assert_close(together, loss(estimate[:1], target[:1]))
        with pytest.raises(InputError, match=r"estimate \(2, 2, 1, 1000\), target \(1000,\): exp"):
            loss(estimate, target[0, 0, 0])
    else:
        with pytest.raises(InputError, match="needs more than estimate and target: the "):
            loss(estimate, target)


def gradient_of_mask(loss, separation):
    return torch.autograd.grad(loss(separation), separation.mask)[0]


@pytest.mark.parametrize("best_perm", [False, True])
def test_targets_that_a_chunk_cannot_teach_do_not_count(loss, best_perm):
    loss.best_perm = best_perm
    mixture, target, mask = random_bundle()
    one, other = bundle(mixture, target, mask), bundle(mixture, target.clone(), mask)
    other.target[0, 1] = torch.randn(1, 1000)
    one.known = other.known = torch.tensor([[True, False], [True, True]])
    torch.testing.assert_close(loss(one), loss(other))
    if not best_perm:
        assert not gradient_of_mask(loss, one)[0, 1].any()
        one.known = torch.ones(2, 2, dtype=torch.bool)
        torch.testing.assert_close(loss(one), loss(bundle(mixture, target, mask)))
    one.known = torch.zeros(2, 2, dtype=torch.bool)
    assert loss(one) == 0


def test_frequencies_above_the_bandwidth_do_not_count(loss):
    mixture, target, mask = random_bundle()
    separation = bundle(limit_band(mixture, 0.25), limit_band(target, 0.25), mask)
    separation.bandwidth = torch.tensor([0.25, 0.25])
    gradient = gradient_of_mask(loss, separation).abs()
    assert gradient[..., 40:, :].mean() < 0.1 * gradient[..., :30, :].mean()


@pytest.mark.parametrize("best_perm", [False, True])
def test_the_worst_items_do_not_count_in_a_truncated_loss(best_perm):
    loss = make("l1", f"loss.l1.best_perm={best_perm}")
    mixture, target, mask = random_bundle(batch=4)
    items = [[part[n : n + 1] for part in (mixture, target, mask)] for n in range(4)]
    alone = [float(loss(bundle(*item)).detach()) for item in items]
    separation = bundle(mixture, target, mask)
    separation.truncation = 0.3  # of 4: 1
    assert float(loss(separation).detach()) == pytest.approx(sum(sorted(alone)[:3]) / 3, rel=1e-4)
    worst = alone.index(max(alone))
    assert not gradient_of_mask(loss, separation)[worst].any()


@pytest.mark.parametrize("best_perm", [False, True])
def test_a_truncated_sum_is_that_of_the_other_items(loss, best_perm):
    loss.best_perm, loss.reduction = best_perm, "sum"
    mixture, target, mask = random_bundle(batch=4)
    items = [[part[n : n + 1] for part in (mixture, target, mask)] for n in range(4)]
    alone = [float(loss(bundle(*item)).detach()) for item in items]
    separation = bundle(mixture, target, mask)
    separation.truncation = 0.5  # of 4: 2
    assert float(loss(separation).detach()) == pytest.approx(sum(sorted(alone)[:2]), rel=1e-4)
    separation.known = torch.tensor([[True, True]] * 4)
    assert float(loss(separation).detach()) == pytest.approx(sum(sorted(alone)[:2]), rel=1e-4)
