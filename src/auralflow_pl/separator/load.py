"""Load a Separator by the path or the name of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.pretrained.cache import locate
from auralflow_pl.pretrained.locations import BUNDLED_MODEL
from auralflow_pl.separator.build import build_separator, check_separator_settings
from auralflow_pl.separator.precision import autocast_dtype
from auralflow_pl.separator.separator import Separator


def load_separator(
    path: str | Path = BUNDLED_MODEL,
    trust: Sequence[str] = (),
    simplify: bool = True,
    engine: str = "torch",
    target: str | Sequence[str] | None = None,
    registries: str | Sequence[str] = (),
    precision: str | torch.dtype | None = None,
    **settings: Any,
) -> Separator:
    """The Separator of a checkpoint or an exported model, in evaluation mode.

    Args:
        path: a checkpoint of train.py, or what export.py made of it; or the name or architecture
            of a model in a registry, which is fetched if it is not here yet; default: the vocal
            model that ships with the package.
        trust: packages beside `auralflow_pl` whose networks may be built.
        simplify: make it faster, and unfit to be trained or saved; see `MaskEstimator.simplify`.
        engine: `torch`, `onnx` (faster on the CPU, no gradients), or `auto` for `onnx` where that
            is possible. An ONNX file always runs in ONNX Runtime, which computes in `fp32`.
        target: what a model of a registry shall separate, if there are several.
        registries: files or folders beside those of the package and the user.
        precision: number format of the network, `fp32`, `bf16` or `fp16`; for the last two, `auto`
            is `torch`.
        **settings: `window_seconds`, `overlap`, `shifts`, `seed`, `batch_size` of the Separator.

    Raises:
        InputError: the checkpoint cannot be used, and why; or a setting that there is not.
    """
    check_separator_settings(settings, load_separator)  # before anything is fetched
    autocast_dtype(precision)
    checkpoint = load_checkpoint(locate(path, target, registries))
    return build_separator(checkpoint, engine, precision, trust, simplify, **settings)
