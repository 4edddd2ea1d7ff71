"""The TAB key, asked through the real functions of the shells."""

import os
import shutil
import subprocess
import sys

import pytest

from auralflow_pl.cli import main as cli
from support import REPOSITORY, option_names


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Where `auralflow` is a command, whether or not it is installed."""
    folder = tmp_path_factory.mktemp("bin")
    for name, arguments in (("auralflow", "-m auralflow_pl"), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        script.chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}


def bash(environment, cwd, *lines, before=""):
    """What bash's completion function offers at the end of each line."""
    asked = "".join(
        f"COMP_LINE={line!r} COMP_POINT={len(line)}\n"
        f"_auralflow {line.split()[0]}; printf '%s|' \"${{COMPREPLY[@]}}\"; echo\n"
        for line in lines
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", f'{before}\neval "$(auralflow completion bash)"\n{asked}'],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert not done.stderr, done.stderr
    return [sorted(filter(None, line.split("|"))) for line in done.stdout.splitlines()]


def test_bash_completes_commands_options_and_files(environment, tmp_path):
    (tmp_path / "run one").mkdir()
    (tmp_path / "runs.ckpt").touch()
    commands, options, listed, files, pretrained = bash(
        environment,
        tmp_path,
        "auralflow ",
        "auralflow train model=",
        "auralflow train 'loss=[l1,s",
        "auralflow separate ckpt=ru",
        "auralflow separate ckpt=pretrained:mix",
    )
    assert {"train ", "separate ", "config ", "completion "} <= {*commands}
    assert options == [f"{name} " for name in option_names("model")]
    assert listed == ["loss=[l1,si_sdr", "loss=[l1,snr"]
    assert files == ["run\\ one/", "runs.ckpt "]
    assert pretrained == ["mixing-vocals "]


@pytest.mark.parametrize(
    "line, offered",
    [
        ("separate o", ["offset=", "output=", "overwrite="]),
        ("train model=vae model.bottleneck.kl_we", ["model.bottleneck.kl_weight="]),
        ("train compile=", ["compile=false", "compile=true"]),
        ("train -m model=simple,v", ["model=simple,vae"]),
        ("train model=simple,v", []),
        ("separate model=", []),
        ("evaluate --c", ["--cfg", "--config-dir"]),
        ("config sepa", ["separate", "separation.", "separation="]),
        ("completion z", ["zsh"]),
        ("separate ckpt=pretrained:m", ["ckpt=pretrained:mixing-vocals"]),
        ("download mix", ["mixing-vocals"]),
        ("models remove=mix", ["remove=mixing-vocals"]),
        ("publish pypro", ["pyproject.toml"]),
        ("nonsense a", []),
    ],
)
def test_candidates(capsys, monkeypatch, line, offered):
    monkeypatch.chdir(REPOSITORY)
    cli.show_help("completion", ["line", f"auralflow {line}"])
    assert capsys.readouterr().out.split() == offered


def test_bash_completes_the_scripts_of_the_repository(environment, tmp_path):
    lines = "python train.py optimizer=ad", "python x.py mo", "python3 x.py mo"
    before = """
    mine() { COMPREPLY=("mine:$1"); }
    complete -o nosort -F mine python
    """
    ours, theirs, others = bash(environment, tmp_path, *lines, before=before)
    assert (ours, theirs, others) == (["adam ", "adamw "], ["mine:python"], [])


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_files(environment, tmp_path):
    (tmp_path / "runs.ckpt").touch()
    asked = "complete -C 'auralflow separate ckpt=ru'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"auralflow completion fish | source; {asked}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ["ckpt=runs.ckpt"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_asks_with_the_words_before_the_cursor(environment, tmp_path):
    """The function itself, with stand-ins for what only zsh's line editor offers."""
    script = """
    compdef() { : }
    typeset -A _comps=(python mine)
    mine() { print mine }
    compadd() { [[ $1 == -S ]] && shift 2; print -l -- "${(@P)2}" }
    source <(auralflow completion zsh)
    words=(auralflow train model=) CURRENT=3
    _auralflow
    words=(python x.py mo) CURRENT=3
    _auralflow
    """
    done = subprocess.run(
        ["zsh", "-f", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == [
        "model=lstm",
        "model=mixing",
        "model=simple",
        "model=vae",
        "mine",
    ]
