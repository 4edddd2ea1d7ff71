"""The models in the package separate a real song."""

import pytest

import auralflow_pl
from auralflow_pl.audio.reading import read_audio, read_streams
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.pretrained.locations import BUNDLED_MODEL, SMALL_MODEL


@pytest.mark.parametrize("model, expected", [(BUNDLED_MODEL, 7.5), (SMALL_MODEL, 6)])
def test_a_model_in_the_package_gains_on_the_real_excerpt(
    command, excerpt, tmp_path, model, expected
):
    keys = (f"ckpt={model}", f"input={excerpt}", f"output={tmp_path}", "engine=torch")
    done = command("separate", *keys, "residual=true")
    assert done.code == 0, done.err
    folder = tmp_path / excerpt.name.removesuffix(".stem.mp4")
    estimate = read_audio(folder / "vocals.wav").samples
    streams = read_streams(excerpt)
    mixture, target = streams[0].samples, streams[4].samples
    gain = si_sdr(estimate.flatten(), target.flatten()) - si_sdr(
        mixture.flatten(), target.flatten()
    )
    assert gain > expected
    residual = read_audio(folder / "residual.wav").samples
    assert (estimate + residual - mixture).abs().max() <= 2**-15


@pytest.mark.parametrize(
    "model, size, words",
    [
        (BUNDLED_MODEL, 8.5e6, ("Spleeter", "Heard", "CC BY 4.0", "Scottpoid", "Limits")),
        (SMALL_MODEL, 6.5e6, ("Scores", "learned from", "Licence", "Freedoom", "WORLD")),
    ],
)
def test_they_are_small_and_say_what_they_are(model, size, words):
    assert (model / "model.safetensors").stat().st_size < size
    card = (model / "README.md").read_text()
    assert all(word in card for word in words)
    assert auralflow_pl.load(model).targets == ("vocals",)
