"""Files are fetched whole and right from servers that drop, lie, redirect and flood."""

import hashlib
import os
import socket

import pytest

from auralflow_pl.pretrained import download as fetching
from auralflow_pl.pretrained import sources
from auralflow_pl.pretrained.download import NotFetchedError, WantedFile, fetch_file
from support.hub import Hub
from support.web import Web, endless, ranged, status, whole

CONTENT = os.urandom(300_000)
WANTED = WantedFile("model", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
WRONG = os.urandom(len(CONTENT))


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    with Web() as server:
        yield server


@pytest.fixture
def part(tmp_path):
    return tmp_path / "model.zip.part"


def failures(places, part):
    with pytest.raises(NotFetchedError) as caught:
        fetch_file(places, WANTED, part)
    assert len(caught.value.failures) == len(places)
    return caught.value.failures


def test_a_file_is_fetched_in_one_request(web, part):
    fetch_file([web.add("/model", ranged(CONTENT))], WANTED, part)
    assert part.read_bytes() == CONTENT
    assert web.asked == [("/model", None)]
    assert web.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("harsh", [False, True])
def test_a_connection_that_drops_is_resumed(web, part, harsh):
    drops = [100_000, 70_000, 1000]
    fetch_file([web.add("/model", ranged(CONTENT, drops, harsh))], WANTED, part)
    assert part.read_bytes() == CONTENT
    asked = [start for _, start in web.asked]
    assert asked[0] is None
    assert asked[1:] == sorted(asked[1:])
    assert asked[-1] > 0
    if not harsh:  # a reset may take what was on its way
        assert asked == [None, 100_000, 170_000, 171_000]
        assert web.sent == len(CONTENT)


def test_a_part_of_an_earlier_attempt_is_completed(web, part):
    part.write_bytes(CONTENT[:250_000])
    fetch_file([web.add("/model", ranged(CONTENT))], WANTED, part)
    assert part.read_bytes() == CONTENT
    assert (web.asked, web.sent) == ([("/model", 250_000)], 50_000)


def test_a_whole_part_is_only_verified(web, part):
    part.write_bytes(CONTENT)
    fetch_file([web.add("/model", ranged(CONTENT))], WANTED, part)
    assert web.asked == []


def test_a_server_without_ranges_starts_over(web, part):
    part.write_bytes(CONTENT[:250_000])
    fetch_file([web.add("/model", whole(CONTENT))], WANTED, part)
    assert part.read_bytes() == CONTENT
    assert web.asked == [("/model", 250_000)]


@pytest.mark.parametrize("there", [WRONG[:1000], WRONG, WRONG * 2])
def test_a_part_with_other_bytes_is_thrown_away(web, part, there):
    part.write_bytes(there)
    fetch_file([web.add("/model", ranged(CONTENT))], WANTED, part)
    assert part.read_bytes() == CONTENT
    assert web.asked[-1] == ("/model", None)


def test_a_mirror_helps_where_a_source_has_other_bytes(web, part):
    bad, good = web.add("/bad", ranged(WRONG)), web.add("/good", ranged(CONTENT))
    fetch_file([bad, good], WANTED, part)
    assert part.read_bytes() == CONTENT
    assert web.asked == [("/bad", None), ("/good", None)]


def test_a_mirror_goes_on_where_a_source_gave_up(web, part):
    bad = web.add("/bad", ranged(CONTENT, [100_000, 0, 0, 0]))
    fetch_file([bad, web.add("/good", ranged(CONTENT))], WANTED, part)
    assert part.read_bytes() == CONTENT
    assert web.asked[-1] == ("/good", 100_000)


def test_a_mirror_is_not_blamed_for_what_another_began(web, part):
    bad = web.add("/bad", ranged(WRONG, [100_000, 0, 0, 0]))
    fetch_file([bad, web.add("/good", ranged(CONTENT))], WANTED, part)
    assert part.read_bytes() == CONTENT
    assert web.asked[-2:] == [("/good", 100_000), ("/good", None)]


def test_other_bytes_everywhere_leave_nothing(web, part):
    said = failures([web.add("/a", ranged(WRONG)), web.add("/b", whole(WRONG))], part)
    assert all("other bytes: SHA-256" in line for line in said)
    assert not part.exists()


def test_redirects_are_followed_with_the_range(web, part):
    part.write_bytes(CONTENT[:1000])
    web.add("/model", ranged(CONTENT))
    web.add("/second", status(302, Location="/model"))
    fetch_file([web.add("/first", status(301, Location=f"{web.base}/second"))], WANTED, part)
    assert part.read_bytes() == CONTENT
    assert web.asked == [("/first", 1000), ("/second", 1000), ("/model", 1000)]


def test_redirects_end_and_lead_to_the_web_only(web, part, tmp_path):
    (tmp_path / "secret").write_bytes(CONTENT)
    loop = web.add("/loop", status(302, Location="/loop"))
    inwards = web.add("/file", status(302, Location=f"file://{tmp_path}/secret"))
    said = failures([loop, inwards], part)
    assert "more than 10 redirects" in said[0]
    assert "redirects to an address that is not http or https" in said[1]
    assert len(web.asked) == 12
    assert not part.exists()


def test_the_body_of_a_redirect_is_not_read(web, part):
    def flood(handler):
        handler.head(302, Location="/model")
        while True:
            handler.write(bytes(8192))

    web.add("/model", ranged(CONTENT))
    fetch_file([web.add("/flood", flood)], WANTED, part)
    assert part.read_bytes() == CONTENT


def chunked(*sizes):
    """The content in chunks; the last size may be a lie."""

    def answer(handler):
        handler.head(200, Transfer_Encoding="chunked")
        start = 0
        for size in (*sizes, len(CONTENT) - sum(sizes), 0):
            handler.wfile.write(f"{size:x}\r\n".encode())
            handler.wfile.write(CONTENT[start : start + size] + b"\r\n")
            start += size

    return answer


def test_chunks_are_put_together_and_those_that_lie_are_not_believed(web, part):
    fetch_file([web.add("/model", chunked(5, 100_000))], WANTED, part)
    assert part.read_bytes() == CONTENT
    part.unlink()
    assert "the connection broke" in failures([web.add("/huge", chunked(2**60))], part)[0]
    assert part.stat().st_size < len(CONTENT)


def test_more_than_the_entry_says_is_stopped(web, part):
    said = failures([web.add("/endless", endless)], part)
    assert f"sends more than the {len(CONTENT)} bytes" in said[0]
    assert not part.exists()


def test_another_length_is_refused_before_anything_is_read(web, part):
    part.write_bytes(CONTENT[:1000])
    said = failures([web.add("/l", ranged(CONTENT * 2)), web.add("/s", whole(b"<html>"))], part)
    assert said[0].endswith("has 600000 bytes, expected 300000")
    assert said[1].endswith("has 6 bytes, expected 300000")
    assert part.read_bytes() == CONTENT[:1000]


def shifted(handler):
    span = f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"
    handler.head(206, Content_Range=span, Content_Length=len(CONTENT) - 5)
    handler.write(CONTENT[5:])


@pytest.mark.parametrize(
    "answer, message",
    [
        (status(404), "HTTP 404 Not Found"),
        (status(403), "HTTP 403 Forbidden"),
        (status(500), "HTTP 500 Internal Server Error"),
        (status(599), "HTTP 599"),
        (status(302), "HTTP 302 Found"),
        (status(302, Location="http://["), "redirects to an address that is not"),
        (status(302, Location="http://a..b/"), "not an address that can be asked"),
        (status(416), "has no more bytes"),
        (shifted, "answers with another part"),
        (lambda handler: handler.reset(), "no connection"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n"), "no connection"),
        (lambda handler: handler.head(200), "broke off after 0 of 300000 bytes"),
    ],
)
def test_servers_that_have_nothing(web, part, answer, message):
    (said,) = failures([web.add("/model", answer)], part)
    assert said.startswith(f"{web.base}/model: ")
    assert message in said
    assert not part.exists()


def test_a_server_that_is_silent_is_left(web, part, monkeypatch):
    monkeypatch.setattr(sources, "TIMEOUT_SECONDS", (1.0, 0.1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/model"
        assert "no answer in time" in failures([address], part)[0]
    assert "no connection" in failures([address], part)[0]


def test_files_of_this_machine(part, tmp_path):
    (tmp_path / "a b.zip").write_bytes(CONTENT)
    address = (tmp_path / "a b.zip").as_uri()
    assert "%20" in address
    for source in (address, str(tmp_path / "a b.zip")):
        part.unlink(missing_ok=True)
        fetch_file([source], WANTED, part)
        assert part.read_bytes() == CONTENT
    part.unlink()
    (tmp_path / "short").write_bytes(b"x")
    said = failures([str(tmp_path / "none"), str(tmp_path / "short"), "file://other/x"], part)
    assert [line.rpartition(": ")[2] for line in said] == [
        "no such file",
        "has 1 bytes, expected 300000",
        "names another machine; expected file:///path",
    ]
    assert not part.exists()


def test_the_hub(part, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with Hub() as hub, Hub() as store:  # files are elsewhere, which must not see the token
        monkeypatch.setenv("HF_ENDPOINT", hub.base)
        hub.store = store.base.replace("127.0.0.1", "localhost")
        hub.files["owner/repo/sub/model.zip"] = CONTENT
        store.files["owner/repo/sub/model.zip"] = CONTENT
        source = "hf://owner/repo/sub/model.zip@v1"
        fetch_file([source], WANTED, part)
        assert part.read_bytes() == CONTENT
        assert {header["authorization"] for header in hub.headers} == {"Bearer hf_secret"}
        assert store.headers
        assert not any("authorization" in map(str.lower, header) for header in store.headers)
        asked = len(store.headers)
        hub.files["owner/repo/sub/model.zip"] += b"more"  # refused before a byte is received
        assert "has 300004 bytes, expected 300000" in failures([source], tmp(part))[0]
        assert len(store.headers) == asked
        assert "404" in failures(["hf://owner/repo/none.zip"], tmp(part))[0]
    assert "expected hf://owner/" in failures(["hf://owner/repo"], tmp(part))[0]
    assert failures([source], tmp(part))[0].startswith(source)  # nobody answers


def tmp(part):
    return part.with_name("other.part")
