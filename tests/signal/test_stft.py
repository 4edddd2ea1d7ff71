import math

import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.signal.stft import STFT


@pytest.mark.parametrize("length", [1, 2, 511, 512, 513, 1024, 44117])
@pytest.mark.parametrize("sizes", [(1024, 1024, 512), (2048, 1500, 700), (512, 512, 64), (2, 2, 1)])
def test_inverse_restores_every_length(length, sizes):
    stft = STFT(*sizes)
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


def test_stays_in_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert STFT()(torch.randn(1000)).dtype == torch.complex64


@pytest.mark.parametrize(
    "sizes", [(1024, 1024, 513), (1024, 2048, 256), (1023, 1023, 256), (8, 8, 0)]
)
def test_sizes_that_cannot_be_inverted_are_refused(sizes):
    with pytest.raises(InputError, match="hop_length <= win_length <= n_fft"):
        STFT(*sizes)
