"""BSS Eval against museval, which it must equal wherever museval gives a number."""

import pytest
import torch
from fast_bss_eval import bss_eval_sources
from torchmetrics.functional.audio import signal_distortion_ratio

from auralflow_pl.audio.reading import read_streams
from auralflow_pl.metrics import distortion as module
from auralflow_pl.metrics.distortion import bss_eval, correlate, window_spans
from auralflow_pl.metrics.oracle import ideal_ratio_mask
from auralflow_pl.signal.stft import STFT
from support.museval_code import METRICS, museval_bss_eval

TIME = 9000


def random(targets, channels, time=TIME):
    """Targets of different levels, and estimates that hear the others, filters and noise."""
    target = torch.randn(targets, channels, time) * torch.logspace(0, -1, targets)[:, None, None]
    leak = 0.3 * target.roll(1, 0) + 0.2 * target.roll(3, -1)
    return target + leak + 0.02 * torch.randn_like(target), target


def correlated(targets, channels):
    estimate, target = random(targets, channels)
    return estimate, 0.9 * target[:1] + 0.1 * target


def delayed(targets, channels):
    estimate, target = random(targets, channels)
    return estimate.roll(37, -1), target


def scaled(targets, channels):
    estimate, target = random(targets, channels)
    return -30 * estimate, target


def twice_the_same_channel(targets, channels):
    estimate, target = random(targets, channels)
    return estimate, target[:, :1].expand_as(target).clone()


def partly_silent(targets, channels):
    estimate, target = random(targets, channels)
    target[0, :, 2500:6500] = 0
    return estimate, target


def low_passed(targets, channels):
    spectra = torch.fft.rfft(torch.stack(random(targets, channels)))
    spectra *= torch.logspace(0, -4, spectra.shape[-1])
    return tuple(torch.fft.irfft(spectra, TIME))


CASES = (random, correlated, delayed, scaled, twice_the_same_channel, partly_silent, low_passed)
WINDOWS = {
    "whole": {},
    "v4": {"window": 2000, "hop": 1500},
    "v3": {"window": 3000, "hop": 3000, "framewise_filters": True},
}


def check(estimate, target, tolerance=1e-6, **options):
    """Equal within 1e-6 dB, unless said otherwise, wherever museval gives a finite number."""
    ours = torch.stack(bss_eval(estimate, target, **options))
    theirs = museval_bss_eval(estimate, target, **options)
    finite = theirs.isfinite()
    assert finite.any()
    assert (ours - theirs)[finite].abs().max() < tolerance
    return ours, theirs


