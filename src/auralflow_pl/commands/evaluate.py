"""The command `evaluate`: score a model or stems on every track of a split."""

from __future__ import annotations

import json

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.names import literal
from auralflow_pl.config.schema import EvaluateKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, printable
from auralflow_pl.evaluation.evaluator import Evaluation, excerpts_of
from auralflow_pl.evaluation.parallel import (
    check_spread,
    compute_all,
    compute_distributed,
    evaluation_processes,
)
from auralflow_pl.evaluation.results import TrackScores
from auralflow_pl.evaluation.tables import summary_text
from auralflow_pl.evaluation.writing import write_evaluation_page, write_tables
from auralflow_pl.pretrained.cache import resolve_ckpt
from auralflow_pl.system.device import device_of_process
from auralflow_pl.system.processes import local_rank, rank
from auralflow_pl.system.staging import check_writable


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
    work = Evaluation(config)
    check_writable(work.output)
    paths = {track.name: work.cached(track) for track in work.tracks}
    if len(paths) < len(work.tracks):
        raise InputError(f"split={config.split}: two tracks have the same name; rename one")
    missing = [n for n, track in enumerate(work.tracks) if not paths[track.name].is_file()]
    with evaluation_processes(config):
        if config.trainer is None:
            compute_all(work, missing)
        else:
            compute_distributed(work, missing, paths)
            if rank() > 0:
                return []
    texts = [path.read_text(encoding="utf-8") for path in paths.values()]
    results = [TrackScores.from_plain(json.loads(text)) for text in texts]
    found = write_tables(work, results)
    if config.report:
        write_evaluation_page(work, results, found, [excerpts_of(path) for path in paths.values()])
    print(summary_text(found))
    print(printable(str(work.output / "eval.csv")))
    return results
