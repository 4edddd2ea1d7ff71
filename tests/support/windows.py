"""How files behave on Windows, for tests on other systems."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auralflow_pl.system import files


def keep_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that this process has open or mapped can be neither removed nor replaced."""
    monkeypatch.setattr(files, "KEEPS_OPEN_FILES", True)
    for name in ("unlink", "remove", "rename", "replace"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


def refusing(call: Callable[..., None]) -> Callable[..., None]:
    """A function of `os` on one or two paths that refuses those in use."""

    def checked(*paths: Any, **options: Any) -> None:
        folder = options.get("dir_fd")
        base = Path() if folder is None else Path(f"/proc/self/fd/{folder}").readlink()
        for path in (base.absolute() / os.fsdecode(path) for path in paths):
            if str(path.parent.resolve() / path.name) in paths_in_use():
                raise PermissionError(errno.EACCES, "used by a process", str(path))
        call(*paths, **options)

    return checked


def paths_in_use() -> set[str]:
    """Paths of the files that this process has open or mapped."""
    opened = {os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()}
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return opened | {line.split(maxsplit=5)[5] for line in maps if "/" in line}
