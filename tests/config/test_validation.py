"""Every YAML of every group composes, its keys exist, and mistakes are named."""

from itertools import zip_longest

import pytest
from omegaconf import OmegaConf, open_dict
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger

from auralflow_pl.config.instantiate import build
from auralflow_pl.config.locations import config_dir
from auralflow_pl.config.schema import (
    COMMAND_SCHEMAS,
    CompareKeys,
    EvaluateKeys,
    SeparateKeys,
    TrainKeys,
)
from auralflow_pl.config.search_path import command_groups, command_of
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError
from auralflow_pl.training.build import choose_directions
from support import composed, option_names

ELSEWHERE = {"hydra", "sweep"}  # sweeps only make sense with -m: see test_sweep.py
TOGETHER = sorted({*command_groups("train")} - ELSEWHERE - {"experiment"})
# One option of every group at a time, since a composition takes long; an experiment chooses itself.
CHOICES = [[f"experiment={option}"] for option in option_names("experiment")]
CHOICES += [
    [f"{group}={option}" for group, option in zip(TOGETHER, options, strict=True) if option]
    for options in zip_longest(*map(option_names, TOGETHER))
]


@pytest.mark.parametrize("choices", CHOICES, ids=",".join)
def test_every_option_composes_and_its_keys_exist(choices):
    data = next((choice for choice in choices if choice.startswith("data=")), "data=mixed")
    extra = {"data=mixed": [], "data=shards": ["data.url=x"]}.get(data, ["data.root=x"])
    config = validate(composed("train", *choices, "paths.run_dir=x", *extra), TrainKeys)
    assert config.target in ("vocals", ["vocals", "accompaniment"])


@pytest.mark.parametrize("group", ["callbacks", "logger", "scheduler", "optimizer"])
def test_every_option_builds(group, tmp_path):
    for option in option_names(group):
        config = validate(
            composed("train", f"{group}={option}", f"paths.run_dir={tmp_path}"), TrainKeys
        )
        choose_directions(config)
        node = config[group]
        if group in ("callbacks", "logger"):
            kind = Callback if group == "callbacks" else Logger
            assert all(isinstance(part, kind) for part in build(node).values())
        elif node is not None:
            assert callable(build(node))


def test_the_other_commands_compose():
    validate(composed("evaluate", "ckpt=x"), EvaluateKeys)
    validate(composed("compare", "runs=[a,b]"), CompareKeys)
    validate(composed("evaluate", "ckpt=x", "data=synthetic"), EvaluateKeys)
    validate(composed("separate", "ckpt=x", "input=y"), SeparateKeys)


def test_every_group_is_of_some_command():
    folders = {path.name for path in config_dir().iterdir() if path.is_dir()}
    assert folders == {group for command in COMMAND_SCHEMAS for group in command_groups(command)}
    assert command_groups("selfcheck") == command_groups("train")
    assert command_of(["loss", "input"], COMMAND_SCHEMAS, "train") == "train"
    assert command_of(["chain"], COMMAND_SCHEMAS, "train") == "separate"


def test_the_options_of_a_chain_compose():
    for option in option_names("chain"):
        config = composed("separate", f"chain={option}", "input=x")
        models = [f"chain.{step}.ckpt=x" for step in config.chain]
        validate(composed("separate", f"chain={option}", "input=x", *models), SeparateKeys)


@pytest.mark.parametrize(
    "key, message",
    [
        ("chain=karaoke", r"missing required key: chain\.lead\.ckpt; pass chain\.lead\.ckpt="),
        ("+chain.a.input=x", r"missing required key: chain\.a\.ckpt; pass chain\.a\.ckpt="),
        ("+chain.a.chkpt=x", r"chain\.a\.chkpt: no such key, did you mean 'ckpt'"),
        ("+chain.a=3", r"chain\.a=3: expected chain\.<name>\.<key>=\.\.\. with one of ckpt, inp"),
        ("+chain.a.ckpt=", r"chain\.a\.ckpt=: an empty path"),
    ],
)
def test_mistakes_in_a_chain_are_named(key, message):
    with pytest.raises(InputError, match=message):
        validate(composed("separate", "input=x", key), SeparateKeys)


def test_a_missing_key_is_named():
    with pytest.raises(InputError, match=r"missing required key: input; pass input=\.\.\."):
        validate(composed("separate", "ckpt=x"), SeparateKeys)
    with pytest.raises(InputError, match=r"data\.root: not given; pass data\.root=<folder>"):
        build(composed("train", "data=stem_folder").data.source)


@pytest.mark.parametrize(
    "key, nearest",
    [
        ("tarmet", "target"),
        ("model.widht", "width"),
        ("stft.n_ftt", "n_fft"),
        ("data.batch_sise", "batch_size"),
        ("data.source.second", "seconds"),
        ("optimizer.learnrate", None),
        ("trainer.max_epoch", "max_epochs"),
        ("callbacks.best_checkpoint.monitr", "monitor"),
    ],
)
def test_a_typing_error_in_a_file_is_named(key, nearest):
    """Keys that arrive from a user's YAML, past the checks of the command line."""
    config = composed("train", "paths.run_dir=x")
    *path, last = key.split(".")
    node = config
    for part in path:
        node = node[part]
    with open_dict(config):
        node[last] = 1
    with pytest.raises(InputError) as caught:
        validate(config, TrainKeys)
    assert key in str(caught.value)
    assert (f"did you mean '{nearest}'?" if nearest else "expected one of") in str(caught.value)


@pytest.mark.parametrize(
    "override", ["audio.sample_rate=fast", "seed=x", "data.batch_size=[1]", "silent=perhaps"]
)
def test_a_wrong_type_is_named(override):
    with pytest.raises(InputError, match=override.partition("=")[0]):
        validate(composed("train", override, "paths.run_dir=x"), TrainKeys)


def test_a_word_is_no_number_where_a_command_knows_no_types():
    config = composed("evaluate", "data=synthetic", "data.batch_size=abc")
    with pytest.raises(InputError, match=r"data\.batch_size=abc: expected a number, more than 0"):
        validate(config, EvaluateKeys)


RENAMED = [("model", "leak", "hidden_leak"), ("loss.component", "alpha", "rest_weight")]


def test_keys_of_a_part_that_is_not_chosen_are_named():
    keys = ("experiment=bundled", "augment=[gain]", "~augment.reverb")
    with pytest.raises(InputError, match=r"^augment.remix, augment.equalizer: has keys, but is"):
        validate(composed("train", *keys), TrainKeys)
    removed = ("~augment.remix", "~augment.equalizer")
    config = validate(composed("train", *keys, *removed), TrainKeys)
    assert list(config.augment) == ["gain"]


@pytest.mark.parametrize("node, former, now", RENAMED)
def test_former_names_of_arguments(node, former, now):
    """As in a saved configuration, and as in a YAML file that changes a part of today's."""
    config = composed("train", "loss=component", "paths.run_dir=x")
    with open_dict(config):
        OmegaConf.update(config, f"{node}.{former}", 0.3)
        with pytest.raises(InputError) as error:
            validate(config, TrainKeys)
        assert str(error.value) == f"{node}.{former}: is called {node}.{now} now; use that name"
        del OmegaConf.select(config, node)[now]
    checked = OmegaConf.select(validate(config, TrainKeys), node)
    assert checked[now] == 0.3
    assert former not in checked


@pytest.mark.parametrize("node, former, now", RENAMED)
def test_former_names_of_arguments_on_the_command_line(command, node, former, now):
    done = command("train", "loss=component", f"{node}.{former}=0.3")
    assert done.error == f"error: {node}.{former}: is called {node}.{now} now; use that name"
