"""The best and the worst excerpt of every target of a track."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from auralflow_pl.report.spectrograms import decode_sound, encode_sound, spectrogram_pictures
from auralflow_pl.signal.resampling import resample

if TYPE_CHECKING:
    from auralflow_pl.evaluation.results import TargetScores
    from auralflow_pl.evaluation.scoring import TrackEstimates
    from auralflow_pl.metrics.base import MetricInfo

EXCERPT_SECONDS = 4.0

MOMENT_RATE = 44100  # Hz of the encoded audio, a rate that MP3 supports


@dataclass(frozen=True)
class Moment:
    """The worst or best excerpt of one target of one track."""

    track: str
    target: str
    kind: str  # worst or best
    value: float  # metric of the window in the middle
    unit: str
    start: float  # seconds from the beginning of the track
    seconds: float  # length
    sounds: dict[str, str]  # mixture, estimate, target, residual, as FLAC in base64, at one gain

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def shown(self) -> dict[str, Any]:
        """Plain values for the page: `sounds` as MP3, and their spectrograms `pictures` as PNG."""
        sounds = {name: decode_sound(sound) for name, sound in self.sounds.items()}
        compressed = {
            name: encode_sound(sound, MOMENT_RATE, "MP3") for name, sound in sounds.items()
        }
        return self.plain() | {
            "sounds": compressed,
            "pictures": spectrogram_pictures(sounds, MOMENT_RATE),
        }


def find_moments(
    track: str,
    heard: TrackEstimates,
    scores: Sequence[TargetScores],
    heading: MetricInfo,
    hop: float,
) -> Iterator[Moment]:
    """Excerpts around the worst and the best window of every target with a defined window.

    Args:
        track: name of the track.
        heard: the track and its estimates.
        scores: scores of the targets, in the order of `heard`.
        heading: metric that ranks the windows.
        hop: distance of consecutive windows in seconds.
    """
    sign = 1 if heading.higher_is_better else -1
    for number, one in enumerate(scores):
        known = [(sign * v, n) for n, v in enumerate(one.frames[heading.name]) if v is not None]
        if not known:
            continue
        parts = {
            "mixture": heard.mixture,
            "estimate": heard.estimate[number],
            "target": heard.target[number],
            "residual": heard.mixture - heard.estimate[number],
        }
        for kind, (value, window) in (("worst", min(known)), ("best", max(known))):
            length = heard.mixture.shape[-1] / heard.sample_rate
            start = min(
                max(0.0, (window + 0.5) * hop - EXCERPT_SECONDS / 2),
                max(0.0, length - EXCERPT_SECONDS),
            )
            first = round(start * heard.sample_rate)
            span = slice(first, first + round(EXCERPT_SECONDS * heard.sample_rate))
            cut = {name: part[:, span].cpu() for name, part in parts.items()}
            seconds = cut["mixture"].shape[-1] / heard.sample_rate
            played = {n: resample(part, heard.sample_rate, MOMENT_RATE) for n, part in cut.items()}
            gain = 1 / max(1.0, *(float(part.abs().amax()) for part in played.values()))
            sounds = {n: encode_sound(gain * x, MOMENT_RATE, "FLAC") for n, x in played.items()}
            yield Moment(
                track, one.target, kind, sign * value, heading.unit, start, seconds, sounds
            )
