"""Optional dependencies."""

from __future__ import annotations

import importlib.util

ONNX_HINT = "pip install 'auralflow-pl[onnx]'"


def is_onnx_installed() -> bool:
    """Whether graphs can be made and run here."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
