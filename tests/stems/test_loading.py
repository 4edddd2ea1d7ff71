"""How the command `separate` chooses and checks what runs a model."""

import json

import numpy as np
import pytest
import soundfile

from auralflow_pl.errors import InputError
from auralflow_pl.stems.refinement import check_refinable
from support import untrained


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """A tiny network for vocals."""
    return untrained(tmp_path_factory.mktemp("model") / "vocals.ckpt")


@pytest.fixture
def separate(command, ckpt, tmp_path):
    """Run the command on two seconds of noise."""
    source = tmp_path / "a.wav"
    soundfile.write(source, np.random.default_rng(0).uniform(-0.3, 0.3, (16000, 2)), 8000)

    def call(*arguments, model=ckpt):
        where = (f"input={source}", f"output={tmp_path / 'out'}")
        return command("separate", f"ckpt={model}", *where, "overwrite=true", *arguments)

    return call


@pytest.mark.parametrize(
    "arguments, engine",
    [
        (["engine=auto"], "onnx"),
        (["engine=onnx"], "onnx"),
        (["engine=torch"], "torch"),
        (["engine=auto", "precision=bf16"], "torch"),
        (["engine=torch", "precision=bf16"], "torch"),
    ],
)
def test_a_report_says_which_engine_ran(separate, tmp_path, arguments, engine):
    done = separate(*arguments, "device=cpu")
    assert done.code == 0, done.err
    (model,) = json.loads((tmp_path / "out" / "a" / "report.json").read_text())["models"]
    assert model["engine"] == engine


def test_a_report_says_which_settings_were_used(separate, tmp_path):
    """Stems are known again if the settings are given that the model names, and only then."""
    named = untrained(
        tmp_path / "named.ckpt", "audio.channels=2", "separation={speeds:[1,1.2],mid_side:true}"
    )
    report = tmp_path / "out" / "a" / "report.json"
    assert separate(model=named).code == 0
    (model,) = json.loads(report.read_text())["models"]
    assert model["settings"]["speeds"] == [1.0, 1.2]
    assert model["settings"]["mid_side"] is True
    keys = ("separation.speeds=[1,1.2]", "separation.mid_side=true", "overwrite=false")
    assert separate(*keys, model=named).code == 0  # else: is there already
    for other in ("separation.speeds=[1]", "separation.mid_side=false"):
        assert "is there already" in separate(other, "overwrite=false", model=named).err
    assert separate("separation.speeds=[1]", "separation.mid_side=false", model=named).code == 0
    (model,) = json.loads(report.read_text())["models"]
    assert not {"speeds", "mid_side"} & set(model["settings"])


def test_a_number_format_that_an_engine_lacks_is_refused(separate, command, ckpt, tmp_path):
    graph = tmp_path / "vocals.onnx"
    assert command("export", f"ckpt={ckpt}", "format=onnx", f"output={graph}").code == 0
    for done in (
        separate("engine=onnx", "precision=bf16", "device=cpu"),
        separate("precision=fp16", "device=cpu", model=graph),
    ):
        assert done.code != 0
        assert "ONNX graphs compute in fp32; pass precision=fp32" in done.err
        assert done.err.count("\n") == 1
    assert not (tmp_path / "out" / "a").exists()


def test_a_window_that_would_take_all_memory_is_refused(separate):
    done = separate("separation.window_seconds=1e9")
    assert done.code != 0
    assert "separation.window_seconds=1000000000.0: expected from 0.001 to 600" in done.err


def test_one_source_is_nothing_to_share_a_mixture_among():
    with pytest.raises(InputError, match=r"wiener=true: .* pass residual=true"):
        check_refinable(1, residual=False)
    check_refinable(1, residual=True)
    check_refinable(2, residual=False)


def test_the_wiener_filter_needs_something_to_share_the_mixture_among(separate, tmp_path):
    done = separate("wiener=true")
    assert done.code == 1
    assert "pass residual=true" in done.error
    assert not (tmp_path / "out" / "a").exists()
    assert separate("wiener=true", "residual=true").code == 0


def test_padding_is_in_the_report_and_makes_a_track_anew(separate, tmp_path):
    place = tmp_path / "out" / "a"
    said = {}
    for seconds in (0, 0.5):
        key = f"separation.padding_seconds={seconds}"
        assert separate(key).code == 0
        assert "is there already" in separate(key, "overwrite=false").out
        said[seconds] = json.loads((place / "report.json").read_text())
    assert said[0]["key"] != said[0.5]["key"]
    assert "padding_seconds" not in said[0]["models"][0]["settings"]
    assert said[0.5]["models"][0]["settings"]["padding_seconds"] == 0.5
    assert said[0]["output"] == said[0.5]["output"]
    assert said[0]["stems"]["vocals"]["sha256"] != said[0.5]["stems"]["vocals"]["sha256"]
