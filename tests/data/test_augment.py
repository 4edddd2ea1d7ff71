"""Laws that every augmentation of configs/augment obeys, and what each of them does."""

import numpy as np
import pytest
import torch

from auralflow_pl.config.instantiate import build
from auralflow_pl.data.augment import (
    ChannelSwap,
    Equalizer,
    Gain,
    PitchTempo,
    Polarity,
    Remix,
    Reverb,
)
from auralflow_pl.data.chunks import ChunkDataset
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.errors import InputError
from support import composed, option_names

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
        torch.testing.assert_close(one["mixture"], one["stems"].sum(0))


def test_several_are_applied_in_their_order():
    assert list(composed("train", "augment=[gain,remix]").augment) == ["gain", "remix"]
    assert list(composed("train", "augment=light").augment) == ["remix", "gain", "channel_swap"]
    heavy = list(composed("train", "augment=heavy").augment)
    assert heavy[:2] == ["remix", "pitch_tempo"]
    assert set(heavy) == set(option_names("augment")) - {"none", "light", "heavy"}


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


def test_a_faster_tempo_still_fills_the_chunk(tracks):
    dataset = chunks(tracks, [PitchTempo(1.0, 0.0, 50.0)], seconds=1.0)
    assert dataset.reach == 66150
    for number in range(6):
        stems = dataset[number]["stems"]
        assert stems.shape == (4, 2, 44100)
        assert stems[..., -2000:].abs().max() > 0


@pytest.mark.parametrize(
    "option, message",
    [
        ("augment.remix.probability=1.5", "probability=1.5: expected from 0 to 1"),
        ("augment.gain.range_db=-1", "range_db=-1: expected from 0 to 60 dB"),
        ("augment.channel_swap.probability=2", "probability=2: expected from 0 to 1"),
        ("augment.pitch_tempo.percent=60", "percent=60: expected from 0 to 50 percent"),
        ("augment.equalizer.high_hz=30000", "high_hz=30000: expected"),
        ("augment.equalizer.q=0", "q=0: expected more than 0"),
        ("augment.reverb.decay_seconds=0", "decay_seconds=0: expected more than 0"),
        ("augment.reverb.wet_db=30", "wet_db=30: expected from -100 to 20 dB"),
    ],
)
def test_impossible_values_are_named(option, message):
    node = composed("train", "augment=heavy", option).augment
    with pytest.raises(InputError, match=message):
        [build(part) for part in node.values()]
