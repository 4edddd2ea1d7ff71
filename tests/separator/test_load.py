import os
import pickle
import shutil
import zipfile

import pytest
import torch

from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.errors import InputError
from auralflow_pl.pretrained.cache import resolve_ckpt
from auralflow_pl.separator.engines.engine import engine_name
from auralflow_pl.separator.load import load_separator
from support import option_names, python, untrained


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def test_a_checkpoint_is_enough_to_separate(ckpt):
    separator = load_separator(ckpt)
    assert separator.targets == ("vocals",)
    assert not separator.training
    assert separator(torch.randn(2, 5000)).shape == (1, 2, 5000)


def test_a_run_folder_stands_for_its_best_checkpoint(ckpt, tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    shutil.copy(ckpt, folder / "epoch=0.ckpt")
    refused(folder.parent, "no best.ckpt or last.ckpt")
    for name in ("last.ckpt", "best.ckpt"):
        shutil.copy(ckpt, folder / name)
        assert resolve_ckpt(folder.parent) == resolve_ckpt(folder) == folder / name
    assert load_separator(str(folder.parent)).targets == ("vocals",)


def test_weights_are_those_that_were_saved(ckpt):
    content = torch.load(ckpt, weights_only=True)
    saved = content["state_dict"]
    for name, value in load_separator(ckpt, simplify=False).network.state_dict().items():
        assert torch.equal(value, saved[f"separator.network.{name}"])


def naming(ckpt, path, **settings):
    """A copy of a checkpoint that names settings of separation."""
    content = torch.load(ckpt, weights_only=True)
    content["auralflow_pl"]["config"]["separation"] |= settings
    torch.save(content, path)
    return path


def test_speeds_that_a_model_names_are_used_unless_others_are_given(ckpt, tmp_path):
    path = naming(ckpt, tmp_path / "named.ckpt", speeds=[1.0, 1.25])
    audio = torch.randn(2, 5000) * 0.1
    named, without = load_separator(path), load_separator(path, speeds=[1])
    assert torch.equal(named(audio), load_separator(ckpt, speeds=[1.0, 1.25])(audio))
    assert torch.equal(without(audio), load_separator(ckpt)(audio))
    assert not torch.allclose(named(audio), without(audio))
    with pytest.raises(InputError, match=r"pass speeds=\[1\] and mid_side=false"):
        named.realtime(1024)


@pytest.mark.parametrize(
    "setting", [{"speeds": [3.0]}, {"speeds": "fast"}, {"speeds": {"a": 1}}, {"mid_side": "yes"}]
)
def test_a_model_that_names_no_such_setting_is_refused(ckpt, tmp_path, setting):
    refused(
        naming(ckpt, tmp_path / "named.ckpt", **setting),
        f"ckpt=.*separation.{next(iter(setting))}=",
    )


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        load_separator(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b"",
        lambda b: b"not a checkpoint",
        lambda b: b[: len(b) // 2],
        lambda b: b[:-10],
        lambda b: b[:200] + bytes(200) + b[400:],
        lambda b: bytes(len(b)),
    ],
)
def test_damaged_files(ckpt, tmp_path, spoil):
    path = tmp_path / "spoilt.ckpt"
    path.write_bytes(spoil(ckpt.read_bytes()))
    refused(path, "damaged|not loaded")


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "none.ckpt", "no such file")
    refused(tmp_path, "no such file")


