import struct

import av
import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.audio.reading import read_audio, read_header, read_span, read_streams
from auralflow_pl.errors import InputError

RATE = 44100


def noise(channels=2, frames=RATE):
    return np.random.default_rng(0).uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)


def encode(path, samples, codec, rate=RATE):
    """Write a file with FFmpeg."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_wav_is_read_exactly(tmp_path, channels, rate, subtype):
    path, samples = tmp_path / "a.wav", noise(channels)
    soundfile.write(path, samples, rate, subtype)
    audio = read_audio(path)
    step = {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 0}[subtype]
    assert audio.samples.shape == (channels, RATE)
    assert audio.samples.dtype == torch.float32
    assert (audio.sample_rate, audio.subtype) == (rate, subtype)
    assert np.abs(audio.samples.numpy().T - samples).max() <= step


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "aiff"])
def test_other_formats_of_libsndfile(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(), RATE)
    audio = read_audio(path)
    assert audio.samples.shape == (2, soundfile.info(path).frames)
    assert 0.1 < audio.samples.std() < 0.4


@pytest.mark.parametrize("suffix, codec", [("m4a", "aac"), ("mp4", "aac"), ("mka", "flac")])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_formats_of_ffmpeg(tmp_path, suffix, codec, channels):
    if codec == "flac":
        codec, suffix = "alac", "m4a"
    tone = (
        np.sin(np.arange(RATE)[:, None] * 0.05 * (1 + np.arange(channels))).astype(np.float32) / 2
    )
    audio = read_audio(encode(tmp_path / f"a.{suffix}", tone, codec))
    assert audio.sample_rate == RATE
    assert audio.samples.shape[0] == channels
    assert abs(audio.samples.shape[1] - RATE) <= 2048
    assert audio.samples[0].std() == pytest.approx(tone[:, 0].std(), rel=0.05)


def test_a_stem_file_has_five_streams_and_the_first_is_the_mixture(excerpt):
    streams = read_streams(excerpt)
    assert [tuple(s.samples.shape) for s in streams] == [(2, streams[0].samples.shape[1])] * 5
    mixture, stems = streams[0].samples, sum(s.samples for s in streams[1:])
    assert torch.equal(read_audio(excerpt).samples, mixture)
    # Each stream was coded by itself, and the mixture was mastered, so they nearly add up.
    assert (mixture - stems).square().mean() < 5e-2 * mixture.square().mean()


def test_span_equals_the_whole(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), RATE)
    assert torch.equal(read_span(path, 1000, 777), read_audio(path).samples[:, 1000:1777])
    assert read_header(path) == (RATE, 2, RATE)


def test_span_beyond_the_end_is_an_error(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)
    with pytest.raises(InputError, match="truncated: no 10 samples at 44095"):
        read_span(path, RATE - 5, 10)


def spoil(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "suffix, change, message",
    [
        ("wav", lambda b: b"", "empty file"),
        ("wav", lambda b: b[: len(b) // 2], "truncated: the header promises"),
        ("wav", lambda b: b[:60], "truncated: the header promises"),
        ("wav", lambda b: b[:20], "not readable as audio"),
        ("wav", lambda b: b"Dear diary, " * 99, "not readable as audio"),
        ("wav", lambda b: bytes(len(b)), "not readable as audio"),
        ("wav", lambda b: b[:40] + struct.pack("<I", 0) + b"", "holds no samples"),
        ("flac", lambda b: b[: len(b) // 2], "truncated|not readable as audio"),
        ("flac", lambda b: b"fLaC" + b[90:], "not readable as audio"),
        ("m4a", lambda b: b[: len(b) // 2], "not readable as audio"),
        ("m4a", lambda b: b[:8], "not readable as audio"),
    ],
)
def test_damaged_files_are_named(tmp_path, suffix, change, message):
    path = tmp_path / f"song.{suffix}"
    if suffix == "m4a":
        encode(path, noise(), "aac")
    else:
        soundfile.write(path, noise(), RATE)
    spoil(path, change)
    with pytest.raises(InputError, match=message) as caught:
        read_audio(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_named(tmp_path, value):
    samples = noise()
    samples[500, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE, "FLOAT")
    with pytest.raises(InputError, match="NaN or infinite"):
        read_audio(tmp_path / "a.wav")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(InputError, match="is a folder"):
        read_audio(tmp_path)


def test_a_streamed_wav_without_a_length_is_read(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    assert read_audio(path).samples.shape == (2, RATE)
