"""The command `report`: one page of all runs of a folder."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.checks.values import positive
from auralflow_pl.config.schema import ReportKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, printable
from auralflow_pl.system.files import write_text
from auralflow_pl.system.staging import check_writable
from auralflow_pl.training.overview.page import runs_page
from auralflow_pl.training.overview.runs import find_runs


def report(config: DictConfig) -> Path:
    """Write a page of all runs of a folder, and print its path.

    Raises:
        InputError: the folder holds no runs, a number is out of range, or the page cannot be
            written.
    """
    config = validate(config, ReportKeys)
    positive("confidence", config.confidence)
    if config.confidence >= 1:
        raise InputError(f"confidence={config.confidence}: expected more than 0 and less than 1")
    folder = Path(config.folder)
    runs = find_runs(folder)
    page = Path(config.output or folder / "report.html")
    if page.is_dir():
        raise InputError(f"output={page}: is a folder; expected a file, output={page}/report.html")
    check_writable(page.parent)
    bootstrap = (config.confidence, config.resamples, config.seed)
    write_text(page, runs_page(folder, runs, page, bootstrap))
    print(printable(str(page)))
    return page
