"""Augmentations: changes of the stems and of the mixture of a training chunk.

May import what `data` may, and `data.tracks`; the chunks that use augmentations are unknown here.
Start with `base`: the steps in which a chunk is made, of which an augmentation overrides one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.data.augment.base import Addition, Augmentation, DrawPosition, ReadPosition
    from auralflow_pl.data.augment.drawing import Mixup, Remix
    from auralflow_pl.data.augment.filters import (
        ChannelSwap,
        Equalizer,
        PitchTempo,
        Polarity,
        Reverb,
        Speed,
    )
    from auralflow_pl.data.augment.levels import Compressor, Gain, GainCurve, Loudness
    from auralflow_pl.data.augment.mastering import Codec, Limiter, SoftClip
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "Addition",
    "Augmentation",
    "ChannelSwap",
    "Codec",
    "Compressor",
    "DrawPosition",
    "Equalizer",
    "Gain",
    "GainCurve",
    "Limiter",
    "Loudness",
    "Mixup",
    "PitchTempo",
    "Polarity",
    "ReadPosition",
    "Remix",
    "Reverb",
    "SoftClip",
    "Speed",
]
