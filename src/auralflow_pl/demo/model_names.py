"""The models of the demo and their names on the page."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.names import literal, mapped_texts
from auralflow_pl.pretrained.locations import BUNDLED_MODEL
from auralflow_pl.pretrained.registry import NAME_PREFIX
from auralflow_pl.stems.loading import LoadedModel, checkpoint_paths, load_models

BUNDLED_LABEL = "vocals (in the package)"


def named_models(config: DictConfig, device: torch.device) -> dict[str, LoadedModel]:
    """Load the bundled model and those of the key `ckpt`, by the names shown on the page.

    Raises:
        InputError: a model cannot be found or loaded.
    """
    given = {} if config.ckpt is None else shown_names(config)
    paths = [*given.values(), BUNDLED_MODEL]  # the user's models first, since loading them may fail
    every = OmegaConf.merge(config, {"ckpt": [literal(str(path)) for path in paths]})
    *others, bundled = load_models(every, device)
    return {BUNDLED_LABEL: bundled, **dict(zip(given, others, strict=True))}


def shown_names(config: DictConfig) -> dict[str, Path]:
    """Paths of the models of the key `ckpt`, by names that reveal no folders of the server.

    The name is that of the pretrained model or the file, with a number if it is not unique.
    """
    ckpt = to_plain(config)["ckpt"]
    found: dict[str, Path] = {}
    for one in ckpt if isinstance(ckpt, list) and ckpt else [ckpt]:
        for path in checkpoint_paths(OmegaConf.merge(config, {"ckpt": mapped_texts(literal, one)})):
            pretrained = str(one).startswith(NAME_PREFIX)
            name = str(one).removeprefix(NAME_PREFIX) if pretrained else path.resolve().name
            numbered = (f"{name} ({number})" for number in itertools.count(2))
            every = itertools.chain([name], numbered)
            found[next(n for n in every if n not in (BUNDLED_LABEL, *found))] = path
    return found
