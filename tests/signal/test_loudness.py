import numpy as np
import pytest
import torch
from scipy.signal import sosfilt

from auralflow_pl.signal.loudness import LoudnessMeter, k_weighting
from support import pieces


def measured(samples, rate=48000):
    meter = LoudnessMeter(rate, len(samples))
    for piece in pieces(samples):
        meter.push(piece)
    return meter.integrated()


def tone(level_db, seconds=5, rate=48000, channels=2, hz=997):
    wave = torch.sin(2 * torch.pi * hz * torch.arange(seconds * rate, dtype=torch.float64) / rate)
    return (10 ** (level_db / 20) * wave).expand(channels, -1)


def test_filters_are_those_of_the_standard():
    """BS.1770-4, tables 1 and 2, which are for 48 kHz."""
    shelf, high_pass = k_weighting(48000)
    table = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0]
    np.testing.assert_allclose(
        shelf, [*table, -1.69065929318241, 0.73248077421585], rtol=0, atol=1e-14
    )
    table = [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621]
    np.testing.assert_allclose(high_pass, table, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
@pytest.mark.parametrize("channels, expected", [(1, -23.01), (2, -20.0)])
def test_a_full_scale_tone_has_its_loudness(rate, channels, expected):
    """A sine of 997 Hz at 0 dB in one channel has -3.01 LUFS."""
    assert measured(tone(-20, rate=rate, channels=channels), rate) == pytest.approx(
        expected, abs=0.1
    )


def test_silence_and_quiet_parts_are_gated():
    """EBU Tech 3341, case 3 in short: quiet parts before and after do not count."""
    loud = torch.cat([tone(-36, 10), tone(-23, 60), tone(-36, 10)], -1)
    assert measured(loud) == pytest.approx(-23.0, abs=0.1)
    assert measured(torch.cat([tone(-23), torch.zeros(2, 480000)], -1)) == pytest.approx(
        -23.0, abs=0.2
    )
    assert measured(torch.zeros(2, 480000)) is None
    assert measured(tone(0)[:, :1000]) is None


def test_surround_channels_weigh_more_and_effects_nothing():
    sound = torch.zeros(6, 5 * 48000, dtype=torch.float64)
    sound[4] = tone(-20)[0]
    assert measured(sound) == pytest.approx(-23.01 + 1.5, abs=0.1)
    sound[4], sound[3] = 0, tone(-20)[0]
    assert measured(sound) is None


@pytest.mark.parametrize("rate", [44100, 22050])
def test_filtering_the_samples_gives_the_same(rate):
    """The standard's own way, on noise with much bass and a beat."""
    noise = torch.randn(2, 20 * rate, dtype=torch.float64)
    time = torch.arange(noise.shape[-1]) / rate
    bass = torch.sin(2 * torch.pi * 47.3 * time) + 0.1
    sound = 0.05 * noise * (0.2 + torch.sin(np.pi * 1.7 * time).square()) + 0.3 * bass
    filtered = torch.from_numpy(sosfilt(k_weighting(rate), sound.numpy()))
    steps = filtered[:, : len(time) // (rate // 10) * (rate // 10)].unflatten(-1, (-1, rate // 10))
    blocks = steps.square().mean(-1).sum(0).unfold(0, 4, 1).mean(-1)
    loud = blocks[blocks > blocks.mean() / 10]
    expected = -0.691 + 10 * torch.log10(loud.mean())
    assert measured(sound, rate) == pytest.approx(float(expected), abs=0.05)
