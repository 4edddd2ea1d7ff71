"""Load YAML files written by others: plain values only, no duplicate keys, no references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from auralflow_pl.errors import InputError, one_line

MAX_YAML_BYTES = 2**20  # bytes of a file


def load_yaml(path: Path) -> Any:
    """The plain values in a file.

    Raises:
        InputError: it cannot be read, or is no such YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
        if len(content) > MAX_YAML_BYTES:
            raise InputError(f"{path}: longer than {MAX_YAML_BYTES} bytes")
        return yaml.load(content, StrictLoader)  # noqa: S506 - it is a SafeLoader
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        cause = one_line(error)
        raise InputError(f"{path}: not YAML with plain values: {cause}") from error


class StrictLoader(yaml.SafeLoader):
    """Plain values only, no key twice, and no references, which can stand for endless content."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse `*reference`."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("holds a reference (*); write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there already."""
        keys = [getattr(key, "value", None) for key, _ in node.value]
        twice = next((key for key in keys if isinstance(key, str) and keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"{twice:.64} is there twice")
        return super().construct_mapping(node, deep)
