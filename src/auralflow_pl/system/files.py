"""Reading, writing and hashing of single files."""

from __future__ import annotations

import contextlib
import csv
import functools
import glob
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from auralflow_pl.errors import InputError

STALE_SECONDS = 600  # age of an unchanged temporary file after which its process counts as killed

# Whether a file that is open or memory-mapped can be neither removed nor replaced.
KEEPS_OPEN_FILES = sys.platform == "win32"


def write_whole(path: Path, write: Callable[[BinaryIO], object], sync: bool = False) -> None:
    """Write a file under a temporary name and rename it, so `path` is never incomplete.

    The temporary file is beside `path`, has the number of the process in its name, and is removed
    on failure. Temporary files that killed processes left are removed as well.

    Args:
        path: path of the file; a missing folder is created.
        write: function that writes the content to the open file.
        sync: also wait until the content is on the disk.

    Raises:
        OSError: the folder cannot be written or is full; the former file is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    remove_stale_parts(path)
    try:
        with part.open("wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def remove_stale_parts(path: Path) -> None:
    """Remove temporary files for `path` that killed processes left."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):
            if is_stale(part):
                part.unlink()


def is_stale(path: Path) -> bool:
    """Return True if a file was not changed for `STALE_SECONDS`; OSError if it is missing."""
    return time.time() - path.stat().st_mtime > STALE_SECONDS


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, with escapes for names that are no valid text; see `write_whole`."""
    write_whole(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))


def write_json(path: Path, content: Any, nan: bool = False) -> None:
    """Write JSON; see `write_whole`.

    Args:
        path: path of the file.
        content: plain values.
        nan: allow NaN, which is not JSON, for readers that expect it.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=nan))


def read_json(path: Path) -> Any:
    """Read a JSON file; None if the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table with four decimals for floats and empty cells for None.

    Names that are no valid text have escapes.
    """
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()})


def check_file(path: Path) -> None:
    """Raise InputError unless `path` is a file that is not empty."""
    if not path.is_file():
        what = "is a folder, expected a file" if path.is_dir() else "no such file"
        if path.is_symlink() and not path.exists():
            what = f"a link to {path.readlink()}, which is missing"
        raise InputError(f"{path}: {what}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file (0 bytes); expected audio")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_sha256(text: str, length: int = 64) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:length]


def values_sha256(values: Any, length: int = 64) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of plain values, as sorted JSON."""
    return text_sha256(json.dumps(values, sort_keys=True), length)


def sound_digest(files: Iterable[Path], options: str) -> str:
    """BLAKE2b digest of the content of files and of the options of a result.

    A file is read once in a process, as long as it is unchanged. eval.json holds the digest and
    cached results are named by it, so it must not change.
    """
    total = hashlib.blake2b(options.encode(), digest_size=16)
    for path in files:
        total.update(content_digest(path, file_version(path)))
    return total.hexdigest()


def file_version(path: Path) -> tuple[int, ...]:
    """Numbers that differ once a file was changed or replaced."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@functools.lru_cache(maxsize=2**16)
def content_digest(path: Path, version: tuple[int, ...]) -> bytes:  # noqa: ARG001 - part of the key
    """BLAKE2b digest of a file; `version` (`file_version`) tells its states apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def file_size(path: Path) -> int:
    """Size of a file in bytes; 0 if it is missing."""
    return path.stat().st_size if path.is_file() else 0


def free_bytes(path: Path) -> int:
    """Free space in bytes on the disk of `path`, which need not exist."""
    return shutil.disk_usage(next(p for p in (path, *path.absolute().parents) if p.exists())).free


def in_megabytes(size: int) -> str:
    """Format a number of bytes in MB or kB."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
