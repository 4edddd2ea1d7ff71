"""Everything made before the package was divided into folders (commit 0650e85) still works.

`made_at_0650e85.zip` holds run folders of the three networks, exports, ONNX files, a registry, a
sweep and finished separations, all written by the code of that commit.
"""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import auralflow_pl

NETWORKS = ("simple", "lstm", "vae")
SMALL = [  # the keys with which the runs were made
    "data.source.train_tracks=3",
    "data.source.valid_tracks=1",
    "data.source.test_tracks=2",
    "data.source.seconds=6",
    "model.width=2",
    "model.levels=3",
    "stft.n_fft=256",
    "stft.win_length=256",
    "stft.hop_length=128",
    "chunk_seconds=0.5",
    "data.chunks_per_epoch=6",
    "data.batch_size=2",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "data.root=songs",
]
SMALL_BOTTLENECK = ["model.bottleneck.hidden_size=4", "model.bottleneck.recurrent_depth=1"]


@pytest.fixture
def made(tmp_path, songs, monkeypatch) -> Path:
    """A copy of what was made, with its songs beside it."""
    with zipfile.ZipFile(Path(__file__).with_name("made_at_0650e85.zip")) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "songs").symlink_to(songs)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NETWORKS)
def test_all_files_of_a_model_load_and_separate_alike(made, name):
    audio = torch.randn(2, 44100, generator=torch.Generator().manual_seed(1)) / 10
    of_training = auralflow_pl.load(f"runs/{name}/checkpoints/best.ckpt")(audio, 44100)
    assert of_training.abs().max() > 0
    for path in (f"export/{name}", f"export/{name}.onnx"):
        torch.testing.assert_close(auralflow_pl.load(path)(audio, 44100), of_training)


def test_a_published_model_loads_by_its_name(made):
    loaded = auralflow_pl.load("pretrained:old-vocals", registries=["published/old-vocals.yaml"])
    audio = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1)) / 10
    expected = auralflow_pl.load("runs/simple/checkpoints/best.ckpt")(audio, 44100)
    torch.testing.assert_close(loaded(audio, 44100), expected)


# Lightning says that the run folder was moved.
MOVED = pytest.mark.filterwarnings("ignore:The dirpath has changed")


