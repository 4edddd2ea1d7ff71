"""Write the tables and the report of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from auralflow_pl.evaluation.evaluator import Evaluation
from auralflow_pl.evaluation.moments import Moment
from auralflow_pl.evaluation.pages import evaluation_page
from auralflow_pl.evaluation.results import TrackScores
from auralflow_pl.evaluation.tables import (
    Aggregate,
    aggregates,
    evaluation_content,
    is_museval_of_ours,
    museval_layout,
    write_scores,
)
from auralflow_pl.report.page import is_page_of_ours
from auralflow_pl.system.files import write_json
from auralflow_pl.system.staging import staged_folder

MOST_MOMENTS = 6  # number of worst and of best excerpts in the report


def write_tables(work: Evaluation, results: Sequence[TrackScores]) -> list[Aggregate]:
    """Write `eval.csv`, `eval.json` and files for museval's tools; return the averages."""
    framewise = [n.name for n in work.headings if n.name.startswith("bss_")]
    found = list(aggregates(results, work.headings, framewise))
    with staged_folder(work.output) as folder:
        write_scores(results, folder / "eval.csv")
        content = evaluation_content(results, found, work.headings, work.settings)
        write_json(folder / "eval.json", content)
    write_museval(work, results)
    page = work.output / "report.html"
    if not work.config.report and is_page_of_ours(page):
        page.unlink()  # it shows former scores
    return found


def write_museval(work: Evaluation, results: Sequence[TrackScores]) -> None:
    """Write files for museval's tools, and remove those of an earlier evaluation."""
    root, bss_eval = work.output / "museval", work.config.metrics.get("bss_eval")
    for path in root.glob("*/*.json"):
        if is_museval_of_ours(path):
            path.unlink()
    if bss_eval:
        with staged_folder(root / work.config.split) as folder:
            for result in results:
                layout = museval_layout(result, bss_eval.window_seconds, bss_eval.hop_seconds)
                write_json(folder / f"{result.track}.json", layout, nan=True)
    for folder in (*root.glob("*"), root):
        with suppress(OSError):  # missing or not empty
            folder.rmdir()


def write_evaluation_page(
    work: Evaluation,
    results: Sequence[TrackScores],
    found: Sequence[Aggregate],
    excerpts: Sequence[Path],
) -> None:
    """Write `report.html` with the worst and the best excerpts of all tracks."""
    sign = 1 if work.headings[0].higher_is_better else -1
    cut = [moment for path in excerpts for moment in json.loads(path.read_text(encoding="utf-8"))]
    cut.sort(key=lambda moment: sign * moment["value"])
    worst = [moment for moment in cut if moment["kind"] == "worst"][:MOST_MOMENTS]
    best = [moment for moment in reversed(cut) if moment["kind"] == "best"][:MOST_MOMENTS]
    seconds = sum(result.seconds for result in results)
    subtitle = (
        f"{work.subject}, on {len(results)} tracks ({seconds / 60:.1f} minutes) of "
        f"{work.data}, split {work.config.split}"
    )
    title = f"Evaluation: {', '.join(work.estimates.target_stems)}"
    shown = [Moment(**moment).shown() for moment in (*worst, *best)]
    text = evaluation_page(
        title, subtitle, results, found, work.headings, work.hops, shown, work.settings
    )
    with staged_folder(work.output) as folder:
        (folder / "report.html").write_text(text, encoding="utf-8")
