"""Run the tests with the marker `gpu` and write what they found.

    python scripts/gpu/check.py out=<folder> [device=cuda] [select=<expression>]

writes `<out>/check.json` (card, versions, and for every test outcome, seconds, reason, and the
numbers that it recorded) and the same as text, `<out>/check.txt`. `select` chooses tests by their
names, as `pytest -k`. With `device=cpu` the tests run without a GPU, to try them out. The exit code
is 1 if a test failed. Without a GPU all are skipped, which is said.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.errors import InputError, one_line
from auralflow_pl.system.device import device_name
from auralflow_pl.system.files import write_json, write_text

REPOSITORY = Path(__file__).resolve().parents[2]
DEVICE_VARIABLE = "AURALFLOW_TEST_DEVICE"  # read by tests/gpu/conftest.py


@dataclass
class Options:
    """Options of the command line."""

    out: str = "???"
    device: str = "cuda"
    select: str = ""


class Results:
    """Plugin of pytest that keeps what the tests found."""

    def __init__(self) -> None:
        self.tests: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome of a test, or of a preparation that did not pass."""
        if report.when != "call" and report.passed:
            return
        entry = {
            "test": report.nodeid.rpartition("/")[2],
            "outcome": report.outcome,
            "seconds": round(report.duration, 2),
            **dict(report.user_properties),
        }
        if report.skipped:
            entry["reason"] = report.longrepr[2].removeprefix("Skipped: ")
        elif report.failed:
            entry["reason"] = str(report.longrepr)[-2000:]
        self.tests.append(entry)


def run_tests(options: Options) -> tuple[int, list[dict[str, Any]]]:
    """Run the tests in this process; return the exit code of pytest, and the results."""
    results = Results()
    selected = ["-k", options.select] if options.select else []
    before = os.environ.get(DEVICE_VARIABLE)
    os.environ[DEVICE_VARIABLE] = options.device
    try:
        code = pytest.main(
            [
                *("-m", "gpu", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "default"),
                *("--rootdir", str(REPOSITORY), "-c", str(REPOSITORY / "pyproject.toml")),
                *selected,
                str(REPOSITORY / "tests" / "gpu"),
            ],
            plugins=[results],
        )
    finally:
        if before is None:
            del os.environ[DEVICE_VARIABLE]
        else:
            os.environ[DEVICE_VARIABLE] = before
    return int(code), results.tests


def described(card: str, tests: list[dict[str, Any]]) -> str:
    """The results as text: what failed or was skipped with its reason, and what was recorded."""
    counts = {
        outcome: sum(test["outcome"] == outcome for test in tests)
        for outcome in ("passed", "failed", "skipped")
    }
    lines = [f"{card}, torch {torch.__version__}"]
    lines.append(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    for test in tests:
        known = ("test", "outcome", "seconds", "reason")
        found = "".join(f", {key} {value}" for key, value in test.items() if key not in known)
        lines.append(f"{test['outcome']:8}{test['seconds']:7.2f} s  {test['test']}{found}")
        if "reason" in test:
            lines.append(f"    {test['reason']}")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the tests that the command line names, and return the exit code."""
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    if OmegaConf.is_missing(options, "out"):
        raise InputError("missing required key: out; pass out=<folder>")
    code, tests = run_tests(OmegaConf.to_object(options))
    if not tests:
        raise InputError(f"select={options.select}: no test with the marker gpu has such a name")
    card = device_name(options.device)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "python": sys.version}
    write_json(out / "check.json", {"card": card, **versions, "tests": tests}, nan=True)
    write_text(out / "check.txt", described(card, tests))
    print(described(card, tests), end="")
    return int(code != 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (InputError, OmegaConfBaseException, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
