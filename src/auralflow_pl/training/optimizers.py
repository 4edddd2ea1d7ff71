"""Optimizers with an optional separate learning rate for recurrent layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from auralflow_pl.errors import InputError


def parameter_groups(
    module: nn.Module, lr: float, lr_recurrent: float | None = None
) -> list[dict[str, Any]]:
    """Parameter groups of a module: one, or two if recurrent layers have their own learning rate.

    Args:
        module: module whose parameters are trained.
        lr: learning rate.
        lr_recurrent: learning rate of LSTM, GRU and RNN layers; None: the same.

    Raises:
        InputError: `lr_recurrent` is given for a network without recurrent layers.
    """
    recurrent = {
        id(parameter)
        for layer in module.modules()
        if isinstance(layer, nn.RNNBase)
        for parameter in layer.parameters()
    }
    trained = [p for p in module.parameters() if p.requires_grad]
    if lr_recurrent is None:
        return [{"params": trained, "lr": lr, "name": "learning_rate"}]
    if not recurrent:
        raise InputError("optimizer.lr_recurrent: this network has no recurrent layers; use null")
    return [
        {"params": [p for p in trained if id(p) not in recurrent], "lr": lr}
        | {"name": "learning_rate"},
        {"params": [p for p in trained if id(p) in recurrent], "lr": lr_recurrent}
        | {"name": "learning_rate_recurrent"},
    ]


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
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 1e-2,
    fused: bool = True,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter, 2019).

    Args:
        module: module whose parameters are trained.
        lr: learning rate.
        lr_recurrent: learning rate of recurrent layers; None: the same.
        betas: decay rates of the averages of gradients and of squared gradients.
        weight_decay: decoupled weight decay, multiplied by the learning rate in each step.
        fused: update all parameters in one kernel.
    """
    groups = parameter_groups(module, lr, lr_recurrent)
    return is_unscaled(
        torch.optim.AdamW(groups, lr, tuple(betas), weight_decay=weight_decay, fused=fused)
    )


def adam(
    module: nn.Module,
    lr: float,
    lr_recurrent: float | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    fused: bool = True,
) -> Optimizer:
    """Adam (Kingma and Ba, 2015).

    Args:
        module: module whose parameters are trained.
        lr: learning rate.
        lr_recurrent: learning rate of recurrent layers; None: the same.
        betas: decay rates of the averages of gradients and of squared gradients.
        fused: update all parameters in one kernel.
    """
    groups = parameter_groups(module, lr, lr_recurrent)
    return is_unscaled(torch.optim.Adam(groups, lr, tuple(betas), fused=fused))


def sgd(
    module: nn.Module,
    lr: float,
    lr_recurrent: float | None = None,
    momentum: float = 0.9,
    nesterov: bool = True,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Stochastic gradient descent with momentum.

    Args:
        module: module whose parameters are trained.
        lr: learning rate.
        lr_recurrent: learning rate of recurrent layers; None: the same.
        momentum: decay rate of the momentum buffer.
        nesterov: use Nesterov momentum.
        weight_decay: L2 penalty, whose product with the weights is added to the gradients.
    """
    groups = parameter_groups(module, lr, lr_recurrent)
    return torch.optim.SGD(groups, lr, momentum, 0.0, weight_decay, nesterov)


def rmsprop(
    module: nn.Module,
    lr: float,
    lr_recurrent: float | None = None,
    alpha: float = 0.99,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """RMSprop (Hinton, 2012).

    Args:
        module: module whose parameters are trained.
        lr: learning rate.
        lr_recurrent: learning rate of recurrent layers; None: the same.
        alpha: decay rate of the average of squared gradients.
        momentum: decay rate of the momentum buffer.
        weight_decay: L2 penalty, whose product with the weights is added to the gradients.
    """
    groups = parameter_groups(module, lr, lr_recurrent)
    return torch.optim.RMSprop(groups, lr, alpha, 1e-8, weight_decay, momentum)
