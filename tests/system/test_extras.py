"""The line that installs what is missing fits the installation."""

import json
import sys

import pytest

from auralflow_pl.system import extras
from support import REPOSITORY


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """As in `site-packages`, with what the installer recorded of the place it came from."""

    def record(content):
        monkeypatch.setattr(extras, "CHECKOUT", tmp_path / "lib")
        folder = tmp_path / "site" / "auralflow_pl-0.1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: auralflow-pl\nVersion: 0\n")
        if content:
            (folder / "direct_url.json").write_text(json.dumps(content))
        monkeypatch.syspath_prepend(folder.parent)

    return record


@pytest.mark.parametrize(
    "record, place",
    [
        ({}, "'auralflow-pl[demo]'"),
        ({"url": "file:///d/a%20b.whl", "archive_info": {}}, "'/d/a b.whl[demo]'"),
        ({"url": "file:///d/auralflow", "dir_info": {}}, "'/d/auralflow[demo]'"),
        ({"url": "https://x.org/a.whl"}, "'auralflow-pl[demo] @ https://x.org/a.whl'"),
        (
            {"url": "https://x.org/a.git", "vcs_info": {"vcs": "git", "commit_id": "12ab"}},
            "'auralflow-pl[demo] @ git+https://x.org/a.git@12ab'",
        ),
    ],
)
def test_from_where_it_was_installed(installed, record, place):
    installed(record)
    assert extras.install_line("demo").removeprefix("uv ") == f"pip install {place}"


def test_from_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(REPOSITORY)
    assert extras.install_line("ray").removeprefix("uv ") == "pip install -e '.[ray]'"
    monkeypatch.chdir(tmp_path)
    line = extras.install_line("ray").removeprefix("uv ")
    assert line == f"pip install -e '{REPOSITORY}[ray]'"


def test_where_uv_made_the_environment_there_is_no_pip(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, "path", [])
    assert extras.install_line("ray") == "uv pip install -e '.[ray]'"


def test_a_launcher_that_is_missing_names_its_extra(command, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    expected = f"hydra/launcher=submitit_x: not installed; {extras.install_line('slurm')}"
    assert command("train", "hydra/launcher=submitit_x").error == f"error: {expected}"
