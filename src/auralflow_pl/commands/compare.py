"""The command `compare`: compare evaluations track by track."""

from __future__ import annotations

from itertools import chain

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import CompareKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, printable
from auralflow_pl.evaluation.comparing.comparison import Comparison, compare_groups, only_in_some
from auralflow_pl.evaluation.comparing.intervals import check_bootstrap
from auralflow_pl.evaluation.comparing.members import find_members, read_members
from auralflow_pl.evaluation.comparing.seeds import target_names
from auralflow_pl.evaluation.pages import comparison_page
from auralflow_pl.report.page import page_file
from auralflow_pl.system.staging import staged_folder


def compare(config: DictConfig) -> list[Comparison]:
    """Compare evaluations, print a verdict for each metric and target, and write a page.

    Raises:
        InputError: there are fewer than two evaluations, one cannot be read, they have no metric
            and track in common, or they were measured differently.
    """
    config = validate(config, CompareKeys)
    check_bootstrap(config.confidence, config.resamples)
    if len(config.runs) < 2:
        raise InputError(f"runs={list(config.runs)}: expected two or more evaluations")
    members = find_members(to_plain(config)["runs"])
    evaluations = read_members(members)
    groups, headings, contents = evaluations.groups, evaluations.headings, evaluations.contents
    page = page_file(config.output, members[-1].paths[-1].with_name("comparison.html"))
    found = compare_groups(groups, headings, config.confidence, config.resamples, config.seed)
    if not any(one.tracks for one in found):
        raise InputError("runs: no track and target in common; expected the same data set")
    targets = {name: list(chain(*map(target_names, runs))) for name, runs in groups.items()}
    notes = only_in_some("target", targets)
    having = {m.name: list(chain(*(contents[p]["headings"] for p in m.paths))) for m in members}
    notes += only_in_some("metric", having)
    names = [member.name for member in members]
    with staged_folder(page.parent) as folder:
        text = comparison_page(names, found, config.confidence, notes)
        (folder / page.name).write_text(text, encoding="utf-8")
    lines = [*(one.verdict(config.confidence) for one in found), *notes, str(page)]
    print(*map(printable, lines), sep="\n")
    return found
