import pytest
import torch
from openunmix.filtering import wiener as reference

from auralflow_pl.errors import InputError
from auralflow_pl.signal.wiener import refine_once, wiener_filter


def scene(targets=3, channels=2, freq=7, frames=50, dtype=torch.complex128, level=1.0):
    """Magnitudes of random sources, and their mixture."""
    sources = level * torch.randn(targets, channels, freq, frames, dtype=dtype)
    return sources.abs(), sources.sum(0)


@pytest.mark.parametrize("iterations", [0, 1, 3])
@pytest.mark.parametrize("soft_mask", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("level", [1.0, 100.0])
def test_equal_to_open_unmix(iterations, soft_mask, residual, channels, level):
    """To rounding in float64, also with loud signals, which are scaled.

    Phases of open-unmix are those of a float32 pi, and so is the agreement where they matter.
    """
    magnitudes, mixture = scene(channels=channels, frames=401, level=level)
    expected = reference(
        magnitudes.permute(3, 2, 1, 0),
        torch.view_as_real(mixture.permute(2, 1, 0)),
        iterations,
        soft_mask,
        residual,
    )
    expected = torch.view_as_complex(expected.permute(4, 2, 1, 0, 3).contiguous())
    found = wiener_filter(magnitudes, mixture, iterations, soft_mask, residual)
    error = 1e-9 if soft_mask else 1e-6
    torch.testing.assert_close(found, expected, rtol=error, atol=error * level)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("soft_mask", [False, True])
@pytest.mark.parametrize("dtype, error", [(torch.complex64, 1e-5), (torch.complex128, 1e-13)])
def test_exact_sources_sum_to_the_mixture(channels, soft_mask, dtype, error):
    magnitudes, mixture = scene(channels=channels, dtype=dtype)
    mixture[..., :5] = 0
    for residual in (False, True):
        found = wiener_filter(magnitudes, mixture, 2, soft_mask, residual, exact=True)
        assert found.shape[0] == 3 + residual
        torch.testing.assert_close(found.sum(0), mixture, rtol=error, atol=error)


def test_one_channel_is_the_ratio_of_powers():
    """R_j is then the share of v_j in itself, 1, so y_j = v_j / sum_k v_k * x."""
    magnitudes, mixture = scene(channels=1)
    powers = magnitudes.square()
    expected = powers / powers.sum(0) * mixture
    torch.testing.assert_close(wiener_filter(magnitudes, mixture, eps=0.0), expected)


def test_sources_on_channels_of_their_own_are_found_at_once():
    """Diagonal covariances: each source is the channel on which it is, whatever the powers say."""
    sources = torch.zeros(2, 2, 7, 50, dtype=torch.complex128)
    sources[0, 0], sources[1, 1] = torch.randn(2, 7, 50, dtype=torch.complex128)
    rough = sources * (0.5 + torch.rand(2, 1, 7, 50))
    found = refine_once(rough, sources.sum(0), eps=1e-24)
    torch.testing.assert_close(found, sources, rtol=0, atol=2e-9)


def test_sources_from_two_directions_are_told_apart():
    """Two sources that overlap everywhere, panned apart, with powers that say nothing."""
    signals = torch.randn(2, 1, 7, 400, dtype=torch.complex128)
    panned = signals * torch.tensor([[1.0, 0.2], [0.3, 1.0]])[..., None, None]
    mixture = panned.sum(0)
    start = panned + 0.3 * panned.flip(0)
    error = [
        float((estimate - panned).abs().square().mean())
        for estimate in (start, refine_once(start, mixture, 1), refine_once(start, mixture, 20))
    ]
    assert error[1] < error[0]
    assert error[2] < 0.5 * error[0]


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("level", [0.0, 1e-20, 1e-6, 1.0, 1e6])
def test_float32_is_finite_and_close_to_float64(channels, level):
    magnitudes, mixture = scene(channels=channels, level=level)
    magnitudes[..., :9], mixture[..., 3:20] = 0, 0
    magnitudes[1:] = 0  # a single source: the covariance of the mixture is singular
    mixture = mixture[:1].expand_as(mixture)
    single = wiener_filter(magnitudes.float(), mixture.to(torch.complex64), 3)
    double = wiener_filter(magnitudes, mixture, 3)
    assert torch.isfinite(torch.view_as_real(single)).all()
    assert (single - double).abs().max() <= 5e-5 * mixture.abs().max()


@pytest.mark.parametrize("soft_mask", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_gradients_agree_with_finite_differences(soft_mask, channels):
    magnitudes, mixture = scene(2, channels, 2, 5)

    def filtered(magnitudes, mixture):
        return wiener_filter(magnitudes, mixture, 2, soft_mask, True, True, 1e-4, block_frames=2)

    inputs = (magnitudes.requires_grad_(), mixture.requires_grad_())
    assert torch.autograd.gradcheck(filtered, inputs, fast_mode=True)


def test_gradients_are_finite_on_silence():
    magnitudes = torch.zeros(2, 2, 3, 4, requires_grad=True)
    wiener_filter(magnitudes, torch.zeros(2, 3, 4, dtype=torch.complex64)).abs().sum().backward()
    assert torch.isfinite(magnitudes.grad).all()


def test_items_of_leading_axes_do_not_interact():
    scenes = [scene(level=level) for level in (1.0, 100.0, 0.0)]
    magnitudes, mixtures = (torch.stack(part) for part in zip(*scenes, strict=True))
    together = wiener_filter(magnitudes[None], mixtures[None], 2)
    for item, (magnitude, mixture) in enumerate(scenes):
        torch.testing.assert_close(together[0, item], wiener_filter(magnitude, mixture, 2))


@pytest.mark.parametrize("block_frames", [1, 7, 49, 50, 1000])
def test_blocks_change_nothing(block_frames):
    magnitudes, mixture = scene()
    expected = wiener_filter(magnitudes, mixture, 2, block_frames=10**6)
    found = wiener_filter(magnitudes, mixture, 2, block_frames=block_frames)
    torch.testing.assert_close(found, expected)


def test_estimates_stay_as_they_are():
    estimates = torch.randn(2, 2, 3, 4, dtype=torch.complex64)
    before = estimates.clone()
    refine_once(estimates, estimates.sum(0), 2)
    assert torch.equal(estimates, before)


def test_shapes_that_do_not_belong_together_are_named():
    with pytest.raises(InputError, match=r"expected .*targets, channels, freq, frames"):
        wiener_filter(torch.zeros(2, 2, 3, 4), torch.zeros(1, 3, 4, dtype=torch.complex64))
