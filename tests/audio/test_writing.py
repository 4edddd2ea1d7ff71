import struct

import av
import pytest
import soundfile
import torch

from auralflow_pl.audio.writing import (
    WAV_LIMIT,
    Encoding,
    SoundWriter,
    check_encoding,
    choose_encoding,
    write_wav,
)
from auralflow_pl.errors import InputError
from support import pieces

TAGS = {"title": "Ein Lied", "artist": "Jemand"}

EXACT = [(form, bits) for form in ("wav", "flac") for bits in ("PCM_16", "PCM_24")]
EXACT += [("wav", "FLOAT")]


@pytest.mark.parametrize("form, subtype", EXACT)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_samples_on_the_grid_come_back_exactly(tmp_path, subtype, form, channels):
    encoding = Encoding(form, subtype)
    steps = encoding.steps or 2**20
    samples = torch.randint(-int(steps), int(steps), (channels, 5001)).double() / steps
    path = tmp_path / "a"
    writer = SoundWriter(path, encoding, 44100, channels, 5001, TAGS)
    for piece in pieces(samples):
        writer.write(piece)
    writer.close()
    read, rate = soundfile.read(path, dtype="float64", always_2d=True)
    assert rate == 44100
    assert (torch.from_numpy(read.T) == samples).all()
    assert soundfile.info(path).subtype == subtype
    assert soundfile.SoundFile(path).copy_metadata() == TAGS


@pytest.mark.parametrize("form", ["ogg", "mp3"])
@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_lossy_formats_keep_the_length_and_nearly_the_sound(tmp_path, form, rate):
    time = torch.arange(2 * rate + 77) / rate
    tone = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (440, 660)]) * 0.5
    writer = SoundWriter(tmp_path / "a", choose_encoding(form, None, "PCM_16"), rate, 2, None, TAGS)
    for piece in pieces(tone):
        writer.write(piece)
    writer.close()
    read = torch.from_numpy(soundfile.read(tmp_path / "a", dtype="float32")[0].T)
    assert read.shape == tone.shape
    assert (read - tone)[:, 2000:-2000].square().mean() < 1e-3
    assert TAGS.items() <= soundfile.SoundFile(tmp_path / "a").copy_metadata().items()


