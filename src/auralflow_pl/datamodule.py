"""From the nodes of a configuration to the data module."""

from __future__ import annotations

from omegaconf import DictConfig

from auralflow_pl.config import build, plain
from auralflow_pl.data.chunks import Drawing
from auralflow_pl.data.module import StemDataModule
from auralflow_pl.data.tracks import resolve_targets
from auralflow_pl.errors import InputError

LOADING = (  # keys of `data` that are arguments of the data module
    "chunks_per_epoch",
    "batch_size",
    "num_workers",
    "persistent_workers",
    "pin_memory",
    "prefetch_factor",
)


def build_data(config: DictConfig) -> StemDataModule:
    """The data module of a configuration."""
    settings = plain(config.data)
    loading = {key: settings[key] for key in LOADING}
    targets = resolve_targets(plain(config)["target"], settings["stems"], settings["groups"])
    source = build(config.data.source)
    if list(source.stems) != settings["stems"]:
        raise InputError(
            f"data.stems={settings['stems']}: this data set has {list(source.stems)}, in that order"
        )
    return StemDataModule(
        source,
        config.audio.channels,
        config.audio.sample_rate,
        config.chunk_seconds,
        seed=config.seed,
        pool=build(config.pool),
        augmentations=list(build(config.augment or {}).values()),
        drawing=Drawing(
            settings["balance"],
            settings["silence_db"],
            settings["keep_silent"],
            tuple(stem for members in targets.values() for stem in members),
            source.weights,
        ),
        **loading,
    )
