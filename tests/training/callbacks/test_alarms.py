"""Alarms: none in a sound training, one line for each fault that is planted."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
import soundfile
import torch
from omegaconf import OmegaConf

from auralflow_pl.errors import InputError
from auralflow_pl.training.callbacks.alarms import ALARM_KINDS, ALARMS_FILE, Alarms
from support import TINY, composed

TARGETS = ("vocals", "drums")


class Lesson:
    """As much of a Trainer and a task as alarms need; every `validate` is one validation."""

    sanity_checking = fast_dev_run = should_stop = False
    current_epoch, global_step, overfit_batches = 0, 1000, 0.0

    def __init__(self, folder, **options):
        self.callback_metrics, self.sums = {}, {}
        self.strategy = SimpleNamespace(reduce=lambda value, **_: value)
        self.separator, self.stems, self.device = SimpleNamespace(targets=TARGETS), TARGETS, "cpu"
        self.alarms = Alarms(folder, **options)

    def train(self, stems, **more):
        self.alarms.on_train_batch_end(self, self, None, {"stems": stems, **more}, 0)

    def validate(self, estimate, target, mixture, si_sdr=(0.0, 0.0), losses=None):
        if losses:
            self.callback_metrics["val/loss"] = torch.tensor(losses[1])
            self.sums = {"loss": torch.tensor(losses[0] * 4), "chunks": torch.tensor(4.0)}
        scores = torch.tensor(si_sdr)
        outputs = {"estimate": estimate, "target": target, "si_sdr": scores}
        self.alarms.on_validation_epoch_start(self, self)
        self.alarms.on_validation_batch_end(self, self, outputs, {"mixture": mixture}, 0)
        self.alarms.on_validation_end(self, self)
        return [(one["kind"], one["target"]) for one in self.alarms.given]


@pytest.fixture
def lesson(tmp_path):
    return lambda **options: Lesson(tmp_path, **options)


@pytest.fixture
def sounds():
    """Targets, their mixture, and estimates that are better than it: 0.9 of it is gone."""
    target = torch.randn(2, 2, 4000, generator=torch.Generator().manual_seed(0)) * 0.1
    mixture = target.sum(0)
    return 0.1 * mixture + 0.9 * target, target, mixture


def test_good_estimates_ring_nothing(lesson, sounds):
    here = lesson(validations=1)
    here.train(torch.ones(300, 2, 2, 10))
    assert here.validate(*sounds, (5.0, 5.0), (1.0, 1.0)) == []


def test_estimates_no_better_than_the_mixture(lesson, sounds):
    """The gain is that over the SI-SDR of the mixture, here 0 dB."""
    here = lesson(validations=3)
    rung = [here.validate(*sounds, (-3.0, score)) for score in (-3.0, 1.0, -3.0, -3.0)]
    assert rung == [[], [], [("no_gain", "vocals")], [("no_gain", "vocals")]]
    assert "in 3 validations in a row (-2.9" in here.alarms.given[0]["text"]
    here.validate(*sounds, (-3.0, -3.0))  # the third in a row for the other target
    assert here.alarms.given[1]["target"] == "drums"


def test_estimates_are_not_judged_in_the_first_steps(lesson, sounds):
    here = lesson(validations=1)
    here.global_step = 199
    assert here.validate(*sounds, (-3.0, -3.0)) == []
    here.global_step = 200
    assert len(here.validate(*sounds, (-3.0, -3.0))) == 2


def test_silent_estimates_and_masks_of_one(lesson, sounds):
    estimate, target, mixture = sounds
    estimate[0], estimate[1] = 1e-5 * estimate[0], mixture * 1.001
    rung = lesson().validate(estimate, target, mixture)
    assert rung == [("silent_estimate", "vocals"), ("saturated_mask", "drums")]


def test_a_target_that_is_the_mixture_may_be_all_of_it(lesson, sounds):
    _, target, _ = sounds
    target[1] = 0
    assert lesson().validate(target, target, target[0]) == []


def test_a_loss_that_only_falls_in_training(lesson, sounds):
    here = lesson(validations=2)
    good = (5.0, 5.0)
    rung = [
        here.validate(*sounds, good, losses)
        for losses in ((1.0, 1.0), (0.9, 0.8), (0.8, 0.81), (0.7, 0.82), (0.6, 0.9))
    ]
    assert rung == [[], [], [], [], [("overfitting", None)]]
    text = here.alarms.given[0]["text"]
    assert "in training (0.6), but has not in 3 validations (best 0.8, now 0.9)" in text
    steady = lesson(validations=2)
    for losses in ((1.0, 1.0), (1.0, 1.2), (1.0, 1.2), (1.0, 1.2)):
        assert steady.validate(*sounds, good, losses) == []


def test_the_state_goes_on_after_a_resume(lesson, sounds):
    here, again = lesson(validations=2), lesson(validations=2)
    here.validate(*sounds, (-3.0, 5.0))
    again.alarms.load_state_dict(here.alarms.state_dict())
    assert again.validate(*sounds, (-3.0, 5.0)) == [("no_gain", "vocals")]
    third = lesson(validations=2)
    third.alarms.load_state_dict(again.alarms.state_dict())
    assert len(third.validate(*sounds, (-3.0, 5.0))) == 1  # said once


def test_a_stem_within_an_undivided_sum_is_heard(lesson, sounds):
    """The sum lies in the place of the first stem; only a stem that no sound holds is missed."""
    stems = torch.zeros(300, 2, 2, 10)
    stems[:, 0] = 1
    alone = torch.eye(2, dtype=torch.bool).expand(300, 2, 2)
    both = torch.tensor([[True, True], [False, False]]).expand(300, 2, 2)
    here, there = lesson(), lesson()
    here.train(stems, holds=both)
    there.train(stems, holds=alone)
    assert here.validate(*sounds, (5.0, 5.0)) == []
    assert there.validate(*sounds, (5.0, 5.0)) == [("unheard_stem", "drums")]


def test_every_key_that_is_named_exists():
    config = composed("train", "callbacks=[default,early_stopping]", "augment=remix")
    for kind in ALARM_KINDS.values():
        for key in kind.keys:
            assert OmegaConf.select(config, key) is not None, key


def test_a_stem_that_is_never_heard_stops_a_training(command, songs, tmp_path):
    """With silent drums in all songs; the run folder keeps the alarm, and a resume its state."""
    root, run = tmp_path / "songs", tmp_path / "run"
    shutil.copytree(songs, root)
    for path in root.glob("*/*/drums.*"):
        audio, rate = soundfile.read(path)
        soundfile.write(path, 0 * audio, rate)
    for path in root.glob("*/*/mixture.*"):
        path.unlink()
    keys = [
        *TINY,
        "data=stem_folder",
        f"data.root={root}",
        f"paths.run_dir={run}",
        "data.chunks_per_epoch=200",
        "data.batch_size=20",
        "chunk_seconds=0.1",
        "trainer.max_epochs=3",
        "callbacks.alarms.stop=true",
        "silent=false",
    ]
    done = command("train", *[key for key in keys if not key.startswith("data.source.")])
    assert done.code == 0, done.err
    (alarm,) = json.loads((run / "alarms.json").read_text(encoding="utf-8"))
    assert (alarm["kind"], alarm["target"], alarm["epoch"]) == ("unheard_stem", "drums", 0)
    log = (run / "train.log").read_text(encoding="utf-8")
    assert "alarm: stem drums: silent in all of the 200 chunks drawn so far; likely cause:" in log
    assert "training stops: callbacks.alarms.stop is true" in log
    assert log.count("alarm:") == 1


def test_a_sound_training_leaves_no_alarms(command, songs, tmp_path):
    done = command("train", *TINY, f"data.root={songs}", f"paths.run_dir={tmp_path / 'run'}")
    assert done.code == 0, done.err
    assert not (tmp_path / "run" / "alarms.json").exists()


def test_the_number_of_validations_is_checked():
    with pytest.raises(InputError, match="validations=0: expected at least 1"):
        Alarms("x", validations=0)


@pytest.mark.parametrize("given", [0, 1])
def test_alarms_of_an_earlier_attempt_are_left_out(lesson, given, tmp_path):
    here, path = lesson(), tmp_path / ALARMS_FILE
    path.write_text('[{"kind": "no_gain"}, {"kind": "overfitting"}]')
    here.alarms.given = [{"kind": "no_gain"}] * given
    here.alarms.on_train_start(here, here)
    assert (json.loads(path.read_text()) if path.exists() else []) == here.alarms.given
