"""Networks of open-unmix as they were published: read, used, and refused with one line."""

import hashlib
import json
import os
import shutil
import zipfile

import pytest
import soundfile
import torch
import yaml
from openunmix.model import OpenUnmix

from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.errors import InputError
from auralflow_pl.separator.build import build_separator
from auralflow_pl.separator.load import load_separator
from support.web import Web, ranged

SETTINGS = {"nfft": 256, "nhop": 64, "sample_rate": 16000, "nb_channels": 2}


def state(channels=2, freq=129, hidden=8, heard=90, **more):
    """A state dict with what files of version 1.0 hold beside the network."""
    network = OpenUnmix(freq, channels, hidden, max_bin=heard)
    window = torch.hann_window(2 * freq - 2)
    more = {"sample_rate": torch.tensor(16000.0), **more}
    return {**network.state_dict(), "stft.window": window, "transform.0.window": window, **more}


def save(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.fixture
def folder(tmp_path):
    """A model of two targets, as the training of open-unmix writes it."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("drums", "vocals"):
        save(folder / f"{name}.pth", state())
    (folder / "separator.json").write_text(json.dumps(SETTINGS))
    return folder


@torch.no_grad()
def test_a_folder_is_one_model(folder):
    separator = load_separator(folder, simplify=False)
    assert separator.targets == ("vocals", "drums")
    assert (separator.sample_rate, separator.channels) == (16000, 2)
    stft = separator.stft
    assert (stft.n_fft, stft.win_length, stft.hop_length) == (256, 256, 64)
    assert stft.pad_mode == "reflect"
    magnitude = torch.rand(1, 2, 129, 30)
    mask = separator.network(magnitude).mask
    for number, name in enumerate(separator.targets):
        published = OpenUnmix(129, 2, 8, max_bin=90).eval()
        published.load_state_dict(torch.load(folder / f"{name}.pth"), strict=False)
        torch.testing.assert_close(mask[:, number] * magnitude, published(magnitude))


@pytest.mark.parametrize("zipped", [False, True])
def test_names_and_formats_of_published_files(tmp_path, zipped):
    """With the digest in the name, and with sample rate and hop as they were published."""
    content = state(1, 513, 4, None, sample_rate=torch.tensor(16000.0))
    path = save(tmp_path / "file", content, zipped)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    for name in (f"noise-{digits}.pth", "noise_01234567.pth", "noise.pth"):
        path = path.rename(tmp_path / name)
        checkpoint = load_checkpoint(path)
        assert checkpoint.config["target"] == ["noise"]
        assert checkpoint.config["audio"] == {"sample_rate": 16000, "channels": 1}
        assert checkpoint.config["stft"]["hop_length"] == 512
        assert build_separator(checkpoint).targets == ("noise",)


def test_the_published_sizes(tmp_path):
    """Those of umxhq, whose files say their sample rate."""
    content = state(2, 2049, 512, 1487, sample_rate=torch.tensor(44100.0))
    separator = load_separator(save(tmp_path / "vocals.pth", content, False))
    assert separator.sample_rate == 44100
    assert separator.stft.hop_length == 1024


def test_one_direction_and_other_layers_are_seen_in_the_weights(tmp_path):
    network = OpenUnmix(129, 1, 8, nb_layers=2, unidirectional=True)
    path = save(tmp_path / "vocals.pth", network.state_dict())
    (tmp_path / "vocals.json").write_text(json.dumps({"args": {"nfft": 256, "nhop": 128}}))
    with pytest.raises(InputError, match="n_fft=256, whose sample_rate the weights do not tell"):
        load_checkpoint(path)
    (tmp_path / "separator.json").write_text(json.dumps({"sample_rate": 8000.0}))
    checkpoint = load_checkpoint(path)
    assert checkpoint.config["stft"]["hop_length"] == 128
    assert checkpoint.config["audio"]["sample_rate"] == 8000
    network = build_separator(checkpoint, simplify=False).network
    assert (network.networks[0].lstm.num_layers, network.networks[0].lstm.bidirectional) == (2, 0)


def test_a_checkpoint_of_ours_may_have_the_suffix(ckpt, tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(ckpt.read_bytes())
    assert load_checkpoint(path).config == load_checkpoint(ckpt).config


def test_commands_take_files_and_folders(command, folder, songs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.wav", torch.randn(20000, 2).numpy() * 0.1, 44100)
    assert command("export", "ckpt=model", "output=exported").code == 0
    for output, *keys in (
        ("one", "ckpt=model/drums.pth", "engine=onnx"),
        ("two", "ckpt=model", "separation.wiener_steps=1"),
    ):
        done = command("separate", "input=song.wav", f"output={output}", *keys)
        assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "one" / "song").glob("*.wav")} == {"drums.wav"}
    assert len(list((tmp_path / "two" / "song").glob("*.wav"))) == 2
    audio = torch.randn(2, 5000)
    assert torch.equal(load_separator("exported")(audio), load_separator("model")(audio))
    keys = ["metrics=si_sdr", "data=stem_folder", f"data.root={songs}", "report=false"]
    done = command("evaluate", "ckpt=model", *keys)
    assert done.code == 0, done.err
    assert "2 tracks" in done.out
    assert "names no data set" in command("evaluate", "ckpt=model").error


def test_published_files_are_fetched_used_and_kept(command, tmp_path, monkeypatch):
    """From a registry with one file for each target, whose size only the server states."""
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.wav", torch.randn(20000, 1).numpy() * 0.1, 16000)
    entry = {"targets": ["speech", "noise"], "architecture": "open_unmix", "files": {}}
    entry |= {"data": "voices", "licence": "MIT"}
    with Web() as web:
        for target in entry["targets"]:
            content = save(tmp_path / "file", state(1, 513, 4, None)).read_bytes()
            digits = hashlib.sha256(content).hexdigest()[:8]
            name = f"{target}-{digits}.pth"
            source = web.add(f"/records/1/files/{name}", ranged(content))
            entry["files"][name] = {"sha256": digits, "sources": [source]}
        registry = {"format": 1, "models": {"tiny-umx": entry}}
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(registry))
        keys = ["registries=r.yaml", "engine=torch"]
        done = command("separate", "ckpt=pretrained:tiny-umx", "input=song.wav", *keys)
        assert done.code == 0, done.err
        assert len(web.asked) == 4  # for the size of each file, then for its bytes
    assert command("import-model", "tiny-umx", "registries=r.yaml").code == 0
    (tmp_path / "r.yaml").unlink()
    shutil.rmtree(tmp_path / "cache")
    assert load_separator("pretrained:tiny-umx").targets == ("speech", "noise")
    card = (tmp_path / "config/auralflow_pl/registry/tiny-umx/README.md").read_text()
    assert "## Licence\n\nMIT" in card
    assert f"{web.base}/records/1/files/speech-" in card.replace("\\", "")


class Bomb:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def changed(**more):
    return lambda path: save(path, state(**more))


def without(*keys):
    def write(path):
        save(path, {key: value for key, value in state().items() if key not in keys})

    return write


def bomb(zipped):
    return lambda path: save(path, {**state(), "x": Bomb(path.parent / "trace")}, zipped)


def cut(zipped, share):
    def write(path):
        content = save(path, state(), zipped).read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return write


def packed_again(path):
    """The archive of a network, compressed."""
    save(path, state())
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def zip_inside(path):
    save(path, state())
    content = path.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vocals.pth", content)


def huge_claim(path):
    """A storage that claims 2 GB in a file of some hundred bytes."""
    save(path, {"fc1.weight": torch.zeros(77)}, False)
    content = path.read_bytes()
    assert b"K\x4d" in content
    path.write_bytes(content.replace(b"K\x4d", b"J" + (2**31 - 1).to_bytes(4, "little")))


def script(path):
    """What tells TorchScript from other archives."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vocals/constants.pkl", b"")


