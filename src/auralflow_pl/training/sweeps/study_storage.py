"""What the processes of a study share: a database, and a file that says which trials run."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import optuna
from sqlalchemy.exc import SQLAlchemyError

from auralflow_pl.errors import InputError, one_line


class TrialLocks:
    """Which trials run, here or in another process: bytes of a file, locked meanwhile.

    The system unlocks them when a process ends, however it ends.

    Args:
        path: of the file, shared by the processes of a study.
    """

    def __init__(self, path: Path) -> None:
        self.file = path.open("ab")
        self.own: set[int] = set()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time, the others wait."""
        fcntl.lockf(self.file, fcntl.LOCK_EX, 1, 0)
        try:
            yield
        finally:
            fcntl.lockf(self.file, fcntl.LOCK_UN, 1, 0)

    def take(self, number: int) -> bool:
        """Take a trial, unless it runs."""
        if number in self.own:
            return False
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1 + number)
        except OSError:
            return False
        self.own.add(number)
        return True

    def leave(self, number: int) -> None:
        """A trial of this process has ended."""
        self.own.remove(number)
        fcntl.lockf(self.file, fcntl.LOCK_UN, 1, 1 + number)


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
