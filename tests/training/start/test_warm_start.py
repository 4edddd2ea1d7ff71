"""Trainings that begin with the weights of another model, and parts that are not trained."""

import re
import shutil

import pytest
import torch

from auralflow_pl.checkpoints import load_checkpoint
from auralflow_pl.pretrained.locations import SMALL_MODEL
from auralflow_pl.training import build_task
from support import TINY, composed
from support.spleeter_files import write_array_folder

STILL = ["optimizer.lr=0", "silent=false"]


@pytest.fixture
def trained(command, songs, tmp_path):
    """A tiny training with some keys, and the weights that it ends with."""

    def call(name, *keys):
        folder = tmp_path / name
        done = command(
            "train", *TINY, *STILL, f"data.root={songs}", f"paths.run_dir={folder}", *keys
        )
        if done.code:
            return done, {}
        return done, load_checkpoint(folder / "checkpoints" / "last.ckpt").weights

    return call


def test_all_weights_are_those_of_the_other_model(trained, run):
    before = load_checkpoint(run / "checkpoints" / "best.ckpt").weights
    done, after = trained("same", f"init={run}", "seed=9", "chunk_seconds=0.4")
    learned = [name for name in before if "running" not in name and "tracked" not in name]
    assert all(torch.equal(before[name], after[name]) for name in learned)
    assert re.search(rf"init={re.escape(str(run))}, step \d+", done.err + done.out)
    assert re.search(rf"loaded +{len(before)} tensors", done.err + done.out)
    _, other = trained("other", "seed=9")
    assert not torch.equal(
        other["encoder.levels.0.conv.weight"], after["encoder.levels.0.conv.weight"]
    )


def test_a_resumed_training_keeps_its_own_weights(trained, run, tmp_path):
    _, first = trained("one", f"init={run}", "optimizer.lr=0.01", "trainer.max_epochs=1")
    done, second = trained("one", f"init={run}", "resume=auto", "trainer.max_epochs=2")
    assert done.code == 0
    name = "encoder.levels.0.conv.weight"
    assert torch.equal(first[name], second[name])
    path = tmp_path / "one" / "checkpoints" / "last.ckpt"
    done, _ = trained("two", f"init={run}", f"resume={path}")
    assert "both bring weights; pass one of the two" in done.error


@pytest.mark.parametrize(
    "keys, message",
    [
        (["model.width=4"], "encoder.levels.0.conv.weight: has shape (2, 1, 5, 5) there, (4, 1, 5"),
        (["target=[vocals,drums]"], "decoder.head.weight: has shape (4, 1, 4, 4) there, (4, 2, 4"),
        (["audio.channels=2"], "was trained with other sound; pass audio.channels=1, or init_stri"),
        (["stft.hop_length=256"], "was trained with other sound; pass stft.hop_length=512"),
        (["model=lstm", "model.width=2", "model.levels=3"], "bottleneck.lstm.weight_ih_l0: missin"),
        (["model.normalize_input=false"], "normalize_input.norm.weight: not in this network"),
    ],
)
def test_what_does_not_fit_is_named(trained, run, keys, message):
    done, _ = trained("wrong", f"init={run}", *keys)
    assert done.code == 1
    assert message in done.error
    assert "init_strict=false" in done.error


def test_what_does_not_fit_begins_anew_if_that_is_wanted(trained, run):
    before = load_checkpoint(run / "checkpoints" / "best.ckpt").weights
    keys = ["target=[vocals,drums]", "init_strict=false"]
    done, after = trained("two", f"init={run}", *keys)
    assert after["decoder.head.weight"].shape == (4, 2, 4, 4)
    name = "encoder.levels.2.conv.weight"
    assert torch.equal(before[name], after[name])
    text = done.err + done.out
    assert "its targets were vocals, are vocals, drums" in text
    assert re.search("new +2 tensors, 130 values", text)
    assert "decoder.head.bias: has shape (1,) there, (2,) here" in text


def test_other_mistakes(trained, run, tmp_path):
    shutil.copytree(SMALL_MODEL, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"spoilt")
    for init, message in [
        ("nowhere", "init=nowhere: no such file, nor a model: nowhere: no such model"),
        ("nowhere.ckpt", "init=nowhere.ckpt: no such file"),
        (tmp_path / "model", "model.safetensors"),
        ("mixing-vocals", "was trained with other sound; pass "),
    ]:
        done, _ = trained("bad", f"init={init}")
        assert done.code == 1
        assert message in done.error


def test_published_weights_are_trained_on(trained, songs, tmp_path):
    write_array_folder(tmp_path / "2stems")
    before = load_checkpoint(tmp_path / "2stems").weights
    small = ["model.width=1", "model.levels=6", "model.segment_frames=64"]
    keys = [key for key in TINY if not key.startswith("model.")]
    done, after = trained(
        "tuned", *keys, *STILL, "experiment=spleeter", *small, f"init={tmp_path / '2stems'}"
    )
    assert done.code == 0, done.error
    assert re.search(rf"loaded +{len(before)} tensors", done.err + done.out)
    learned = [name for name in before if "running" not in name and "tracked" not in name]
    assert all(torch.equal(before[name], after[name]) for name in learned)


def test_frozen_parts_stay_as_they_are(trained):
    keys = ["optimizer.lr=0.1", "trainer.max_epochs=2"]
    done, frozen = trained("frozen", "freeze=[encoder,'*.head.bias']", *keys)
    _, start = trained("start", "trainer.max_epochs=1")
    assert re.search(r"frozen: \d+ of \d+ values of the network", done.err + done.out)
    for name in start:
        same = torch.equal(start[name], frozen[name])
        is_frozen = name.startswith("encoder.") or name == "decoder.head.bias"
        if is_frozen and not re.search("running|tracked", name):
            assert same, name
    assert int(frozen["encoder.levels.0.norm.num_batches_tracked"]) == 0  # statistics too
    assert int(frozen["decoder.levels.0.norm.num_batches_tracked"]) > 0
    assert not torch.equal(start["decoder.head.weight"], frozen["decoder.head.weight"])
    done, _ = trained("frozen", "resume=auto", *keys)
    assert "its freeze differs from this configuration" in done.error


def test_frozen_weights_get_no_gradient():
    task = build_task(composed("train", *TINY, "freeze=encoder"))
    network = task.separator.network
    network(torch.rand(1, 1, 513, 16)).mask.sum().backward()
    grads = {name: weight.grad is not None for name, weight in network.named_parameters()}
    assert all(grads[name] != name.startswith("encoder.") for name in grads)
    assert not network.encoder.training
    assert network.decoder.training


@pytest.mark.parametrize(
    "freeze, message",
    [
        ("encodr", "freeze=encodr: no such part of the network; did you mean 'encoder'?"),
        ("'*'", "nothing is left to be trained"),
    ],
)
def test_mistakes_in_freezing(trained, freeze, message):
    done, _ = trained("bad", f"freeze={freeze}")
    assert done.code == 1
    assert message in done.error
