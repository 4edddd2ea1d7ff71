"""Resampling, against torchaudio and against itself in pieces."""

import pytest
import torch
from torchaudio.functional import resample as windowed_sinc

from auralflow_pl.signal.resampling import resample, resample_blocks
from support import pieces

RATES = [
    (44100, 48000),
    (48000, 44100),
    (8000, 44100),
    (44100, 22050),
    (96000, 44100),
    (11025, 8000),
    (441, 440),
]


@pytest.mark.parametrize("source, target", RATES)
@pytest.mark.parametrize("length", [1, 50, 30011])
def test_torchaudio_computes_the_same(source, target, length):
    audio = torch.randn(2, length, dtype=torch.float64)
    reference = windowed_sinc(
        audio,
        source,
        target,
        lowpass_filter_width=64,
        rolloff=0.95,
        resampling_method="sinc_interp_kaiser",
        beta=14.8,
    )
    out = resample(audio, source, target)
    assert out.shape[-1] == -(-length * target // source)
    torch.testing.assert_close(out, reference[..., : out.shape[-1]], atol=1e-6, rtol=0)


@pytest.mark.parametrize("source, target", [*RATES, (44056, 44100), (32000, 32000)])
@pytest.mark.parametrize("length", [1, 2, 44099, 100003])
def test_pieces_of_any_length_give_the_same_samples(source, target, length):
    audio = torch.randn(2, length)
    parts = list(resample_blocks(pieces(audio, seed=length), source, target))
    assert torch.equal(torch.cat(parts, -1), resample(audio, source, target))


@pytest.mark.parametrize("source, target", [(44056, 44100), (12345, 8000), (8000, 44101)])
def test_a_tone_stays_where_it_is(source, target):
    """Also for rates without a common factor."""
    tone, moved = (
        torch.sin(2 * torch.pi * 440 * torch.arange(rate, dtype=torch.float64) / rate)
        for rate in (source, target)
    )
    middle = slice(target // 4, -target // 4)
    assert (resample(tone, source, target) - moved)[middle].abs().max() < 1e-6


def test_frequencies_beyond_the_new_limit_are_removed():
    tone = torch.sin(2 * torch.pi * 6000 * torch.arange(44100, dtype=torch.float64) / 44100)
    assert resample(tone, 44100, 8000)[500:-500].abs().max() < 1e-7


def test_resampling_has_a_gradient():
    audio = torch.randn(1, 99, requires_grad=True)
    resample(audio, 3, 2).square().sum().backward()
    assert audio.grad.abs().min() > 0


def test_nothing_stays_nothing():
    assert resample(torch.zeros(2, 0), 44100, 48000).shape == (2, 0)
