"""Weights in float16 or int8, as exported models store them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from auralflow_pl.checkpoints.contents import MAX_MODEL_BYTES
from auralflow_pl.errors import InputError, shown

SCALE_SUFFIX = ":scale"  # of the name of an int8 tensor; names of modules in torch have no colon

LEAST_INT8_VALUES = 1024  # smaller tensors stay as they are: they take little room

LARGEST_INT8 = 127


def to_float16(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with all floating-point tensors rounded to float16."""
    return {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}


def to_int8(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with each large matrix or kernel as int8 values and float32 scales.

    A weight is `value * scale`. The scale is the largest absolute weight of a channel divided by
    127; channels are along the first or the second axis, whichever rounds less away, since those of
    the output are first in convolutions and second in transposed ones. Vectors, small tensors and
    tensors that are not finite stay as they are.

    Returns:
        tensors by name; `<name>:scale` is of shape `(n, 1, ...)` or `(1, n, ...)`.
    """
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        large = weight.ndim > 1 and weight.numel() >= LEAST_INT8_VALUES
        if not (large and weight.is_floating_point() and bool(weight.isfinite().all())):
            stored[name] = weight
            continue
        rounded = [rounded_by_channel(weight.float(), axis) for axis in (0, 1)]
        errors = [float((v * s - weight).square().sum()) for v, s in rounded]
        values, scale = rounded[errors[1] < errors[0]]
        stored[name], stored[name + SCALE_SUFFIX] = values.to(torch.int8), scale
    return stored


def rounded_by_channel(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127 and scales of a weight whose channels are along `axis`."""
    others = [other for other in range(weight.ndim) if other != axis]
    scale = weight.abs().amax(others, keepdim=True) / LARGEST_INT8
    return (weight / scale).nan_to_num_(0.0, 0.0, 0.0).round_(), scale


def to_float(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the tensors of a file: int8 values times their scales in float32, others as is.

    Raises:
        InputError: scales without values, or of another type or shape than theirs, scales that are
            no finite numbers, or more than `MAX_MODEL_BYTES` of weights.
    """
    scales = {n.removesuffix(SCALE_SUFFIX): n for n in stored if n.endswith(SCALE_SUFFIX)}
    weights = {name: value for name, value in stored.items() if name not in scales.values()}
    size = sum(4 * value.numel() for name, value in weights.items() if name in scales)
    if size > MAX_MODEL_BYTES:
        raise InputError(f"{size / 1e9:.1f} GB of weights; expected {MAX_MODEL_BYTES / 1e9:.1f} GB")
    for name, of_scale in scales.items():
        values, scale = weights.get(name), stored[of_scale]
        if values is None or values.dtype != torch.int8:
            raise InputError(f"{shown(of_scale)}: no int8 values of this name; export it again")
        fitting = [[n if i == axis else 1 for i, n in enumerate(values.shape)] for axis in (0, 1)]
        if list(scale.shape) not in fitting[: values.ndim]:
            raise InputError(
                f"{shown(of_scale)} has the shape {shown(tuple(scale.shape))} for values "
                f"{shown(tuple(values.shape))}; expected one scale a channel; export it again"
            )
        if scale.dtype not in (torch.float32, torch.float16) or not bool(scale.isfinite().all()):
            raise InputError(f"{shown(of_scale)}: expected finite float32 numbers; export it again")
        weights[name] = values.float().mul_(scale)
    return weights


def rounding_level(weights: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> float:
    """Power of what rounding took away, relative to that of the rounded weights, in dB.

    Args:
        weights: before, by name.
        stored: what `to_float16` or `to_int8` made of them.

    Returns:
        the level; -inf if nothing was rounded.
    """
    restored = to_float(stored)
    rounded = [n for n, v in weights.items() if stored[n].dtype != v.dtype]
    both = [(weights[name].float(), restored[name].float()) for name in rounded]
    error = sum(float((a - b).square().sum(dtype=torch.float64)) for a, b in both)
    power = sum(float(a.square().sum(dtype=torch.float64)) for a, _ in both)
    return float(10 * torch.log10(torch.tensor(error / power))) if power else float("-inf")
