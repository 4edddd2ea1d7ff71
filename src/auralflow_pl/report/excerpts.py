"""The best and the worst moment of a track, to listen to and to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from auralflow_pl.audio.resampling import resample

if TYPE_CHECKING:
    from auralflow_pl.metrics.base import Heading
    from auralflow_pl.scoring import Heard, TargetScores

SECONDS = 4.0
RATE = 44100  # Hz, of the encoded sound: a rate that MP3 has
N_FFT, HEIGHT, WIDTH = 2048, 110, 400
LOWEST_HZ, RANGE_DB = 60.0, 70.0


@dataclass(frozen=True)
class Moment:
    """An excerpt of one target of one track."""

    track: str
    target: str
    kind: str  # worst or best
    value: float  # of the window in its middle
    unit: str
    start: float  # seconds from the beginning of the track
    seconds: float
    sounds: dict[str, str]  # mixture, estimate, target, residual, as FLAC in base64

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def shown(self) -> dict[str, Any]:
        """For the page: sounds as MP3, and `pictures` of their spectrograms as PNG."""
        sounds = {name: decoded(sound) for name, sound in self.sounds.items()}
        compressed = {name: encoded(sound, RATE, "MP3") for name, sound in sounds.items()}
        return self.plain() | {"sounds": compressed, "pictures": pictures(sounds, RATE)}


def moments(
    track: str, heard: Heard, scores: Sequence[TargetScores], heading: Heading, hop: float
) -> Iterator[Moment]:
    """The worst and the best window of every target; none where nothing is defined.

    Args:
        track: its name.
        heard: its sound.
        scores: of the targets, in the order of `heard`.
        heading: what best and worst refer to.
        hop: seconds from one window to the next.
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
            start = min(max(0.0, (window + 0.5) * hop - SECONDS / 2), max(0.0, length - SECONDS))
            first = round(start * heard.sample_rate)
            span = slice(first, first + round(SECONDS * heard.sample_rate))
            cut = {name: part[:, span].cpu() for name, part in parts.items()}
            seconds = cut["mixture"].shape[-1] / heard.sample_rate
            sounds = {
                name: encoded(resample(part, heard.sample_rate, RATE), RATE, "FLAC")
                for name, part in cut.items()
            }
            yield Moment(
                track, one.target, kind, sign * value, heading.unit, start, seconds, sounds
            )


def encoded(sound: Tensor, sample_rate: int, kind: str) -> str:
    """`(channels, time)` as FLAC or MP3 in base64; more than two channels become one."""
    sound = sound if sound.shape[0] <= 2 else sound.mean(0, keepdim=True)
    file = io.BytesIO()
    soundfile.write(file, sound.clamp(-1, 1).T.numpy(), sample_rate, format=kind)
    return base64.b64encode(file.getvalue()).decode()


def decoded(sound: str) -> Tensor:
    """`(channels, time)` from a file in base64."""
    file = io.BytesIO(base64.b64decode(sound))
    return torch.from_numpy(soundfile.read(file, dtype="float32", always_2d=True)[0].T.copy())


def pictures(sounds: dict[str, Tensor], sample_rate: int) -> dict[str, str]:
    """Spectrograms of sounds `(channels, time)` as PNG in base64, in one range of colours.

    The axis of frequencies is logarithmic.
    """
    return coloured({name: levels(sound.mean(0), sample_rate) for name, sound in sounds.items()})


def levels(sound: Tensor, sample_rate: int, width: int = WIDTH) -> np.ndarray:
    """The spectrogram of `(time,)` at evenly spaced moments, `(HEIGHT, width)` in dB.

    Only the frames of these moments are transformed, so the memory does not depend on the length.
    """
    hop = N_FFT // 4
    top_hz = min(16000.0, sample_rate / 2)
    rows = np.geomspace(top_hz, LOWEST_HZ, HEIGHT) * N_FFT / sample_rate
    columns = np.linspace(0, max(0, len(sound) // hop - 1), width).round().astype(int)
    frames = F.pad(sound, (N_FFT // 2, N_FFT // 2)).unfold(-1, N_FFT, hop)[columns]
    magnitude = torch.fft.rfft(frames * torch.hann_window(N_FFT)).abs().T
    level = 20 * torch.log10(magnitude + 1e-7).numpy()
    return level[np.clip(rows.round().astype(int), 0, N_FFT // 2)]


def coloured(spectrograms: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Levels in dB as PNG in base64, in one range of colours."""
    top = max(float(level.max()) for level in spectrograms.values())
    return {name: png((level - top) / RANGE_DB + 1) for name, level in spectrograms.items()}


def png(values: np.ndarray) -> str:
    """Numbers `(height, width)` from 0 to 1 as a coloured picture, a PNG in base64."""
    colours = (colormaps["magma"](np.clip(values, 0, 1))[..., :3] * 255).astype(np.uint8)
    file = io.BytesIO()
    image = Image.fromarray(colours).quantize(64)
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
