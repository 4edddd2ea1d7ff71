"""The model in the package separates a real song."""

import auralflow_pl
from auralflow_pl.audio.reading import read_audio, read_streams
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.pretrained.locations import BUNDLED_MODEL


def test_the_model_in_the_package_gains_on_the_real_excerpt(command, excerpt, tmp_path):
    done = command(
        "separate", f"input={excerpt}", f"output={tmp_path}", "engine=torch", "residual=true"
    )
    assert done.code == 0, done.err
    folder = tmp_path / excerpt.name.removesuffix(".stem.mp4")
    estimate = read_audio(folder / "vocals.wav").samples
    streams = read_streams(excerpt)
    mixture, target = streams[0].samples, streams[4].samples
    gain = si_sdr(estimate.flatten(), target.flatten()) - si_sdr(
        mixture.flatten(), target.flatten()
    )
    assert gain > 6
    residual = read_audio(folder / "residual.wav").samples
    assert (estimate + residual - mixture).abs().max() <= 2**-15


def test_it_is_small_and_says_what_it_is():
    assert (BUNDLED_MODEL / "model.safetensors").stat().st_size < 8e6
    card = (BUNDLED_MODEL / "README.md").read_text()
    assert all(word in card for word in ("Scores", "learned from", "Licence", "Freedoom", "WORLD"))
    assert auralflow_pl.load().targets == ("vocals",)
