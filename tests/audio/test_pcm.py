"""PCM in pipes."""

import io
import struct

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.audio.pcm import (
    PcmFormat,
    PcmReader,
    decode_pcm,
    encode_pcm,
    wav_header,
)
from auralflow_pl.errors import InputError

SUBTYPES = ["PCM_16", "PCM_24", "PCM_32", "FLOAT"]


def sound(frames=100, channels=2):
    return np.random.default_rng(0).uniform(-1, 1, (frames, channels))


def wav(subtype="PCM_16", frames=100, form="WAV"):
    file = io.BytesIO()
    soundfile.write(file, sound(frames), 8000, subtype, format=form)
    return file.getvalue()


def reader(content, form=None):
    return PcmReader(io.BytesIO(content).read, "song", form)


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_samples_are_those_of_libsndfile(subtype, form):
    content = wav(subtype, form=form)
    opened = reader(content)
    assert opened.form == PcmFormat(8000, 2, subtype)
    parts = [opened.read(30) for _ in range(5)]
    assert [part.shape[-1] for part in parts] == [30, 30, 30, 10, 0]
    expected, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    assert np.array_equal(torch.cat(parts, -1).T.numpy(), expected)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_stream_can_be_read_and_is_written_as_it_was(subtype):
    form = PcmFormat(8000, 2, subtype)
    samples = reader(wav(subtype)).read(100)
    content = wav_header(form) + encode_pcm(samples, form)
    again = reader(content)
    assert again.form == form
    assert torch.equal(again.read(200), samples)
    assert not again.read(1).numel()
    assert torch.equal(decode_pcm(encode_pcm(samples, form), form), samples)


@pytest.mark.parametrize("subtype, largest", [("PCM_16", 1 - 2**-15), ("PCM_24", 1 - 2**-23)])
def test_integers_are_clipped(subtype, largest):
    form = PcmFormat(8000, 1, subtype)
    found = decode_pcm(encode_pcm(torch.tensor([[-3.0, 3.0]]), form), form)
    assert found.tolist() == [[-1.0, largest]]


def test_bytes_may_come_in_any_portions():
    content = io.BytesIO(wav())
    opened = PcmReader(lambda size: content.read(min(size, 7)), "song")
    assert torch.equal(opened.read(100), reader(wav()).read(100))


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFF00, 2**31, 2**32 - 1])
def test_placeholders_of_streams_mean_to_the_end(size):
    """Of FFmpeg, SoX and arecord."""
    opened = reader(changed(40, "<I", size))
    assert opened.read(500).shape[-1] == 100
    assert opened.read(500).shape[-1] == 0


def changed(place, form, value):
    content = bytearray(wav())
    struct.pack_into(form, content, place, value)
    return bytes(content)


def test_what_follows_the_samples_is_no_sound():
    assert reader(wav() + b"LIST\4\0\0\0note").read(500).shape[-1] == 100


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 90])
def test_a_truncated_stream_gives_what_it_has_and_then_an_error(cut):
    opened = reader(wav()[:-cut])
    assert opened.read(500).shape[-1] == (400 - cut) // 4
    with pytest.raises(InputError, match=r"song: truncated after 0\.01 s"):
        opened.read(500)


def test_raw_samples_that_end_within_one_are_an_error():
    form = PcmFormat(8000, 2, "PCM_16")
    opened = reader(b"\0" * 11, form)
    assert opened.read(50).shape == (2, 2)
    with pytest.raises(InputError, match="ends within a sample"):
        opened.read(50)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"ID3\4" + bytes(100), "no WAV; decode it first"),
        (wav()[:40], "ends within the WAV header"),
        (wav()[:12] + b"data\xff\xff\xff\xff", "no format before the sound"),
        (wav()[:12] + b"LIST\xff\xff\xff\x7f", "damaged WAV header: 2147483647 bytes"),
        (wav()[:12] + b"fmt \4\0\0\0abcdfmt ", "a format of 4 bytes"),
        (changed(20, "<H", 85), "WAV of format 85 with 16 bits"),
        (changed(34, "<H", 8), "WAV of format 1 with 8 bits"),
        (changed(22, "<H", 0), "damaged WAV header: 0 channels"),
        (changed(32, "<H", 3), "2 channels in 3 bytes"),
        (changed(24, "<I", 3), "a sample rate of 3 Hz"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_damaged_header_is_one_line(content, message):
    with pytest.raises(InputError, match=message):
        reader(content)


def test_a_sample_that_is_not_finite_is_an_error():
    form = PcmFormat(8000, 1, "FLOAT")
    with pytest.raises(InputError, match="NaN"):
        reader(np.array([np.nan], "<f4").tobytes(), form).read(5)
