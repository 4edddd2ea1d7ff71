"""The package models/, installed beside this one: found, named, loaded, and heard."""

import os
import zipfile
from pathlib import Path

import pytest
import soundfile
import torch
from hatchling import build

import auralflow_pl
from auralflow_pl.audio.reading import read_streams
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.pretrained.cache import location
from auralflow_pl.pretrained.locations import installed_registries, output_root
from auralflow_pl.pretrained.registry import read_registries, read_registry
from auralflow_pl.system.files import file_sha256
from support import REPOSITORY

MOST_BYTES = 16 * 2**20


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A folder with the wheel of models/, as an installation leaves it."""
    folder, before = tmp_path_factory.mktemp("installed"), os.getcwd()  # noqa: PTH109
    os.chdir(REPOSITORY / "models")
    try:
        wheel = build.build_wheel(str(folder))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(folder / wheel) as archive:
        archive.extractall(folder)
    (folder / wheel).unlink()
    return folder


@pytest.fixture
def entries(unpacked, monkeypatch, tmp_path):
    """The models of the package, in their order."""
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(unpacked))
    assert installed_registries() == [unpacked / "auralflow_pl_models" / "registry.yaml"]
    return read_registry(installed_registries()[0])


def test_each_is_described_and_small_and_the_best_come_first(entries):
    for entry in entries:
        assert location(entry) == "folder"
        assert entry.targets == ("vocals",)
        assert read_registries()[entry.name].name == entry.name
        (file,) = entry.files
        folder = entry.registry.parent / entry.name
        assert file.sources == (str(folder),)
        weights = folder / "model.safetensors"
        assert weights.stat().st_size == file.size <= MOST_BYTES
        assert file_sha256(weights) == file.sha256
        card = (folder / "README.md").read_text("utf-8")
        for heading in ("Heard", "Rights", "Limits", "Scores on ", "Training data"):
            assert f"## {heading}" in card, (entry.name, heading)
        assert output_root(folder) == Path()  # nothing is written into the package
    values = [entry.metrics[0].values[0].value for entry in entries]
    assert values == sorted(values, reverse=True)


@torch.inference_mode()
def test_each_is_loaded_by_its_architecture_and_hears_a_singer(entries, excerpt):
    """The only real song here, whose singer none has heard."""
    mixture, *_, vocals = (stream.samples for stream in read_streams(excerpt))
    for entry in entries:
        separator = auralflow_pl.load(entry.architecture, target="vocals", engine="torch")
        gain = si_sdr(separator(mixture, 44100)[0], vocals) - si_sdr(mixture, vocals)
        least = 5 if entry.architecture == "causal" else 6  # it hears nothing of what comes later
        assert float(gain.mean()) > least, entry.name


def test_separate_takes_the_best_and_says_its_licence(entries, command, tmp_path):
    assert entries[0].name in command("models").out
    soundfile.write("song.wav", torch.randn(44100, 2).numpy() * 0.1, 44100)
    done = command("separate", "input=song.wav", "engine=torch")
    assert done.code == 0, done.err
    assert f"pretrained:{entries[0].name} is the best model" in done.out + done.err
    assert entries[0].licence in done.out + done.err
    assert (tmp_path / "separated" / "song" / "vocals.wav").is_file()
