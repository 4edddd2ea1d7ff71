"""Write several files so that they appear together or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from auralflow_pl.errors import InputError
from auralflow_pl.system.files import read_json, text_sha256

JOURNAL_FILE = "moves.json"


@contextlib.contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
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


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that gets the name `folder` once the block has succeeded.

    If the block raises, nothing of it remains.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as name:
        part = Path(name) / folder.name
        part.mkdir()
        yield part
        part.rename(folder)


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
def work_folder(base: Path, name: str) -> Iterator[Path]:
    """A hidden folder below `base` where the files called `name` are made; nothing remains of it.

    It has the same name in every attempt, so what a killed process left is removed by the next one.

    Raises:
        InputError: `base` cannot be written, or another process is at work on the same.
    """
    check_writable(base)
    folder = work_folder_path(base, name)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(f"{base}: another process is making {name}; wait for it") from None
    try:
        undo_moves(folder)
        for left in folder.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def work_folder_path(base: Path, name: str) -> Path:
    """Where the files called `name` are made."""
    return base / f".partial-{text_sha256(name, 16)}"


def remove_leftovers(base: Path, name: str) -> None:
    """Remove what a killed process left, unless one is at work there."""
    if work_folder_path(base, name).is_dir():
        with contextlib.suppress(InputError), work_folder(base, name):
            pass


def move_together(folder: Path, files: Mapping[Path, Path], obsolete: Iterable[Path] = ()) -> None:
    """Move files to their final names, all of them or none; the last one makes them complete.

    What was there before is kept until then. If the process is killed in between, the next
    `work_folder` of this name restores it.

    Args:
        folder: the workshop.
        files: from temporary to final path, on one file system.
        obsolete: files that are removed with it.

    Raises:
        InputError: a folder cannot be written, or a folder has a final name.
    """
    moves = [(None, path) for path in obsolete] + list(files.items())
    kept = folder.absolute()
    steps = [
        [part and str(part.absolute()), str(path.absolute()), str(kept / f"before-{number}")]
        for number, (part, path) in enumerate(moves)
    ]
    (folder / JOURNAL_FILE).write_text(json.dumps(steps), encoding="utf-8")
    try:
        for part, final, before in steps:
            path = Path(final)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder has this name", final)
            if path.exists():
                path.replace(before)
            if part:
                Path(part).replace(path)
    except BaseException as error:
        undo_moves(folder)
        if isinstance(error, OSError):
            raise InputError(f"{error.filename2 or error.filename}: {error.strerror}") from error
        raise


def undo_moves(folder: Path) -> None:
    """Take back what `move_together` has moved, unless it moved everything."""
    steps = read_json(folder / JOURNAL_FILE)
    if not steps:  # it had not begun
        return
    if Path(steps[-1][0]).exists():
        for part, final, before in reversed(steps):
            if part and not Path(part).exists():
                Path(final).unlink(missing_ok=True)
            if Path(before).exists():
                Path(before).replace(final)
    (folder / JOURNAL_FILE).unlink()
