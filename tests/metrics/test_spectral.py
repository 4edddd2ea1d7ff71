"""Distances of spectrograms: known answers, and that pieces and shapes do not count."""

import auraloss
import numpy as np
import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.metrics import spectrograms
from auralflow_pl.metrics.base import MetricInput
from auralflow_pl.metrics.spectral import bleedless_and_fullness, l1_freq, mr_stft
from auralflow_pl.metrics.spectral_scores import Bleedless, Fullness, L1Freq, MultiResolutionSTFT
from auralflow_pl.metrics.spectrograms import Transform, mel_bands

RATE = 44100
RESOLUTIONS = [Transform(1024, 120, 600), Transform(2048, 240, 1200), Transform(512, 50, 240)]


def sweep():
    """A target of two channels, and an estimate with a wrong level, crosstalk and a tone."""
    time = np.arange(30000) / RATE
    target = np.stack(
        [
            0.5 * np.sin(2 * np.pi * (200 + 4000 * time) * time),
            0.3 * np.sin(2 * np.pi * 1000 * time) * np.exp(-3 * time),
        ]
    )
    estimate = 0.8 * target + 0.1 * target[::-1] + 0.05 * np.sin(2 * np.pi * 7000 * time)
    return torch.tensor(estimate), torch.tensor(target)


def test_mel_bands_are_those_of_librosa():
    """`librosa.filters.mel(sr=44100, n_fft=4096, n_mels=512, dtype=np.float64)`, librosa 0.11."""
    bands = mel_bands(44100, 4096, 512)
    assert float(bands.sum()) == pytest.approx(47.53689545257622, rel=1e-12)
    weighted = float((bands * torch.arange(2049)).sum())
    assert weighted == pytest.approx(23044.275036632298, rel=1e-12)


def test_bleedless_and_fullness_are_those_of_librosa():
    """With librosa 0.11, of the estimate `e` and the target `t` of `sweep`.

    def level(x):
        mel = librosa.filters.mel(sr=44100, n_fft=4096, n_mels=512, dtype=np.float64)
        db = 20 * np.log10(np.maximum(mel @ abs(librosa.stft(x, n_fft=4096, hop_length=1024)), 1e-10))
        return np.maximum(db, db.max() - 80)
    d = level(e) - level(t)
    100 / (1 + d[d > 0].mean()), 100 / (1 - d[d < 0].mean())
    """  # noqa: E501
    expected = torch.tensor([3.9971422948058044, 33.26614756732055], dtype=torch.float64)
    torch.testing.assert_close(bleedless_and_fullness(*sweep(), RATE), expected, rtol=1e-9, atol=0)
    single = bleedless_and_fullness(*(x.float() for x in sweep()), RATE)
    torch.testing.assert_close(single, expected, rtol=1e-4, atol=0)


def test_l1_of_magnitudes_is_that_of_its_definition():
    """Frames of 2048 samples, every 1024, without a window, mirrored at the ends."""
    estimate, target = (x.numpy() for x in sweep())
    differences = []
    for a, b in zip(estimate, target, strict=True):
        padded = [np.pad(x, 1024, mode="reflect") for x in (a, b)]
        for start in range(0, len(padded[0]) - 2047, 1024):
            heard, wanted = (abs(np.fft.rfft(x[start : start + 2048])) for x in padded)
            differences.append(abs(heard - wanted))
    expected = 100 / (1 + 10 * np.mean(differences))
    assert float(l1_freq(*sweep())) == pytest.approx(expected, rel=1e-12)


def test_the_multi_resolution_loss_is_that_of_auraloss():
    reference = auraloss.freq.MultiResolutionSTFTLoss()
    estimate, target = (x[None].float() for x in sweep())
    expected = float(reference(estimate, target))
    assert float(mr_stft(estimate[0], target[0], RESOLUTIONS)) == pytest.approx(expected, rel=1e-4)


MEASURES = {
    "bleedless": lambda e, t: bleedless_and_fullness(e, t, RATE)[..., 0],
    "fullness": lambda e, t: bleedless_and_fullness(e, t, RATE)[..., 1],
    "l1_freq": l1_freq,
    "mr_stft": lambda e, t: mr_stft(e, t, RESOLUTIONS),
}


@pytest.mark.parametrize("name", MEASURES)
def test_pieces_and_leading_axes_do_not_count(name, monkeypatch):
    estimate, target = (torch.stack([x, 0.5 * x, x.flip(-1)]) for x in sweep())
    whole = MEASURES[name](estimate, target)
    monkeypatch.setattr(spectrograms, "BINS", 3 * 2049)
    parts = torch.stack([MEASURES[name](*one) for one in zip(estimate, target, strict=True)])
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", MEASURES)
def test_an_estimate_that_is_the_target_is_perfect(name):
    _, target = sweep()
    assert float(MEASURES[name](target, target)) == (0 if name == "mr_stft" else 100)


@pytest.mark.parametrize("frames", [1, 100, 1000, 3000])
def test_short_signals_have_values(frames):
    given = [x[:, :frames] for x in sweep()]
    for measure in MEASURES.values():
        assert measure(*given).isfinite()


def test_bleeding_costs_bleedless_and_missing_sound_costs_fullness():
    low, high = torch.randn(2, 1, RATE, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(low)
    spectrum[:, 5000:] = 0
    low = torch.fft.irfft(spectrum)
    bleeding, missing = (
        bleedless_and_fullness(e, t, RATE) for e, t in ((low + high, low), (low, low + high))
    )
    assert bleeding[0] + 10 < bleeding[1]
    assert missing[1] + 10 < missing[0]


def test_silence_is_defined():
    """Only the L1 score exists for a silent target; a silent estimate lacks all of it."""
    _, target = sweep()
    mixture = target[None].sum(0)
    for metric in (Bleedless(), Fullness(), MultiResolutionSTFT()):
        silent = MetricInput(target[None], 0 * target[None], mixture, RATE)
        assert metric.values(silent).isnan().all()
        empty = MetricInput(0 * target[None], target[None], mixture, RATE)
        assert metric.values(empty).isfinite().all()
    assert L1Freq().values(silent).isfinite().all()
    assert L1Freq().values(empty) < 10


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_read(kind):
    estimate, target = (x.to(kind) for x in sweep())
    for measure in MEASURES.values():
        expected = measure(estimate.double(), target.double())
        torch.testing.assert_close(
            measure(estimate, target).double(), expected, rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_ffts": [512]}, "expected lists of one length"),
        ({"n_ffts": [0, 1, 2]}, "expected whole numbers of at least 1"),
        ({"win_lengths": [600, 1200, 1024]}, "expected windows of at most n_fft samples"),
    ],
)
def test_resolutions_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        MultiResolutionSTFT(**options)
