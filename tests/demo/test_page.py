"""The demo as a visitor meets it: a real server, a real browser."""

import importlib.util
import json
import os
import signal
import socket
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from auralflow_pl.cli import main as cli
from auralflow_pl.demo.model_names import BUNDLED_LABEL
from support import ended, first_line, forked, untrained
from support.browser import browser, requests

RATE = 8000
SECONDS = 24  # long enough for a machine that is busy


def song(path, seconds):
    """A 16-bit file of noise."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * RATE))
    soundfile.write(path, noise, RATE, "PCM_16")
    return path


def wait_for(condition, seconds=60):
    """The first true value of a condition."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
    return value


class Visitor:
    """Somebody at a browser."""

    def __init__(self, chrome, url):
        self.chrome, self.url = chrome, url

    def find(self, selector):
        return wait_for(lambda: self.chrome.find_elements("css selector", selector))[0]

    def visit(self):
        self.chrome.get(self.url)
        self.find("#start")

    def upload(self, path):
        self.find("#upload input[type=file]").send_keys(str(path))
        wait_for(lambda: path.stem in self.find("#upload").text)

    def start(self):
        self.find("#start").click()

    def status(self, text):
        return wait_for(lambda: text in self.find("#status").text)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the server keeps its temporary files."""
    return tmp_path_factory.mktemp("kept")


@contextmanager
def serving(kept, *keys, number=signal.SIGINT, **environment):
    """A server with `url` and, once a signal has ended it, the `text` it printed; leaves no file.

    Args:
        kept: where it keeps its temporary files.
        keys: of the command.
        number: of the signal.
        environment: that it has.
    """
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("no Gradio here; pip install -e '.[demo]'")

    def work():
        warnings.simplefilter("default")
        os.environ.update(environment)
        tempfile.tempdir = str(kept)
        sys.argv = ["auralflow", "demo", "port=0", *keys]
        cli.main()

    child, read = forked(work)
    served = SimpleNamespace()
    try:
        first = first_line(read)
        assert first.startswith("http://127.0.0.1:"), first
        served.url = first.split()[0]
        yield served
    finally:
        os.kill(child, number)
        code, served.text = ended(child, read)
    assert code == 0, served.text
    assert "ended; uploads and stems are deleted\n" in served.text
    assert list(kept.glob("auralflow-demo-*")) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory, kept):
    """The address of the page; the server ends by Ctrl-C, leaves no file and has asked nobody."""
    ckpt = untrained(tmp_path_factory.mktemp("model") / "two.ckpt", "target=[vocals,drums]")
    keys = ["max_minutes=10", "max_mb=10", f"ckpt={ckpt}", "engine=torch"]
    proxy = socket.create_server(("127.0.0.1", 0))
    internet = f"http://127.0.0.1:{proxy.getsockname()[1]}"
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    with serving(kept, *keys, no_proxy="", **dict.fromkeys(names, internet)) as served:
        yield served.url
    proxy.setblocking(False)
    with proxy, pytest.raises(BlockingIOError):
        proxy.accept()
    assert "Traceback" not in served.text


@pytest.fixture(scope="module")
def chrome(server, tmp_path_factory):
    with browser() as driver:
        downloads = tmp_path_factory.mktemp("downloads")
        behaviour = {"behavior": "allow", "downloadPath": str(downloads)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
        driver.downloads = downloads
        yield driver


def errors(chrome):
    """Errors in the console; Gradio itself warns of a stream that it closes."""
    return [entry for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def visitor(chrome, server):
    visitor = Visitor(chrome, server)
    visitor.visit()
    yield visitor
    assert errors(chrome) == []
    assert [url for url in requests(chrome) if not url.startswith(server)] == []


def test_a_song_is_separated_heard_and_downloaded(visitor, chrome, tmp_path):
    path = song(tmp_path / "my song.wav", SECONDS)
    visitor.upload(path)
    visitor.start()
    frame = visitor.find("#result iframe")
    chrome.switch_to.frame(frame)
    names = [node.text for node in chrome.find_elements("css selector", "button[data-name]")]
    assert names == ["1 mixture", "2 vocals", "3 residual"]
    assert chrome.find_element("css selector", "h3").text == "my song"
    hears_without_a_gap(visitor, chrome)
    for link in chrome.find_elements("css selector", "a.save"):
        link.click()
    stems = [chrome.downloads / f"my song - {name}.wav" for name in ("vocals", "residual")]
    wait_for(lambda: all(stem.is_file() for stem in stems))
    total = sum(soundfile.read(stem, dtype="int16")[0].astype(int) for stem in stems)
    mixture = soundfile.read(path, dtype="int16")[0]
    assert len(total) == SECONDS * RATE
    assert np.abs(total - mixture).max() <= 1


def hears_without_a_gap(visitor, chrome):
    """Play, switch, pause, go to a place and play on."""
    card = visitor.find("#card")
    button = card.find_element("css selector", ".play")
    button.click()
    first = wait_for(lambda: float(card.get_attribute("data-time")))
    assert button.text == "Pause"
    card.find_element("css selector", "button[data-name=residual]").click()
    gain = "return player.gains[arguments[0]].gain.value"
    wait_for(lambda: chrome.execute_script(gain, "residual") > 0.9)
    assert chrome.execute_script(gain, "mixture") < 0.1
    assert wait_for(lambda: float(card.get_attribute("data-time")) > first)
    button.click()
    assert card.get_attribute("data-playing") == "false"
    card.find_element("css selector", ".pictures").click()  # in its middle
    assert float(card.get_attribute("data-time")) == pytest.approx(SECONDS / 2, abs=0.1)
    button.click()
    wait_for(lambda: float(card.get_attribute("data-time")) > SECONDS / 2 + 0.2)


def test_model_and_target_are_chosen(visitor, chrome):
    visitor.find("#example").click()
    wait_for(lambda: "generated" in visitor.find("#upload").text)
    chooses_second_model(visitor, chrome)[0].click()
    visitor.start()
    chrome.switch_to.frame(visitor.find("#result iframe"))
    names = [node.text for node in chrome.find_elements("css selector", "button[data-name]")]
    assert names == ["1 mixture", "2 drums", "3 residual"]


def chooses_second_model(visitor, chrome):
    """Take the second model; return the check boxes of its targets."""
    visitor.find("#model input").click()
    visitor.find("#model [role=option]:nth-child(2)").click()
    return wait_for(lambda: len(found := boxes(chrome)) == 2 and found)


def boxes(chrome):
    """The check boxes of the targets."""
    return chrome.find_elements("css selector", "#target input[type=checkbox]")


def test_faults_are_told_in_a_line(visitor, tmp_path):
    visitor.start()
    visitor.status("no song: drop a file, or take the example")
    damaged = tmp_path / "damaged.mp3"
    damaged.write_text("no music at all" * 99)
    visitor.upload(damaged)
    visitor.start()
    visitor.status("damaged.mp3: ")
    line = visitor.find("#status .fault").text
    assert "\n" not in line
    assert "/" not in line.split("(")[0]


def test_the_server_keeps_to_its_limits(server, kept, caplog):
    import httpx

    caplog.set_level("WARNING", "httpx")
    large = httpx.post(f"{server}gradio_api/upload", files={"files": b"0" * (11 * 2**20)})
    assert large.status_code == 413
    assert not [path for path in kept.rglob("*") if path.is_file() and path.stat().st_size > 2**22]
    page = httpx.get(server)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert httpx.get(f"{server}results/..%2Fuploads/x").status_code == 404
    handlers = httpx.get(f"{server}config").json()["dependencies"]
    queued = [part["targets"][0][1] for part in handlers if part["queue"]]
    assert queued == ["then", "unload"]  # separation, and a closed page, which does not wait


def test_a_queue_and_a_cancelled_job(visitor, chrome, kept, tmp_path):
    long, short = song(tmp_path / "long.wav", 590), song(tmp_path / "short.wav", 1)
    visitor.upload(long)
    visitor.start()
    visitor.status("seconds of the song are done")
    first = chrome.current_window_handle
    chrome.switch_to.new_window("tab")
    other = Visitor(chrome, visitor.url)
    other.visit()
    other.upload(short)
    other.start()
    other.status("queue")
    second = chrome.current_window_handle
    chrome.switch_to.window(first)
    visitor.find("#cancel").click()
    visitor.status("Cancelled.")
    chrome.switch_to.window(second)
    other.status("Done.")
    chrome.close()
    chrome.switch_to.window(first)
    assert not any((kept / path).exists() for path in kept.glob("*/results/*/stems/.partial-*"))


def asked_for(url, path):
    """What the server answers to a request to separate a file that is already there."""
    import httpx

    parts = httpx.get(f"{url}config").json()["dependencies"]
    number = next(part["id"] for part in parts if len(part["inputs"]) == 3)
    song = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    asked = {"data": [song, BUNDLED_LABEL, ["vocals"]], "fn_index": number, "session_hash": "me"}
    answer = httpx.post(f"{url}gradio_api/queue/join", json=asked)
    if answer.status_code != 200:
        return answer.text
    address = f"{url}gradio_api/queue/data?session_hash=me"
    with httpx.stream("GET", address, timeout=60) as stream:
        said = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        return next(line for line in said if line["msg"] == "process_completed")


def test_only_uploads_are_read_no_other_files_of_the_server_and_no_addresses(tmp_path, caplog):
    import httpx

    caplog.set_level("WARNING", "httpx")
    kept = tmp_path / "kept"
    kept.mkdir()
    foreign = song(tmp_path / "foreign.wav", 1)
    with serving(kept) as served:
        others = (foreign, tmp_path / "missing.wav", "http://192.0.2.1/song.wav")
        answers = {str(asked_for(served.url, path)) for path in others}
        assert list(kept.rglob("foreign*")) == list(kept.glob("*/results/*")) == []
        files = {"files": ("song.wav", foreign.read_bytes())}
        uploaded = httpx.post(f"{served.url}gradio_api/upload", files=files).json()[0]
        assert "Done." in str(asked_for(served.url, uploaded))
    assert answers == {'{"detail":"a file that was not uploaded; upload it first"}'}
    assert "Traceback" not in served.text


def test_a_song_that_waits_is_kept_and_others_choose_meanwhile(chrome, tmp_path, caplog):
    import httpx

    caplog.set_level("WARNING", "httpx")
    long, short = song(tmp_path / "long.wav", 1700), song(tmp_path / "short.wav", 1)
    ckpt = untrained(tmp_path / "two.ckpt", "target=[vocals,drums]")
    keys = ("keep_minutes=0.05", "max_minutes=30", "engine=torch", "queue=1", f"ckpt={ckpt}")
    with serving(tmp_path, *keys) as served:
        first, other = Visitor(chrome, served.url), Visitor(chrome, served.url)
        tabs = {}
        for visitor, path, status in ((first, long, "are done"), (other, short, "queue")):
            chrome.switch_to.new_window("tab")
            tabs[visitor] = chrome.current_window_handle
            visitor.visit()
            visitor.upload(path)
            visitor.start()
            visitor.status(status)
        sent = httpx.post(f"{served.url}gradio_api/upload", files={"files": b"nobody's"})
        wait_for(lambda: not os.path.exists(sent.json()[0]))  # noqa: PTH110 - younger than both
        assert other.status("queue")
        third = Visitor(chrome, served.url)
        chrome.switch_to.new_window("tab")
        tabs[third] = chrome.current_window_handle
        third.visit()
        chooses_second_model(third, chrome)  # although the queue is full
        chrome.switch_to.window(tabs[first])
        first.find("#cancel").click()
        first.status("Cancelled.")
        chrome.switch_to.window(tabs[other])
        other.status("Done.")
        for tab in tabs.values():
            chrome.switch_to.window(tab)
            chrome.close()
    chrome.switch_to.window(chrome.window_handles[0])
    errors(chrome), requests(chrome)
    assert "Traceback" not in served.text


def test_sigterm_ends_the_server_as_ctrl_c_does(tmp_path):
    with serving(tmp_path, number=signal.SIGTERM) as served:
        pass
    assert "error" not in served.text
