"""Compose and check configurations: schema of the keys, validation, further processes.

Hydra's search path is known here alone (`search_path`). May import `checks` and Hydra, no torch.
Start with `compose.compose`, then `schema` for the keys and `validation.validate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.config.instantiate import build, to_plain
    from auralflow_pl.config.locations import config_dir
    from auralflow_pl.config.schema import COMMAND_SCHEMAS
    from auralflow_pl.config.search_path import group_options
    from auralflow_pl.config.validation import validate
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = ["COMMAND_SCHEMAS", "build", "config_dir", "group_options", "to_plain", "validate"]
