"""Weights in float16 and int8: what is stored, what comes back, and files that lie about it."""

import hashlib
import json
import re

import pytest
import torch
from safetensors.torch import load, save

from auralflow_pl.checkpoints.quantized import (
    SCALE_SUFFIX,
    rounding_level,
    to_float,
    to_float16,
    to_int8,
)
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.errors import InputError
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.pretrained.locations import SMALL_MODEL
from auralflow_pl.separator.load import load_separator


def test_each_channel_is_within_half_a_step_of_its_own():
    levels = 10.0 ** torch.arange(-6, 2)
    weights = {
        "conv": torch.randn(8, 30, 5, 5) * levels.reshape(8, 1, 1, 1),
        "transposed": torch.randn(30, 8, 5, 5) * levels.reshape(1, 8, 1, 1),
    }
    stored = to_int8(weights)
    for name, axis in (("conv", 0), ("transposed", 1)):
        assert stored[name].dtype == torch.int8
        scale = stored[name + SCALE_SUFFIX]
        assert scale.numel() == scale.shape[axis] == 8
        assert stored[name].nbytes + scale.nbytes < 0.26 * weights[name].nbytes
        assert ((to_float(stored)[name] - weights[name]).abs() <= 0.501 * scale).all()
    # Uniform noise of one step has 1/12 of its square; the largest of 750 normal values is about
    # 3.2 deviations: 10 log10((3.2 / 127) ** 2 / 12) = -43 dB.
    assert -44 < rounding_level(weights, stored) < -41
    assert rounding_level(weights, to_float16(weights)) < -70


def test_what_stays_as_it_is():
    weights = {
        "bias": torch.randn(4096),
        "small": torch.randn(31, 33),
        "count": torch.tensor(3),
        "whole": torch.arange(4096).reshape(64, 64),
        "unlimited": torch.full((64, 64), float("inf")),
        "none": torch.zeros(0, 4096),
    }
    stored = to_int8(weights)
    assert stored.keys() == weights.keys()
    assert all(stored[name] is value for name, value in weights.items())
    assert rounding_level(weights, stored) == float("-inf")


def test_silent_channels_stay_silent():
    weight = torch.randn(8, 200)
    weight[3] = 0
    assert not to_float(to_int8({"x": weight}))["x"][3].any()
    assert not to_float(to_int8({"x": torch.zeros(8, 200)}))["x"].any()


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_an_int8_model_separates_alike(command, tmp_path, suffix):
    path = tmp_path / f"int8{suffix}"
    done = command("export", f"ckpt={SMALL_MODEL}", f"output={path}", "dtype=int8")
    assert done.code == 0, done.err
    assert re.search(r"3\.2 MB of weights, rounded to int8 \(difference -4\d dB\)", done.out)
    checkpoint = load_checkpoint(path)
    assert all(v.dtype != torch.int8 for v in checkpoint.weights.values())
    if not suffix:
        assert "- weights: rounded to int8" in (path / "README.md").read_text()
    audio = torch.randn(1, 30000) * 0.3
    before, after = (load_separator(p)(audio).flatten() for p in (SMALL_MODEL, path))
    assert 25 < si_sdr(after, before) < 90


def test_keys_that_contradict_each_other(command, ckpt, tmp_path):
    output = f"output={tmp_path / 'out'}"
    for keys, message in (
        (("dtype=int4",), "dtype=int4: "),
        (("dtype=int8", "half=true"), "half=true is dtype=float16; pass one of them"),
        (("dtype=int8", "format=onnx"), "dtype=int8: format=onnx holds float32"),
        (("half=true", "format=torchscript"), "half=true: format=torchscript holds float32"),
    ):
        done = command("export", f"ckpt={ckpt}", output, *keys)
        assert done.code == 1
        assert message in done.err
    assert not (tmp_path / "out").exists()
    done = command("export", f"ckpt={ckpt}", output, "dtype=float16", "half=true")
    assert done.code == 0, done.err


VALUES = torch.ones(8, 200, dtype=torch.int8)
LIES = {
    "no values": ({f"y{SCALE_SUFFIX}": torch.ones(8, 1)}, "no int8 values of this name"),
    "float values": ({"x": VALUES.float()}, "no int8 values of this name"),
    "vector": ({f"x{SCALE_SUFFIX}": torch.ones(8)}, "expected one scale a channel"),
    "too many": ({f"x{SCALE_SUFFIX}": torch.ones(9, 1)}, "expected one scale a channel"),
    "more axes": ({f"x{SCALE_SUFFIX}": torch.ones(8, 1, 1)}, "expected one scale a channel"),
    "every value": ({f"x{SCALE_SUFFIX}": torch.ones(8, 200)}, "expected one scale a channel"),
    "number": ({"x": VALUES[0, 0], f"x{SCALE_SUFFIX}": torch.tensor(1.0)}, "one scale a channel"),
    "whole numbers": ({f"x{SCALE_SUFFIX}": torch.ones(8, 1).int()}, "expected finite float32"),
    "complex": ({f"x{SCALE_SUFFIX}": torch.ones(8, 1) * 1j}, "expected finite float32"),
    "NaN": ({f"x{SCALE_SUFFIX}": torch.full((8, 1), float("nan"))}, "expected finite float32"),
    "a long name": ({f"{'y' * 9999}\n{SCALE_SUFFIX}": torch.ones(8, 1)}, "no int8 values"),
    "scale of a scale": ({f"x{SCALE_SUFFIX * 2}": torch.ones(8, 1)}, "no int8 values"),
    "terabytes": ({"x": VALUES.expand(2**31, 8, 200)}, "GB of weights; expected 4.3 GB"),
}


@pytest.mark.parametrize("name", LIES)
def test_scales_that_do_not_fit(name):
    changes, message = LIES[name]
    stored = {"x": VALUES, f"x{SCALE_SUFFIX}": torch.ones(8, 1)}
    with pytest.raises(InputError, match=message) as caught:
        to_float(stored | changes)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_int8_without_scales_is_no_weight(command, tmp_path):
    path = tmp_path / "model"
    command("export", f"ckpt={SMALL_MODEL}", f"output={path}", "dtype=int8")
    file = path / "model.safetensors"
    stored = {n: v for n, v in load(file.read_bytes()).items() if not n.endswith(SCALE_SUFFIX)}
    file.write_bytes(save(stored))
    config = json.loads((path / "config.json").read_text())
    config["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="holds int8, expected float32"):
        load_separator(path)
