"""Sources of estimates: a checkpoint, or audio files written by any tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from auralflow_pl.audio.folders import named_sounds
from auralflow_pl.audio.reading import read_audio
from auralflow_pl.checkpoints.contents import Checkpoint
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.data.targets import check_members, resolve_targets
from auralflow_pl.data.tracks import Track, TrackSource
from auralflow_pl.errors import InputError
from auralflow_pl.separator.build import build_separator
from auralflow_pl.separator.engines.engine import choose_engine
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.resampling import match_length
from auralflow_pl.signal.stft import STFT
from auralflow_pl.system.device import choose_device
from auralflow_pl.system.folders import visible

NO_TARGETS = ("mixture", "residual")

TOLERANCE_SECONDS = 0.5  # allowed difference in length between estimates and their track


class ModelEstimates:
    """Estimates of a Separator; oracles use its STFT.

    Args:
        separator: Separator in evaluation mode.
        path: path of its checkpoint.
    """

    def __init__(self, separator: Separator, path: Path) -> None:
        self.separator, self.path = separator, path
        self.target_stems, self.stft = separator.target_stems, separator.stft

    def __call__(self, track: Track, mixture: Tensor) -> Tensor:
        """Estimates `(targets, channels, time)` of a mixture `(channels, time)`."""
        return self.separator(mixture, track.sample_rate)

    def files(self, track: Track) -> list[Path]:  # noqa: ARG002 - the same for every track
        """Files of the model, which the estimates depend on besides the track."""
        parts = visible(self.path) if self.path.is_dir() else [self.path]  # exported, or a file
        return [part for part in parts if part.is_file()]


class FolderEstimates:
    """Estimates in files `<root>/[<split>/]<track>/<target>.<wav|flac|...>`.

    The targets are the names of all sound files in the folders of the tracks, except hidden ones,
    `mixture` and `residual`. Every folder must have one file for each target, see `files`.

    Args:
        root: folder with the folders of the tracks.
        tracks: tracks to be evaluated.
        stems: stems of the data set.
        groups: named sums of stems.
        device: device of the oracles.

    Raises:
        InputError: a track has no folder or two files for a target, there are no targets, or a
            target is neither a stem nor a group.
    """

    def __init__(
        self,
        root: Path,
        tracks: Sequence[Track],
        stems: Sequence[str],
        groups: Mapping[str, Sequence[str]] | None,
        device: torch.device,
    ) -> None:
        self.root = root
        if not root.is_dir():
            raise InputError(f"estimates={root}: no such folder")
        names = {name for track in tracks for name in self.found(track)}
        if not names:
            raise InputError(
                f"{self.folder(tracks[0])}: holds no estimates; expected <target>.wav, with "
                f"targets like {', '.join(stems)}"
            )
        in_order = sorted(names, key=lambda n: (stems.index(n) if n in stems else len(stems), n))
        self.target_stems = resolve_targets(in_order, stems, groups)
        self.stft = STFT(4096, 4096, 1024).to(device)

    def folder(self, track: Track) -> Path:
        """Folder of a track: in the folder of its split, or directly in `root`."""
        places = [self.root / track.split / track.name, self.root / track.name]
        for place in places:
            if place.is_dir():
                return place
        raise InputError(f"estimates={self.root}: no folder {track.name} for this track")

    def found(self, track: Track) -> dict[str, Path]:
        """Audio files of a track by target."""
        return named_sounds(self.folder(track), ignored=NO_TARGETS)

    def files(self, track: Track) -> list[Path]:
        """Audio files of a track, in the order of the targets.

        Raises:
            InputError: the file of a target is missing.
        """
        found = self.found(track)
        for name in self.target_stems:
            if name not in found:
                raise InputError(
                    f"{self.folder(track)}: no file for {name}, which other tracks have; expected "
                    "the same targets in all"
                )
        return [found[name] for name in self.target_stems]

    def __call__(self, track: Track, mixture: Tensor) -> Tensor:
        """Estimates `(targets, channels, time)`, padded or cut at the end to the mixture."""
        return torch.stack([read_like(path, track, mixture) for path in self.files(track)])


def read_like(path: Path, track: Track, mixture: Tensor) -> Tensor:
    """Decode an estimate `(channels, time)`, padded or cut to the length of the mixture.

    Raises:
        InputError: the sample rate, the number of channels or the length differs from the track.
    """
    audio = read_audio(path)
    channels, time = mixture.shape
    if audio.sample_rate != track.sample_rate or audio.samples.shape[0] != channels:
        raise InputError(
            f"{path}: {audio.sample_rate} Hz, {audio.samples.shape[0]} channels; the track "
            f"{track.name} has {track.sample_rate} Hz, {channels} channels"
        )
    if abs(audio.samples.shape[-1] - time) > TOLERANCE_SECONDS * track.sample_rate:
        raise InputError(
            f"{path}: {audio.samples.shape[-1]} samples, the track {track.name} has {time}"
        )
    return match_length(audio.samples, time).to(mixture.device)


def find_estimates(
    config: DictConfig,
    source: TrackSource,
    tracks: Sequence[Track],
    checkpoint: Checkpoint | None,
) -> ModelEstimates | FolderEstimates:
    """Estimates of the checkpoint `ckpt` or of the folder `estimates` in a configuration."""
    device = choose_device(config.device)
    if checkpoint is None:
        groups = to_plain(config.data.groups) if config.data.get("groups") else None
        root = Path(config.estimates)
        return FolderEstimates(root, tracks, source.stems, groups, device)
    engine = choose_engine(config.engine, device, config.ckpt)
    separator = build_separator(
        checkpoint, engine, trust=list(config.trust), **to_plain(config.separation)
    )
    if config.data is not None and config.data.get("groups"):
        sums = resolve_targets([*config.data.groups], source.stems, to_plain(config.data.groups))
        separator.target_stems |= {n: sums[n] for n in separator.targets if n in sums}
    check_members(separator.target_stems, source.stems)
    return ModelEstimates(separator.to(device), Path(config.ckpt))
