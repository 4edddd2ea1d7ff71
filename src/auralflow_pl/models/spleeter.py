"""Spleeter's network (Hennequin et al., 2020): one U-Net per target, masks from ratios of powers.

Its published weights are read by `checkpoints.foreign.spleeter`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import zip_longest
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.models.blocks import MaskActivation, full_precision, initialise_weights
from auralflow_pl.models.unet import Bottleneck

EPSILON = 1e-10  # of a power, shared by all targets: silence is divided equally

LEAK = 0.2  # slope of the LeakyReLU of the encoder

HIDDEN_ACTIVATIONS = ("relu", "elu")

MASK_EXTENSIONS = ("zeros", "average")


class HalvingConv(nn.Conv2d):
    """5x5 convolution with stride 2 and TensorFlow's padding: 1 before and 2 after each axis."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 5, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, inputs, freq, frames)`, both even, to half the resolution."""
        return super().forward(F.pad(x, (1, 2, 1, 2)))


class DoublingConv(nn.ConvTranspose2d):
    """The transpose of `HalvingConv`: cuts 1 before and 2 after each axis."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 5, stride=2, padding=1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map `(batch, inputs, freq, frames)` to twice the resolution."""
        return super().forward(x, output_size)[..., :-1, :-1]


class ChannelAffine(nn.Module):
    """A batch normalisation of evaluation mode as a scale and a shift per channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        self.register_buffer("scale", scale.detach()[:, None, None])
        self.register_buffer("shift", shift.detach()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift `x`, `(batch, channels, freq, frames)`."""
        return x * self.scale + self.shift


def batch_norm(size: int) -> nn.BatchNorm2d:
    """Batch normalisation with the constants of TensorFlow."""
    return nn.BatchNorm2d(size, eps=1e-3, momentum=0.01)


class TargetUNet(nn.Module):
    """The U-Net of one target.

    Unlike `models.unet.UNet`, skip connections carry maps before their normalisation, the decoder
    normalises after its activation, and its last level has a single channel.

    Args:
        channels: audio channels.
        width: channels of the first level; every level has twice the channels of the one before.
        levels: number of levels.
        deepest: channels of the deepest level; None: as of every level.
        dropout: probability with which a value is set to 0 in the first three levels of the
            decoder.
        elu: ELU everywhere; else LeakyReLU in the encoder and ReLU in the decoder.
        bottleneck: makes the layers between encoder and decoder from the channels and the
            frequency cells of the deepest level; None: no such layers.
        cells: frequency cells of the deepest level.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        levels: int,
        deepest: int | None,
        dropout: float,
        elu: bool,
        bottleneck: Callable[[int, int], Bottleneck] | None,
        cells: int,
    ) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(levels)]
        sizes[-1] = deepest or sizes[-1]

        def activation(leak: float) -> nn.Module:
            return nn.ELU(inplace=True) if elu else nn.LeakyReLU(leak, inplace=True)

        self.down = nn.ModuleList(map(HalvingConv, [channels, *sizes], sizes))
        self.between = nn.ModuleList(
            nn.Sequential(batch_norm(size), activation(LEAK)) for size in sizes[:-1]
        )
        self.bottleneck = bottleneck(sizes[-1], cells) if bottleneck else Bottleneck()
        inputs = [sizes[-1], *(2 * size for size in reversed(sizes[:-1]))]
        outputs = [*reversed(sizes[:-1]), 1]
        self.up = nn.ModuleList(map(DoublingConv, inputs, outputs))
        self.after = nn.ModuleList(
            nn.Sequential(
                activation(0.0), batch_norm(size), nn.Dropout(dropout if number < 3 else 0.0)
            )
            for number, size in enumerate(outputs)
        )
        self.head = nn.Conv2d(1, channels, 4, dilation=2, padding=3)
        initialise_weights(self, 0.0 if elu else LEAK)

    def fold_norms(self) -> None:
        """Replace the normalisations by those of evaluation mode."""
        for layers in (*self.between, *self.after):
            for number, layer in enumerate(layers):
                if isinstance(layer, nn.BatchNorm2d):
                    layers[number] = ChannelAffine(layer)

    def forward(self, x: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Map a magnitude `(batch, channels, freq, frames)` to logits like it, and penalties."""
        skips: list[Tensor] = []
        for conv, layers in zip_longest(self.down, self.between):
            skips.append(conv(x))
            x = layers(skips[-1]) if layers else skips.pop()
        x, penalties = self.bottleneck(x)
        for conv, layers in zip(self.up, self.after, strict=True):
            x = layers(conv(x))
            if skips:
                x = torch.cat([skips.pop(), x], dim=1)
        return self.head(x), penalties


