"""The metrics of museval, without its other modules, which need ffmpeg."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor


def museval_metrics() -> ModuleType:
    """Import museval/metrics.py alone."""
    folder = importlib.util.find_spec("museval").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("museval_code", Path(folder) / "metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


METRICS = museval_metrics()


def museval_bss_eval(
    estimate: Tensor,
    target: Tensor,
    window: int | None = None,
    hop: int | None = None,
    taps: int = 512,
    framewise_filters: bool = False,
    images: bool = True,
) -> Tensor:
    """SDR, ISR, SIR and SAR of museval, `(4, targets, windows)`."""
    sound = [x.double().movedim(1, 2).numpy() for x in (target, estimate)]
    window = window or np.inf
    values = METRICS.bss_eval(
        *sound, window, hop or window, False, taps, framewise_filters, not images
    )
    return torch.from_numpy(np.stack(values[:4]))
