"""Small images of spectrograms, and sounds and images in base64, for HTML pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

N_FFT, IMAGE_HEIGHT, IMAGE_WIDTH = 2048, 110, 400

LOWEST_HZ, RANGE_DB = 60.0, 70.0


def encode_sound(sound: Tensor, sample_rate: int, kind: str) -> str:
    """Encode `(channels, time)` as FLAC or MP3 in base64; more than two channels are averaged."""
    sound = sound if sound.shape[0] <= 2 else sound.mean(0, keepdim=True)
    file = io.BytesIO()
    soundfile.write(file, sound.clamp(-1, 1).T.numpy(), sample_rate, format=kind)
    return base64.b64encode(file.getvalue()).decode()


def decode_sound(sound: str) -> Tensor:
    """Decode a sound file in base64 to `(channels, time)`."""
    file = io.BytesIO(base64.b64decode(sound))
    return torch.from_numpy(soundfile.read(file, dtype="float32", always_2d=True)[0].T.copy())


def spectrogram_pictures(sounds: dict[str, Tensor], sample_rate: int) -> dict[str, str]:
    """Draw spectrograms of sounds `(channels, time)` as PNG in base64, with one colour scale.

    The frequency axis is logarithmic.
    """
    return colour_levels(
        {name: spectrogram_levels(sound.mean(0), sample_rate) for name, sound in sounds.items()}
    )


def spectrogram_levels(sound: Tensor, sample_rate: int, width: int = IMAGE_WIDTH) -> np.ndarray:
    """Spectrogram of `(time,)` at `width` evenly spaced times, `(IMAGE_HEIGHT, width)` in dB.

    Only the frames at these times are transformed, so memory is independent of the length.
    """
    hop = N_FFT // 4
    top_hz = min(16000.0, sample_rate / 2)
    rows = np.geomspace(top_hz, LOWEST_HZ, IMAGE_HEIGHT) * N_FFT / sample_rate
    columns = np.linspace(0, max(0, len(sound) // hop - 1), width).round().astype(int)
    frames = F.pad(sound, (N_FFT // 2, N_FFT // 2)).unfold(-1, N_FFT, hop)[columns]
    magnitude = torch.fft.rfft(frames * torch.hann_window(N_FFT)).abs().T
    level = 20 * torch.log10(magnitude + 1e-7).numpy()
    return level[np.clip(rows.round().astype(int), 0, N_FFT // 2)]


def colour_levels(spectrograms: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Draw levels in dB as PNG in base64, with one colour scale."""
    top = max(float(level.max()) for level in spectrograms.values())
    return {name: encode_png((level - top) / RANGE_DB + 1) for name, level in spectrograms.items()}


def encode_png(values: np.ndarray) -> str:
    """Encode numbers from 0 to 1, `(height, width)`, as a coloured PNG in base64."""
    colours = (colormaps["magma"](np.clip(values, 0, 1))[..., :3] * 255).astype(np.uint8)
    file = io.BytesIO()
    image = Image.fromarray(colours).quantize(64)
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
