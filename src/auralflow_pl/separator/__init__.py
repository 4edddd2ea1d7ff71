"""The Separator, audio to audio for signals of any length: built, loaded, run in torch or ONNX.

May import `checkpoints`, `models`, `losses`, `data`, `audio`, `signal` and `pretrained`.
Start with `separator.Separator`, then `load.load_separator`, which is `auralflow_pl.load`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.separator.build import build_network, build_separator
    from auralflow_pl.separator.load import load_separator
    from auralflow_pl.separator.realtime import RealTimeSeparator
    from auralflow_pl.separator.separator import Separator
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = ["RealTimeSeparator", "Separator", "build_network", "build_separator", "load_separator"]
