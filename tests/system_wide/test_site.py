"""The documentation site is built without a warning, is complete, and is searched offline."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import auralflow_pl
from auralflow_pl.cli.comments import key_comments
from auralflow_pl.cli.table import COMMANDS
from auralflow_pl.config.locations import config_dir
from support import REPOSITORY, ended, forked
from support.browser import browser, requests

PACKAGES = [
    "auralflow_pl",
    *(m.name for m in pkgutil.walk_packages(auralflow_pl.__path__, "auralflow_pl.") if m.ispkg),
]
# Groups of Hydra itself, and files that are read together with others.
GROUPS = [
    folder
    for folder in sorted(path for path in config_dir().iterdir() if path.is_dir())
    if folder.name not in ("hydra", "experiment")
]

FORMER = REPOSITORY / "docs" / "generated" / "keys" / "former.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, made as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    FORMER.parent.mkdir(parents=True, exist_ok=True)
    FORMER.write_text("# A page of an option that there was\n")

    def work() -> int:
        from sphinx.cmd.build import build_main

        warnings.simplefilter("default")
        os.chdir(REPOSITORY)
        strict = ["--fail-on-warning", "--keep-going", "-q"]
        raise SystemExit(build_main([*strict, "-d", f"{folder}-cache", "docs", str(folder)]))

    code, text = ended(*forked(work))
    assert code == 0, text
    return folder


class Page(HTMLParser):
    """Names of places in a page, where its links lead, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.names.add(found.get("id", ""))
        if tag == "a":
            self.links.append(found.get("href", ""))
        elif tag == "link" and found.get("rel") not in ("index", "search", "next", "prev"):
            self.loaded.append(found["href"])
        self.loaded.append(found.get("src", ""))


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    """The pages by their files."""
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def test_every_link_within_the_site_leads_to_a_place(site, pages):
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or not link:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            there = pages[target].names if target in pages else set()
            if not target.is_file() or (
                address.fragment and unquote(address.fragment) not in there
            ):
                wrong.append(f"{path.relative_to(site)}: {link}")
    assert wrong == []


def test_pages_of_earlier_builds_are_removed(site):
    assert not FORMER.exists()
    assert not (site / "generated" / "keys" / "former.html").exists()


def test_cards_of_packaged_models_have_titles_that_say_so(site):
    index = (site / "index.html").read_text()
    for page, title in {
        "packaged-model": "The packaged model, spleeter-vocals",
        "small-packaged-model": "The small packaged model, vocals",
    }.items():
        place = f"generated/{page}.html"
        assert f"<title>{title}" in (site / place).read_text()
        assert re.search(rf'href="{place}">\s*{title}', index)


def test_pages_load_nothing_from_other_places(pages):
    assert {one for page in pages.values() for one in page.loaded if urlsplit(one).netloc} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_documented(site, pages, package):
    names = {
        f"{package}.{name}" for name in getattr(importlib.import_module(package), "__all__", ())
    }
    names.discard("auralflow_pl.__version__")
    if names:
        page = pages[site / "generated" / "python" / f"{package}.html"]
        assert names - page.names == set()


@pytest.mark.parametrize("folder", GROUPS, ids=lambda path: path.name)
def test_every_option_of_a_group_and_its_keys_are_documented(site, folder):
    text = (site / "generated" / "keys" / f"{folder.name}.html").read_text()
    shown = set(re.findall(r'<span class="pre">([^<]+)</span>', text))
    for path in folder.glob("*.yaml"):
        if not path.name.startswith("_"):
            assert f"{folder.name}={path.stem}" in shown
        package = re.search(r"^# @package (\S+)", path.read_text(), re.M)
        node = {None: folder.name, "_global_": ""}.get(
            package and package[1], package and package[1]
        )
        content = yaml.safe_load(path.read_text()) or {}
        for key in key_comments(path):
            first = key.partition(".")[0]
            if first and not first.startswith("_") and not isinstance(content[first], dict):
                assert f"{node}.{key}".strip(".") in shown, path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_of_a_command_is_documented(site, command):
    text = (site / "generated" / "commands" / f"{command}.html").read_text()
    content = yaml.safe_load((config_dir() / f"{command}.yaml").read_text())
    keys = {key for key, value in content.items() if not isinstance(value, dict)} - {"defaults"}
    assert keys - set(re.findall(r'<span class="pre">([^<]+)</span>', text)) == set()


def test_the_search_finds_keys_and_names_without_a_network(site):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    with browser() as chrome:
        for word, title in {
            "silence_db": "data",
            "optimizer.lr_recurrent": "optimizer",
            "MaskEstimator": "auralflow_pl.models",
            "auralflow_pl.load": "In Python",
            "CUDA out of memory": "Troubleshooting",
        }.items():
            chrome.get((site / "index.html").as_uri())
            chrome.find_element(By.NAME, "q").send_keys(word, Keys.ENTER)
            WebDriverWait(chrome, 30).until(
                lambda _, title=title: (
                    title
                    in {
                        a.text
                        for a in chrome.find_elements(By.CSS_SELECTOR, "#search-results li a")
                    }
                )
            )
        chrome.find_element(By.LINK_TEXT, "Troubleshooting").click()
        WebDriverWait(chrome, 30).until(lambda _: "troubleshooting.html" in chrome.current_url)
        assert requests(chrome) == []
