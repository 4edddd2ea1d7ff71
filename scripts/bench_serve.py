"""Load on `auralflow serve`: many clients at once, hostile uploads, and a kill in the middle.

python scripts/bench_serve.py [clients=50] [seconds=10] [uploads=200] [queue_size=4] [ckpt=...]

A server runs in a process of its own, with `engine=torch` and one worker.
- Clients: all send a song of `seconds` at once, to a server with a place for each, and later to one
  with `queue_size` places in the queue. A client that is refused waits as long as it is told and
  asks again. Lost are requests that end otherwise than with the right stems or a refusal that says
  why in one line.
- Memory: resident memory of the server after one song, and the highest while all clients wait.
- Hostile uploads: damaged sounds and forms, drawn from a seed; a third of their clients go before
  the answer. Counted are answers by status, tracebacks in the log, and files left behind.
- Kill: the server is killed while it separates and uploads wait. Counted are the files that it
  leaves, those after the next start, and old addresses that are still served.
"""

from __future__ import annotations

import contextlib
import io
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import requests
import soundfile
from omegaconf import OmegaConf

from auralflow_pl.pretrained.locations import BUNDLED_MODEL

RATE = 44100
PATIENCE_SECONDS = 600.0
KILLED_SECONDS = 60  # of sound in work when the server is killed
FORM_TYPE = {"Content-Type": "multipart/form-data; boundary=x"}


@dataclass
class Options:
    """Options of the command line."""

    clients: int = 50
    seconds: float = 10.0
    uploads: int = 200
    queue_size: int = 4
    ckpt: str = str(BUNDLED_MODEL)


class ServedProcess:
    """A server in a process of its own.

    Args:
        folder: for its files.
        ckpt: the model.
        queue_size: see configs/serve.yaml.
    """

    def __init__(self, folder: Path, ckpt: str, queue_size: int) -> None:
        self.folder, self.lines = folder, []
        keys = (f"ckpt={ckpt}", f"folder={folder}", f"queue_size={queue_size}")
        fixed = ("port=0", "engine=torch", "keep_seconds=5")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "auralflow_pl", "serve", *fixed, *keys],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        if not first.startswith("http://"):
            raise SystemExit(first + self.process.stdout.read())
        self.url = first.split()[0].rstrip("/")
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        """Keep what the server prints."""
        with self.process.stdout as lines:
            self.lines.extend(lines)

    def stop(self, number: int) -> None:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        self.process.wait()
        self.reader.join()

    def memory(self) -> float:
        """Resident memory in MiB."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    @contextlib.contextmanager
    def highest_memory(self) -> Iterator[list[float]]:
        """The highest resident memory in MiB during the block, as the only item of a list."""
        highest, ended = [self.memory()], threading.Event()

        def watch() -> None:
            while not ended.wait(0.05):
                highest[0] = max(highest[0], self.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        yield highest
        ended.set()
        watcher.join()

    def files(self) -> int:
        """Number of files of jobs."""
        return len([path for path in self.folder.glob("*/*/**/*") if path.is_file()])

    def wait_idle(self) -> None:
        """Wait until no job is in work, and what is removed is gone."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            state = requests.get(f"{self.url}/health", timeout=60).json()
            busy = state["receiving"] + state["queued"] + state["running"]
            if not busy and not any(self.folder.glob("*/*/")):
                return
            time.sleep(0.1)


def noise(seconds: float) -> bytes:
    """A stereo WAV file."""
    file = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, (round(seconds * RATE), 2))
    soundfile.write(file, samples, RATE, "PCM_16", format="WAV")
    return file.getvalue()


def ask(url: str, song: bytes, expected: bytes | None) -> tuple[str, float, int]:
    """Be one client: what became of it, seconds until the answer, and refusals before."""
    start, refused = time.monotonic(), 0
    while True:
        files, fields = {"file": ("song.wav", song)}, {"stem": "vocals"}
        answer = requests.post(url, files=files, data=fields, timeout=PATIENCE_SECONDS)
        taken = time.monotonic() - start
        if answer.status_code == 200:
            same = expected is None or answer.content == expected
            return "right stems" if same else "other stems", taken, refused
        if answer.status_code != 503 or not says_why(answer):
            return f"status {answer.status_code}", taken, refused
        refused += 1
        time.sleep(int(answer.headers["Retry-After"]) * random.uniform(0.2, 1))


