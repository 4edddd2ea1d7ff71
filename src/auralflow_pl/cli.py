"""The command line: Hydra composes, one function per command works, errors are one line.

Nothing here imports torch, so `--help` and `--cfg job` answer at once.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl import __version__, options
from auralflow_pl.completion import Grammar, completion
from auralflow_pl.config import config_dir
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.explanation import explain


class Command(NamedTuple):
    """What a command is for, the module that holds it, and the key of a word that stands alone."""

    text: str
    module: str = ""
    word: str = ""


COMMANDS = {
    "train": Command("train a network"),
    "evaluate": Command("measure a checkpoint on a data set"),
    "compare": Command("tell whether one evaluation is better than another"),
    "separate": Command("separate files or folders with a checkpoint"),
    "export": Command("make a model that can be shared, or an ONNX or TorchScript file"),
    "download": Command("fetch a pretrained model", "registry_command", "name"),
    "models": Command("show pretrained models, or remove one", "registry_command", "name"),
    "publish": Command("make the archive and the registry entry of a model", word="ckpt"),
    "doctor": Command("find what is wrong with a data set"),
    "demo": Command("a page on this machine to try models"),
    "selfcheck": Command(
        "show that a training can be killed and resumed: selfcheck resume", word="check"
    ),
}
TOOLS = {
    "config": "show the configuration of a command, and what every option means",
    "completion": "print what bash, zsh or fish needs to complete commands and keys",
}
LISTS = (
    "augment",
    "callbacks",
    "logger",
    "loss",
    "metrics",
)  # groups of which several options may be chosen
PATH_KEYS = ("ckpt", "estimates", "input", "output", "registries", "resume", "save", "data.root")
TEXT_KEYS = {  # of commands: keys whose value is a text
    "export": ("licence",),
    "publish": ("licence", "description", "trained_on"),
}
USAGE = """usage: auralflow <command> [key=value ...] [--help] [--cfg job] | --version

commands:
{commands}

`auralflow <command> --help` shows the keys and groups of a command.
"""
TOOL_USAGE = {
    "config": """usage: auralflow config [command] [part] [key=value ...]

  auralflow config model=vae    what train is composed of, and every option
  auralflow config separate     the same of another command
  auralflow config loss         only the options of a part
""",
    "completion": """usage: auralflow completion <bash|zsh|fish>

  eval "$(auralflow completion bash)"          in ~/.bashrc
  source <(auralflow completion zsh)           in ~/.zshrc, after compinit
  auralflow completion fish | source           in ~/.config/fish/config.fish
""",
}


def main() -> None:
    """Entry point `auralflow <command> ...`."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        texts = {name: command.text for name, command in COMMANDS.items()} | TOOLS
        lines = (f"  {name:<10} {text}" for name, text in texts.items())
        print(USAGE.format(commands="\n".join(lines)))
        sys.exit(0 if arguments else 2)
    command = arguments[0]
    if command == "--version":
        print(f"auralflow_pl {__version__}")
        return
    if command in TOOLS:
        if {"-h", "--help"} & {*arguments}:
            print(TOOL_USAGE[command], end="")
        else:
            show(command, arguments[1:])
        return
    if command not in COMMANDS:
        fail(f"no such command: {command}, {did_you_mean(command, [*COMMANDS, *TOOLS])}")
    sys.argv = [f"auralflow {command}", *arguments[1:]]
    run(command)


def train() -> None:
    """Entry point of train.py."""
    run("train")


def evaluate() -> None:
    """Entry point of evaluate.py."""
    run("evaluate")


def separate() -> None:
    """Entry point of separate.py."""
    run("separate")


def export() -> None:
    """Entry point of export.py."""
    run("export")


