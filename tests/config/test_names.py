"""Paths of a configuration: `~`, empty ones, and names that look like interpolations."""

from dataclasses import fields
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, open_dict

from auralflow_pl.checkpoints.config_check import check_config
from auralflow_pl.cli.quoting import keys_first, prepare_arguments
from auralflow_pl.config.instantiate import build, to_plain
from auralflow_pl.config.names import PATH_KEYS
from auralflow_pl.config.schema import COMMAND_SCHEMAS, PathKeys, TrainKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError
from support import composed

FOLDERS = [f"paths.{entry.name}" for entry in fields(PathKeys)]


def configured(command, values):
    """The configuration of a command with all required keys, and with these values."""
    config = composed(command)
    with open_dict(config):
        for name in [name for name in config if OmegaConf.is_missing(config, name)]:
            config[name] = ["x"] if name == "runs" else "x"
        for key, value in values.items():
            OmegaConf.update(config, key, [value] if key in ("runs", "data.roots") else value)
    return config


def path_keys(command):
    """Keys of a command whose values are paths."""
    known = {entry.name for entry in fields(COMMAND_SCHEMAS[command])}
    keys = [key for key in (*PATH_KEYS, *FOLDERS) if key.partition(".")[0] in known]
    return [key for key in keys if command != "evaluate" or not key.startswith("data.")]


@pytest.mark.parametrize("command", COMMAND_SCHEMAS)
def test_every_path_of_every_command(command, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    keys, schema = path_keys(command), COMMAND_SCHEMAS[command]
    config = validate(configured(command, dict.fromkeys(keys, "~/a b")), schema)
    for key in keys:
        assert OmegaConf.select(config, key) in ("/home/me/a b", ["/home/me/a b"])
        with pytest.raises(InputError, match=rf"^{key}=: an empty path; expected one"):
            validate(configured(command, {key: ""}), schema)


def test_folders_below_others_are_in_the_home_folder_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("AURALFLOW_DATA", "~/data")
    config = validate(configured("train", {"paths.runs_dir": "~/runs"}), TrainKeys)
    assert config.data.source.root == "/home/me/data/synthetic"
    assert config.callbacks.best_checkpoint.dirpath.startswith("/home/me/runs/")


@pytest.mark.parametrize("name", ["x${1}", r"a\b${1}", "~x", "$HOME"])
def test_names_reach_the_parts_as_they_are(name):
    given = prepare_arguments("train", ["data=stem_folder", f"data.root={name}"])
    config = validate(composed("train", *given, "paths.run_dir=x"), TrainKeys)
    assert to_plain(config)["data"]["root"] == name
    assert build(config.data.source).roots == [Path(name)]
    check_config(to_plain(config))  # a checkpoint of this training can be loaded


@pytest.mark.parametrize(
    "value, expected",
    [
        ("[Song (Live).wav,It's.wav, c=d.wav]", ["Song (Live).wav", "It's.wav", "c=d.wav"]),
        ("['a, b.wav',c.wav]", ["a, b.wav", "c.wav"]),
        ("[Live] album/*.wav", "[Live] album/*.wav"),
        ("[~/a.wav,b${1}.wav]", ["/home/me/a.wav", r"b\${1}.wav"]),
        ("~/a.wav", "/home/me/a.wav"),
        ("new${x}.wav", r"new\${x}.wav"),
        ("[]", []),
    ],
)
def test_paths_need_no_quotes(value, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (argument,) = prepare_arguments("separate", [f"input={value}"])
    assert OverridesParser.create().parse_override(argument).value() == expected


@pytest.mark.parametrize(
    "value", ["${output}/x.wav", "${paths.runs_dir}", "${oc.env:X}", "[${output}]"]
)
def test_references_stay(value):
    assert prepare_arguments("separate", [f"input={value}"]) == [f"input={value}"]


@pytest.mark.parametrize("value", ["choice(a,b)", "'a','b'"])
def test_choices_of_a_sweep_stay(value):
    assert prepare_arguments("train", ["-m", f"data.root={value}"])[1] == f"data.root={value}"
    paths = prepare_arguments("train", ["-m", "data.root=a (1),b"])[1]
    assert paths == "data.root='a (1)','b'"


@pytest.mark.parametrize(
    "value",
    ["sängare", "[sängare,backing]", "[vox, 歌 声]", "{vocals:[sängare]}", "['sängare',x]"],
)
def test_letters_beyond_ascii_need_no_quotes(value):
    (argument,) = prepare_arguments("train", [f"target={value}"])
    parsed = OverridesParser.create().parse_override(argument).value()
    plain = value.replace("'", "")
    assert str(parsed).replace("'", "").replace(" ", "") == plain.replace(" ", "")
    assert prepare_arguments("train", ["target=[a,b c]"]) == ["target=[a,b c]"]


def test_keys_may_follow_a_flag():
    given = ["a=1", "--config-dir", "my", "~chain.x", "--resolve", "b=2", "--cfg", "job", "c=3"]
    assert keys_first(given) == [
        *("a=1", "~chain.x", "b=2", "c=3"),
        *("--config-dir", "my", "--resolve", "--cfg", "job"),
    ]
