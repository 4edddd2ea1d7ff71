"""Separation on a GPU: estimates, commands, and memory that does not suffice."""

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.separator.load import load_separator
from support import option_names, untrained

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

RATE = 44100


@pytest.fixture
def noise(tmp_path):
    """A stereo file of eight seconds."""
    samples = 0.2 * np.random.default_rng(0).standard_normal((8 * RATE, 2))
    soundfile.write(tmp_path / "noise.wav", samples, RATE, "FLOAT")
    return tmp_path / "noise.wav"


def largest_difference(first, second):
    return float((torch.as_tensor(first).cpu() - torch.as_tensor(second).cpu()).abs().max())


@pytest.mark.parametrize("model", option_names("model"))
def test_estimates_are_those_of_the_cpu(model, exact, tmp_path, record_property):
    ckpt = untrained(tmp_path / "model.ckpt", f"model={model}")
    separator = load_separator(ckpt, shifts=2, batch_size=2)
    audio = 0.2 * torch.randn(2, 3 * RATE)
    on_cpu = separator(audio)
    separator.to(exact)
    found = separator(audio.to(exact))
    assert found.device.type == exact.type
    record_property("largest difference", largest_difference(found, on_cpu))
    assert largest_difference(found, on_cpu) < 1e-4


def test_estimates_of_the_bundled_model_at_the_default_precision(device, record_property):
    separator, audio = load_separator(), 0.2 * torch.randn(2, 3 * RATE)
    on_cpu = separator(audio)
    difference = largest_difference(separator.to(device)(audio.to(device)), on_cpu)
    record_property("largest difference with TF32", difference)
    assert difference < 1e-2


@pytest.mark.parametrize("rate", [RATE, 48000, 22050])
def test_sound_may_be_on_another_device_than_the_separator(rate, exact, tmp_path):
    separator = load_separator(untrained(tmp_path / "model.ckpt"))
    audio = 0.2 * torch.randn(2, 3 * rate)
    on_cpu = separator(audio, rate)
    separator.to(exact)
    from_tensor, from_array = separator(audio, rate), separator(audio.numpy(), rate)
    assert from_tensor.device.type == "cpu"
    assert isinstance(from_array, np.ndarray)
    assert largest_difference(from_tensor, on_cpu) < 1e-4
    assert largest_difference(from_array, on_cpu) < 1e-4


def test_the_filter_of_several_sources(exact, tmp_path):
    separator = load_separator(
        untrained(tmp_path / "model.ckpt", "target=[vocals,drums]"),
        wiener_steps=1,
        wiener_residual=True,
    )
    audio = 0.2 * torch.randn(2, 3 * RATE)
    on_cpu = separator(audio)
    assert largest_difference(separator.to(exact)(audio.to(exact)), on_cpu) < 1e-4


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_command_writes_what_it_writes_on_the_cpu(
    precision, exact, command, noise, tmp_path, record_property
):
    ckpt = untrained(tmp_path / "model.ckpt")
    stems = []
    for place in ("cpu", exact):
        keys = (f"device={place}", "precision=fp32" if place == "cpu" else f"precision={precision}")
        done = command(
            "separate",
            f"ckpt={ckpt}",
            f"input={noise}",
            f"output={tmp_path / str(place) / 'stems'}",
            "engine=torch",
            "residual=true",
            "overwrite=true",
            *keys,
        )
        assert done.code == 0, done.err
        found = tmp_path / str(place) / "stems" / "noise" / "vocals.wav"
        stems.append(soundfile.read(found)[0])
    difference = largest_difference(*stems)
    record_property("largest difference", difference)
    assert difference < {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2}[precision]


def test_a_memory_limit_enlarges_batches(device, command, noise, tmp_path):
    ckpt = untrained(tmp_path / "model.ckpt")
    keys = (f"device={device}", "max_ram=8GB", "engine=torch")
    done = command("separate", f"ckpt={ckpt}", f"input={noise}", f"output={tmp_path / 'o'}", *keys)
    assert done.code == 0, done.err


def test_memory_that_does_not_suffice_shrinks_the_batch(device, command, noise, tmp_path):
    if device.type != "cuda":
        pytest.skip("the memory of a GPU is what is limited")
    ckpt = untrained(tmp_path / "model.ckpt")
    keys = ("engine=torch", "separation.window_seconds=2", "separation.overlap=0.25")

    def separate(size, place):
        return command(
            "separate",
            f"ckpt={ckpt}",
            f"input={noise}",
            f"output={tmp_path / place}",
            f"device={device}",
            f"separation.batch_size={size}",
            *keys,
        )

    assert separate(1, "one").code == 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    assert separate(1, "again").code == 0
    needed = torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.5 * needed / total))
    try:
        done = separate(16, "many")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert done.code == 0, done.err
    assert "not enough memory, once more with less" in done.out + done.err
    first, second = (
        soundfile.read(tmp_path / place / "noise" / "vocals.wav")[0] for place in ("one", "many")
    )
    assert largest_difference(first, second) < 1e-3  # TF32 may choose other kernels for batches
