"""One training: task, data module, optimizers, schedules, loggers, callbacks, start, sweeps.

The only folder that imports Lightning. May import `evaluation`, for `Trainer.test`, `config`,
`separator`, `data` and all that is below them; no command.
Start with `task.SeparationTask`, then `build` (from a configuration to objects) and `run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.training.build import build_data, build_task, build_trainer
    from auralflow_pl.training.data_module import StemDataModule
    from auralflow_pl.training.run import train_run
    from auralflow_pl.training.task import SeparationTask
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "SeparationTask",
    "StemDataModule",
    "build_data",
    "build_task",
    "build_trainer",
    "train_run",
]
