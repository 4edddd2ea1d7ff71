import math

import pytest
import torch
from openunmix.transforms import make_filterbanks

from auralflow_pl.errors import InputError
from auralflow_pl.signal.stft import STFT, magnitude


@pytest.mark.parametrize("length", [1, 2, 511, 512, 513, 1024, 44117])
@pytest.mark.parametrize("sizes", [(1024, 1024, 512), (2048, 1500, 700), (512, 512, 64), (2, 2, 1)])
@pytest.mark.parametrize("pad_mode", ["zeros", "reflect"])
def test_inverse_restores_every_length(length, sizes, pad_mode):
    stft = STFT(*sizes, pad_mode)
    audio = torch.rand(2, length) * 2 - 1
    error = (stft.inverse(stft(audio), length) - audio).abs().max()
    assert error < 1e-6


@pytest.mark.parametrize("shape", [(700,), (3, 700), (2, 3, 4, 700)])
def test_leading_axes_are_kept(shape):
    stft = STFT(256, 256, 128)
    spec = stft(torch.randn(shape))
    assert spec.shape == (*shape[:-1], 129, math.ceil(700 / 128) + 1)
    assert stft.inverse(spec, 700).shape == shape


def test_magnitude_of_a_sine_is_half_the_window_sum():
    n_fft, bin_number = 1024, 100
    time = torch.arange(8 * n_fft, dtype=torch.float64)
    spec = STFT(n_fft, n_fft, 512)(torch.sin(2 * torch.pi * bin_number / n_fft * time))
    # A periodic Hann window of N points sums to N / 2, a sine has half its amplitude in each bin.
    torch.testing.assert_close(spec[bin_number, 4].abs().item(), n_fft / 4)


def test_frame_k_is_centred_at_k_hops():
    stft = STFT(256, 256, 64)
    click = torch.zeros(1024)
    click[5 * 64] = 1.0
    assert stft(click).abs().sum(0).argmax() == 5


@pytest.mark.parametrize("items", [1, 2, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_do_not_change_the_transform(items, dtype):
    """Without gradients it is computed in blocks, here of several lengths."""
    stft = STFT(256, 200, 64)
    audio = torch.randn(9000, items, dtype=dtype).T  # not contiguous
    found = stft(audio)
    assert found.shape[-1] > 128  # more than a block
    assert torch.equal(found, stft(audio.requires_grad_()))


def test_stays_in_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert STFT()(torch.randn(1000)).dtype == torch.complex64


def test_extension_by_zeros_is_that_of_a_longer_signal():
    """Frames of a signal without an extension are those of the signal between zeros."""
    stft, audio = STFT(256, 256, 64), torch.randn(1000)
    whole = torch.nn.functional.pad(audio, (256, 256))
    torch.testing.assert_close(stft(audio), stft(whole)[:, 4:21])


@pytest.mark.parametrize("length", [64 * 40, 64 * 40 + 17, 129])
def test_reflection_is_that_of_open_unmix(length):
    """Also for a part of a hop, where ours has a frame more."""
    theirs, _ = make_filterbanks(256, 64, center=True)
    audio = torch.randn(1, 2, length)
    expected = torch.view_as_complex(theirs(audio).contiguous())
    found = STFT(256, 256, 64, "reflect")(audio)
    assert found.shape[-1] == math.ceil(length / 64) + 1
    if length == 129:  # shorter than its extension
        torch.testing.assert_close(found, STFT(256, 256, 64)(audio))
    else:
        torch.testing.assert_close(found[..., : expected.shape[-1]], expected)


def test_an_unknown_extension_is_refused():
    with pytest.raises(InputError, match=r"stft.pad_mode=reflekt: did you mean 'reflect'"):
        STFT(pad_mode="reflekt")


@pytest.mark.parametrize(
    "sizes", [(1024, 1024, 513), (1024, 2048, 256), (1023, 1023, 256), (8, 8, 0)]
)
def test_sizes_that_cannot_be_inverted_are_refused(sizes):
    with pytest.raises(InputError, match="hop_length <= win_length <= n_fft"):
        STFT(*sizes)


def test_a_mask_acts_as_on_the_spectrogram():
    """Over several blocks of frames, and with a mask per target."""
    stft, audio = STFT(256, 256, 64), torch.randn(2, 64 * 300)
    spec, masks = stft(audio).unsqueeze(0), torch.rand(3, 2, 129, 301)
    expected = torch.istft(
        (spec * masks).flatten(0, 1), 256, 64, window=stft.window, length=audio.shape[-1]
    )
    found = stft.inverse(spec, audio.shape[-1], masks)
    torch.testing.assert_close(found.flatten(0, 1), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sizes", [(256, 256, 64), (256, 200, 60)])
def test_the_mask_has_a_gradient(sizes):
    stft, audio = STFT(*sizes), torch.randn(1, 12000)
    spec = stft(audio)
    mask = torch.rand(spec.shape, requires_grad=True)
    stft.inverse(spec, 12000, mask).square().sum().backward()
    step = 1e-3 * torch.randn_like(mask)
    energies = [
        stft.inverse(spec.cdouble(), 12000, (mask + s).detach().double()).square().sum()
        for s in (step, -step)
    ]
    slope = float((energies[0] - energies[1]) / 2)
    assert float((mask.grad * step).sum()) == pytest.approx(slope, rel=2e-4)


def test_magnitude_is_the_absolute_value_also_where_it_has_a_gradient():
    spec = torch.randn(3, 150, 129, dtype=torch.complex64).mT  # as of `STFT`, not contiguous
    spec[0, 0, 0] = 0
    assert magnitude(spec).is_contiguous()
    torch.testing.assert_close(magnitude(spec), spec.abs())
    magnitude(spec.requires_grad_()).sum().backward()
    assert spec.grad.isfinite().all()
