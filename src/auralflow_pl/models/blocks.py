"""Layers and initialisation shared by the networks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auralflow_pl.errors import InputError

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. (2017)

SELU_BLOCK = 2**15  # values per thread that stay in a CPU cache


class InPlaceSELU(torch.autograd.Function):
    """SELU in place with `exp`; `torch.selu` takes `expm1`, which is many times slower on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Replace the values of a tensor on a CPU, in blocks, computed in float32."""
        ends = SELU_ALPHA * SELU_SCALE
        for block in in_memory_order(x).split(SELU_BLOCK * torch.get_num_threads()):
            line = block.float()
            curve = line.clamp(max=0).exp_()
            line.clamp_(min=0).mul_(SELU_SCALE).add_(curve, alpha=ends).sub_(ends)
            if line is not block:
                block.copy_(line)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Gradient for the input, from the output alone."""
        (output,) = ctx.saved_tensors
        return torch.ops.aten.elu_backward(gradient, SELU_ALPHA, SELU_SCALE, 1.0, True, output)


class SELU(nn.SELU):
    """SELU in place, the same up to rounding and fast on a CPU; see `InPlaceSELU`."""

    def __init__(self) -> None:
        super().__init__(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply SELU to a tensor of any shape, which changes."""
        recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()  # as one operator
        if recorded or x.device.type != "cpu" or x.dtype == torch.float64 or not is_dense(x):
            return super().forward(x)
        return InPlaceSELU.apply(x)


def is_dense(x: Tensor) -> bool:
    """Whether values fill their memory, in the order of the axes or with channels last."""
    return x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))


def in_memory_order(x: Tensor) -> Tensor:
    """The values of a dense tensor as a vector that shares their memory."""
    return (x if x.is_contiguous() else x.permute(0, 2, 3, 1)).view(-1)


def activation_module(leak: float) -> nn.Module:
    """LeakyReLU with slope `leak` if that is more than 0, else SELU; both operate in place."""
    return nn.LeakyReLU(leak, inplace=True) if leak > 0 else SELU()


def initialise_weights(module: nn.Module, leak: float) -> None:
    """Initialise convolutions to preserve variance: He (2015) for LeakyReLU, LeCun for SELU."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            gain = nn.init.calculate_gain("leaky_relu", leak) if leak > 0 else 1.0
            # A stride of 2 spreads the inputs of a transposed convolution over 4 outputs.
            fan = (
                layer.weight[0].numel()
                if isinstance(layer, nn.Conv2d)
                else (layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1] / 4)
            )
            nn.init.normal_(layer.weight, std=gain / fan**0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def pad_to_multiple(spec: Tensor, multiple: int) -> Tensor:
    """Zero-pad `(..., freq, frames)` at the end of both axes to a multiple of `multiple`."""
    freq, frames = spec.shape[-2:]
    return F.pad(spec, (0, -frames % multiple, 0, -freq % multiple))


def full_precision(x: Tensor) -> Tensor:
    """Return `x` in float32; float64 is kept."""
    return x if x.dtype == torch.float64 else x.float()


class FrequencyAffine(nn.Module):
    """Learned shift and scale per frequency: `(x + shift) * scale` for `(..., freq, frames)`."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(bins, 1))
        self.scale = nn.Parameter(torch.ones(bins, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Shift and scale `x`, `(..., freq, frames)`."""
        return (x + self.shift) * self.scale


class InputNormalisation(nn.Module):
    """Standardise every frequency by running statistics, then apply a learned shift and scale.

    Batch normalisation over batch, channels and frames. In evaluation the statistics are those of
    the training data, so all chunks are treated alike.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(bins)

    def forward(self, x: Tensor) -> Tensor:
        """Standardise `x`, `(batch, channels, freq, frames)`."""
        batch, channels, freq, frames = x.shape
        rows = x.reshape(batch * channels, freq, frames)
        return self.norm(rows).reshape(x.shape)


class Compression(nn.Module):
    """Maps the levels of music to about [-1, 1].

    Args:
        kind: `log`, `log(magnitude + 1e-3) / 4`; `power`, `magnitude ** 0.3 - 1`; `none`, the
            magnitude itself.

    Raises:
        InputError: another kind.
    """

    NAMES = ("log", "power", "none")

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind not in self.NAMES:
            raise InputError(f"compression={kind}: expected one of {', '.join(self.NAMES)}")
        self.kind = kind

    def forward(self, magnitude: Tensor) -> Tensor:
        """Compress a magnitude of any shape."""
        match self.kind:
            case "log":
                return torch.log(magnitude + 1e-3) / 4
            case "power":
                return (magnitude + 1e-5).pow(0.3) - 1  # a finite slope at 0
            case _:
                return magnitude


class ComplexFeatures(nn.Module):
    """What a network with complex masks hears: compressed magnitudes, and where the phases point.

    Args:
        kind: of compression, see `Compression`.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.compress = Compression(kind)

    def forward(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Split a spectrum into magnitudes and phases.

        Args:
            spectrum: real parts of all channels, then imaginary ones,
                `(batch, 2 * channels, freq, frames)`.

        Returns:
            compressed magnitudes `(batch, channels, freq, frames)`, and the spectrum with the cubic
            root of its magnitude, in the shape of the input.
        """
        real, imaginary = spectrum.chunk(2, dim=1)
        level = torch.sqrt(real.square() + imaginary.square() + 1e-10)
        return self.compress(level), spectrum * level.pow(-2 / 3).repeat(1, 2, 1, 1)


def rotated_mask(mask: Tensor, turn: Tensor) -> Tensor:
    """Complex masks of given magnitudes, in the polar form of Kong et al. (2021).

    Args:
        mask: magnitudes of the masks, `(batch, targets, channels, freq, frames)`.
        turn: numbers without bounds, `(batch, 2 * targets, channels, freq, frames)`. The phase of a
            mask is that of `1 + x + iy`, where `x` and `y` are the first and the second half.

    Returns:
        real parts of the masks of all targets, then imaginary ones, in the shape of `turn`.
    """
    along, across = turn.chunk(2, dim=1)
    along = along + 1
    scale = mask * torch.rsqrt(along.square() + across.square() + 1e-8)
    return torch.cat([along * scale, across * scale], dim=1)


class MaskActivation(nn.Module):
    """Map logits `(batch, targets, channels, freq, frames)` to masks in [0, 1], times `limit`.

    sigmoid, softmax (over targets), tanh (scaled to [0, 1]), hardtanh (clipped to [0, 1]), and
    relu, leaky_relu, prelu, selu, elu, whose values are clipped to [0, 1]. The gradient of
    leaky_relu is not: below 0 it is `leak`, so bins with a mask of 0 go on learning.

    Args:
        name: one of `MaskActivation.NAMES`.
        targets: number of targets, for softmax at least 2.
        leak: slope of leaky_relu below 0.
        limit: factor of the masks, at least 1: where phases cancel in the mixture, a target may be
            louder than it.

    Raises:
        InputError: unknown name, softmax over a single target, which is always 1, or a number out
            of range.
    """

    NAMES = (
        "sigmoid", "relu", "leaky_relu", "hardtanh", "tanh", "softmax", "prelu", "selu", "elu"
    )  # fmt: skip

    def __init__(self, name: str, targets: int, leak: float = 0.01, limit: float = 1.0) -> None:
        super().__init__()
        if name not in self.NAMES:
            raise InputError(f"mask_activation={name}: expected one of {', '.join(self.NAMES)}")
        if name == "softmax" and targets < 2:
            raise InputError(
                "mask_activation=softmax: needs at least two targets, as over one it is always 1; "
                "use mask_activation=sigmoid"
            )
        if not 0 < leak < 1:
            raise InputError(f"mask_leak={leak}: expected more than 0 and less than 1")
        if not 1 <= limit <= 10:
            raise InputError(f"mask_limit={limit}: expected from 1 to 10")
        self.name, self.leak, self.limit = name, leak, limit
        self.slope = nn.Parameter(torch.tensor([0.25])) if name == "prelu" else None

    def forward(self, logits: Tensor) -> Tensor:
        """Masks of logits `(batch, targets, channels, freq, frames)`."""
        mask = self.activate(logits)
        return mask if self.limit == 1 else mask * self.limit

    def activate(self, logits: Tensor) -> Tensor:
        """Apply the activation alone."""
        match self.name:
            case "sigmoid":
                return torch.sigmoid(logits)
            case "softmax":
                return torch.softmax(logits, dim=1)
            case "tanh":
                return 0.5 + 0.5 * torch.tanh(logits)
            case "leaky_relu":
                line = F.leaky_relu(logits, self.leak)
                mask = line.detach().clamp(0, 1)
                return mask + (line - line.detach()) if self.training else mask
            case "prelu":
                return F.prelu(logits, self.slope).clamp(0, 1)
            case "relu" | "hardtanh":  # identical after clipping to [0, 1]
                return logits.clamp(0, 1)
            case _:
                return getattr(F, self.name)(logits).clamp(0, 1)
