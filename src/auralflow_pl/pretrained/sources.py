"""Sources of files: local paths, HTTP addresses, and the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from auralflow_pl.errors import os_reason
from auralflow_pl.pretrained.entries import MAX_FILE_BYTES
from auralflow_pl.pretrained.failures import BrokeOffError, SourceError, WrongBytesError
from auralflow_pl.pretrained.hub_files import hub_file_of, hub_path, hub_size
from auralflow_pl.system.extras import EXTRA_PACKAGES, install_line

if TYPE_CHECKING:
    import requests

LOCAL_SCHEMES = ("file", "package")

SOURCE_BLOCK_BYTES = 2**16

TIMEOUT_SECONDS = (10.0, 30.0)  # to connect, and between two reads

MAX_REDIRECTS = 10

REDIRECT_CODES = (301, 302, 303, 307, 308)


@contextlib.contextmanager
def open_source_at(source: str, size: int, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Open a source from byte `start` on.

    Args:
        source: an address or a path.
        size: expected size of the whole file, in bytes.
        start: first byte wanted.

    Yields:
        the first byte delivered (`start`, or 0 if the source cannot resume), and the blocks.

    Raises:
        SourceError: the source does not provide the file.
    """
    scheme, mark, rest = source.partition("://")
    if not mark or scheme in LOCAL_SCHEMES:
        yield start, file_blocks(local_path(source), size, start)
        return
    if scheme == "hf":
        yield start, file_blocks(hub_path(hub_file_of(rest), size), size, start)
        return
    with request_answer(source, start) as response:
        yield first_byte_of(response, size, start), response_blocks(response)


def stated_size(source: str) -> int:
    """Size of a file in bytes, as its source says before anything is read.

    Raises:
        SourceError: there is no such file, or the source does not say a size.
    """
    scheme, mark, rest = source.partition("://")
    if not mark or scheme in LOCAL_SCHEMES:
        path = local_path(source)
        if not path.is_file():
            raise SourceError("no such file")
        return path.stat().st_size
    if scheme == "hf":
        length = str(hub_size(hub_file_of(rest)))
    else:
        with request_answer(source, 0) as response:
            if response.status_code != 200:
                raise SourceError(status_line(response))
            length = response.headers.get("Content-Length") or ""
    if not length.isdigit() or not 0 < int(length) <= MAX_FILE_BYTES:
        raise SourceError(f"says no size from 1 to {MAX_FILE_BYTES} bytes")
    return int(length)


def is_on_this_machine(source: str) -> bool:
    """Whether a source is a file of this machine."""
    scheme, mark, _ = source.partition("://")
    try:
        return (not mark or scheme in LOCAL_SCHEMES) and local_path(source).is_file()
    except SourceError:
        return False


def local_path(source: str) -> Path:
    """Local path of a source: a path, or a `file://` or `package://name/path` address.

    Raises:
        SourceError: the file is on another machine, or the package is not installed.
    """
    if source.startswith("package://"):
        name, _, rest = source.removeprefix("package://").partition("/")
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            extra = next((e for e, names in EXTRA_PACKAGES.items() if name in names), None)
            raise SourceError(install_line(extra) if extra else f"no package {name}")
        return Path(spec.submodule_search_locations[0]) / rest
    if not source.startswith("file://"):
        return Path(source)
    parts = urlsplit(source)
    if parts.netloc not in ("", "localhost"):
        raise SourceError("names another machine; expected file:///path")
    return Path(url2pathname(unquote(parts.path)))


def file_blocks(path: Path, size: int, start: int) -> Iterator[bytes]:
    """Blocks of a local file from byte `start` on.

    Raises:
        SourceError: there is no such file, or it does not have `size` bytes.
    """
    if not path.is_file():
        raise SourceError("no such file")
    if path.stat().st_size != size:
        raise SourceError(f"has {path.stat().st_size} bytes, expected {size}")
    return read_from(path, start)


def read_from(path: Path, start: int) -> Iterator[bytes]:
    """Read the blocks of a file from byte `start` on."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            yield from iter(lambda: file.read(SOURCE_BLOCK_BYTES), b"")
    except OSError as error:
        raise SourceError(os_reason(error)) from error


@contextlib.contextmanager
def request_answer(address: str, start: int) -> Iterator[requests.Response]:
    """Request all bytes from `start` on, follow redirects, and yield the final response.

    `requests` would read the whole body of each redirect, so redirects are followed here.
    """
    import requests

    asked = {"Accept-Encoding": "identity"}
    if start:
        asked["Range"] = f"bytes={start}-"
    with requests.Session() as session:
        session.get_redirect_target = lambda _: None
        for _ in range(MAX_REDIRECTS + 1):
            try:
                response = session.get(address, headers=asked, stream=True, timeout=TIMEOUT_SECONDS)
            except (requests.RequestException, ValueError) as error:
                raise SourceError(explain_failure(error)) from error
            with response:
                if response.status_code not in REDIRECT_CODES or "Location" not in response.headers:
                    yield response
                    return
                target = follow_redirect(address, response.headers["Location"])
            address = target
    raise SourceError(f"more than {MAX_REDIRECTS} redirects")


def follow_redirect(address: str, location: str) -> str:
    """Absolute address that a redirect points to."""
    try:
        target = urljoin(address, location)
    except ValueError:
        target = ""
    if urlsplit(target).scheme not in ("http", "https"):
        raise SourceError("redirects to an address that is not http or https")
    return target


def explain_failure(error: Exception) -> str:
    """Short reason why a request failed."""
    import requests

    causes: dict[type[Exception], str] = {
        requests.Timeout: "no answer in time",
        requests.exceptions.SSLError: "its certificate is not trusted",
        requests.exceptions.ProxyError: "the proxy cannot be reached",
        requests.ConnectionError: "no connection",
    }
    found = (text for kind, text in causes.items() if isinstance(error, kind))
    return next(found, f"not an address that can be asked ({type(error).__name__})")


def first_byte_of(response: requests.Response, size: int, start: int) -> int:
    """Position in the file of the first byte of a response body.

    Raises:
        SourceError: the response is an error, or the file does not have `size` bytes.
        WrongBytesError: the response has another range than the requested one.
    """
    length, status = response.headers.get("Content-Length"), response.status_code
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if status == 416:
        raise WrongBytesError("has no more bytes than were received before")
    if status == 206 and span and int(span[1]) == start:
        total = span[2]
    elif status == 206:
        raise WrongBytesError("answers with another part than it was asked for")
    elif status == 200:
        start, total = 0, length if length and length.isdigit() else "*"
    else:
        raise SourceError(status_line(response))
    if total not in ("*", str(size)):
        raise SourceError(f"has {total[:20]} bytes, expected {size}")
    return start


def status_line(response: requests.Response) -> str:
    """Status of a response, for messages."""
    status = response.status_code
    return f"HTTP {status} {http.client.responses.get(status, '')}".rstrip()


def response_blocks(response: requests.Response) -> Iterator[bytes]:
    """Blocks of a response body, undecoded; connection errors become `BrokeOffError`."""
    import urllib3

    read: Callable[..., Iterator[bytes]] = response.raw.stream
    try:
        yield from read(SOURCE_BLOCK_BYTES, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise BrokeOffError(f"the connection broke ({type(error).__name__})") from error
