"""Writing of several files that appear together or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from auralflow_pl.errors import InputError, os_reason
from auralflow_pl.system.files import read_json, text_sha256

JOURNAL_FILE = "moves.json"


@contextlib.contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` together when the block succeeds.

    If the block raises, the temporary files are removed and `folder` is unchanged.

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
    """A temporary folder that is renamed to `folder` when the block succeeds.

    If the block raises, the temporary folder is removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as name:
        part = Path(name) / folder.name
        part.mkdir()
        yield part
        part.rename(folder)


def check_writable(folder: Path) -> None:
    """Raise InputError unless files can be created in `folder`, or else its nearest parent."""
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
            f"output={folder}: cannot write into {nearest}: {os_reason(error)}"
        ) from None


@contextlib.contextmanager
def work_folder(base: Path, name: str) -> Iterator[Path]:
    """A hidden folder below `base` for work on the output `name`; removed after the block.

    Every attempt uses the same folder, so it also removes the files of a killed process.

    Raises:
        InputError: `base` cannot be written, or another process works on the same output.
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
    """Path of the hidden folder for work on the output `name`."""
    return base / f".partial-{text_sha256(name, 16)}"


def remove_leftovers(base: Path, name: str) -> None:
    """Remove the files that a killed process left for `name`, unless another process is at work."""
    if work_folder_path(base, name).is_dir():
        with contextlib.suppress(InputError), work_folder(base, name):
            pass


def move_together(folder: Path, files: Mapping[Path, Path], obsolete: Iterable[Path] = ()) -> None:
    """Move files to their final paths, all of them or none.

    Existing files are kept until all files are moved. If the process is killed in between, the
    next `work_folder` of this name restores them.

    Args:
        folder: folder of `work_folder`, for the journal and the existing files.
        files: final paths by temporary path, on one file system.
        obsolete: existing files that are removed in the same step.

    Raises:
        InputError: a folder cannot be written, or a final path is a folder.
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
            raise InputError(f"{error.filename2 or error.filename}: {os_reason(error)}") from error
        raise


def undo_moves(folder: Path) -> None:
    """Undo an incomplete `move_together`; a complete one is kept.

    A journal that names files beside the folder of the output was not written here: it is ignored.
    """
    steps = read_json(folder / JOURNAL_FILE)
    if not steps:  # no move had begun
        return
    base, kept = folder.parent.resolve(), folder.resolve()
    ours = all(
        Path(final).resolve().is_relative_to(base) and Path(before).resolve().parent == kept
        for _, final, before in steps
    )
    if ours and Path(steps[-1][0]).exists():
        for part, final, before in reversed(steps):
            if part and not Path(part).exists():
                Path(final).unlink(missing_ok=True)
            if Path(before).exists():
                Path(before).replace(final)
    (folder / JOURNAL_FILE).unlink()
