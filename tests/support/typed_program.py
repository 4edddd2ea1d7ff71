"""A program of a user, as a type checker reads it; `make lint` checks it, nothing runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

import auralflow_pl
from auralflow_pl.data import Track, TrackSource
from auralflow_pl.errors import Cancelled, InputError
from auralflow_pl.losses import Separation, TargetLoss
from auralflow_pl.metrics import MetricInfo
from auralflow_pl.models import MaskEstimate, MaskEstimator


def separate_array(path: Path, audio: np.ndarray) -> np.ndarray:
    """Arrays in, arrays out."""
    separator = auralflow_pl.load(path, engine="auto", window_seconds=30.0)
    return separator(audio, 48000)


def separate_tensor(separator: auralflow_pl.Separator, audio: Tensor) -> dict[str, Tensor]:
    """Tensors in, tensors out."""
    estimates: Tensor = separator(audio, progress=lambda share: share < 0.5)
    return dict(zip(separator.targets, estimates, strict=True))


def compose_and_build() -> MaskEstimator:
    """A configuration, and its network."""
    config: DictConfig = auralflow_pl.compose(
        "train", ["model=vae", "target=[vocals,drums]"], config_dirs=[Path("configs")]
    )
    return auralflow_pl.build_network(config, trust=["mypkg"])


class OwnNetwork(MaskEstimator):
    """A network of one's own."""

    def __init__(self, channels: int, targets: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels * targets, 1)

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """One mask for each target."""
        return MaskEstimate(torch.sigmoid(self.layer(magnitude)).unsqueeze(1))


class OwnLoss(TargetLoss):
    """A loss of one's own."""

    def error(self, separation: Separation, order: object) -> Tensor:
        """Mean error of the masks."""
        return separation.mask.mean((2, 3, 4))


class OwnSongs(TrackSource):
    """A data set of one's own."""

    stems = ("vocals",)

    def find(self, split: str) -> list[Path]:
        """Where the tracks are."""
        return sorted(Path(split).iterdir())

    def track(self, path: Path, split: str) -> Track:
        """One of them."""
        raise InputError(f"{path}: not in {split}")


def describe(headings: list[MetricInfo]) -> str:
    """Names of scores, and the version."""
    return ", ".join(heading.name for heading in headings) + auralflow_pl.__version__


def careful(separator: auralflow_pl.Separator, audio: Tensor) -> Tensor | None:
    """Nothing, if the user gave up."""
    try:
        return separator(audio)
    except Cancelled:
        return None
