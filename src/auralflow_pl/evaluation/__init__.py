"""Estimates of tracks, their scores, tables, and comparison of runs.

May import `report`, `config`, `separator`, `metrics`, `data` and all that is below them.
Start with `scoring.separate_track` and `scoring.score_track`, which measure one track in
memory, then `evaluator.Evaluation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.evaluation.estimates import FolderEstimates, ModelEstimates
    from auralflow_pl.evaluation.evaluator import Evaluation
    from auralflow_pl.evaluation.results import TargetScores, TrackScores, read_evaluation
    from auralflow_pl.evaluation.scoring import TrackEstimates, score_track, separate_track
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "Evaluation",
    "FolderEstimates",
    "ModelEstimates",
    "TargetScores",
    "TrackEstimates",
    "TrackScores",
    "read_evaluation",
    "score_track",
    "separate_track",
]
