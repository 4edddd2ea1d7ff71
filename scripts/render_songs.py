"""Render training songs in four stems from sampled instruments, game music and recorded speech.

python scripts/render_songs.py out=data/rendered voices=FOLDER font=FILE.sf2 [music=FOLDER]
    [songs=120] [seconds=30] [seed=0]

`voices` holds a folder for each speaker, with recordings of speech in any format. `font` is a
General MIDI soundfont. `music` is a folder of instrumental pieces, which replace the accompaniment
of almost every second song. Needs `pip install -e '.[render]'`; one of its libraries is
compiled on installation and needs `apt install gcc python3-dev portaudio19-dev`. The sources of the
bundled network are Debian packages: see `scripts/train_bundled.sh`.

Song `i` depends only on `(seed, i)` and the sources. Existing songs are kept.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from auralflow_pl.audio.reading import Span, open_source, read_header
from auralflow_pl.data.synthesis.score import MusicalScore, compose_score
from auralflow_pl.data.synthesis.song import normalise, pan, reverb
from auralflow_pl.data.synthesis.tones import SONG_RATE, SongSignal, beat_samples, slow_curve
from auralflow_pl.data.synthesis.voice import melody
from auralflow_pl.errors import InputError
from auralflow_pl.signal.resampling import match_length, resample
from render_instruments import Font, play_bass, play_drums, play_other
from render_voice import Bank, draw_style, load_bank, sing

LEVELS_DB = {"vocals": -19.5, "drums": -20.5, "bass": -22.0, "other": -20.5}  # RMS while playing
ROOMS = {"vocals": 0.5, "drums": 0.25, "bass": 0.03, "other": 0.35}  # largest gain of the reverb
PEAK = 0.95
MUSIC_SHARE = 0.45  # share of the songs with pieces of music
SMALLEST_PIECE = 900_000  # bytes; shorter files are jingles
MUSIC_SUFFIXES = (".ogg", ".mp3", ".opus", ".flac")


@dataclass
class Options:
    """Options of the command line."""

    out: str = "???"
    voices: str = "???"
    font: str = "???"
    music: str | None = None
    songs: int = 120
    seconds: float = 30.0
    seed: int = 0


@dataclass(frozen=True)
class Sources:
    """Sources of the songs."""

    font: Font
    banks: list[Bank]
    music: list[Path]


def open_sources(options: Options) -> Sources:
    """Load the soundfont, analyse the voices, and list the music."""
    folders = sorted(path for path in Path(options.voices).glob("*") if path.is_dir())
    if not folders:
        raise InputError(f"voices={options.voices}: no folder in it; expected one for each speaker")
    if not Path(options.font).is_file():
        raise InputError(f"font={options.font}: no such file; expected a soundfont (.sf2)")
    rng = np.random.default_rng(options.seed)
    banks = [load_bank(folder, rng) for folder in tqdm(folders, "voices", leave=False)]
    music = sorted(Path(options.music).rglob("*")) if options.music else []
    pieces = [p for p in music if p.suffix in MUSIC_SUFFIXES and p.stat().st_size > SMALLEST_PIECE]
    return Sources(Font(options.font), banks, pieces)


def render(rng: np.random.Generator, seconds: float, sources: Sources) -> dict[str, SongSignal]:
    """Render the four stems of a song, `(2, time)` each."""
    score = compose_score(rng, seconds)
    dry = {
        "vocals": play_vocals(rng, score, sources.banks),
        "drums": play_drums(rng, score, sources.font),
        "bass": play_bass(rng, score, sources.font),
    }
    if sources.music and rng.random() < MUSIC_SHARE:
        piece = sources.music[rng.integers(len(sources.music))]
        dry["other"] = read_part(piece, seconds, rng)
    else:
        dry["other"] = play_other(rng, score, sources.font)
    return {stem: produce(rng, stem, sound) for stem, sound in dry.items()}


def play_vocals(rng: np.random.Generator, score: MusicalScore, banks: list[Bank]) -> SongSignal:
    """Render a singer, sometimes with a second voice or with distortion."""
    bank = banks[rng.integers(len(banks))]
    low = int(np.clip(round(bank.pitch + rng.uniform(-8, 8)), 41, 66))
    notes = melody(rng, score, "vocals", low)
    if not notes:
        return np.zeros((2, beat_samples(score.seconds)), np.float32)
    style = draw_style(rng, low + 8 - bank.pitch)
    stereo = pan(sing(bank, style, notes, score.seconds, rng), rng.uniform(-0.15, 0.15))
    if rng.random() < 0.3:
        second = replace(style, shift=float(rng.choice([0.08, -0.1, 12, -12, 7, 3, 4])))
        voice = pan(sing(bank, second, notes, score.seconds, rng), rng.uniform(-0.8, 0.8))
        stereo = stereo + voice * np.float32(rng.uniform(0.2, 0.6))
    if rng.random() < 0.4:
        stereo = np.tanh(stereo / (4 * stereo.std() + 1e-9))
    return stereo


def read_part(path: Path, seconds: float, rng: np.random.Generator) -> SongSignal:
    """Read `seconds` from a random position in a piece, `(2, time)`."""
    header = read_header(path)
    start = rng.uniform(0, max(0, header.frames / header.sample_rate - seconds - 2))
    with open_source(path, Span(start, seconds)) as source:
        sound = torch.cat(list(source.blocks), dim=-1)[:2]
    sound = resample(sound, source.sample_rate, SONG_RATE).expand(2, -1)
    return match_length(sound, beat_samples(seconds)).numpy()


def produce(rng: np.random.Generator, stem: str, sound: SongSignal) -> SongSignal:
    """Add reverberation, slow changes of level, and a limit of the peak."""
    sound = sound / np.float32(max(1e-6, np.abs(sound).max()))
    sound = sound + reverb(rng, sound, rng.uniform(0.1, 1) * ROOMS[stem])
    ride = slow_curve(rng, sound.shape[-1], 4.0, 1.0)  # dB
    sound = normalise(sound, LEVELS_DB[stem] + rng.normal(0, 1.5)) * np.float32(10) ** (ride / 20)
    return sound * np.float32(min(1, PEAK / max(1e-6, np.abs(sound).max())))


def write(folder: Path, stems: dict[str, SongSignal]) -> None:
    """Write a song; its folder appears when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as temporary:
        part = Path(temporary) / folder.name
        part.mkdir()
        for stem, sound in stems.items():
            soundfile.write(part / f"{stem}.wav", sound.T, SONG_RATE, "PCM_16")
        part.rename(folder)


def main() -> None:
    """Render the missing songs."""
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    for key in ("out", "voices", "font"):
        if OmegaConf.is_missing(options, key):
            raise InputError(f"missing required key: {key}; pass {key}=<path>")
    options = OmegaConf.to_object(options)
    sources = open_sources(options)
    for number in tqdm(range(options.songs), "songs", unit="song", leave=False):
        folder = Path(options.out) / "train" / f"song{number:04d}"
        if not folder.is_dir():
            rng = np.random.default_rng((options.seed, number))
            write(folder, render(rng, options.seconds, sources))
    print(options.out)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OmegaConfBaseException, OSError) as error:
        sys.exit(f"error: {str(error).splitlines()[0]}")
