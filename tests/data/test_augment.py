"""Laws that every augmentation of configs/augment obeys, and what each of them does."""

import math

import numpy as np
import pytest
import torch

from auralflow_pl.audio.lossy import LOSSY_CODECS, through_codec
from auralflow_pl.config.instantiate import build
from auralflow_pl.data.augment import (
    ChannelSwap,
    Codec,
    Compressor,
    Equalizer,
    Gain,
    GainCurve,
    Limiter,
    Loudness,
    Mixup,
    PitchTempo,
    Polarity,
    ReadPosition,
    Remix,
    Reverb,
    SoftClip,
    Speed,
)
from auralflow_pl.data.chunks import ChunkDataset
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.errors import InputError
from auralflow_pl.signal.loudness import LoudnessMeter
from support import composed, option_names

MASTERING = (Codec, Limiter, SoftClip)

STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture
def tracks(songs):
    return StemFolder(songs, STEMS).tracks("train")


def chunks(tracks, augmentations, seconds=0.1, channels=2):
    return ChunkDataset(tracks, channels, 44100, seconds, seed=0, augmentations=augmentations)


def holds(sound, part):
    """Whether `part` stands somewhere in `sound`."""
    middle = len(part) // 2
    starts = (sound == part[middle]).nonzero().flatten() - middle
    return any(torch.equal(sound[start : start + len(part)], part) for start in starts)


@pytest.mark.parametrize("name", option_names("augment"))
@pytest.mark.parametrize("channels", [1, 2])
def test_chunks_keep_their_shape_and_depend_on_their_number_only(tracks, name, channels):
    parts = list(build(composed("train", f"augment={name}").augment).values())
    dataset, again = (chunks(tracks, parts, channels=channels) for _ in range(2))
    first = [dataset[number] for number in (0, 1, 7)]
    second = [again[number] for number in (7, 1, 0)][::-1]
    for one, two in zip(first, second, strict=True):
        assert one["stems"].shape == (4, channels, 4410)
        assert torch.equal(one["stems"], two["stems"])
        if not any(isinstance(part, MASTERING) for part in parts):
            torch.testing.assert_close(one["mixture"], one["stems"].sum(0))


def test_several_are_applied_in_their_order():
    assert list(composed("train", "augment=[gain,remix]").augment) == ["gain", "remix"]
    assert list(composed("train", "augment=light").augment) == ["remix", "gain", "channel_swap"]
    heavy = list(composed("train", "augment=heavy").augment)
    assert heavy[:2] == ["remix", "pitch_tempo"]
    others = {"mixup", "gain_curve", "loudness", "codec", "limiter", "soft_clip"}
    others |= {"compressor", "speed"}
    assert set(heavy) == set(option_names("augment")) - {"none", "light", "heavy"} - others


def test_remix_takes_stems_from_several_tracks(tracks):
    """Every stem of a chunk is found in one of the tracks, and not all in the same."""
    sounds = {track.name: track.read_stems(0, track.frames) for track in tracks}
    dataset, mixed = chunks(tracks, [Remix()]), 0
    for number in range(5):
        stems = dataset[number]["stems"][:, 0]
        origins = {
            next(name for name, sound in sounds.items() if holds(sound[index, 0], stem))
            for index, stem in enumerate(stems)
        }
        mixed += len(origins) > 1
    assert mixed >= 4


def test_gain_stays_in_its_range_and_fills_it():
    stems, rng = torch.ones(4, 2, 8), np.random.default_rng(0)
    levels = torch.cat([20 * Gain(6.0)(stems, rng)[:, 0, 0].log10() for _ in range(200)]).numpy()
    assert levels.min() > -6.001
    assert levels.max() < 6.001
    assert abs(levels.mean()) < 0.5
    assert levels.std() == pytest.approx(6 / 3**0.5, rel=0.1)  # of an even distribution


def test_a_compressor_makes_loud_and_quiet_parts_more_alike():
    """A tone of 40 dB steps, 6:1 above a threshold far below: steps of 40 / 6 dB."""
    time = torch.arange(44100) / 44100
    tone = (0.5 * torch.sin(1000 * time)).repeat(1, 2, 1)
    tone[..., 22050:] *= 0.01
    part = Compressor(44100, 1.0, ratio=6.0, depth_db=60.0, seconds=0.01)
    changed = part.compress(tone[0], 6.0, 60.0)
    levels = [
        float(10 * changed[:, at : at + 8820].square().mean().log10()) for at in (6000, 33000)
    ]
    assert levels[0] - levels[1] == pytest.approx(40 / 6, abs=0.1)
    assert float(changed.square().mean()) == pytest.approx(float(tone.square().mean()), rel=1e-4)
    rng = np.random.default_rng(0)
    assert torch.equal(Compressor(44100, 0.0)(tone, rng), tone)
    assert not torch.equal(part(tone, rng), tone)
    assert not part(torch.zeros(1, 1, 100), rng).any()


