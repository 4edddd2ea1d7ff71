"""The command `demo`: serve the web page on this machine."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.config.schema import DemoKeys
from auralflow_pl.config.validation import validated
from auralflow_pl.demo.model_names import named_models
from auralflow_pl.demo.server import address, keep_to_ourselves, listening
from auralflow_pl.demo.studio import Limits, Studio
from auralflow_pl.errors import InputError
from auralflow_pl.stems.runner import persevere
from auralflow_pl.system.device import choose_device
from auralflow_pl.system.signals import terminable, until_signalled


def demo(config: DictConfig) -> None:
    """Serve the page until Ctrl-C or SIGTERM; temporary files are deleted then.

    Raises:
        InputError: Gradio is not installed, a model cannot be loaded, or the port is taken.
    """
    config = validated(config, DemoKeys)
    if importlib.util.find_spec("gradio") is None:
        raise InputError("demo: Gradio is not installed; pip install 'auralflow-pl[demo]'")
    device = choose_device(config.device)
    limits = Limits(config.max_minutes, config.max_mb, config.keep_minutes)
    with (
        listening(config.host, config.port) as listener,
        terminable(),
        tempfile.TemporaryDirectory(prefix="auralflow-demo-") as folder,
    ):
        models = named_models(config, device)
        studio = Studio(models, device, Path(folder), limits, persevere)
        keep_to_ourselves(studio.uploads)
        from auralflow_pl.demo.server import serve

        with studio, until_signalled():
            print(f"{address(listener)} (Ctrl-C ends it)", flush=True)
            serve(studio, config.queue, listener)
    print("ended; uploads and stems are deleted")
