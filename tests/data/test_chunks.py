import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from auralflow_pl.data.augment import Remix
from auralflow_pl.data.chunks import ChunkDataset, ChunkSampler
from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sampling import ChanceTable, SamplingOptions
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.targets import check_members, resolve_targets, sum_stems, to_channels
from auralflow_pl.data.tracks import FileTrack
from auralflow_pl.errors import InputError
from auralflow_pl.training.data_module import StemDataModule

STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture
def tracks(songs):
    return StemFolder(songs, STEMS).tracks("train")


def track_of(frames, root="a"):
    return FileTrack("x", "train", 44100, frames, 2, STEMS, False, (), Path(root))


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


def chances(tracks, *options, **more):
    return ChanceTable(tracks, SamplingOptions(*options, **more)).at(0.0).tolist()


def test_track_balance_draws_short_tracks_as_often():
    tracks = [track_of(10), track_of(990)]
    assert chances(tracks, "track") == [0.5, 0.5]
    assert chances(tracks, "length") == [0.01, 0.99]


def test_weights_share_chunks_out_among_roots():
    tracks = [track_of(30), track_of(10), track_of(500, "b")]
    weights = {Path("a"): 3.0, Path("b"): 1.0}
    assert chances(tracks, weights=weights) == pytest.approx([0.5625, 0.1875, 0.25])
    assert chances(tracks, "track", weights=weights) == [0.375, 0.375, 0.25]


@pytest.mark.parametrize("remix", [[], [Remix()]])
@pytest.mark.parametrize("keep, share", [(1.0, 0.5), (0.5, 1 / 3), (0.0, 0.0)])
def test_a_share_of_the_silent_targets_is_kept(songs, tmp_path, remix, keep, share):
    """Vocals of one track in two are silent: a share s of k kept leaves s k / (1 - s + s k)."""
    root = tmp_path / "set"
    for name in ("song000", "song001"):
        shutil.copytree(songs / "train" / name, root / "train" / name)
    (tone,), rate = np.sin(np.arange(6 * 44100) / 9)[None].astype(np.float32), 44100
    soundfile.write(root / "train/song000/vocals.wav", np.stack([tone, tone], 1), rate)
    soundfile.write(root / "train/song001/vocals.wav", 1e-4 * np.stack([tone, tone], 1), rate)
    tracks = StemFolder(root, STEMS).tracks("train")
    pooled = Pool(tmp_path / "pool", rate)
    pooled.build(tracks)
    drawing = SamplingOptions("length", -60.0, keep, ("vocals",))
    for these in (tracks, [pooled.open(track) for track in tracks]):
        dataset = ChunkDataset(these, 1, rate, 0.02, 0, remix, drawing)
        levels = [float(dataset[n]["stems"][0].square().mean()) for n in range(300)]
        found = sum(level < 1e-6 for level in levels) / 300
        assert abs(found - share) <= 4 * (share * (1 - share) / 300) ** 0.5


def test_a_set_that_is_silent_throughout_still_ends(tracks):
    drawing = SamplingOptions("length", 0.0, 0.0, ("vocals",))  # nothing is louder than full scale
    assert ChunkDataset(tracks, 1, 44100, 0.1, 0, drawing=drawing)[0]["mixture"].shape == (1, 4410)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_devices_share_the_chunks_of_an_epoch(devices):
    samplers = [ChunkSampler(12, rank, devices) for rank in range(devices)]
    for sampler in samplers:
        sampler.set_epoch(2)
    steps = list(zip(*samplers, strict=True))
    assert [number for step in steps for number in step] == list(range(24, 36))
    assert {len(s) for s in (ChunkSampler(13, r, devices) for r in range(devices))} == {
        13 // devices
    }


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"balance": "tracks"}, "data.balance=tracks: did you mean 'track'"),
        ({"keep_silent": 1.5}, "data.keep_silent=1.5: expected from 0 to 1"),
        ({"balance": "class"}, "data.balance_by=None: expected data.balance=class with a label"),
        ({"balance_by": "singer"}, "data.balance=length, data.balance_by=singer: expected"),
        ({"schedule": [1]}, "data.schedule=a list: expected {0:"),
        (
            {"schedule": {0: {"a": 1}}, "weights": {Path("a"): 1}},
            "schedule: has the weights of all",
        ),
        ({"silence_db": 3.0}, "data.silence_db=3.0: expected from -200 to 0 dB"),
    ],
)
def test_impossible_drawings_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        SamplingOptions(**arguments)


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


def test_a_loader_of_torch_needs_no_sampler_of_ours(tracks):
    dataset = ChunkDataset(tracks, 1, 44100, 0.5, seed=0, chunks_per_epoch=6)
    batches = list(DataLoader(dataset, batch_size=2, shuffle=True))
    assert sorted(number for batch in batches for number in batch["number"].tolist()) == [*range(6)]
    assert [int(chunk["number"]) for chunk in dataset] == [*range(6)]
    seconds = sum(track.frames for track in tracks) / 44100
    assert len(ChunkDataset(tracks, 1, 44100, 0.5, seed=0)) == pytest.approx(2 * seconds, abs=1)
