"""Plateaus, averages, sentinel and loss scale, in real trainings."""

from __future__ import annotations

import csv
import re
import shutil

import numpy as np
import pytest
import soundfile
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback

from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.errors import InputError
from auralflow_pl.system.device import computes_in_bfloat16
from auralflow_pl.training.build import build_data, build_task
from auralflow_pl.training.callbacks.plateau_stopping import PlateauStopping
from auralflow_pl.training.callbacks.preflight import step_cost
from auralflow_pl.training.callbacks.weight_average import WeightAverage
from auralflow_pl.training.schedules import cosine_factor
from support import REPOSITORY, TINY, TINY_SET, composed, script

REPLAY = REPOSITORY / "scripts" / "replay.py"


@pytest.fixture
def train(command, songs, tmp_path):
    def call(*arguments, name="run"):
        folder = tmp_path / name
        done = command("train", *TINY, f"data.root={songs}", f"paths.run_dir={folder}", *arguments)
        return folder, done

    return call


def table(folder):
    with (folder / "csv" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def column(folder, name):
    return [float(row[name]) for row in table(folder) if row.get(name)]


def test_plateaus_lower_the_rate_and_end_the_training(train):
    """With a rate of (nearly) zero nothing ever rises."""
    folder, done = train(
        "optimizer.lr=1e-12",
        "callbacks.plateau_stopping.stop_patience=2",
        "callbacks.plateau_stopping.max_plateaus=2",
        "scheduler.factor=0.5",
        "trainer.max_epochs=20",
        "logger=csv",
        "silent=false",
        "trainer.log_every_n_steps=1",
    )
    assert done.code == 0, done.err
    assert len(column(folder, "val/si_sdr")) == 5  # the best, then twice two
    rates = column(folder, "train/learning_rate")
    assert rates == pytest.approx([1e-12] * 9 + [5e-13] * 6)
    log = (folder / "train.log").read_text(encoding="utf-8")
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ .*plateau 2 of 2", log, re.MULTILINE)


class Score:
    """As much of a Trainer as a plateau needs."""

    sanity_checking = False
    should_stop = False

    def __init__(self, value):
        self.callback_metrics = {"val/si_sdr": torch.tensor(value)}


def test_a_plateau_is_counted_by_its_rule():
    stopping = PlateauStopping(stop_patience=2, max_plateaus=2, min_delta=0.1)
    seen = []
    for value in (0.0, 0.05, 0.2, 0.25, 0.29, 0.5, 0.5, 0.5):
        trainer = Score(value)
        stopping.on_validation_end(trainer, None)
        seen.append((stopping.plateaus, trainer.should_stop))
    assert seen == [(0, False)] * 4 + [(1, False)] * 3 + [(2, True)]
    resumed = PlateauStopping(2, 2, 0.1)
    resumed.load_state_dict(stopping.state_dict())
    resumed.on_train_start(trainer := Score(0.0), None)
    assert trainer.should_stop


def test_the_average_is_validated_and_saved_beside_the_raw_weights(train):
    folder, done = train("callbacks=[default,weight_average]", "logger=csv", "optimizer.lr=1e-2")
    assert done.code == 0, done.err
    for name in ("best", "last"):
        content = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        key = "separator.network.encoder.levels.0.conv.weight"
        saved, raw = content["state_dict"][key], content["current_model_state"][key]
        assert not torch.equal(saved, raw)
        assert torch.equal(
            load_checkpoint(folder / "checkpoints" / f"{name}.ckpt").weights[
                "encoder.levels.0.conv.weight"
            ],
            saved,
        )
    plain, done = train("logger=csv", "optimizer.lr=1e-2", name="plain")
    assert column(plain, "train/loss_epoch") == column(folder, "train/loss_epoch")
    assert column(plain, "val/si_sdr") != column(folder, "val/si_sdr")
    weights = load_checkpoint(plain / "checkpoints" / "last.ckpt").weights
    assert torch.equal(weights["encoder.levels.0.conv.weight"], raw)


def test_the_average_of_known_numbers():
    average = WeightAverage(0.5)
    values = [torch.zeros(1)]
    for count, expected in ((0, 0.9), (1, 0.9818), (20, 0.9909)):
        average.average(values, [torch.ones(1)], torch.tensor(count))
        assert float(values[0]) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(InputError, match=r"decay=1: expected at least 0, less than 1"):
        WeightAverage(1)


class Poison(Callback):
    """Spoils the second batch of the first epoch."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 1:
            batch["mixture"][1, 0, 100] = float("inf")


def test_what_is_not_finite_is_kept_and_can_be_replayed(train, songs):
    folder, done = train(
        "+callbacks.poison._target_=training.callbacks.test_stopping.Poison",
        "callbacks.autosave.minutes=0",
    )
    assert "step 1: the loss is not finite; no checkpoint holds this step" in done.error
    bundle = folder / "numerics" / "step-1.pt"
    assert f"python scripts/replay.py {bundle}" in done.error
    weights = load_checkpoint(folder / "checkpoints" / "last.ckpt").weights
    assert all(torch.isfinite(value).all() for value in weights.values())
    content = torch.load(bundle, weights_only=True)
    assert content["chunks"] == [2, 3]
    code, text = script(REPLAY, bundle)
    assert code == 0, text
    assert "chunks [2, 3], place (seed, epoch, step, device) [0, 0, 1, 0]" in text
    assert "chunk 3: mixture up to inf" in text
    assert "train/loss: nan" in text
    assert "gradients that are not finite" in text
    code, text = script(REPLAY, "nothing.pt")
    assert code == 1
    assert text.startswith("error: ")
    assert "expected one argument" in text


def test_fp16_logs_its_scale_and_stops_when_steps_keep_overflowing(train):
    folder, done = train(
        "precision=fp16", "logger=csv", "trainer.log_every_n_steps=1", "data.chunks_per_epoch=24"
    )
    assert done.code == 0, done.err
    scales = column(folder, "precision/loss_scale")
    assert scales[0] == 2**16 / 2 ** column(folder, "precision/skipped_steps")[0]
    _, done = train(
        "precision=fp16",
        "precision.init_scale=1e30",
        "callbacks.loss_scale.max_skipped=3",
        "data.chunks_per_epoch=24",
        name="overflows",
    )
    assert "precision=fp16: 4 steps in a row overflowed" in done.error
    assert "use precision=bf16 or fp32" in done.error


def test_norms_of_every_layer_at_every_second_step(train):
    folder, done = train(
        "callbacks=[default,log_weights]",
        "callbacks.log_weights.every_n_steps=2",
        "logger=csv",
    )
    assert done.code == 0, done.err
    key = "weights/decoder.head.weight"
    assert [row["step"] for row in table(folder) if row[key]] == ["0", "2"]
    assert all(value > 0 for value in column(folder, key))
    assert column(folder, "gradients/decoder.head.weight")


def test_precision_auto_is_one_of_the_others(train):
    folder, done = train("precision=auto")
    assert done.code == 0, done.err
    saved = load_checkpoint(folder / "checkpoints" / "last.ckpt").config["precision"]
    assert saved == {"precision": saved["precision"], "channels_last": True, "init_scale": None}
    possible = ["32-true", "bf16-mixed"] if computes_in_bfloat16("cpu") else ["32-true"]
    assert saved["precision"] in possible


@pytest.mark.parametrize(
    "argument, message",
    [
        ("callbacks.plateau_stopping.max_plateaus=0", "max_plateaus=0: expected at least 1"),
        (
            "callbacks.plateau_stopping.monitor=val/sdr",
            "is not logged; did you mean 'val/si",
        ),
        ("scheduler.monitor=val/sdr", "monitor=val/sdr: is not logged; did you mean 'val/si_sdr'"),
        ("optimizer.lr_recurrent=1e-4", "has no recurrent layers; use null"),
        ("callbacks=[default,pruning]", "callbacks=pruning: no such option"),
        ("trainer=dpp", "trainer=dpp: no such option, did you mean 'ddp'?"),
        ("sweep=optuno", "sweep=optuno: no such option, did you mean 'optuna'?"),
    ],
)
def test_mistakes(train, argument, message):
    assert message in train(argument)[1].error


def test_a_second_rate_for_recurrent_layers(train):
    folder, done = train(
        "model=lstm",
        "model.bottleneck.hidden_size=4",
        "optimizer.lr_recurrent=1e-5",
        "logger=csv",
        "trainer.log_every_n_steps=1",
    )
    assert done.code == 0, done.err
    assert column(folder, "train/learning_rate_recurrent") == [1e-5] * 3
    assert column(folder, "train/learning_rate") == [3e-3] * 3


@pytest.mark.parametrize(
    "choices, rates",
    [
        (
            ["optimizer=adam", "scheduler=step", "scheduler.every_n_epochs=1", "precision=bf16"],
            [3e-3] * 3 + [1.5e-3] * 3,
        ),
        (
            ["optimizer=sgd", "scheduler=cosine", "trainer.accumulate_grad_batches=2"],
            [3e-2 * cosine_factor(step / 4, 0.05, 0.01) for step in (1, 2, 3, 4)],
        ),
        (["optimizer=rmsprop", "scheduler=none", "trainer.gradient_clip_val=null"], [1e-3] * 6),
    ],
)
def test_optimizers_schedules_and_accumulation(train, choices, rates):
    """Batches per epoch: 3; a step is made of two of them, or of what is left of the epoch."""
    keys = ["trainer.max_epochs=2", "logger=csv", "trainer.log_every_n_steps=1"]
    folder, done = train(*choices, *keys)
    assert done.code == 0, done.err
    assert column(folder, "train/learning_rate") == pytest.approx(rates)
    weights = load_checkpoint(folder / "checkpoints" / "last.ckpt").weights
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.filterwarnings("ignore:The distutils package is deprecated")  # by torch
def test_a_compiled_network_trains_to_the_same_weights(train):
    small = ["model.dropout=0", "model.levels=1", "model.width=1", "val_chunks=0"]
    plain, _ = train(*small)
    compiled, done = train(*small, "compile=true", name="compiled")
    assert done.code == 0, done.err
    one, two = (load_checkpoint(f / "checkpoints" / "last.ckpt").weights for f in (plain, compiled))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


def test_the_cost_of_a_step_is_that_worked_out_by_hand(songs):
    config = composed("train", *TINY, f"data.root={songs}", "data.batch_size=3")
    data, task = build_data(config), build_task(config)
    task.separator.network = torch.nn.Conv2d(data.channels, 5, 1, bias=False)
    frames = round(data.chunk_seconds * data.sample_rate)
    bins = task.separator.stft(torch.zeros(frames)).numel()
    weights = 5 * data.channels
    cost = step_cost(task, data)
    assert cost.flop == 3 * 2 * weights * 3 * bins  # three passes, of a batch of three
    numbers = (
        4 * weights + weights + 3 * data.channels * bins
    )  # as stored, and as kept for backward
    assert cost.memory == 4 * numbers


def test_the_cost_of_a_step_grows_with_the_batch(songs):
    config = composed("train", *TINY, f"data.root={songs}", "data.batch_size=3")
    data, task = build_data(config), build_task(config)
    one = step_cost(task, data)
    data.batch_size = 6
    two = step_cost(task, data)
    assert two.flop == pytest.approx(2 * one.flop)
    weights = 4 * 4 * sum(p.numel() for p in task.parameters())
    assert two.memory - weights == pytest.approx(2 * (one.memory - weights), rel=0.05)


def test_losses_are_validated_and_can_be_monitored(train):
    """With a rate of (nearly) zero no loss falls, so everything stops as soon as it may."""
    folder, done = train(
        "loss=[l1,si_sdr]",
        "model=vae",
        "model.bottleneck.hidden_size=4",
        "optimizer.lr=1e-12",
        "callbacks=[default,early_stopping]",
        "callbacks.early_stopping.monitor=val/loss",
        "callbacks.early_stopping.patience=3",
        "callbacks.plateau_stopping.monitor=val/loss",
        "callbacks.plateau_stopping.stop_patience=2",
        "callbacks.best_checkpoint.monitor=val/loss/l1",
        "trainer.max_epochs=20",
        "logger=csv",
        "silent=false",
    )
    assert done.code == 0, done.err
    losses = column(folder, "val/loss")
    assert len(losses) == 4  # the best, then three that are not better
    parts = [column(folder, f"val/loss/{name}")[0] for name in ("l1", "si_sdr", "kl")]
    assert sum(parts) == pytest.approx(losses[0], rel=1e-5)
    assert f"best val/loss/l1 {min(column(folder, 'val/loss/l1')):.4g}" in done.out
    config = OmegaConf.load(folder / "config.yaml")
    assert {config.callbacks[name].mode for name in ("early_stopping", "plateau_stopping")} == {
        "min"
    }
    assert (config.scheduler.monitor, config.scheduler.mode) == ("val/loss", "min")


def test_a_falling_loss_is_no_plateau():
    stopping = PlateauStopping(2, 1, 0.1, monitor="val/loss", mode="min")
    for value in (3.0, 2.0, 1.0, 0.95, 0.95):
        trainer = Score(value)
        trainer.callback_metrics = {"val/loss": trainer.callback_metrics["val/si_sdr"]}
        stopping.on_validation_end(trainer, None)
    assert stopping.plateaus == 1
    assert trainer.should_stop
    other = PlateauStopping(2, 1, 0.1)
    other.load_state_dict(stopping.state_dict())
    assert other.plateaus == 0  # those of another metric


def test_chunks_of_the_validation_loss_cover_the_track():
    config = composed("train", *TINY, "val_chunks=3")
    task = build_task(config)
    rate = task.separator.sample_rate
    track = torch.arange(4 * rate, dtype=torch.float32)[None]
    batch = {"mixture": track, "stems": track.expand(4, 1, -1), "sample_rate": torch.tensor(rate)}
    chunks = list(task.chunks_for_loss(batch))
    starts = [int(chunk["mixture"][0, 0, 0]) for chunk in chunks]
    assert starts == [0, round(1.75 * rate), round(3.5 * rate)]
    assert chunks[-1]["stems"].shape == (1, 4, 1, rate // 2)
    short = batch | {key: batch[key][..., :100] for key in ("mixture", "stems")}
    (chunk,) = task.chunks_for_loss(short)
    assert chunk["mixture"].shape == (1, 1, rate // 2)


@pytest.mark.parametrize("key", ["callbacks.early_stopping", "callbacks.best_checkpoint"])
def test_a_monitor_that_is_not_logged_is_refused_before_training(train, key):
    folder, done = train("callbacks=[default,early_stopping]", f"{key}.monitor=val/sisdr")
    assert done.code != 0
    assert f"{key}.monitor=val/sisdr: is not logged; did you mean 'val/si_sdr'?" in done.error
    assert not (folder / "checkpoints").exists()


def test_metrics_and_penalties_can_be_monitored():
    config = composed("train", *TINY, "model=vae", "metrics=[si_sdr,leak]", "target=[vocals,bass]")
    names = build_task(config).logged_names()
    assert {"val/leak", "val/si_sdr/bass", "train/kl_epoch", "val/loss/kl"} <= {*names}


def test_a_target_that_no_validation_song_has_is_told_before_training(command, songs, tmp_path):
    root = shutil.copytree(songs, tmp_path / "songs")
    for path in (root / "valid").glob("*/vocals.wav"):
        info = soundfile.info(path)
        soundfile.write(path, np.zeros((info.frames, info.channels)), info.samplerate)
    own = [key for key in TINY if key not in TINY_SET]
    folder = tmp_path / "run"
    done = command(
        "train", *own, "data=stem_folder", f"data.root={root}", f"paths.run_dir={folder}"
    )
    assert done.code != 0
    assert "target: vocals silent in every validation track" in done.error
    assert not (folder / "checkpoints").exists()
