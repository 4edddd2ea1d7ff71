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
    """Load the Separator of a checkpoint or an exported model, in evaluation mode.

    Args:
        path: a training checkpoint or an exported model; or the name or architecture of a model
            in a registry, which is downloaded if it is not cached; default: the vocal model
            bundled with the package.
        trust: packages besides `auralflow_pl` whose networks may be built.
        simplify: fold layers of the network, which makes it faster but unfit for training and
            saving; see `MaskEstimator.simplify`.
        engine: `torch`, `onnx` (faster on the CPU, no gradients), or `auto`: `onnx` if possible,
            else `torch`. An ONNX file always runs in ONNX Runtime, which computes in `fp32`.
        target: target or targets of the wanted model, to choose among several models of an
            architecture.
        registries: registry files or folders besides those of the package and the user.
        precision: number format of the network, `fp32`, `bf16` or `fp16`; with the last two,
            `auto` means `torch`.
        **settings: `window_seconds`, `overlap`, `shifts`, `seed`, `batch_size`,
            `padding_seconds`, `wiener_steps`, `wiener_residual` and `speeds` of `Separator`.
            Without `speeds`, those that the model names (`separation.speeds` of its
            configuration), or 1.

    Raises:
        InputError: the model cannot be found or used, or a setting is unknown or invalid.
    """
    check_separator_settings(settings, load_separator)  # before anything is fetched
    autocast_dtype(precision)
    checkpoint = load_checkpoint(locate(path, target, registries))
    return build_separator(checkpoint, engine, precision, trust, simplify, **settings)
