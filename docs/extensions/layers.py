"""The directive `layers`: the folders of the package as they may import each other.

The layers are those of the contract in `pyproject.toml`, from which `lint-imports` checks the
imports. The directive's content explains the folders, and is what a plain reader of the file sees.
"""

from __future__ import annotations

import html
import re
import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
ENTRY = re.compile(r"^([\w.]+?)(?:/|\.py)?(?: {2,}(.*))?$")


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("layers", Layers)


class Layers(SphinxDirective):
    """Draws the layers, highest first; content that differs from the contract is an error."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The picture as HTML."""
        self.env.note_dependency(str(ROOT / "pyproject.toml"))
        layers, texts = contract(), described(list(self.content))
        if written := [sorted(part) for part in texts]:
            expected = [sorted(layer) for layer in layers]
            if written != expected:
                raise self.error(
                    f"the layers are {expected} in pyproject.toml and {written} on the page"
                )
        meaning = {name: text for part in texts for name, text in part.items()}
        return [nodes.raw("", drawn(layers, meaning), format="html")]


def contract() -> list[list[str]]:
    """Names of the folders of every layer, highest first."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (found,) = (c for c in content["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    return [[name.strip() for name in re.split(r"[|:]", layer)] for layer in found["layers"]]


def described(lines: list[str]) -> list[dict[str, str]]:
    """Folders and their texts, by layer: layers are separated by lines of dashes."""
    layers: list[dict[str, str]] = [{}]
    name = ""
    for line in lines:
        if line.startswith("---"):
            layers.append({})
        elif line.startswith(" ") and name:
            layers[-1][name] += f" {line.strip()}"
        elif entry := ENTRY.match(line.strip()):
            name = entry[1]
            layers[-1][name] = entry[2] or ""
    return layers


def drawn(layers: list[list[str]], meaning: dict[str, str]) -> str:
    """HTML of the picture: a row of boxes for each layer, with an arrow to the next."""
    rows = []
    for layer in layers:
        boxes = "".join(
            f"<div class='box'><b>{name}</b> {html.escape(meaning.get(name, ''))}</div>"
            for name in layer
        )
        rows.append(f"<div class='layer'>{boxes}</div>")
    arrow = "<div class='arrow' aria-hidden='true'>&darr;</div>"
    label = "folders of the package; each imports from those below it only"
    return f"<div class='layers' role='img' aria-label='{label}'>{arrow.join(rows)}</div>"
