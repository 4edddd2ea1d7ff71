"""Callback that says in one line each why a training will come to nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from auralflow_pl.errors import InputError
from auralflow_pl.metrics.scale_invariant import SILENCE_DB, is_silent, si_sdr
from auralflow_pl.system.files import write_json
from auralflow_pl.system.processes import rank
from auralflow_pl.training.task import SeparationTask
from auralflow_pl.training.track_steps import TrainingBatch

log = logging.getLogger(__name__)

ALARMS_FILE = "alarms.json"

LEAST_GAIN_DB = 0.3  # gain over the mixture; untrained networks reach up to 0.15 dB by chance

FEWEST_STEPS = 200  # before which estimates are not judged

NOTHING_DB = -60.0  # level of a silent estimate relative to its target

SAME_DB = -40.0  # level of the difference between an estimate and the mixture that it equals

RISE, FALL = 0.05, 0.02  # shares of a loss by which it rises, or falls, clearly

FEWEST_CHUNKS = 200  # in which every stem should have been heard

STATE_NAMES = ("given", "waited", "losses", "heard", "chunks")


class AlarmKind(NamedTuple):
    """What an alarm says: the finding, the likely cause, and the keys to turn."""

    finding: str
    cause: str
    keys: tuple[str, ...]

    def line(self, **values: Any) -> str:
        """The whole line."""
        found = self.finding.format(**values)
        return f"{found}; likely cause: {self.cause}; see {', '.join(self.keys)}"


ALARM_KINDS = {
    "no_gain": AlarmKind(
        "{target}: no better than the mixture in {count} validations in a row ({value:+.2f} dB)",
        "a learning rate that is too high or far too low, or stems that do not add up to the songs "
        "of the validation (`auralflow doctor`)",
        ("optimizer.lr", "loss", "data"),
    ),
    "silent_estimate": AlarmKind(
        "{target}: the estimates of all validation tracks are silent",
        "masks that became 0, as with a loss that silence satisfies or a learning rate that is too "
        "high",
        ("loss", "optimizer.lr", "model.mask_activation", "data.keep_silent"),
    ),
    "saturated_mask": AlarmKind(
        "{target}: the estimates of all validation tracks are the mixture",
        "masks that became 1, as with a learning rate that is too high, or a target that is nearly "
        "always alone",
        ("optimizer.lr", "model.mask_activation", "target"),
    ),
    "overfitting": AlarmKind(
        "the loss falls in training ({train:.4g}), but has not in {count} validations "
        "(best {best:.4g}, now {value:.4g})",
        "a network that learns the training songs by heart",
        ("augment", "data", "model.dropout", "optimizer.weight_decay", "callbacks.early_stopping"),
    ),
    "unheard_stem": AlarmKind(
        "stem {target}: silent in all of the {count} chunks drawn so far",
        "silent or missing files, or weights that never draw its songs (`auralflow doctor`)",
        ("data.stems", "data.silence_db", "data.balance"),
    ),
}


class Alarms(pl.Callback):
    """Warns when a training learns nothing, with the likely cause and the keys to turn.

    It uses what the training computes anyway, so it costs next to nothing. Every alarm is given
    once for a kind and target, as a warning in the log and in `alarms.json` of the run folder:

    - `no_gain`: the mean SI-SDR of a target was less than 0.3 dB above that of the mixture in the
      last `validations`,
    - `silent_estimate`: over all validation tracks, an estimate is 60 dB or more below its target,
    - `saturated_mask`: over all validation tracks, an estimate differs from the mixture by at most
      -40 dB, and its target by more; it is measured on the waveforms, since the masks of healthy
      networks are 0 in most bins,
    - `overfitting`: the validation loss is 5 % above the best one, which is `validations` ago,
      while the training loss has fallen by 2 %,
    - `unheard_stem`: a stem was below -80 dBFS in all of at least 200 training chunks.

    Estimates are not judged before step 200. With `trainer.overfit_batches` the last two are off.

    Args:
        folder: run folder.
        validations: number of validations that `no_gain` and `overfitting` wait.
        stop: stop the training at the first alarm.

    Raises:
        InputError: `validations` is less than 1.
    """

    def __init__(self, folder: str | Path, validations: int = 5, stop: bool = False) -> None:
        if validations < 1:
            raise InputError(f"callbacks.alarms.validations={validations}: expected at least 1")
        self.folder, self.validations, self.stop = Path(folder), validations, stop
        self.given: list[dict[str, Any]] = []
        self.waited: dict[str, int] = {}  # validations in a row without a gain, by target
        self.losses: list[list[float]] = []  # of training and validation, at each validation
        self.heard: list[str] = []  # stems, in training chunks
        self.chunks = 0
        self.energies: dict[str, Tensor] = {}  # of one validation, (targets,)
        self.track_gains: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: SeparationTask) -> None:  # noqa: ARG002
        """Keep in the file what was given up to the step at which the training begins."""
        self.write(trainer)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: SeparationTask,
        outputs: Any,  # noqa: ARG002
        batch: TrainingBatch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Note which stems are heard, until all are."""
        self.chunks += len(batch["stems"])
        if set(self.heard) >= set(pl_module.stems):
            return
        loud = batch["stems"].abs().amax((2, 3)) > 10 ** (SILENCE_DB / 20)  # (batch, stems)
        if "holds" in batch:  # a sound may be an undivided sum of stems
            loud = (loud.unsqueeze(-1) & batch["holds"]).any(1)
        found = zip(pl_module.stems, loud.any(0).tolist(), strict=True)
        self.heard = [name for name, on in found if on or name in self.heard]

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: SeparationTask) -> None:  # noqa: ARG002
        """Begin the sums of a validation."""
        self.energies, self.track_gains = {}, []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: SeparationTask,  # noqa: ARG002
        outputs: dict[str, Tensor],
        batch: TrainingBatch,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Add the energies and gains of a track."""
        estimate, target = (outputs[key].flatten(1) for key in ("estimate", "target"))
        mixture = batch["mixture"].flatten().expand_as(target)
        for name, one, other in (
            ("estimate", estimate, None),
            ("target", target, None),
            ("mixture", mixture, None),
            ("estimate error", estimate, mixture),
            ("target error", target, mixture),
        ):  # one whole track in memory at a time
            signal = one if other is None else one - other
            energy = signal.square().sum(-1, dtype=torch.float64).cpu()
            self.energies[name] = self.energies.get(name, 0.0) + energy
        gains = outputs["si_sdr"] - si_sdr(mixture, target)
        self.track_gains.append(gains.masked_fill(is_silent(target), torch.nan).cpu())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: SeparationTask) -> None:
        """Check everything after a validation."""
        if trainer.sanity_checking or not self.track_gains:
            return
        if trainer.global_step >= FEWEST_STEPS:
            self.check_estimates(trainer, pl_module)
        if not trainer.overfit_batches:
            self.check_losses(trainer, pl_module)
            self.check_stems(trainer, pl_module)

    def check_estimates(self, trainer: pl.Trainer, task: SeparationTask) -> None:
        """Gains over the mixture, silence, and equality with the mixture, of each target."""
        means = torch.stack(self.track_gains).nanmean(0).tolist()
        level = {name: 10 * energy.log10() for name, energy in self.energies.items()}
        silent = level["estimate"] < level["target"] + NOTHING_DB
        same = level["estimate error"] < level["mixture"] + SAME_DB
        same &= level["target error"] > level["mixture"] + SAME_DB
        for number, target in enumerate(task.separator.targets):
            waited = self.waited.get(target, 0) + 1 if means[number] < LEAST_GAIN_DB else 0
            self.waited[target] = waited
            if silent[number]:
                self.ring(trainer, "silent_estimate", target)
            elif same[number]:
                self.ring(trainer, "saturated_mask", target)
            elif waited >= self.validations:
                self.ring(trainer, "no_gain", target, count=waited, value=means[number])

    def check_losses(self, trainer: pl.Trainer, task: SeparationTask) -> None:
        """A validation loss that rises while that of the training falls."""
        if "val/loss" not in trainer.callback_metrics or "chunks" not in task.sums:
            return
        loss, chunks = (trainer.strategy.reduce(task.sums[name]) for name in ("loss", "chunks"))
        train = float(loss / chunks)
        self.losses.append([train, float(trainer.callback_metrics["val/loss"])])
        best = min(range(len(self.losses)), key=lambda number: self.losses[number][1])
        (then, low), (now, high) = self.losses[best], self.losses[-1]
        waited = len(self.losses) - 1 - best
        rising, falling = high > low + RISE * abs(low), now < then - FALL * abs(then)
        if waited >= self.validations and rising and falling:
            self.ring(trainer, "overfitting", None, train=now, best=low, value=high, count=waited)

    def check_stems(self, trainer: pl.Trainer, task: SeparationTask) -> None:
        """Stems that no process has heard."""
        device = task.device
        heard = torch.tensor([float(name in self.heard) for name in task.stems], device=device)
        heard = trainer.strategy.reduce(heard, reduce_op="sum")
        if self.chunks < FEWEST_CHUNKS:
            return
        for name, known in zip(task.stems, heard.tolist(), strict=True):
            if not known:
                self.ring(trainer, "unheard_stem", name, count=self.chunks)

    def ring(self, trainer: pl.Trainer, kind: str, target: str | None, **values: Any) -> None:
        """Give an alarm, unless it has been given, and stop the training if wanted."""
        if any((one["kind"], one["target"]) == (kind, target) for one in self.given):
            return
        line = ALARM_KINDS[kind].line(target=target, **values)
        place = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        self.given.append({"kind": kind, "target": target, **place, "text": line})
        if rank() == 0:
            log.warning("alarm: %s", line)
        self.write(trainer)
        if self.stop and not trainer.should_stop:
            log.info("training stops: callbacks.alarms.stop is true")
            trainer.should_stop = True

    def write(self, trainer: pl.Trainer) -> None:
        """Write all alarms to the file in the first process; no alarms, no file."""
        path = self.folder / ALARMS_FILE
        if rank() > 0 or trainer.fast_dev_run:
            return
        if self.given:
            write_json(path, self.given)
        else:
            path.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """State for checkpoints."""
        return {name: getattr(self, name) for name in STATE_NAMES}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        for name in STATE_NAMES:
            setattr(self, name, state_dict[name])
