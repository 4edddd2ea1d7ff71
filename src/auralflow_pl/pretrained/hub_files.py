"""Files on the Hugging Face Hub, read by its own client."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from auralflow_pl.errors import one_line
from auralflow_pl.pretrained.failures import SourceError
from auralflow_pl.system.extras import install_line, is_installed


class HubFile(NamedTuple):
    """A file on the Hugging Face Hub."""

    repository: str
    name: str
    revision: str | None  # None: the newest


def hub_file_of(rest: str) -> HubFile:
    """The file that `owner/repo/file@revision` names.

    Raises:
        SourceError: it names none, or the client of the Hub is not installed.
    """
    if not is_installed("hub"):
        raise SourceError(f"the Hugging Face Hub needs {install_line('hub')}")
    place, _, revision = rest.partition("@")
    owner, _, name = place.partition("/")
    repository, _, file = name.partition("/")
    if not (owner and repository and file):
        raise SourceError("expected hf://owner/repository/file@revision")
    return HubFile(f"{owner}/{repository}", file, revision or None)


def hub_size(file: HubFile) -> int | None:
    """Size of a file in bytes, as the Hub states it; None: it states none."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with hub_errors():
        endpoint = hub_endpoint()
        address = hf_hub_url(file.repository, file.name, revision=file.revision, endpoint=endpoint)
        return get_hf_file_metadata(address, token=hub_token()).size


def hub_path(file: HubFile, size: int) -> Path:
    """Path of a file in the cache of the Hub's client, which downloads it if it is not there.

    Raises:
        SourceError: the Hub does not provide a file of `size` bytes.
    """
    from huggingface_hub import hf_hub_download

    stated = hub_size(file)
    if stated not in (None, size):
        raise SourceError(f"has {stated} bytes, expected {size}")
    with hub_errors():
        return Path(
            hf_hub_download(
                file.repository, file.name, revision=file.revision, endpoint=hub_endpoint()
            )
        )


def hub_token() -> str | None:
    """The user's token of the Hub, which public files do not need."""
    from huggingface_hub import get_token

    return get_token()


def hub_endpoint() -> str | None:
    """Address of the Hub from the environment; None: the public one."""
    return os.environ.get("HF_ENDPOINT") or None


@contextlib.contextmanager
def hub_errors() -> Iterator[None]:
    """Turn the errors of the Hub's client into `SourceError`."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except (HfHubHTTPError, OSError, ValueError, *hub_network_errors()) as error:
        raise SourceError(one_line(error)) from error


def hub_network_errors() -> tuple[type[Exception], ...]:
    """Errors of the HTTP library that the Hub's client uses, which differs by its version."""
    found: list[type[Exception]] = []
    for library, name in (
        ("httpx2", "HTTPError"), ("httpx", "HTTPError"), ("requests", "RequestException")
    ):  # fmt: skip
        with contextlib.suppress(ImportError):
            found.append(getattr(importlib.import_module(library), name))
    return tuple(found)
