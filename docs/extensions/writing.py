"""Write generated pages and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

written: set[Path] = set()


def write_page(path: Path, lines: Iterable[str]) -> None:
    """Write a page; one that has the same text already keeps its time, so it is not built again."""
    written.add(path)
    text = "\n".join(lines).rstrip() + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def remove_others(folder: Path) -> None:
    """Remove pages of earlier builds, as those of an option that there was."""
    for path in folder.rglob("*.*"):
        if path.suffix in (".md", ".rst") and path not in written:
            path.unlink()


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(map(cell, row)) + " |" for row in lines] + [""]


def cell(text: str) -> str:
    """A text on one line of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """A value as code; an empty text stays empty."""
    return f"`` {text} ``" if "`" in text else f"`{text}`" * bool(text)


def escape(text: str) -> str:
    """A text of a comment as Markdown: stars, brackets and angles are no markup, code stays."""
    parts = text.split("`")
    for number in range(0, len(parts), 2):
        for sign in "\\*_[]<>$":
            parts[number] = parts[number].replace(sign, f"\\{sign}")
    return "`".join(parts)


def toctree(names: Iterable[str], caption: str = "", depth: int = 1) -> list[str]:
    """Lines of a table of contents that is not shown on the page itself."""
    title = [f":caption: {caption}"] * bool(caption)
    return ["```{toctree}", ":hidden:", f":maxdepth: {depth}", *title, "", *names, "```", ""]
