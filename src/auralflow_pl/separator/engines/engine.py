"""Choose the runtime of a network: torch or ONNX Runtime."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.engines.graph_cache import NetworkPlan, cached_graph
from auralflow_pl.separator.engines.onnx import OnnxNetwork
from auralflow_pl.system.extras import is_installed, require_extra

log = logging.getLogger(__name__)

ENGINE_NAMES = ("auto", "torch", "onnx")


def choose_engine(name: str, device: torch.device, ckpt: str | Path = "") -> str:
    """Engine to pass to `load_separator`.

    `auto` becomes `torch` except on the CPU, where ONNX Runtime is faster if it is installed
    (measured by scripts/bench_engines.py).

    Args:
        name: engine given by the user: `auto`, `torch` or `onnx`.
        device: device of the audio.
        ckpt: checkpoint or exported model to load.

    Raises:
        InputError: the engine is unknown, not installed, or does not support the device or file.
    """
    if name not in ENGINE_NAMES:
        raise InputError(f"engine={name}: no such engine, {did_you_mean(name, ENGINE_NAMES)}")
    graph = Path(ckpt).suffix == ".onnx"
    if graph and name == "torch":
        raise InputError(f"engine=torch: {ckpt} runs in ONNX Runtime only; pass engine=auto")
    if graph or name == "onnx":
        require_extra("onnx", "engine=onnx")
    if name == "onnx" and device.type != "cpu":
        raise InputError(f"engine=onnx runs on the CPU, not on {device}; pass device=cpu as well")
    return "torch" if name == "auto" and device.type != "cpu" else name


def engine_of_precision(engine: str, precision: torch.dtype | None) -> str:
    """Engine for a number format. ONNX graphs compute in fp32, so `auto` is `torch` for others.

    Args:
        engine: `auto`, `torch` or `onnx`.
        precision: autocast dtype; None: float32.

    Raises:
        InputError: `onnx` with a dtype other than float32.
    """
    if precision is None:
        return engine
    if engine == "onnx":
        raise InputError(
            f"precision={precision}: ONNX graphs compute in fp32; pass precision=fp32, or a "
            "checkpoint and engine=torch"
        )
    return "torch" if engine == "auto" else engine


def engine_name(network: MaskEstimator) -> str:
    """Engine that runs a network: `torch` or `onnx`."""
    return "onnx" if isinstance(network, OnnxNetwork) else "torch"


def start_engine(plan: NetworkPlan, engine: str) -> MaskEstimator:
    """Network that runs in the given engine; `auto` tries ONNX Runtime and falls back to torch.

    Raises:
        InputError: the engine is unknown, or `onnx` cannot run the network.
    """
    if engine not in ENGINE_NAMES:
        raise InputError(f"engine={engine}: no such engine, {did_you_mean(engine, ENGINE_NAMES)}")
    if engine == "torch" or (engine == "auto" and not is_installed("onnx")):
        return plan.build()
    try:
        return cached_graph(plan)
    except InputError as error:
        if engine == "onnx":
            raise
        log.warning("%s; going on with engine=torch", error)
        return plan.build()
