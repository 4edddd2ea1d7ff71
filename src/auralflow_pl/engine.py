"""What runs a network: torch, or ONNX Runtime with a graph that is made once and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from auralflow_pl import __version__
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.folders import cache_folder
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.models.onnx import EXTRA, OnnxNetwork, export_onnx, installed

log = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "onnx")
KEPT = 8  # graphs; those that were used longest ago are removed
GRAPH = "graph"  # entry of the metadata that names the graph


def choose_engine(name: str, device: torch.device, ckpt: str | Path = "") -> str:
    """The engine that `load_separator` shall use.

    `auto` stays `auto` on the CPU, where ONNX Runtime is the faster one if it is installed
    (scripts/bench_engines.py), and is `torch` on everything else.

    Args:
        name: what the user said.
        device: where the audio is.
        ckpt: what is loaded.

    Raises:
        InputError: an engine that there is not, or not here.
    """
    if name not in ENGINES:
        raise InputError(f"engine={name}: no such engine, {did_you_mean(name, ENGINES)}")
    graph = Path(ckpt).suffix == ".onnx"
    if graph and name == "torch":
        raise InputError(f"engine=torch: {ckpt} runs in ONNX Runtime only; pass engine=auto")
    if (graph or name == "onnx") and not installed():
        raise InputError(f"engine=onnx: ONNX Runtime is not installed; {EXTRA}")
    if name == "onnx" and device.type != "cpu":
        raise InputError(f"engine=onnx runs on the CPU, not on {device}; pass device=cpu as well")
    return "torch" if name == "auto" and device.type != "cpu" else name


def engine_for(engine: str, precision: torch.dtype | None) -> str:
    """The engine for a number format: graphs compute in fp32, so `auto` is `torch` for others.

    Raises:
        InputError: `onnx` with another format.
    """
    if precision is None:
        return engine
    if engine == "onnx":
        raise InputError(
            f"precision={precision}: ONNX graphs compute in fp32; pass precision=fp32, or a "
            "checkpoint and engine=torch"
        )
    return "torch" if engine == "auto" else engine


def engine_of(network: MaskEstimator) -> str:
    """What runs a network: `torch` or `onnx`."""
    return "onnx" if isinstance(network, OnnxNetwork) else "torch"


class Plan(NamedTuple):
    """A network that is to be run, before it is built."""

    model: Mapping[str, Any]  # the node of its configuration
    weights: Mapping[str, Tensor]
    outline: MaskEstimator  # the network, possibly without memory
    targets: int
    channels: int  # of the magnitude
    freq: int  # likewise
    build: Callable[[], MaskEstimator]  # with its weights, in evaluation mode


def start(plan: Plan, engine: str) -> MaskEstimator:
    """The network in ONNX Runtime for `onnx`, and for `auto` if that is possible; else in torch.

    Raises:
        InputError: `onnx`, and it is not possible.
    """
    if engine not in ENGINES:
        raise InputError(f"engine={engine}: no such engine, {did_you_mean(engine, ENGINES)}")
    if engine == "torch" or (engine == "auto" and not installed()):
        return plan.build()
    try:
        return from_cache(plan)
    except InputError as error:
        if engine == "onnx":
            raise
        log.warning("%s; going on with engine=torch", error)
        return plan.build()


def from_cache(plan: Plan) -> OnnxNetwork:
    """The graph of a network, read if it was made before, else made and kept."""
    name = graph_name(plan)
    path = cache_dir() / f"{name}.onnx"
    outline, sizes = plan.outline, (plan.channels, plan.freq)
    facts = (plan.targets, *sizes, outline.frame_multiple, outline.frame_reach)
    with contextlib.suppress(InputError, OSError):  # what is damaged is made again
        network = OnnxNetwork(path, *facts)
        if network.metadata().get(GRAPH) == name:
            path.touch()
            return network
    content, _ = export_onnx(plan.build(), *sizes, {GRAPH: name})
    keep(content, path)
    return OnnxNetwork(content, *facts)


def graph_name(plan: Plan) -> str:
    """A digest of all that the graph depends on."""
    made_by = [__version__, torch.__version__, platform.machine()]
    facts = [made_by, plan.model, plan.targets, plan.channels, plan.freq]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for part in weight_bytes(plan.weights):
        digest.update(part)
    return digest.hexdigest()[:32]


def weight_bytes(weights: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Names, types, shapes and values of weights, in an order of their own."""
    for name, value in sorted(weights.items()):
        yield f"{name} {value.dtype} {tuple(value.shape)};".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def cache_dir() -> Path:
    """Where graphs are kept."""
    return cache_folder() / "graphs"


def keep(content: bytes, path: Path) -> None:
    """Write a graph, complete or not at all, and remove old ones; a full disk does not matter."""
    part = path.with_name(f"{path.stem}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
        graphs = sorted(path.parent.glob("*.onnx"), key=lambda p: p.stat().st_mtime_ns)
        for old in graphs[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.info("%s: the graph is not kept: %s", path.parent, error.strerror)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
