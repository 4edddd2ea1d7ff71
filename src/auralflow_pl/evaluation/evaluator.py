"""An evaluation: data set, estimates, metrics, and cached results per track."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.config.instantiate import build, to_plain
from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.estimates import find_estimates
from auralflow_pl.evaluation.moments import find_moments
from auralflow_pl.evaluation.results import TrackScores
from auralflow_pl.evaluation.scoring import check_references, score_track, separate_track
from auralflow_pl.evaluation.source import find_source
from auralflow_pl.metrics.base import MetricInfo, TargetMetric
from auralflow_pl.pretrained.locations import model_label, output_root
from auralflow_pl.system.files import sound_digest, write_json
from auralflow_pl.version import __version__

RESULT_FORMAT = 2  # of results in the cache; to be raised when a metric changes


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
        self.metrics: dict[str, TargetMetric] = dict(build(config.metrics))
        if (config.ckpt is None) == (config.estimates is None):
            raise InputError(
                "missing required key: ckpt; pass either ckpt=... or estimates=<folder>"
            )
        checkpoint = load_checkpoint(config.ckpt) if config.ckpt is not None else None
        self.data, source = find_source(config, checkpoint)
        self.stems = source.stems
        self.tracks = source.tracks(config.split)
        self.estimates = find_estimates(config, source, self.tracks, checkpoint)
        self.output = Path(config.output or evaluation_folder(config, self.data))

    @property
    def headings(self) -> list[MetricInfo]:
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
            "checkpoint": sound_digest(self.estimates.files(self.tracks[0]), "") if model else None,
            "separation": to_plain(self.config.separation) if model else None,
            "data": self.data,
            "split": self.config.split,
            "targets": {name: list(stems) for name, stems in self.estimates.target_stems.items()},
            "rest": self.config.rest,
            "references": list(self.config.references),
            "metrics": to_plain(self.config.metrics),
        }

    def sound(self, track: Track) -> str:
        """Digest of the files that the stems and the mixture of a track are read from."""
        return sound_digest(track.files, "")

    def cached(self, track: Track, sound: str | None = None) -> Path:
        """Where the result of a track is, or will be; `sound` if its digest is known."""
        keys = ("metrics", "references", "rest", "report", "separation", "engine")
        options = {
            key: to_plain(self.config[key])
            if OmegaConf.is_config(self.config[key])
            else self.config[key]
            for key in keys
        }
        options |= {"targets": {k: list(v) for k, v in self.estimates.target_stems.items()}}
        options |= {"format": RESULT_FORMAT, "track": track.name, "stems": list(self.stems)}
        options |= {"sound": sound or self.sound(track)}
        name = sound_digest(self.estimates.files(track), json.dumps(options, sort_keys=True))
        return self.output / "tracks" / f"{name}.json"

    def compute(self, track: Track) -> None:
        """Measure a track and keep the result; it appears complete or not at all."""
        sound = self.sound(track)
        path = self.cached(track, sound)
        heard = separate_track(self.estimates, self.stems, track, self.config.rest)
        metrics = list(self.metrics.values())
        found = score_track(heard, self.estimates.stft, metrics, list(self.config.references))
        seconds = track.frames / track.sample_rate
        result = TrackScores(track.name, seconds, found, sound)
        if self.config.report:
            heading = self.headings[0]
            cut = find_moments(track.name, heard, found, heading, self.hops[heading.name])
            write_json(excerpts_of(path), [moment.plain() for moment in cut])
        write_json(path, result.plain())  # the last one: where it is, everything is


def excerpts_of(path: Path) -> Path:
    """The moments of a track, beside its result."""
    return path.with_suffix(".moments")


def evaluation_folder(config: DictConfig, data: str) -> Path:
    """`eval/<ckpt>/<data set>-<split>` in the run folder, or beside a lone file or folder."""
    subject = Path(config.ckpt or config.estimates)
    run_dir = output_root(subject) if config.ckpt else subject.parent
    name = model_label(subject) if config.ckpt else subject.name
    return run_dir / "eval" / name / f"{data}-{config.split}"
