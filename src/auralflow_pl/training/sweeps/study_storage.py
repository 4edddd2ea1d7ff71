"""What the processes of a study share: a database, and files that say which trials run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from sqlalchemy.exc import SQLAlchemyError

from auralflow_pl.errors import InputError, one_line


class TrialLocks:
    """Which trials run, here or in another process: each is a file, locked meanwhile.

    The system unlocks them when a process ends, however it ends.

    Args:
        folder: of the files, shared by the processes of a study.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.own: dict[int, FileLock] = {}

    def alone(self) -> FileLock:
        """One process at a time, the others wait."""
        return FileLock(self.folder / "study.lock")

    def take(self, number: int) -> bool:
        """Take a trial, unless it runs."""
        if number in self.own:
            return False
        lock = FileLock(self.folder / f"{number}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return False
        self.own[number] = lock
        return True

    def leave(self, number: int) -> None:
        """A trial of this process has ended."""
        self.own.pop(number).release()

    def close(self) -> None:
        """Leave all trials."""
        for number in [*self.own]:
            self.leave(number)


def open_storage(storage: str) -> optuna.storages.RDBStorage:
    """The database; SQLite waits a minute for other processes.

    Raises:
        InputError: it was written by another version of Optuna.
    """
    waiting = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
    try:
        return optuna.storages.RDBStorage(storage, engine_kwargs=waiting)
    except RuntimeError as error:
        if "storage upgrade" not in str(error):
            raise InputError(f"{storage}: {one_line(error)}") from error
        raise InputError(
            f"{storage}: written by an older Optuna; run once: optuna storage upgrade --storage "
            f"{storage}"
        ) from error


@contextlib.contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Turns errors of the database into an InputError."""
    try:
        yield
    except (SQLAlchemyError, ImportError, optuna.exceptions.OptunaError) as error:
        raise InputError(f"hydra.sweeper.storage={storage}: {one_line(error)}") from error
