"""A local HTTP server that misbehaves on demand."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers one request per connection, and records requests and sent bytes in the server."""

    server: Web

    def do_GET(self):
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.start = int(asked[1]) if asked else 0
        self.server.asked.append((self.path, int(asked[1]) if asked else None))
        self.server.headers.append(dict(self.headers))
        self.server.routes.get(self.path, status(404))(self)

    def head(self, code, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def write(self, content):
        for start in range(0, len(content), 8192):
            self.server.sent += self.wfile.write(content[start : start + 8192])
            time.sleep(self.server.delay)

    def reset(self):
        """Reset the connection."""
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def log_message(self, *_):
        pass


class Web(ThreadingHTTPServer):
    """Server with one answer per path; 404 for other paths."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes: dict[str, Answer] = {}
        self.asked: list[tuple[str, int | None]] = []  # path, and first byte of a range request
        self.headers: list[dict[str, str]] = []
        self.sent, self.delay = 0, 0.0  # bytes of bodies; seconds between pieces of 8 KiB
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, path: str, answer: Answer) -> str:
        self.routes[path] = answer
        return self.base + path

    def handle_error(self, *_):
        """Ignore clients that have disconnected."""

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.head(code, Content_Length=0, **headers)


def whole(content: bytes) -> Answer:
    """Answer of a server that does not support Range."""

    def answer(handler):
        handler.head(200, Content_Length=len(content))
        handler.write(content)

    return answer


def ranged(content: bytes, drops: list[int] | None = None, harsh: bool = False) -> Answer:
    """Answer of a server that supports Range, and breaks off after each of `drops` bytes first.

    Args:
        content: content of the file.
        drops: bytes after which the next answers end.
        harsh: reset the connection instead of closing it.
    """

    def answer(handler):
        rest = content[handler.start :]
        size = len(content)
        span = {"Content_Range": f"bytes {handler.start}-{size - 1}/{size}"}
        code = 206 if handler.headers.get("Range") else 200
        handler.head(code, Content_Length=len(rest), **(span if code == 206 else {}))
        if not drops:
            handler.write(rest)
            return
        handler.write(rest[: drops.pop(0)])
        if harsh:
            handler.reset()

    return answer


def endless(handler: Handler) -> None:
    """Answer with a body that has no length and no end."""
    handler.head(200)
    while True:
        handler.write(bytes(8192))
