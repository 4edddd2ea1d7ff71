"""The command `separate` with the average of several models, as a user runs it."""

import json

import numpy as np
import pytest
import soundfile
import torch

from support import untrained


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Tiny networks with other weights, STFTs, rates and channels."""
    torch.manual_seed(0)  # two estimates of one bin are equally loud, on some processors
    folder = tmp_path_factory.mktemp("models")
    untrained(folder / "a.ckpt")
    untrained(folder / "b.ckpt", "stft.n_fft=512", "stft.hop_length=128", "audio.channels=2")
    untrained(folder / "c.ckpt", "audio.sample_rate=16000", "target=[vocals,drums]")
    return folder


@pytest.fixture
def separate(command, models, tmp_path):
    """Run the command on half a second of noise; return its stems."""
    song = tmp_path / "song.wav"
    soundfile.write(song, np.random.default_rng(0).uniform(-0.4, 0.4, (11025, 2)), 22050, "FLOAT")

    def call(names, *arguments, code=0):
        ckpt = ",".join(f"{models / name}.ckpt" for name in names)
        output = tmp_path / "-".join([names, *arguments])
        done = command(
            "separate", f"ckpt=[{ckpt}]", f"input={song}", f"output='{output}'", "engine=torch",
            *arguments,
        )  # fmt: skip
        assert done.code == code, done.err
        if code:
            return done.error
        return {path.stem: soundfile.read(path)[0] for path in output.glob("song/*.wav")}

    return call


def test_mean_and_median_are_those_of_the_estimates(separate):
    one, two, three = (separate(name)["vocals"] for name in "abc")
    mean = separate("abc", "average=mean")
    np.testing.assert_allclose(mean["vocals"], (one + two + three) / 3, atol=1e-6)
    np.testing.assert_allclose(mean["drums"], separate("c")["drums"], atol=1e-6)
    weighted = separate("ab", "average=mean", "average_weights=[3,1]")
    np.testing.assert_allclose(weighted["vocals"], 0.75 * one + 0.25 * two, atol=1e-6)
    median = separate("abc", "average=median")["vocals"]
    np.testing.assert_allclose(median, np.median([one, two, three], 0), atol=1e-6)


def test_min_and_max_take_each_bin_from_one_model(separate):
    low, high = (separate("ab", f"average={way}")["vocals"] for way in ("min", "max"))
    one, two = (separate(name)["vocals"] for name in "ab")
    np.testing.assert_allclose(low + high, one + two, atol=1e-5)  # each bin is in one of them
    levels = [np.square(x).sum() for x in (low, one, two, high)]
    assert levels[0] < min(levels[1:3])
    assert levels[3] > max(levels[1:3])


def test_a_rerun_knows_the_average(separate, command, models, tmp_path):
    separate("ab", "average=mean")
    report = json.loads(next(tmp_path.glob("ab-average=mean/song/report.json")).read_text())
    assert report["averaging"] == {"way": "mean", "weights": []}
    ckpt = f"ckpt=[{models / 'a.ckpt'},{models / 'b.ckpt'}]"
    place = [f"input={tmp_path / 'song.wav'}", f"output='{tmp_path / 'ab-average=mean'}'"]
    again = command("separate", ckpt, *place, "engine=torch", "average=mean")
    assert "is there already" in again.out
    other = command("separate", ckpt, *place, "engine=torch", "average=median")
    assert other.code == 1
    assert "overwrite=true" in other.err


@pytest.mark.parametrize(
    "names, arguments, message",
    [
        ("ab", [], "several separate vocals; expected different targets, or average=mean"),
        ("a", ["average=mean"], "average=mean: with one model; expected several models"),
        ("ab", ["average=sum"], "average=sum"),
        ("ab", ["average=mean", "average_weights=[1]"], "a number for each of the 2 models"),
        ("ab", ["average=max", "average_weights=[1,1]"], "and average=mean"),
        ("ab", ["average=mean", "average_weights=[-1,1]"], "at least 0"),
        ("a", ["average_weights=[1]"], "average_weights: only with average=mean"),
    ],
)
def test_mistakes(separate, names, arguments, message):
    assert message in separate(names, *arguments, code=1)
