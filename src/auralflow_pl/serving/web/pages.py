"""The page that describes the service: from its OpenAPI document, without script or network."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

from auralflow_pl.report.page import read_asset

API_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}
pre {{ overflow-x: auto; padding: 0.6rem 0.9rem; border: 1px solid var(--line); }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="quiet">Version {version}. For programs: <a href="openapi.json">openapi.json</a></p>
<pre>{description}</pre>
{operations}
</body>
</html>
"""


def api_page(document: Mapping[str, Any]) -> str:
    """HTML page of an OpenAPI document."""
    info = document["info"]
    operations = (
        operation_part(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return API_PAGE.format(
        title=html.escape(info["title"]),
        version=html.escape(info["version"]),
        description=html.escape(info.get("description", "")),
        style=read_asset("page.css"),
        operations="\n".join(operations),
    )


def operation_part(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """Part of the page for one operation: what it does, takes and answers."""
    lines = [f"<h2>{html.escape(f'{method.upper()} {path}')}</h2>"]
    lines += [f"<p>{html.escape(text)}</p>" for text in paragraphs(operation)]
    rows = [
        f'<tr><td class="text">{html.escape(status)}</td>'
        f'<td class="text">{html.escape(answer["description"])}</td></tr>'
        for status, answer in operation["responses"].items()
    ]
    lines.append(f'<div class="scroll"><table>{"".join(rows)}</table></div>')
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        schema = json.dumps(body["schema"], indent=2)
        lines.append(f"<h3>{html.escape(kind)}</h3><pre>{html.escape(schema)}</pre>")
    return "\n".join(lines)


def paragraphs(operation: Mapping[str, Any]) -> Iterator[str]:
    """Summary and description of an operation."""
    for key in ("summary", "description"):
        if text := operation.get(key):
            yield from text.split("\n\n")
