"""Evaluation of the jobs of an experiment with several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import build, to_plain
from auralflow_pl.config.names import literal, mapped_texts
from auralflow_pl.config.schema import EvaluateKeys, TrainKeys
from auralflow_pl.config.validation import target_nodes, validate
from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.running import run_evaluation
from auralflow_pl.pretrained.cache import run_checkpoint

SPLIT = "test"


def check_evaluable(config: DictConfig) -> None:
    """Raise InputError before the training if the data set has no tracks to evaluate it on."""
    source = build(validate(config, TrainKeys).data.source)
    source.prepare()
    try:
        source.find(SPLIT)
    except InputError as error:
        raise InputError(
            f"seeds={config.seeds}: evaluates on the split {SPLIT}, but {error}"
        ) from error


def evaluate_job(config: DictConfig, folder: Path) -> str:
    """Evaluate the best checkpoint of a run folder with the defaults of `evaluate`.

    Returns:
        path of the eval.json in the folder.

    Raises:
        InputError: there is no checkpoint, or a track cannot be read.
    """
    config = validate(config, TrainKeys)
    ours = compose("evaluate")
    ours.ckpt = literal(str(run_checkpoint(folder)))
    ours.split = SPLIT
    ours.data = mapped_texts(literal, to_plain(config.data))
    ours.device = "cpu" if config.trainer.get("accelerator") == "cpu" else "auto"
    ours.trust = trusted_packages(config)
    done = run_evaluation(validate(ours, EvaluateKeys))
    return (done.work.output / "eval.json").relative_to(folder).as_posix()


def trusted_packages(config: Any) -> list[str]:
    """Packages of the parts of a training, which the user has chosen for it."""
    names = {str(node["_target_"]).partition(".")[0] for _, node in target_nodes(config)}
    return sorted(names - {"auralflow_pl"})
