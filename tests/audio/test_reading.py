import io
import os
import struct
import threading

import av
import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.audio.lengths import length_is_known
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
        stream.bit_rate = 96000 * samples.shape[1]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", layout)
        frame.sample_rate = rate
        to_codec = av.AudioResampler(format=stream.format)
        for part in [*to_codec.resample(frame), *to_codec.resample(None), None]:
            for packet in stream.encode(part):
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


class OneWay(io.BytesIO):
    """Bytes that cannot be read twice."""

    def seekable(self):
        return False


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
        (
            "flac",
            lambda b: b[: len(b) // 2],
            "truncated: |truncated at sample",
        ),
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
    (tmp_path / "b.wav").symlink_to("/nowhere/a.wav")
    with pytest.raises(InputError, match=r"b\.wav: a link to /nowhere/a\.wav, which is missing"):
        read_audio(tmp_path / "b.wav")
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


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 16])
def test_ffmpeg_decodes_any_number_of_channels(tmp_path, channels):
    path, samples = tmp_path / "a.wav", noise(channels, 5000)
    soundfile.write(path, samples, RATE, "FLOAT")
    with path.open("rb") as file, open_pipe(file, "-") as source:
        np.testing.assert_array_equal(torch.cat(list(source.blocks), -1).numpy().T, samples)
    (found,) = read_streams(path)
    np.testing.assert_array_equal(found.samples.numpy().T, samples)


def test_nothing_is_awaited_from_a_pipe_once_the_span_is_complete():
    class Stalling(OneWay):
        def read(self, size):
            assert self.tell() + size < 4 * 2 * RATE, "waits for more than two seconds"
            return super().read(size)

    content, pcm = bytes(4 * 60 * RATE), ("f32le", RATE, 1)
    with open_pipe(Stalling(content), "-", Span(0.2, 1.0), pcm) as source:
        assert sum(block.shape[-1] for block in source.blocks) == RATE


def test_damage_behind_the_span_is_not_met(tmp_path):
    path = encode(tmp_path / "a.m4a", noise(frames=4 * RATE), "aac")
    spoil(path, lambda b: b[: len(b) // 2] + bytes(1000) + b[len(b) // 2 + 1000 :])
    with pytest.raises(InputError, match="not readable as audio"):
        read_audio(path)
    with open_source(path, Span(0, 1.7)) as source:
        assert sum(block.shape[-1] for block in source.blocks) == round(1.7 * RATE)


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


@pytest.mark.parametrize("suffix, codec", [("m4a", "aac"), ("mka", "aac"), ("mkv", "ac3")])
def test_the_track_number_from_ffmpeg(tmp_path, suffix, codec):
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        container.metadata["track"] = "3"
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8192), np.float32), "fltp", "mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with open_source(tmp_path / f"a.{suffix}") as source:
        assert source.tags["tracknumber"] == "3"


@pytest.mark.parametrize("kept", [0.6, 0.99])
@pytest.mark.parametrize(
    "form, subtype",
    [
        ("WAV", "PCM_16"),
        ("RF64", "PCM_24"),
        ("W64", "FLOAT"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_16"),
        ("CAF", "ALAC_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
    ],
)
def test_truncated_files_are_noticed(tmp_path, form, subtype, kept):
    path = tmp_path / "a"
    soundfile.write(path, noise(), 48000, subtype, format=form)
    assert read_audio(path).samples.shape == (2, RATE)
    spoil(path, lambda b: b[: int(kept * len(b))])
    with pytest.raises(InputError, match=r"truncated: the .* promises"):
        read_audio(path)


def test_what_follows_the_sound_is_no_part_of_it(tmp_path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(), RATE)
    spoil(path, lambda b: b + bytes(range(256)) * 300)
    assert read_audio(path).samples.shape == (2, RATE)


@pytest.mark.parametrize(
    "suffix, codec",
    [("mka", "aac"), ("mkv", "ac3"), ("webm", "libopus"), ("wma", "wmav2"), ("avi", "ac3")],
)
def test_truncated_files_of_ffmpeg_are_noticed(tmp_path, suffix, codec):
    path = encode(tmp_path / f"a.{suffix}", noise(frames=4 * 48000), codec, 48000)
    assert read_audio(path).samples.shape[1] == pytest.approx(4 * 48000, abs=2048)
    spoil(path, lambda b: b[: len(b) // 2])
    with pytest.raises(InputError, match=r"truncated: the header promises \d+ bytes"):
        read_audio(path)
    with (
        open_pipe(OneWay(path.read_bytes()), "-") as source,
        pytest.raises(InputError, match=r"truncated: the header|not readable as audio"),
    ):
        list(source.blocks)
    with open_pipe(OneWay(path.read_bytes()), "-", Span(0.5, 0.5)) as source:  # which is there
        assert sum(block.shape[-1] for block in source.blocks) == 24000


def test_a_stream_that_is_shorter_than_another_is_not_truncated(tmp_path):
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("aac", rate=RATE, layout="stereo") for _ in range(2)]
        for stream, seconds in zip(streams, (1, 4), strict=True):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(noise(frames=seconds * RATE).T), "fltp", "stereo"
            )
            frame.sample_rate = RATE
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    assert read_audio(path).samples.shape[1] == pytest.approx(RATE, abs=2048)


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "AIFF", "AU", "W64"])
def test_a_truncated_pipe_is_noticed(tmp_path, form):
    soundfile.write(tmp_path / "a", noise(), RATE, "PCM_16", format=form)
    content = (tmp_path / "a").read_bytes()
    with open_pipe(OneWay(content), "-") as source:
        assert sum(block.shape[-1] for block in source.blocks) == RATE
    with (
        open_pipe(OneWay(content[:-100]), "-") as source,
        pytest.raises(InputError, match="truncated: the header promises"),
    ):
        list(source.blocks)
    with open_pipe(OneWay(content[:-100]), "-", Span(0.2, 0.5)) as source:  # which is there
        assert sum(block.shape[-1] for block in source.blocks) == RATE // 2


