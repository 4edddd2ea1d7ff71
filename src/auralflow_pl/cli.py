"""The command line: Hydra composes, one function per command works, errors are one line.

Nothing here imports torch, so `--help` and `--cfg job` answer at once.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.config import config_dir, flat_keys
from auralflow_pl.errors import InputError, did_you_mean


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
    "selfcheck": Command(
        "show that a training can be killed and resumed: selfcheck resume", word="check"
    ),
}
LISTS = (
    "augment",
    "callbacks",
    "logger",
    "loss",
    "metrics",
)  # groups of which several options may be chosen
PATH_KEYS = ("ckpt", "estimates", "input", "output", "registries", "resume", "save", "data.root")
USAGE = """usage: auralflow <command> [key=value ...] [--help] [--cfg job]

commands:
{commands}

`auralflow <command> --help` shows the keys and groups of a command.
"""


def main() -> None:
    """Entry point `auralflow <command> ...`."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = (f"  {name:<10} {command.text}" for name, command in COMMANDS.items())
        print(USAGE.format(commands="\n".join(lines)))
        sys.exit(0 if arguments else 2)
    command = arguments[0]
    if command not in COMMANDS:
        fail(f"no such command: {command}, {did_you_mean(command, COMMANDS)}")
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
    return sweep[:1] + [quote_path(argument, bool(sweep)) for argument in rest]


def gather_runs(arguments: list[str]) -> list[str]:
    """Folders that stand alone become `runs=[...]`; one that exists may have any name."""
    runs = [
        argument
        for argument in arguments
        if os.path.lexists(argument) or ("=" not in argument and argument[0:1] not in ("-", ""))
    ]
    rest = [argument for argument in arguments if argument not in runs]
    return [*rest, f"runs=[{','.join(map(quoted, runs))}]"] if runs else rest


def quote_path(argument: str, sweep: bool) -> str:
    """Quote `key=value` if the key holds a path, so that any file name can be given as it is.

    In a sweep commas separate values, so only a path that exists is quoted there.
    """
    key, _, value = argument.partition("=")
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


def explain(error: Exception, command: str) -> str:
    """One line that says what is wrong and what to do."""
    text = str(error).strip()
    if isinstance(error, InputError):  # from a loader process it arrives with a traceback in front
        return text.splitlines()[-1].removeprefix("auralflow_pl.errors.InputError: ")
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return f"{error.filename}: {error.strerror}" if error.filename else text
    key = re.search(r"Could not override '([^']+)'", text)
    if key and command == "evaluate" and key[1].startswith("data."):
        return f"{key[1]}: needs a data set, for example data=stem_folder {key[1]}=..."
    if key:
        return f"{key[1]}: no such key, {did_you_mean(key[1], valid_keys(command, key[1]))}"
    option = re.search(
        r"'(?!hydra)([\w-]+)/([\w./-]+)'\s+Available options in '[^']+':\n(.*)", text, re.S
    )
    if option:
        group, name = option[1], option[2]
        listed = option[3].partition("Config search path")[0].splitlines()
        options = [name.strip() for name in listed if name.strip() and "\t_" not in name]
        return f"{group}={name}: no such option, {did_you_mean(name, options)}"
    plugin = re.search(r"'hydra/(launcher|sweeper)/(\w+)", text)
    if plugin:
        extra = {"optuna": "sweep", "ray": "ray"}.get(plugin[2], "slurm")
        return f"hydra/{plugin[1]}={plugin[2]}: not installed; pip install 'auralflow-pl[{extra}]'"
    listed_option = re.search(r"Could not load '([\w-]+)/([\w.-]+)'", text)
    if listed_option:  # one of several, as in loss=[l1,...]
        group, name = listed_option[1], listed_option[2]
        options = sorted(p.stem for p in (config_dir() / group).glob("[!_]*.yaml"))
        return f"{group}={name}: no such option, {did_you_mean(name, options)}"
    if "mismatched input" in text or "extraneous input" in text or "LexerNoViableAlt" in text:
        return f"{' '.join(text.split())}; quote values that hold = , ( ) or spaces: key='\"...\"'"
    return " ".join(text.split())


def valid_keys(command: str, wrong: str) -> list[str]:
    """The keys that the command line could have meant, with the groups it chose."""
    choices = [
        argument
        for argument in sys.argv[1:]
        if "=" in argument
        and "." not in argument.partition("=")[0]
        and argument.lstrip("+~").partition("=")[0] != wrong
        and (config_dir() / argument.partition("=")[0]).is_dir()
    ]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            keys = list(flat_keys(compose(command, choices)))
        except HydraException:
            keys = list(flat_keys(compose(command)))
    extra = {"train": ["experiment"], "evaluate": ["data"]}.get(command, [])
    depth, name = wrong.count("."), wrong.rpartition(".")[2]
    alike = [key for key in keys if key.endswith(f".{name}")]
    return alike or [key for key in (*keys, *extra) if key.count(".") == depth]
