"""Instantiate configuration nodes and convert them to plain containers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from auralflow_pl.config.names import literal, mapped_texts
from auralflow_pl.errors import InputError, one_line


def build(node: Any, **arguments: Any) -> Any:
    """Instantiate a configuration node with `_target_`; None stays None.

    Lists and dicts among the arguments are plain ones.

    Args:
        node: node of a validated configuration, or plain containers.
        **arguments: further arguments of the class or function.

    Raises:
        InputError: the class or function rejects its arguments.
    """
    if node is None:
        return None
    plain = to_plain(node) if OmegaConf.is_config(node) else node
    content, given = (
        mapped_texts(lambda text: literal(literal(text)), one)  # Hydra resolves texts twice
        for one in (plain, arguments)
    )
    try:
        return instantiate(content, _convert_="all", **given)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, InputError):
            raise cause from None
        key = re.search(r"full_key: (\S+)", str(error))  # in a mapping of several
        name = node["_target_"].rpartition(".")[2] if "_target_" in node or not key else key[1]
        raise InputError(f"{name}: {one_line(cause)}") from error


def to_plain(config: Any) -> Any:
    """Resolve a configuration into plain dicts, lists and values."""
    return OmegaConf.to_container(config, resolve=True)


def flat_keys(node: Any, where: str = "") -> Iterator[str]:
    """Yield all keys of a configuration in dotted form, nodes before their children."""
    if OmegaConf.is_dict(node):
        for key in node:
            name = f"{where}.{key}" if where else str(key)
            yield name
            if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
                yield from flat_keys(node[key], name)
