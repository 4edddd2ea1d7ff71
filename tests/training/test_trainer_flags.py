"""Flags of Lightning's Trainer as Lightning documents them, given as `trainer.<flag>=`."""

import csv
import inspect

import pytest
import pytorch_lightning as pl
from omegaconf import OmegaConf

import auralflow_pl
from auralflow_pl.config.explain import SET_BY
from auralflow_pl.errors import InputError
from auralflow_pl.system.progress import Progress
from auralflow_pl.training import build_data, build_task, build_trainer
from support import TINY, composed

FLAGS = inspect.signature(pl.Trainer.__init__).parameters
OF_OURS = {  # whose value differs from Lightning's
    "accelerator",
    "devices",
    "gradient_clip_val",
    "log_every_n_steps",
    "max_epochs",
    "num_sanity_val_steps",
    "use_distributed_sampler",
}


@pytest.fixture
def train(command, songs, tmp_path):
    def call(*arguments):
        return command(
            "train",
            *TINY,
            "silent=false",
            "print_config=false",
            f"data.root={songs}",
            f"paths.run_dir={tmp_path / 'run'}",
            *arguments,
        )

    return call


def rows(folder, name):
    """Values of a metric by step."""
    with (folder / "csv" / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row.get(name)]


def test_every_flag_of_lightning_is_a_key_or_is_set_by_one():
    keys = composed("train").trainer
    assert {*keys, *SET_BY} == {*FLAGS, "_target_"} - {"self"}
    assert not {*keys} & {*SET_BY}
    same = {key: keys[key] for key in keys if key not in OF_OURS and key != "_target_"}
    assert same == {key: FLAGS[key].default for key in same}


@pytest.mark.parametrize("argument", ["trainer.logger=null", "+trainer.precision=16"])
def test_what_another_key_sets_is_refused_by_naming_that_key(argument):
    flag = argument.lstrip("+").partition("=")[0].partition(".")[2]
    with pytest.raises(InputError, match=rf"^trainer\.{flag}: is set by another key; use {flag}="):
        auralflow_pl.compose("train", [argument])
    for key in SET_BY.values():
        assert OmegaConf.select(composed("train"), key.partition("=")[0]) is not None


def test_fast_dev_run_leaves_nothing(train, tmp_path):
    done = train(
        "trainer.fast_dev_run=true", "logger=[csv,tensorboard]", "callbacks=[default,media]"
    )
    assert done.code == 0, done.err
    assert "all parts ran" in done.out
    assert not (tmp_path / "run").exists()
    assert "starts from the beginning" in train("trainer.fast_dev_run=true", "resume=x.ckpt").error


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
def test_overfitting_repeats_the_first_chunks(songs, tmp_path):
    heard = []

    class Listener(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            heard.append(batch["number"].tolist())

    folders = [f"data.root={songs}", f"paths.run_dir={tmp_path / 'run'}"]
    flags = ["trainer.overfit_batches=2", "trainer.max_epochs=2", "callbacks=none"]
    config = auralflow_pl.compose("train", [*TINY, *folders, *flags])
    trainer = build_trainer(config)
    trainer.callbacks.append(Listener())
    trainer.fit(build_task(config), datamodule=build_data(config))
    assert heard == [[0, 1], [2, 3]] * 2


def test_steps_that_end_within_an_epoch_are_validated_and_the_next_epoch_is_whole(train, tmp_path):
    often = ["logger=csv", "trainer.log_every_n_steps=1", "trainer.max_epochs=2"]
    done = train(*often, "trainer.max_steps=2")
    assert "best validation score" in done.out
    assert rows(tmp_path / "run", "val/si_sdr") == [1]
    done = train(*often, "resume=auto")
    assert done.code == 0, done.err
    assert rows(tmp_path / "run", "train/loss_step") == [0, 1, 2, 3, 4]
    assert rows(tmp_path / "run", "val/si_sdr") == [1, 4]


@pytest.mark.parametrize(
    "flags, said",
    [
        (["trainer.barebones=true", "logger=csv"], "nothing is saved, no score is kept"),
        (["trainer.max_time={hours:1}", "trainer.detect_anomaly=true"], "best validation score"),
        (["trainer.max_time=00:01:00:00", "trainer.limit_val_batches=0"], "no epoch was validated"),
    ],
)
def test_flags_do_what_they_say(train, tmp_path, flags, said):
    done = train(*flags, "trainer.limit_train_batches=1")
    assert done.code == 0, done.err
    assert said in done.out
    assert "nan" not in done.out
    assert (tmp_path / "run" / "checkpoints").exists() != ("barebones" in flags[0])


@pytest.mark.parametrize(
    "key, steps, epochs", [("log_step_loss", [], [2]), ("log_epoch_loss", [0, 1, 2], [])]
)
def test_the_losses_of_steps_and_of_epochs_are_switched_separately(
    train, tmp_path, key, steps, epochs
):
    logged = ["logger=csv", "trainer.log_every_n_steps=1", f"{key}=false"]
    done = train(
        *logged, "callbacks=best_checkpoint", "callbacks.best_checkpoint.monitor=train/loss_epoch"
    )
    assert done.code == 0, done.err
    folder = tmp_path / "run"
    assert rows(folder, "train/loss_step") == rows(folder, "train/l1_step") == steps
    assert rows(folder, "train/loss_epoch") == rows(folder, "train/l1_epoch") == epochs
    assert rows(folder, "train/learning_rate") == [0, 1, 2]
    assert (folder / "checkpoints" / "best.ckpt").is_file()


def test_no_steps_are_logged_and_the_profile_is_a_file(train, tmp_path):
    done = train("trainer.log_every_n_steps=0", "logger=csv", "trainer.profiler=simple")
    assert done.code == 0, done.err
    assert rows(tmp_path / "run", "train/loss_step") == []
    assert rows(tmp_path / "run", "throughput/steps_per_second") == []
    assert rows(tmp_path / "run", "train/loss_epoch") == [2]
    assert "optimizer_step" in (tmp_path / "run" / "fit-profile.txt").read_text()


def test_without_callbacks_no_weights_are_saved_and_slow_precision_is_told(train, tmp_path):
    done = train("callbacks=none", "precision=fp16")
    assert done.code == 0, done.err
    assert "no weights are saved" in done.out
    assert "a CPU computes float16 slowly" in done.out
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.yaml", "train.log"]


def test_early_stopping_says_why(train):
    stop = ["callbacks=[default,early_stopping]", "callbacks.early_stopping.patience=1"]
    done = train(*stop, "callbacks.early_stopping.min_delta=99", "trainer.max_epochs=9")
    assert "early stopping: Monitored metric val/si_sdr did not improve" in done.out


def test_silent_hides_text_and_bars(train):
    done = train("silent=true", "trainer.limit_train_batches=1")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert Progress(range(3)).disable
    train("trainer.fast_dev_run=true")
    assert not Progress(range(3)).disable
