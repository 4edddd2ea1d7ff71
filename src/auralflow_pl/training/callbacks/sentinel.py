"""Callback that stops training before a value that is not finite reaches the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from auralflow_pl.errors import InputError
from auralflow_pl.training.checkpoint_io import save_atomically
from auralflow_pl.training.task import SeparationTask, step_seed


class Sentinel(pl.Callback):
    """Checks loss and gradients of every step, and stops training if one is not finite.

    Batch, numbers of its chunks, random state and weights are then saved as
    `<folder>/step-<number>.pt`, which `scripts/replay.py` runs again. No checkpoint includes the
    failed step. With a loss scale (fp16), gradients may overflow and such steps are skipped, so
    only the loss is checked.

    Args:
        folder: folder of the saved files.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: SeparationTask,  # noqa: ARG002
        batch: dict[str, Any],
        batch_idx: int,
    ) -> None:
        """Store the batch for the file of a failed step."""
        self.batch, self.batch_idx = batch, batch_idx

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: SeparationTask, loss: Tensor
    ) -> None:
        """Check the loss.

        Raises:
            InputError: the loss is not finite.
        """
        if not torch.isfinite(loss):
            self.stop(trainer, pl_module, "the loss", [])

    def on_before_optimizer_step(
        self,
        trainer: pl.Trainer,
        pl_module: SeparationTask,
        optimizer: Optimizer,  # noqa: ARG002
    ) -> None:
        """Check the gradients, unless there is a loss scale.

        Raises:
            InputError: a gradient is not finite.
        """
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        named = {n: p.grad for n, p in pl_module.named_parameters() if p.grad is not None}
        norms = torch.stack(torch._foreach_norm(list(named.values())))
        if not torch.isfinite(norms.sum()):
            names = [n for n, norm in zip(named, norms, strict=True) if not torch.isfinite(norm)]
            self.stop(trainer, pl_module, f"the gradient of {names[-1]}", names)

    def stop(
        self, trainer: pl.Trainer, pl_module: SeparationTask, what: str, names: list[str]
    ) -> None:
        """Save the failed step for `scripts/replay.py` and end the training.

        Raises:
            InputError: always.
        """
        if trainer.fast_dev_run:
            raise InputError(
                f"step {trainer.global_step}: {what} is not finite; a training without "
                "trainer.fast_dev_run keeps this step, to see why"
            )
        place = pl_module.place(self.batch_idx)
        process = f"-process-{trainer.global_rank}" if trainer.global_rank else ""
        path = self.folder / f"step-{trainer.global_step}{process}.pt"
        bundle = {
            "config": pl_module.config,
            "weights": pl_module.state_dict(),
            "batch": self.batch,
            "chunks": self.batch["number"].tolist(),
            "place": list(place),
            "random_state": torch.Generator().manual_seed(step_seed(place)).get_state(),
            "gradients": names,
        }
        save_atomically(bundle, path)
        raise InputError(
            f"step {trainer.global_step}: {what} is not finite; no checkpoint holds this step; to "
            f"see why: python scripts/replay.py {path}; lowering optimizer.lr often helps"
        )
