"""From the name of a model to a verified file: registries, sources and the cache.

May import `checks` and `system`; no torch. Start with `cache.locate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.pretrained.cache import locate
    from auralflow_pl.pretrained.entries import RegistryEntry
    from auralflow_pl.pretrained.locations import BUNDLED_MODEL
    from auralflow_pl.pretrained.registry import read_registries, read_registry
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = ["BUNDLED_MODEL", "RegistryEntry", "locate", "read_registries", "read_registry"]
