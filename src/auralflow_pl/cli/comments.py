"""Read the comments of a YAML file: the first lines describe the file, other comments a key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import yaml

from auralflow_pl.cli import docstrings

# A full stop before a space, except after an abbreviation.
SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!\betc)(?<!\bcf)(?<!\bvs)(?<!et al)\. ")


def first_sentence(text: str) -> str:
    """First sentence of a text, up to the first full stop; empty for an empty text."""
    return SENTENCE_END.split(text, maxsplit=1)[0].rstrip(".") + "." if text else ""


@cache
def head_comment(path: Path) -> str:
    """Comment at the top of a YAML file, or else the docstring summary of its `_target_`."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").strip())
    if lines:
        return " ".join(lines)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return docstrings.summary_of(content.get("_target_", ""))


@cache
def key_comments(path: Path) -> dict[str, str]:
    """Keys of a YAML file in dotted form, with the comment after each, empty if none."""
    text = path.read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # CSafeLoader is faster
    root = yaml.compose(text, loader)
    found = (
        dict(keyed_lines(root, text.splitlines(), "")) if isinstance(root, yaml.MappingNode) else {}
    )
    return found | {"": head_comment(path)} if "_target_" in found else found


def keyed_lines(
    node: yaml.MappingNode, lines: Sequence[str], where: str
) -> Iterator[tuple[str, str]]:
    """Yield `(dotted key, comment)` for each key below a node.

    PyYAML drops comments, so they are read from `lines` at the positions of the nodes.
    """
    for key, value in node.value:
        if key.value == "defaults" and not where:
            continue
        name = f"{where}.{key.value}" if where else key.value
        block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        mark = key.end_mark if block else value.end_mark
        _, sign, text = lines[mark.line][mark.column :].partition("# ")
        yield name, text.strip() if sign else ""
        if isinstance(value, yaml.MappingNode):
            yield from keyed_lines(value, lines, name)
