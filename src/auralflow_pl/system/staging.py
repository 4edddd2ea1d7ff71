"""Writing of several files that appear together or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from auralflow_pl.errors import InputError, WriteError, os_reason
from auralflow_pl.system import files
from auralflow_pl.system.files import read_json, text_sha256

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

JOURNAL_FILE = "moves.json"

LOCK_FILE = "lock"

NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)  # of a file system that cannot lock files


@contextlib.contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` together when the block succeeds.

    It lies in `folder`, which may be a mount point. If the block raises, the temporary files are
    removed and `folder` is unchanged.

    Raises:
        InputError: `folder` cannot be written.
    """
    check_writable(folder)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as name:
            yield Path(name)
            for part in sorted(Path(name).iterdir()):
                part.replace(folder / part.name)
    except BaseException:
        with contextlib.suppress(OSError):  # others may have put files there
            for path in new:
                path.rmdir()
        raise


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


def check_writable(folder: Path, key: str = "output") -> None:
    """Raise InputError unless files can be created in `folder`, or else its nearest parent.

    Args:
        folder: a folder, which may not exist.
        key: key of the configuration that names it, for the message.
    """
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise InputError(f"{key}={folder}: {nearest} is a file, expected a folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise WriteError(
            f"{key}={folder}: cannot write into {nearest}: {os_reason(error)}"
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
    try:
        lock = claim_folder(folder)
    except BlockingIOError:
        raise InputError(f"{base}: another process is making {name}; wait for it") from None
    try:
        undo_moves(folder)
        empty_folder(folder)
        yield folder
    finally:
        empty_folder(folder)
        leave_folder(folder, lock)


def claim_folder(folder: Path) -> int:
    """Create a folder and lock it; returns the descriptor of the lock file, to be closed.

    Its former owner may be removing the folder at this moment. A lock therefore counts only if its
    file is still there, which `filelock` does not check in all versions.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            folder.mkdir(exist_ok=True)
            lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        except (FileExistsError, FileNotFoundError):
            if folder.is_file() or not folder.parent.is_dir():
                raise
            continue
        try:
            lock_open_file(lock)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(lock)
                raise
        if os.fstat(lock).st_nlink:
            return lock
        os.close(lock)


def lock_open_file(descriptor: int) -> None:
    """Lock a file until its descriptor is closed or the process ends.

    Raises:
        BlockingIOError: the file is locked through another descriptor.
        OSError: the file system cannot lock files.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error


def leave_folder(folder: Path, lock: int) -> None:
    """Remove a claimed folder, which is empty but for its lock, and close the lock.

    The lock file goes while it is locked, so who opened it meanwhile sees that it is gone. Where
    an open file cannot be removed, it goes after it was closed, unless another process opened it.
    """
    if files.KEEPS_OPEN_FILES:
        os.close(lock)
    with contextlib.suppress(OSError):  # another process may have claimed it at once
        (folder / LOCK_FILE).unlink()
        folder.rmdir()
    if not files.KEEPS_OPEN_FILES:
        os.close(lock)


def empty_folder(folder: Path) -> None:
    """Delete what is in a claimed folder, except its lock: without it, others could begin."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK_FILE:
                path.unlink()


def work_folder_path(base: Path, name: str) -> Path:
    """Path of the hidden folder for work on the output `name`."""
    return base / f".partial-{text_sha256(name, 16)}"


def move_together(folder: Path, finals: Mapping[Path, Path], obsolete: Iterable[Path] = ()) -> None:
    """Move files to their final paths, all of them or none.

    Existing files are kept until all files are moved. If the process is killed in between, the
    next `work_folder` of this name restores them.

    Args:
        folder: folder of `work_folder`, for the journal and the existing files.
        finals: final paths by temporary path, on one file system.
        obsolete: existing files that are removed in the same step.

    Raises:
        InputError: a folder cannot be written, or a final path is a folder.
    """
    moves = [(None, path) for path in obsolete] + list(finals.items())
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