@MOVED
def test_a_run_with_average_and_schedule_goes_on(made, command):
    before = torch.load("runs/vae/checkpoints/last.ckpt", weights_only=True)
    assert before["global_step"] == 3
    done = command(
        "train",
        *SMALL,
        *SMALL_BOTTLENECK,
        "model=vae",
        "callbacks=[default,weight_average,early_stopping]",
        "logger=[tensorboard,csv]",
        "paths.run_dir=runs/vae",
        "trainer.max_epochs=2",
        "resume=auto",
        "print_config=false",
    )
    assert done.code == 0, done.err
    after = torch.load("runs/vae/checkpoints/last.ckpt", weights_only=True)
    assert after["global_step"] == 6
    assert after["callbacks"].keys() >= before["callbacks"].keys()
    with Path("runs/vae/csv/metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert min(steps) < 3 <= max(steps)


@MOVED
def test_a_run_of_another_optimizer_and_schedule_goes_on(made, command):
    keys = [*SMALL, "optimizer=sgd", "scheduler=cosine", "logger=none", "paths.run_dir=runs/sgd"]
    done = command("train", *keys, "trainer.max_epochs=2", "resume=auto", "print_config=false")
    assert done.code == 0, done.err
    assert torch.load("runs/sgd/checkpoints/last.ckpt", weights_only=True)["global_step"] == 6


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_is_evaluated_without_its_configuration(made, command, name):
    done = command("evaluate", f"ckpt=runs/{name}/checkpoints/best.ckpt", "report=false")
    assert done.code == 0, done.err
    assert "2 tracks, 0 undefined" in done.out


def test_evaluations_are_compared(made, command):
    done = command("compare", "runs/simple/eval/best/songs-test", "runs/vae/eval/best/songs-test")
    assert done.code == 0, done.err
    assert "si_sdr" in done.out or "SI-SDR" in done.out


@pytest.mark.parametrize(
    "model, output, more",
    [
        ("runs/vae/checkpoints/best.ckpt", "separated", ["residual=true"]),
        ("export/lstm", "separated_export", []),
    ],
)
def test_a_finished_separation_is_not_done_again(made, command, model, output, more):
    files = {path: path.stat().st_mtime_ns for path in (made / output).rglob("*")}
    keys = [f"ckpt={model}", "input=song.flac", f"output={output}", "format=flac", "engine=torch"]
    done = command("separate", *keys, *more)
    assert done.code == 0, done.err
    assert "is there already" in done.out + done.err
    assert {path: path.stat().st_mtime_ns for path in (made / output).rglob("*")} == files


def test_stems_have_not_changed(made, command):
    keys = ["ckpt=runs/vae/checkpoints/best.ckpt", "format=flac", "residual=true", "engine=torch"]
    assert command("separate", *keys, "input=song.flac", "output=again").code == 0
    for stem in ("vocals", "residual"):
        before, after = (made / folder / f"song/{stem}.flac" for folder in ("separated", "again"))
        (old, rate), (new, rate_now) = (soundfile.read(p, dtype="int16") for p in (before, after))
        assert rate == rate_now
        # Processors of several makers round sums differently, so a sample may lie on the next step.
        assert np.abs(new.astype(int) - old).max() <= 1
    reports = [
        json.loads((made / f / "song/report.json").read_text()) for f in ("separated", "again")
    ]
    assert reports[0]["key"] == reports[1]["key"]


def test_jobs_of_a_sweep_that_have_a_result_are_not_run_again(made, command):
    results = {path: path.read_bytes() for path in made.glob("runs/sweep/*/result.json")}
    assert len(results) == 2
    keys = [
        *SMALL,
        "trainer.max_epochs=1",
        "silent=true",
        "logger=none",
        "paths.run_dir=runs/sweep",
    ]
    # the keys in the order of then: a result belongs to its overrides
    written = json.loads(next(iter(results.values())))["overrides"]
    keys = [key for key in written if not key.startswith("loss=")] + ["paths.run_dir=runs/sweep"]
    done = command("train", "-m", *keys, "loss=l1,l2")
    assert done.code == 0, done.err
    assert {path: path.read_bytes() for path in made.glob("runs/sweep/*/result.json")} == results
    assert not list(made.glob("runs/sweep/*/checkpoints"))
    assert (made / "runs/sweep/summary.csv").is_file()


OLD_YAML = {
    "optimizer/mine": "_target_: auralflow_pl.optimizers.adam\n_partial_: true\nlr: 0.002\n",
    "scheduler/mine": "_target_: auralflow_pl.schedules.cosine\n_partial_: true\n",
    "callbacks/mine": "autosave:\n  _target_: auralflow_pl.callbacks.autosave.Autosave\n"
    "  path: ${paths.run_dir}/checkpoints/last.ckpt\n",
    "logger/mine": "csv:\n  _target_: auralflow_pl.loggers.CSVLogger\n"
    "  save_dir: ${paths.run_dir}/csv\n",
}


def test_yaml_files_of_users_with_the_former_names_are_read(made, command):
    for name, text in OLD_YAML.items():
        path = made / "user" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    chosen = [f"{name.partition('/')[0]}=mine" for name in OLD_YAML]
    keys = [*SMALL, "trainer.max_epochs=1", "paths.run_dir=runs/user", "silent=true"]
    done = command("train", "--config-dir", "user", *keys, *chosen)
    assert done.code == 0, done.err
    assert (made / "runs/user/csv/metrics.csv").is_file()
    assert (made / "runs/user/checkpoints/last.ckpt").is_file()


def test_a_saved_configuration_is_a_configuration(made, command):
    saved = ["--config-path", made / "runs/sgd", "--config-name", "config"]
    done = command("train", *saved, "paths.run_dir=runs/again")
    assert done.code == 0, done.err
    assert (made / "runs/again/config.yaml").is_file()
