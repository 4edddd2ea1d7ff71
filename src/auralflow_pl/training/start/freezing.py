"""Train parts of a network, or low-rank changes of its weights, and keep the rest as it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from auralflow_pl.checks.values import positive
from auralflow_pl.errors import InputError
from auralflow_pl.models.low_rank import adapt, user_name
from auralflow_pl.training.start.parts import find_weights

log = logging.getLogger(__name__)


def choose_trained(
    network: nn.Module,
    freeze: str | Sequence[str] | None = None,
    lora: Mapping[str, Any] | None = None,
) -> None:
    """Choose what of a network is trained, and log how much that is.

    Frozen weights get no gradient. A module all of whose weights are frozen stays in evaluation
    mode: its dropout is off, and its normalisations keep their statistics.

    Args:
        network: network to be trained.
        freeze: names of parts (`encoder`, `decoder.levels.0`), or patterns for the names of
            weights (`*.norm.*`), that are not trained.
        lora: arguments of `add_changes`; None, or a `rank` of 0 or None: none are added.

    Raises:
        InputError: a pattern fits no weight, no weight is left to be trained, or `lora` is
            invalid.
    """
    if lora and lora.get("rank"):
        add_changes(network, **lora)
    for key in ("alpha", "parts"):
        if lora and not lora.get("rank") and lora.get(key) is not None:
            log.warning("lora.%s is not used, since lora.rank is 0", key)
    freeze_parts(network, [freeze] if isinstance(freeze, str) else freeze or [])
    weights = list(network.parameters())
    frozen = sum(w.numel() for w in weights if not w.requires_grad)
    if not frozen:
        return
    for module in network.modules():
        own = list(module.parameters())
        if own and not any(weight.requires_grad for weight in own):
            module.eval()
    values = sum(weight.numel() for weight in weights)
    share = 100 * (values - frozen) / values
    log.info("frozen: %d of %d values of the network; %.3g %% are trained", frozen, values, share)


def freeze_parts(network: nn.Module, patterns: Sequence[str]) -> None:
    """Exclude parts of a network from training.

    Raises:
        InputError: a pattern fits no weight, or no weight is left to be trained.
    """
    weights = {user_name(name): weight for name, weight in network.named_parameters()}
    for pattern in patterns:
        for name in find_weights(weights, pattern, f"freeze={pattern}"):
            weights[name].requires_grad_(False)
    if not any(weight.requires_grad for weight in weights.values()):
        raise InputError(f"freeze={list(patterns)}: nothing is left to be trained")


def add_changes(
    network: nn.Module,
    rank: int,
    alpha: float | None = None,
    parts: str | Sequence[str] | None = None,
) -> None:
    """Add low-rank changes (LoRA) to weights of a network, and freeze all that it had before.

    Weights of linear, recurrent and convolution layers, also transposed, can be changed: matrices
    and kernels, no biases and normalisations. The changes begin as none.

    Args:
        network: network to be trained.
        rank: rank of the changes, at least 1.
        alpha: the changes are scaled by `alpha / rank`; None: by 1.
        parts: parts of the network, or patterns for names of weights, that are changed; None: all.

    Raises:
        InputError: an argument out of range, parts without such a weight, or a weight that several
            layers share.
    """
    if type(rank) is not int or rank < 1:
        raise InputError(f"lora.rank={rank}: expected at least 1, or 0 for no low-rank changes")
    scale = positive("lora.alpha", rank if alpha is None else alpha) / rank
    names = [name for name, _ in network.named_parameters()]
    patterns = [parts] if isinstance(parts, str) else ["*"] if parts is None else parts
    chosen = {n for p in patterns for n in find_weights(names, p, f"lora.parts={p}")}
    wanted = [
        (layer, name, f"{place}.{name}")
        for place, layer in network.named_modules()
        for name, weight in layer.named_parameters(recurse=False)
        if name.startswith("weight") and weight.dim() > 1 and f"{place}.{name}" in chosen
    ]
    if not wanted:
        raise InputError(
            f"lora.parts={list(patterns)}: holds no weights of linear, recurrent or convolution "
            "layers, which can be changed"
        )
    places = [id(weight) for _, weight in network.named_parameters(remove_duplicate=False)]
    network.requires_grad_(False)
    for layer, name, full_name in wanted:
        if places.count(id(getattr(layer, name))) > 1:
            raise InputError(
                f"lora: {full_name} is the weight of several layers; leave it out with lora.parts"
            )
        adapt(layer, name, rank, scale)
    log.info("lora: changes of rank %d of %d weights", rank, len(wanted))
