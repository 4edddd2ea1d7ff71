"""From the Markdown files of the repository to pages of the site.

Files outside of `docs/` that are read as pages are copied to `generated/`. A link to another file
leads to the repository (`repository` in `conf.py`), or is the name of the file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

from extensions.writing import write_page

log = getLogger(__name__)

GENERATED = "generated"
REPOSITORY = Path(__file__).parents[2]
PAGES = {  # files that are pages, by their names below `generated`
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "models/README.md": "models-for-research.md",
    "src/auralflow_pl/bundled/spleeter-vocals/README.md": "packaged-model.md",
    "src/auralflow_pl/bundled/vocals/README.md": "small-packaged-model.md",
}
TITLES = {  # of pages whose headings are names of models
    "packaged-model.md": "The packaged model, spleeter-vocals",
    "small-packaged-model.md": "The small packaged model, vocals",
}
MOVED = {  # files and folders whose content other pages have
    "README.md": "docs/index.md",
    "configs": f"docs/{GENERATED}/keys/index.md",
    "src/auralflow_pl": f"docs/{GENERATED}/python/index.md",
    "src/auralflow_pl/commands": f"docs/{GENERATED}/commands/index.md",
}
SIGN = "<!-- from {} -->"
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def setup(app: Sphinx) -> None:
    """Rewrite the links of every page when it is read."""
    app.add_config_value("repository", "", "env")
    app.connect("source-read", on_read)


def write_pages(folder: Path) -> None:
    """Copy the files of `PAGES` into a folder, with their places as a comment, and `TITLES`."""
    for source, page in PAGES.items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        if page in TITLES:
            text = re.sub(r"^# .*", f"# {TITLES[page]}", text, count=1)
        write_page(folder / page, [SIGN.format(source), "", text])


def on_read(app: Sphinx, name: str, content: list[str]) -> None:
    """Replace the links of a page."""
    place = re.match(r"<!-- from (\S+) -->", content[0])
    source = PurePosixPath(place[1] if place else f"docs/{name}.md")
    page = PurePosixPath("docs") / name
    outside = f"docs/{GENERATED}/"
    if place or not str(page).startswith(outside):
        content[0] = rewritten(content[0], source, page, app.config.repository)


def rewritten(text: str, source: PurePosixPath, page: PurePosixPath, repository: str) -> str:
    """A text whose links lead to pages.

    Args:
        text: Markdown.
        source: file that it is from, from the root of the repository.
        page: page that it becomes, from the root of the repository.
        repository: address of the repository; may be empty.
    """

    def replace(found: re.Match[str]) -> str:
        image, label, address = found.groups()
        path, sign, part = address.partition("#")
        if image or not path or "://" in path or address.startswith("mailto:"):
            return found[0]
        place = os.path.normpath(source.parent / path).replace(os.sep, "/")
        target = MOVED.get(place, place)
        if group := re.fullmatch(r"configs/(\w+)", place):
            target = f"docs/{GENERATED}/keys/{group[1]}.md"
        if target in PAGES:
            target = f"docs/{GENERATED}/{PAGES[target]}"
        if target.startswith("docs/") and target.endswith(".md"):
            return f"[{label}]({os.path.relpath(target, page.parent)}{sign}{part})"
        if not (REPOSITORY / place).exists():
            log.warning("%s: the link %s leads to no file", source, address)
        if repository:
            return f"[{label}]({repository}/blob/main/{place}{sign}{part})"
        return label

    blocks = re.split(r"(^```.*?^```|^    [^\n]*)", text, flags=re.M | re.S)
    blocks[::2] = [LINK.sub(replace, block) for block in blocks[::2]]
    return "".join(blocks)
