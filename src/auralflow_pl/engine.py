"""What runs a network: torch, or ONNX Runtime with a graph that is made once and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auralflow_pl import __version__
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.models.onnx import EXTRA, OnnxNetwork, export_onnx, installed, read_graph

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


def accelerated(
    network: MaskEstimator, model: Mapping[str, Any], channels: int, freq: int, engine: str
) -> MaskEstimator:
    """`network` in ONNX Runtime for `onnx`, and also for `auto` where that is possible.

    Args:
        network: in evaluation mode.
        model: the node of its configuration, which with the weights names the graph.
        channels: of the magnitude.
        freq: of the magnitude.
        engine: one of ENGINES.

    Raises:
        InputError: `onnx`, and it is not possible.
    """
    if engine == "torch" or (engine == "auto" and not installed()):
        return network
    try:
        return from_cache(network, model, channels, freq)
    except InputError as error:
        if engine == "onnx":
            raise
        log.warning("%s; going on with engine=torch", error)
        return network


def from_cache(
    network: MaskEstimator, model: Mapping[str, Any], channels: int, freq: int
) -> OnnxNetwork:
    """The graph of `network`, read if it was made before, else made and kept."""
    with torch.no_grad():
        targets = network(torch.zeros(1, channels, freq, 1)).mask.shape[1]
    name = graph_name(network, model, channels, freq, targets)
    path = cache_dir() / f"{name}.onnx"
    facts = (targets, channels, freq, network.frame_multiple, network.frame_reach)
    with contextlib.suppress(InputError, OSError):  # what is damaged is made again
        content = path.read_bytes()
        if read_graph(content).get(GRAPH) == name:
            path.touch()
            return OnnxNetwork(content, *facts)
    content, _ = export_onnx(network, channels, freq, {GRAPH: name})
    keep(content, path)
    return OnnxNetwork(content, *facts)


def graph_name(
    network: MaskEstimator, model: Mapping[str, Any], channels: int, freq: int, targets: int
) -> str:
    """A digest of all that the graph depends on."""
    made_by = [__version__, torch.__version__, platform.machine()]
    facts = json.dumps([made_by, model, channels, freq, targets], sort_keys=True, default=str)
    digest = hashlib.sha256(facts.encode())
    for part in weight_bytes(network.state_dict()):
        digest.update(part)
    return digest.hexdigest()[:32]


def weight_bytes(weights: Mapping[str, Tensor]) -> Iterator[bytes]:
    """Names, types, shapes and values of weights, in an order of their own."""
    for name, value in sorted(weights.items()):
        yield f"{name} {value.dtype} {tuple(value.shape)};".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def cache_dir() -> Path:
    """`AURALFLOW_CACHE`, or else `auralflow_pl` in the user's folder for caches."""
    given = os.environ.get("AURALFLOW_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given or Path(base) / "auralflow_pl") / "graphs"


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
