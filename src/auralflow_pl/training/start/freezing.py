"""Keep parts of a network as they are while the rest is trained."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import nn

from auralflow_pl.errors import InputError
from auralflow_pl.training.start.parts import find_weights

log = logging.getLogger(__name__)


def freeze_parts(network: nn.Module, patterns: Sequence[str]) -> None:
    """Exclude parts of a network from training.

    Frozen weights get no gradient. A module all of whose weights are frozen stays in evaluation
    mode: its dropout is off, and its normalisations keep their statistics.

    Args:
        network: network to be trained.
        patterns: names of parts (`encoder`, `decoder.levels.0`), or patterns for the names of
            weights (`*.norm.*`).

    Raises:
        InputError: a pattern fits no weight, or no weight is left to be trained.
    """
    weights = dict(network.named_parameters())
    for pattern in patterns:
        for name in find_weights(weights, pattern, f"freeze={pattern}"):
            weights[name].requires_grad_(False)
    frozen = [weight for weight in weights.values() if not weight.requires_grad]
    if len(frozen) == len(weights):
        raise InputError(f"freeze={list(patterns)}: nothing is left to be trained")
    for module in network.modules():
        own = list(module.parameters())
        if own and not any(weight.requires_grad for weight in own):
            module.eval()
    frozen_values, values = (sum(w.numel() for w in part) for part in (frozen, weights.values()))
    log.info("frozen: %d of %d values of the network", frozen_values, values)
