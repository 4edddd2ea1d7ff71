"""Cache of ONNX graphs, named by a digest of weights and configuration."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from auralflow_pl.errors import InputError, os_reason
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.engines.graph_file import Graph, weights_file
from auralflow_pl.separator.engines.onnx import (
    MaskOnly,
    OnnxNetwork,
    largest_difference,
    network_graph,
    random_probes,
)
from auralflow_pl.system.files import is_stale, write_whole
from auralflow_pl.system.folders import cache_folder
from auralflow_pl.system.heap import give_back_freed_memory
from auralflow_pl.version import __version__

log = logging.getLogger(__name__)

MAX_GRAPHS = 8  # the least recently used graphs beyond these are removed

GRAPH_KEY = "graph"  # metadata entry with the name of the graph


class NetworkPlan(NamedTuple):
    """A network to be built, with all that the name of its cached graph depends on."""

    model: Mapping[str, Any]  # configuration node `model`
    weights: Mapping[str, Tensor]
    outline: MaskEstimator  # the network, possibly on the meta device; see `shared_network`
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
    return made_graph(plan, path, facts)


def made_graph(plan: NetworkPlan, path: Path, facts: Sequence[Any]) -> OnnxNetwork:
    """Export the graph of a network, compare it with the network, and add it to the cache.

    Args:
        plan: the network.
        path: path of the graph, whose name is stored in it.
        facts: arguments of `OnnxNetwork` after the content.

    Raises:
        InputError: the network cannot be exported to ONNX.
    """
    built, sizes = shared_network(plan), (plan.outline.planes * plan.channels, plan.freq)
    probes = list(random_probes(built, *sizes))
    exported = MaskOnly(built)
    del built  # with the weights that were replaced; the others are still those of `exported`
    graph = network_graph(exported, *sizes, {GRAPH_KEY: path.stem})
    del exported
    give_back_freed_memory()  # of the trace

    def checked(content: bytes | Path) -> OnnxNetwork:
        network = OnnxNetwork(content, *facts)
        largest_difference(lambda magnitude: network(magnitude).mask, probes)
        return network

    return kept_graph(graph, path, checked)


def shared_network(plan: NetworkPlan) -> MaskEstimator:
    """The network of a plan, whose tensors are the weights of the plan, not copies, if possible.

    It is made of the outline, so it lacks tensors that are no weights; then it is built.
    """
    network, kinds = plan.outline, plan.outline.state_dict()
    weights = {name: value.to(kinds[name].dtype) for name, value in plan.weights.items()}
    network.load_state_dict(weights, assign=True)
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        return plan.build()
    return network.eval()


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


def kept_graph(
    graph: Graph, path: Path, checked: Callable[[bytes | Path], OnnxNetwork]
) -> OnnxNetwork:
    """Write a graph, check it, and then give it its name; errors of the disk are only logged.

    Args:
        graph: the graph; its weights are released once they are written.
        path: path of the graph; the file of its weights, see `weights_file`, is beside it.
        checked: makes a network of the content or the path of a graph, or raises InputError.

    Raises:
        InputError: the graph does not compute the masks of the network.
    """
    made: list[OnnxNetwork] = []

    def write(file: BinaryIO) -> None:
        file.write(graph.beside(weights_file(path).name))
        file.flush()
        graph.weights.clear()
        made.append(checked(Path(file.name)))

    try:
        write_whole(weights_file(path), graph.write_weights)
        write_whole(path, write)
        remove_old_graphs(path.parent)
    except OSError as error:
        log.info("%s: the graph is not kept: %s", path.parent, os_reason(error))
    return made[0] if made else checked(graph.content())


def remove_old_graphs(folder: Path) -> None:
    """Remove all but the `MAX_GRAPHS` graphs that were used last, and weights without a graph.

    Raises:
        OSError: a file cannot be removed.
    """
    graphs = sorted(folder.glob("*.onnx"), key=lambda p: p.stat().st_mtime_ns)
    for old in graphs[:-MAX_GRAPHS]:
        old.unlink(missing_ok=True)
        weights_file(old).unlink(missing_ok=True)
    for weights in folder.glob("*.weights"):
        if not weights.with_suffix(".onnx").exists() and is_stale(weights):
            weights.unlink(missing_ok=True)
