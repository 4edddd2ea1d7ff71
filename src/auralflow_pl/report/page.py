"""Self-contained HTML pages: style, data and script in one file."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

# The page may load nothing from elsewhere, even if names in the data contain HTML.
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "media-src data:"
)

PAGE_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
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
        policy=policy, title=title, style=style, body=body, data=content, script=script
    )


def read_asset(name: str) -> str:
    """Read a text file of this package."""
    return (files("auralflow_pl.report") / name).read_text(encoding="utf-8")
