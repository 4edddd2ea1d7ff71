"""The command `report`: one page of all runs of a folder."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.config.schema import ReportKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import printable
from auralflow_pl.evaluation.comparing.intervals import check_bootstrap
from auralflow_pl.report.page import page_file
from auralflow_pl.system.files import write_text
from auralflow_pl.training.overview.page import runs_page
from auralflow_pl.training.overview.runs import find_runs


def report(config: DictConfig) -> Path:
    """Write a page of all runs of a folder, and print its path.

    Raises:
        InputError: the folder holds no runs, a number is out of range, or the page cannot be
            written.
    """
    config = validate(config, ReportKeys)
    check_bootstrap(config.confidence, config.resamples)
    folder = Path(config.folder)
    runs = find_runs(folder)
    page = page_file(config.output, folder / "report.html")
    bootstrap = (config.confidence, config.resamples, config.seed)
    write_text(page, runs_page(folder, runs, page, bootstrap))
    print(printable(str(page)))
    return page