@pytest.mark.parametrize("suffix", ["ogg", "mp3", "flac", "aiff"])
def test_a_long_sound_from_a_pipe_is_complete(tmp_path, suffix):
    soundfile.write(tmp_path / f"a.{suffix}", noise(frames=9 * RATE), RATE)
    content = (tmp_path / f"a.{suffix}").read_bytes()
    assert len(content) > 2 * 2**16
    with open_pipe(OneWay(content), "-") as source:
        length = sum(block.shape[-1] for block in source.blocks)
    assert length == pytest.approx(9 * RATE, abs=2500)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF - 36])
def test_sizes_of_streaming_writers_are_not_believed(tmp_path, size):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)
    spoil(path, lambda b: b[:40] + struct.pack("<I", size) + b[44:])
    assert read_audio(path).samples.shape == (2, RATE)
    with open_pipe(io.BytesIO(path.read_bytes()), "-") as source:
        assert sum(block.shape[-1] for block in source.blocks) == RATE


def test_the_reason_is_that_of_the_reader_which_knows_the_format(tmp_path):
    path = encode(tmp_path / "a.m4a", noise(), "aac")
    spoil(path, lambda b: b[: len(b) // 2])
    with pytest.raises(InputError, match="Invalid data found when processing input"):
        read_audio(path)
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)
    spoil(path, lambda b: b[:22] + struct.pack("<H", 0) + b[24:])
    with pytest.raises(InputError, match="Channel count is zero"):
        read_audio(path)


@pytest.mark.parametrize("channels, rate", [(1, RATE), (2, 22050)])
def test_a_sound_that_changes_midway_is_named(tmp_path, channels, rate):
    parts = [(noise(2), RATE), (noise(channels), rate)]
    files = [encode(tmp_path / f"{i}.aac", x, "aac", r) for i, (x, r) in enumerate(parts)]
    path = tmp_path / "chain.aac"
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    message = f"changes midway, from 2 at {RATE} Hz to {channels} at {rate} Hz"
    with pytest.raises(InputError, match=message) as caught:
        read_audio(path)
    assert str(caught.value).startswith(f"{path}: ")


def without_xing(content):
    """Remove the first frame of an MP3 file, which holds its length."""
    return content[content.index(content[:2], 4) :]


def without_flac_length(content):
    return content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]


def without_wav_length(content):
    place = content.index(b"data") + 4
    return content[:place] + bytes(4) + content[place + 4 :]


@pytest.mark.parametrize(
    "form, subtype, mode, change, times",
    [
        ("MP3", "MPEG_LAYER_III", "CONSTANT", without_xing, 1),
        ("MP3", "MPEG_LAYER_III", "VARIABLE", without_xing, 1),
        ("FLAC", "PCM_16", None, without_flac_length, 1),
        ("WAV", "PCM_16", None, without_wav_length, 1),
        ("OGG", "VORBIS", None, lambda content: content * 3, 3),
        ("OGG", "OPUS", None, lambda content: content * 2, 2),
    ],
)
def test_a_sound_whose_header_does_not_tell_its_length_is_whole(
    tmp_path, form, subtype, mode, change, times
):
    rate, path = 48000, tmp_path / "a"
    silence = np.zeros((2 * rate, 1), np.float32)
    sound = np.concatenate([silence, noise(1, 2 * rate)])
    soundfile.write(path, sound, rate, subtype, format=form, bitrate_mode=mode)
    path.write_bytes(change(path.read_bytes()))
    samples, _, _ = read_audio(path)
    assert abs(samples.shape[-1] - times * 4 * rate) <= 4096
    assert samples[:, :rate].abs().max() < 0.01
    assert samples[:, -rate:].std() > 0.1
    header = read_header(path)
    assert header.frames == samples.shape[-1]
    assert torch.equal(read_span(path, header.frames - 9000, 9000), samples[:, -9000:])