def test_channel_swap_turns_half_of_the_stems_round():
    stems, rng = torch.tensor([[1.0], [2.0]]).expand(4, 2, 1), np.random.default_rng(0)
    left = torch.cat([ChannelSwap(0.5)(stems, rng)[:, 0, 0] for _ in range(100)])
    assert 160 < (left == 2).sum() < 240
    assert torch.equal(ChannelSwap(0.0)(stems, rng), stems)
    assert torch.equal(ChannelSwap(1.0)(stems, rng), stems.flip(1))


def test_polarity_turns_half_of_the_signs():
    stems, rng = torch.ones(4, 2, 1), np.random.default_rng(0)
    signs = torch.cat([Polarity(0.5)(stems, rng)[:, 0, 0] for _ in range(100)])
    assert 160 < (signs == -1).sum() < 240
    assert torch.equal(signs.abs(), torch.ones(400))


def test_equalizer_changes_the_band_it_is_given():
    """An impulse through a peak at 1 kHz: up to 12 dB there, nothing far away from it."""
    stems = torch.zeros(4, 1, 44100)
    stems[..., 0] = 2  # beyond full scale
    filtered = Equalizer(44100, 1.0, 12.0, 1000.0, 1000.0)(stems, np.random.default_rng(0))
    levels = 20 * torch.fft.rfft(filtered[:, 0] / 2).abs().log10()
    assert (levels[:, 1000].abs() > 0.5).all()
    assert levels[:, 1000].abs().max() < 12.01
    assert levels[:, [10, 22050]].abs().max() < 0.02
    assert len(levels[:, 1000].unique()) == 4  # every stem has a gain of its own


def test_reverb_adds_a_tail_below_the_stem_that_decays():
    stems = torch.zeros(200, 1, 44100)
    stems[..., 0] = 1
    tails = Reverb(44100, 1.0, 0.5, -6.0)(stems, np.random.default_rng(0)) - stems
    levels = 10 * tails.square().sum((1, 2)).log10()
    assert -26.01 < levels.min() < -25
    assert -7 < levels.max() < -5.99
    assert tails[..., 22050:].abs().max() < 1e-7  # after the longest decay
    assert torch.equal(Reverb(44100, 0.0)(stems, np.random.default_rng(0)), stems)


def test_pitch_and_tempo_move_together_for_all_stems():
    """Tones of 300 and 500 Hz keep their ratio, within two semitones, and the level they have."""
    time = torch.arange(88200) / 44100
    stems = torch.sin(2 * torch.pi * torch.tensor([[300.0], [500.0]]) * time)[:, None]
    pitches, lengths = [], []
    for seed in range(12):
        moved = PitchTempo(1.0, 2.0, 12.0)(stems, np.random.default_rng(seed))
        inner = moved[:, 0, 4410:66150]
        peaks = torch.fft.rfft(inner * torch.hann_window(inner.shape[1]), 441000).abs().argmax(1)
        assert peaks[1] / peaks[0] == pytest.approx(5 / 3, rel=5e-3)
        torch.testing.assert_close(
            inner.square().mean(1), torch.full((2,), 0.5), rtol=0.02, atol=0.0
        )
        pitches.append(12 * np.log2(float(peaks[0]) / 3000))
        lengths.append(88200 / moved.shape[-1])
    assert max(np.abs(pitches)) < 2.05
    assert np.std(pitches) > 0.6
    assert 0.88 < min(lengths) < 0.97 < 1.03 < max(lengths) < 1.12


def test_pitch_and_tempo_of_each_stem_on_its_own():
    """Tones of 300 and 500 Hz lose their ratio; lengths agree, and reach the chunk."""
    time = torch.arange(88200) / 44100
    stems = torch.sin(2 * torch.pi * torch.tensor([[300.0], [500.0]]) * time)[:, None]
    ratios = []
    for seed in range(12):
        moved = PitchTempo(1.0, 2.0, 12.0, True)(stems, np.random.default_rng(seed))
        assert moved.shape[-1] >= 88200 / 1.12 - 1
        inner = moved[:, 0, 4410:66150]
        peaks = torch.fft.rfft(inner * torch.hann_window(inner.shape[1]), 441000).abs().argmax(1)
        ratios.append(12 * np.log2(float(peaks[1] / peaks[0]) * 3 / 5))
    assert 2 < max(np.abs(ratios)) < 4.1
    assert np.std(ratios) > 0.8