def says_why(answer: requests.Response) -> bool:
    """Whether a refusal is JSON with one line of text."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(detail, str) and detail.isprintable() and bool(detail)


def load(server: ServedProcess, clients: int, song: bytes, expected: bytes) -> None:
    """Let clients ask at once, and print what became of them."""
    url = f"{server.url}/separate"
    before, start = server.memory(), time.monotonic()
    with server.highest_memory() as highest, ThreadPoolExecutor(clients) as pool:
        done = list(pool.map(lambda _: ask(url, song, expected), range(clients)))
    taken = time.monotonic() - start
    server.wait_idle()
    ends = Counter(end for end, _, _ in done)
    lost = clients - ends["right stems"]
    print(f"{clients} clients at once: {lost} lost {dict(ends)}, {taken:.1f} s in all, median "
          f"{statistics.median(seconds for _, seconds, _ in done):.1f} s")  # fmt: skip
    print(f"refusals, each with its reason, and asked again: {sum(n for _, _, n in done)}")
    print(f"memory: {before:.0f} MiB before, at most {highest[0]:.0f} MiB; files left: "
          f"{server.files()}")  # fmt: skip


def damaged(song: bytes, draw: random.Random) -> bytes:
    """A sound with faults."""
    content = bytearray(song[: draw.choice([0, 1, 20, 44, 1000, len(song)])])
    kinds: list[Callable[[], object]] = [
        lambda: content.extend(draw.randbytes(2000)),
        lambda: [content.insert(draw.randrange(len(content) + 1), 255) for _ in range(20)],
        lambda: content.__setitem__(
            slice(0, 4), draw.choice([b"fLaC", b"OggS", b"ID3\4", b"RF64"])
        ),
        lambda: content.__setitem__(slice(20, 44), draw.randbytes(24)),
        lambda: content.__setitem__(slice(0, 0), b"#EXTM3U\nhttp://127.0.0.1:9/a\n"),
    ]
    draw.choice(kinds)()
    return bytes(content)


def hostile_form(song: bytes, draw: random.Random) -> bytes:
    """A form with faults."""
    names = ["../../a.wav", "\0", "a" * 4000, "%s%n", "\u202e.wav", "CON", "a\r\n\r\nb", "-rf /"]
    fields = ["file", "stem", "format", "files", "\xff", "__proto__", ""]
    lines = [f'Content-Disposition: form-data; name="{draw.choice(fields)}"; '
             f'filename="{draw.choice(names)}"', "Content-Type: audio/wav"]  # fmt: skip
    head = "\r\n".join(lines[: draw.choice([0, 1, 2, 2, 2])]).encode()
    body = b"--x\r\n" + head + b"\r\n\r\n" + damaged(song, draw) + b"\r\n"
    return body * draw.choice([1, 1, 2, 30]) + draw.choice([b"--x--\r\n", b"", b"--x", b"\r\n"])


def attack(server: ServedProcess, uploads: int, song: bytes) -> None:
    """Send hostile uploads, eight at a time, and print what the server says and leaves."""

    def send(number: int) -> str:
        draw = random.Random(number)
        if draw.random() < 0.5:
            body = {"data": hostile_form(song, draw), "headers": FORM_TYPE}
        else:
            body = {"files": {"file": ("a.wav", damaged(song, draw))}}
        path = draw.choice(["separate", "separate", "jobs"])
        seconds = draw.choice([PATIENCE_SECONDS, PATIENCE_SECONDS, 0.01])
        try:
            answer = requests.post(f"{server.url}/{path}", timeout=seconds, **body)
        except requests.RequestException:
            return "gone"
        if answer.status_code == 202:
            requests.delete(f"{server.url}/jobs/{answer.json()['id']}", timeout=60)
        fine = answer.status_code < 300 or (answer.status_code != 500 and says_why(answer))
        return str(answer.status_code) if fine else f"{answer.status_code} WITHOUT A REASON"

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(send, range(uploads)))
    server.wait_idle()
    tracebacks = sum("Traceback" in line for line in server.lines)
    print(f"{uploads} hostile uploads: {dict(sorted(answers.items()))}, {tracebacks} tracebacks, "
          f"{server.files()} files left, {server.memory():.0f} MiB")  # fmt: skip


def kill(server: ServedProcess, song: bytes) -> list[str]:
    """Kill a server while jobs are in work; returns their paths."""
    jobs = []
    for _ in range(3):
        files = {"file": ("song.wav", song)}
        jobs.append(
            requests.post(f"{server.url}/jobs", files=files, timeout=60).headers["location"]
        )
    while not requests.get(f"{server.url}{jobs[0]}", timeout=60).json()["seconds"]:
        time.sleep(0.01)
    server.stop(signal.SIGKILL)
    print(f"killed in the middle: {server.files()} files left")
    return jobs


def main() -> None:
    """Run all parts and print their figures."""
    options = OmegaConf.to_object(
        OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    )
    song = noise(options.seconds)
    with tempfile.TemporaryDirectory() as name:
        server = ServedProcess(Path(name), options.ckpt, options.clients)
        form = {"files": {"file": ("song.wav", song)}, "data": {"stem": "vocals"}}
        expected = requests.post(f"{server.url}/separate", timeout=PATIENCE_SECONDS, **form).content
        server.wait_idle()
        load(server, options.clients, song, expected)
        attack(server, options.uploads, song)
        jobs = kill(server, noise(KILLED_SECONDS))
        server = ServedProcess(Path(name), options.ckpt, options.queue_size)
        served = sum(
            requests.get(f"{server.url}{job}/stems.zip", timeout=60).status_code == 200
            for job in jobs
        )
        print(f"after the next start: {server.files()} files left, {served} old jobs served")
        print(f"with queue_size={options.queue_size}:")
        load(server, options.clients, song, expected)
        server.stop(signal.SIGTERM)
        tracebacks = sum("Traceback" in line for line in server.lines)
        print(f"ended: {len(list(Path(name).iterdir()))} folders left, {tracebacks} tracebacks")


if __name__ == "__main__":
    main()
