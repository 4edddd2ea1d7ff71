"""What an evaluation is made of: data set, estimates, metrics, and the results of single tracks."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from auralflow_pl import __version__
from auralflow_pl.checkpoint import build_source, load_checkpoint, load_separator
from auralflow_pl.config import build, plain
from auralflow_pl.data.tracks import Track, TrackSource, check_members
from auralflow_pl.device import choose_device
from auralflow_pl.engine import choose_engine
from auralflow_pl.errors import InputError, printable
from auralflow_pl.estimates import FolderEstimates, ModelEstimates, digest
from auralflow_pl.metrics.base import Heading, Score
from auralflow_pl.pretrained import home_of, label_of
from auralflow_pl.report.excerpts import moments
from auralflow_pl.report.tables import write_json
from auralflow_pl.scoring import TrackScores, check_references, hear, score

FORMAT = 2  # of results in the cache; to be raised when a metric changes


class Evaluation:
    """What is evaluated, with which metrics, and where results of single tracks are kept.

    A result is kept in `<output>/tracks` under a digest of everything that it depends on: the
    sound, the checkpoint or the estimates, and the options. So an evaluation that was interrupted
    goes on where it was, and one that was changed begins anew.

    Args:
        config: checked and resolved.

    Raises:
        InputError: something does not exist, or does not fit.
    """

    def __init__(self, config: DictConfig) -> None:
        self.config = config
        check_references(config.references)
        if not config.metrics:
            raise InputError("metrics: none; expected some, as in metrics=[si_sdr,sdr]")
        self.metrics: dict[str, Score] = dict(build(config.metrics))
        self.data, source = find_source(config)
        self.stems = source.stems
        self.tracks = source.tracks(config.split)
        self.estimates = find_estimates(config, source, self.tracks)
        self.output = Path(config.output or default_output(config, self.data))

    @property
    def headings(self) -> list[Heading]:
        """Of all metrics."""
        return [heading for metric in self.metrics.values() for heading in metric.headings]

    @property
    def hops(self) -> dict[str, float]:
        """Seconds from one window to the next, by heading."""
        return {h.name: m.hop_seconds for m in self.metrics.values() for h in m.headings}

    @property
    def subject(self) -> str:
        """Name of the checkpoint, or of the folder of estimates."""
        return Path(self.config.ckpt or self.config.estimates).absolute().name

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """What is measured, and how; without folders, so that tables can be passed on."""
        model = self.config.ckpt is not None
        return {
            "version": __version__,
            "subject": self.subject,
            "checkpoint": digest(self.estimates.files(self.tracks[0]), "") if model else None,
            "separation": plain(self.config.separation) if model else None,
            "data": self.data,
            "split": self.config.split,
            "targets": {name: list(stems) for name, stems in self.estimates.sums.items()},
            "rest": self.config.rest,
            "references": list(self.config.references),
            "metrics": plain(self.config.metrics),
        }

    def sound(self, track: Track) -> str:
        """Digest of the files that the stems and the mixture of a track are read from."""
        return digest(track.files, "")

    def cached(self, track: Track, sound: str | None = None) -> Path:
        """Where the result of a track is, or will be; `sound` if its digest is known."""
        keys = ("metrics", "references", "rest", "report", "separation", "engine")
        options = {
            key: plain(self.config[key])
            if OmegaConf.is_config(self.config[key])
            else self.config[key]
            for key in keys
        }
        options |= {"targets": {k: list(v) for k, v in self.estimates.sums.items()}}
        options |= {"format": FORMAT, "track": track.name, "stems": list(self.stems)}
        options |= {"sound": sound or self.sound(track)}
        name = digest(self.estimates.files(track), json.dumps(options, sort_keys=True))
        return self.output / "tracks" / f"{name}.json"

    def compute(self, track: Track) -> None:
        """Measure a track and keep the result; it appears complete or not at all."""
        sound = self.sound(track)
        path = self.cached(track, sound)
        heard = hear(self.estimates, self.stems, track, self.config.rest)
        metrics = list(self.metrics.values())
        found = score(heard, self.estimates.stft, metrics, list(self.config.references))
        seconds = track.frames / track.sample_rate
        result = TrackScores(track.name, seconds, found, sound)
        if self.config.report:
            heading = self.headings[0]
            cut = moments(track.name, heard, found, heading, self.hops[heading.name])
            keep([moment.plain() for moment in cut], excerpts_of(path))
        keep(result.plain(), path)  # the last one: where it is, everything is


def keep(content: Any, path: Path) -> None:
    """Write JSON that appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    write_json(content, part)
    part.replace(path)


def excerpts_of(path: Path) -> Path:
    """The moments of a track, beside its result."""
    return path.with_suffix(".moments")


def find_estimates(
    config: DictConfig, source: TrackSource, tracks: Sequence[Track]
) -> ModelEstimates | FolderEstimates:
    """The checkpoint, or the folder, that the command names."""
    device = choose_device(config.device)
    if config.estimates is not None:
        groups = plain(config.data.groups) if config.data.get("groups") else None
        root = Path(config.estimates)
        return FolderEstimates(root, tracks, source.stems, groups, device)
    engine = choose_engine(config.engine, device, config.ckpt)
    separator = load_separator(
        Path(config.ckpt), list(config.trust), engine=engine, **plain(config.separation)
    )
    check_members(separator.sums, source.stems)
    return ModelEstimates(separator.to(device), Path(config.ckpt))


def find_source(config: DictConfig) -> tuple[str, TrackSource]:
    """The data set that the command names, or else the one that the checkpoint was trained on.

    Only a data set that the user named may write files (`prepare`).
    """
    if (config.ckpt is None) == (config.estimates is None):
        raise InputError("missing required key: ckpt; pass either ckpt=... or estimates=<folder>")
    if config.data is not None:
        source = build(config.data.source)
        source.prepare()
        return label(config.data), source
    if config.ckpt is None:
        raise InputError("estimates: of which data set? pass data=<set> data.root=<folder>")
    data = load_checkpoint(config.ckpt).config["data"]
    for root in data.get("roots") or [data.get("root")]:
        if root is None or not Path(root).is_dir():
            missing = f"was trained on data.root={printable(str(root))}, which is not here"
            raise InputError(
                f"the checkpoint {missing if root else 'names no data set'}; "
                "pass data=<set> data.root=<folder>"
            )
    return label(data), build_source(data.get("source"), list(config.trust))


def label(data: Mapping[str, Any]) -> str:
    """A data set by the names of its folders."""
    return "+".join(Path(str(root)).name for root in data.get("roots") or [data.get("root")])


def default_output(config: DictConfig, data: str) -> Path:
    """`eval/<ckpt>/<data set>-<split>` in the run folder, or beside a lone file or folder."""
    subject = Path(config.ckpt or config.estimates)
    run_dir = home_of(subject) if config.ckpt else subject.parent
    name = label_of(subject) if config.ckpt else subject.name
    return run_dir / "eval" / name / f"{data}-{config.split}"
