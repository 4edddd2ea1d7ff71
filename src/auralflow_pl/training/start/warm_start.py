"""Begin a training with the weights of another model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from auralflow_pl.checkpoints.contents import Checkpoint
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.checkpoints.tensors import check_tensor_values
from auralflow_pl.checks.imports import current_name
from auralflow_pl.data.targets import resolve_targets
from auralflow_pl.errors import InputError, shown
from auralflow_pl.models.low_rank import user_name, without_changes
from auralflow_pl.pretrained.cache import locate
from auralflow_pl.training.start.resuming import comparable

log = logging.getLogger(__name__)

MOST_NAMES = 12  # in a table or a message


class WeightMatch(NamedTuple):
    """Names of the tensors of a network, by what becomes of them."""

    loaded: list[str]
    new: dict[str, str]  # with the reason
    left_over: list[str]  # of the other model, which this network has not


def warm_start(network: nn.Module, config: Mapping[str, Any]) -> None:
    """Load the weights of the model `config["init"]` into a network, and log what was loaded.

    Optimizer, schedule and step begin anew. With `init_strict` every weight must be found.

    Args:
        network: network of the training.
        config: plain configuration of the training, with `init` and `init_strict`.

    Raises:
        InputError: the model cannot be read; its network is of another class; or, with
            `init_strict`, its sound or its weights differ.
    """
    given, strict = config["init"], config["init_strict"]
    checkpoint = load_checkpoint(locate(given, key="init"), "init")
    if not checkpoint.weights:
        raise InputError(f"init={given}: an ONNX file has a graph, but no weights to train")
    check_network_kind(config, checkpoint)
    if strict:
        check_same_sound(config, checkpoint)
    state = without_changes(network.state_dict())
    match = match_weights(state, checkpoint.weights)
    if strict and (match.new or match.left_over):
        described = [f"{name}: {reason}" for name, reason in match.new.items()]
        described += [f"{name}: not in this network" for name in match.left_over]
        raise InputError(
            f"init={given}: {'; '.join(shortened(described))}; use the keys of that model "
            "(`auralflow config <its run folder>` shows them), or pass init_strict=false to begin "
            "these weights anew"
        )
    if not match.loaded:
        raise InputError(f"init={given}: has no weight of this network; use its model keys")
    parameters = {user_name(name) for name, _ in network.named_parameters()}
    with torch.no_grad():
        for name in match.loaded:
            value = checkpoint.weights[name]
            check_tensor_values(name, value, state[name].dtype, name in parameters)
            state[name].copy_(value)
    log.info("init=%s, step %d", given, checkpoint.step)
    for line in match_table(match, state):
        log.info("%s", line)


def check_network_kind(config: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Raise InputError for a network of another class, or targets in another order."""
    kinds = [current_name(one["model"]["_target_"]) for one in (checkpoint.config, config)]
    if kinds[0] != kinds[1]:
        raise InputError(
            f"init={config['init']}: its network is {kinds[0]}, that of model= is {kinds[1]}; pass "
            "the option of its network"
        )
    there, here = (
        list(resolve_targets(one["target"], one["data"]["stems"], one["data"].get("groups")))
        for one in (checkpoint.config, config)
    )
    if there != here and sorted(there) == sorted(here):
        raise InputError(
            f"init={config['init']}: its targets are in another order; pass target="
            f"[{','.join(there)}]"
        )
    if there != here:
        log.info("init: its targets were %s, are %s", ", ".join(there), ", ".join(here))


def check_same_sound(config: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Raise InputError if the sample rate, the channels or the STFT differ."""
    differing = []
    for group in ("audio", "stft"):
        there, here = (comparable(group, one[group]) for one in (checkpoint.config, config))
        differing += [
            (f"{group}.{key}", there[key]) for key in there if here.get(key) != there[key]
        ]
    if differing:
        keys = " ".join(f"{key}={shown(value)}" for key, value in differing)
        raise InputError(
            f"init={config['init']}: was trained with other sound; pass {keys}, or "
            "init_strict=false to adapt its weights to this sound"
        )


def match_weights(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> WeightMatch:
    """Compare the tensors of a network with those of another model by name and shape."""
    loaded, new = [], {}
    for name, value in state.items():
        if name not in weights:
            new[name] = "missing there"
        elif weights[name].shape != value.shape:
            there, here = (tuple(part.shape) for part in (weights[name], value))
            new[name] = f"has shape {there} there, {here} here"
        else:
            loaded.append(name)
    return WeightMatch(loaded, new, [shown(name) for name in weights if name not in state])


def match_table(match: WeightMatch, state: Mapping[str, Tensor]) -> Iterator[str]:
    """Lines that say what was loaded, what begins anew, and what was left over."""
    yield f"  loaded     {len(match.loaded):5} tensors, {count(state, match.loaded):,} values"
    yield f"  new        {len(match.new):5} tensors, {count(state, match.new):,} values"
    for line in shortened([f"{name}: {reason}" for name, reason in match.new.items()]):
        yield f"    {line}"
    yield f"  left over  {len(match.left_over):5} tensors"
    for line in shortened(match.left_over):
        yield f"    {line}"


def count(state: Mapping[str, Tensor], names: Iterable[str]) -> int:
    """Number of values of some tensors."""
    return sum(state[name].numel() for name in names)


def shortened(lines: list[str]) -> list[str]:
    """At most `MOST_NAMES` lines, with the number of the others."""
    others = len(lines) - MOST_NAMES
    return lines if others <= 0 else [*lines[:MOST_NAMES], f"and {others} more"]
