"""Songs listed in a table: spans, weights and splits, and every fault with its line."""

import codecs
import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sampling import ChanceTable, SamplingOptions
from auralflow_pl.data.sources.manifest import Manifest
from auralflow_pl.data.sources.mixed import MixedSets
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.splits import check_apart
from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.source import find_source
from support import TINY, TINY_SET

RATE = 8000
STEMS = ("vocals", "bass")
HEAD = "track,stem,path,start,end,weight,split\n"
LINES = """\
"One, two",vocals,a/voice.wav,0.5,1,2,train
"One, two",bass,a/bass.wav,1,1.5,,
B,vocals,a/voice.wav,,,,valid
B,bass,a/bass.wav,,,,valid
C,bass,a/bass.wav,1.75,,,train
C,vocals,a/voice.wav,1.75,2,1,
"""
ROWS = [
    {"track": "One, two", "stem": "vocals", "path": "a/voice.wav", "start": 0.5, "end": 1},
    {"track": "One, two", "stem": "bass", "path": "a/bass.wav", "start": 1, "end": 1.5},
]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Two files in which every sample has another value, one of another rate, and one in stereo."""
    root = tmp_path_factory.mktemp("manifest")
    (root / "a").mkdir()
    ramp = np.arange(2 * RATE, dtype=np.float32) / 2**15
    for name, sound, rate in (
        ("voice", ramp, RATE),
        ("bass", -ramp, RATE),
        ("fine", np.repeat(ramp, 2), 2 * RATE),
        ("wide", np.stack([ramp, ramp], 1), RATE),
    ):
        soundfile.write(root / "a" / f"{name}.wav", sound, rate, "FLOAT")
    return root


@pytest.fixture
def made(sounds, tmp_path):
    """Write a table and open it."""

    def make(content, name="songs.csv", **more):
        content = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(content)
        return Manifest(tmp_path / name, **{"stems": STEMS, "root": sounds} | more)

    return make


def ramp(first, last):
    return torch.arange(first, last) / 2**15


@pytest.mark.parametrize(
    "content, name",
    [
        (HEAD + LINES, "songs.csv"),
        (codecs.BOM_UTF8 + (HEAD + LINES).replace("\n", "\r\n").encode(), "songs.CSV"),
        (HEAD + LINES + "\n,,,,,,\n\n", "songs.csv"),
        ("\n".join(map(json.dumps, ROWS)) + "\n\n", "songs.jsonl"),
        (codecs.BOM_UTF8 + "\r\n".join(map(json.dumps, ROWS)).encode(), "songs.jsonl"),
    ],
)
def test_spans_of_files_are_songs(made, tmp_path, content, name):
    source = made(content, name)
    track = source.track(source.file / "One, two", "train")
    assert (track.name, track.frames, track.changes) == ("One, two", RATE // 2, "")
    mixture, stems = track.read()
    assert torch.equal(stems[0, 0], ramp(4000, 8000))
    assert torch.equal(stems[1, 0], -ramp(8000, 12000))
    assert torch.equal(mixture, stems.sum(0))
    assert torch.equal(track.read_stem("bass", 100, 10)[0], -ramp(8100, 8110))
    pool = Pool(tmp_path / "pool", RATE, "float32")
    pool.build([track])
    assert torch.equal(pool.open(track).read()[1], stems)


def chances(tracks, *options):
    return ChanceTable(tracks, SamplingOptions(*options)).at(0.0).tolist()


def test_sound_in_two_splits_is_an_error(made):
    source = made(HEAD + LINES)
    with pytest.raises(InputError, match=r"voice.wav: in train/C and in valid/B; expected"):
        check_apart(source.tracks("train"), source.tracks("valid"))
    apart = "A,vocals,a/voice.wav,0,1,,train\nA,bass,a/bass.wav,0,1,,\n"
    apart += "B,vocals,a/voice.wav,1,2,,valid\nB,bass,a/bass.wav,1,2,,\n"
    source = made(HEAD + apart)
    check_apart(source.tracks("train"), source.tracks("valid"))


def test_labels_are_those_of_songs(made):
    source = made("track,stem,path,singer\nA,vocals,a/voice.wav,Eve\nA,bass,a/bass.wav,\n")
    assert source.track(source.file / "A", "train").labels == (("singer", "Eve"),)


def test_splits_and_weights_are_those_of_songs(made):
    source = made(HEAD + LINES)
    train = source.tracks("train")
    assert [track.name for track in train] == ["C", "One, two"]
    assert [track.name for track in source.tracks("valid")] == ["B"]
    assert [track.frames for track in train] == [2000, 4000]
    assert chances(train) == pytest.approx([0.2, 0.8])
    assert chances(train, "track") == pytest.approx([1 / 3, 2 / 3])
    with pytest.raises(InputError, match=r"no test tracks in data.file=.*; expected lines with"):
        source.tracks("test")
    mixed = {"layout": "manifest", "file": str(source.file), "root": str(source.root)}
    tracks = MixedSets(STEMS, {"live": mixed}).tracks("train")
    assert chances(tracks) == pytest.approx([0.2, 0.8])


def test_the_pool_tells_spans_apart(made, tmp_path):
    pool, table = Pool(tmp_path, RATE, "float32"), HEAD + LINES
    first = made(table).tracks("train")[1]
    moved = made(table.replace("0.5,1,2", "0.25,0.75,2")).tracks("train")[1]
    pool.build([first, moved])
    assert pool.path(first) != pool.path(moved)
    assert torch.equal(pool.open(moved).read_stem("vocals", 0, 4000)[0], ramp(2000, 6000))


def test_whole_files_are_those_of_a_folder(songs, tmp_path):
    known = StemFolder(songs, STEMS)
    lines = [
        f"{path.name if split == 'train' else split + path.name},{stem},"
        f"{path.relative_to(songs)}/{stem}.wav,{split}"
        for split in ("train", "valid", "test")
        for path in known.find(split)
        for stem in (*STEMS, "mixture")
    ]
    (tmp_path / "songs.csv").write_text("\n".join(["track,stem,path,split", *lines]))
    found = Manifest(tmp_path / "songs.csv", STEMS, songs).tracks("train")
    pool = Pool(tmp_path, 44100)
    expected = known.tracks("train")
    assert [pool.path(track) for track in found] == [pool.path(track) for track in expected]
    (tmp_path / "songs.csv").write_text(
        "\n".join(["track,stem,path", *(line.rpartition(",")[0] for line in lines)])
    )
    source = Manifest(tmp_path / "songs.csv", ("vocals", "bass", "rest"), songs)
    assert [len(source.find(split)) for split in ("train", "valid", "test")] == [4, 1, 1]
    mixture, stems = source.tracks("valid")[0].read()
    assert (stems.sum(0) - mixture).abs().max() < 1e-6


def test_spans_are_made_to_fit(made):
    lines = "track,stem,path,start,end\nA,vocals,a/fine.wav,0.5,1\nA,bass,a/wide.wav,0.5,0.75\n"
    with pytest.raises(InputError, match=r"songs.csv, line 2: .*wide.wav: 8000 Hz, but fine.wav"):
        made(lines).track(made(lines).file / "A", "train")
    source = made(lines, mismatch="pad")
    track = source.track(source.file / "A", "train")
    assert (track.sample_rate, track.frames, track.channels) == (2 * RATE, RATE, 2)
    sound = track.read()[1]
    assert torch.equal(sound[0, 0], ramp(4000, 8000).repeat_interleave(2))
    assert (sound[1, 0, 200:-4200:2] - ramp(4100, 5900)).abs().max() < 1e-3
    assert not sound[1, :, 4000:].any()


FAULTS = {
    "A,vocals,../x.wav,,,,": "line 2: path=../x.wav: leaves .*; .*pass data.root",
    "A,vocals,a/../../x.wav,,,,": "line 2: path=a/../../x.wav: leaves ",
    "A,vocals,/x.wav,,,,": "line 2: path=/x.wav: leaves ",
    "A,vocals,x.wav,one,,,": "line 2: start=one: expected a number, as in 1.5",
    'A,vocals,x.wav,"1,5",,,': "line 2: start=1,5: expected a number",
    "A,vocals,x.wav,,nan,,": "line 2: end=nan: expected a number",
    "A,vocals,x.wav,-1,,,": "line 2: start=-1: expected at least 0",
    "A,vocals,x.wav,2,2,,": "line 2: end=2: expected more than start=2",
    "A,vocals,x.wav,,,0,": "line 2: weight=0: expected more than 0",
    "A,voice,x.wav,,,,": "line 2: stem=voice: not in data.stems=.vocals,bass.",
    "A,vocals,x.wav,,,,dev": "line 2: split=dev: expected one of train, valid, test",
    "a/A,vocals,x.wav,,,,": "line 2: track=a/A: expected a name without / and",
    "A,,x.wav,,,,": "line 2: no stem; expected one in every line",
    "A,vocals,x.wav,,,,train\nA,bass,x.wav,,,,test": "line 3: split test of A, but train in line 2",
    "A,vocals,x.wav,,,1,\nA,bass,x.wav,,,3,": "line 3: weight 3.0 of A, but 1.0 in line 2",
    "A,vocals,x.wav,,,,\nA,vocals,y.wav,,,,": "line 3: vocals of A is in line 2 already",
    "A,vocals,x.wav,,,,train\nB,vocals,x.wav,,,,": "line 3: no split for B; .*every track or for",
    "A,vocals,x.wav,,,": "line 2: 6 values, expected 7 .track,.*in double quotes",
    '\n"A\n",vocals,x.wav,,,,\n"B': "line 5: not CSV",
}


@pytest.mark.parametrize("lines", FAULTS)
def test_faults_are_named_with_their_line(made, lines):
    with pytest.raises(InputError, match=f"songs.csv, {FAULTS[lines]}") as error:
        made(HEAD + lines)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content, name, message",
    [
        ("track,stem,file\n", "songs.csv", "line 1: unknown column file, expected one of track"),
        (
            "track,stem\n",
            "songs.csv",
            "line 1: no column path; expected track, stem, path, and",
        ),
        ("track,stem,path,path\n", "songs.csv", "line 1: column path is there twice"),
        ("track,stem,path,\n", "songs.csv", "line 1: a column without a name"),
        ("track;stem;path\n", "songs.csv", "line 1: values are separated by semicolons; expected"),
        (HEAD.encode() + b"\nf\xfcr,", "songs.csv", "line 3: not UTF-8; save the file as UTF-8"),
        (HEAD.encode("utf-16"), "songs.csv", "line 1: not UTF-8"),
        ("{}", "songs.jsonl", "line 1: no column track"),
        ("\n[1]", "songs.jsonl", "line 2: expected an object"),
        ('{"track": 1, "track": 2}', "songs.jsonl", "line 1: column track is there twice"),
        ("{" * 9, "songs.jsonl", "line 1: not JSON"),
        ('{"track":1,"stem":"x","path":"x"}', "songs.jsonl", "line 1: track=1: expected a print"),
        (json.dumps(ROWS[0] | {"start": True}), "songs.jsonl", "line 1: start=True: expected a"),
        (json.dumps(ROWS[0] | {"path": "\0"}), "songs.jsonl", "line 1: path=.*: expected a print"),
        ("", "songs.txt", "expected a file with the suffix .csv or .jsonl"),
    ],
)
def test_faults_of_tables_are_named(made, content, name, message):
    with pytest.raises(InputError, match=f"{name}(, |: ){message}"):
        made(content, name)


@pytest.mark.parametrize(
    "lines, message",
    [
        ("A,vocals,a/voice.wav\nA,bass,a/none.wav", "line 3: .*none.wav: no such file"),
        ("A,vocals,a/voice.wav", "line 2: A: no file for bass; expected a line for each of vocals"),
        ("A,vocals,a/voice.wav,2.5", "line 2: start=2.5: .*voice.wav has 2.000 s"),
        ("A,vocals,a/voice.wav,1,2.1", "line 2: end=2.1: .*voice.wav has 2.000 s"),
    ],
)
def test_faults_of_files_are_named_with_their_line(made, lines, message):
    columns = ["track", "stem", "path", "start", "end"][: lines.split("\n")[0].count(",") + 1]
    source = made(f"{','.join(columns)}\n{lines}")
    with pytest.raises(InputError, match=f"songs.csv, {message}"):
        source.track(source.file / "A", "train")


def test_commands_read_tables(command, made, tmp_path):
    source = made(HEAD + LINES.replace("C,bass,a/bass.wav,1.75,,,train", "C,bass,gone.wav,,,,test"))
    data = ["data=manifest", f"data.file={source.file}", f"data.root={source.root}"]
    data += ["data.stems=[vocals,bass]", "audio.sample_rate=8000"]
    done = command("doctor", *data, f"output={tmp_path / 'doctor'}", "draws=0")
    assert "songs.csv, line 6: " in done.out
    assert "gone.wav: no such file" in done.out
    assert "1 errors, " in done.error
    done = command("train", *TINY[len(TINY_SET) :], *data, f"data.file={tmp_path}/none.csv")
    assert "none.csv: no such file" in done.error


def test_a_checkpoint_names_its_table(made):
    file = str(made(HEAD + LINES).file)
    checkpoint = SimpleNamespace(config={"data": {"file": file, "source": {
        "_target_": "auralflow_pl.data.sources.manifest.Manifest", "file": file, "stems": STEMS,
    }}})  # fmt: skip
    config = SimpleNamespace(data=None, trust=[])
    label, source = find_source(config, checkpoint)
    assert (label, len(source.find("train"))) == ("songs.csv", 2)
    checkpoint.config["data"]["file"] = "gone.csv"
    with pytest.raises(InputError, match=r"was trained on data.file=gone.csv, which is not here"):
        find_source(config, checkpoint)
