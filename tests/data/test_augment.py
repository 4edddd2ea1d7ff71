"""Laws that every augmentation of configs/augment obeys, and what each of them does."""

import numpy as np
import pytest
import torch

from auralflow_pl.config import build
from auralflow_pl.data.augment import ChannelSwap, Gain, Remix
from auralflow_pl.data.chunks import ChunkDataset
from auralflow_pl.data.stem_folder import StemFolder
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
    levels = torch.cat(
        [20 * Gain(6.0)(stems, rng, None)[:, 0, 0].log10() for _ in range(200)]
    ).numpy()
    assert levels.min() > -6.001
    assert levels.max() < 6.001
    assert abs(levels.mean()) < 0.5
    assert levels.std() == pytest.approx(6 / 3**0.5, rel=0.1)  # of an even distribution


def test_channel_swap_turns_half_of_the_stems_round():
    stems, rng = torch.tensor([[1.0], [2.0]]).expand(4, 2, 1), np.random.default_rng(0)
    left = torch.cat([ChannelSwap(0.5)(stems, rng, None)[:, 0, 0] for _ in range(100)])
    assert 160 < (left == 2).sum() < 240
    assert torch.equal(ChannelSwap(0.0)(stems, rng, None), stems)
    assert torch.equal(ChannelSwap(1.0)(stems, rng, None), stems.flip(1))


@pytest.mark.parametrize(
    "option, message",
    [
        ("augment.remix.probability=1.5", "probability=1.5: expected from 0 to 1"),
        ("augment.gain.range_db=-1", "range_db=-1: expected from 0 to 60 dB"),
        ("augment.channel_swap.probability=2", "probability=2: expected from 0 to 1"),
    ],
)
def test_impossible_values_are_named(option, message):
    node = composed("train", "augment=light", option).augment
    with pytest.raises(InputError, match=message):
        [build(part) for part in node.values()]
