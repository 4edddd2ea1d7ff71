"""Command lines of further processes with the configuration of this one."""

from __future__ import annotations

import sys
from collections.abc import Collection

from hydra.core.hydra_config import HydraConfig

from auralflow_pl.config.schema import COMMAND_SCHEMAS
from auralflow_pl.config.search_path import command_sources, is_search_key

NOT_REPEATED = ("hydra.mode", "seeds")  # of a sweep: a further process runs one of its jobs


def command_line(command: str, *keys: str, without: Collection[str] = ()) -> list[str]:
    """The command line of a further process.

    It gets the keys of this process, Hydra's own among them, its folders of configurations
    (`--config-dir`, `hydra.searchpath`) and its configuration (`--config-name`) if it is not that
    of a command; `system.processes.child_environment` gives it the same packages.

    Args:
        command: what it runs, as `train`.
        *keys: `key=value`, which replace those of this process.
        without: keys of this process that are not passed on.
    """
    own: list[str] = []
    if HydraConfig.initialized():
        given = HydraConfig.get().overrides
        hydra_keys = [key for key in given.hydra if not is_search_key(key)]
        own = [
            *named_config(),
            *(
                key
                for key in (*given.task, *hydra_keys)
                if key.partition("=")[0] not in (*without, *NOT_REPEATED)
            ),
        ]
    # -P: the first entry of sys.path is that of this process, not the current folder
    program = [sys.executable, "-P", "-m", "auralflow_pl", command]
    return [*program, *own, *command_sources(), *keys]


def named_config() -> list[str]:
    """`--config-name` of this process if it is no command's, with the folder to find it in."""
    name = HydraConfig.get().job.config_name
    if name in COMMAND_SCHEMAS:
        return []
    sources = HydraConfig.get().runtime.config_sources
    folders = [source.path for source in sources if source.provider == "command-line"]
    return [*(f"--config-dir={folder}" for folder in folders), f"--config-name={name}"]