class Spleeter(MaskEstimator):
    """One U-Net per target; the mask of a target is its share of the estimated powers.

    Each U-Net estimates the magnitude of its target. A single target has nobody to share with: its
    mask is what its U-Net gives.

    Args:
        channels: audio channels, 1 for mono, 2 for stereo.
        targets: number of targets; each gets its own U-Net.
        n_fft: points of the STFT; gives the number of frequencies.
        bandwidth: share of the frequencies that the network processes, more than 0 and at most 1.
        mask_extension: mask of higher frequencies, `zeros`, or `average` for the mean of the
            frequencies that are processed.
        width: channels of the first level; every level has twice the channels of the one before.
        levels: number of levels; each halves the resolution.
        deepest: channels of the deepest level; None: twice those of the level before.
        dropout: probability with which a value is set to 0 in the first three levels of the
            decoder.
        hidden_activation: `relu` for LeakyReLU with slope 0.2 in the encoder and ReLU in the
            decoder, or `elu` for ELU in both.
        mask_activation: activation of the U-Nets' own masks, as in `models.unet.UNet`.
        separation_exponent: exponent of the estimated magnitudes whose shares are the masks, at
            least 1; None: the U-Nets' own masks.
        segment_frames: frames that are processed independently of all others, a multiple of
            `2 ** levels`; None: any number.
        bottleneck: function that makes the layers between encoder and decoder of a U-Net from the
            channels and the frequency cells of the deepest level; None: no such layers.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        channels: int = 2,
        targets: int = 2,
        n_fft: int = 4096,
        bandwidth: float = 0.5,
        mask_extension: str = "zeros",
        width: int = 16,
        levels: int = 6,
        deepest: int | None = None,
        dropout: float = 0.5,
        hidden_activation: str = "relu",
        mask_activation: str = "sigmoid",
        separation_exponent: float | None = 2.0,
        segment_frames: int | None = 512,
        bottleneck: Callable[[int, int], Bottleneck] | None = None,
    ) -> None:
        super().__init__()
        if (
            not 0 < bandwidth <= 1
            or width < 1
            or not 1 <= levels <= 10
            or not (deepest is None or deepest >= 1)
            or not (separation_exponent is None or 1 <= separation_exponent <= 10)
        ):
            raise InputError(
                f"model: bandwidth={bandwidth}, width={width}, levels={levels}, deepest={deepest}, "
                f"separation_exponent={separation_exponent}: expected bandwidth more than 0 and at "
                "most 1, width and deepest at least 1, levels from 1 to 10, separation_exponent "
                "from 1 to 10"
            )
        if hidden_activation not in HIDDEN_ACTIVATIONS or mask_extension not in MASK_EXTENSIONS:
            raise InputError(
                f"model: hidden_activation={hidden_activation}, mask_extension={mask_extension}: "
                f"expected one of {', '.join(HIDDEN_ACTIVATIONS)}, and one of "
                f"{', '.join(MASK_EXTENSIONS)}"
            )
        self.cells = 2**levels  # input frequencies or frames per cell of the deepest map
        if segment_frames is not None and (segment_frames < 1 or segment_frames % self.cells):
            raise InputError(
                f"model.segment_frames={segment_frames}: expected a multiple of 2 ** levels, "
                f"{self.cells}"
            )
        self.segmented = segment_frames is not None
        self.frame_multiple = segment_frames or self.cells
        self.bins = max(1, round(bandwidth * n_fft / 2))
        self.mask_extension = mask_extension
        self.exponent = separation_exponent if targets > 1 else None
        elu = hidden_activation == "elu"
        rows = -(-self.bins // self.cells)
        unets = [
            TargetUNet(channels, width, levels, deepest, dropout, elu, bottleneck, rows)
            for _ in range(targets)
        ]
        self.unets = nn.ModuleList(unets)
        reaches = [unsegmented_reach(levels, unets[0].bottleneck.frame_reach)]
        if segment_frames is not None:
            reaches.append(segment_frames - 1)
        self.frame_reach = min((reach for reach in reaches if reach is not None), default=None)
        self.mask_activation = MaskActivation(mask_activation, targets)

    def simplify(self) -> None:
        """Fix the normalisations and use the channels-last format."""
        self.eval()
        for unet in self.unets:
            unet.fold_norms()
            unet.bottleneck.simplify()
        self.to(memory_format=torch.channels_last)

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Estimate one mask per target from a magnitude `(batch, channels, freq, frames)`."""
        batch, _, freq, frames = magnitude.shape
        x = magnitude[:, :, : self.bins]
        x = F.pad(x, (0, -frames % self.frame_multiple, 0, -self.bins % self.cells))
        if self.segmented:
            x = x.unflatten(-1, (-1, self.frame_multiple)).permute(0, 3, 1, 2, 4).flatten(0, 1)
        masks, penalties = zip(*map(self.share, self.parts(x)), strict=True)
        mask = torch.cat(masks)
        if self.segmented:
            mask = mask.unflatten(0, (batch, -1)).permute(0, 2, 3, 4, 1, 5).flatten(-2)
        return MaskEstimate(self.extend(mask[..., :frames], freq), mean_by_name(penalties))

    def parts(self, x: Tensor) -> Iterator[Tensor]:
        """Items of a batch one by one, which takes least memory, unless it matters which."""
        together = self.training or torch.jit.is_tracing()
        return iter([x] if together else x.split(1))

    def share(self, x: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Masks `(batch, targets, channels, bins, frames)` of padded magnitudes, and penalties."""
        with float_range(x):
            logits, penalties = zip(*(unet(x) for unet in self.unets), strict=True)
        stacked = torch.stack([full_precision(one) for one in logits], dim=1)
        mask = self.own_masks(stacked[..., : self.bins, :])
        if self.exponent is None:
            return mask, mean_by_name(penalties)
        power = (mask * x[:, None, :, : self.bins]).pow(self.exponent)
        total = power.sum(1, keepdim=True) + EPSILON
        return (power + EPSILON / len(self.unets)) / total, mean_by_name(penalties)

    def own_masks(self, logits: Tensor) -> Tensor:
        """Masks of the U-Nets, whose ratios matter also where all of them are small.

        ONNX Runtime's sigmoid has an absolute error of 1e-7 and is wrong there.
        """
        if self.mask_activation.name == "sigmoid":
            return torch.exp(-F.softplus(-logits))
        return self.mask_activation(logits)

    def extend(self, mask: Tensor, freq: int) -> Tensor:
        """Masks with `freq` frequencies, of which the network processed the lower ones."""
        above = freq - self.bins
        if self.mask_extension == "zeros":
            return F.pad(mask, (0, 0, 0, above))
        mean = mask.mean(-2, keepdim=True)
        return torch.cat([mask, mean.expand(*mask.shape[:-2], above, -1)], dim=-2)


def float_range(x: Tensor) -> AbstractContextManager[Any]:
    """Keep autocast off where it means float16: magnitudes as they are exceed its range."""
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return nullcontext()
    dtype = torch.get_autocast_dtype(kind)
    return torch.autocast(kind, dtype, enabled=dtype != torch.float16)


def mean_by_name(found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of each penalty over several mappings with the same names."""
    return {name: torch.stack([one[name] for one in found]).mean() for name in found[0]}


def unsegmented_reach(levels: int, cells: int | None) -> int | None:
    """Receptive field of a mask on either side in frames, without segments.

    Encoder and decoder together reach `4 (1 + ... + 2 ** (levels - 1))` frames on either side, the
    last convolution 3, the bottleneck `cells` of the deepest map, or all if None.
    """
    return None if cells is None else 4 * (2**levels - 1) + 3 + cells * 2**levels
