"""U-Net with strided convolutions and skip connections (after Jansson et al., 2017).

The bottleneck between encoder and decoder can be exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.models.blocks import (
    ComplexFeatures,
    Compression,
    FrequencyAffine,
    InputNormalisation,
    MaskActivation,
    activation_module,
    full_precision,
    initialise_weights,
    pad_to_multiple,
    rotated_mask,
)
from auralflow_pl.models.mixing import mixing_layers

MASKS = ("magnitude", "complex")


class UNetLevel(nn.Module):
    """Strided convolution with normalisation, activation and dropout.

    Args:
        conv: convolution without bias.
        leak: slope of LeakyReLU; 0 for SELU.
        dropout: probability with which a whole feature map is set to 0.
    """

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, leak: float, dropout: float) -> None:
        super().__init__()
        self.conv = conv
        self.norm: nn.Module = nn.BatchNorm2d(conv.out_channels)
        self.activation = activation_module(leak)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, inputs, freq, frames)` to `(batch, outputs, ...)` at another resolution."""
        return self.dropout(self.activation(self.norm(self.conv(x))))

    def fold_norm(self) -> None:
        """Fold the normalisation of evaluation mode into the weights of the convolution."""
        transposed = isinstance(self.conv, nn.ConvTranspose2d)
        self.conv = fuse_conv_bn_eval(self.conv, self.norm, transposed)
        self.norm = nn.Identity()


class DownLevel(UNetLevel):
    """Downsampling by 2 in frequency and time: 5x5 convolution with stride 2."""

    def __init__(self, inputs: int, outputs: int, leak: float) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 5, 2, padding=2, bias=False), leak, 0.0)


class UpLevel(UNetLevel):
    """Upsampling by 2 in frequency and time: 4x4 transposed convolution with stride 2.

    The kernel size is a multiple of the stride, which avoids checkerboard patterns (Odena et al.,
    2016).
    """

    def __init__(self, inputs: int, outputs: int, leak: float, dropout: float) -> None:
        conv = nn.ConvTranspose2d(inputs, outputs, 4, 2, padding=1, bias=False)
        super().__init__(conv, leak, dropout)


