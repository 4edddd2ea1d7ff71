"""Names of output files, and the stems listed by earlier reports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.system.files import read_json

TEMPLATE_FIELDS = ("track", "target", "ext")


@dataclass(frozen=True)
class OutputTemplate:
    """Template of output files with the fields `{track}`, `{target}` and `{ext}`."""

    pattern: str

    @classmethod
    def of(cls, output: str) -> OutputTemplate:
        """Template for the key `output`: a template, or a folder with a subfolder per track.

        Raises:
            InputError: the template has an unknown field, or lacks `{target}`.
        """
        fields = re.findall(r"\{(.*?)\}", output)
        for field in fields:
            if field not in TEMPLATE_FIELDS:
                hint = did_you_mean(field, TEMPLATE_FIELDS)
                raise InputError(f"output={output}: no field {field!r}, {hint}")
        if not fields:
            return cls(f"{output}/{{track}}/{{target}}.{{ext}}")
        if "target" not in fields:
            raise InputError(f"output={output}: expected {{target}} in it, or no field at all")
        return cls(output if re.search(r"(\.\w+|\{ext\})$", output) else f"{output}.{{ext}}")

    @property
    def base(self) -> Path:
        """The folder that contains all output files."""
        return Path(self.pattern.partition("{")[0] + "x").parent

    @property
    def suffix(self) -> str | None:
        """File suffix in the template, without the dot; None: `{ext}` or no suffix."""
        return None if "{ext}" in self.pattern else Path(self.pattern).suffix[1:] or None

    def path(self, track: str, target: str, ext: str) -> Path:
        """Path of a stem."""
        values = {"track": track, "target": target, "ext": ext}
        return Path(re.sub(r"\{(\w+)\}", lambda field: values[field[1]], self.pattern))

    def beside(self, track: str, name: str, ext: str) -> Path:
        """Path of a file that belongs to a track but is not a stem, such as its report."""
        path = self.path(track, name, ext)
        return path if path.name.endswith(f".{ext}") else path.with_suffix(f".{ext}")


def listed_stems(reports: Iterable[Path]) -> set[Path]:
    """Resolved paths of the stems listed in reports; files that are not reports are skipped."""
    found = set()
    for report in reports:
        try:
            stems = read_json(report)["stems"]
            found |= {(report.parent / stem["file"]).resolve() for stem in stems.values()}
        except (KeyError, TypeError, AttributeError):
            continue
    return found


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
