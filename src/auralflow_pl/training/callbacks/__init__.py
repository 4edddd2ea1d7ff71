"""Callbacks of the Lightning Trainer: what watches a training, and what saves it.

May import `report` and all that is below it; each file is one callback, with a YAML in
`configs/callbacks`. Start with `autosave`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.training.callbacks.autosave import Autosave
    from auralflow_pl.training.callbacks.log_weights import LogWeights
    from auralflow_pl.training.callbacks.loss_scale import LossScale
    from auralflow_pl.training.callbacks.media import LogAudio, LogSpectrogram, LogWaveform
    from auralflow_pl.training.callbacks.plateau_stopping import PlateauStopping
    from auralflow_pl.training.callbacks.preflight import Preflight
    from auralflow_pl.training.callbacks.pruning import Pruning
    from auralflow_pl.training.callbacks.sentinel import Sentinel
    from auralflow_pl.training.callbacks.throughput import Throughput
    from auralflow_pl.training.callbacks.weight_average import WeightAverage
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "Autosave",
    "LogAudio",
    "LogSpectrogram",
    "LogWaveform",
    "LogWeights",
    "LossScale",
    "PlateauStopping",
    "Preflight",
    "Pruning",
    "Sentinel",
    "Throughput",
    "WeightAverage",
]
