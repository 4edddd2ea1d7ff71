"""Shards: chunks from object storage, every fault of a table, and of a server."""

import io
import json
import pickle
import tarfile
from types import SimpleNamespace

import pytest
import soundfile
import torch

from auralflow_pl.audio.reading import read_audio
from auralflow_pl.data.augment import Remix
from auralflow_pl.data.chunks import ChunkDataset, ChunkSampler
from auralflow_pl.data.sampling import ChanceTable, SamplingOptions
from auralflow_pl.data.shards import store as storing
from auralflow_pl.data.shards.reading import INDEX_NAME, Shards
from auralflow_pl.data.shards.store import ByteSpan, Store
from auralflow_pl.data.shards.writing import ShardWriter, write_shards
from auralflow_pl.data.sources.stem_folder import AudioFolder
from auralflow_pl.data.tracks import NoTracksError
from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.source import find_source
from auralflow_pl.training.data_module import StemDataModule
from support import TINY, TINY_SET
from support.s3 import S3

RATE = 44100
STEMS = ("vocals", "drums", "bass", "other")
URL = "s3://bucket/songs"
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module", autouse=True)
def credentials():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "something")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield


@pytest.fixture(scope="module")
def server():
    with S3() as server:
        yield server


@pytest.fixture(scope="module")
def written(server, songs):
    """The songs as shards on the server; the training songs are an upload in parts."""
    options = server.options | {"default_block_size": 5 * 2**20}
    folder = AudioFolder(songs, STEMS)
    tracks = [track for split in SPLITS for track in folder.tracks(split)]
    write_shards(ShardWriter(Store(URL, options)), tracks)
    assert [key for key in server.put if key.endswith("train-00000.tar")][3:]
    assert server.put[-1] == f"bucket/songs/{INDEX_NAME}"
    return server


@pytest.fixture
def s3(written):
    """The server with these shards, whatever a test does to them."""
    objects = dict(written.objects)
    yield written
    written.objects = objects
    written.faults.clear()
    written.asked.clear()
    written.stalls.clear()
    written.lists = written.ranges = True


def opened(server, timeout=60.0, patience=60.0, **more):
    """The shards, with these times from now on; a busy machine opens them slowly."""
    source = Shards(URL, STEMS, server.options, 60.0, 60.0, **more)
    source.store.timeout_seconds, source.store.patience_seconds = timeout, patience
    return source


def module(source, workers=0, **more):
    found = StemDataModule(
        source, 2, RATE, 0.5, 8, 2, seed=3, num_workers=workers, augmentations=[Remix(0.5)],
        drawing=SamplingOptions("length", -60.0, 0.5, ("vocals",)), **more,
    )  # fmt: skip
    found.setup("fit")
    return found


def chunks_of(data):
    try:
        return [batch["stems"] for batch in data.train_dataloader()]
    finally:
        data.close()


def test_chunks_are_those_of_the_files_for_any_number_of_workers(s3, songs):
    expected = chunks_of(module(AudioFolder(songs, STEMS)))
    for workers in (0, 2):
        found = chunks_of(module(opened(s3), workers))
        assert len(found) == 4
        assert all(map(torch.equal, found, expected))


def test_devices_share_the_chunks_of_one(s3):
    tracks = opened(s3).tracks("train")

    def numbers(rank, devices):
        data = ChunkDataset(tracks, 2, RATE, 0.2, seed=1)
        return {n: data[n]["stems"] for n in ChunkSampler(8, rank, devices)}

    alone, first, second = numbers(0, 1), numbers(0, 2), numbers(1, 2)
    assert not set(first) & set(second)
    assert (first | second).keys() == alone.keys()
    assert all(torch.equal(chunk, (first | second)[n]) for n, chunk in alone.items())


