"""Stems null, whatever the format, the level, and the way the blocks come."""

import pytest
import soundfile
import torch

from auralflow_pl.audio.writing import FLOAT_WAV, Encoding, choose_encoding
from auralflow_pl.errors import InputError
from auralflow_pl.signal.streams import align_blocks
from auralflow_pl.stems.writer import StemLayout, StemWriter
from support import pieces

STEP = {"PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "FLOAT": 2.0**-22}

EXACT = [(form, bits) for form in ("wav", "flac") for bits in ("PCM_16", "PCM_24")]
EXACT += [("wav", "FLOAT")]


def write(folder, mixture, estimates, encoding, **layout):
    """Write stems in random blocks; returns the writer and what is in the files."""
    folder.mkdir()
    names = [f"stem{i}" for i in range(len(estimates))]
    settings = {"residual": True, "frames": mixture.shape[-1], **layout}
    writer = StemWriter(
        folder,
        StemLayout(names, sample_rate=44100, channels=len(mixture), encoding=encoding, **settings),
    )
    for block, parts in align_blocks([pieces(mixture, 1), pieces(estimates, 2)]):
        writer.write(block, parts)
    writer.close()
    read = {
        name: torch.from_numpy(soundfile.read(path, dtype="float64", always_2d=True)[0].T)
        for name, path in writer.files.paths.items()
    }
    return writer, read


def signals(encoding, channels=2, level=0.3, frames=70000):
    step = STEP.get(encoding.subtype, 2.0**-23)
    mixture = torch.round((torch.rand(channels, frames) * 2 - 1) * level / step) * step
    return mixture, torch.stack([mixture * torch.rand(channels, frames), mixture * 0.3])


@pytest.mark.parametrize("form, subtype", EXACT)
@pytest.mark.parametrize("channels", [1, 6])
def test_files_null_within_one_step(tmp_path, subtype, form, channels):
    encoding = Encoding(form, subtype)
    mixture, estimates = signals(encoding, channels)
    writer, read = write(tmp_path / "a", mixture, estimates, encoding)
    assert list(read) == ["stem0", "stem1", "residual"]
    assert writer.files.encoding == encoding
    assert (sum(read.values()) - mixture).abs().max() <= STEP[subtype]
    assert writer.files.null_error <= STEP[subtype]
    assert (read["stem0"] - estimates[0]).abs().max() <= STEP[subtype]
    for name, samples in read.items():
        assert writer.files.peaks[name] == pytest.approx(float(samples.abs().max()), abs=1e-6)


@pytest.mark.parametrize("subtype", [None, "16"])
@pytest.mark.parametrize("channels", [1, 6])
def test_a_float_mixture_nulls_in_flac_too(tmp_path, subtype, channels):
    encoding = choose_encoding("flac", subtype, "FLOAT")
    mixture, estimates = signals(Encoding("wav", "FLOAT"), channels)
    mixture = mixture + 0.4 * STEP[encoding.subtype]  # off the grid of the file
    writer, read = write(tmp_path / "a", mixture, estimates, encoding)
    assert writer.files.encoding == encoding
    assert (sum(read.values()) - mixture).abs().max() <= STEP[encoding.subtype]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_estimates_that_are_no_numbers_are_not_written_as_silence(tmp_path, subtype, value):
    encoding = Encoding("wav", subtype)
    mixture, estimates = signals(encoding)
    estimates[1, 0, 5000] = value
    with pytest.raises(InputError, match="gives NaN or infinite samples"):
        write(tmp_path / "a", mixture, estimates, encoding)


def loud(encoding, at):
    """A mixture whose residual exceeds full scale at a sample."""
    mixture, estimates = signals(encoding)
    mixture[:, at], estimates[0, :, at], estimates[1, :, at] = 0.9, -0.6, 0.0
    return mixture, estimates


@pytest.mark.parametrize("at", [0, 69000])
def test_without_a_gain_stems_beyond_full_scale_become_float(tmp_path, at):
    mixture, estimates = loud(Encoding("wav", "PCM_16"), at)
    writer, read = write(tmp_path / "a", mixture, estimates, Encoding("wav", "PCM_16"))
    assert (writer.files.encoding, writer.gain) == (FLOAT_WAV, 1)
    assert read["residual"].max() == pytest.approx(1.5, abs=1e-4)
    assert (sum(read.values()) - mixture).abs().max() <= STEP["PCM_16"]
    assert [p.name for p in (tmp_path / "a" / "1").iterdir()] == []


@pytest.mark.parametrize("at", [0, 69000])
@pytest.mark.parametrize("form, clip", [("wav", "rescale"), ("flac", "rescale"), ("flac", "none")])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_one_gain_for_all_stems(tmp_path, at, form, clip, subtype):
    encoding = Encoding(form, subtype)
    mixture, estimates = loud(encoding, at)
    writer, read = write(tmp_path / "a", mixture, estimates, encoding, clip=clip)
    assert writer.files.encoding == encoding
    assert writer.gain == pytest.approx(1 / 1.5, abs=1e-3)
    assert 0.999 < read["residual"].max() < 1
    assert (sum(read.values()) - writer.gain * mixture).abs().max() <= STEP[subtype]
    assert (read["stem1"] - writer.gain * estimates[1]).abs().max() <= 2 * STEP[subtype]


@pytest.mark.parametrize("clip", ["rescale", "none"])
def test_stems_that_fit_are_not_rescaled(tmp_path, clip):
    mixture, estimates = signals(Encoding("wav", "PCM_16"), level=1.0)
    writer, _ = write(tmp_path / "a", mixture, estimates, Encoding("wav", "PCM_16"), clip=clip)
    assert (writer.gain, writer.passes) == (1, 1)


def test_clamping_cuts_single_samples(tmp_path):
    encoding = Encoding("wav", "PCM_16")
    mixture, estimates = loud(encoding, 500)
    writer, read = write(tmp_path / "a", mixture, estimates, encoding, clip="clamp")
    assert writer.files.encoding == encoding
    assert read["residual"][0, 500] == 1 - 2**-15
    error = (sum(read.values()) - mixture).abs()
    error[:, 500] = 0
    assert error.max() <= STEP["PCM_16"]
    assert writer.files.null_error == pytest.approx(0.5, abs=1e-3)


def test_floats_keep_samples_above_one(tmp_path):
    mixture, estimates = loud(FLOAT_WAV, 500)
    _, read = write(tmp_path / "a", mixture, estimates, FLOAT_WAV)
    assert read["residual"].max() == pytest.approx(1.5)
    writer, read = write(tmp_path / "b", mixture, estimates, FLOAT_WAV, clip="rescale")
    assert writer.gain == pytest.approx(1 / 1.5)
    assert read["residual"].max() == pytest.approx(1)
    _, read = write(tmp_path / "c", mixture, estimates, FLOAT_WAV, clip="clamp")
    assert read["residual"].max() == 1


@pytest.mark.parametrize("form, subtype", [("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")])
@pytest.mark.parametrize("clip", ["none", "rescale"])
def test_lossy_formats(tmp_path, form, subtype, clip):
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(50000) / 44100).expand(2, -1)
    estimates = torch.stack([1.5 * tone, -0.2 * tone])
    writer, read = write(tmp_path / "a", tone, estimates, Encoding(form, subtype), clip=clip)
    assert writer.gain == (1 if clip == "none" else pytest.approx(1 / 1.5, abs=1e-3))
    assert read["stem1"].shape == tone.shape
    assert read["stem1"][:, 5000:-5000].abs().max() == pytest.approx(0.2 * writer.gain, rel=0.1)


def test_without_a_residual(tmp_path):
    mixture, estimates = loud(Encoding("wav", "PCM_16"), 500)
    estimates[0, :, 500] = 2.0
    writer, read = write(
        tmp_path / "a",
        mixture,
        estimates,
        Encoding("wav", "PCM_16"),
        residual=False,
        clip="rescale",
    )
    assert list(read) == ["stem0", "stem1"]
    assert writer.gain == pytest.approx(0.5, abs=1e-3)


def test_an_unknown_way_to_clip(tmp_path):
    with pytest.raises(InputError, match="clip=rescal: did you mean"):
        StemWriter(tmp_path, StemLayout(["a"], True, 44100, 2, FLOAT_WAV, clip="rescal"))
