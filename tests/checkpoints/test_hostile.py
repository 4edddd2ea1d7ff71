"""Files that are meant to do harm when they are loaded: none does, and each gives one line."""

import hashlib
import json
import os
import pickle
import shutil
import struct
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load, save

from auralflow_pl.checkpoints.archive import write_archive, write_weights
from auralflow_pl.checkpoints.contents import METADATA_KEY
from auralflow_pl.commands.model_files.export import export
from auralflow_pl.commands.model_files.publish import publish
from auralflow_pl.errors import InputError
from auralflow_pl.publishing.exporting import load_model
from auralflow_pl.separator.build import make_network
from auralflow_pl.separator.engines.onnx import export_onnx
from auralflow_pl.separator.engines.torchscript import export_torchscript
from auralflow_pl.separator.load import load_separator
from support import composed


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.fixture(scope="module")
def model(ckpt):
    return load_model(ckpt, [], None)


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """An exported model that works."""
    path = tmp_path_factory.mktemp("whole") / "model"
    path.mkdir()
    write_weights(path, model.description, model.separator.network.state_dict())
    load_separator(path)
    return path


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it, to be spoilt."""
    return shutil.copytree(whole, tmp_path / "model")


@pytest.fixture(scope="module")
def graph(model):
    """An exported ONNX file that works."""
    text = json.dumps(model.description)
    return export_onnx(model.separator.network, *model.sizes(), {METADATA_KEY: text})[0]


def refused(path, message, before):
    """Nothing but one line has come of it: no file beside, none outside."""
    with pytest.raises(InputError, match=message) as caught:
        load_separator(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))
    assert sorted(path.parent.rglob("*")) == before


def load_refused(path, message):
    refused(path, message, sorted(path.parent.rglob("*")))


def edited(path, *keys, value):
    """Change one entry of config.json."""
    content = json.loads((path / "config.json").read_text())
    node = content
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    (path / "config.json").write_text(json.dumps(content))


HUGE = 10**12
CONFIGURATIONS = {
    "system": (("config", "model", "_target_"), "os.system", "not of auralflow_pl"),
    "package": (("config", "model", "_target_"), "subprocess.Popen", "not of auralflow_pl"),
    "through us": (
        ("config", "model", "_target_"),
        "auralflow_pl.training.checkpoint_io.os.system",
        "imported",
    ),
    "function": (
        ("config", "model", "_target_"),
        "auralflow_pl.cli.main.main",
        "not a MaskEstimator",
    ),
    "the command": (("config", "model", "_target_"), "auralflow_pl.cli.main.main", "not a Mask"),
    "dots": (("config", "model", "_target_"), "auralflow_pl...x", "cannot be imported"),
    "empty": (("config", "model", "_target_"), "", "not of auralflow_pl"),
    "list": (("config", "model", "_target_"), ["os.system"], "not of auralflow_pl"),
    "instantiator": (("config", "model", "_instantiator"), "os.system", "no such key"),
    "args": (("config", "model", "_args_"), ["touch /tmp/x"], "no such key"),
    "part": (("config", "model", "bottleneck"), {"_target_": "os.system"}, "not of auralflow_pl"),
    "part of another kind": (
        ("config", "model", "bottleneck"),
        {"_target_": "auralflow_pl.data.pool.Pool"},
        "not a Module",
    ),
    "path": (("config", "target"), "../../x", "no such stem"),
    "path in stems": (("config", "data", "stems"), ["../../x"], "no such stem"),
    "path in groups": (("config", "data", "groups"), {"x": ["../../x"]}, "is no stem"),
    "wide": (("config", "model", "width"), HUGE, "do not fit"),
    "wide enough": (("config", "model", "width"), 10**6, "do not fit"),
    "deep": (("config", "model", "levels"), HUGE, "levels from 1 to 10"),
    "long transform": (("config", "stft", "n_fft"), 2**40, "expected 1 to"),
    "bins": (("config", "model", "n_fft"), 2**40, "do not fit"),
    "endless memory": (
        ("config", "model", "bottleneck"),
        {"_target_": "auralflow_pl.models.lstm.RecurrentBottleneck", "recurrent_depth": HUGE},
        "depth from 1 to 64",
    ),
    "rate": (("config", "audio", "sample_rate"), HUGE, "expected 1 to"),
    "rate of zero": (("config", "audio", "sample_rate"), 0, "expected 1 to"),
    "channels": (("config", "audio", "channels"), HUGE, "expected 1 to"),
    "number as text": (("config", "stft", "hop_length"), "512", "expected 1 to"),
    "not a number": (("config", "model", "bandwidth"), float("nan"), "bandwidth more than 0"),
    "grid": (("frame_multiple",), HUGE, "frame_multiple"),
    "reach": (("frame_reach",), -1, "frame_reach"),
    "configuration": (("config",), [], "config is missing"),
    "no audio": (("config", "audio"), None, "do not fit"),
    "format": (("format",), 2, "expected format 1"),
    "digest": (("sha256",), "0" * 64, "not the file"),
}


FACTS = {  # of the training, which a card tells
    "trainer is a list": (("config", "trainer"), [1], "trainer=a list: expected keys and values"),
    "trainer is a text": (("config", "trainer"), "x", "trainer=x: expected keys and values"),
    "batch as text": (("config", "data", "batch_size"), "x", "data.batch_size=x: expected a whole"),
    "negative batch": (("config", "data", "batch_size"), -1, "data.batch_size=-1: expected a"),
    "huge batch": (("config", "data", "batch_size"), 10**400, "huge number"),
    "accumulation": (("config", "trainer", "accumulate_grad_batches"), "x", "batches=x: expected"),
    "chunks as list": (("config", "chunk_seconds"), [1], "chunk_seconds=a list: expected"),
    "chunks as text": (("config", "chunk_seconds"), "x", "chunk_seconds=x: expected"),
    "endless chunks": (("config", "chunk_seconds"), float("inf"), "chunk_seconds=inf: expected"),
    "stem that is a number": (("config", "data", "stems"), ["vocals", 5], "stem 5: expected names"),
    "roots": (("config", "data", "roots"), 5, "data.roots=5: expected a list of names"),
    "name": (("config", "data", "name"), {"a": 1}, "data.name=a mapping: expected a name"),
    "data": (("config", "data"), ["vocals"], "data=a list: expected keys and values"),
    "tracks": (("config", "data", "max_tracks"), [], "data.max_tracks=a list: expected a whole"),
    "step of minus five": (("step",), -5, "step=-5: expected"),
    "huge step": (("step",), 10**400, "step=a huge number: expected"),
    "huge number anywhere": (("config", "seed"), 10**4000, "huge number"),
    "deep": (("config", "loss"), json.loads("[" * 99 + "]" * 99), "nested"),
    "reference": (("config", "model", "normalize_input"), "${", "holds .{"),
}
BROKEN = {**CONFIGURATIONS, **{f"fact: {name}": case for name, case in FACTS.items()}}


@pytest.mark.parametrize("name", BROKEN)
def test_configurations(folder, name):
    keys, value, message = BROKEN[name]
    edited(folder, *keys, value=value)
    load_refused(folder, message)


def test_messages_have_one_line_whatever_the_names_are(folder):
    edited(folder, "config", "target", value=["vocals\n"])
    load_refused(folder, "no such stem")
    edited(folder, "config", "target", value="x" * 10**5)
    load_refused(folder, "no such stem")
    edited(folder, "config", "target", value="vocals")
    edited(folder, "config", "data", "groups", value={"a\n\x1b[31m": ["b\n"]})
    load_refused(folder, "is no stem")
    edited(folder, "config", "data", "groups", value={"a\n\ud800": []})
    load_refused(folder, "expected different stems")


def test_the_card_shows_texts_of_others_as_they_are(folder):
    name = "x\n# fake heading\n\x1b[31m \ud800 [here](x) `b` <i>"
    edited(folder, "config", "data", "name", value=name)
    edited(folder, "config", "data", "stems", value=["vocals", "a\n# fake"])
    edited(folder, "config", "precision", value={"precision": "16\n# fake"})
    edited(folder, "config", "seed", value="0\n# fake")
    model = load_model(folder, [], None)
    assert model.card.replace("\n", "").isprintable()
    assert not any(line.startswith("# fake") for line in model.card.splitlines())
    assert "\\[here\\](x) \\`b\\` \\<i\\>" in model.card
    assert model.description["config"]["data"]["name"].isprintable()


@pytest.mark.parametrize("name", ["../../x", "..", "a/b", "-rf", "", "x" * 200, "a\nb", "a\0b"])
def test_target_names_that_are_no_file_names(folder, name):
    edited(folder, "config", "data", "stems", value=[name])
    edited(folder, "config", "target", value=name)
    load_refused(folder, "not a name for a file")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, "1" * 5000, '{"format": 1}', "null", "\x00", " " * (2**20 + 1)],
    ids=["empty", "half", "deep", "long", "bare", "null", "zero", "large"],
)
def test_texts_that_are_no_configuration(folder, text):
    (folder / "config.json").write_text(text)
    load_refused(folder, "config.json")


def header(entries, data=b""):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, start, stop):
    return {"x": {"dtype": "F32", "shape": shape, "data_offsets": [start, stop]}}


WEIGHTS = {
    "empty": b"",
    "claims terabytes": header(entry([HUGE], 0, 4 * HUGE)),
    "shape without data": header(entry([HUGE], 0, 4), bytes(4)),
    "negative": header(entry([-1], 0, 4), bytes(4)),
    "overflow": header(entry([2**32, 2**32], 0, 0)),
    "long header": struct.pack("<Q", 2**62),
    "no JSON": struct.pack("<Q", 8) + b"\xff" * 8,
    "overlap": header({**entry([1], 0, 4), "y": entry([1], 0, 4)["x"]}, bytes(4)),
    "pickle": pickle.dumps({"a": 1}),
    "other weights": save({"x": torch.zeros(3)}),
    "none": save({}),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(folder, name):
    (folder / "model.safetensors").write_bytes(WEIGHTS[name])
    edited(folder, "sha256", value=hashlib.sha256(WEIGHTS[name]).hexdigest())
    load_refused(folder, "damaged|do not fit")


def test_what_is_no_regular_file(folder):
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    load_refused(folder, "no such file")


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for suffix in ("ckpt", "zip", "onnx", "safetensors"):
        for target in (tmp_path / "pipe", "/dev/zero"):
            path = tmp_path / f"evil.{suffix}"
            path.symlink_to(target)
            load_refused(path, "no regular file")
            path.unlink()
    load_refused(tmp_path / "pipe", "no regular file")


def with_weight(folder, change):
    """Change the first convolution of a folder, whose digest is right."""
    path = folder / "model.safetensors"
    weights = load(path.read_bytes())
    name = next(name for name in weights if name.endswith("conv.weight"))
    weights[name] = change(weights[name])
    path.write_bytes(save(weights))
    edited(folder, "sha256", value=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda w: w * float("nan"), "conv.weight has NaN or infinite values"),
        (lambda w: w.index_fill(0, torch.tensor(0), float("-inf")), "has NaN or infinite values"),
        (lambda w: w.to(torch.complex64), "conv.weight holds complex64, expected float32"),
        (lambda w: w.to(torch.int32), "conv.weight holds int32, expected float32"),
    ],
)
def test_weights_that_are_no_finite_numbers(folder, change, message):
    with_weight(folder, change)
    load_refused(folder, message)


def test_weights_of_fewer_bits_are_fine(folder):
    with_weight(folder, lambda weight: weight.to(torch.bfloat16))
    load_separator(folder)


def archive(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as out:
        for name, content in entries.items():
            out.writestr(name, content)
    return path


def test_archives(folder, tmp_path):
    path = tmp_path / "model.zip"
    write_archive(folder, path)
    load_separator(path)
    config = (folder / "config.json").read_bytes()
    weights = (folder / "model.safetensors").read_bytes()
    cases = {
        "bomb": ({"config.json": config, "model.safetensors": bytes(10**8)}, zipfile.ZIP_DEFLATED),
        "lzma": ({"config.json": config, "model.safetensors": weights}, zipfile.ZIP_LZMA),
        "half": ({"config.json": config}, zipfile.ZIP_STORED),
        "outside": (
            {"config.json": b"{}", "../outside": b"x", "/tmp/outside": b"x"},
            zipfile.ZIP_STORED,
        ),
        "large config": ({"config.json": bytes(2**20 + 1)}, zipfile.ZIP_STORED),
    }
    for entries, compression in cases.values():
        load_refused(archive(path, entries, compression), "packed again|damaged|config.json")
    assert not (tmp_path.parent / "outside").exists()


def test_an_archive_that_lies_about_its_sizes(folder, tmp_path):
    path = tmp_path / "model.zip"
    write_archive(folder, path)
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")  # the first entry of the directory: its size
    path.write_bytes(content[: at + 20] + b"\xf0\xff\xff\x7f" * 2 + content[at + 28 :])
    load_refused(path, "packed again")


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "zip", "bin"])
def test_code_is_never_run(ckpt, tmp_path, suffix):
    trace, path = tmp_path / "ran", tmp_path / f"evil.{suffix}"
    content = {**torch.load(ckpt, weights_only=True), "callbacks": Bomb(trace)}
    torch.save(content, path)
    load_refused(path, "could run code|damaged")
    path.write_bytes(pickle.dumps(Bomb(trace)))
    load_refused(path, "damaged")
    assert not trace.exists()


def test_a_checkpoint_whose_tensors_claim_terabytes(ckpt, tmp_path):
    content = torch.load(ckpt, weights_only=True)
    name = next(name for name in content["state_dict"] if name.endswith("conv.weight"))
    content["state_dict"][name] = torch.zeros(1).expand(10**6, 10**6)
    torch.save(content, tmp_path / "evil.ckpt")
    load_refused(tmp_path / "evil.ckpt", "do not fit")


def test_a_checkpoint_whose_configuration_and_tensors_claim_terabytes(ckpt, tmp_path):
    content = torch.load(ckpt, weights_only=True)
    content["auralflow_pl"]["config"]["model"]["width"] = 2**14
    network = outline(content["auralflow_pl"]["config"])
    content["state_dict"] = {
        f"separator.network.{name}": torch.zeros((), dtype=value.dtype).expand(value.shape)
        for name, value in network.state_dict().items()
    }
    torch.save(content, tmp_path / "evil.ckpt")
    load_refused(tmp_path / "evil.ckpt", "holds less than")


def outline(config):
    with torch.device("meta"):
        return make_network(config["model"], 1)


def test_a_checkpoint_with_endless_references(ckpt, tmp_path):
    content = torch.load(ckpt, weights_only=True)
    node = ["x"]
    for _ in range(30):
        node = [node, node]
    content["auralflow_pl"]["config"]["loss"] = node
    torch.save(content, tmp_path / "evil.ckpt")
    load_refused(tmp_path / "evil.ckpt", "more than")


def test_pickles_that_are_cut_or_confused(ckpt, tmp_path):
    with zipfile.ZipFile(ckpt) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    pickled = next(name for name in entries if name.endswith("data.pkl"))
    for content in (b"\x80\x02.", b"\x80\x02a.", b"\x80\x02h\x05.", b"\x80\x02K\x01K\x02\x86s."):
        entries[pickled] = content
        load_refused(archive(tmp_path / "evil.ckpt", entries), "damaged|not loaded|another project")


def test_a_checkpoint_that_is_a_zip_bomb(ckpt, tmp_path):
    with zipfile.ZipFile(ckpt) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    entries["best/data/0"] = bytes(10**8)
    load_refused(
        archive(tmp_path / "evil.ckpt", entries, zipfile.ZIP_DEFLATED), "entries are compressed"
    )


def test_a_checkpoint_that_holds_itself(ckpt, tmp_path):
    content = torch.load(ckpt, weights_only=True)
    config = content["auralflow_pl"]["config"]
    config["model"]["bottleneck"] = config
    torch.save(content, tmp_path / "evil.ckpt")
    load_refused(tmp_path / "evil.ckpt", "nested")


@pytest.mark.parametrize("name", ["model.pt", "model.ckpt", "model.zip"])
def test_torchscript_is_not_loaded(model, tmp_path, name):
    content, _ = export_torchscript(model.separator.network, *model.sizes(), {"config.json": "{}"})
    (tmp_path / name).write_bytes(content)
    load_refused(tmp_path / name, "runs the code in it")


def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def loop(model):
    body = helper.make_graph([], "body", [], [])
    node = helper.make_node("Loop", ["", ""], [], body=body)
    model.graph.node.insert(0, node)


def custom(model):
    model.graph.node[0].domain = "ai.onnx.contrib"


def function(model):
    model.functions.add(name="f", domain="x")


def terabytes(model):
    model.graph.initializer[0].dims[0] = 2**40


def constant(model):
    tensor = numpy_helper.from_array(np.zeros(1, np.float32))
    tensor.dims[0] = 2**40
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))


def allocation(model):
    """The graph asks for 4 TB when it runs."""
    shape = numpy_helper.from_array(np.array([2**40], np.int64), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["much"]))
    last = model.graph.output[0].name
    model.graph.node.append(helper.make_node("ReduceSum", ["much"], ["sum"]))
    model.graph.node.append(helper.make_node("Add", [last, "sum"], ["other"]))
    model.graph.output[0].name = "other"


def other_shape(model):
    model.graph.node.append(helper.make_node("Size", ["magnitude"], ["size"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("size", TensorProto.INT64, []))


def other_values(model):
    model.graph.node.append(helper.make_node("Exp", ["magnitude"], ["e"]))
    model.graph.node.append(helper.make_node("Exp", ["e"], ["f"]))
    model.graph.node.append(helper.make_node("Sum", ["mask", "f"], ["g"]))
    model.graph.output[0].name = "g"


def second_input(model):
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def not_a_number(model):
    tensor = next(t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT)
    tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()


def no_metadata(model):
    del model.metadata_props[:]


def metadata(**changes):
    def change(model):
        description = json.loads(model.metadata_props[0].value)
        for key, value in changes.items():
            description["config"][key] = value
        model.metadata_props[0].value = json.dumps(description)

    return change


GRAPHS = {
    "external data": (external, "in another file"),
    "loop": (loop, "a loop or branch"),
    "custom operator": (custom, "no standard operator"),
    "function": (function, "plain graph"),
    "claims terabytes": (terabytes, "claims"),
    "constant claims terabytes": (constant, "claims"),
    "allocates terabytes": (allocation, "ONNX Runtime"),
    "another shape": (other_shape, "ONNX Runtime|masks"),
    "values that are no masks": (other_values, "ONNX Runtime|no masks"),
    "weights that are no numbers": (not_a_number, "no masks"),
    "second input": (second_input, "one input"),
    "no metadata": (no_metadata, "metadata"),
    "target is a path": (
        metadata(target="../../x", data={"stems": ["../../x"]}),
        "not a name for a file",
    ),
    "other channels": (metadata(audio={"sample_rate": 44100, "channels": 2}), "ONNX Runtime"),
    "other transform": (
        metadata(stft={"n_fft": 2**20, "win_length": 512, "hop_length": 128}),
        "ONNX Runtime",
    ),
    "two targets for one mask": (
        metadata(target=["vocals", "drums"]),
        "gives masks",
    ),
    "configuration is a text": (metadata(audio="44100"), "do not fit"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(graph, tmp_path, name):
    change, message = GRAPHS[name]
    model = onnx.load_from_string(graph)
    change(model)
    path = tmp_path / "evil.onnx"
    path.write_bytes(model.SerializeToString())
    load_refused(path, message)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"PK\x03\x04", pickle.dumps(3)])
def test_files_that_are_no_graphs(tmp_path, content):
    (tmp_path / "evil.onnx").write_bytes(content)
    load_refused(tmp_path / "evil.onnx", "ONNX|exported|metadata")


def test_commands_give_one_line(command, folder, songs):
    edited(folder, "config", "model", "_target_", value="os.system")
    before = sorted(folder.parent.rglob("*"))
    source = next(songs.rglob("mixture.wav"))
    for name, *arguments in (
        ("separate", f"input={source}", f"output={folder.parent / 'out'}"),
        ("evaluate", "data=stem_folder", f"data.root={songs}"),
        ("export", "format=onnx"),
        ("publish", "name=x", "licence=CC0", f"output={folder.parent}"),
    ):
        assert "not of auralflow_pl" in command(name, f"ckpt={folder}", *arguments).error
    assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize("name", BROKEN)
def test_export_and_publish_give_one_line(folder, name):
    """Called with a configuration, of which each composition takes long."""
    keys, value, message = BROKEN[name]
    edited(folder, *keys, value=value)
    before = sorted(folder.parent.rglob("*"))
    for function, given in (
        (export, composed("export", "ckpt=x", "format=onnx")),
        (publish, composed("publish", "ckpt=x", "name=x", "licence=CC0", "output=x")),
    ):
        given.ckpt = str(folder)
        given.output = str(folder.parent / "x.onnx" if function is export else folder.parent)
        with pytest.raises(InputError, match=message) as caught:
            function(given)
        assert "\n" not in str(caught.value)
    assert sorted(folder.parent.rglob("*")) == before


def test_a_model_with_texts_of_others_can_be_published(command, folder):
    edited(folder, "config", "data", "name", value="x\n# fake heading\n\x1b[31m \ud800")
    output = folder.parent / "out"
    done = command("publish", f"ckpt={folder}", "name=x", "licence=CC0", f"output={output}")
    assert done.code == 0, done.err
    assert (output / "x.yaml").read_text(encoding="utf-8").replace("\n", "").isprintable()
