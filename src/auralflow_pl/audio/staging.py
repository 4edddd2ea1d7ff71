"""Files that appear complete under their name, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from auralflow_pl.errors import InputError


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` together once the block has succeeded.

    If the block raises, nothing of it remains and `folder` is as it was.

    Raises:
        InputError: `folder` cannot be written.
    """
    check_writable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as name:
        yield Path(name)
        folder.mkdir(exist_ok=True)
        for part in sorted(Path(name).iterdir()):
            part.replace(folder / part.name)


def check_writable(folder: Path) -> None:
    """Raise InputError unless files can be made in `folder` or where it is to be created."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(f"output={folder}: {nearest} is a file, expected a folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"output={folder}: cannot write into {nearest}: {error.strerror}"
        ) from None


@contextlib.contextmanager
def workshop(base: Path, name: str) -> Iterator[Path]:
    """A hidden folder below `base` where the files called `name` are made; nothing remains of it.

    It has the same name in every attempt, so what a killed process left is removed by the next one.

    Raises:
        InputError: `base` cannot be written, or another process is at work on the same.
    """
    check_writable(base)
    folder = workshop_folder(base, name)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(f"{base}: another process is making {name}; wait for it") from None
    try:
        for left in folder.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def workshop_folder(base: Path, name: str) -> Path:
    """Where the files called `name` are made."""
    return base / f".partial-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:16]}"


def tidy(base: Path, name: str) -> None:
    """Remove what a killed process left, unless one is at work there."""
    if workshop_folder(base, name).is_dir():
        with contextlib.suppress(InputError), workshop(base, name):
            pass


def publish(files: Mapping[Path, Path]) -> None:
    """Move files to their final names, all of them or none; the last one makes them complete.

    Args:
        files: from temporary to final path, on one file system.

    Raises:
        InputError: a folder cannot be written.
    """
    moved: list[Path] = []
    try:
        for part, final in files.items():
            final.parent.mkdir(parents=True, exist_ok=True)
            part.replace(final)
            moved.append(final)
    except BaseException as error:
        for final in moved:
            final.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"{error.filename2 or error.filename}: {error.strerror}") from error
        raise
