"""Run an evaluation from its configuration to its tables and its page."""

from __future__ import annotations

import json
from typing import NamedTuple

from omegaconf import DictConfig

from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.evaluator import Evaluation, excerpts_of
from auralflow_pl.evaluation.parallel import (
    compute_all,
    compute_distributed,
    evaluation_processes,
)
from auralflow_pl.evaluation.results import TrackScores
from auralflow_pl.evaluation.tables import Aggregate
from auralflow_pl.evaluation.writing import write_evaluation_page, write_tables
from auralflow_pl.system.processes import rank
from auralflow_pl.system.staging import check_writable


class Evaluated(NamedTuple):
    """A finished evaluation; in all but the first process of `trainer=ddp` without results."""

    work: Evaluation
    results: list[TrackScores]
    averages: list[Aggregate]


def run_evaluation(config: DictConfig) -> Evaluated:
    """Score all tracks whose results are missing, and write tables and page.

    Args:
        config: validated configuration of `evaluate`; `ckpt` is a path.

    Raises:
        InputError: the configuration is invalid, or a track cannot be read.
    """
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
                return Evaluated(work, [], [])
    texts = [path.read_text(encoding="utf-8") for path in paths.values()]
    results = [TrackScores.from_plain(json.loads(text)) for text in texts]
    found = write_tables(work, results)
    if config.report:
        write_evaluation_page(work, results, found, [excerpts_of(path) for path in paths.values()])
    return Evaluated(work, results, found)
