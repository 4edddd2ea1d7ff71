"""Write, read and hash single files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from auralflow_pl.errors import InputError


def check_file(path: Path) -> None:
    """Raise InputError unless `path` is a file with something in it."""
    if not path.is_file():
        what = "is a folder, expected a file" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file (0 bytes); expected audio")


def sound_digest(files: Iterable[Path], options: str) -> str:
    """Of the content of files, and of what else a result depends on."""
    total = hashlib.blake2b(options.encode(), digest_size=16)
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "blake2b").digest())
    return total.hexdigest()


def write_json(content: Any, path: Path, nan: bool = False) -> None:
    """Without NaN, which is no JSON, unless the reader expects it."""
    path.write_text(json.dumps(content, indent=1, allow_nan=nan))


def keep_result(content: Any, path: Path) -> None:
    """Write JSON that appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    write_json(content, part)
    part.replace(path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_size(path: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    return path.stat().st_size if path.is_file() else 0


def in_megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: there is none.
    """
    check_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
