import pytest
import torch

from auralflow_pl.audio.resampling import resample
from auralflow_pl.errors import InputError
from auralflow_pl.metrics.si_sdr import si_sdr
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.models.unet import UNet
from auralflow_pl.separation import Separator
from auralflow_pl.signal.stft import STFT

RATE = 8000


class Constant(MaskEstimator):
    """A mask of one value for every target."""

    def __init__(self, *values):
        super().__init__()
        self.values = values

    def forward(self, magnitude):
        masks = [torch.full_like(magnitude, value) for value in self.values]
        return MaskEstimate(torch.stack(masks, 1))


def separator(network=None, channels=1, targets=("vocals",), window_seconds=1.024, **settings):
    network = network or Constant(*[1.0] * len(targets))
    return Separator(
        network, STFT(256, 256, 128), targets, RATE, channels, window_seconds, **settings
    ).eval()


CHUNK = separator().windows.length


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK + 17])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_identity_network(length, overlap, batch_size):
    audio = torch.rand(1, length) * 2 - 1
    out = separator(overlap=overlap, batch_size=batch_size)(audio)
    assert out.shape == (1, 1, length)
    assert (out[0] - audio).abs().max() < 1e-6


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("length", [1, CHUNK + 1, 4 * CHUNK + 17])
@torch.no_grad()
def test_chunked_equals_a_single_pass(channels, length):
    """With a network whose view is narrower than the context: equal but for rounding."""
    network = UNet(channels, n_fft=256, width=4, levels=2).eval()
    audio = torch.randn(channels, length) * 0.1
    chunked = separator(network, channels, overlap=0.5)(audio)[0]
    whole = separator(network, channels, window_seconds=100)(audio)[0]
    assert (chunked - whole).abs().max() < 1e-6


@pytest.mark.parametrize("shape", [(1, 500), (2, 500), (6, 500), (3, 2, 500), (2, 2, 1, 500)])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_shape_and_channel_count(shape, channels):
    model = separator(Constant(0.25, 0.75), channels, ("vocals", "drums"))
    audio = torch.randn(shape)
    out = model(audio)
    assert out.shape == (*shape[:-2], 2, *shape[-2:])
    torch.testing.assert_close(out[..., 0, :, :], 0.25 * audio, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(out[..., 1, :, :], 0.75 * audio, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("length", [1, 977, 20001])
def test_any_rate_comes_back_with_its_length(rate, length):
    assert separator()(torch.randn(2, length), rate).shape == (1, 2, length)


@pytest.mark.parametrize("rate", [11025, 44100, 48000])
def test_resampling_there_and_back_keeps_a_tone(rate):
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(2 * rate) / rate)[None]
    middle = slice(rate // 2, -rate // 2)
    assert si_sdr(separator()(tone, rate)[0, 0, middle], tone[0, middle]) > 60


def test_lengths_beyond_the_integers_of_float32():
    """torchaudio counts in float32; beyond 2 ** 24 samples it is off by one."""
    for length in (20_000_001, 28_800_007):
        assert resample(torch.zeros(1, length), 48000, 44100).shape[-1] == -(-length * 147 // 160)


def test_no_gradients_in_evaluation_mode():
    model = separator(UNet(n_fft=256, width=2, levels=2))
    assert not model(torch.randn(1, 999)).requires_grad
    assert model.train()(torch.randn(1, 999)).requires_grad


@pytest.mark.parametrize("shape", [(500,), (1, 0), (0, 500)])
def test_audio_without_samples_or_channels_is_refused(shape):
    with pytest.raises(InputError, match=r"expected \(\.\.\., channels, time\)"):
        separator()(torch.zeros(shape))


def test_bundle_is_consistent():
    model = separator(Constant(0.5))
    mixture, target = torch.randn(2, 1, 700), torch.randn(2, 1, 1, 700)
    separation = model.separate_chunk(mixture, target)
    torch.testing.assert_close(separation.estimate[:, 0], 0.5 * mixture, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        separation.estimate_magnitude[:, 0], 0.5 * separation.mixture_magnitude
    )
    assert separation.target_magnitude.shape == separation.estimate_magnitude.shape


@pytest.mark.parametrize(
    "setting", [{"overlap": 0.6}, {"overlap": -0.1}, {"batch_size": 0}, {"window_seconds": 0}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InputError, match="expected window_seconds > 0"):
        separator(**setting)
