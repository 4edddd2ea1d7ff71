"""The service as its clients meet it: a real server, real connections."""

import io
import json
import os
import pathlib
import resource
import signal
import socket
import sys
import time
import zipfile
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import requests
import soundfile

from auralflow_pl.cli import main as cli
from support import ended, first_line, forked, untrained

RATE = 8000
LONG_SECONDS = 3000
TOKEN = "0123456789abcdef-secret"


def song(path, seconds=2.0, channels=2, form="PCM_16"):
    """A file of noise."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (round(seconds * RATE), channels))
    soundfile.write(path, noise, RATE, form)
    return path


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("model") / "two.ckpt", "target=[vocals,drums]")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return song(tmp_path_factory.mktemp("sound") / "song.wav")


@pytest.fixture(scope="module")
def long_sound(tmp_path_factory):
    """A file whose separation takes longer than any test waits for it."""
    path = tmp_path_factory.mktemp("long") / "long.flac"
    soundfile.write(path, np.zeros(LONG_SECONDS * RATE, np.int16), RATE)
    return path


def started(*keys, file_bytes=None, **environment):
    """A server in a process of its own: `child`, `read`, `url`."""

    def work():
        os.environ.update(environment)
        if file_bytes:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        sys.argv = ["auralflow", "serve", "port=0", "engine=torch", *keys]
        cli.main()

    child, read = forked(work)
    line = first_line(read)
    assert line.startswith("http://127.0.0.1:"), line
    return SimpleNamespace(child=child, read=read, url=line.split()[0].rstrip("/"))


@contextmanager
def serving(folder, *keys, number=signal.SIGINT, **settings):
    """The URL of a server that a signal ends, without a traceback or a file that it leaves."""
    before = set(folder.iterdir()) if folder.exists() else set()
    server = started(*keys, f"folder={folder}", **settings)
    try:
        yield server.url
    finally:
        os.kill(server.child, number)
        code, text = ended(server.child, server.read)
    assert "Traceback" not in text
    if number != signal.SIGKILL:
        assert code == 0, text
        assert text.endswith("ended; uploads and stems are deleted\n")
        assert set(folder.iterdir()) <= before


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def server(ckpt, folder):
    limits = ("max_upload_mb=1", "max_seconds=3600", "max_channels=2", "queue_size=1")
    with serving(folder, f"ckpt={ckpt}", *limits) as url:
        yield url


def wait_for(condition):
    """Until a condition is true."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def left(folder):
    """Folders of jobs."""
    return [path.name for own in folder.iterdir() for path in own.iterdir() if path.is_dir()]


@pytest.fixture(autouse=True)
def nothing_left(request):
    """After every test, no job and no file of one is there."""
    yield
    if "server" in request.fixturenames:
        wait_for(lambda: not left(request.getfixturevalue("folder")))
        state = requests.get(f"{request.getfixturevalue('server')}/health").json()
        assert (state["receiving"], state["queued"], state["running"]) == (0, 0, 0)


def send(url, path, name=None, **fields):
    """Upload a file."""
    with pathlib.Path(path).open("rb") as file:
        return requests.post(url, files={"file": (name or path.name, file)}, data=fields)


def refused(answer, status, text):
    """A refusal says why in one line."""
    assert answer.status_code == status, answer.text
    assert text in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def separated(command, ckpt, sound, output, *keys):
    done = command(
        "separate", f"ckpt={ckpt}", f"input={sound}", f"output={output}", "engine=torch", *keys
    )
    assert done.code == 0, done.err
    return {path.name: path.read_bytes() for path in (output / "song").glob("*.[wf]*")}


def test_a_zip_has_the_files_of_the_command_separate(server, command, ckpt, sound, tmp_path):
    expected = separated(command, ckpt, sound, tmp_path / "out")
    answer = send(f"{server}/separate", sound)
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == expected
    assert set(expected) == {"vocals.wav", "drums.wav"}


def test_one_stem_is_the_file_of_the_command_separate(server, command, ckpt, sound, tmp_path):
    keys = ("residual=true", "format=flac")
    expected = separated(command, ckpt, sound, tmp_path / "out", *keys)
    answer = send(f"{server}/separate", sound, "Ünï \u6b4c.wav", stem="residual", format="flac")
    assert answer.content == expected["residual.flac"]
    name = "%C3%9Cn%C3%AF%20%E6%AD%8C%20-%20residual.flac"
    assert name in answer.headers["content-disposition"]


