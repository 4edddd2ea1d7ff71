"""The scripts for a GPU machine, run on the CPU with tiny settings."""

import importlib
import json
import logging
import shutil
import sys

import pytest
import soundfile
import torch
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.errors import InputError
from auralflow_pl.separator.load import load_separator
from support import REPOSITORY, TINY_SET

NAMES = sorted(path.stem for path in (REPOSITORY / "scripts" / "gpu").glob("*.py"))
STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture
def script(monkeypatch, capsys):
    """Run the main function of a script with keys; return what it returns and prints."""
    threads = torch.get_num_threads()

    def run(name, *keys):
        module = importlib.import_module(f"gpu.{name}")
        monkeypatch.setattr(sys, "argv", [name, *map(str, keys)])
        capsys.readouterr()
        code = module.main()
        return code, capsys.readouterr().out

    yield run
    torch.set_num_threads(threads)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_refuses_unknown_keys_and_asks_for_what_is_missing(name, script):
    with pytest.raises(OmegaConfBaseException):
        script(name, "nonsense=1")
    with pytest.raises(InputError, match="missing required key"):
        script(name)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Songs of four stems, mono in two channels, and voices of no song at 48 kHz."""
    root = tmp_path_factory.mktemp("sound")
    for number, place in enumerate(("train/a", "train/b", "valid/c", "test/d")):
        (root / "songs" / place).mkdir(parents=True)
        for row, stem in enumerate(STEMS):
            torch.manual_seed(4 * number + row)
            noise = 0.1 * torch.randn(44100, 1).expand(-1, 2).numpy()
            soundfile.write(root / "songs" / place / f"{stem}.wav", noise, 44100)
    for stem in ("vocals", "accompaniment"):
        (root / stem).mkdir()
        soundfile.write(root / stem / "x.flac", 0.1 * torch.randn(48000, 2).numpy(), 48000)
    return root


@pytest.fixture(scope="module")
def packed(folders, tmp_path_factory):
    """A pack of both."""
    module = importlib.import_module("gpu.pack")
    out = tmp_path_factory.mktemp("pack")
    loose = {"vocals": str(folders / "vocals"), "accompaniment": [str(folders / "accompaniment")]}
    sets = {
        "songs": {"layout": "stem_folder", "root": str(folders / "songs")},
        "solo": {
            "layout": "unaligned",
            "folders": loose,
            "stems": ["vocals", "accompaniment"],
            "bandwidth": 20000,
        },
    }
    groups = {"accompaniment": ["drums", "bass", "other"]}
    module.make_pack(module.Options(str(out), sets, groups=groups, wheels=[], mono=["solo"]))
    return out / "sound.zip"


def test_a_pack_is_smaller_and_holds_what_training_needs(packed, folders, tmp_path):
    shutil.unpack_archive(packed, tmp_path)
    files = list(tmp_path.rglob("*.ogg"))
    assert len(files) == 3 * len(STEMS) + 2
    assert {(soundfile.info(f).samplerate, soundfile.info(f).channels) for f in files} == {
        (44100, 1)
    }
    assert {soundfile.info(f).frames for f in files} == {44100}
    assert 8 * packed.stat().st_size < sum(
        path.stat().st_size for path in folders.rglob("*") if path.is_file()
    )
    content = json.loads((tmp_path / "data.json").read_text())
    assert content["sets"]["solo"]["folders"] == {
        "vocals": "solo/0",
        "accompaniment": ["solo/1"],
    }


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"limit_mib": 0.01}, r"limit_mib=0.01: the pack has \d+\.\d MiB; lower quality"),
        ({"sets": {"x": {"layout": "pairs", "root": "."}}}, "sets.x.layout=pairs"),
        ({"sets": {"x": {"layout": "stem_folder", "root": "nowhere"}}}, "nowhere: no such folder"),
        ({"mono": ["y"]}, "mono: y is not one of the sets"),
        ({"quality": 2.0}, "quality=2"),
    ],
)
def test_a_pack_that_cannot_be_made_leaves_nothing(changes, message, folders, tmp_path):
    module = importlib.import_module("gpu.pack")
    songs = {"layout": "stem_folder", "root": str(folders / "songs" / "train")}
    given = {"sets": {"songs": songs}, "wheels": [], "minutes": {}} | changes
    with pytest.raises(InputError, match=message):
        module.make_pack(module.Options(str(tmp_path / "out"), **given))
    assert not (tmp_path / "out").exists()


def test_a_training_leaves_files_that_travel_and_goes_on(packed, tmp_path):
    keys = [
        "model.width=2",
        "model.levels=3",
        "chunk_seconds=0.5",
        "data.chunks_per_epoch=4",
        "data.batch_size=2",
        "data.num_workers=0",
        "logger=none",
        "silent=true",
        "trainer.accelerator=cpu",
    ]
    out = tmp_path / "out"
    module = importlib.import_module("gpu.train")
    options = module.Options(
        str(packed), str(tmp_path / "run"), str(out), 0.005, None, 0.05, 20, keys
    )
    module.train(options)
    first = torch.load(tmp_path / "run/training/checkpoints/last.ckpt", weights_only=True)
    assert all(path.stat().st_size <= 0.05 * 2**20 for path in out.iterdir())
    assert load_separator(out / "model.zip").targets == ("vocals",)
    options.run, options.back = str(tmp_path / "other"), str(out)  # another machine
    module.train(options)
    second = torch.load(tmp_path / "other/training/checkpoints/last.ckpt", weights_only=True)
    assert second["global_step"] > first["global_step"] > 0


def test_the_table_of_measurements_is_written(script, songs, tmp_path):
    tiny = ",".join([*TINY_SET, "model.width=2", "model.levels=3", f"data.root={songs}"])
    keys = [
        f"out={tmp_path}",
        *("device=cpu", "rounds=1", "steps=1", "seconds=2", "files=1"),
        *("networks=[simple]", "variants=[fp32]", "parts=[training,separation,scoring]"),
        f"overrides=[{tiny},chunk_seconds=0.5,data.batch_size=1]",
    ]
    _, printed = script("bench", *keys)
    assert "% of the bandwidth" in printed
    assert printed.count("times real time") == 4
    assert (tmp_path / "bench.md").read_text() == printed


def test_the_results_of_the_checks_are_written(script, tmp_path):
    code, printed = script("check", f"out={tmp_path}", "device=cpu", "select=kept_on and si_sdr")
    assert code == 0
    found = json.loads((tmp_path / "check.json").read_text())
    assert [test["outcome"] for test in found["tests"]] == ["passed"]
    assert "1 passed, 0 failed, 0 skipped" in printed
    assert (tmp_path / "check.txt").read_text() in printed