def run(command: str) -> None:
    """Compose `configs/<command>.yaml` with the arguments and call the command with it.

    A user's mistake ends in one line on standard error and exit code 1. With HYDRA_FULL_ERROR=1 in
    the environment every error shows where it came from.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        show(command, sys.argv[1:])
        return
    for stream in (sys.stdout, sys.stderr):  # file names need not be valid text
        stream.reconfigure(errors="backslashreplace")
    sys.argv[1:] = prepare_arguments(command, sys.argv[1:])
    before = os.environ.get("HYDRA_FULL_ERROR", "0")
    verbose = before == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra leaves its errors to us
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=command)(
            lambda config: call(command, config, verbose)
        )()
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except BrokenPipeError:
        end_output()
    except (InputError, OSError, HydraException, OmegaConfBaseException) as error:
        if verbose:
            raise
        fail(explain(error, command))
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before
    if sys.argv[1:2] in (["-m"], ["--multirun"]):
        from auralflow_pl import sweep

        if sweep.failed:
            folders = ", ".join(str(job.folder) for job in sweep.failed)
            fail(f"{len(sweep.failed)} of the jobs failed: {folders}; repeat the sweep to run them")


def show(name: str, arguments: list[str]) -> None:
    """Print the help of a command, or what one of `TOOLS` shows."""
    arguments = [argument for argument in arguments if argument not in ("-h", "--help")]
    words = [argument for argument in arguments if "=" not in argument and argument[:1] != "~"]
    known = name == "config" and words and words[0] in COMMANDS
    command = words.pop(0) if known else "train" if name in TOOLS else name
    overrides = prepare_arguments(command, [word for word in arguments if "=" in word])
    try:
        if name == "completion":
            paths = (*PATH_KEYS, "runs")
            words = {name: command.word for name, command in COMMANDS.items()}
            completion(arguments, Grammar(words, [*TOOLS], LISTS, paths))
        elif name == "config":
            options.config(command, overrides, words)
        else:
            options.overview(command, COMMANDS[command].text, COMMANDS[command].word, overrides)
        sys.stdout.flush()
    except BrokenPipeError:
        end_output()
    except (InputError, HydraException, OmegaConfBaseException) as error:
        fail(explain(error, command))


def prepare_arguments(command: str, arguments: list[str]) -> list[str]:
    """Put `-m` first, quote paths for Hydra's grammar, and stop at what it would misread."""
    if command == "compare":
        arguments = gather_runs(arguments)
    sweep = [argument for argument in arguments if argument in ("-m", "--multirun")]
    rest = [argument for argument in arguments if argument not in sweep]
    word = COMMANDS[command].word
    if word and rest and "=" not in rest[0] and rest[0][0:1] not in ("-", ""):
        rest[0] = f"{word}={rest[0]}"
    for before, argument in zip(["", *rest], rest, strict=False):
        if argument[0:1] in ("-", "~", "") or before.startswith("-"):
            continue
        key, equals, value = argument.partition("=")
        if not equals:
            fail(f"{argument}: expected key=value; see {command} --help")
        if value == "null" and (config_dir() / key).is_dir():
            options = sorted(path.stem for path in (config_dir() / key).glob("[!_]*.yaml"))
            fail(f"{argument}: expected one of {', '.join(options)}")
        if value.startswith("[") and (config_dir() / key).is_dir() and key not in LISTS:
            fail(f"{argument}: {key} takes one option; to compare several, -m {key}={value[1:-1]}")
    texts = TEXT_KEYS.get(command, ())
    return sweep[:1] + [quote(argument, texts, bool(sweep)) for argument in rest]


def gather_runs(arguments: list[str]) -> list[str]:
    """Folders that stand alone become `runs=[...]`; one that exists may have any name."""
    runs = [
        argument
        for argument in arguments
        if os.path.lexists(argument) or ("=" not in argument and argument[0:1] not in ("-", ""))
    ]
    rest = [argument for argument in arguments if argument not in runs]
    return [*rest, f"runs=[{','.join(map(quoted, runs))}]"] if runs else rest


def quote(argument: str, texts: Sequence[str], sweep: bool) -> str:
    """Quote `key=value` if the key holds a text or a path, so that any can be given as it is.

    In a sweep commas separate values, so only a path that exists is quoted there.
    """
    key, _, value = argument.partition("=")
    if key in texts and not sweep and value != "null" and value[0:1] not in ("'", '"', ""):
        return f"{key}={quoted(value)}"
    if not (key in PATH_KEYS or key.startswith("paths.")) or value in ("", "null", "???"):
        return argument
    if value[0] in "'\"[" or "${" in value or (sweep and not os.path.lexists(value)):
        return argument if not os.path.lexists(value) else f"{key}={quoted(value)}"
    return f"{key}={quoted(value)}"


def quoted(value: str) -> str:
    """`value` as a quoted string of Hydra's grammar, without interpolation."""
    escaped = re.sub(r"(\\*)(\'|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return "'" + escaped.replace("${", "\\${") + "'"


def call(command: str, config: DictConfig, verbose: bool) -> Any:
    """Import the module of a command, and torch with it, only now."""
    module = COMMANDS[command].module or command
    function: Callable[[DictConfig], Any] = getattr(
        importlib.import_module(f"auralflow_pl.{module}"), command
    )
    try:
        return function(config)
    except BrokenPipeError:
        end_output()
    except (InputError, OSError, HydraException, OmegaConfBaseException) as error:
        if verbose or HydraConfig.get().mode is RunMode.MULTIRUN:
            raise  # Hydra adds which job it was
        fail(explain(error, command))


def end_output() -> None:
    """The reader of our output, `head` for example, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, code: int = 1) -> None:
    """Print one line on standard error and exit."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
