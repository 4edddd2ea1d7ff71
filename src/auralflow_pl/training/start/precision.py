"""`precision=auto`: bf16 if it makes the steps of the network faster here, else fp32."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.build import new_separator
from auralflow_pl.separator.input import network_input
from auralflow_pl.system.device import choose_device, computes_in_bfloat16, wait_for

log = logging.getLogger(__name__)

FLOAT, HALF = "32-true", "bf16-mixed"  # names of Lightning

ROUNDS = 3  # measured steps of each precision, after one that is not measured

MOST_ITEMS = 2  # of the batch that is measured


def choose_precision(config: DictConfig, resume: str | None = None) -> None:
    """Replace `precision=auto`, in place.

    Hardware without bfloat16 instructions gets fp32. Other hardware gets what a measured step of
    the network is faster in; some convolutions have no fast bf16 kernel even there. On several
    machines nothing is measured, as all must decide alike. A resumed training keeps the precision
    that it had, unless this hardware only emulates it.

    Args:
        config: configuration of a training.
        resume: checkpoint to resume from.
    """
    if config.precision.precision != "auto":
        return
    chosen, reason = FLOAT, "the hardware has no bfloat16 instructions"
    if computes_in_bfloat16(config.trainer.accelerator):
        saved = load_checkpoint(Path(resume), "resume").config if resume else {}
        if former := saved.get("precision", {}).get("precision"):
            chosen, reason = former, "as before"
        elif config.trainer.get("num_nodes", 1) > 1:
            chosen, reason = HALF, "the hardware has bfloat16 instructions"
        else:
            ratio = measured_ratio(config)
            chosen = HALF if ratio < 1 else FLOAT
            reason = f"a step in bf16 takes {ratio:.2f} of the time of one in fp32"
    config.precision.precision = chosen
    log.info("precision=auto: %s, %s", chosen, reason)


def measured_ratio(config: DictConfig) -> float:
    """Time of a step in bf16 over one in fp32, for the network and chunks of a configuration."""
    settings = to_plain(config)
    device = choose_device("cpu" if config.trainer.accelerator == "cpu" else "auto")
    separator = new_separator(settings, settings["data"]["stems"], trust=None).to(device)
    if config.precision.channels_last:
        separator.network.to(memory_format=torch.channels_last)
    items = min(MOST_ITEMS, config.data.batch_size)
    samples = round(config.chunk_seconds * config.audio.sample_rate)
    noise = torch.randn(items, config.audio.channels, samples, device=device) * 0.1
    return step_ratio(separator.network, network_input(separator.network, separator.stft(noise)))


def step_ratio(network: MaskEstimator, magnitude: Tensor) -> float:
    """Time of forward and backward pass in bf16 over that in fp32, the least of some rounds each.

    The precisions take turns. A slower first round of more than twice the time decides.

    Args:
        network: network, which is left with gradients and other statistics.
        magnitude: input `(batch, channels, freq, frames)`.
    """
    network.train()
    for half in (False, True):
        step_seconds(network, magnitude, half)
    rounds: list[tuple[float, float]] = []
    while len(rounds) < ROUNDS and not (rounds and max(rounds[0]) > 2 * min(rounds[0])):
        whole = step_seconds(network, magnitude, False)
        rounds.append((step_seconds(network, magnitude, True), whole))
    halves, wholes = zip(*rounds, strict=True)
    return min(halves) / min(wholes)


def step_seconds(network: nn.Module, magnitude: Tensor, half: bool) -> float:
    """Seconds of a forward and a backward pass."""
    kind = magnitude.device.type
    start = time.perf_counter()
    with torch.autocast(kind, torch.bfloat16, enabled=half):
        mask = network(magnitude).mask
    mask.float().mean().backward()
    network.zero_grad(set_to_none=True)
    wait_for(magnitude.device)
    return time.perf_counter() - start
