"""A small S3-compatible server in memory, with faults on demand."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


ERROR_CODES = {"403": "AccessDenied", "404": "NoSuchKey", "503": "SlowDown"}


class Fault(NamedTuple):
    """What the next requests of the bytes of a file get instead of them."""

    pattern: str  # of keys
    kind: str  # stall, cut (the connection ends within the answer), or the status of an error
    times: int
    after: int  # requests that are answered before


class S3Handler(BaseHTTPRequestHandler):
    """List, head, get with a range, put, and uploads in parts; keys are `bucket/name`."""

    server: S3
    protocol_version = "HTTP/1.1"

    def split(self):
        parts = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        return unquote(parts.path).strip("/"), query

    def answer(self, code, content=b"", **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def error(self, code, name):
        self.answer(code, f"<Error><Code>{name}</Code><Message>{name}</Message></Error>".encode())

    def do_HEAD(self):
        key, _ = self.split()
        content = self.server.objects.get(key)
        if content is None:
            known = any(other.startswith(f"{key}/") for other in self.server.objects)
            self.answer(200 if known and "/" not in key else 404)
        else:
            self.answer(200, Content_Length=str(len(content)), ETag='"e"', **WHEN)

    def do_GET(self):
        key, query = self.split()
        self.server.asked.append((key, self.headers.get("Range")))
        if "list-type" in query and not self.server.lists:
            self.error(403, "AccessDenied")
            return
        if "list-type" in query:
            self.list_files(key, query)
            return
        fault = self.server.fault_of(key)
        if fault == "stall":
            self.server.stalls.append(key)
            self.server.ended.wait(30)
            self.close_connection = True
            return
        if fault == "cut":
            self.answer(206, b"half of it", Content_Length="20", **WHEN)
            self.close_connection = True
            return
        if fault is not None:
            self.error(int(fault), ERROR_CODES[fault])
            return
        content = self.server.objects.get(key)
        if content is None:
            self.error(404, "NoSuchKey")
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked or not self.server.ranges:
            self.answer(200, content, ETag='"e"', **WHEN)
            return
        first, last = int(asked[1]), int(asked[2] or len(content))
        if first >= len(content):
            self.error(416, "InvalidRange")
            return
        part = content[first : last + 1]
        place = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
        self.answer(206, part, Content_Range=place, ETag='"e"', **WHEN)

    def list_files(self, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        files, folders = [], set()
        for key, content in sorted(self.server.objects.items()):
            owner, _, name = key.partition("/")
            if owner != bucket or not name.startswith(prefix):
                continue
            folder, found, _ = name[len(prefix) :].partition(delimiter or "\0")
            if found:
                folders.add(f"{prefix}{folder}{delimiter}")
            else:
                files.append(
                    f"<Contents><Key>{escape(name)}</Key><Size>{len(content)}</Size><ETag>e</ETag>"
                    "<LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
                )
        files += [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
        body = f"<ListBucketResult {SPACE}><Name>{bucket}</Name><IsTruncated>false</IsTruncated>"
        self.answer(200, f"{body}{''.join(files)}</ListBucketResult>".encode())

    def body(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return content
        parts = []
        while content:
            head, _, content = content.partition(b"\r\n")
            size = int(head.split(b";")[0], 16)
            if not size:
                break
            parts.append(content[:size])
            content = content[size + 2 :]
        return b"".join(parts)

    def do_PUT(self):
        key, query = self.split()
        content = self.body()
        if "partNumber" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = content
        else:
            self.server.objects[key] = content
        self.server.put.append(key)
        self.answer(200, ETag='"e"')

    def do_POST(self):
        key, query = self.split()
        self.body()
        if "uploads" in query:
            number = str(len(self.server.uploads))
            self.server.uploads[number] = {}
            text = f"<UploadId>{number}</UploadId>"
            name = "InitiateMultipartUploadResult"
        else:
            parts = self.server.uploads[query["uploadId"]]
            self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
            text, name = "<ETag>e</ETag>", "CompleteMultipartUploadResult"
        self.answer(200, f"<{name} {SPACE}><Key>{escape(key)}</Key>{text}</{name}>".encode())

    def log_message(self, *_):
        pass


WHEN = {"Last_Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}


class S3(ThreadingHTTPServer):
    """The server; `options` are those of fsspec for it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), S3Handler)
        self.objects: dict[str, bytes] = {}  # by `bucket/name`
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: list[tuple[str, str | None]] = []  # key, and range
        self.put: list[str] = []
        self.stalls: list[str] = []
        self.lists = self.ranges = True  # whether it can list files, and knows ranges
        self.faults: list[Fault] = []
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.options = {
            "endpoint_url": f"http://127.0.0.1:{self.server_address[1]}",
            "config_kwargs": {"retries": {"max_attempts": 0}},
        }

    def fault(self, pattern: str, kind: str, times: int = 10**9, after: int = 0) -> None:
        """Let requests of the bytes of some files fail."""
        self.faults.append(Fault(pattern, kind, times, after))

    def fault_of(self, key: str) -> str | None:
        """The fault of the next request of a file."""
        with self.lock:
            for number, fault in enumerate(self.faults):
                if not fault.times or not re.search(fault.pattern, key):
                    continue
                if fault.after:
                    self.faults[number] = fault._replace(after=fault.after - 1)
                else:
                    self.faults[number] = fault._replace(times=fault.times - 1)
                    return fault.kind
        return None

    def handle_error(self, *_):
        """Ignore clients that have disconnected."""

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.shutdown()
        self.thread.join()
        self.server_close()