@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("targets", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_museval(case, targets, channels, windows):
    check(*case(targets, channels), taps=32, **WINDOWS[windows])


@pytest.mark.parametrize("framewise_filters", [False, True])
@pytest.mark.parametrize("targets, channels", [(3, 1), (2, 2)])
def test_agrees_with_museval_with_512_taps(targets, channels, framewise_filters):
    options = {"window": 6000, "hop": 3000, "framewise_filters": framewise_filters}
    check(*random(targets, channels), **options)


@pytest.mark.parametrize("steps, tolerance", [(2**15, 1e-6), (2**40, 1e-4)])
def test_agrees_with_museval_on_a_real_song(excerpt, steps, tolerance):
    """Nothing is above 16 kHz but the steps of 16 bits; without them museval rounds by 1e-5 dB."""
    mixture, *stems = torch.stack([stream.samples for stream in read_streams(excerpt)])
    target = torch.stack([stems[3], sum(stems[:3])]).double()
    stft = STFT(2048, 2048, 512).double()
    masks = ideal_ratio_mask(stft(target), stft(target.sum(0) - target))
    estimate = stft.inverse(masks * stft(target.sum(0)), mixture.shape[-1])
    sounds = [(steps * sound).round() / steps for sound in (estimate, target)]
    check(*sounds, window=44100, hop=44100, taps=128, tolerance=tolerance)


def test_the_version_that_forgives_filtering():
    estimate, target = random(3, 1)
    ours, _ = check(estimate, target, taps=32, images=False, window=4000)
    assert ours[1].isnan().all()


def test_agrees_with_fast_bss_eval():
    estimate, target = (x[:, 0].double() for x in random(3, 1))
    theirs = bss_eval_sources(target, estimate, 64, compute_permutation=False, load_diag=None)
    ours = bss_eval(estimate[:, None], target[:, None], taps=64, images=False)
    for one, two in zip((ours.sdr, ours.sir, ours.sar), theirs, strict=True):
        torch.testing.assert_close(one[:, 0], two)


def test_agrees_with_torchmetrics():
    estimate, target = (x.double() for x in random(3, 1))
    ours = bss_eval(estimate, target, taps=64, images=False).sdr
    theirs = signal_distortion_ratio(estimate, target, filter_length=64)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_a_silent_target_spoils_no_other():
    estimate, target = random(3, 2)
    target[1] = 0
    with pytest.raises(ValueError, match="silent"):
        museval_bss_eval(estimate, target)
    ours = torch.stack(bss_eval(estimate, target, taps=32, window=3000))
    others = [0, 2]
    theirs = museval_bss_eval(estimate[others], target[others], taps=32, window=3000)
    torch.testing.assert_close(ours[:, others], theirs, atol=1e-6, rtol=0)
    assert ours[:, 1].isnan().all()


def test_windows_with_a_silent_target_count_for_the_others_only():
    estimate, target = partly_silent(3, 2)
    options = {"taps": 32, "window": 2000, "hop": 1000}
    ours, theirs = check(estimate, target, **options)
    silent = theirs.isnan().all(0).all(0)
    assert silent.any()
    assert ours[:, 0, silent].isnan().all()
    assert ours[:, 1:].isfinite().all()
    strict = torch.stack(bss_eval(estimate, target, **options, all_audible=True))
    torch.testing.assert_close(strict, theirs, atol=1e-6, rtol=0, equal_nan=True)


def test_a_silent_estimate_is_undefined():
    estimate, target = random(2, 2)
    estimate[0] = 0
    ours = torch.stack(bss_eval(estimate, target, taps=32))
    assert ours[:, 0].isnan().all()
    assert ours[:, 1].isfinite().all()


def test_what_is_infinite_is_undefined():
    target = random(2, 1)[1]
    perfect = bss_eval(target, target, taps=32)
    assert perfect.sdr.isnan().all()
    alone = bss_eval(*random(1, 2), taps=32)
    assert alone.sir.isnan().all()
    assert alone.sdr.isfinite().all()


def test_silence_has_no_number_at_all():
    silence = torch.zeros(2, 2, 3000)
    assert torch.stack(bss_eval(silence, silence, taps=32)).isnan().all()


def test_leading_axes_are_kept():
    items = [random(2, 2) for _ in range(6)]
    estimate, target = (
        torch.stack(part).reshape(2, 3, 2, 2, TIME) for part in zip(*items, strict=True)
    )
    together = bss_eval(estimate, target, window=4000, taps=32)
    assert together.sir.shape == (2, 3, 2, 2)
    alone = bss_eval(*items[4], window=4000, taps=32)
    torch.testing.assert_close(together.sir[1, 1], alone.sir)


@pytest.mark.parametrize(
    "time, window, hop", [(100, 30, 10), (100, 30, 30), (100, 100, 7), (9, 10, 3)]
)
def test_windows_lie_where_museval_has_them(time, window, hop):
    expected = [(part.start, part.stop) for part in METRICS.Framing(window, hop, time)]
    assert list(window_spans(time, window, hop)) == expected


def test_correlations_do_not_depend_on_blocks(monkeypatch):
    first, second = torch.randn(2, 2, 3001)
    both = torch.cat([first, second])
    direct = first[:, :-5].double() @ both[:, 5:].double().T
    for points, together in ((64, 1), (64, 7), (4096, 8)):
        monkeypatch.setattr(module, "FFT_SIZE", points)
        monkeypatch.setattr(module, "BLOCKS_TOGETHER", together)
        torch.testing.assert_close(correlate(first, second, 16)[..., 5], direct)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="expected the same shape"):
        bss_eval(torch.zeros(1, 2, 10), torch.zeros(2, 2, 10))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"taps": 0}, "taps=0: expected 1 to 2048"),
        ({"taps": 2049}, "taps=2049: expected 1 to 2048"),
        ({"window": 0}, "window=0: expected at least one sample"),
        ({"window": 5, "hop": 0}, "hop=0: expected at least one sample"),
        ({"hop": -1}, "hop=-1: expected at least one sample"),
    ],
)
def test_options_without_meaning_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        bss_eval(*random(2, 1, 100), **options)


def test_the_longest_filters_agree_with_museval():
    check(*random(1, 1), taps=2048)


@pytest.mark.parametrize("shape", [(2, 2, 0), (0, 2, 10), (3, 2, 0, 10)])
def test_nothing_to_measure_is_named(shape):
    with pytest.raises(ValueError, match="holds no samples"):
        bss_eval(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("targets", [2, 4])
def test_the_mixture_of_the_targets_has_no_artifacts_but_rounding(targets, dtype):
    target = random(targets, 2)[1].to(dtype)
    target += 1e-3 * torch.rand_like(target)
    mixture = target.sum(0).expand_as(target)
    assert bss_eval(mixture, target, window=3000, taps=32).sar.isnan().all()
    assert bss_eval(mixture, target.double(), window=3000, taps=32).sar.isnan().all()


def test_music_that_nearly_lacks_the_highest_frequencies_has_no_artifacts_either():
    """Its equations are so nearly singular that rounding is 170 dB below, even in float64."""
    spectra = torch.fft.rfft(random(4, 2)[1].double())
    spectra *= torch.logspace(0, -6, spectra.shape[-1])
    target = torch.fft.irfft(spectra, TIME)
    sar = bss_eval(target.sum(0).expand_as(target), target, window=3000, taps=64).sar
    assert sar.isnan().all()


def test_noise_of_24_bits_is_measured():
    target = random(2, 1)[1]
    noise = torch.randn_like(target)
    noise *= (
        10 ** (-110 / 20) * target.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    )
    sdr = bss_eval(target.double() + noise, target.double(), taps=32).sdr
    torch.testing.assert_close(sdr, torch.full_like(sdr, 110), atol=1e-3, rtol=0)