def test_tracks_are_those_of_the_files(s3, songs):
    source = pickle.loads(pickle.dumps(opened(s3)))
    for split in SPLITS:
        for track, expected in zip(
            source.tracks(split), AudioFolder(songs, STEMS).tracks(split), strict=True
        ):
            assert (track.name, track.split) == (expected.name, split)
            assert all(map(torch.equal, track.read(), expected.read()))
            assert track.level("bass", 0, track.frames) == pytest.approx(
                expected.level("bass", 0, track.frames), rel=1e-5
            )
            assert torch.equal(track.read_mixture(7, 9), expected.read_mixture(7, 9))
    sums = opened(s3, max_tracks=1)
    assert len(sums.tracks("train")) == 1
    track = sums.tracks("train")[0]
    with pytest.raises(InputError, match=r"train-00000.tar: song000: no 2 samples at 264599, it"):
        track.read_stem("vocals", track.frames - 1, 2)


def test_shards_are_tar_files_of_sound_files(s3, songs):
    content = s3.objects["bucket/songs/train-00000.tar"]
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        names = tar.getnames()
        about = json.load(tar.extractfile("00000001.json"))
        sound, rate = soundfile.read(tar.extractfile("00000001.drums.wav"), dtype="float32")
    assert names[:6] == [f"00000000.{stem}.wav" for stem in (*STEMS, "mixture")] + ["00000000.json"]
    path = songs / "train" / about["track"] / "drums.wav"
    assert rate == RATE
    assert torch.equal(torch.from_numpy(sound.T), read_audio(path).samples)


def test_a_rest_is_the_mixture_without_the_stems(s3, songs):
    given = {"stems": ("vocals", "rest")}
    found = Shards(URL, options=s3.options, **given).tracks("valid")[0]
    expected = AudioFolder(songs, **given).tracks("valid")[0]
    assert torch.equal(found.read_stems(100, 200), expected.read_stems(100, 200))
    assert found.identity == opened(s3).tracks("valid")[0].identity != expected.identity


def test_float_stems_keep_what_is_beyond_full_scale(tmp_path, caplog):
    folder = tmp_path / "songs" / "train" / "loud"
    folder.mkdir(parents=True)
    for stem in ("vocals", "rest"):
        soundfile.write(folder / f"{stem}.wav", torch.randn(99, 1).numpy() * 2, RATE, "FLOAT")
    tracks = AudioFolder(tmp_path / "songs", ("vocals", "rest")).tracks("train")
    for subtype in ("FLOAT", "PCM_16"):
        place = str(tmp_path / subtype)
        write_shards(ShardWriter(Store(place), 1, subtype), tracks)
        (found,) = Shards(place, ("vocals", "rest")).tracks("train")
        sound = tracks[0].read()[1]
        sound = sound if subtype == "FLOAT" else sound.clamp(-1, 1 - 2**-15)
        assert (found.read()[1] - sound).abs().max() <= (0 if subtype == "FLOAT" else 2**-16)
    assert len([r for r in caplog.records if "dB above full scale" in r.message]) == 2
    with pytest.raises(InputError, match=r"PCM_16: has a index.jsonl; choose another place"):
        ShardWriter(Store(place))
    with pytest.raises(InputError, match="train/loud: a second track of this name"):
        write_shards(ShardWriter(Store(str(tmp_path / "twice"))), [*tracks, *tracks])
    assert not (tmp_path / "twice" / INDEX_NAME).exists()


LINE = {
    "track": "A", "split": "train", "shard": "a.tar", "sample_rate": RATE, "frames": 10,
    "channels": 1, "subtype": "PCM_16", "stems": {"vocals": [0, 20], "bass": [20, 20]},
    "digest": "0",
}  # fmt: skip
OTHER = LINE | {"track": "B", "digest": "1", "stems": {"vocals": [40, 20], "bass": [60, 20]}}


@pytest.fixture
def listed(tmp_path):
    """Open a table with these lines, beside a shard of 80 bytes."""

    def make(*lines, **more):
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (tmp_path / INDEX_NAME).write_text(text)
        (tmp_path / "a.tar").write_bytes(bytes(80))
        return Shards(str(tmp_path), ("vocals", "bass"), **more)

    return make


