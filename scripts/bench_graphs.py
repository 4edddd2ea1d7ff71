"""Benchmark of memory: what making and reading an ONNX graph takes, beyond the weights in memory.

python scripts/bench_graphs.py [networks=[simple,lstm,vae]] [overrides=[]]

Networks have default settings and random weights; each figure is taken in a process of its own,
with one thread. Growth of resident memory over the state before, at its peak, in multiples of the
float32 weights:
- made: a graph is exported, compared with torch and written to the cache, as by engine=onnx,
- read: the graph is read from the cache,
- export: as by format=onnx, one file in memory.
Linux only.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import torch
from omegaconf import OmegaConf

from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.build import make_network
from auralflow_pl.separator.engines.graph_cache import NetworkPlan, cached_graph
from auralflow_pl.separator.engines.onnx import export_onnx
from auralflow_pl.separator.outline import on_meta_device
from auralflow_pl.system.heap import give_back_freed_memory, share_one_heap

FREQ = 513

WARM_UP = ["model.width=2", "model.levels=2"]  # of a network that loads all libraries


@dataclass
class Options:
    """Options of the command line."""

    networks: list[str] = field(default_factory=lambda: ["simple", "lstm", "vae"])
    overrides: list[str] = field(default_factory=list)


def plan(name: str, overrides: list[str]) -> NetworkPlan:
    """A network with random weights, and how it is built."""
    model = to_plain(compose("train", [f"model={name}", *overrides]).model)
    weights = make_network(model, 1).state_dict()
    with on_meta_device():
        outline = make_network(model, 1)

    def build() -> MaskEstimator:
        made = make_network(model, 1)
        made.load_state_dict(weights)
        return made.eval()

    return NetworkPlan(model, weights, outline, 1, 1, FREQ, build)


def resident(entry: str) -> int:
    """`VmRSS`, resident memory, or `VmHWM`, its peak, in KiB."""
    found = re.search(rf"{entry}:\s+(\d+)", Path("/proc/self/status").read_text("utf-8"))
    assert found
    return int(found[1])


def growth(work: Callable[[], object]) -> int:
    """Growth of resident memory at its peak while a function runs, in bytes."""
    give_back_freed_memory()
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the peak begins anew
    before = resident("VmRSS")
    work()
    return 1024 * (resident("VmHWM") - before)


def measure(name: str, what: str, options: Options, cache: str) -> float:
    """One figure, in multiples of the weights; runs in a process of its own."""
    os.environ["AURALFLOW_CACHE"] = cache
    share_one_heap()
    torch.set_num_threads(1)
    small = plan("simple", WARM_UP)
    cached_graph(small)
    export_onnx(small.build(), 1, FREQ, {})
    torch.manual_seed(0)  # the same weights, so the same graph, in every process
    large = plan(name, options.overrides)
    network = large.build() if what == "export" else None
    works: dict[str, Callable[[], object]] = {
        "made": lambda: cached_graph(large),
        "read": lambda: cached_graph(large),
        "export": lambda: export_onnx(network, 1, FREQ, {}),
    }
    return growth(works[what]) / sum(value.nbytes for value in large.weights.values())


def main() -> None:
    """Measure all networks and print a table."""
    options = OmegaConf.to_object(
        OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    )
    if sys.platform != "linux":
        raise SystemExit("bench_graphs: needs /proc of Linux")
    print("peak growth of memory in multiples of the weights\nnetwork      made   read export")
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name in options.networks:
            with tempfile.TemporaryDirectory() as cache:
                found = [
                    pool.submit(measure, name, what, options, cache).result()
                    for what in ("made", "read", "export")
                ]
            print(f"{name:<10}" + "".join(f"{value:>7.2f}" for value in found), flush=True)


if __name__ == "__main__":
    main()
