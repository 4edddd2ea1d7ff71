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

RESULT_FORMAT = 2  # version of cached results; to be raised when a metric changes


class Evaluation:
    """Data set, estimates and metrics of an evaluation, with cached results of single tracks.

    Results are cached in `<output>/tracks` under a digest of everything that they depend on: the
    audio, the checkpoint or the estimates, and the options. An interrupted evaluation computes
    only the missing tracks; a changed one computes all tracks again.

    Args:
        config: validated and resolved configuration of `evaluate`.

    Raises:
        InputError: the data set, the estimates or a setting is missing or invalid.
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
        """Headings of all metrics."""
        return [heading for metric in self.metrics.values() for heading in metric.headings]

    @property
    def hops(self) -> dict[str, float]:
        """Distance of consecutive windows in seconds, by heading."""
        return {h.name: m.hop_seconds for m in self.metrics.values() for h in m.headings}

    @property
    def subject(self) -> str:
        """Name of the checkpoint, or of the folder of estimates."""
        return Path(self.config.ckpt or self.config.estimates).absolute().name

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Subject and settings of the evaluation, without folders of this machine."""
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
        } | (
            {"published_references": self.config.published_references}
            if any(track.is_published_otherwise for track in self.tracks)
            else {}
        )

    def sound(self, track: Track) -> str:
        """Digest of the audio files of a track and of what it is in them."""
        return sound_digest(track.files, track.identity)

    def cached(self, track: Track, sound: str | None = None) -> Path:
        """Path of the cached result of a track; `sound` is the digest of its files if known."""
        keys = ("metrics", "references", "rest", "report", "separation", "engine")
        options = {
            key: to_plain(self.config[key])
            if OmegaConf.is_config(self.config[key])
            else self.config[key]
            for key in keys
        }
        options |= {"targets": {k: list(v) for k, v in self.estimates.target_stems.items()}}
        options |= {"format": RESULT_FORMAT, "track": track.name, "stems": list(self.stems)}
        options |= {"changes": track.changes} if track.changes else {}
        options |= {"parts": list(track.parts)} if track.parts else {}
        options |= {"sound": sound or self.sound(track)}
        if track.is_published_otherwise:
            options |= {"published_references": self.config.published_references}
        name = sound_digest(self.estimates.files(track), json.dumps(options, sort_keys=True))
        return self.output / "tracks" / f"{name}.json"

    def compute(self, track: Track) -> None:
        """Separate and measure a track, and write the result to the cache atomically."""
        sound = self.sound(track)
        path = self.cached(track, sound)
        separated = separate_track(
            self.estimates,
            self.stems,
            track,
            self.config.rest,
            self.config.published_references,
        )
        metrics = list(self.metrics.values())
        found = score_track(separated, self.estimates.stft, metrics, list(self.config.references))
        seconds = track.frames / track.sample_rate
        result = TrackScores(track.name, seconds, found, sound)
        if self.config.report:
            heading = self.headings[0]
            cut = find_moments(track.name, separated, found, heading, self.hops[heading.name])
            write_json(excerpts_of(path), [moment.plain() for moment in cut])
        write_json(path, result.plain())  # written last: it marks the track as complete


def excerpts_of(path: Path) -> Path:
    """Path of the excerpts of a track, beside its cached result."""
    return path.with_suffix(".moments")


def evaluation_folder(config: DictConfig, data: str) -> Path:
    """Default output: `eval/<ckpt>/<data set>-<split>` in the run folder or beside the file."""
    subject = Path(config.ckpt or config.estimates)
    run_dir = output_root(subject) if config.ckpt else subject.parent
    name = model_label(subject) if config.ckpt else subject.name
    return run_dir / "eval" / name / f"{data}-{config.split}"
