"""Cache of ONNX graphs, named by a digest of weights and configuration."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from auralflow_pl.errors import InputError, os_reason
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.onnx import OnnxNetwork, export_onnx
from auralflow_pl.system.files import write_whole
from auralflow_pl.system.folders import cache_folder
from auralflow_pl.version import __version__

log = logging.getLogger(__name__)

MAX_GRAPHS = 8  # the least recently used graphs beyond these are removed

GRAPH_KEY = "graph"  # metadata entry with the name of the graph


class NetworkPlan(NamedTuple):
    """A network to be built, with all that the name of its cached graph depends on."""

    model: Mapping[str, Any]  # configuration node `model`
    weights: Mapping[str, Tensor]
    outline: MaskEstimator  # the network, possibly on the meta device
    targets: int
    channels: int  # channels of the sound
    freq: int  # frequency bins of the magnitude
    build: Callable[[], MaskEstimator]  # builds the network with weights, in evaluation mode


def cached_graph(plan: NetworkPlan) -> OnnxNetwork:
    """Read the graph of a network from the cache, or export it and add it to the cache.

    Raises:
        InputError: the network cannot be exported to ONNX.
    """
    name = graph_name(plan)
    path = graph_folder() / f"{name}.onnx"
    outline = plan.outline
    facts = (
        plan.targets,
        plan.channels,
        plan.freq,
        outline.frame_multiple,
        outline.frame_reach,
        outline.bounded,
        outline.complex_masks,
    )
    with contextlib.suppress(InputError, OSError):  # a missing or damaged graph is exported again
        network = OnnxNetwork(path, *facts)
        if network.metadata().get(GRAPH_KEY) == name:
            path.touch()
            return network
    inputs = outline.planes * plan.channels
    content, _ = export_onnx(plan.build(), inputs, plan.freq, {GRAPH_KEY: name})
    keep_graph(content, path)
    return OnnxNetwork(content, *facts)


def graph_name(plan: NetworkPlan) -> str:
    """Digest of everything that a graph depends on, 32 hexadecimal digits."""
    made_by = [__version__, torch.__version__, platform.machine()]
    facts = [made_by, plan.model, plan.targets, plan.channels, plan.freq]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for part in weight_bytes(plan.weights):
        digest.update(part)
    return digest.hexdigest()[:32]


def weight_bytes(weights: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Yield names, dtypes, shapes and values of weights as bytes, sorted by name."""
    for name, value in sorted(weights.items()):
        yield f"{name} {value.dtype} {tuple(value.shape)};".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def graph_folder() -> Path:
    """Folder of cached graphs."""
    return cache_folder() / "graphs"


def keep_graph(content: bytes, path: Path) -> None:
    """Write a graph atomically and remove the oldest ones; errors of the disk are only logged."""
    try:
        write_whole(path, lambda file: file.write(content))
        graphs = sorted(path.parent.glob("*.onnx"), key=lambda p: p.stat().st_mtime_ns)
        for old in graphs[:-MAX_GRAPHS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.info("%s: the graph is not kept: %s", path.parent, os_reason(error))
