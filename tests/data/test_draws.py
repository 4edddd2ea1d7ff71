"""Chunks of files that belong to no song, and of data sets with different stems."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.data.augment import PitchTempo, Remix, Speed
from auralflow_pl.data.chunks import ChunkDataset
from auralflow_pl.data.heard import draw_chunks, draws_lines
from auralflow_pl.data.sampling import ChanceTable, SamplingOptions
from auralflow_pl.data.sources.mixed import MixedSets
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.sources.unaligned import UnalignedFolders
from auralflow_pl.data.spans import MarkedSpans
from auralflow_pl.data.targets import known_targets
from auralflow_pl.errors import InputError

RATE, SECONDS = 8000, 0.1
STEMS = ("vocals", "drums", "bass")
LEVELS = {  # every file holds one value, which tells what a chunk was made of
    "songs/train/one": {"vocals": 0.01, "drums": 0.02, "bass": 0.03},
    "songs/train/two": {"vocals": 0.04, "drums": 0.05, "bass": 0.06},
    "songs/valid/three": {"vocals": 0.1, "drums": 0.1, "bass": 0.1},
    "pairs/train/four": {"vocals": 0.2, "accompaniment": 0.3},
    "loose/vocals": {"a": 0.4, "b": 0.41},
    "loose/drums/deep": {"c": 0.5},
    "loose/bass": {"d": 0.6, "e": 0.61, "f": 0.62},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    for folder, levels in LEVELS.items():
        (root / folder).mkdir(parents=True)
        for name, level in levels.items():
            soundfile.write(root / folder / f"{name}.wav", np.full(RATE, level), RATE, "FLOAT")
    return root


def chunks_of(source, *augmentations, count=60):
    return ChunkDataset(
        source.tracks("train"), 1, RATE, SECONDS, 0, augmentations,
        SamplingOptions(weights=source.weights), count, source.stems,
    )  # fmt: skip


def values(chunk):
    """The value of each stem, rounded."""
    return tuple(round(float(stem.mean()), 3) for stem in chunk["stems"])


def mixed(root, **sets):
    known = {
        "songs": {"layout": "stem_folder", "root": str(root / "songs")},
        "pairs": {
            "layout": "stem_folder",
            "root": str(root / "pairs"),
            "stems": ["accompaniment", "vocals"],
        },
        "singing": {"layout": "unaligned", "root": str(root / "loose"), "stems": ["vocals"]},
        "loose": {"layout": "unaligned", "root": str(root / "loose")},
    }
    return MixedSets(STEMS, {name: known[name] | more for name, more in sets.items()})


def test_files_of_no_song_are_drawn_one_by_one(root):
    source = UnalignedFolders(root / "loose", STEMS)
    drawn = [values(chunk) for chunk in chunks_of(source)]
    assert len(set(drawn)) == 6  # of 2 voices, 1 drum and 3 basses
    assert [len(set(column)) for column in zip(*drawn, strict=True)] == [2, 1, 3]
    chunk = chunks_of(source)[7]
    assert torch.equal(chunk["mixture"], chunk["stems"].sum(0))
    assert torch.equal(chunk["stems"], chunks_of(source)[7]["stems"])


def test_files_of_no_song_need_songs_for_validation(root):
    with pytest.raises(InputError, match=r"no valid songs: .* pass data.songs=<folder>"):
        UnalignedFolders(root / "loose", STEMS).tracks("valid")
    source = UnalignedFolders(root / "loose", STEMS, songs=root / "songs")
    assert [track.name for track in source.tracks("valid")] == ["three"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"folders": {"voice": "x"}}, r"data.folders.voice: .*vocals"),
        ({"folders": {"vocals": "nowhere"}}, "nowhere: no such folder; .* files of vocals"),
        ({"root": None}, "data.folders: none for vocals; pass data.root"),
    ],
)
def test_faults_of_folders_are_named(root, arguments, message):
    with pytest.raises(InputError, match=message):
        UnalignedFolders(**{"root": root / "loose", "stems": STEMS} | arguments)


def test_folders_in_folders_are_named(root):
    folders = {"vocals": str(root / "loose"), "bass": str(root / "loose/bass")}
    with pytest.raises(InputError, match="have files in common"):
        UnalignedFolders(root / "loose", STEMS, folders)


def test_singing_of_no_song_gets_the_backing_of_one(root):
    drawn = {values(chunk) for chunk in chunks_of(mixed(root, songs={}, singing={}))}
    songs = {(0.01, 0.02, 0.03), (0.04, 0.05, 0.06)}
    assert songs < drawn
    assert {row[1:] for row in drawn - songs} == {(0.02, 0.03), (0.05, 0.06)}
    assert {row[0] for row in drawn - songs} == {0.4, 0.41}


def test_an_undivided_sum_is_never_drawn_beside_its_parts(root):
    source = mixed(root, songs={}, pairs={}, loose={})
    for chunk in chunks_of(source, Remix()):
        known = known_targets(
            chunk["holds"][None], STEMS, {"v": ["vocals"], "d": ["drums"], "a": ["drums", "bass"]}
        )
        undivided = values(chunk)[1] == 0.3
        assert known.tolist() == [[True, not undivided, True]]
        assert (values(chunk)[2] == 0) == undivided
    drawn = {values(chunk) for chunk in chunks_of(source, Remix(), count=400)}
    assert {row[0] for row in drawn if row[1] == 0.3} == {0.01, 0.04, 0.2, 0.4, 0.41}


def test_weights_are_shares_of_sets(root):
    source = mixed(root, songs={"weight": 1}, pairs={"weight": 3})
    share = np.mean([values(c)[1] == 0.3 for c in chunks_of(source, count=400)])
    assert share == pytest.approx(0.75, abs=0.06)


def test_a_narrow_sound_limits_the_whole_chunk(root):
    data = chunks_of(mixed(root, songs={}, singing={"bandwidth": 1000}))
    data.read = lambda positions: torch.randn(3, 1, data.reach)
    narrow = [chunk for chunk in data if chunk["bandwidth"] < 1]
    assert 0 < len(narrow) < 60
    spectrum = torch.fft.rfft(narrow[0]["stems"]).abs()
    assert narrow[0]["bandwidth"] == 0.25
    assert spectrum[..., 101:].max() < 1e-3 < spectrum[..., :99].mean()


def test_a_slower_sound_limits_the_chunk_further(root):
    source = mixed(root, songs={}, singing={"bandwidth": 1000})
    for slower, factor in ((Speed(1.0, 0.5, 0.5), 0.5), (PitchTempo(1.0, 12.0, 0.0), 0.5)):
        data = chunks_of(source, slower)
        assert {float(chunk["bandwidth"]) for chunk in data} == {0.25 * factor, 1.0}


@pytest.mark.parametrize(
    "sets, message",
    [
        ({}, "data.sets: none; pass data.sets="),
        ({"songs": {"layout": "stemfolder"}}, "data.sets.songs.layout"),
        ({"songs": {"stems": ["vocals", "piano"]}}, "data.sets.songs.stems: .*piano"),
        ({"songs": {"weight": -1}}, "songs.weight=-1: expected more than 0"),
        ({"songs": {"weight": True}}, "songs.weight=True: expected more than 0"),
        ({"songs": {"root": ["a", "b"]}}, r"data.sets.songs.root=a list: expected str \| Path"),
        ({"singing": {"songs": ["a", "b"]}}, r"singing.songs=a list: expected str \| Path"),
        ({"songs": {"weight": 1}, "pairs": {}}, "weight for songs only; pass one for each set"),
        ({"songs": {"colour": 1}}, "data.sets.songs"),
        ({"songs": {"stems": "vocals"}}, r"songs.stems=vocals: expected a list, as in \[vocals,"),
        ({"songs": {"layout": "musdb18", "root": None}}, "data.sets.songs.root: not given; pass"),
        ({"loose": {"folders": ["singing"]}}, "loose: data.folders=a list: expected folders by"),
        ({"singing": {"folders": {"vocals": []}}}, "vocals=a list: expected a folder, or a list"),
        ({"singing": {"folders": {"vocals": None}}}, "vocals=None: expected a folder, or a list"),
    ],
)
def test_faults_of_sets_are_named(root, sets, message):
    with pytest.raises(InputError, match=message):
        mixed(root, **sets)


@pytest.mark.parametrize("sets", ["songs", ["songs"], 5])
def test_sets_without_names_are_refused(sets):
    with pytest.raises(InputError, match=r"data.sets=.*: expected {<name>:{layout:stem_folder"):
        MixedSets(["vocals", "drums"], sets)


def test_validation_is_on_songs_with_all_stems(root):
    assert [t.name for t in mixed(root, songs={}, pairs={}).tracks("valid")] == ["three"]
    with pytest.raises(InputError, match=r"no valid songs: expected a set in data.sets"):
        mixed(root, pairs={}, loose={}).tracks("valid")


def test_a_folder_is_in_one_set_only(root):
    again = {"layout": "stem_folder", "root": str(root / "pairs/../songs")}
    known = {"layout": "stem_folder", "root": str(root / "songs")}
    with pytest.raises(InputError, match=r"in data.sets.again and in data.sets.songs"):
        MixedSets(STEMS, {"songs": known, "again": again}).tracks("train")


def test_a_fault_of_a_set_is_named_in_every_split(root, tmp_path):
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid/gone").symlink_to(tmp_path / "nowhere")
    source = mixed(root, songs={}, loose={"layout": "stem_folder", "root": str(tmp_path)})
    with pytest.raises(InputError, match=r"data.sets.loose: .*gone: a link to"):
        source.tracks("valid")


def test_loud_targets_are_drawn_more_often(root):
    tracks = StemFolder(root / "songs", STEMS).tracks("train")
    options = SamplingOptions("loudness", targets=("vocals",))
    assert ChanceTable(tracks, options).at(0).tolist() == pytest.approx([0.2, 0.8], abs=1e-6)


def test_classes_are_drawn_equally_often(root):
    one, two = StemFolder(root / "songs", STEMS).tracks("train")
    singers = [replace(one, labels=(("singer", name),)) for name in ("A", "A", "B")]
    options = SamplingOptions("class", balance_by="singer")
    assert ChanceTable(singers, options).at(0).tolist() == [0.25, 0.25, 0.5]
    sets = SamplingOptions("class", balance_by="dataset")
    tracks = mixed(root, songs={}, pairs={}).tracks("train")
    assert ChanceTable(tracks, sets).at(0).tolist() == [0.25, 0.25, 0.5]
    with pytest.raises(InputError, match=r"balance_by=singer: train/two has none, .*dataset"):
        ChanceTable([*singers, two], options)


SCHEDULE = {0: {"songs": 1, "pairs": 0}, "2.0": {"songs": 1, "pairs": 3}}


def test_a_schedule_is_linear_between_its_times(root):
    tracks = mixed(root, songs={}, pairs={}).tracks("train")
    table = ChanceTable(tracks, SamplingOptions(schedule=SCHEDULE))
    for epoch, pairs in ((0, 0), (1, 0.6), (2, 0.75), (9, 0.75)):
        expected = [(1 - pairs) / 2, (1 - pairs) / 2, pairs]
        assert table.at(epoch).tolist() == pytest.approx(expected)


def test_scheduled_chunks_depend_on_their_number_only(root):
    tracks = mixed(root, songs={}, pairs={}).tracks("train")
    options = SamplingOptions(schedule=SCHEDULE)
    data, again = (
        ChunkDataset(tracks, 1, RATE, SECONDS, 0, (), options, 100, STEMS) for _ in range(2)
    )
    drawn = [data.positions(number)[0].track.name == "four" for number in range(400)]
    assert sum(drawn[:100]) < sum(drawn[100:200]) < sum(drawn[200:]) / 2 + 10
    assert np.mean(drawn[200:]) == pytest.approx(0.75, abs=0.09)
    backwards = [again.positions(number)[0].track.name == "four" for number in range(399, -1, -1)]
    assert backwards == drawn[::-1]
    assert (values(data[399])[1] == 0.3) == drawn[399]


@pytest.mark.parametrize(
    "schedule, message",
    [
        ({"start": {"songs": 1}}, "schedule.start: expected a time in epochs, as in {0:"),
        ({-1: {"songs": 1}}, "schedule.-1: expected a time"),
        ({0: 3}, "schedule.0=3: expected weights"),
        ({0: {"song": 1}}, "schedule.0.song: did you mean 'songs'"),
        ({0: {"songs": True}}, "schedule.0.songs=True: expected a weight, at least 0"),
        ({0: {"songs": 1}}, "schedule.0: no weight for pairs; expected all data sets"),
        ({0: {"songs": 0, "pairs": 0}}, "schedule.0: all weights are 0"),
    ],
)
def test_faults_of_a_schedule_are_named(root, schedule, message):
    tracks = mixed(root, songs={}, pairs={}).tracks("train")
    with pytest.raises(InputError, match=message):
        ChanceTable(tracks, SamplingOptions(schedule=schedule))


def test_what_is_heard_is_told_by_set_and_stem(root):
    data = chunks_of(mixed(root, songs={"weight": 1}, pairs={"weight": 3}))
    draws = {(d.kind, d.name): d for d in draw_chunks(data, 0, 60)}
    assert draws["dataset", "pairs"].hours == pytest.approx(1 / 3600)
    assert draws["dataset", "pairs"].drawn == pytest.approx(0.75, abs=0.17)
    assert draws["stem", "vocals"].drawn == 1
    assert draws["stem", "bass"].drawn == pytest.approx(draws["dataset", "songs"].drawn)
    assert draws["stem", "bass"].hours == pytest.approx(2 / 3600)
    lines = list(draws_lines(list(draws.values()), 60))
    assert any(line.startswith("by dataset: songs ") for line in lines)


SPANS = "track,stem,start,end,weight\none,vocals,0,0.5,\none,bass,0.9,1,1\ntwo,drums,0,1,0\n"


def test_marked_spans_are_left_out(root, tmp_path):
    (tmp_path / "spans.csv").write_text(SPANS)
    tracks = StemFolder(root / "songs", STEMS).tracks("train")
    options = SamplingOptions(spans=MarkedSpans.read(tmp_path / "spans.csv"))
    data = ChunkDataset(tracks, 1, RATE, SECONDS, 0, (), options, 60)
    drawn = [data.positions(number)[0] for number in range(60)]
    assert {track.name for track, _ in drawn} == {"one"}
    assert all(start >= 0.5 * RATE for _, start in drawn)


@pytest.mark.parametrize(
    "line, message",
    [
        ("one,vocals,1,0.5,", r"line 2: expected 0 <= start < end"),
        ("one,vocals,0,1,2", "line 2: weight=2: expected from 0 to 1"),
        ("three,vocals,0,1,", "track=three: not in the training set"),
        ("one,vocal,0,1,", "stem=vocal of one: did you mean 'vocals'"),
    ],
)
def test_faults_of_spans_are_named(root, tmp_path, line, message):
    (tmp_path / "spans.csv").write_text(f"track,stem,start,end,weight\n{line}\n")
    tracks = StemFolder(root / "songs", STEMS).tracks("train")
    with pytest.raises(InputError, match=message):
        MarkedSpans.read(tmp_path / "spans.csv").check(tracks)
