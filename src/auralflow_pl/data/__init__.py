"""Data sets of stems, the chunks that are drawn from them, and augmentation of chunks.

May import `audio` and all that is below it; networks, losses and Lightning are unknown here
(`training.StemDataModule` wraps these parts for a Trainer).
Start with `tracks`: a data set is a `TrackSource` that finds `Track`s. `StemFolder` is one,
`ChunkDataset` draws chunks from the tracks of any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.data.augment import (
        Augmentation,
        ChannelSwap,
        Codec,
        Equalizer,
        Gain,
        GainCurve,
        Limiter,
        Loudness,
        Mixup,
        PitchTempo,
        Polarity,
        Remix,
        Reverb,
        SoftClip,
    )
    from auralflow_pl.data.chunks import ChunkDataset, ChunkSampler, WholeTracks
    from auralflow_pl.data.pool import Pool
    from auralflow_pl.data.sampling import SamplingOptions
    from auralflow_pl.data.sources.manifest import Manifest
    from auralflow_pl.data.sources.medleydb import MedleyDB
    from auralflow_pl.data.sources.mixed import MixedSets
    from auralflow_pl.data.sources.moisesdb import MoisesDB
    from auralflow_pl.data.sources.musdb18 import Musdb18, Musdb18HQ
    from auralflow_pl.data.sources.pairs import PairedFolders
    from auralflow_pl.data.sources.slakh import Slakh
    from auralflow_pl.data.sources.stem_folder import AudioFolder, StemFolder
    from auralflow_pl.data.sources.synthetic import SyntheticSongs
    from auralflow_pl.data.sources.unaligned import UnalignedFolders
    from auralflow_pl.data.targets import resolve_targets, sum_stems
    from auralflow_pl.data.tracks import SPLIT_NAMES, FileTrack, Track, TrackSource
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "SPLIT_NAMES",
    "AudioFolder",
    "Augmentation",
    "ChannelSwap",
    "ChunkDataset",
    "ChunkSampler",
    "Codec",
    "Equalizer",
    "FileTrack",
    "Gain",
    "GainCurve",
    "Limiter",
    "Loudness",
    "Manifest",
    "MedleyDB",
    "MixedSets",
    "Mixup",
    "MoisesDB",
    "Musdb18",
    "Musdb18HQ",
    "PairedFolders",
    "PitchTempo",
    "Polarity",
    "Pool",
    "Remix",
    "Reverb",
    "SamplingOptions",
    "Slakh",
    "SoftClip",
    "StemFolder",
    "SyntheticSongs",
    "Track",
    "TrackSource",
    "UnalignedFolders",
    "WholeTracks",
    "resolve_targets",
    "sum_stems",
]
