"""HTML page with a player, waveforms and spectrograms of mixture and stems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor

from auralflow_pl.audio.reading import open_source
from auralflow_pl.report.page import html_page
from auralflow_pl.report.spectrograms import colour_levels, spectrogram_levels

ENVELOPE_POINTS = 900  # columns of waveforms and spectrograms

LISTENING_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "connect-src 'self'"
)


@dataclass(frozen=True)
class Sound:
    """Data of one sound on the page."""

    name: str
    file: str  # name of a file beside the page that browsers can decode
    download: str | None  # path of the stem relative to the page
    seconds: float
    envelope: list[list[float]]  # lowest and highest sample of each column
    spectrogram: np.ndarray  # in dB, see `spectrogram_levels`


def listening_gain(sources: Sequence[Path]) -> float:
    """Gain of at most 1 that brings the samples of all sound files within full scale."""
    highest = 1.0
    for source in sources:
        with open_source(source) as sound:
            highest = max([highest, *(float(block.abs().amax()) for block in sound.blocks)])
    return 1 / highest


def prepare_sound(
    name: str, source: Path, target: Path, download: str | None = None, gain: float = 1.0
) -> Sound:
    """Write a sound as a 16-bit FLAC file, and compute its waveform and spectrogram.

    Args:
        name: name of the sound.
        source: path of any readable sound file; more than two channels are averaged to mono.
        target: path of the FLAC file, in the folder of the page.
        download: path of the file that is offered for download, relative to the page.
        gain: factor of the samples, see `listening_gain`.
    """
    parts: list[Tensor] = []
    with open_source(source) as sound:
        channels = sound.channels if sound.channels <= 2 else 1
        with soundfile.SoundFile(target, "w", sound.sample_rate, channels, "PCM_16") as file:
            for block in (gain * block for block in sound.blocks):
                parts.append(block.mean(0))
                heard = block if channels == block.shape[0] else parts[-1][None]
                file.write(heard.clamp(-1, 1).T.numpy())
    mono = torch.cat(parts)
    seconds = len(mono) / sound.sample_rate
    return Sound(
        name,
        target.name,
        download,
        seconds,
        envelope(mono),
        spectrogram_levels(mono, sound.sample_rate, ENVELOPE_POINTS),
    )


def envelope(sound: Tensor, width: int = ENVELOPE_POINTS) -> list[list[float]]:
    """Lowest and highest sample of `(time,)` in each of at most `width` columns."""
    size = max(1, -(-len(sound) // width))
    columns = F.pad(sound, (0, -len(sound) % size)).reshape(-1, size)
    lowest, highest = columns.amin(1), columns.amax(1)
    return [[round(float(v), 3) for v in pair] for pair in zip(lowest, highest, strict=True)]


def write_listening_page(folder: Path, title: str, subtitle: str, sounds: Sequence[Sound]) -> None:
    """Write `index.html` beside the sound files.

    Args:
        folder: folder of the sound files.
        title: plain text; names of downloads begin with it.
        subtitle: plain text.
        sounds: sounds in the order of display; the first one is selected.
    """
    pictures = colour_levels({sound.name: sound.spectrogram for sound in sounds})
    data = {
        "seconds": max(sound.seconds for sound in sounds),
        "sounds": [
            {
                "name": sound.name,
                "sound": quote(sound.file),
                "download": sound.download and quote(sound.download),
                "saved": f"{title} - {sound.name}{Path(sound.download or '').suffix}",
                "envelope": sound.envelope,
                "picture": pictures[sound.name],
            }
            for sound in sounds
        ],
    }
    content = html_page("listening", title, subtitle, data, LISTENING_POLICY)
    (folder / "index.html").write_text(content, encoding="utf-8")
