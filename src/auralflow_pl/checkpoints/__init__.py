"""Read and write files of models without running code in them.

A model may be a checkpoint of a training, an exported folder, an archive or an ONNX file.
May import `models` and all that is below it; builds no network.
Start with `reading.load_checkpoint`, which makes a `Checkpoint` of any of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.checkpoints.contents import Checkpoint
    from auralflow_pl.checkpoints.reading import load_checkpoint
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = ["Checkpoint", "load_checkpoint"]