@pytest.mark.parametrize("trailer", [b"", b"TAG" + bytes(125), b"APETAGEX" + bytes(24)])
def test_only_sound_after_an_mp3_makes_its_length_unknown(tmp_path, trailer):
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(), RATE)
    path.write_bytes(path.read_bytes() + trailer)
    with soundfile.SoundFile(path) as file:
        assert length_is_known(file, path)
        path.write_bytes(path.read_bytes()[: -len(trailer) or None] * 2)
        assert not length_is_known(file, path)


@pytest.mark.parametrize("suffix, other", [("ogg", 1), ("opus", 1), ("mp3", 1), ("mp3", 2)])
def test_sounds_of_several_kinds_in_one_file_are_named(tmp_path, suffix, other):
    rate, form = (48000, "OGG") if suffix == "opus" else (RATE, suffix.upper())
    subtype = "OPUS" if suffix == "opus" else None
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    soundfile.write(one, noise(2), rate, subtype, format=form)
    soundfile.write(two, noise(other), rate if other == 1 else 22050, subtype, format=form)
    one.write_bytes(one.read_bytes() + two.read_bytes())
    with pytest.raises(InputError, match=r"changes midway.*; split the file there") as caught:
        read_audio(one)
    assert str(caught.value).startswith(f"{one}: ")


ID3 = b"ID3\4\0\0\0\0\2\0"  # header of a tag of 256 bytes


@pytest.mark.parametrize(
    "between",
    [
        ID3 + bytes(256),
        ID3 + b"\xff\xfb\x90\x64" * 64,  # such as in a picture: looks like frames
        b"TAG" + bytes(125) + ID3 + bytes(256),
        b"APETAGEX\xd0\x07\0\0" + (40).to_bytes(4, "little") + bytes(16) + bytes(40),
    ],
)
def test_tags_between_joined_mp3_files_are_no_sound(tmp_path, between):
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(1), RATE)
    one = path.read_bytes()
    path.write_bytes(one + one)
    expected = read_audio(path).samples
    path.write_bytes(one + between + one + b"TAG" + bytes(125))
    assert torch.equal(read_audio(path).samples, expected)
    with open_pipe(OneWay(path.read_bytes()), "-") as source:
        assert torch.equal(torch.cat(list(source.blocks), -1), expected)


@pytest.mark.parametrize(
    "suffix, codec",
    [("ac3", "ac3"), ("eac3", "eac3"), ("mp2", "mp2"), ("ts", "mp2"), ("mpg", "mp2")],
)
def test_an_incomplete_frame_is_told(tmp_path, caplog, suffix, codec):
    path = encode(tmp_path / f"a.{suffix}", noise(frames=96000), codec, 48000)
    whole = read_audio(path).samples.shape[1]
    assert not caplog.records
    spoil(path, lambda b: b[: len(b) * 65 // 100])
    for _ in range(2):
        assert read_audio(path).samples.shape[1] < 0.7 * whole
    assert [r.message.partition(", so")[0] for r in caplog.records] == [
        f"{path}: an incomplete frame"
    ]


@pytest.mark.parametrize("between", [b"", ID3 + bytes(256)])
@pytest.mark.parametrize("span", [Span(), Span(0.5, 0.1)])
def test_joined_flac_files_are_named(tmp_path, between, span):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), RATE)
    spoil(path, lambda content: content + between + content)
    with (
        open_source(path, span) as source,
        pytest.raises(InputError, match=f"joined to one, of which only the first {RATE}") as caught,
    ):
        list(source.blocks)
    assert str(caught.value).startswith(f"{path}: ")
    spoil(path, without_flac_length)
    assert read_audio(path).samples.shape[-1] == read_header(path).frames == 2 * RATE


def test_tags_around_flac_are_no_sound(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), RATE)
    expected = read_audio(path).samples
    spoil(path, lambda content: ID3 + bytes(256) + content + b"TAG" + bytes(125))
    assert torch.equal(read_audio(path).samples, expected)


def test_a_part_of_truncated_flac_is_named(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), RATE)
    spoil(path, lambda content: content[: len(content) // 2])
    with (
        open_source(path, Span(0.9)) as source,
        pytest.raises(InputError, match=f"{path}: .*truncated.*; replace the file"),
    ):
        list(source.blocks)


def test_pages_of_an_ogg_file_are_read_again_once_it_changes(tmp_path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(1), RATE)
    assert read_header(path).frames == RATE
    spoil(path, lambda content: content * 2)
    assert abs(read_header(path).frames - 2 * RATE) <= 4096


def test_a_truncated_flv_is_noticed(tmp_path):
    path = encode(tmp_path / "a.flv", noise(2, 3 * RATE), "libmp3lame")
    assert abs(read_header(path).frames - 3 * RATE) <= 4096
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(InputError, match=r"truncated: the header promises 3\.0 s"):
        read_audio(path)


def test_a_codec_that_ffmpeg_does_not_know_is_an_error(tmp_path):
    path = encode(tmp_path / "a.m4a", noise(), "alac")
    spoil(path, lambda content: content.replace(b"alac", b"zzzz"))
    with pytest.raises(InputError, match="not readable as audio") as caught:
        read_audio(path)
    assert "\n" not in str(caught.value)
