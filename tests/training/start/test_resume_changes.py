"""Runs that go on after their folder moved, or with other keys than before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from auralflow_pl.config.names import moved_paths
from support import TINY


@pytest.fixture
def go_on(command, songs):
    """Resume a run with some keys; its result."""

    def call(folder: Path, *keys: str, resume: str = "auto"):
        return command(
            "train",
            *(key for key in TINY if key != "silent=true"),
            f"data.root={songs}",
            f"paths.run_dir={folder}",
            f"resume={resume}",
            "print_config=false",
            *keys,
        )

    return call


def content(path: Path) -> dict:
    """A checkpoint."""
    return torch.load(path, weights_only=True)


def part(checkpoint: dict, name: str) -> dict:
    """State of a callback."""
    return next(state for key, state in checkpoint["callbacks"].items() if key.startswith(name))


@pytest.fixture
def moved(run, tmp_path) -> Path:
    """A run of one epoch, whose best was far better than its next epoch will be, moved away."""
    folder = shutil.copytree(run, tmp_path / "elsewhere" / "run")
    for path in (folder / "checkpoints").glob("*.ckpt"):
        state = content(path)
        part(state, "ModelCheckpoint")["best_model_score"] = torch.tensor(50.0)
        scores = part(state, "ModelCheckpoint")["best_k_models"]
        scores |= dict.fromkeys(scores, torch.tensor(50.0))
        torch.save(state, path)
    return folder


def test_a_moved_run_keeps_its_best(moved, go_on) -> None:
    best = (moved / "checkpoints" / "best.ckpt").read_bytes()
    done = go_on(moved, "trainer.max_epochs=2")
    assert done.code == 0, done.err
    assert (moved / "checkpoints" / "best.ckpt").read_bytes() == best
    assert f"best validation score 50.00 dB: {moved}" in done.out
    state = part(content(moved / "checkpoints" / "last.ckpt"), "ModelCheckpoint")
    assert state["dirpath"] == str(moved / "checkpoints")
    assert list(state["best_k_models"]) == [str(moved / "checkpoints" / "best.ckpt")]


def test_a_finished_run_that_moved_still_knows_its_best(moved, go_on) -> None:
    before = (moved / "config.yaml").read_text()
    assert f"best validation score 50.00 dB: {moved}" in go_on(moved).out
    assert (moved / "config.yaml").read_text() == before


def test_a_best_checkpoint_that_is_gone_is_written_anew(moved, go_on) -> None:
    (moved / "checkpoints" / "best.ckpt").unlink()
    done = go_on(moved, "trainer.max_epochs=2")
    assert (moved / "checkpoints" / "best.ckpt").is_file()
    assert "best validation score 50.00" not in done.out


def test_another_run_starts_without_the_best_of_the_first(moved, go_on, tmp_path) -> None:
    last = moved / "checkpoints" / "last.ckpt"
    assert go_on(tmp_path / "new", "trainer.max_epochs=2", resume=str(last)).code == 0
    state = part(content(tmp_path / "new" / "checkpoints" / "best.ckpt"), "ModelCheckpoint")
    assert state["best_model_score"] < 50


def test_changed_keys_are_told_and_in_force(run, go_on, tmp_path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    done = go_on(
        folder,
        "trainer.max_epochs=2",
        "optimizer.lr=1e-5",
        "optimizer.betas=[0.8,0.9]",
        "scheduler.patience=3",
        "scheduler.factor=0.7",
        "loss=si_sdr",
    )
    assert done.code == 0, done.err
    state = content(folder / "checkpoints" / "last.ckpt")
    group = state["optimizer_states"][0]["param_groups"][0]
    assert (group["lr"], group["betas"]) == (pytest.approx(1e-5), (0.8, 0.9))
    assert state["optimizer_states"][0]["state"][0]["step"] == 6  # the moments are kept
    schedule = state["auralflow_pl"]["schedule"]
    assert (schedule["patience"], schedule["factor"]) == (2, 0.7)
    assert "train/si_sdr_epoch" not in done.out
    for told in ("optimizer.lr=1e-05 (was 0.003)", "scheduler.patience=3 (was 5)", "step 3"):
        assert told in done.out
    assert str(folder) not in done.out.split("changed since")[1].splitlines()[0]
    assert OmegaConf.load(folder / "config.yaml").optimizer.lr == 1e-5


def test_only_paths_move_with_a_run_folder() -> None:
    saved = {
        "run": "a",
        "best": "a/best.ckpt",
        "other": "ab/c",
        "devices": "auto",
        "all": ["a/x"],
    }
    assert moved_paths(saved, "a", "/b") == {
        "run": "/b",
        "best": "/b/best.ckpt",
        "other": "ab/c",
        "devices": "auto",
        "all": ["/b/x"],
    }


def test_the_rate_of_a_schedule_is_scaled(run, go_on, tmp_path) -> None:
    folder = tmp_path / "run"
    cosine = ("scheduler=cosine", "scheduler.warmup=0")
    assert go_on(folder, *cosine, "trainer.max_epochs=2").code == 0
    done = go_on(folder, *cosine, "trainer.max_epochs=4", "optimizer.lr=6e-3")
    assert done.code == 0, done.err
    assert "learning_rate changes from 6e-05 to 0.00" in done.out
    assert "ends at step 12" in done.out
    state = content(folder / "checkpoints" / "last.ckpt")
    assert state["lr_schedulers"][0]["base_lrs"] == [6e-3]
    rate = state["optimizer_states"][0]["param_groups"][0]["lr"]
    assert rate == pytest.approx(6e-3 * 0.01, rel=1e-6)


def test_step_schedules_keep_their_reductions(go_on, tmp_path) -> None:
    folder = tmp_path / "run"
    step = ("scheduler=step", "scheduler.every_n_epochs=1")
    assert go_on(folder, *step).code == 0
    done = go_on(folder, *step, "trainer.max_epochs=2", "optimizer.lr=3e-2", "scheduler.factor=0.1")
    assert done.code == 0, done.err
    group = content(folder / "checkpoints" / "last.ckpt")["optimizer_states"][0]["param_groups"][0]
    assert group["lr"] == pytest.approx(3e-2 * 0.5 * 0.1)


def test_patience_of_early_stopping_may_change(go_on, tmp_path) -> None:
    folder = tmp_path / "run"
    stopping = ("callbacks=[default,early_stopping]", "callbacks.early_stopping.min_delta=100")
    assert go_on(folder, *stopping, "trainer.max_epochs=2").code == 0
    done = go_on(folder, *stopping, "trainer.max_epochs=9", "callbacks.early_stopping.patience=2")
    assert done.code == 0, done.err
    assert content(folder / "checkpoints" / "last.ckpt")["epoch"] == 2


def test_another_number_of_learning_rates_is_refused(go_on, tmp_path, songs) -> None:
    folder = tmp_path / "run"
    lstm = ("model=lstm", "model.bottleneck.hidden_size=4")
    assert go_on(folder, *lstm).code == 0
    before = (folder / "config.yaml").read_text()
    done = go_on(folder, *lstm, "optimizer.lr_recurrent=1e-4", "trainer.max_epochs=2")
    assert done.code != 0
    told = "learning_rate, learning_rate_recurrent here, learning_rate in the checkpoint; keep"
    assert told in done.error
    assert (folder / "config.yaml").read_text() == before


def test_an_epoch_ends_as_it_began(run, go_on, tmp_path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    last = folder / "checkpoints" / "last.ckpt"
    state = content(last)
    state["StemDataModule"]["taken"] = 2
    torch.save(state, last)
    for key, was in (("data.batch_size", 2), ("data.chunks_per_epoch", 6), ("trainer.devices", 1)):
        done = go_on(folder, f"{key}={was + 2}", "trainer.max_epochs=2")
        assert done.code != 0
        assert f"{key} was {was} there, is {was + 2} here; finish the epoch" in done.error


def test_the_checkpoint_with_the_most_steps_is_resumed(run, go_on, tmp_path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    assert go_on(folder, "trainer.max_epochs=2").code == 0
    older = folder / "checkpoints" / "older.ckpt"
    shutil.copy(run / "checkpoints" / "last.ckpt", older)  # the newest file
    done = go_on(folder, "trainer.max_epochs=3")
    assert "those of step 6" in done.out
