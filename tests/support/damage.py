"""Damaged sound files of many kinds, made from one seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soundfile

RATE, FRAMES = 16000, 3000
FORMATS = {  # subtype by suffix; None: written by FFmpeg
    "wav": "PCM_16",
    "24.wav": "PCM_24",
    "float.wav": "FLOAT",
    "flac": "PCM_16",
    "ogg": "VORBIS",
    "mp3": "MPEG_LAYER_III",
    "aiff": "PCM_16",
    "m4a": None,
}


def sound(path: Path) -> bytes:
    """Content of a sound file in the format of its suffix."""
    suffix = path.name.partition(".")[2]
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, (FRAMES, 2)).astype(np.float32)
    if FORMATS[suffix]:
        soundfile.write(path, samples, RATE, FORMATS[suffix])
    else:
        encode_aac(path, samples, RATE)
    content = path.read_bytes()
    path.unlink()
    return content


def encode_aac(path: Path, samples: np.ndarray, rate: int) -> Path:
    """Write `(time, channels)` as AAC with FFmpeg."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T.astype(np.float32)), "fltp", layout
        )
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def flipped(content: bytes, draw: random.Random, stop: int, bits: int) -> bytes:
    """Invert some random bits before byte `stop`."""
    out = bytearray(content)
    for _ in range(bits):
        out[draw.randrange(min(stop, len(out)))] ^= 1 << draw.randrange(8)
    return bytes(out)


def damaged(folder: Path) -> Iterator[Path]:
    """Write the damaged files below `folder` and yield their paths."""
    draw = random.Random(0)
    originals = {suffix: sound(folder / f"x.{suffix}") for suffix in FORMATS}

    def put(name: str, content: bytes) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    for suffix, content in originals.items():
        for i in range(12):
            yield put(f"cut{i}.{suffix}", content[: draw.randrange(len(content))])
            yield put(f"header{i}.{suffix}", flipped(content, draw, 64, 1 + i % 4))
            yield put(f"body{i}.{suffix}", flipped(content, draw, len(content), 1 + 5 * i))
        wrong = next(other for other in FORMATS if other != suffix)
        yield put(f"named.{suffix}.{wrong}", content)
        yield put(f"empty.{suffix}", b"")
        yield put(f"text.{suffix}", b"Dear diary, " * 50)
        yield put(f"zeros.{suffix}", bytes(5000))
        yield put(f"noise.{suffix}", draw.randbytes(5000))
        yield put(f"more.{suffix}", content + draw.randbytes(999))
        yield put(f"twice.{suffix}", content + content)
        (folder / f"folder.{suffix}").mkdir()
    wav = originals["wav"]
    hours = 10 * 3600 * RATE * 4
    yield put("hours.wav", wav[:40] + struct.pack("<I", hours) + wav[44:])
    yield put("silent_hours.wav", wav[:40] + struct.pack("<I", hours))
    yield put("no_channels.wav", wav[:22] + struct.pack("<H", 0) + wav[24:])
    yield put("channels.wav", wav[:22] + struct.pack("<H", 65535) + wav[24:])
    yield put("no_rate.wav", wav[:24] + struct.pack("<I", 0) + wav[28:])
    yield put("rate.wav", wav[:24] + struct.pack("<I", 2**31 - 1) + wav[28:])
    for name, value in (("nan", np.nan), ("inf", np.inf), ("huge", 3e38)):
        soundfile.write(folder / f"{name}.wav", np.full((99, 2), value), RATE, "FLOAT")
        yield folder / f"{name}.wav"
