"""Parts of one's own, from the package in `support/own_parts`, in all that a run goes through."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile

import pytest

import auralflow_pl
from auralflow_pl.cli import main as cli
from auralflow_pl.config import search_path
from auralflow_pl.errors import InputError
from support import REPOSITORY, TINY, TINY_SET, ended, forked, option_names, python

PACKAGE = REPOSITORY / "tests" / "support" / "own_parts"
CONFIGS = PACKAGE / "own_parts" / "configs"
OWN_NETWORKS = ("small_vae", "two_layers")

WAYS = [["--config-dir", str(CONFIGS)], ["hydra.searchpath=[pkg://own_parts.configs]"]]
OWN = [  # a training of seconds with network, loss and data of the package
    "experiment=own",
    *(key for key in TINY if key not in TINY_SET and not key.startswith("model.levels")),
]


@pytest.fixture
def importable(monkeypatch):
    """The package in this process."""
    monkeypatch.syspath_prepend(PACKAGE)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "own_parts"]:
        del sys.modules[name]


@pytest.fixture
def installed(importable, tmp_path, monkeypatch):
    """What `pip install` leaves of the package beside its files: metadata with the entry point."""
    folder = tmp_path / "site" / "own_parts-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: own-parts\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[auralflow_pl.configs]\nown_parts = own_parts.configs\n"
    )
    monkeypatch.syspath_prepend(folder.parent)
    search_path.installed_folders.cache_clear()
    yield folder
    search_path.installed_folders.cache_clear()


def shown(capsys, name, *arguments):
    """What help, `config` or completion print."""
    cli.show_help(name, [*arguments])
    return capsys.readouterr().out


def test_own_parts_are_composed_with_ours_by_every_way(importable):
    keys = ["experiment=own", "data.root=songs", "model.width=8", "paths.run_dir=run"]
    by_folder = auralflow_pl.compose("train", keys, [CONFIGS])
    by_package = auralflow_pl.compose("train", [*keys, *WAYS[1]])
    assert by_folder == by_package
    assert by_folder.model == {"_target_": "own_parts.network.TwoLayers", "channels": 1, "width": 8}
    assert by_folder.data.batch_size == 32  # inherited
    network = auralflow_pl.build_network(by_folder, trust=["own_parts"])
    assert type(network).__name__ == "TwoLayers"
    with pytest.raises(InputError, match=r"not of auralflow_pl; pass trust=\[own_parts\]"):
        auralflow_pl.build_network(by_folder)


def test_an_installed_package_needs_no_flag(installed, capsys):
    assert auralflow_pl.compose("train", ["model=two_layers"]).model.width == 4
    names = ", ".join(sorted([*option_names("model"), *OWN_NETWORKS]))
    assert f"model=simple of {names}" in " ".join(shown(capsys, "train", "--help").split())


def test_an_entry_point_that_is_wrong_is_left_out_and_named(installed, caplog):
    (installed / "entry_points.txt").write_text(
        "[auralflow_pl.configs]\nmine = own_parts.nothing\n"
    )
    assert auralflow_pl.compose("train").model.width == 16
    assert "own-parts: its entry point mine=own_parts.nothing" in caplog.text


@pytest.mark.parametrize("way", WAYS, ids=["config_dir", "searchpath"])
def test_own_parts_are_shown(importable, capsys, way):
    text = " ".join(shown(capsys, "train", "--help", *way).split())
    assert f"model=simple of {', '.join(sorted([*option_names('model'), *OWN_NETWORKS]))}" in text
    text = shown(capsys, "config", "model", "model=two_layers", *way)
    assert "channels between the two layers" in text
    assert "two_layers       Two convolutions and nothing else." in text
    line = f"auralflow train {' '.join(way)} model=t"
    assert shown(capsys, "completion", "line", line) == "model=two_layers\n"
    line = f"auralflow train {' '.join(way)} model=two_layers model.w"
    assert shown(capsys, "completion", "line", line) == "model.width=\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--config-dir", "nowhere"], "--config-dir nowhere: no such folder; expected one with"),
        (["--config-dir"], "--config-dir: expected a folder of configurations"),
        (["hydra.searchpath=[pkg://nowhere.x]"], "hydra.searchpath: pkg://nowhere.x is not there"),
        (["hydra.searchpath=pkg"], "hydra.searchpath must be a list of strings"),
        (
            [*WAYS[0], "model=two_layer"],
            "model=two_layer: no such option, did you mean 'two_layers'",
        ),
        ([*WAYS[0], "loss=[l1,powr]"], "loss=powr: no such option, did you mean 'power'?"),
        ([*WAYS[0], "model=two_layers", "model.widht=3"], "did you mean 'model.width'?"),
        ([*WAYS[0], "model=null"], "simple, small_vae"),
    ],
)
def test_mistakes_with_own_parts(command, importable, arguments, message):
    assert message in command("train", *arguments).error


def test_mistakes_in_python():
    with pytest.raises(InputError, match="cannot be imported; install own_parts"):
        auralflow_pl.compose("train", ["model=two_layers"], [CONFIGS])
    with pytest.raises(InputError, match="nowhere: no such folder"):
        auralflow_pl.compose("train", [], ["nowhere"])
    with pytest.raises(InputError, match="is not there; expected a folder, or pkg://"):
        auralflow_pl.compose("train", ["hydra.searchpath=[pkg://nowhere]"])


def with_package(name, *arguments):
    """Run a command in a fork that has the package in its sys.path, as no other process has."""

    def work():
        sys.path.insert(0, str(PACKAGE))
        sys.argv = [name, *arguments]
        cli.run(name)

    return ended(*forked(work))


@pytest.fixture(scope="module")
def trained(songs, tmp_path_factory):
    """A run folder of the package's parts, trained by two processes."""
    folder = tmp_path_factory.mktemp("own") / "run"
    keys = [*OWN, "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]
    places = [f"data.root={songs}", f"paths.run_dir={folder}"]
    code, text = with_package("train", *WAYS[0], *keys, *places)
    assert code == 0, text
    return folder


def test_own_parts_need_trust(trained, command):
    assert "pass trust=[own_parts]" in command("evaluate", f"ckpt={trained}").error


@pytest.mark.parametrize(
    "spread",
    [["jobs=2"], ["trainer=ddp", "trainer.devices=2", *WAYS[1], "data=own_songs"]],
    ids=["jobs", "ddp"],
)
def test_own_parts_are_evaluated_by_two_processes(spread, trained, songs, tmp_path):
    keys = [f"ckpt={trained}", "trust=[own_parts]", "report=false", "device=cpu"]
    if "jobs=2" not in spread:
        keys += [f"data.root={songs}"]
    code, text = with_package("evaluate", *keys, *spread, f"output={tmp_path}")
    assert code == 0, text
    scores = json.loads((tmp_path / "eval.json").read_text())
    assert scores["aggregates"][0]["tracks"] == 1  # the other one is left out


def test_own_parts_are_swept(command, importable, songs, tmp_path):
    keys = [key for key in OWN if not key.startswith("model.")]
    places = [f"data.root={songs}", f"paths.run_dir={tmp_path / 'sweep'}"]
    done = command("train", "-m", *WAYS[0], "model=two_layers,small_vae", *keys, *places)
    assert done.code == 0, done.err
    results = [json.loads(path.read_text()) for path in (tmp_path / "sweep").glob("*/result.json")]
    assert {next(k for k in r["overrides"] if k.startswith("model=")) for r in results} == {
        "model=two_layers",
        "model=small_vae",
    }
    separator = auralflow_pl.load(
        tmp_path / "sweep" / "0" / "checkpoints" / "best.ckpt", trust=["own_parts"]
    )
    assert separator.targets == ("vocals",)


def test_the_package_can_be_built(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "own", ignore=shutil.ignore_patterns("__pycache__"))
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, tmp_path / "own"]
    assert python(*build).code == 0
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)  # all that pip does with a package of pure Python
    code = "import auralflow_pl; print(auralflow_pl.compose(overrides=['model=two_layers']).model)"
    done = python("-c", code, cwd=tmp_path, PYTHONPATH=f"{REPOSITORY / 'src'}:{target}")
    assert "own_parts.network.TwoLayers" in done.out, done.err
