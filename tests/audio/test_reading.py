import io
import os
import struct
import threading

import av
import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.audio.reading import (
    Span,
    open_pipe,
    open_source,
    read_audio,
    read_header,
    read_span,
    read_streams,
)
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
        ("flac", lambda b: b[: len(b) // 2], "truncated|damaged after sample"),
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


@pytest.mark.parametrize("suffix, codec", [("wav", None), ("flac", None), ("m4a", "alac")])
@pytest.mark.parametrize("offset, duration", [(0.25, None), (0, 0.5), (0.1, 0.2), (1.9, 5)])
def test_a_part_of_a_file(tmp_path, suffix, codec, offset, duration):
    path = tmp_path / f"a.{suffix}"
    if codec:
        encode(path, noise(frames=2 * RATE), codec)
    else:
        soundfile.write(path, noise(frames=2 * RATE), RATE)
    whole = read_audio(path).samples
    start = round(offset * RATE)
    stop = None if duration is None else start + round(duration * RATE)
    with open_source(path, Span(offset, duration)) as source:
        part = torch.cat(list(source.blocks), -1)
        assert source.frames == part.shape[-1]
    assert torch.equal(part, whole[:, start:stop])


def test_a_part_beyond_the_end_is_an_error(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    with (
        open_source(tmp_path / "a.wav", Span(3.0)) as source,
        pytest.raises(InputError, match="holds no samples after offset"),
    ):
        list(source.blocks)


def test_tags_of_both_libraries(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE, 1) as file:
        file.title, file.artist = "Ein Lied", "Jemand"
        file.write(noise(1))
    with open_source(tmp_path / "a.flac") as source:
        assert source.tags == {"title": "Ein Lied", "artist": "Jemand"}
    with av.open(str(tmp_path / "a.m4a"), "w") as container:
        container.metadata["title"] = "Ein Lied"
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with open_source(tmp_path / "a.m4a") as source:
        assert source.tags["title"] == "Ein Lied"


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_32"])
def test_a_wav_from_a_pipe(tmp_path, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE, subtype)
    read, write = os.pipe()
    threading.Thread(target=lambda: [os.write(write, path.read_bytes()), os.close(write)]).start()
    with os.fdopen(read, "rb") as file, open_pipe(file, "-") as source:
        assert (source.sample_rate, source.channels, source.subtype) == (RATE, 2, subtype)
        assert torch.equal(torch.cat(list(source.blocks), -1), read_audio(path).samples)


@pytest.mark.parametrize("name, scale", [("s16le", 2**15), ("f32le", 1)])
def test_raw_samples_from_a_pipe(name, scale):
    samples = np.round(noise(frames=5000) * scale) if scale > 1 else noise(frames=5000)
    content = samples.astype("<i2" if scale > 1 else "<f4").tobytes()
    with open_pipe(io.BytesIO(content), "-", pcm=(name, 22050, 2)) as source:
        assert (source.sample_rate, source.channels) == (22050, 2)
        out = torch.cat(list(source.blocks), -1)
    np.testing.assert_array_equal(out.numpy().T * scale, samples)


def test_lists_of_other_files_are_no_sound(tmp_path):
    """FFmpeg would follow what such files name."""
    soundfile.write(tmp_path / "secret.wav", noise(), RATE)
    lists = {
        "hls.m4a": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{tmp_path}/secret.wav\n",
        "concat.mp4": f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n",
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match="not readable as audio"):
            read_audio(tmp_path / name)


def test_a_rate_that_cannot_be(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(), 3)
    with pytest.raises(InputError, match="a sample rate of 3 Hz; expected 4000 to 768000"):
        read_audio(tmp_path / "a.wav")
