"""Headless Chromium for tests of the HTML pages, if it is installed."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--disable-audio-output",  # the machine may have no sound card
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1000",
)


@contextmanager
def browser(dark: bool = False) -> Iterator[Any]:
    """A WebDriver that logs requests and console messages."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("no Chromium here; on Debian: apt-get install chromium chromium-driver")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    with tempfile.TemporaryDirectory() as profile:
        options = ChromeOptions()
        options.binary_location = binary
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if dark:
            options.add_argument("--force-prefers-color-scheme=dark")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        chrome = Chrome(options, ChromeService(driver))
        try:
            if dark:
                media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
                chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            yield chrome
        finally:
            chrome.quit()


def requests(chrome: Any) -> list[str]:
    """URLs that a page requested, without itself, its own data, and pages of the browser."""
    events = (json.loads(entry["message"])["message"] for entry in chrome.get_log("performance"))
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in urls if not url.startswith(("data:", "file:", "blob:", "chrome:"))]


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true value of a condition."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return value


def messages(chrome: Any) -> list[str]:
    """Messages in the console of the browser."""
    return [entry["message"] for entry in chrome.get_log("browser")]


def shoot(chrome: Any, path: Path) -> Path:
    """Write a screenshot of the whole page."""
    height = chrome.execute_script("return document.documentElement.scrollHeight")
    chrome.set_window_size(1280, min(6000, height + 120))
    chrome.save_screenshot(str(path))
    return path