def events(url):
    """Events of a job, until the server ends the stream."""
    with requests.get(url, stream=True, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines(decode_unicode=True):
            if line.startswith("data: "):
                yield json.loads(line[6:])


def test_a_job_tells_its_progress_and_keeps_its_stems(server, sound):
    answer = send(f"{server}/jobs", sound)
    assert answer.status_code == 202
    job = server + answer.headers["location"]
    told = list(events(f"{job}/events"))
    assert told[-1] == requests.get(job).json()
    assert (told[-1]["state"], told[-1]["seconds"], told[-1]["total"]) == ("done", 2.0, 2.0)
    assert told[-1]["stems"] == ["vocals", "drums"]
    whole = requests.get(f"{job}/stems/vocals.wav").content
    assert soundfile.info(io.BytesIO(whole)).frames == 2 * RATE
    part = requests.get(f"{job}/stems/vocals", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole[100:200])
    with zipfile.ZipFile(io.BytesIO(requests.get(f"{job}/stems.zip").content)) as archive:
        assert archive.read("vocals.wav") == whole
    refused(requests.get(f"{job}/stems/vocls"), 404, "did you mean 'vocals'?")
    assert requests.get(f"{job}/stems/..%2Fupload").status_code == 404
    assert requests.delete(job).status_code == 204
    refused(requests.get(job), 404, "no such job")


def test_a_full_queue_and_jobs_that_are_deleted(server, long_sound, sound):
    first, second = (send(f"{server}/jobs", long_sound).json()["id"] for _ in range(2))
    wait_for(lambda: requests.get(f"{server}/jobs/{first}").json()["seconds"] > 0)
    assert requests.get(f"{server}/jobs/{second}").json()["position"] == 1
    refused(requests.get(f"{server}/jobs/{first}/stems.zip"), 409, "the job is running")
    answer = send(f"{server}/separate", sound)
    refused(answer, 503, "the queue is full: 2 uploads are in work or wait (queue_size)")
    assert int(answer.headers["retry-after"]) > 0
    stream = events(f"{server}/jobs/{second}/events")
    assert next(stream)["state"] == "queued"
    for number in (second, first):
        assert requests.delete(f"{server}/jobs/{number}").status_code == 204
    assert [event["state"] for event in stream][-1] == "cancelled"
    wait_for(lambda: send(f"{server}/separate", sound).status_code == 200)


def head(size, path="/separate", extra=""):
    """Head of a request with a form."""
    kind = "multipart/form-data; boundary=x"
    lines = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{extra}"
    return f"{lines}Content-Length: {size}\r\n\r\n".encode()


def part(content, disposition=b'form-data; name="file"; filename="a.wav"'):
    """A part of a form."""
    return b"--x\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + content + b"\r\n"


def connection(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def test_a_client_that_goes_cancels_its_separation(server, long_sound, folder):
    body = part(long_sound.read_bytes()) + b"--x--\r\n"
    with connection(server) as client:
        client.sendall(head(len(body)) + body)
        wait_for(lambda: requests.get(f"{server}/health").json()["running"])
    wait_for(lambda: not requests.get(f"{server}/health").json()["running"])
    with connection(server) as client:
        client.sendall(head(len(body)) + body[:100])
        wait_for(lambda: requests.get(f"{server}/health").json()["receiving"])
    wait_for(lambda: not requests.get(f"{server}/health").json()["receiving"])
    counted = requests.get(f"{server}/metrics").text
    assert 'route="/separate",status="499"' in counted


def test_limits_say_what_they_are(server, sound, tmp_path):
    for body in (bytes(2**20 + 1), [bytes(2**18)] * 5):  # with and without a Content-Length
        content = part(body) if isinstance(body, bytes) else iter([part(b"")[:-2], *body])
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = requests.post(f"{server}/separate", data=content, headers=kind)
        refused(answer, 413, "larger than 1 MiB, the limit of this server (max_upload_mb)")
    silence = tmp_path / "hours.flac"
    soundfile.write(silence, np.zeros(RATE // 2 * 3601, np.int16), RATE // 2)
    answer = send(f"{server}/jobs", silence)
    told = list(events(f"{server}/jobs/{answer.json()['id']}/events"))[-1]
    assert (told["state"], told["detail"].split(",")[0]) == ("failed", "longer than 60 minutes")
    refused(requests.get(f"{server}/jobs/{told['id']}/stems.zip"), 422, "max_seconds")
    requests.delete(f"{server}/jobs/{told['id']}")
    many = song(tmp_path / "many.wav", 0.1, 3)
    refused(send(f"{server}/separate", many), 422, "3 channels; expected at most 2")


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "C:\\a\\b.wav", "a" * 5000, "", ".", "a\r\nX: y", "a\0b", "\ud800", "-rf"],
)
def test_a_name_is_no_path(server, name, folder):
    quoted = name.encode("utf-8", "surrogatepass").replace(b"\r\n", b"%0D%0A")
    body = part(b"no sound", b'form-data; name="file"; filename="' + quoted + b'"') + b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = requests.post(f"{server}/separate", data=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    detail = answer.json()["detail"]
    assert detail.isprintable()
    assert str(folder) not in detail
    assert "etc" not in detail
    assert len(detail) < 400


PLAYLIST = b"#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:%d/a.ts\nfile:///etc/passwd\n"


def test_bytes_that_are_no_sound_are_refused_and_no_address_in_them_is_asked(server, sound):
    whole, noise = sound.read_bytes(), np.random.default_rng(1).bytes(3000)
    with socket.create_server(("127.0.0.1", 0)) as other:
        playlist = PLAYLIST % other.getsockname()[1]
        starts = (b"RIFF", b"fLaC", b"OggS\0", b"ID3\4", b"\x1a\x45\xdf\xa3", b"caff", b".snd", b"")
        bad = [b"\0", whole[:44], whole[:300], playlist, *(start + noise for start in starts)]
        for content in bad:
            answer = requests.post(f"{server}/separate", files={"file": ("a.wav", content)})
            refused(answer, 422, "a.wav: ")
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    refused(requests.post(f"{server}/separate", files={"file": ("a.wav", b"")}), 422, "empty file")
    other_suffix = requests.post(f"{server}/separate", files={"file": ("a.mp3", whole)})
    assert other_suffix.status_code == 200


@pytest.mark.parametrize(
    "body, status, text",
    [
        (b"", 400, "ends before its last boundary"),
        (b"nonsense", 400, "no valid multipart/form-data"),
        (part(b"abc")[:-2], 400, "ends before its last boundary"),
        (b"--x--\r\n", 400, "no "),  # file; or, with former parsers, no valid form
        (part(b"a", b'form-data; name="song"') + b"--x--\r\n", 400, "no file"),
        (part(b"a") * 2 + b"--x--\r\n", 400, "several files"),
        (part(b"a" * 300, b'form-data; name="stem"'), 400, "a field has more than 256 bytes"),
        (part(b"a", b"form-data; " + b"a" * 9000), 400, "no valid multipart/form-data"),
        (b"".join(part(b"", b"form-data; name=%d" % n) for n in range(20)), 400, "more than 16"),
    ],
)
def test_a_form_that_is_none(server, body, status, text):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(requests.post(f"{server}/separate", data=body, headers=headers), status, text)


@pytest.mark.parametrize(
    "path, fields, text",
    [
        ("separate", {"stem": "vocls"}, "stem=vocls: no such stem, did you mean 'vocals'?"),
        ("separate", {"format": "mp3"}, "format=mp3: expected wav or flac"),
        ("separate", {"residual": "1"}, "residual=1: expected true or false"),
        ("separate", {"steem": "vocals"}, "steem: no such field, did you mean 'stem'?"),
        ("jobs", {"stem": "vocals"}, "stem: no such field, expected one of format, residual"),
    ],
)
def test_fields_that_are_wrong(server, sound, path, fields, text):
    refused(send(f"{server}/{path}", sound, **fields), 422, text)


def test_what_is_no_request_for_this_server(server, sound):
    refused(requests.post(f"{server}/separate", json={"url": "x"}), 415, "curl -F file=@song.wav")
    refused(requests.get(f"{server}/nothing"), 404, "no such address; expected one of /docs")
    refused(
        requests.get(f"{server}/separate"),
        405,
        "GET: the method does not fit; this address takes POST",
    )
    host = {"Host": "example.org"}
    refused(requests.get(f"{server}/health", headers=host), 421, "Host: example.org; expected")
    origin = {"Origin": "https://example.org"}
    with pathlib.Path(sound).open("rb") as file:
        answer = requests.post(f"{server}/separate", files={"file": file}, headers=origin)
    refused(answer, 403, "a page of another site")


def test_the_description_needs_no_other_host(server):
    page = requests.get(f"{server}/docs")
    for text in ("POST /separate", "GET /jobs/{number}/events", "max_upload_mb", "<script"):
        assert (text in page.text) == (text not in ("<script", "max_upload_mb")), text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    paths = requests.get(f"{server}/openapi.json").json()["paths"]
    assert {"/separate", "/jobs", "/jobs/{number}", "/health", "/metrics"} <= set(paths)


def test_a_token_is_needed_and_not_told(ckpt, tmp_path):
    with serving(tmp_path, f"ckpt={ckpt}", AURALFLOW_TOKEN=TOKEN) as url:
        assert requests.get(f"{url}/health").json()["status"] == "ok"
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = requests.get(f"{url}/metrics", headers=wrong)
            refused(answer, 401, "no token, or a wrong one")
            assert TOKEN not in answer.text
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert requests.get(f"{url}/metrics", headers=right).status_code == 200


def test_a_full_disk_and_slow_clients(ckpt, tmp_path):
    silence = tmp_path / "silence.flac"  # small, unlike its stems
    soundfile.write(silence, np.zeros(60 * RATE, np.int16), RATE)
    kept = tmp_path / "kept"
    keys = (f"ckpt={ckpt}", "idle_seconds=0.5")
    with serving(kept, *keys, file_bytes=400_000, number=signal.SIGTERM) as url:
        for path in (song(tmp_path / "large.wav", 30), silence):
            refused(send(f"{url}/separate", path), 507, "the disk of the server is full")
        with connection(url) as idle, connection(url) as half, connection(url) as upload:
            half.sendall(b"POST /separate HTTP/1.1\r\nHost:")
            upload.sendall(head(1000) + part(b"abc")[:-2])
            assert idle.recv(9) == half.recv(9) == b""
            assert upload.recv(12) == b"HTTP/1.1 408"


def test_a_killed_server_leaves_nothing_to_the_next_one(ckpt, sound, long_sound, tmp_path):
    keys = (tmp_path, f"ckpt={ckpt}", "max_seconds=3600")
    with serving(*keys, number=signal.SIGKILL) as url:
        number = send(f"{url}/jobs", long_sound).json()["id"]
        wait_for(lambda: requests.get(f"{url}/jobs/{number}").json()["seconds"] > 0)
        (killed,) = tmp_path.iterdir()
        with serving(*keys) as second:  # leaves a server alone that runs
            assert requests.get(f"{second}/health").json()["running"] == 0
        assert list(killed.rglob("*.wav"))
    assert list(killed.rglob("*.wav"))
    (tmp_path / "auralflow-serve-link").symlink_to(sound.parent)
    with serving(*keys) as url:
        assert not killed.exists()
        refused(requests.get(f"{url}/jobs/{number}/stems.zip"), 404, "no such job")
    assert sound.is_file()


@pytest.mark.parametrize(
    "keys, message",
    [
        (["host=0.0.0.0"], "host=0.0.0.0: others can connect, so a token is needed"),
        (["token_file=missing"], "token_file=missing: cannot be read"),
        (["workers=0"], "workers=0: expected more than 0"),
        (["queue_size=-1"], "queue_size=-1: expected at least 0"),
        (["token=abc"], "token: no such key, did you mean 'token_file'?"),
        (["folder=/dev/null/a"], "expected a folder"),
    ],
)
def test_faulty_keys_are_told_in_a_line(command, keys, message):
    assert message in command("serve", "port=0", *keys).error


def test_a_token_is_long(command, monkeypatch):
    monkeypatch.setenv("AURALFLOW_TOKEN", "short")
    error = command("serve", "host=0.0.0.0", "port=0").error
    assert "AURALFLOW_TOKEN: expected at least 16 letters" in error
    assert "short" not in error
