"""Loading of untrusted YAML files: plain values only, no duplicate keys, no references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from auralflow_pl.errors import InputError, one_line, os_reason

MAX_YAML_BYTES = 2**20  # largest size of a file


def load_yaml(path: Path) -> Any:
    """Load the plain values of a YAML file.

    Raises:
        InputError: the file cannot be read, is too large, or is not YAML with plain values.
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
        raise InputError(f"{path}: cannot be read: {os_reason(error)}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        cause = one_line(error)
        raise InputError(f"{path}: not YAML with plain values: {cause}") from error


class StrictLoader(yaml.SafeLoader):
    """Loader of plain values that rejects duplicate keys and references.

    References allow small files with an unlimited amount of content.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Raise YAMLError for a reference (`*name`)."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("holds a reference (*); write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Raise YAMLError for a duplicate key."""
        keys = [getattr(key, "value", None) for key, _ in node.value]
        twice = next((key for key in keys if isinstance(key, str) and keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"duplicate key {twice:.64}")
        return super().construct_mapping(node, deep)
