"""Building blocks of all instruments: oscillators, envelopes, filters, noise."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfilt

SONG_RATE = 44100  # Hz; every synthetic song has this sample rate

SongSignal = np.ndarray  # float32, (time,) or (channels, time)


def midi_to_hz(pitch: float | np.ndarray) -> float | np.ndarray:
    """Frequency in Hz of a MIDI pitch in equal temperament, A4 = MIDI 69 = 440 Hz."""
    return 440.0 * 2.0 ** ((np.asarray(pitch) - 69.0) / 12.0)


def beat_samples(seconds: float) -> int:
    """Number of samples in `seconds`, at least 1."""
    return max(1, round(seconds * SONG_RATE))


def time_axis(seconds: float) -> SongSignal:
    """Sample times in seconds, from 0 to `seconds`."""
    return np.arange(beat_samples(seconds), dtype=np.float32) / SONG_RATE


def add_at(track: SongSignal, sound: SongSignal, start: float) -> None:
    """Add `sound` to `track` in place, at `start` seconds; cut off parts outside of the track."""
    first = round(start * SONG_RATE)
    skip = max(0, -first)
    stop = min(track.shape[-1], first + sound.shape[-1])
    if stop > first + skip:
        track[..., first + skip : stop] += sound[..., skip : stop - first]


def fade(sound: SongSignal, attack: float, release: float) -> SongSignal:
    """Apply raised-cosine fades in and out, in place; `attack` and `release` in seconds."""
    rise, fall = (min(beat_samples(edge), sound.shape[-1]) for edge in (attack, release))
    sound[..., :rise] *= np.sin(np.linspace(0, np.pi / 2, rise, dtype=np.float32)) ** 2
    sound[..., -fall:] *= np.cos(np.linspace(0, np.pi / 2, fall, dtype=np.float32)) ** 2
    return sound


def wavetable(amplitudes: SongSignal, size: int = 4096) -> SongSignal:
    """One cycle of a sum of sines with the given amplitudes of harmonics 1, 2, ..."""
    spectrum = np.zeros(size // 2 + 1, dtype=np.complex64)
    spectrum[1 : len(amplitudes) + 1] = -0.5j * size * amplitudes
    cycle = np.fft.irfft(spectrum, size).astype(np.float32)
    return np.append(cycle, cycle[0])  # linear interpolation can then wrap around


def oscillate(
    table: SongSignal, frequency: float | SongSignal, length: int, phase: float = 0.0
) -> SongSignal:
    """Play `length` samples of a wavetable at `frequency` Hz, a number or one value per sample."""
    size = len(table) - 1
    step = np.broadcast_to(np.asarray(frequency, dtype=np.float64) / SONG_RATE, (length,))
    position = ((np.cumsum(step) + phase) % 1.0) * size
    whole = position.astype(np.int32)
    part = (position - whole).astype(np.float32)
    return table[whole] * (1 - part) + table[whole + 1] * part


def saw(frequency: float, length: int, phase: float, brightness: float = 1.0) -> SongSignal:
    """Band-limited sawtooth-like tone with harmonics of amplitude `1 / k ** (1 / brightness)`."""
    count = max(1, min(60, int(15000 / frequency)))
    k = np.arange(1, count + 1, dtype=np.float32)
    return oscillate(wavetable(0.6 / k ** (1.0 / brightness)), frequency, length, phase)


def colour_noise(
    noise: SongSignal, low: float | None, high: float | None, order: int = 2
) -> SongSignal:
    """Filter `noise` with a Butterworth band between `low` and `high` Hz; None: no limit."""
    if low and high:
        sos = butter(order, (low, high), "bandpass", fs=SONG_RATE, output="sos")
    elif high:
        sos = butter(order, high, "lowpass", fs=SONG_RATE, output="sos")
    else:
        sos = butter(order, low, "highpass", fs=SONG_RATE, output="sos")
    return sosfilt(sos, noise, axis=-1).astype(np.float32)


def white_noise(rng: np.random.Generator, length: int) -> SongSignal:
    """White Gaussian noise of unit variance."""
    return rng.standard_normal(length, dtype=np.float32)


def slow_curve(rng: np.random.Generator, length: int, spacing: float, spread: float) -> SongSignal:
    """Random curve around 0: normal values every `spacing` seconds, interpolated linearly."""
    knots = rng.standard_normal(2 + int(length / SONG_RATE / spacing)) * spread
    at = np.arange(length, dtype=np.float32) / (SONG_RATE * spacing)
    return np.interp(at, np.arange(len(knots)), knots).astype(np.float32)
