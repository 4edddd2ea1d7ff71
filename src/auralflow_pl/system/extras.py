"""Optional dependencies, by the extra of the package that installs them."""

from __future__ import annotations

import importlib.util

from auralflow_pl.errors import InputError

EXTRA_PACKAGES = {  # packages by extra of pyproject.toml
    "demo": ("gradio",),
    "hub": ("huggingface_hub",),
    "onnx": ("onnx", "onnxruntime"),
    "sweep": ("optuna",),
}


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
        raise InputError(f"{purpose}: {names} not installed; pip install 'auralflow-pl[{extra}]'")
