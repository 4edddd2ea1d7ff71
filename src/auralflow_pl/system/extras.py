"""Optional dependencies."""

from __future__ import annotations

import importlib.util

from auralflow_pl.errors import InputError

EXTRA_PACKAGES = {  # packages by the extra of pyproject.toml that installs them
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
        purpose: what needs it, for the message.
    """
    if not is_installed(extra):
        names = " and ".join(EXTRA_PACKAGES[extra])
        raise InputError(f"{purpose}: {names} not installed; pip install 'auralflow-pl[{extra}]'")
