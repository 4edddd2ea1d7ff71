"""The command `evaluate`: score a model or stems on every track of a split."""

from __future__ import annotations

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.names import literal
from auralflow_pl.config.schema import EvaluateKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import printable
from auralflow_pl.evaluation.parallel import check_spread
from auralflow_pl.evaluation.results import TrackScores
from auralflow_pl.evaluation.running import run_evaluation
from auralflow_pl.evaluation.tables import summary_text
from auralflow_pl.pretrained.cache import resolve_ckpt
from auralflow_pl.system.device import device_of_process
from auralflow_pl.system.processes import local_rank


def evaluate(config: DictConfig) -> list[TrackScores]:
    """Evaluate a model or estimates, write tables, and print a summary.

    Returns:
        results of all tracks; empty in all but the first process of `trainer=ddp`.

    Raises:
        InputError: the configuration is invalid, or a track cannot be read.
    """
    config = validate(config, EvaluateKeys)
    if config.trainer is not None:
        check_spread(config)
        config.device = device_of_process(config.device, config.trainer, local_rank())
    if config.ckpt is not None:
        config.ckpt = literal(str(resolve_ckpt(config.ckpt, to_plain(config)["registries"])))
    done = run_evaluation(config)
    if done.results:
        print(summary_text(done.averages))
        print(printable(str(done.work.output / "eval.csv")))
    return done.results
