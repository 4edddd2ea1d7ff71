"""Sound files in a folder, by name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from auralflow_pl.audio.reading import AUDIO_SUFFIXES
from auralflow_pl.errors import InputError
from auralflow_pl.system.folders import visible


def named_sounds(
    folder: Path, names: Collection[str] | None = None, ignored: Collection[str] = ()
) -> dict[str, Path]:
    """Sound files in a folder by name without suffix, sorted; hidden files are skipped.

    Args:
        folder: the folder.
        names: only files of these names; None: all.
        ignored: names to leave out.

    Raises:
        InputError: two files have one name, as `vocals.wav` and `vocals.flac`.
    """
    found: dict[str, Path] = {}
    for path in visible(folder):
        name = path.stem
        if path.suffix.lower() not in AUDIO_SUFFIXES or name in ignored:
            continue
        if names is not None and name not in names:
            continue
        if name in found:
            raise InputError(
                f"{path}: {found[name].name} is there too; expected one file for {name}, remove or "
                "rename the other"
            )
        found[name] = path
    return found
