"""Data sets in which a stem is the sum of several files, on small trees of their layouts."""

import json

import pytest
import soundfile
import torch

from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sources.medleydb import MedleyDB
from auralflow_pl.data.sources.mixed import MixedSets
from auralflow_pl.data.sources.moisesdb import MoisesDB
from auralflow_pl.data.sources.slakh import Slakh
from auralflow_pl.errors import InputError

STEMS = ("vocals", "drums", "bass", "other")
RATE, FRAMES = 8000, 4000


def write(path, level, frames=FRAMES):
    """A file of one level, so that sums are known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, torch.full((frames, 2), level).numpy(), RATE, subtype="PCM_16")


def moises_song(folder):
    """Vocals of two files, the second half as long; bass, guitar and an unknown stem."""
    files = {"vocals": ["a", "b"], "bass": ["c"], "guitar": ["d"], "gamelan": ["e"]}
    levels = dict(zip("abcde", (0.5, 0.25, 0.125, 0.0625, 0.03125), strict=True))
    for stem, names in files.items():
        for name in names:
            write(
                folder / f"{stem}/{name}.wav", levels[name], FRAMES // 2 if name == "b" else FRAMES
            )
    tracks = {
        stem: [{"id": name, "extension": "wav", "trackType": "x"} for name in names]
        for stem, names in files.items()
    }
    stems = [{"stemName": stem, "tracks": of} for stem, of in tracks.items()]
    (folder / "data.json").write_text(json.dumps({"song": "A song", "stems": stems}))


@pytest.fixture
def moises(tmp_path):
    for number in range(4):
        moises_song(tmp_path / f"moises/song{number}")
    return tmp_path / "moises"


def levels(track):
    """Level of the mixture and of each stem in both halves of a track."""
    mixture, stems = track.read()
    sounds = {"mixture": mixture} | dict(zip(track.stems, stems, strict=True))
    spans = (slice(10, 20), slice(-20, -10))
    return {name: tuple(float(s[:, span].mean()) for span in spans) for name, s in sounds.items()}


SUMS = {
    "mixture": (0.96875, 0.71875),
    "vocals": (0.75, 0.5),
    "drums": (0, 0),
    "bass": (0.125, 0.125),
    "other": (0.09375, 0.09375),
}


@pytest.mark.parametrize("dtype", [None, "int16"])
def test_moisesdb_stems_are_sums(moises, tmp_path, dtype):
    source = MoisesDB(moises, STEMS)
    assert [len(source.find(split)) for split in ("train", "valid", "test")] == [2, 1, 1]
    track = source.tracks("train")[0]
    assert (track.frames, track.channels, track.absent) == (FRAMES, 2, ("drums",))
    assert float(track.read_stem("vocals", FRAMES // 2 - 5, 10)[0].sum()) == 5 * 0.75 + 5 * 0.5
    if dtype:
        pool = Pool(tmp_path / "pool", RATE, dtype)
        pool.build([track])
        track = pool.open(track)
    known = levels(track)
    assert all(known[name] == pytest.approx(SUMS[name], abs=1e-3) for name in SUMS)


def test_what_is_no_stem_is_other_or_rest_or_in_the_mixture_only(moises):
    known = levels(MoisesDB(moises, ["guitar", "rest"]).tracks("train")[0])
    assert known["rest"] == (0.90625, 0.65625)
    track = MoisesDB(moises, ["bass"]).tracks("train")[0]
    assert levels(track) == {"mixture": SUMS["mixture"], "bass": SUMS["bass"]}
    assert torch.equal(track.read_mixture(3, 9), track.read()[0][:, 3:12])


def test_stems_have_their_own_file_in_the_pool(moises, tmp_path):
    pool = Pool(tmp_path / "pool", RATE)
    chosen = (STEMS, ("vocals", "bass", "other"), ("vocals", "guitar", "other"))
    paths = {pool.path(MoisesDB(moises, stems).tracks("train")[0]) for stems in chosen}
    assert len(paths) == 3


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "data.json: no such file"),
        ('{"stems": [', "data.json: not readable as JSON"),
        ("{}", "data.json: not as expected .KeyError: 'stems'"),
        ("[]", "data.json: not as expected"),
        ('{"stems": []}', "data.json: lists no files"),
    ],
)
def test_damaged_metadata_are_one_line(moises, content, message):
    path = MoisesDB(moises).find("train")[0] / "data.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        MoisesDB(moises).tracks("train")
    assert "\n" not in str(raised.value)


def test_listed_files_must_be_there(moises):
    folder = MoisesDB(moises).find("train")[0]
    text = (folder / "data.json").read_text()
    for old, new, message in (
        ('"a"', '"../../a"', "lies outside the folder"),
        ('"b"', '"a"', "lists vocals/a.wav twice"),
        ('"a"', '"z"', "lists vocals/z.wav, which is missing"),
    ):
        (folder / "data.json").write_text(text.replace(old, new))
        with pytest.raises(InputError, match=message):
            MoisesDB(moises).tracks("train")


def test_a_song_without_a_stem(moises):
    with pytest.raises(InputError, match=r"no file for drums; pass data\.missing=silent"):
        MoisesDB(moises, STEMS, missing="error").tracks("train")
    with pytest.raises(InputError, match="did you mean 'vocals'"):
        MoisesDB(moises, ["vocal", "other"])


def test_moisesdb_in_a_mixture_of_sets(moises):
    source = MixedSets(STEMS, {"moises": {"layout": "moisesdb", "root": str(moises)}})
    assert levels(source.tracks("train")[0]) == SUMS


def test_doctor_reads_moisesdb(moises, command, tmp_path):
    keys = ("data=moisesdb", f"data.root={moises}", "audio.sample_rate=8000", "draws=0")
    done = command("doctor", *keys, f"output={tmp_path}/out")
    assert "no drums, taken as silence" in done.out, done
    assert "sum of the stems" not in done.out


SLAKH = """
UUID: 0a
stems:
  S00: {audio_rendered: true, inst_class: Piano, is_drum: false, plugin_name: p.nkm}
  S01: {audio_rendered: true, inst_class: Drums, is_drum: true, plugin_name: q.nkm}
  S02: {audio_rendered: false, inst_class: Sound Effects, is_drum: false, plugin_name: None}
  S03: {audio_rendered: true, inst_class: Brass, is_drum: false, plugin_name: r.nkm}
