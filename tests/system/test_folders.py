"""Folders of the user, who need not have a home folder."""

import pwd
from pathlib import Path

import pytest

from auralflow_pl.errors import InputError
from auralflow_pl.system.folders import cache_folder, config_folder


@pytest.fixture
def homeless(monkeypatch):
    """As in a container with a user number that the system does not know."""

    def unknown(number):
        raise KeyError(number)

    for name in ("HOME", "AURALFLOW_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_without_a_home_folder_the_variable_is_named(homeless, command, monkeypatch, tmp_path):
    assert config_folder() is None
    assert "no home folder; set AURALFLOW_CACHE" in command("models").error
    monkeypatch.setenv("AURALFLOW_CACHE", "~/cache")
    with pytest.raises(InputError, match="no home folder"):
        cache_folder()
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert command("models").code == 0


def test_variables_come_before_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("AURALFLOW_CACHE", "~/x")
    assert cache_folder() == Path("/home/me/x")
    monkeypatch.delenv("AURALFLOW_CACHE")
    assert cache_folder() == Path("/home/me/.cache/auralflow_pl")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/auralflow_pl")
