import pytest
import torch

from auralflow_pl.signal.stretch import shift_pitch, stretch_time


@pytest.mark.parametrize("length", [1, 100, 2048, 50001])
def test_the_same_speed_changes_nothing(length):
    sound = torch.randn(2, 2, length)
    torch.testing.assert_close(stretch_time(sound, 1.0), sound)
    torch.testing.assert_close(shift_pitch(sound, 1.0, 1.0), sound)


@pytest.mark.parametrize("rate", [0.5, 0.87, 1.13, 2.0])
@pytest.mark.parametrize("length", [1, 3000, 44100])
def test_length_follows_the_rate_and_batch_items_do_not_interact(rate, length):
    sound = torch.randn(3, 2, length)
    slower = stretch_time(sound, rate)
    assert slower.shape == (3, 2, round(length / rate))
    torch.testing.assert_close(stretch_time(sound[1:2], rate), slower[1:2])


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_a_tone_keeps_pitch_and_level(rate):
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(132300) / 44100)[None, None]
    inner = stretch_time(tone, rate)[0, 0, 8000:-8000]
    peak = torch.fft.rfft(inner * torch.hann_window(len(inner)), 441000).abs().argmax()
    assert float(peak) / 10 == pytest.approx(440, abs=0.1)
    assert float(inner.square().mean()) == pytest.approx(0.5, rel=1e-3)


def test_channels_stay_together():
    left = torch.randn(1, 1, 44100)
    moved = stretch_time(torch.cat([left, -0.3 * left], 1), 0.9)
    torch.testing.assert_close(moved[:, 1], -0.3 * moved[:, 0])


def test_clicks_come_later_when_it_is_slower():
    clicks = torch.zeros(1, 1, 88200)
    clicks[..., 22050::22050] = 1
    slower = stretch_time(clicks, 0.8)[0, 0]
    for number in (1, 2, 3):
        near = slower[int(number * 22050 / 0.8) - 2000 :][:4000]
        assert near.max() > 0.5


def test_silence_stays_silent():
    assert not stretch_time(torch.zeros(1, 2, 30000), 1.2).any()