class Encoder(nn.Module):
    """A chain of `DownLevel`s; level `k` has `sizes[k]` channels at 1 / `2 ** (k + 1)` resolution.

    Args:
        channels: channels of the input.
        sizes: channels of the levels.
        leak: slope of LeakyReLU; 0 for SELU.
        mixers: layers applied to the feature map of each level.
    """

    def __init__(
        self, channels: int, sizes: Sequence[int], leak: float, mixers: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        pairs = zip([channels, *sizes], sizes, strict=False)
        self.levels = nn.ModuleList(DownLevel(inputs, outputs, leak) for inputs, outputs in pairs)
        self.mixers = nn.ModuleList(mixers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps of all levels, from the finest to the deepest."""
        maps = []
        for down, mixer in zip(self.levels, self.mixers, strict=True):
            x = mixer(down(x))
            maps.append(x)
        return maps


class Decoder(nn.Module):
    """A chain of `UpLevel`s with skip connections from the encoder's maps of equal resolution.

    Args:
        sizes: channels of the encoder's levels.
        outputs: channels of the output.
        leak: slope of LeakyReLU; 0 for SELU.
        dropout: probability in the innermost three levels.
        mixers: layers applied to the upsampled maps of all levels but the deepest, finest first.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        outputs: int,
        leak: float,
        dropout: float,
        mixers: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        self.mixers = nn.ModuleList(mixers)
        deepest = len(sizes) - 1
        self.levels = nn.ModuleList(
            UpLevel(
                sizes[level] * (1 if level == deepest else 2),
                sizes[level - 1],
                leak,
                dropout if level >= deepest - 2 else 0.0,
            )
            for level in range(deepest, 0, -1)
        )
        first = sizes[0] * (1 if deepest == 0 else 2)
        self.head = nn.ConvTranspose2d(first, outputs, 4, stride=2, padding=1)

    def forward(self, x: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Map the deepest feature map and the finer ones (finest first) to `outputs` channels."""
        for up, mixer, skip in zip(
            self.levels, reversed(self.mixers), reversed(skips), strict=True
        ):
            x = mixer(up(x))  # in a statement of its own, which frees the former map before `cat`
            x = torch.cat([x, skip], dim=1)
        return self.head(x)


class Bottleneck(nn.Module):
    """Layers between encoder and decoder; this base class is the identity."""

    frame_reach: int | None = 0
    """Receptive field on either side in frames of the deepest map; None: all frames."""

    def simplify(self) -> None:
        """Remove the parts that evaluation does not need; see `MaskEstimator.simplify`."""

    def forward(self, x: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Map `(batch, size, freq cells, frame cells)` to the same shape; penalties by name."""
        return x, {}


class UNet(MaskEstimator):
    """U-Net: encoder, decoder, and skip connections between levels of equal resolution.

    Args:
        channels: audio channels, 1 for mono, 2 for stereo.
        targets: number of targets; each gets its own mask.
        n_fft: points of the STFT; gives the number of frequencies for the normalisations.
        bandwidth: share of the frequencies that the network processes, more than 0 and at most 1.
            Higher frequencies get the mask of the highest one that is processed.
        width: channels of the first level; every level has twice the channels of the one before.
        levels: number of levels; each halves the resolution.
        dropout: dropout probability in the innermost three levels of the decoder.
        hidden_leak: slope of the LeakyReLU of the hidden layers; 0 for SELU.
        normalize_input: standardise every frequency of the compressed input, with learned scale.
        normalize_output: learned shift and scale per frequency before the mask activation.
        mask_activation: sigmoid, relu, leaky_relu, hardtanh, tanh, softmax (over targets), prelu,
            selu or elu.
        mask_leak: slope of `mask_activation=leaky_relu`, between 0 and 1.
        mask_limit: largest value of the masks, at least 1.
        mask: magnitude, or complex: the network hears phases too, and its masks change them.
        compression: of the magnitudes that the network hears: log, power or none.
        mixing: bottleneck factor of the frequency layers: `freq // mixing` hidden units at every
            level; 0: no such layers.
        bottleneck: function that makes the layers between encoder and decoder from the channels and
            the frequency cells of the deepest map; None: no such layers.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        channels: int = 1,
        targets: int = 1,
        n_fft: int = 1024,
        bandwidth: float = 1.0,
        width: int = 16,
        levels: int = 6,
        dropout: float = 0.4,
        hidden_leak: float = 0.0,
        normalize_input: bool = True,
        normalize_output: bool = True,
        mask_activation: str = "sigmoid",
        mask_leak: float = 0.01,
        mask_limit: float = 1.0,
        mask: str = "magnitude",
        compression: str = "log",
        mixing: int = 0,
        bottleneck: Callable[[int, int], Bottleneck] | None = None,
    ) -> None:
        super().__init__()
        if not 0 < bandwidth <= 1 or width < 1 or not 1 <= levels <= 10 or mixing < 0:
            raise InputError(
                f"model: bandwidth={bandwidth}, width={width}, levels={levels}, mixing={mixing}: "
                "expected bandwidth more than 0 and at most 1, width at least 1, levels from 1 to "
                "10, mixing at least 0"
            )
        self.targets = targets
        self.complex_masks = one_of("model.mask", mask, MASKS) == "complex"
        self.frame_multiple = 2**levels
        self.bins = max(1, round(bandwidth * n_fft / 2))  # without the Nyquist bin: a power of 2
        self.compress = (ComplexFeatures if self.complex_masks else Compression)(compression)
        heard, drawn = (3, 3) if self.complex_masks else (1, 1)  # maps per channel and per mask
        self.normalize_input = InputNormalisation(self.bins) if normalize_input else nn.Identity()
        sizes = [width * 2**level for level in range(levels)]
        cells = -(-self.bins // self.frame_multiple)
        mixers = mixing_layers(sizes, cells, mixing, hidden_leak)
        self.encoder = Encoder(heard * channels, sizes, hidden_leak, mixers)
        self.bottleneck = bottleneck(sizes[-1], cells) if bottleneck else Bottleneck()
        self.frame_reach = frame_reach_of(levels, self.bottleneck.frame_reach)
        mixers = mixing_layers(sizes, cells, mixing, hidden_leak)[:-1]
        self.decoder = Decoder(sizes, drawn * channels * targets, hidden_leak, dropout, mixers)
        self.normalize_output = FrequencyAffine(self.bins) if normalize_output else nn.Identity()
        self.mask_activation = MaskActivation(mask_activation, targets, mask_leak, mask_limit)
        self.bounded = mask_limit == 1
        initialise_weights(self, hidden_leak)
        if self.complex_masks:  # the phases of the masks begin at 0
            nn.init.zeros_(self.decoder.head.weight[:, channels * targets :])

    def simplify(self) -> None:
        """Fold normalisations into convolutions, use the channels-last format, drop penalties."""
        self.eval()
        for level in (*self.encoder.levels, *self.decoder.levels):
            level.fold_norm()
            level.to(memory_format=torch.channels_last)  # while the others are not yet copied
        self.bottleneck.simplify()
        self.to(memory_format=torch.channels_last)

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Estimate one mask per target, see `MaskEstimator.forward`."""
        _, planes, freq, frames = magnitude.shape
        channels = planes // 2 if self.complex_masks else planes
        x = self.features(magnitude[:, :, : self.bins])
        *skips, x = self.encoder(pad_to_multiple(x, self.frame_multiple))
        x, penalties = self.bottleneck(x)
        x = self.decoder(x, skips)[..., : self.bins, :frames]
        logits = full_precision(x.unflatten(1, (-1, channels)))
        mask = self.mask_activation(self.normalize_output(logits[:, : self.targets]))
        above = (0, 0, 0, freq - self.bins, 0, 0)
        mask = F.pad(mask, above, mode="replicate")
        if self.complex_masks:
            mask = rotated_mask(mask, F.pad(logits[:, self.targets :], above))
        return MaskEstimate(mask, penalties)

    def features(self, spectrum: Tensor) -> Tensor:
        """Normalised magnitudes, and with `complex_masks` also the maps of the phases."""
        if not self.complex_masks:
            return self.normalize_input(self.compress(spectrum))
        magnitude, phases = self.compress(spectrum)
        return torch.cat([self.normalize_input(magnitude), phases], dim=1)


def frame_reach_of(levels: int, cells: int | None) -> int | None:
    """Receptive field of a mask on either side in frames, for a bottleneck that reaches `cells`.

    An encoder level reaches 2 frames of its input on either side, in total
    `2 (1 + ... + 2 ** (levels - 1))` frames. A decoder level reaches one frame of its input, in
    total `2 + ... + 2 ** levels` frames.
    """
    return None if cells is None else 4 * (2**levels - 1) + cells * 2**levels