FAULTS = [
    ("{", "line 2: not JSON"),
    ("[1]", "line 2: expected an object"),
    (OTHER | {"tempo": 1}, "line 2: unknown column tempo"),
    ({"track": "B"}, "line 2: no column split; expected track, split"),
    (OTHER | {"track": "../B"}, "line 2: track=../B: expected a name without /"),
    (OTHER | {"track": "A"}, "line 2: track=A of train is in line 1 already"),
    (OTHER | {"track": 5}, "line 2: track=5: expected a printable text"),
    (OTHER | {"split": "dev"}, "line 2: split=dev: expected one of train, valid, test"),
    (OTHER | {"split": "valid", "digest": "0"}, "line 2: B in valid has the sound .*line 1 in tra"),
    (OTHER | {"shard": "../a.tar"}, "line 2: shard=../a.tar: expected the name of a tar"),
    (OTHER | {"shard": "/a.tar"}, "line 2: shard=/a.tar: expected the name of a tar"),
    (OTHER | {"shard": "x/../a.tar"}, "line 2: shard=x/../a.tar: expected the name of a"),
    (OTHER | {"shard": "s3://x/a.tar"}, "line 2: shard=s3://x/a.tar: expected the name of"),
    (OTHER | {"shard": "a.zip"}, "line 2: shard=a.zip: expected the name of a tar file"),
    (OTHER | {"shard": "b.tar"}, "line 2: no shard b.tar beside the table"),
    (OTHER | {"frames": 10.5}, "line 2: frames=10.5: expected a whole number from 1"),
    (OTHER | {"frames": True}, "line 2: frames=True: expected a whole number"),
    (OTHER | {"frames": 11}, "line 2: stems.vocals: 20 bytes, expected 22"),
    (OTHER | {"channels": 0}, "line 2: channels=0: expected a whole number from 1 to 32"),
    (OTHER | {"sample_rate": 1}, "line 2: sample_rate=1: expected a whole number from 4000"),
    (OTHER | {"subtype": "U8"}, "line 2: subtype=U8: expected one of PCM_16, FLOAT"),
    (OTHER | {"stems": {}}, "line 2: stems=.*: expected an object"),
    (OTHER | {"stems": [1]}, "line 2: stems=a list: expected an object"),
    (OTHER | {"stems": {"vocals": [40, 20]}}, "line 2: no bass in stems .vocals.; expected all"),
    (OTHER | {"stems": {"vocals": 40}}, "line 2: stems.vocals: expected first byte and"),
    (OTHER | {"stems": {"vocals": [-1, 20]}}, "line 2: stems.vocals: expected first byte and"),
    (OTHER | {"stems": {"vocals": ["a", 20]}}, "line 2: stems.vocals: expected first byte and"),
    (
        json.dumps(OTHER).replace('"bass"', '"vocals"'),
        "line 2: stems has a name twice",
    ),
    (
        OTHER | {"stems": {"vocals": [39, 20], "bass": [60, 20]}},
        "line 2: shares bytes of its shard with line 1; expected a place of its own",
    ),
    (
        OTHER | {"stems": {"vocals": [50, 20], "bass": [50, 20]}},
        "line 2: shares bytes of its shard with line 2",
    ),
    (
        OTHER | {"stems": {"vocals": [40, 20], "bass": [61, 20]}},
        "line 2: a.tar has 80 bytes, expected at least 81; write the shard again",
    ),
    (OTHER | {"powers": {"bass": -1}}, "line 2: powers.bass: expected at least 0"),
    (OTHER | {"powers": {"bass": "x"}}, "line 2: powers.bass=x: expected a number"),
    (OTHER | {"weight": 0}, "line 2: weight=0: expected more than 0"),
    (OTHER | {"labels": {"a\nb": "x"}}, "line 2: labels has a name that is not printable"),
    (OTHER | {"labels": {"singer": 1}}, "line 2: labels.singer=1: expected a printable text"),
]


@pytest.mark.parametrize("line, message", FAULTS, ids=[message[8:40] for _, message in FAULTS])
def test_faults_are_named_with_their_line(listed, line, message):
    with pytest.raises(InputError, match=f"{INDEX_NAME}, {message}") as error:
        listed(LINE, line)
    assert "\n" not in str(error.value)


