"""Names and settings of output files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from auralflow_pl.errors import InputError, did_you_mean

PICTURE_NAME = "spectrograms"

TEMPLATE_FIELDS = ("track", "target", "ext")

FIELD = re.compile(r"(?<!\$)\{(.*?)\}")  # `${` is part of a name


@dataclass(frozen=True)
class OutputTemplate:
    """Template of output files with the fields `{track}`, `{target}` and `{ext}`."""

    pattern: str

    @classmethod
    def of(cls, output: str) -> OutputTemplate:
        """Template for the key `output`: a template, or a folder with a subfolder per track.

        Raises:
            InputError: the template has an unknown field, lacks `{target}`, or names no file.
        """
        if dollar := re.search(r"\$(\{(track|target|ext)\})", output):
            raise InputError(f"output={output}: a field has no $, expected {dollar[1]}")
        fields = FIELD.findall(output)
        for field in fields:
            if field not in TEMPLATE_FIELDS:
                hint = did_you_mean(field, TEMPLATE_FIELDS)
                raise InputError(f"output={output}: no field {field!r}, {hint}")
        if not fields:
            return cls(f"{output}/{{track}}/{{target}}.{{ext}}")
        if "target" not in fields:
            raise InputError(f"output={output}: expected {{target}} in it, or no field at all")
        if re.fullmatch(r"(\.(\w+|\{ext\}))?", output.rpartition("/")[2]):
            raise InputError(
                f"output={output}: names no file, expected one such as {{track}}.{{ext}} at its end"
            )
        return cls(output if re.search(r"(\.\w+|\{ext\})$", output) else f"{output}.{{ext}}")

    @property
    def base(self) -> Path:
        """The folder that contains all output files."""
        return Path(FIELD.split(self.pattern)[0] + "x").parent

    @property
    def suffix(self) -> str | None:
        """File suffix in the template, without the dot; None: `{ext}` or no suffix."""
        return None if "{ext}" in self.pattern else Path(self.pattern).suffix[1:] or None

    def path(self, track: str, target: str, ext: str) -> Path:
        """Path of a stem."""
        values = {"track": track, "target": target, "ext": ext}
        return Path(FIELD.sub(lambda field: values[field[1]], self.pattern))

    def report(self, track: str) -> Path:
        """Path of the report of a track."""
        return self.beside(track, "report", "json")

    def picture(self, track: str) -> Path:
        """Path of the spectrograms of a track."""
        return self.beside(track, PICTURE_NAME, "png")

    def beside(self, track: str, name: str, ext: str) -> Path:
        """Path of a file of a track that is not a stem."""
        path = self.path(track, name, ext)
        return path if path.name.endswith(f".{ext}") else path.with_suffix(f".{ext}")

    def gives(self, path: Path, track: str, name: str) -> bool:
        """Return True if an absolute `path` is that of the stem or picture `name` of a track."""
        if name == PICTURE_NAME:
            return path == absolute_path(self.picture(track))
        plain = Path(name).name == name  # no folders, so it stays in the output folder
        return plain and path == absolute_path(self.path(track, name, path.suffix[1:]))


def absolute_path(path: Path) -> Path:
    """Absolute path without `..`; unlike `Path.resolve` it does not follow links."""
    return Path(os.path.abspath(path))  # noqa: PTH100


@dataclass(frozen=True)
class StemOptions:
    """Settings of the stems written for a file; see the keys of the command `separate`."""

    residual: bool = False
    format: str = "wav"
    subtype: str | None = None
    clip: str = "none"
    sample_rate: int | None = None  # sample rate of the output, in Hz; None: that of the input
    offset: float = 0.0  # seconds
    duration: float | None = None  # seconds; None: up to the end
    pcm: tuple[str, int, int] | None = None  # format of raw standard input; see `open_pipe`
    wiener: bool = False  # make the estimates sum to the mixture
