from dataclasses import replace

import pytest
import torch

from auralflow_pl.data.chunks import ChunkDataset, ChunkSampler
from auralflow_pl.data.module import StemDataModule
from auralflow_pl.data.stem_folder import StemFolder
from auralflow_pl.data.tracks import check_members, resolve_targets, sum_stems, to_channels
from auralflow_pl.errors import InputError

STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture
def tracks(songs):
    return StemFolder(songs, STEMS).tracks("train")


def epochs(songs, workers, seed=0, start=0):
    module = StemDataModule(
        StemFolder(songs, STEMS),
        2,
        44100,
        0.25,
        chunks_per_epoch=6,
        batch_size=2,
        seed=seed,
        num_workers=workers,
    )
    module.setup("fit")
    loader = module.train_dataloader()
    seen = []
    for epoch in range(start, 2):
        loader.sampler.set_epoch(epoch)
        seen.append(torch.cat([batch["stems"] for batch in loader]))
    return seen


def test_chunks_do_not_depend_on_the_number_of_workers(songs):
    for one, two in zip(epochs(songs, 0), epochs(songs, 2), strict=True):
        assert torch.equal(one, two)


def test_chunks_are_drawn_afresh_and_differ_by_seed(songs):
    first, second = epochs(songs, 0)
    assert not torch.equal(first, second)
    assert not torch.equal(first, epochs(songs, 0, seed=1)[0])
    assert len({tuple(chunk.flatten()[:50].tolist()) for chunk in torch.cat([first, second])}) == 12


def test_an_epoch_is_the_same_after_a_resume(songs):
    assert torch.equal(epochs(songs, 0)[1], epochs(songs, 0, start=1)[0])


def test_mixture_is_the_sum_of_the_stems(tracks):
    chunk = ChunkDataset(tracks, 1, 44100, 0.5, seed=0)[3]
    assert chunk["stems"].shape == (4, 1, 22050)
    assert torch.equal(chunk["mixture"], chunk["stems"].sum(0))


def test_a_track_shorter_than_a_chunk_is_padded(tracks):
    chunk = ChunkDataset(tracks, 2, 44100, 7.0, seed=0)[0]
    assert chunk["stems"].shape == (4, 2, 7 * 44100)
    assert chunk["stems"][..., 6 * 44100 :].abs().max() == 0


def test_tracks_are_drawn_by_their_length(tracks):
    short = replace(tracks[0], frames=tracks[0].frames // 5)
    dataset = ChunkDataset([short, tracks[1]], 1, 44100, 0.01, seed=0)
    sounds = [track.read_stems(0, track.frames).mean(1) for track in dataset.tracks]
    hits = 0
    for number in range(120):
        chunk = dataset[number]["stems"][0, 0]
        places = sounds[0][0].unfold(0, len(chunk), 1)
        hits += bool((places == chunk).all(1).any())
    assert 8 <= hits <= 34  # a sixth of 120 is 20, and 3.4 standard deviations on either side


def test_a_wrong_rate_is_named(tracks):
    with pytest.raises(
        InputError, match=r"train/song000: 44100 Hz, expected audio.sample_rate=48000"
    ):
        ChunkDataset(tracks, 1, 48000, 1.0, seed=0)


def test_sampler_numbers_are_unique_over_epochs():
    sampler = ChunkSampler(5)
    first = list(sampler)
    sampler.set_epoch(3)
    assert first == [0, 1, 2, 3, 4]
    assert list(sampler) == [15, 16, 17, 18, 19]


def test_channels():
    stereo = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(to_channels(stereo, 1), torch.tensor([[2.0, 3.0]]))
    assert torch.equal(to_channels(stereo[:1], 2), torch.tensor([[1.0, 2.0], [1.0, 2.0]]))
    with pytest.raises(InputError, match="tracks have 2 channels"):
        to_channels(stereo, 3)


def test_targets_may_be_sums_of_stems():
    groups = {"rhythm": ["drums", "bass"], "vocals": ["other"]}
    targets = resolve_targets(["accompaniment", "rhythm", "vocals"], STEMS, groups)
    assert targets == {
        "accompaniment": ("drums", "bass", "other"),
        "rhythm": ("drums", "bass"),
        "vocals": ("vocals",),  # a stem keeps its name
    }
    sound = torch.randn(3, 4, 2, 10)
    summed = sum_stems(sound, STEMS, targets)
    assert summed.shape == (3, 3, 2, 10)
    torch.testing.assert_close(summed[:, 0], sound[:, 1:].sum(1))
    torch.testing.assert_close(summed[:, 1], sound[:, 1] + sound[:, 2])
    assert torch.equal(summed[:, 2], sound[:, 0])
    with pytest.raises(InputError, match="target=vocals: needs the stem vocals, the data set has"):
        check_members({"vocals": ("vocals",)}, ["kick", "snare"])


@pytest.mark.parametrize("members", [["drum"], [], ["bass", "bass"]])
def test_bad_groups_are_named(members):
    with pytest.raises(InputError, match=r"data\.groups\.mine"):
        resolve_targets("mine", STEMS, {"mine": members})


@pytest.mark.parametrize(
    "target, message",
    [
        ("voclas", "target=voclas: no such stem, did you mean 'vocals'?"),
        (["vocals", "vocals"], "several different stems"),
        ([], "several different stems"),
    ],
)
def test_bad_targets_are_named(target, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        resolve_targets(target, STEMS)