@pytest.mark.parametrize("form", ["pickle", "torch", "legacy", "zip"])
def test_code_is_never_run(ckpt, tmp_path, form):
    trace, path = tmp_path / "ran", tmp_path / "evil.ckpt"
    content = {**torch.load(ckpt, weights_only=True), "callbacks": Bomb(trace)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    elif form == "zip":
        torch.save(content, path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("extra.pkl", pickle.dumps(Bomb(trace)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    refused(path, "could run code|damaged")
    assert not trace.exists()


def altered(ckpt, path, change):
    content = torch.load(ckpt, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop("auralflow_pl"), "another project"),
        (lambda c: c.pop("state_dict"), "another project"),
        (lambda c: c["auralflow_pl"].update(format=99), "format 99, this version reads format 1"),
        (lambda c: c["auralflow_pl"]["config"].pop("model"), "do not fit"),
        (lambda c: c["auralflow_pl"]["config"]["model"].update(width=3), "do not fit"),
        (lambda c: c["auralflow_pl"]["config"]["model"].update(widht=3), "did you mean 'width'"),
        (lambda c: c["auralflow_pl"]["config"]["model"].update(_target_="os.system"), "trust=.os."),
        (
            lambda c: c["auralflow_pl"]["config"]["model"].update(
                _target_="auralflow_pl.audio.writing.tempfile.mkdtemp"
            ),
            "cannot be imported|not a MaskEstimator",
        ),
        (
            lambda c: c["auralflow_pl"]["config"]["model"].update(
                _target_="auralflow_pl.models.base.MaskEstimator"
            ),
            "abstract class MaskEstimator",
        ),
        (lambda c: c["auralflow_pl"]["config"].update(target="../../x"), "no such stem"),
        (
            lambda c: (
                c["auralflow_pl"]["config"].update(target="../../x"),
                c["auralflow_pl"]["config"]["data"].update(stems=["../../x"]),
            ),
            "not a name for a file",
        ),
        (lambda c: c["state_dict"].clear(), "do not fit"),
        (lambda c: c["state_dict"].update({5: torch.zeros(1)}), "state_dict: 5 is no name"),
        (
            lambda c: c["state_dict"].update({"separator.network.x": "y"}),
            "separator.network.x is no tensor",
        ),
        (lambda c: c["auralflow_pl"].pop("config"), "holds no configuration"),
        (lambda c: c["auralflow_pl"].update(config=[1]), "holds no configuration"),
        (lambda c: c["auralflow_pl"]["config"].pop("data"), "data is missing"),
        (lambda c: c["auralflow_pl"]["config"].update({(1, 2): 3}), "expected names as keys"),
        (lambda c: c["auralflow_pl"]["config"].update(seed=torch.zeros(1)), "expected plain"),
        (lambda c: c["auralflow_pl"]["config"].update(seed=10**500), "huge number"),
        (lambda c: c["auralflow_pl"].update(format="9\n" * 500), "this version reads format 1"),
        (lambda c: c.update(global_step="x"), "step=x: expected"),
        (lambda c: c.update(global_step=True), "step=True: expected"),
    ],
)
def test_contents_that_do_not_fit(ckpt, tmp_path, change, message):
    refused(altered(ckpt, tmp_path / "altered.ckpt", change), message)


def test_other_lightning_checkpoints_are_named(tmp_path):
    path = tmp_path / "other.ckpt"
    torch.save({"state_dict": {}, "epoch": 3}, path)
    with pytest.raises(InputError, match="another project"):
        load_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="another project"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "source",
    [
        {"_target_": "os.system", "command": "touch {trace}"},
        {"_target_": "pathlib.Path.touch", "_args_": ["{trace}"]},
        {"_target_": "auralflow_pl.data.sources.synthetic.Path.touch", "_args_": ["{trace}"]},
        {"_target_": "auralflow_pl.data.sources.synthetic.write_song", "root": "{trace}"},
        {
            "_target_": "auralflow_pl.data.sources.synthetic.SyntheticSongs",
            "root": {"_target_": "pathlib.Path.touch", "_args_": ["{trace}"]},
        },
        {"_target_": "auralflow_pl.data.sources.synthetic.SyntheticSongs", "root": "{trace}"},
        {"_target_": "auralflow_pl.data.sources.synthetic.SyntheticSongs"},
        "no node at all",
    ],
)
def test_the_data_set_of_a_checkpoint_runs_and_writes_nothing(command, ckpt, tmp_path, source):
    trace = str(tmp_path / "trace")

    def plant(node):
        if isinstance(node, dict):
            return {key: plant(value) for key, value in node.items()}
        return [plant(v) for v in node] if isinstance(node, list) else node.format(trace=trace)

    path = altered(
        ckpt,
        tmp_path / "evil.ckpt",
        lambda c: c["auralflow_pl"]["config"]["data"].update(
            source=plant(source), root=str(tmp_path)
        ),
    )
    done = command("evaluate", f"ckpt={path}")
    assert done.error
    assert [p.name for p in tmp_path.iterdir()] == ["evil.ckpt"]


LOADED = """
import sys
import auralflow_pl
for path in sys.argv[1:]:
    auralflow_pl.load(path)
print([name for name in ("torch._dynamo", "sympy", "pytorch_lightning") if name in sys.modules])
"""


def test_networks_are_loaded_without_the_compiler_of_torch(tmp_path):
    """Which takes a second and 150 MB."""
    paths = [untrained(tmp_path / f"{o}.ckpt", f"model={o}") for o in option_names("model")]
    done = python("-c", LOADED, *paths)
    assert (done.out, done.err) == ("[]\n", "")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"nope": 1}, "nope: no such setting, expected one of path, .*window_seconds"),
        ({"window": 1}, "window: no such setting, did you mean 'window_seconds'"),
        ({"targets": "vocals"}, "targets: no such setting, did you mean 'target'"),
        ({"sample_rate": 8000}, "sample_rate: no such setting"),
        ({"device": "cuda"}, r"device: no such setting; .*load\(...\).to\(device\)"),
        ({"overlap": "much"}, r"separation.overlap=much: expected float \| None"),
        ({"batch_size": 1.5}, "separation.batch_size=1.5: expected int"),
        ({"speeds": [1, 3]}, r"separation.speeds=\[1, 3\]: expected 1 to 20 numbers, 0.5 to 2"),
        ({"shifts": 101}, "separation.shifts=101: expected from 1 to 100"),
        ({"seed": 2**64}, "separation.seed=18446744073709551616: expected from 0 to"),
        ({"window_seconds": 0.01}, "separation.window_seconds=0.01: too short for the"),
        ({"wiener_steps": 1}, "separation.wiener_steps=1: with one target"),
        ({"precision": "bf61"}, "precision=bf61: expected fp32, bf16 or fp16"),
    ],
)
def test_settings_that_there_are_not_do_not_blame_the_checkpoint(ckpt, settings, message):
    with pytest.raises(InputError, match=f"^{message}"):
        load_separator(ckpt, **settings)


def test_a_number_format_decides_between_engines(ckpt):
    for precision in ("bf16", "fp16"):
        network = load_separator(ckpt, engine="auto", precision=precision).network
        assert engine_name(network) == "torch"
        with pytest.raises(InputError, match="ONNX graphs compute in fp32; pass precision=fp32"):
            load_separator(ckpt, engine="onnx", precision=precision)
    assert engine_name(load_separator(ckpt, engine="auto", precision="fp32").network) == "onnx"


@torch.no_grad()
def test_a_named_number_format_is_used(ckpt):
    audio = torch.randn(2, 5000)
    half, full = (load_separator(ckpt, precision=name)(audio) for name in ("bf16", "fp32"))
    assert 0 < (half - full).abs().max() < 0.1
