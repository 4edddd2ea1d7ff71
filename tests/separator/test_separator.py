import random
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from auralflow_pl.errors import Cancelled, InputError
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.models.unet import UNet
from auralflow_pl.separator.input import rate_heard
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.resampling import resample
from auralflow_pl.signal.stft import STFT
from support import pieces

RATE = 8000


class Constant(MaskEstimator):
    """A mask of one value for every target."""

    frame_reach = 0

    def __init__(self, *values):
        super().__init__()
        self.values = values

    def forward(self, magnitude):
        masks = [torch.full_like(magnitude, value) for value in self.values]
        return MaskEstimate(torch.stack(masks, 1))


def separator(
    network=None,
    channels=1,
    targets=("vocals",),
    window_seconds=1.024,
    pad_mode="zeros",
    **settings,
):
    network = network or Constant(*[1.0] * len(targets))
    stft = STFT(256, 256, 128, pad_mode)
    return Separator(network, stft, targets, RATE, channels, window_seconds, **settings).eval()


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
@pytest.mark.parametrize("pad_mode", ["zeros", "reflect"])
@torch.no_grad()
def test_chunked_equals_a_single_pass(channels, length, pad_mode):
    """With a network whose view is narrower than the context: equal but for rounding."""
    network = UNet(channels, n_fft=256, width=4, levels=2).eval()
    audio = torch.randn(channels, length) * 0.1
    chunked = separator(network, channels, overlap=0.5, pad_mode=pad_mode)(audio)[0]
    whole = separator(network, channels, window_seconds=100, pad_mode=pad_mode)(audio)[0]
    assert (chunked - whole).abs().max() < 1e-6


def seconds_of_least_window(network):
    with pytest.raises(InputError, match=r"too short for the .* s on") as refused:
        separator(network, window_seconds=0.05)
    return float(re.search("expected (.*?) or more", str(refused.value))[1])


@torch.no_grad()
def test_short_windows_and_shortened_ones_keep_the_context():
    network = UNet(n_fft=256, width=4, levels=2).eval()
    audio = torch.randn(1, 3 * CHUNK) * 0.1
    whole = separator(network, window_seconds=100)(audio)
    shortest = separator(network, window_seconds=seconds_of_least_window(network))
    assert shortest.windows.length < CHUNK
    assert (shortest(audio) - whole).abs().max() < 1e-6
    assert not shortest.shrink()
    model, lengths = separator(network, window_seconds=4, batch_size=2), []
    assert model.shrink()
    assert model.batch_size == 1
    while model.shrink():
        lengths.append(model.windows.length)
        assert (model(audio) - whole).abs().max() < 1e-6
    assert lengths[0] > lengths[-1] <= shortest.windows.length


@pytest.mark.parametrize("reach, context", [(0, 256), (20, 2816), (None, 3 * RATE)])
def test_a_given_length_leaves_the_context_as_it_is(reach, context):
    """In samples: n_fft, and a hop for every frame of reach; 3 s where that is not known."""
    network = Constant(1.0)
    network.frame_reach = reach
    for seconds in (None, seconds_of_least_window(network), 60):
        assert separator(network, window_seconds=seconds).windows.context == context


def test_a_network_that_sees_far_has_windows_that_are_long_enough():
    network = Constant(1.0)
    network.frame_reach, network.frame_multiple = 4000, 64
    windows = separator(network, window_seconds=None).windows
    assert windows.context == 4002 * 128
    assert windows.hop > windows.length / 4


def lengths():
    """From 1 sample to 10 windows and a little, and some at random."""
    draw = random.Random(0)
    edges = [n * CHUNK + d for n in (1, 2, 10) for d in (-1, 0, 1)]
    return [1, 2, 127, 128, 129, *edges, *(draw.randint(1, 10 * CHUNK) for _ in range(8))]


@pytest.mark.parametrize("length", lengths())
@pytest.mark.parametrize("rate", [RATE, 11025])
@torch.no_grad()
def test_a_stream_gives_the_same_samples_for_any_blocks(length, rate):
    network = UNet(n_fft=256, width=2, levels=2).eval()
    model = separator(network, batch_size=1 + length % 3)
    audio = torch.randn(2, length) * 0.1
    whole = model(audio, rate)
    assert whole.shape == (1, 2, length)
    for seed in (length, length + 1):
        parts = list(model.stream(pieces(audio, seed), rate))
        assert torch.equal(torch.cat(parts, -1), whole)


