"""A local server with those routes of the Hugging Face Hub that an upload and a download use."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_test"

COMMIT = "a" * 40


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b"".join(self.chunks())
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid credentials"})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.server.asked[name] = asked
            return self.answer(200, {"url": f"{self.server.base}/{name}"})
        if self.path == "/api/validate-yaml":
            self.server.cards.append(json.loads(body)["content"])
            return self.answer(200, {})
        if "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[f"{found[1]}/{line['value']['path']}"] = content
            url = f"{self.server.base}/{found[1]}/commit/abc"
            return self.answer(200, {"commitUrl": url, "commitOid": "abc", "success": True})
        return self.answer(404, {"error": f"no route {self.path}"})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.headers.append(dict(self.headers))
        name = re.sub(r"/resolve/[^/]+/", "/", self.path).lstrip("/")
        content = self.server.files.get(name)
        if content is None:
            return self.answer(404, {"error": "Not found"}, X_Error_Code="EntryNotFound")
        facts = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        if self.server.store and self.path != f"/{name}":  # large files are on another host
            facts |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": facts["ETag"]}
            return self.answer(302, b"", Location=f"{self.server.store}/{name}", **facts)
        return self.answer(200, content, **facts)

    def chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()

    def answer(self, code, content, **headers):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


class Hub(ThreadingHTTPServer):
    """Keeps what is uploaded in `files`, by repository and name."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files: dict[str, bytes] = {}
        self.asked: dict[str, dict] = {}  # what a new repository was asked to be, by its name
        self.cards: list[str] = []
        self.headers: list[dict[str, str]] = []  # of requests for files
        self.store: str | None = None  # address of the host that large files are on
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
