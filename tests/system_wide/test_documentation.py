"""What the documentation shows can be done as it is shown."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

import auralflow_pl
from auralflow_pl.cli.quoting import prepare_arguments
from auralflow_pl.cli.table import COMMANDS, TOOL_TEXTS
from auralflow_pl.config.search_path import is_group
from auralflow_pl.errors import InputError
from support import REPOSITORY, composed, untrained
from support.shown import OF_OTHER_TOOLS, has_words, pages, shown_commands

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


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 120


def headings(path: Path) -> set[str]:
    """The anchors of the headings of a Markdown file, as hosts of repositories make them."""
    lines = re.findall(r"^#+ (.*)", path.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path):
    text = re.sub(r"^```.*?^```|^    .*?$", "", path.read_text(), flags=re.M | re.S)
    for address in re.findall(r"\]\(([^()\s]+)\)", text):
        if "://" not in address:
            place, _, anchor = address.partition("#")
            target = (path.parent / place).resolve() if place else path
            assert target.exists(), address
            assert not anchor or anchor in headings(target), address


def settings(words: list[str]) -> list[str] | None:
    """The `key=value` words of a command line with one value each; None: of parts of one's own."""
    if {"--config-dir", "--config-name"} & {*words} or any("pkg://" in word for word in words):
        return None
    words = [word.replace("=...", "=x") for word in words if "=" in word and word[0] != "-"]
    words = [word for word in words if "<" not in word]
    return [word for word in words if not re.match(r"\+?hydra\b", word)]


def first_value(word: str) -> str:
    """A word without the further values of a sweep."""
    override = OverridesParser.create().parse_override(word)
    if not override.is_sweep_override():
        return word
    values = override.sweep_string_iterator() if override.is_discrete_sweep() else iter("1")
    return f"{override.get_key_element()}={next(values)}"


SHOWN = {
    (path.name, *words)
    for path in pages()
    for words in shown_commands(path.read_text())
    if not any(has_words(" ".join(words), others) for others in OF_OTHER_TOOLS)
}


@pytest.mark.parametrize("shown", sorted(SHOWN), ids=" ".join)
def test_commands_in_the_documentation_have_keys_that_exist(shown):
    _, command, *words = shown
    if command not in COMMANDS:
        assert command in TOOL_TEXTS or (REPOSITORY / command).is_file()
        return
    given = settings(words)
    if given is None:
        return
    given = [first_value(word) for word in prepare_arguments(command, given) if word[0] != "-"]
    choices = [word for word in given if is_group(word.partition("=")[0])]
    config = composed(command, *choices)
    for key in {word.partition("=")[0].lstrip("+") for word in given if word not in choices}:
        node = OmegaConf.select(config, key.rpartition(".")[0]) if "." in key else config
        assert key.rpartition(".")[2] in list(node), key
