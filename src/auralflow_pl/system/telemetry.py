"""Usage statistics and crash reports of other packages are switched off."""

from __future__ import annotations

import os

# Each is read by the package when it is imported or first used, and inherited by child processes.
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime from 1.29 on
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub
    "WANDB_ERROR_REPORTING": "false",  # crash reports of wandb; runs are logged all the same
    "RAY_USAGE_STATS_ENABLED": "0",
}


def disable_telemetry() -> None:
    """Set the environment variables of packages that report their use; set ones stay."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
