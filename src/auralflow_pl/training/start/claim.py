"""One training at a time in a run folder, also among machines that share the disk."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from auralflow_pl.errors import InputError, os_reason
from auralflow_pl.system.processes import rank
from auralflow_pl.system.staging import NO_LOCKS

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CLAIM_FILE = "claim.json"  # in the run folder, while a training runs

BEAT_SECONDS = 30.0  # time between signs of life

SILENT_SECONDS = 300.0  # time without a sign of life after which a process elsewhere has ended

OWN: set[Path] = set()  # folders of this process, whose locks do not apply to itself


class FolderTaken(InputError):  # noqa: N818 - the situation, as in `Cancelled`
    """Another process trains in the run folder."""


@contextlib.contextmanager
def claimed_folder(folder: Path, numbered: bool) -> Iterator[Path]:
    """Claim a run folder for the length of the block, and create it if it is missing.

    Only the first process of a training claims it. A claim of a killed process is taken over: on
    this machine the system unlocks its file, elsewhere the signs of life are missing. If nothing
    was written into a new folder, it is removed.

    Args:
        folder: path of the run folder.
        numbered: use `<folder>-2`, `<folder>-3`, ... if the folder is in use or not empty.

    Yields:
        path of the claimed folder.

    Raises:
        FolderTaken: another process trains in the folder.
        InputError: the folder cannot be written.
    """
    if rank() > 0:
        yield folder
        return
    for number in itertools.count(1):
        place = folder.with_name(f"{folder.name}-{number}") if number > 1 else folder
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(claim(place))
            except FolderTaken:
                if not numbered:
                    raise
                continue
            except OSError as error:
                reason = os_reason(error)
                raise InputError(f"paths.run_dir={place}: cannot be written: {reason}") from error
            if numbered and any(path.name != CLAIM_FILE for path in place.iterdir()):
                continue
            yield place
            return


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Hold the claim file of one folder for the length of the block; see `claimed_folder`."""
    own = folder.resolve()
    if own in OWN:
        raise taken(folder, identity())
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    path = folder / CLAIM_FILE
    file = open_claim(folder)
    ended = threading.Event()
    try:
        OWN.add(own)
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, json.dumps(identity(), indent=1).encode())
        threading.Thread(target=beat, args=(path, ended), daemon=True).start()
        yield
    finally:
        ended.set()
        OWN.discard(own)
        if fcntl is None:  # Windows does not remove open files
            os.close(file)
        path.unlink(missing_ok=True)
        if fcntl is not None:
            os.close(file)  # after it is removed: who opened it meanwhile sees that it is gone
        with contextlib.suppress(OSError):  # there are files in it
            for made in new:
                made.rmdir()


def open_claim(folder: Path) -> int:
    """Descriptor of the claim file of a folder, locked where the file system can.

    Raises:
        FolderTaken: another process has it.
    """
    path = folder / CLAIM_FILE
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            try:
                file, made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
            except FileExistsError:
                file, made = os.open(path, os.O_RDWR), False
        except FileNotFoundError:  # its owner is removing it
            continue
        try:
            locked = lock(file)
            found = os.fstat(file)
            age = time.time() - found.st_mtime
            if locked is None or not (made or is_left(read_claim(file), age, locked)):
                raise taken(folder, read_claim(file))
        except BaseException:
            os.close(file)
            raise
        if found.st_nlink:
            return file
        os.close(file)


def lock(file: int) -> bool | None:
    """Lock an open file: True, False if that is not possible here, None if another has it.

    The lock is one of the process: loader processes do not keep it when this process is killed.
    """
    if fcntl is None:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return None
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def is_left(owner: Mapping[str, Any], age: float, locked: bool) -> bool:
    """Whether the owner of a claim has ended without removing it.

    Args:
        owner: content of the claim file; empty if its owner has not written it.
        age: seconds since the last sign of life.
        locked: this process has locked the file.
    """
    here = identity()
    if owner.get("boot", owner.get("host")) == here.get("boot", here["host"]):
        return locked or not psutil.pid_exists(owner["pid"])
    if owner.get("job") == here["job"] is not None and owner["restarts"] != here["restarts"]:
        return True  # SLURM ends a job before it starts it again
    return age > SILENT_SECONDS or (not owner and locked)


def identity() -> dict[str, Any]:
    """What others need to know of this process: number, host, start of the claim, SLURM job."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "job": os.environ.get("SLURM_JOB_ID"),
        "restarts": os.environ.get("SLURM_RESTART_COUNT", "0"),
    } | ({"boot": boot.read_text(encoding="utf-8").strip()} if boot.is_file() else {})


def read_claim(file: int) -> dict[str, Any]:
    """Content of an open claim file; empty if it is not written yet, or damaged."""
    try:
        os.lseek(file, 0, os.SEEK_SET)
        content = json.loads(os.read(file, 4096))
    except ValueError:
        return {}
    complete = isinstance(content, dict) and content.keys() >= {"pid", "host", "since", "restarts"}
    return content if complete else {}


def taken(folder: Path, owner: Mapping[str, Any]) -> FolderTaken:
    """The error for a folder that another process has."""
    who = "another process trains there"
    if owner:
        who = f"process {owner['pid']} on {owner['host']} trains there since {owner['since']}"
    return FolderTaken(f"paths.run_dir={folder}: {who}; wait for it, or choose another folder")


def beat(path: Path, ended: threading.Event) -> None:
    """Set the time of the claim file again and again, as a sign of life for other machines."""
    while not ended.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(path)