HOSTILE = {
    "no state dict": (lambda path: save(path, [1, 2]), "no network of open-unmix"),
    "another network": (lambda path: save(path, {"a": torch.ones(2)}), "no network of open-unmix"),
    "not tensors": (lambda path: save(path, {**state(), "x": 1}), "x: expected names and tensors"),
    "a number as name": (lambda path: save(path, {**state(), 3: torch.ones(1)}), "3: expected"),
    "a key too many": (changed(more=torch.ones(3)), r"more is \(3,\), expected None"),
    "a key too few": (without("bn3.weight"), r"bn3.weight is None, expected \(258,\)"),
    "no sizes": (without("input_mean"), "input_mean is missing"),
    "another shape": (changed(output_mean=torch.ones(3, 3)), r"output_mean is \(3, 3\)"),
    "an empty shape": (changed(input_mean=torch.ones(0)), r"input_mean is \(0,\)"),
    "inputs that do not fit": (changed(input_mean=torch.ones(77)), "180 inputs for 77"),
    "a huge shape": (
        changed(**{"fc1.weight": torch.zeros(1).expand(10**9, 180)}),
        "do not fit|holds less",
    ),
    "a rate that is none": (changed(sample_rate=torch.tensor(float("nan"))), "sample_rate=nan"),
    "a huge rate": (changed(sample_rate=torch.tensor(1e30)), "holds a huge number"),
    "not finite": (changed(output_scale=torch.full((129,), float("inf"))), "NaN or infinite"),
    "a pickle that executes": (bomb(True), "could run code"),
    "an old pickle that executes": (bomb(False), "could run code"),
    "half an archive": (cut(True, 0.5), "damaged"),
    "half an old file": (cut(False, 0.5), "damaged"),
    "the beginning of an old file": (cut(False, 0.01), "damaged"),
    "an empty file": (lambda path: path.write_bytes(b""), "damaged"),
    "packed again": (packed_again, "entries are compressed"),
    "a zip inside": (zip_inside, "damaged"),
    "a huge claim": (huge_claim, "damaged"),
    "TorchScript": (script, "TorchScript"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_one_line(name, tmp_path):
    write, message = HOSTILE[name]
    path = tmp_path / "vocals.pth"
    (tmp_path / "separator.json").write_text('{"nhop": 64}')
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        load_separator(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))
    assert {file.name for file in tmp_path.iterdir()} == {"vocals.pth", "separator.json"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "separator.json beside it: not of open-unmix, or damaged"),
        ("[1]", "separator.json beside it: not of open-unmix, or damaged"),
        ("[" * 10**5, "separator.json beside it: not of open-unmix, or damaged"),
        ('{"nhop": "64"}', "nhop=64: expected a whole number"),
        ('{"nhop": 0}', "stft.hop_length=0: expected 1 to"),
        ('{"nhop": 64, "nfft": 512}', "n_fft is 256 here and 512 in the file beside"),
        (" " * 2**21, "separator.json is longer than"),
    ],
)
def test_settings_beside_are_checked(folder, text, message):
    (folder / "separator.json").write_text(text)
    with pytest.raises(InputError, match=message):
        load_separator(folder)


def test_files_that_do_not_belong_together_are_named(folder, ckpt):
    save(folder / "bass.pth", state(hidden=4))
    with pytest.raises(InputError, match=r"drums.pth: has other sizes than the files before"):
        load_separator(folder)
    (folder / "bass.pth").unlink()
    save(folder / "vocals_01234567.pth", state())
    with pytest.raises(InputError, match=r"vocals_01234567.pth: another file for vocals"):
        load_separator(folder)
    (folder / "vocals_01234567.pth").rename(folder / "other-01234567.pth")
    with pytest.raises(InputError, match=r"its SHA-256 begins with .*, its name says 01234567"):
        load_separator(folder)
    (folder / "other-01234567.pth").write_bytes(ckpt.read_bytes())
    (folder / "other-01234567.pth").rename(folder / "other.pth")
    with pytest.raises(InputError, match=r"other.pth: no network of open-unmix"):
        load_separator(folder)
