"""Paths and names as values of a configuration: `~`, empty values, and `${` in a name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from auralflow_pl.errors import InputError

PATH_KEYS = (
    "choices",
    "ckpt",
    "data.file",
    "data.root",
    "data.roots",
    "data.songs",
    "estimates",
    "folder",
    "input",
    "models",
    "output",
    "registries",
    "resume",
    "runs",
    "save",
    "token_file",
    "truth",
)

# Groups that take several options; every key of their nodes belongs to one that is chosen.
LIST_GROUPS = ("augment", "callbacks", "logger", "loss", "metrics")

PATH_NODE = "paths"  # its keys are paths as well

STEP_CKPT = re.compile(r"\+{0,2}chain\.[^.]+\.ckpt")  # a model of a chain


def is_path_key(key: str) -> bool:
    """Whether the values of a dotted key are paths."""
    return (
        key in PATH_KEYS or key.startswith(f"{PATH_NODE}.") or STEP_CKPT.fullmatch(key) is not None
    )


def check_paths(config: DictConfig) -> None:
    """Raise InputError for an empty path, as `output=$FOLDER` with an unset variable gives."""
    folders = [f"{PATH_NODE}.{name}" for name in config.get(PATH_NODE) or ()]
    models = [f"chain.{name}.ckpt" for name in config.get("chain") or ()]
    for key in (*folders, *models, *PATH_KEYS):
        value = OmegaConf.select(config, key)
        for path in value if OmegaConf.is_list(value) else [value]:
            if path == "":
                raise InputError(f"{key}=: an empty path; expected one (is a variable not set?)")


def home_expanded(text: str) -> str:
    """A text with the home folder for `~` at its beginning, as in `~/songs`."""
    return os.path.expanduser(text) if re.match("~(/|$)", text) else text  # noqa: PTH111 - of texts


def literal(text: str) -> str:
    """A text as OmegaConf keeps it if `${` in it is no interpolation."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def with_run_dir(config: DictConfig, folder: str) -> DictConfig:
    """A validated configuration with another run folder, also where its texts begin with it."""
    plain = OmegaConf.to_container(config, resolve=True)
    texts = mapped_texts(literal, moved_paths(plain, config.paths.run_dir, folder))
    return OmegaConf.merge(config, texts)  # type: ignore[return-value]


def moved_paths(node: Any, before: str, now: str) -> Any:
    """Plain containers in which paths in the folder `before` lie in the folder `now`."""
    inside = re.compile(rf"{re.escape(before)}(?=/|$)")
    return mapped_texts(
        lambda text: f"{now}{text[len(before) :]}" if inside.match(text) else text, node
    )


def mapped_texts(change: Callable[[str], str], node: Any) -> Any:
    """Plain containers with all texts changed; keys stay."""
    if isinstance(node, dict):
        return {key: mapped_texts(change, value) for key, value in node.items()}
    if isinstance(node, list):
        return [mapped_texts(change, value) for value in node]
    return change(node) if isinstance(node, str) else node
