"""The folder of a server: its own, locked, and gone with it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from auralflow_pl.system.staging import (
    check_writable,
    claim_folder,
    empty_folder,
    leave_folder,
)

SERVER_PREFIX = "auralflow-serve-"


@contextlib.contextmanager
def server_folder(base: Path) -> Iterator[Path]:
    """A new folder below `base` that only this user can read; removed after the block.

    Folders of servers that were killed are removed first. A server holds a lock in its folder, so
    that of a running server stays.

    Raises:
        InputError: `base` cannot be written.
    """
    check_writable(base, "folder")
    base.mkdir(parents=True, exist_ok=True)
    remove_abandoned(base)
    folder, lock = new_server_folder(base)
    try:
        yield folder
    finally:
        empty_folder(folder)
        leave_folder(folder, lock)


def new_server_folder(base: Path) -> tuple[Path, int]:
    """Make a folder and lock it; returns its path and the descriptor of the lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=SERVER_PREFIX, dir=base)).resolve()
        with contextlib.suppress(BlockingIOError):  # another server takes it for an abandoned one
            lock = claim_folder(folder)
            folder.chmod(0o700)  # also if that server removed it, and it was made once more
            return folder, lock


def remove_abandoned(base: Path) -> None:
    """Remove the folders of servers of this user that were killed."""
    with os.scandir(base) as entries:
        found = [Path(entry) for entry in entries if is_server_folder(entry)]
    for folder in found:
        with contextlib.suppress(OSError):  # its server runs, or another one removes it
            lock = claim_folder(folder)
            empty_folder(folder)
            leave_folder(folder, lock)


def is_server_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder that a server of this user made; links are not."""
    if not entry.name.startswith(SERVER_PREFIX):
        return False
    try:
        ours = not hasattr(os, "getuid") or entry.stat(follow_symlinks=False).st_uid == os.getuid()
        return ours and entry.is_dir(follow_symlinks=False)
    except OSError:  # it is gone
        return False