def test_speed_changes_pitch_and_length_of_all_stems_together():
    """Tones of 300 and 500 Hz: their factor is that of the length, on a logarithmic axis."""
    time = torch.arange(88200) / 44100
    stems = torch.sin(2 * torch.pi * torch.tensor([[300.0], [500.0]]) * time)[:, None]
    factors = []
    for seed in range(40):
        moved = Speed(1.0, 0.8, 1.25)(stems, np.random.default_rng(seed))
        inner = moved[:, 0, 4410:66150]
        peaks = torch.fft.rfft(inner * torch.hann_window(inner.shape[1]), 441000).abs().argmax(1)
        factor = 88200 / moved.shape[-1]
        torch.testing.assert_close(
            peaks.double(), factor * torch.tensor([3000.0, 5000.0]).double(), rtol=1e-3, atol=1.0
        )
        torch.testing.assert_close(
            inner.square().mean(1), torch.full((2,), 0.5), rtol=0.02, atol=0.0
        )
        factors.append(factor)
    assert 0.79 < min(factors) < 0.85
    assert 1.18 < max(factors) < 1.26
    assert abs(np.log(factors).mean()) < 0.08  # uniform in log(0.8) to log(1.25)
    assert Speed(0.0)(stems, np.random.default_rng(0)) is stems


@pytest.mark.parametrize("faster", [PitchTempo(1.0, 0.0, 50.0), Speed(1.0, 1.49, 1.5)])
def test_a_faster_tempo_still_fills_the_chunk(tracks, faster):
    dataset = chunks(tracks, [faster], seconds=1.0)
    assert dataset.reach == 66150
    for number in range(6):
        stems = dataset[number]["stems"]
        assert stems.shape == (4, 2, 44100)
        assert stems[..., -2000:].abs().max() > 0


def test_mixup_adds_a_sound_of_the_same_kind(tracks):
    plain, mixed = chunks(tracks, []), chunks(tracks, [Mixup(1.0, -6.0, -6.0)])
    drawn = []
    rng = np.random.default_rng((0, 0))
    positions = mixed.draws.positions(rng, mixed.augmentations)
    added = mixed.draws.additions(positions, rng, mixed.augmentations)
    for stem, place, gain in added:
        assert gain == pytest.approx(10 ** (-6 / 20))
        drawn.append(place.track.read_stem(STEMS[stem], place.start, 4410))
    expected = plain[0]["stems"] + gain * torch.stack(drawn)
    torch.testing.assert_close(mixed[0]["stems"], expected)
    assert Mixup(0.0).additions(4, rng, lambda *_: ReadPosition(tracks[0], 0)) == []


def test_gain_curves_move_within_their_range():
    stems = torch.ones(4, 2, 44100)
    curved = GainCurve(44100, 1.0, 6.0, 0.25)(stems, np.random.default_rng(0))
    levels = 20 * curved.log10()
    assert torch.equal(curved[:, 0], curved[:, 1])
    assert levels.abs().max() < 6.001
    assert (levels[:, 0].std(-1) > 1).all()
    assert levels.diff(dim=-1).abs().max() <= 12 / 11025 + 1e-4  # straight lines, no jumps


def test_loudness_is_drawn_from_its_range():
    stems = torch.randn(4, 2, 88200, generator=torch.Generator().manual_seed(0)) * 1e-2
    stems[3] = 0
    found = []
    for seed in range(5):
        scaled = Loudness(44100, -30.0, -20.0, 60.0)(stems, np.random.default_rng(seed))
        for stem in scaled[:3]:
            meter = LoudnessMeter(44100, 2)
            meter.push(stem)
            found.append(meter.integrated())
        assert torch.equal(scaled[3], stems[3])
    assert -30.01 < min(found) < -28
    assert -22 < max(found) < -19.99
    held = Loudness(44100, 0.0, 0.0, 3.0)(stems, np.random.default_rng(0))
    torch.testing.assert_close(held[:3], stems[:3] * 10 ** (3 / 20))


