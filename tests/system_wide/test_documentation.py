"""What the documentation shows can be done as it is shown."""

import re
import shutil

import numpy as np
import pytest
import soundfile

import auralflow_pl
from auralflow_pl.errors import InputError
from support import REPOSITORY, untrained

PAGE = (REPOSITORY / "docs" / "separation.md").read_text()
PYTHON_PAGE = (REPOSITORY / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("model") / "best.ckpt")


@pytest.mark.parametrize("number", range(3))
def test_examples_of_separation_run(ckpt, tmp_path, monkeypatch, capsys, number):
    assert len(EXAMPLES) == 3
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "demo" / "checkpoints"
    folder.mkdir(parents=True)
    shutil.copy(ckpt, folder)
    song = np.random.default_rng(0).uniform(-0.2, 0.2, (30000, 2))
    soundfile.write("song.wav", song, 44100)
    exec(EXAMPLES[number], {})
    if number < 2:
        assert soundfile.info("vocals.wav").frames == 30000
    else:
        assert capsys.readouterr().out.endswith("stopped half-way\n")


@pytest.mark.filterwarnings("ignore:.*LeafSpec")
@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", PYTHON_PAGE, re.S))
def test_examples_of_python_run(example):
    exec(example, {})


def test_every_key_of_separate_is_explained():
    config = (REPOSITORY / "configs" / "separate.yaml").read_text()
    keys = re.findall(r"^(\w+):", config.partition("_self_")[2], re.M)
    missing = [key for key in keys if f"`{key}" not in PAGE and key not in ("trust",)]
    assert not missing


def test_public_names():
    assert auralflow_pl.Separator.__name__ == "Separator"
    with pytest.raises(AttributeError, match="has no attribute 'separate_all'"):
        _ = auralflow_pl.separate_all


def test_what_has_no_weights_to_train_says_so(ckpt):
    for load, message in [
        ({}, "cannot be trained: it was simplified for separation; load it with simplify=False"),
        ({"engine": "onnx"}, "cannot be trained: an ONNX graph has no weights; load a checkpoint"),
    ]:
        separator = auralflow_pl.load(ckpt, **load)
        with pytest.raises(InputError, match=message):
            separator.train()
