"""Every key and every option explains itself, on 80 columns."""

import re

import pytest

from auralflow_pl.cli import docstrings
from auralflow_pl.cli import main as cli
from auralflow_pl.cli.comments import first_sentence
from auralflow_pl.cli.listing import describe_options, help_sections
from auralflow_pl.config.locations import config_dir
from auralflow_pl.config.search_path import command_groups
from support import option_names

GROUPS = sorted(
    path.name for path in config_dir().iterdir() if path.is_dir() and path.name != "hydra"
)
SEVERAL = (*cli.LIST_GROUPS, "experiment", "hydra")
SINGLE = [group for group in command_groups("train") if group not in SEVERAL]


def unexplained(command, *overrides):
    """Keys without a meaning."""
    rows = [row for section in help_sections(command, overrides) for row in section.rows]
    assert rows
    return [row.key for row in rows if not row.meaning]


@pytest.mark.parametrize("number", range(max(len(option_names(group)) for group in SINGLE)))
def test_every_key_of_the_options_of_a_group_has_a_meaning(number):
    names = {group: option_names(group) for group in SINGLE}
    chosen = [f"{group}={found[number % len(found)]}" for group, found in names.items()]
    assert unexplained("train", *chosen) == []


def test_every_key_of_options_that_can_be_combined_has_a_meaning():
    chosen = [f"{group}=[{','.join(option_names(group))}]" for group in cli.LIST_GROUPS]
    assert unexplained("train", *chosen) == []


def test_every_key_of_a_chain_has_a_meaning():
    for option in option_names("chain"):
        assert unexplained("separate", f"chain={option}") == []


def test_a_group_of_another_command_is_found_without_its_name(capsys):
    cli.show_help("config", ["chain"])
    assert "\n  options of chain:\n    karaoke  " in capsys.readouterr().out
    cli.show_help("completion", ["query", "config", "chain=k"])
    cli.show_help("completion", ["query", "config", "ch"])
    assert capsys.readouterr().out == "chain=karaoke\nchain=\nchunk_seconds=\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_key_of_a_command_has_a_meaning_on_80_columns(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    cli.show_help("config", [command])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    keys = [n for n, line in enumerate(lines) if re.match(r"  [\w.]+=\S*$", line)]
    assert keys
    assert [lines[n] for n in keys if not lines[n + 1].startswith(" " * 6)] == []


def test_help_fits_on_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    cli.show_help("train", ["--help"])
    out = capsys.readouterr().out
    assert "  target=vocals\n      a stem, or a list of stems" in out
    assert f"model=simple of {', '.join(option_names('model'))} loss=l1 of" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_says_what_it_is(group):
    assert [name for name, text in describe_options(group).items() if not text] == []


def test_values_and_meanings_of_the_chosen_parts(capsys):
    cli.show_help("config", ["model=vae", "model.bottleneck.hidden_size=32", "model"])
    out = capsys.readouterr().out
    assert "  model.bottleneck.hidden_size=32\n      units per direction.\n" in out
    assert "  model.bottleneck.kl_warmup_steps=1000\n" in out
    assert "    simple           U-Net with strided convolutions" in out
    assert "optimizer" not in out


@pytest.mark.parametrize(
    "tool, word, message",
    [
        ("config", "modle", "modle: no such key or group, did you mean 'model'?"),
        ("config", "model=vea", "model=vea: no such option, did you mean 'vae'?"),
        ("completion", "bsh", "completion bsh: did you mean 'bash'?"),
    ],
)
def test_mistakes(capsys, tool, word, message):
    with pytest.raises(SystemExit):
        cli.show_help(tool, [word])
    assert capsys.readouterr().err == f"error: {message}\n"


def test_meanings_of_inherited_arguments_come_from_the_base():
    texts = docstrings.argument_texts("auralflow_pl.losses.waveform.SISDRLoss")
    assert texts["best_perm"].startswith("with several targets, let each item choose")
    assert docstrings.argument_texts("auralflow_pl.no_such_module.Nothing") == {}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Small nets, e.g. of one layer. More", "Small nets, e.g. of one layer."),
        ("After Takahashi et al. (2018). More", "After Takahashi et al. (2018)."),
        ("One", "One."),
        ("", ""),
    ],
)
def test_an_abbreviation_ends_no_sentence(text, expected):
    assert first_sentence(text) == expected
