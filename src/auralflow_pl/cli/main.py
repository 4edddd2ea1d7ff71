"""Entry points of the command line. Importing this module does not import torch."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.cli import help as options
from auralflow_pl.cli.completion import CommandGrammar, print_completion
from auralflow_pl.cli.hydra_parser import repaired_help
from auralflow_pl.cli.output import end_output, fail, prepare_streams, until_reader_ends
from auralflow_pl.cli.quoting import prepare_arguments
from auralflow_pl.cli.table import (
    COMMANDS,
    MAIN_USAGE,
    MEANT,
    TOOL_TEXTS,
    TOOL_USAGE,
)
from auralflow_pl.config.explain import explain
from auralflow_pl.config.locations import config_dir
from auralflow_pl.config.names import LIST_GROUPS
from auralflow_pl.config.search_path import (
    add_config_dirs,
    command_of,
    register_plugin,
    split_config_dirs,
    split_flag,
)
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.version import __version__


def main() -> None:
    """Run `auralflow <command> ...`; the entry point of the package."""
    prepare_streams()
    with until_reader_ends():
        run_command(sys.argv[1:])


def run_command(arguments: list[str]) -> None:
    """Run the command that the first argument names, or print help."""
    if not arguments or arguments[0] in ("-h", "--help"):
        texts = {name: command.text for name, command in COMMANDS.items()} | TOOL_TEXTS
        lines = (f"  {name:<12} {text}" for name, text in texts.items())
        print(MAIN_USAGE.format(commands="\n".join(lines)))
        sys.exit(0 if arguments else 2)
    command = arguments[0]
    if command == "--version":
        print(f"auralflow_pl {__version__}")
        return
    if command in TOOL_TEXTS:
        if {"-h", "--help"} & {*arguments}:
            print(TOOL_USAGE[command], end="")
        else:
            show_help(command, arguments[1:])
        return
    if command not in COMMANDS:
        meant = MEANT.get(command, command)
        fail(f"no such command: {command}, {did_you_mean(meant, [*COMMANDS, *TOOL_TEXTS])}")
    sys.argv = [f"auralflow {command}", *arguments[1:]]
    run(command)


def run(command: str) -> None:
    """Compose `configs/<command>.yaml` with the command-line arguments and call the command.

    Mistakes of the user are printed as one line on standard error, with exit code 1. With
    HYDRA_FULL_ERROR=1 in the environment, they are raised with their traceback instead.
    """
    prepare_streams()
    if {"-h", "--help"} & set(sys.argv[1:]):
        show_help(command, sys.argv[1:])
        return
    before = os.environ.get("HYDRA_FULL_ERROR", "0")
    verbose = before == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so Hydra raises its errors
    try:
        sys.argv[1:] = prepare_arguments(command, sys.argv[1:])
        register_plugin()
        with repaired_help():
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=command)(
                lambda config: call_command(command, config, verbose)
            )()
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except BrokenPipeError:
        end_output()
    except (InputError, OSError, HydraException, OmegaConfBaseException) as error:
        if verbose:
            raise
        fail(explain(error, command, sys.argv[1:]))
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before


def show_help(name: str, arguments: list[str]) -> None:
    """Print the help of a command, or the output of a command of `TOOL_TEXTS`."""
    command = name if name in COMMANDS else "train"
    try:
        if name == "completion":
            words = {name: command.word for name, command in COMMANDS.items()}
            many = [name for name, command in COMMANDS.items() if command.many]
            print_completion(arguments, CommandGrammar(words, [*TOOL_TEXTS], LIST_GROUPS, many))
        else:
            arguments, folders = split_config_dirs(arguments)
            arguments, saved = split_flag(arguments, ["--save"], "a file")
            words = [word for word in arguments if "=" not in word and word[:1] not in ("-", "~")]
            if name == "config" and words and words[0] in COMMANDS:
                command = words.pop(0)
            elif name == "config":  # `config chain`: the command that has this group
                keys = [word.partition("=")[0].partition(".")[0] for word in arguments]
                command = command_of(keys, COMMANDS, command)
            overrides = prepare_arguments(command, [word for word in arguments if "=" in word])
            overrides = add_config_dirs(overrides, folders)
            if name == "config" and saved:
                options.store_config(command, overrides, words, saved)
            elif name == "config":
                options.print_config(command, overrides, words)
            else:
                own = COMMANDS[command]
                alone = f" [<{own.word}>{' ...' if own.many else ''}]" if own.word else ""
                options.print_overview(command, own.text, alone, overrides)
        sys.stdout.flush()
    except BrokenPipeError:
        end_output()
    except (InputError, HydraException, OmegaConfBaseException) as error:
        fail(explain(error, command, sys.argv[1:]))


def call_command(command: str, config: DictConfig, verbose: bool) -> Any:
    """Import the module of a command, which may import torch, and call the command."""
    name = command.replace("-", "_")
    path = ".".join(filter(None, ("auralflow_pl.commands", COMMANDS[command].folder, name)))
    function: Callable[[DictConfig], Any] = getattr(importlib.import_module(path), name)
    try:
        return function(config)
    except BrokenPipeError:
        end_output()
    except (InputError, OSError, HydraException, OmegaConfBaseException) as error:
        if verbose or HydraConfig.get().mode is RunMode.MULTIRUN:
            raise  # Hydra adds the job
        fail(explain(error, command, sys.argv[1:]))