def test_a_table_has_weights_labels_and_silent_stems(listed):
    only = OTHER | {"weight": 3, "labels": {"singer": "Eve"}, "stems": {"vocals": [40, 20]}}
    source = listed(LINE, only, missing="silent")
    one, other = source.tracks("train")
    assert ChanceTable([one, other], SamplingOptions()).at(0.0).tolist() == [0.25, 0.75]
    assert (other.labels, other.absent) == ((("singer", "Eve"),), ("bass",))
    assert other.changes == "no bass, taken as silence"
    assert not other.read()[1].any()
    with pytest.raises(NoTracksError, match=r"no valid tracks in .*index.jsonl; expected lines"):
        source.tracks("valid")
    assert [path.name for path in source.find("train")] == ["A", "B"]
    assert source.track(source.find("train")[1], "train") is other


ONCE = {"retries": {"max_attempts": 0}}
WRONG = [
    ({"url": None}, "data.url: not given"),
    ({"url": "s3://bucket/none"}, "none/index.jsonl: no such file; expected a folder with"),
    ({"url": "s3://nobody/songs"}, "index.jsonl: no such file; expected a folder with"),
    ({"url": "nonsense://songs"}, "Protocol not known: nonsense; expected a folder with"),
    ({"url": "sftp://me:pass@host/songs"}, "data.url: holds a user name or password, which"),
    ({"options": {"nonsense": 1}}, "unexpected keyword argument 'nonsense'; expected a"),
    ({"options": {"secret": "x"}}, "data.options.secret: would be stored in checkpoints; pass"),
    ({"options": {"s3": {"Token": "x"}}}, "data.options.s3.Token: would be stored in check"),
    (
        {"options": {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": ONCE}},
        "Could not connect to the endpoint",
    ),
    ({"options": 3}, "data.options=3: expected {<option>:<value>}"),
    ({"timeout_seconds": 0}, "data.timeout_seconds=0: expected seconds, more than 0"),
    ({"patience_seconds": "x"}, "data.patience_seconds=x: expected seconds, more than 0"),
    ({"missing": "x"}, "data.missing=x: expected one of error, silent"),
]


@pytest.mark.parametrize("given, message", WRONG, ids=[message[:40] for _, message in WRONG])
def test_what_is_wrong_is_an_error_at_once(s3, caplog, given, message):
    with pytest.raises(InputError, match=message) as error:
        Shards(**{"url": URL, "stems": STEMS, "options": s3.options} | given)
    assert "\n" not in str(error.value)
    assert not caplog.records  # it was not tried again


def test_shards_need_the_packages_of_their_extra(monkeypatch):
    monkeypatch.setattr("auralflow_pl.system.extras.EXTRA_PACKAGES", {"shards": ("no_s3fs",)})
    with pytest.raises(InputError, match=r"data.url=s3://x: no_s3fs not installed; .*\[shards\]"):
        Shards("s3://x", STEMS)


def test_a_shard_that_vanishes_is_named(s3, caplog):
    source = opened(s3)
    data = module(source)
    source.store.patience_seconds = 0.5
    del s3.objects["bucket/songs/train-00000.tar"]
    with pytest.raises(InputError) as error:
        chunks_of(data)
    message = str(error.value)
    assert message.startswith(f"{URL}/train-00000.tar: cannot be read: no such file (tried for ")
    assert message.endswith("data.patience_seconds=0.5)")
    assert [r.message for r in caplog.records] == [
        f"{URL}/train-00000.tar: no such file; trying again"
    ]


def test_a_shard_that_vanishes_is_named_by_loader_processes(s3):
    source = opened(s3)
    data = module(source, workers=1)
    source.store.patience_seconds = 0.2
    del s3.objects["bucket/songs/train-00000.tar"]
    with pytest.raises(InputError, match=f"^{URL}/train-00000.tar: cannot be read: no .*=0.2.$"):
        chunks_of(data)


@pytest.mark.parametrize("kind, times", [("stall", 2), ("cut", 3), ("503", 4), ("403", 3)])
def test_a_read_that_fails_is_tried_again(s3, songs, kind, times):
    expected = chunks_of(module(AudioFolder(songs, STEMS)))
    data = module(opened(s3, timeout=1.0))
    s3.fault("train-00000.tar", kind, times)
    assert all(map(torch.equal, chunks_of(data), expected))
    assert s3.faults[0].times == 0
    assert len(s3.stalls) == (2 if kind == "stall" else 0)


def test_a_server_that_stalls_is_an_error_in_the_end(s3):
    store = opened(s3, timeout=0.3, patience=0.5).store
    s3.fault("train", "stall")
    with pytest.raises(
        InputError, match=r"train-00000.tar: .*stalled for data.timeout_seconds=0.3"
    ):
        store.read([ByteSpan("train-00000.tar", 0, 9)])


def test_a_shard_that_became_shorter_is_an_error(s3):
    source = opened(s3)
    s3.objects["bucket/songs/test-00002.tar"] = bytes(2000)
    with pytest.raises(InputError, match=r"test-00002.tar: ends at byte 2000, expected at least "):
        source.tracks("test")[0].read_stem("vocals", 0, 1000)


def test_a_server_need_not_list_files_but_know_ranges(s3):
    s3.lists = False
    track = opened(s3).tracks("test")[0]
    s3.ranges = False
    with pytest.raises(InputError, match=r"bytes for a range of 40; expected a server that knows"):
        track.read_stem("vocals", 0, 10)


def test_long_reads_are_cut_and_short_ones_kept(s3, monkeypatch):
    track = opened(s3).tracks("valid")[0]
    whole = track.read_stem("drums", 0, track.frames)
    monkeypatch.setattr(storing, "LARGEST_READ", 100_000)
    again = opened(s3).tracks("valid")[0]
    s3.asked.clear()
    assert torch.equal(again.read_stem("drums", 0, track.frames), whole)
    assert len(set(s3.asked)) == 11  # the client repeats a request whose connection was lost
    again.read_stems(500, 200)
    assert len(set(s3.asked)) == 15
    before = len(s3.asked)
    again.read_stems(500, 200)
    assert len(s3.asked) == before
    for start in range(storing.RECENT_READS):
        again.read_stem("bass", start, 1)
    assert len(again.store.recent) == storing.RECENT_READS


def test_a_checkpoint_opens_no_address():
    source = {"_target_": "auralflow_pl.data.shards.reading.Shards", "url": URL, "stems": STEMS}
    config = SimpleNamespace(data=None, trust=[])
    for data in ({"url": URL, "source": source}, {"root": "/", "source": source}):
        checkpoint = SimpleNamespace(config={"data": data})
        with pytest.raises(InputError, match=f"address {URL}, which is opened only .*data=shards"):
            find_source(config, checkpoint)


def keys(server, *more):
    options = json.dumps(server.options).replace('"', "")
    data = ["data=shards", f"data.url={URL}", f"data.options={options}"]
    return [*data, "audio.channels=1", *more]


def test_doctor_examines_shards(s3, command, tmp_path):
    done = command("doctor", *keys(s3), f"output={tmp_path}/doctor", "draws=4", "pool=none")
    assert done.code == 0, done.err
    assert "0 errors" in done.out


@pytest.mark.filterwarnings("ignore:.*(val_dataloader|LeafSpec)")  # of Lightning
def test_a_training_whose_shard_vanishes_is_resumed_exactly(s3, command, tmp_path):
    def train(folder, *more):
        given = [*TINY[len(TINY_SET) :], "trainer.max_epochs=2", "callbacks.autosave.minutes=0"]
        return command("train", *keys(s3, *given, f"paths.run_dir={tmp_path / folder}", *more))

    def last(folder):
        path = tmp_path / folder / "checkpoints" / "last.ckpt"
        return torch.load(path, weights_only=True)

    done = train("whole")
    assert done.code == 0, done.err
    asked = len([key for key, _ in s3.asked if key.endswith("train-00000.tar")])
    before = 15  # excerpts of 3 mixtures and 4 stems of each
    s3.fault("train-00000.tar", "404", after=before + (asked - before) * 5 // 12)
    done = train("parts", "data.patience_seconds=0.2")
    assert "train-00000.tar: cannot be read: no such file" in done.error
    assert last("parts")["global_step"] in (1, 2)  # of 3 in an epoch
    s3.faults.clear()
    done = train("parts", "resume=auto")
    assert done.code == 0, done.err
    whole, parts = last("whole")["state_dict"], last("parts")["state_dict"]
    assert all(torch.equal(parts[name], weight) for name, weight in whole.items())
    assert "something" not in (tmp_path / "whole" / "config.yaml").read_text()