def test_what_may_grow_beyond_4_gib_is_rf64(tmp_path):
    for frames, form in ((1000, "WAV"), (WAV_LIMIT // 4 + 1, "RF64"), (None, "RF64")):
        writer = SoundWriter(tmp_path / "a.wav", Encoding("wav", "PCM_16"), 44100, 2, frames, {})
        writer.write(torch.zeros(2, 1000))
        writer.close()
        assert soundfile.info(tmp_path / "a.wav").format == form
        assert soundfile.info(tmp_path / "a.wav").frames == 1000


def test_sizes_beyond_4_gib_are_in_the_header(tmp_path):
    """Without writing so much: the file has a hole, and the writer counts on."""
    path = tmp_path / "a.wav"
    writer = SoundWriter(path, Encoding("wav", "FLOAT"), 96000, 6, None, {})
    writer.write(torch.ones(6, 4))
    writer.file.seek(2**28)
    writer.write(torch.full((6, 4), 0.5))
    writer.file.close()
    info = soundfile.info(path)
    assert (info.format, info.frames) == ("RF64", 2**28 + 4)
    with path.open("rb") as file:
        assert file.read(4) == b"RF64"
        file.seek(20)
        _, data, frames = struct.unpack("<QQQ", file.read(24))
    assert data == (2**28 + 4) * 24 > 2**32
    assert frames == 2**28 + 4
    assert soundfile.read(path, start=2**28)[0][0, 0] == 0.5
    assert path.stat().st_blocks < 1000


def test_a_wav_that_outgrows_its_header_is_an_error(tmp_path):
    writer = SoundWriter(tmp_path / "a.wav", Encoding("wav", "PCM_16"), 44100, 2, 1000, {})
    writer.frames = WAV_LIMIT // 4
    with pytest.raises(InputError, match="longer than the input announced"):
        writer.write(torch.zeros(2, 1))
    writer.abort()


@pytest.mark.parametrize(
    "form, subtype, source, encoding",
    [
        ("wav", None, "PCM_16", "PCM_16"),
        ("wav", None, "PCM_24", "PCM_24"),
        ("wav", None, "DOUBLE", "FLOAT"),
        ("wav", None, "MPEG_LAYER_III", "PCM_16"),
        ("wav", "float", "PCM_16", "FLOAT"),
        ("flac", None, "FLOAT", "PCM_24"),
        ("flac", "16", "PCM_24", "PCM_16"),
        ("ogg", None, "PCM_24", "VORBIS"),
        ("mp3", None, "FLOAT", "MPEG_LAYER_III"),
    ],
)
def test_the_encoding_follows_the_input(form, subtype, source, encoding):
    assert choose_encoding(form, subtype, source) == Encoding(form, encoding)


@pytest.mark.parametrize(
    "form, subtype, message",
    [
        ("wave", None, "format=wave: did you mean 'wav'?"),
        ("wav", "32", "subtype=32: expected one of 16, 24, float"),
        ("mp3", "16", "format=mp3 has none"),
        ("flac", "float", "format=flac holds 16 or 24 bits"),
    ],
)
def test_encodings_that_do_not_exist(form, subtype, message):
    with pytest.raises(InputError) as caught:
        choose_encoding(form, subtype, "PCM_16")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "form, rate, channels", [("mp3", 96000, 2), ("mp3", 44100, 6), ("flac", 44100, 9)]
)
def test_formats_that_cannot_hold_a_sound_say_so(form, rate, channels):
    with pytest.raises(InputError, match=f"format={form}: has no {channels} channels at {rate} Hz"):
        check_encoding(choose_encoding(form, None, "PCM_16"), rate, channels)


def test_a_file_that_cannot_be_made(tmp_path):
    with pytest.raises(InputError, match="disk full"):
        write_wav(tmp_path / "none" / "a.wav", torch.zeros(1, 9), 44100, "PCM_16")


@pytest.mark.parametrize(
    "form, rate, known",
    [
        ("ogg", 200001, "4000 to 200000 Hz"),
        ("ogg", 384000, "4000 to 200000 Hz"),
        ("flac", 65537, "multiples of 10 up to 655350 Hz"),
        ("flac", 400001, "multiples of 10 up to 655350 Hz"),
        ("flac", 768000, "multiples of 10 up to 655350 Hz"),
        ("mp3", 44101, "32000, 44100, 48000 Hz"),
    ],
)
def test_rates_that_a_format_cannot_hold_are_refused_beforehand(form, rate, known):
    with pytest.raises(
        InputError, match=f"format={form}: has no 2 channels at {rate} Hz, .*{known}"
    ):
        check_encoding(choose_encoding(form, None, "PCM_16"), rate, 2)


@pytest.mark.parametrize(
    "form, rate",
    [("ogg", 4000), ("ogg", 200000), ("flac", 65535), ("flac", 65540), ("flac", 655350)],
)
def test_the_extreme_rates_of_a_format_are_written(tmp_path, form, rate):
    encoding = choose_encoding(form, None, "PCM_16")
    check_encoding(encoding, rate, 2)
    writer = SoundWriter(tmp_path / "a", encoding, rate, 2, None, {})
    writer.write(torch.zeros(2, 5000))
    writer.close()
    assert soundfile.info(tmp_path / "a").samplerate == rate


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [-1, 1, 3999, 768001, 2**31 - 1])
def test_output_rates_that_cannot_be(form, rate):
    with pytest.raises(InputError, match=f"^sample_rate={rate}: expected 4000 to 768000 Hz$"):
        check_encoding(choose_encoding(form, None, "PCM_16"), rate, 1)


UNICODE_TAGS = {
    "title": "Für Elise 日本 🎵",
    "artist": "José",
    "album": "Ж" * 200,
    "date": "2001-02-03",
    "tracknumber": "3/12",
    "genre": "Rock",
    "comment": "é" * 1000,
    "copyright": "©",
}


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_tags_keep_every_letter(tmp_path, form):
    path = tmp_path / f"a.{form}"
    writer = SoundWriter(path, choose_encoding(form, None, "PCM_16"), 44100, 2, None, UNICODE_TAGS)
    writer.write(torch.zeros(2, 5000))
    writer.close()
    assert soundfile.info(path).frames == 5000
    with soundfile.SoundFile(path) as file:
        assert UNICODE_TAGS.items() <= file.copy_metadata().items()
    with av.open(str(path)) as container:
        metadata = {**container.metadata, **container.streams[0].metadata}
    found = {name.lower(): text for name, text in metadata.items()}
    found["tracknumber"] = found.pop("track")
    assert UNICODE_TAGS.items() <= found.items()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("frames", [5000, None])
def test_a_long_tag_leaves_the_others_in_wav(tmp_path, frames):
    tags = {"title": "é" * 5000, "date": "2001", "comment": "c" * 5000, "genre": "Rock"}
    writer = SoundWriter(tmp_path / "a.wav", Encoding("wav", "PCM_16"), 44100, 2, frames, tags)
    writer.write(torch.zeros(2, 5000))
    writer.close()
    found = soundfile.SoundFile(tmp_path / "a.wav").copy_metadata()
    assert found == {**tags, "title": "é" * 1022, "comment": "c" * 2045}
