"""What the command `separate` does with files: find, name, separate, write, run again.

May import `report`, `config`, `separator` and all that is below them.
Start with `job.StemJob`, one file from input to stems, then `runner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.stems.inputs import InputFile, find_inputs
    from auralflow_pl.stems.job import StemJob
    from auralflow_pl.stems.outputs import OutputTemplate, StemOptions
    from auralflow_pl.stems.runner import separate_files
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = ["InputFile", "OutputTemplate", "StemJob", "StemOptions", "find_inputs", "separate_files"]
