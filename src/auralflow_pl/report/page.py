"""Self-contained HTML pages: style, data and script in one file."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from auralflow_pl.errors import InputError
from auralflow_pl.system.staging import check_writable

# The page may load nothing from elsewhere, even if names in the data contain HTML.
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "media-src data:"
)

PAGE_HEAD_BYTES = 1000  # of a page that hold its generator tag

GENERATOR_TAG = '<meta name="generator" content="auralflow_pl">'

PAGE_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{generator}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{data}</script>
<script>
{script}</script>
</body>
</html>
"""


def html_page(
    name: str, title: str, subtitle: str, data: Mapping[str, Any], policy: str = PAGE_POLICY
) -> str:
    """Fill the page `<name>.html` with `<name>.js` and its data.

    Args:
        name: name of the assets in this package, without suffix.
        title: plain text.
        subtitle: plain text.
        data: data for the script as plain values, without NaN or infinity.
        policy: Content-Security-Policy of the page.
    """
    title = html.escape(title)
    body = read_asset(f"{name}.html").format(title=title, subtitle=html.escape(subtitle))
    content = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    script = "".join(map(read_asset, ("drawing.js", "player.js", f"{name}.js")))
    style = read_asset("page.css")
    return PAGE_TEMPLATE.format(
        generator=GENERATOR_TAG,
        policy=policy,
        title=title,
        style=style,
        body=body,
        data=content,
        script=script,
    )


def page_file(output: str | None, default: Path) -> Path:
    """Path of a page that can be written: `output`, or else the default.

    Raises:
        InputError: the path is a folder, or its folder cannot be written.
    """
    page = Path(output or default)
    if page.is_dir():
        raise InputError(
            f"output={page}: is a folder; expected a file, as in output={page}/{default.name}"
        )
    check_writable(page.parent)
    return page


def read_asset(name: str) -> str:
    """Read a text file of this package."""
    return (files("auralflow_pl.report") / "assets" / name).read_text(encoding="utf-8")


def is_page_of_ours(path: Path, title: str = "") -> bool:
    """Return True if `html_page` made a file, with a title if one is given."""
    wanted = [GENERATOR_TAG, f"<title>{html.escape(title)}</title>" if title else ""]
    try:
        with path.open("rb") as file:
            head = file.read(PAGE_HEAD_BYTES)
        return all(text.encode() in head for text in wanted)
    except OSError:
        return False