@pytest.mark.parametrize("rate, output_rate", [(RATE, 11025), (44100, 48000), (44100, 8000)])
def test_a_stream_comes_out_at_the_wanted_rate(rate, output_rate):
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(2 * rate) / rate)[None]
    out = torch.cat(list(separator().stream(pieces(tone), rate, output_rate)), -1)[0]
    expected = resample(tone, rate, output_rate)
    assert out.shape == expected.shape == (1, 2 * output_rate)
    middle = slice(output_rate // 2, -output_rate // 2)
    assert si_sdr(out[0, middle], expected[0, middle]) > 60


@torch.no_grad()
def test_shifts_average_windows_at_different_places():
    torch.manual_seed(1)
    network = UNet(n_fft=256, width=4, levels=2).eval()
    audio = torch.randn(1, 5 * CHUNK + 3) * 0.1
    one, three, again, other = (
        separator(network, shifts=shifts, seed=seed)(audio)
        for shifts, seed in ((1, 0), (3, 0), (3, 0), (3, 1))
    )
    assert torch.equal(three, again)
    assert not torch.equal(three, other)
    assert si_sdr(three.flatten(), one.flatten()) > 15
    assert torch.allclose(separator(shifts=4)(audio)[0], audio, atol=1e-6)
    parts = list(separator(network, shifts=3).stream(pieces(audio)))
    assert torch.equal(torch.cat(parts, -1), three)


@torch.no_grad()
def test_speeds_are_the_mean_of_what_the_network_hears_at_each():
    torch.manual_seed(1)
    network = UNet(n_fft=256, width=4, levels=2).eval()
    audio = torch.randn(2, 5 * CHUNK + 3) * 0.1
    plain, several = separator(network), separator(network, speeds=[1, 0.8, 1.25])
    heard = [plain(audio)]
    for rate in (RATE * 5 // 4, RATE * 4 // 5):
        part = plain(resample(audio, RATE, rate))  # at the rate of the network: slower, faster
        heard.append(resample(part, rate, RATE)[..., : audio.shape[-1]])
    assert torch.allclose(several(audio), sum(heard) / 3, atol=1e-6)
    assert torch.equal(torch.cat(list(several.stream(pieces(audio))), -1), several(audio))
    assert several(audio, 2 * RATE).shape == plain(audio, 2 * RATE).shape
    assert torch.equal(separator(network, speeds=[1.0])(audio), plain(audio))


@torch.no_grad()
def test_middle_and_side_are_heard_alone_and_averaged():
    torch.manual_seed(1)
    network = UNet(n_fft=256, width=4, levels=2, channels=2).eval()
    audio = torch.randn(2, 5 * CHUNK + 3) * 0.1
    plain, both = separator(network, 2), separator(network, 2, mid_side=True)
    middle, side = (
        plain(part[None])[0, 0] for part in ((audio[0] + audio[1]) / 2, (audio[0] - audio[1]) / 2)
    )
    expected = (plain(audio)[0] + torch.stack([middle + side, middle - side])) / 2
    assert torch.allclose(both(audio)[0], expected, atol=1e-6)
    assert torch.equal(torch.cat(list(both.stream(pieces(audio))), -1), both(audio))
    for others in (audio[:1], torch.cat([audio, audio])):
        assert torch.equal(both(others), plain(others))


def test_middle_and_side_need_a_network_of_two_channels():
    with pytest.raises(InputError, match="mid_side=true: the network has 1 channels, expected 2"):
        Separator(
            UNet(n_fft=256, width=4, levels=2),
            STFT(256, 256, 128),
            ["vocals"],
            RATE,
            1,
            mid_side=True,
        )


@pytest.mark.parametrize(
    "rate, speed, expected",
    [(44100, 1.1, 40131), (44100, 0.9, 48951), (22050, 1.1, 20025), (8009, 1.1, 7281)],
)
def test_speeds_are_rounded_so_that_resampling_is_fast(rate, speed, expected):
    assert rate_heard(rate, speed) == expected
    assert rate_heard(rate, 1.0) == rate


@pytest.mark.parametrize("speeds", [[], [0.4], [1, 2.1], [float("nan")], [1.0] * 21, 3, "1", ["a"]])
def test_speeds_out_of_range_are_refused(speeds):
    with pytest.raises(InputError, match=r"^separation.speeds=.*: expected 1 to 20 numbers, 0.5"):
        separator(speeds=speeds)


@torch.no_grad()
def test_padding_is_silence_that_the_network_hears():
    torch.manual_seed(1)
    network = UNet(n_fft=256, width=4, levels=2).eval()
    audio, pad = torch.randn(1, 5 * CHUNK + 3) * 0.1, 1024
    silent = F.pad(audio, (pad, pad))
    plain, padded = separator(network), separator(network, padding_seconds=pad / RATE)
    assert torch.allclose(padded(audio), plain(silent)[..., pad:-pad], atol=1e-6)
    assert torch.equal(torch.cat(list(padded.stream(pieces(audio))), -1), padded(audio))
    changed = (padded(audio) - plain(audio)).abs()[0, 0]
    assert min(changed[:256].max(), changed[-256:].max()) > 1e-4
    assert padded(audio, 2 * RATE).shape == plain(audio, 2 * RATE).shape


def test_memory_of_a_stream_does_not_grow():
    """Blocks come out while others go in: the lag is bounded by a window and a batch."""
    model, given, most = separator(batch_size=2), 0, 0

    def blocks():
        nonlocal given
        for _ in range(300):
            given += 1000
            yield torch.zeros(1, 1000)

    out = 0
    for part in model.stream(blocks()):
        most = max(most, given - out)
        out += part.shape[-1]
    assert out == given == 300_000
    assert most <= 4 * CHUNK


def test_arrays_come_back_as_arrays():
    audio = np.random.default_rng(0).uniform(-1, 1, (2, 3 * CHUNK))
    out = separator()(audio, RATE)
    assert isinstance(out, np.ndarray)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[0], audio, atol=1e-6)
    blocks = list(separator().stream(iter([audio[:, :50], audio[:, 50:]])))
    np.testing.assert_array_equal(np.concatenate(blocks, -1), out)


def test_progress_rises_to_one_and_can_cancel():
    audio, seen = torch.randn(3, 1, 5 * CHUNK), []
    separator()(audio, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(seen) > 9
    with pytest.raises(Cancelled):
        separator()(audio, progress=lambda share: share < 0.3)


@pytest.mark.parametrize(
    "blocks, message",
    [
        ([], "without samples"),
        ([torch.zeros(1, 0)], "without samples"),
        ([torch.zeros(1, 9), torch.zeros(2, 9)], "as many channels"),
        ([torch.zeros(3, 1, 9)], r"expected \(channels, time\)"),
        ([torch.zeros(1, 9, dtype=torch.int16)], "divide 16-bit integers by 32768"),
        ([np.zeros((1, 9), np.int16)], "divide 16-bit integers by 32768"),
    ],
)
def test_bad_blocks_are_refused(blocks, message):
    with pytest.raises(InputError, match=message):
        list(separator().stream(blocks))


@torch.no_grad()
def test_a_number_format_is_used_by_the_network_only():
    network = UNet(n_fft=256, width=4, levels=2).eval()
    audio = torch.randn(1, 3 * CHUNK) * 0.1
    half, full = separator(network, precision=torch.bfloat16)(audio), separator(network)(audio)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert si_sdr(half.flatten(), full.flatten()) > 25


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
    with pytest.raises(InputError, match=r"expected \(\.\.\., channels, time\)|at least one"):
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
    "name, value, expected",
    [
        ("overlap", 0.6, "0 to 0.5"),
        ("overlap", -0.1, "0 to 0.5"),
        ("batch_size", 0, "1 to 1048576"),
        ("window_seconds", 0, "0.001 to 600"),
        ("window_seconds", 1e9, "0.001 to 600"),
        ("window_seconds", float("inf"), "0.001 to 600"),
        ("window_seconds", float("nan"), "0.001 to 600"),
        ("shifts", 0, "1 to 100"),
        ("shifts", 10**9, "1 to 100"),
        ("seed", 2**64, "0 to 9223372036854775807"),
        ("padding_seconds", -1, "0 to 600"),
        ("wiener_steps", 21, "0 to 20"),
    ],
)
def test_settings_out_of_range_are_refused(name, value, expected):
    message = f"^separation.{name}={re.escape(str(value))}: expected from {expected}$"
    with pytest.raises(InputError, match=message):
        separator(**{name: value})


def test_the_longest_window_is_no_longer_than_asked_for():
    assert separator(window_seconds=600).windows.length == pytest.approx(600 * RATE, rel=0.01)


@pytest.mark.parametrize("rate", [0, -1, 1, 3999, 768_001, 44100.5, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["sample_rate", "output_rate"])
def test_rates_that_no_sound_has_are_refused(name, rate):
    with pytest.raises(InputError, match=f"{name}={rate}: expected .* 4000 to 768000"):
        list(separator().stream([torch.zeros(1, 9)], **{name: rate}))


def test_a_rate_may_be_a_whole_number_of_any_type():
    audio = torch.randn(1, 999)
    for rate in (11025.0, np.int64(11025), np.float32(11025)):
        assert torch.equal(separator()(audio, rate), separator()(audio, 11025))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("make", [torch.tensor, np.array])
def test_samples_that_are_not_finite_are_refused(make, value):
    audio = make([[0.0] * 99, [*[0.0] * 50, -value, value, *[0.0] * 47]])
    with pytest.raises(InputError, match="has NaN or infinite samples"):
        separator()(audio)
    with pytest.raises(InputError, match="has NaN or infinite samples"):
        list(separator().stream([audio[:, :50], audio[:, 50:]]))


def test_number_formats_go_by_name():
    for name, dtype in {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}.items():
        assert separator(precision=name).precision is dtype
        assert separator(precision=dtype).precision is dtype
    assert separator(precision=torch.float32).precision is None
    for wrong in ("bf-16", torch.float64, 16):
        with pytest.raises(InputError, match=f"precision={wrong}: expected fp32, bf16 or fp16"):
            separator(precision=wrong)
