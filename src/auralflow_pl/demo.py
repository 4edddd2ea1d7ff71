"""The command `demo`: a page to try models, on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.checkpoint import BUNDLED
from auralflow_pl.config import DemoKeys, plain, validated
from auralflow_pl.device import choose_device
from auralflow_pl.errors import InputError
from auralflow_pl.registry import PREFIX
from auralflow_pl.separate import checkpoints, load_models, persevere, terminable
from auralflow_pl.stem_report import Model
from auralflow_pl.studio import Limits, Studio

BUNDLED_NAME = "vocals (in the package)"


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
        from auralflow_pl.demo_page import serve

        with studio, until_signalled():
            print(f"{address(listener)} (Ctrl-C ends it)", flush=True)
            serve(studio, config.queue, listener)
    print("ended; uploads and stems are deleted")


def named_models(config: DictConfig, device: torch.device) -> dict[str, Model]:
    """The model in the package, and those of the key `ckpt`, by the names that the page shows."""
    given = {} if config.ckpt is None else shown_names(config)
    paths = [*given.values(), BUNDLED]  # those that may be mistaken first
    every = OmegaConf.merge(config, {"ckpt": [str(path) for path in paths]})
    *others, bundled = load_models(every, device)
    return {BUNDLED_NAME: bundled, **dict(zip(given, others, strict=True))}


def shown_names(config: DictConfig) -> dict[str, Path]:
    """The models of the key `ckpt` by names that tell visitors nothing of the server's folders.

    That is the name of a pretrained model or file; with a number where it is there already.
    """
    ckpt = plain(config)["ckpt"]
    found: dict[str, Path] = {}
    for one in ckpt if isinstance(ckpt, list) and ckpt else [ckpt]:
        for path in checkpoints(OmegaConf.merge(config, {"ckpt": one})):
            pretrained = str(one).startswith(PREFIX)
            name = str(one).removeprefix(PREFIX) if pretrained else path.resolve().name
            numbered = (f"{name} ({number})" for number in itertools.count(2))
            every = itertools.chain([name], numbered)
            found[next(n for n in every if n not in (BUNDLED_NAME, *found))] = path
    return found


@contextlib.contextmanager
def until_signalled() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block; both are the usual way to end a server, and no error."""
    in_charge = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    with contextlib.suppress(KeyboardInterrupt):
        if in_charge:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        yield
    if in_charge:
        signal.signal(signal.SIGTERM, before)


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound.

    Raises:
        InputError: the port is taken, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"host={host} port={port}: cannot listen there ({reason}); choose another port, or "
            "port=0 for a free one"
        ) from error


def address(listener: socket.socket) -> str:
    """Where the page is."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def keep_to_ourselves(uploads: Path) -> None:
    """Tell Gradio, before it is imported, where files go, and to report to nobody."""
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
