"""The command `demo`: serve the web page on this machine."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.config.schema import DemoKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.demo.model_names import named_models
from auralflow_pl.demo.studio import DemoLimits, DemoService
from auralflow_pl.serving.addresses import bind_socket, server_address
from auralflow_pl.stems.runner import run_within_memory
from auralflow_pl.system.device import choose_device
from auralflow_pl.system.extras import require_extra
from auralflow_pl.system.signals import exit_on_sigterm, until_interrupted


def demo(config: DictConfig) -> None:
    """Serve the page until Ctrl-C or SIGTERM, then delete uploads and stems.

    Raises:
        InputError: Gradio is not installed, a model cannot be loaded, or the port is in use.
    """
    config = validate(config, DemoKeys)
    require_extra("demo", "demo")
    device = choose_device(config.device)
    limits = DemoLimits(config.max_minutes, config.max_mb, config.keep_minutes)
    with (
        bind_socket(config.host, config.port) as listener,
        exit_on_sigterm(),
        tempfile.TemporaryDirectory(prefix="auralflow-demo-") as folder,
    ):
        models = named_models(config, device)
        studio = DemoService(models, device, Path(folder), limits, run_within_memory)
        os.environ["GRADIO_TEMP_DIR"] = str(studio.uploads)  # before it is imported
        from auralflow_pl.demo.server import serve_demo

        with studio, until_interrupted():
            print(f"{server_address(listener)} (Ctrl-C ends it)", flush=True)
            serve_demo(studio, config.queue, listener)
    print("ended; uploads and stems are deleted")
