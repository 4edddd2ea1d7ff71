"""Mixing of the instruments to a song: panning, reverb, levels, bleed, and 16-bit stems."""

from __future__ import annotations

import numpy as np
from scipy.signal import oaconvolve

from auralflow_pl.data.synthesis.drums import play_drums
from auralflow_pl.data.synthesis.instruments import play_bass, play_lead, play_pad, play_plucked
from auralflow_pl.data.synthesis.score import STEM_NAMES, compose_score
from auralflow_pl.data.synthesis.tones import (
    SongSignal,
    beat_samples,
    colour_noise,
    slow_curve,
    white_noise,
)
from auralflow_pl.data.synthesis.voice import melody, sing

STEM_LEVELS_DB = {
    "vocals": -17.0,
    "drums": -19.0,
    "bass": -20.0,
    "other": -20.0,
}  # RMS where the stem plays

PEAK_LEVEL = 0.89  # largest absolute sample of mixture and stems

FULL_SCALE = 32768


def render_song(seed: tuple[int, ...], seconds: float) -> dict[str, np.ndarray]:
    """Render one song; the result depends only on the arguments.

    Args:
        seed: non-negative numbers, for example `(seed, split, track)`.
        seconds: length in seconds, more than 0.

    Returns:
        int16 arrays `(time, 2)` at 44.1 kHz: the four stems and `mixture`, their exact sum.
    """
    rng = np.random.default_rng(seed)
    score = compose_score(rng, seconds)
    dry = {
        "vocals": [sing(rng, score)],
        "drums": [play_drums(rng, score)],
        "bass": [play_bass(rng, score)],
        "other": [play_plucked(rng, score), play_pad(rng, score)],
    }
    if rng.random() < 0.2:
        dry["other"].append(play_lead(rng, score, melody(rng, score, "other", 60)))
    wet = {stem: produce_stem(rng, stem, dry[stem]) for stem in STEM_NAMES}
    if rng.random() < 0.3:
        wet = add_bleed(rng, wet)
    return quantise(wet)


def produce_stem(rng: np.random.Generator, stem: str, layers: list[SongSignal]) -> SongSignal:
    """Mix mono layers to a stereo stem `(2, time)`: panning, reverb, slow changes of level."""
    spread = {"vocals": 0.1, "bass": 0.0, "drums": 0.15, "other": 0.8}[stem]
    stereo = sum(
        pan(layer * rng.uniform(0.5, 1.0), rng.uniform(-spread, spread)) for layer in layers
    )
    send = {"vocals": 0.35, "bass": 0.02, "drums": 0.2, "other": 0.3}[stem]
    stereo = stereo + reverb(rng, stereo, rng.uniform(0.2, 1.0) * send)
    ride = slow_curve(rng, stereo.shape[-1], 4.0, 1.2)  # dB
    level = STEM_LEVELS_DB[stem] + rng.normal(0, 2.0)
    return normalise(stereo, level) * np.float32(10) ** (ride / 20)


def pan(mono: SongSignal, place: float) -> SongSignal:
    """Constant-power panning to `(2, time)`; `place` from -1 (left) to 1 (right)."""
    angle = (place + 1) * np.pi / 4
    return np.stack([mono * np.float32(np.cos(angle)), mono * np.float32(np.sin(angle))])


def reverb(rng: np.random.Generator, stereo: SongSignal, gain: float) -> SongSignal:
    """Late reverberation `(2, time)`: exponentially decaying noise, independent per channel."""
    decay = rng.uniform(0.25, 1.1)  # seconds to -60 dB
    length = beat_samples(decay)
    envelope = 10 ** (-3 * np.arange(length, dtype=np.float32) / length)
    response = np.stack([white_noise(rng, length), white_noise(rng, length)]) * envelope
    response = colour_noise(response, 200, rng.uniform(3000, 8000), order=1)
    response = np.pad(response, ((0, 0), (beat_samples(rng.uniform(0.008, 0.03)), 0)))  # pre-delay
    response *= gain / np.sqrt(np.square(response).sum(-1, keepdims=True))
    return oaconvolve(stereo, response, axes=-1)[:, : stereo.shape[-1]].astype(np.float32)


def normalise(stereo: SongSignal, level_db: float) -> SongSignal:
    """Set the RMS of the parts that are not silent to `level_db`; silence is not changed."""
    power = np.square(stereo).mean(0)
    usable = len(power) // 1024 * 1024
    blocks = power[:usable].reshape(-1, 1024).mean(1) if usable else power
    active = blocks[blocks > 1e-3 * blocks.max(initial=0.0)]
    if active.size == 0:
        return stereo
    return stereo * np.float32(10 ** (level_db / 20) / np.sqrt(active.mean()))


def add_bleed(rng: np.random.Generator, stems: dict[str, SongSignal]) -> dict[str, SongSignal]:
    """Add one stem, delayed and low-pass filtered, to another at a low level."""
    source, sink = rng.choice(STEM_NAMES, 2, replace=False)
    delay = beat_samples(rng.uniform(0.002, 0.012))
    leak = colour_noise(stems[source], None, 3000) * np.float32(10 ** (rng.uniform(-36, -28) / 20))
    leak = np.pad(leak, ((0, 0), (delay, 0)))[:, : leak.shape[-1]]
    return {**stems, sink: stems[sink] + leak}


def quantise(stems: dict[str, SongSignal]) -> dict[str, np.ndarray]:
    """Scale the song to its peak and round the stems; the mixture is the sum of rounded stems."""
    mixture = sum(stems.values())
    peak = max(float(np.abs(sound).max()) for sound in (mixture, *stems.values()))
    gain = PEAK_LEVEL * FULL_SCALE / max(peak, 1e-9) if peak > PEAK_LEVEL else float(FULL_SCALE)
    pcm = {stem: np.round(sound.T * gain).astype(np.int16) for stem, sound in stems.items()}
    return {**pcm, "mixture": sum(pcm.values())}