"""


@pytest.fixture
def slakh(tmp_path):
    """One song without a bass in each folder of the set."""
    for split in ("train", "validation", "test", "omitted"):
        folder = tmp_path / f"slakh/{split}/Track-{split}"
        for name, level in (("S00", 0.25), ("S01", 0.5), ("S03", 0.125)):
            write(folder / f"stems/{name}.flac", level)
        (folder / "metadata.yaml").write_text(SLAKH)
        write(folder / "mix.flac", 0.0)  # not read
    return tmp_path / "slakh"


def test_slakh_has_its_own_splits_and_classes(slakh):
    source = Slakh(slakh, STEMS[1:])
    for split, folder in (("train", "train"), ("valid", "validation"), ("test", "test")):
        (track,) = source.tracks(split)
        assert (track.name, track.absent) == (f"Track-{folder}", ("bass",))
        known = {name: level for name, (level, _) in levels(track).items()}
        assert known == {"mixture": 0.875, "drums": 0.5, "bass": 0, "other": 0.375}
    assert levels(Slakh(slakh, ["piano", "other"]).tracks("test")[0])["piano"] == (0.25, 0.25)


def test_slakh_with_a_fault_is_one_line(slakh):
    folder = slakh / "train/Track-train"
    (folder / "stems/S03.flac").unlink()
    with pytest.raises(InputError, match=r"lists stems/S03\.flac, which is missing"):
        Slakh(slakh).tracks("train")
    for text, message in (("stems: [", "not YAML"), ("stems: [S00]", "not as expected")):
        (folder / "metadata.yaml").write_text(text)
        with pytest.raises(InputError, match=message):
            Slakh(slakh).tracks("train")
    (slakh / "validation/Track-validation").rename(slakh / "test/more")
    with pytest.raises(InputError, match=r"no tracks in .*; expected <train.valid"):
        Slakh(slakh).find("valid")


LABELS = (  # of files with the levels 1/2, 1/4, ...
    "female singer",
    "male rapper",
    "[electric bass, double bass]",
    "[electric bass, drum set]",
    "hurdy-gurdy",
    "Main System",
)


@pytest.fixture
def medley(tmp_path):
    """Songs with files of one, several, unknown and all instruments; the second has bleed."""
    for name, bleed in (("Song", "no"), ("Live", "yes")):
        folder = tmp_path / f"medley/Audio/train/{name}"
        text = f"has_bleed: '{bleed}'\nstem_dir: {name}_STEMS\nstems:\n"
        for number, label in enumerate(LABELS, 1):
            file = f"{name}_STEM_{number:02}.wav"
            write(folder / f"{name}_STEMS" / file, 2.0**-number)
            text += f"  S{number:02}: {{filename: {file}, instrument: {label}, raw: {{}}}}\n"
        (folder / f"{name}_METADATA.yaml").write_text(text)
    return tmp_path / "medley"


def test_medleydb_assigns_instruments_to_stems(medley):
    _, track = MedleyDB(medley, STEMS).tracks("train")
    known = {name: level for name, (level, _) in levels(track).items()}
    expected = {"vocals": 0.75, "drums": 0, "bass": 0.125, "other": 0.09375}
    assert known == {"mixture": sum(expected.values())} | expected
    assert track.absent == ("drums",)


def test_medleydb_without_bleed(medley):
    source = MedleyDB(medley / "Audio", STEMS, skip_bleed=True)
    assert [path.name for path in source.find("train")] == ["Song"]


def test_medleydb_with_a_fault_is_one_line(medley):
    path = medley / "Audio/train/Song/Song_METADATA.yaml"
    path.write_text("stems: {S01: {filename: a.wav}}")
    for skip, missing in ((False, "instrument"), (True, "has_bleed")):
        with pytest.raises(InputError, match=f"not as expected .KeyError: '{missing}'"):
            MedleyDB(medley, skip_bleed=skip).tracks("train")
    path.unlink()
    with pytest.raises(InputError, match=r"Song_METADATA\.yaml: no such file"):
        MedleyDB(medley).tracks("train")