def test_a_limiter_holds_the_threshold_and_leaves_quiet_parts():
    rng = np.random.default_rng(0)
    mixture = 0.1 * torch.ones(2, 44100)
    mixture[0, 20000:20010] = 1.0
    for _ in range(5):
        limited = Limiter(44100, 1.0, 12.0)(mixture[None], rng)[0]
        assert torch.equal(limited, mixture)  # stems stay
        limited = Limiter(44100, 1.0, 12.0).change_mixture(mixture, rng)
        peak = limited.abs().amax()
        assert 10 ** (-12 / 20) - 1e-6 < peak < 1
        gain = limited / mixture
        assert torch.allclose(gain[0], gain[1])
        assert gain.max() <= 1 + 1e-6
        torch.testing.assert_close(limited[:, :19000], mixture[:, :19000])
    assert torch.equal(Limiter(44100, 0.0).change_mixture(mixture, rng), mixture)


def test_soft_clipping_bends_peaks_down():
    rng, mixture = np.random.default_rng(0), torch.linspace(-1, 1, 1001).expand(2, -1)
    for _ in range(5):
        clipped = SoftClip(1.0, 12.0).change_mixture(mixture, rng)
        assert 10 ** (-12 / 20) * 0.7 < clipped.max() < 0.77
        assert (clipped.diff(dim=-1) > 0).all()
    silence = torch.zeros(2, 10)
    assert torch.equal(SoftClip(1.0).change_mixture(silence, rng), silence)


@pytest.mark.parametrize("name", LOSSY_CODECS)
@pytest.mark.parametrize("channels, rate", [(1, 44100), (2, 22050)])
def test_codecs_keep_sound_in_its_place(name, channels, rate):
    """Low-pass noise comes back aligned; fewer bits do more damage."""
    noise = torch.randn(channels, rate, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(noise)
    spectrum[:, 3000:] = 0
    sound = 0.2 * torch.fft.irfft(spectrum, rate)
    errors = []
    for kbps in (48, 128):
        decoded = through_codec(sound, rate, name, kbps)
        assert decoded.shape == sound.shape
        errors.append(float((decoded - sound)[:, 2000:-2000].square().mean()))
    level = float(sound.square().mean())
    assert level / errors[1] > 10
    assert errors[0] > errors[1]


@pytest.mark.parametrize(
    "option, message",
    [
        ("augment.remix.probability=1.5", "probability=1.5: expected from 0 to 1"),
        ("augment.gain.range_db=-1", "range_db=-1: expected from 0 to 60 dB"),
        ("augment.channel_swap.probability=2", "probability=2: expected from 0 to 1"),
        ("augment.pitch_tempo.percent=60", "percent=60: expected from 0 to 50 percent"),
        ("augment.speed.fastest=0.8", "fastest=0.8: expected from 0.9 to 2"),
        ("augment.speed.slowest=0", "slowest=0: expected from 0.5 to 2"),
        ("augment.equalizer.high_hz=30000", "high_hz=30000: expected"),
        ("augment.equalizer.q=0", "q=0: expected more than 0"),
        ("augment.mixup.low_db=3", "low_db=3, high_db=0.0: expected"),
        ("augment.gain_curve.seconds=0", "seconds=0: expected seconds, more than 0"),
        ("augment.compressor.ratio=0.5", "ratio=0.5: expected from 1 to 100"),
        ("augment.loudness.low=-10", "low=-10, high=-18.0: expected"),
        ("augment.limiter.window_seconds=-1", "window_seconds=-1: expected seconds, more than 0"),
        ("augment.codec.codecs=[mp4]", "augment.codec.codecs=mp4: did you mean 'mp3'"),
        ("augment.codec.codecs=mp3", r"expected a list, as in \[mp3,opus\]"),
        ("augment.codec.low_kbps=8", "low_kbps=8, high_kbps=256: expected"),
        ("augment.reverb.decay_seconds=0", "decay_seconds=0: expected more than 0"),
        ("augment.reverb.wet_db=30", "wet_db=30: expected from -100 to 20 dB"),
    ],
)
def test_impossible_values_are_named(option, message):
    name = option.split(".")[1]
    node = composed("train", f"augment=[{name}]", option).augment
    with pytest.raises(InputError, match=message):
        [build(part) for part in node.values()]


@pytest.mark.parametrize("slowest, fastest", [(0.8, 0.8), (0.9, 1.009), (1.009, 1.009), (0.9, 1.2)])
@pytest.mark.parametrize("probability", [0, 1])
def test_a_chunk_is_whole_at_every_speed(slowest, fastest, probability):
    speed = Speed(probability, slowest, fastest)
    read = torch.zeros(2, 1, math.ceil(8000 * speed.reach))
    for seed in range(5):
        assert speed(read, np.random.default_rng(seed)).shape[-1] >= 8000
