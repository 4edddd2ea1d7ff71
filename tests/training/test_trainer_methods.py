"""What users of Lightning expect of a task and a data module besides `Trainer.fit`."""

import pytest
import torch
from pytorch_lightning.tuner import Tuner

import auralflow_pl
from auralflow_pl.errors import InputError
from auralflow_pl.training import SeparationTask, build_data, build_task, build_trainer
from support import TINY

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
    pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step"),
]


@pytest.fixture
def parts(songs, tmp_path):
    """Trainer, and task and data module as its arguments."""
    overrides = [*TINY, f"data.root={songs}", f"paths.run_dir={tmp_path}", "callbacks=none"]
    config = auralflow_pl.compose("train", [*overrides, "metrics=[si_sdr,sdr]"])
    task = {"model": build_task(config), "datamodule": build_data(config)}
    return build_trainer(config), task


@pytest.mark.filterwarnings("ignore:Be aware that when using:UserWarning")  # a plain Trainer
def test_a_test_scores_as_evaluate_does(command, ckpt, parts, tmp_path):
    trainer, task = parts
    task["ckpt_path"] = ckpt
    found = trainer.test(**task, verbose=False, weights_only=True)
    done = command("evaluate", f"ckpt={ckpt}", f"output={tmp_path}", "report=false", "engine=torch")
    assert done.code == 0, done.err
    for label, heading in (("SI-SDR", "si_sdr"), ("SDR (MDX)", "sdr")):
        line = next(line for line in done.out.splitlines() if f" {label} [dB]" in line)
        mean = float(line.partition("mean over tracks")[2].split()[0])
        assert found[0][f"test/{heading}"] == pytest.approx(mean, abs=0.006)


def test_tracks_are_predicted_and_audio_is_separated(parts):
    trainer, task = parts
    first, second = trainer.predict(**task)
    assert first.shape == second.shape == (1, 2, 6 * 44100)
    track = task["datamodule"].listed("test")[0]
    audio = track.read()[0]
    torch.testing.assert_close(task["model"].eval()(audio, track.sample_rate), first)


def test_a_training_after_a_validation(parts):
    trainer, task = parts
    before = trainer.validate(**task, verbose=False)[0]["val/si_sdr"]
    trainer.fit(**task)
    assert trainer.callback_metrics["val/si_sdr"] != before


def test_the_rate_that_is_found_reaches_optimizer_and_checkpoint(parts, tmp_path):
    trainer, task = parts
    tuner, model = Tuner(trainer), task["model"]
    trainer.fit_loop.max_epochs = 5
    finder = tuner.lr_find(**task, num_training=14, early_stop_threshold=None, min_lr=1e-4)
    found = finder.suggestion(skip_begin=1, skip_end=1)
    model.lr = found
    assert found != 3e-3
    assert [group["lr"] for group in model.make_optimizer(model).param_groups] == [found]
    assert model.hparams.optimizer["lr"] == model.config["optimizer"]["lr"] == found
    assert tuner.scale_batch_size(**task, max_trials=2, steps_per_trial=1) == 4
    assert task["datamodule"].batch_size == 4


def test_hparams_are_the_configuration_and_files_are_loaded_safely(ckpt, parts):
    model = parts[1]["model"]
    assert dict(model.hparams) == model.config
    saved = torch.load(ckpt, weights_only=True)
    assert saved["hyper_parameters"]["model"] == model.config["model"]
    with pytest.raises(InputError, match=r"use auralflow_pl\.load"):
        SeparationTask.load_from_checkpoint(ckpt)
