"""Optimizers with optional learning rates of their own for recurrent layers and for parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from auralflow_pl.checkpoints.trained import NETWORK_PREFIX
from auralflow_pl.checks.values import positive
from auralflow_pl.errors import InputError, shown
from auralflow_pl.models.low_rank import user_name
from auralflow_pl.training.start.parts import find_weights


def parameter_groups(
    module: nn.Module,
    lr: float,
    lr_recurrent: float | None = None,
    lr_scale: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups of a module: one, and more for layers with learning rates of their own.

    The groups have names, by which their rates are logged: `learning_rate`,
    `learning_rate_recurrent`, and both with `_<part>` for the parts in `lr_scale`.

    Args:
        module: module whose parameters are trained; a `SeparationTask` or a network.
        lr: learning rate.
        lr_recurrent: learning rate of LSTM, GRU and RNN layers; None: the same.
        lr_scale: factors of the rate that weights would have otherwise, by parts of the network
            or patterns, named as in `freeze`. Of several that fit a weight the first counts.

    Raises:
        InputError: `lr_recurrent` is given for a network without recurrent layers, or `lr_scale`
            has a part without a weight to be trained, or a factor that is not above 0.
    """
    recurrent = {
        id(parameter)
        for layer in module.modules()
        if isinstance(layer, nn.RNNBase)
        for parameter in layer.parameters()
    }
    if lr_recurrent is not None and not recurrent:
        raise InputError("optimizer.lr_recurrent: this network has no recurrent layers; use null")
    named = {
        user_name(name.removeprefix(NETWORK_PREFIX)): weight
        for name, weight in module.named_parameters()
    }
    trained = {name: weight for name, weight in named.items() if weight.requires_grad}
    part_of, scales = scaled_parts(list(named), trained, lr_scale), dict(lr_scale or {})
    rates = {"learning_rate": lr}
    if lr_recurrent is not None:
        rates["learning_rate_recurrent"] = lr_recurrent
    groups: dict[tuple[str, str | None], dict[str, Any]] = {
        (name, None): {"params": [], "lr": rate, "name": name} for name, rate in rates.items()
    }
    for name, weight in trained.items():
        own = list(rates)[-1 if id(weight) in recurrent else 0]
        part = part_of.get(name)
        if part is not None and (own, part) not in groups:
            rate = rates[own] * scales[part]
            groups[own, part] = {"params": [], "lr": rate, "name": f"{own}_{part}"}
        groups[own, part]["params"].append(weight)
    return list(groups.values())


def scaled_parts(
    names: Sequence[str], trained: Iterable[str], lr_scale: Mapping[str, float] | None
) -> dict[str, str]:
    """The part in `lr_scale` that each weight belongs to, for those that are in one.

    Args:
        names: names of all weights.
        trained: names of those that are trained.
        lr_scale: factors by part or pattern.

    Raises:
        InputError: a part is unknown or has no weight left, or a factor is not above 0.
    """
    if not isinstance(lr_scale, Mapping | None):
        raise InputError(
            f"optimizer.lr_scale={shown(lr_scale)}: expected factors by parts of the network, as "
            "in {encoder:0.1}"
        )
    part_of: dict[str, str] = {}
    waiting = set(trained)
    for part, factor in (lr_scale or {}).items():
        key = f"optimizer.lr_scale.{part}"
        positive(key, factor)
        found = find_weights(names, part, key)
        own = waiting.intersection(found)
        if not own:
            raise InputError(
                f"{key}: no weight is left to which it applies; all are frozen, or in a part "
                "before it"
            )
        part_of |= dict.fromkeys(own, part)
        waiting -= own
    return part_of


def is_unscaled(optimizer: Optimizer) -> Optimizer:
    """Mark a fused optimizer so that the Trainer removes the loss scale from gradients.

    By default its kernel removes the scale after clipping, which Lightning rejects.
    """
    optimizer._step_supports_amp_scaling = False
    return optimizer


def adamw(
    module: nn.Module,
    lr: float,
    lr_recurrent: float | None = None,
    lr_scale: Mapping[str, float] | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 1e-2,
    fused: bool = True,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter, 2019).

    Args:
        module: module whose parameters are trained.
        lr: learning rate.
        lr_recurrent: learning rate of recurrent layers; None: the same.
        lr_scale: factors of the learning rate by parts of the network; None: 1 for all.
        betas: decay rates of the averages of gradients and of squared gradients.
        weight_decay: decoupled weight decay, multiplied by the learning rate in each step.
        fused: update all parameters in one kernel.
    """
    groups = parameter_groups(module, lr, lr_recurrent, lr_scale)
    return is_unscaled(
        torch.optim.AdamW(groups, lr, tuple(betas), weight_decay=weight_decay, fused=fused)
    )


def adam(
    module: nn.Module,
    lr: float,
    lr_recurrent: float | None = None,
    lr_scale: Mapping[str, float] | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    fused: bool = True,
) -> Optimizer:
    """Adam (Kingma and Ba, 2015).

    Args:
        module: module whose parameters are trained.
        lr: learning rate.
        lr_recurrent: learning rate of recurrent layers; None: the same.
        lr_scale: factors of the learning rate by parts of the network; None: 1 for all.
        betas: decay rates of the averages of gradients and of squared gradients.
        fused: update all parameters in one kernel.
    """
    groups = parameter_groups(module, lr, lr_recurrent, lr_scale)
    return is_unscaled(torch.optim.Adam(groups, lr, tuple(betas), fused=fused))


def sgd(
    module: nn.Module,
    lr: float,
    lr_recurrent: float | None = None,
    lr_scale: Mapping[str, float] | None = None,
    momentum: float = 0.9,
    nesterov: bool = True,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Stochastic gradient descent with momentum.

    Args:
        module: module whose parameters are trained.
        lr: learning rate.
        lr_recurrent: learning rate of recurrent layers; None: the same.
        lr_scale: factors of the learning rate by parts of the network; None: 1 for all.
        momentum: decay rate of the momentum buffer.
        nesterov: use Nesterov momentum.
        weight_decay: L2 penalty, whose product with the weights is added to the gradients.
    """
    groups = parameter_groups(module, lr, lr_recurrent, lr_scale)
    return torch.optim.SGD(groups, lr, momentum, 0.0, weight_decay, nesterov)


def rmsprop(
    module: nn.Module,
    lr: float,
    lr_recurrent: float | None = None,
    lr_scale: Mapping[str, float] | None = None,
    alpha: float = 0.99,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """RMSprop (Hinton, 2012).

    Args:
        module: module whose parameters are trained.
        lr: learning rate.
        lr_recurrent: learning rate of recurrent layers; None: the same.
        lr_scale: factors of the learning rate by parts of the network; None: 1 for all.
        alpha: decay rate of the average of squared gradients.
        momentum: decay rate of the momentum buffer.
        weight_decay: L2 penalty, whose product with the weights is added to the gradients.
    """
    groups = parameter_groups(module, lr, lr_recurrent, lr_scale)
    return torch.optim.RMSprop(groups, lr, alpha, 1e-8, weight_decay, momentum)
