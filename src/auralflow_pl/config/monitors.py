"""Metrics that callbacks and schedules monitor, and which values of them are better."""

from __future__ import annotations

import copy

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import build

SCORE = "val/si_sdr"  # the score of a training whose best checkpoint monitors nothing else


def choose_directions(config: DictConfig) -> None:
    """Replace `mode=auto` beside a `monitor` by `min` for losses and metrics to minimise."""
    open_nodes = [node for _, node in monitoring_nodes(config) if node.get("mode") == "auto"]
    metrics = build(config.metrics or {}).items() if open_nodes else ()
    lower = {f"val/{name}" for name, metric in metrics if not metric.headings[0].higher_is_better}
    for node in open_nodes:
        name = node.monitor
        loss = name.startswith(("train/", "val/loss/")) or name == "val/loss"
        node.mode = "min" if loss or name in lower else "max"


def monitoring_nodes(config: DictConfig) -> list[tuple[str, DictConfig]]:
    """Callbacks and schedule with a `monitor`, by their keys."""
    nodes = {f"callbacks.{name}": node for name, node in (config.callbacks or {}).items()}
    nodes["scheduler"] = config.scheduler
    return [(key, node) for key, node in nodes.items() if node and node.get("monitor")]


def best_monitor(config: DictConfig) -> tuple[str, str, str]:
    """What the best checkpoint monitors: key of the callback, metric, and `max` or `min`."""
    config = copy.deepcopy(config)
    choose_directions(config)
    for key, node in monitoring_nodes(config):
        if node.get("_target_", "").endswith(".ModelCheckpoint"):
            return f"{key}.monitor", node.monitor, node.get("mode", "min")
    return "monitor", SCORE, "max"
