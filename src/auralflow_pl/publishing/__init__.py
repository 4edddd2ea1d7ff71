"""Make files of a model that can be passed on: exports, model cards, registry entries.

May import `evaluation` (for measured scores) and all that is below it; no command.
Start with `exporting`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.publishing.exporting import ExportedModel, export_file, export_weights
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = ["ExportedModel", "export_file", "export_weights"]
