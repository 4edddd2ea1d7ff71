"""The command `serve`: separation over HTTP."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import torch
from omegaconf import DictConfig

from auralflow_pl.config.schema import ServeKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError
from auralflow_pl.serving.addresses import bind_socket, is_local, server_address
from auralflow_pl.serving.folders import server_folder
from auralflow_pl.serving.jobs import ServeLimits
from auralflow_pl.serving.service import SeparationService
from auralflow_pl.serving.token import TOKEN_VARIABLE, read_token
from auralflow_pl.serving.uploads import SoundLimits
from auralflow_pl.stems.job import StemJob
from auralflow_pl.stems.loading import load_models
from auralflow_pl.stems.outputs import OutputTemplate, StemOptions
from auralflow_pl.stems.runner import run_within_memory
from auralflow_pl.system.device import choose_device, torch_threads
from auralflow_pl.system.extras import require_extra
from auralflow_pl.system.heap import reuse_freed_memory, share_one_heap
from auralflow_pl.system.signals import exit_on_sigterm, until_interrupted


def serve(config: DictConfig) -> None:
    """Serve separation until Ctrl-C or SIGTERM, then delete uploads and stems.

    Raises:
        InputError: a package or a token is missing, a model cannot be loaded, or the port is in
            use.
    """
    config = validate(config, ServeKeys)
    require_extra("serve", "serve")
    share_one_heap()
    device = choose_device(config.device)
    token = read_token(config.token_file)
    base = Path(config.folder or tempfile.gettempdir())
    with (
        bind_socket(config.host, config.port) as listener,
        exit_on_sigterm(),
        server_folder(base) as folder,
        torch_threads(max(1, torch.get_num_threads() // config.workers)),
    ):
        check_exposure(listener, config.host, token)
        from auralflow_pl.serving.web.app import build_service_app
        from auralflow_pl.serving.web.guard import LOCAL_HOSTS
        from auralflow_pl.serving.web.metrics import ServeMetrics
        from auralflow_pl.serving.web.server import timed_server

        models, metrics = load_models(config, device), ServeMetrics()
        reuse_freed_memory()
        StemJob(models, OutputTemplate.of(str(folder)), StemOptions(), device)  # checks the targets
        limits = build_limits(config)
        service = SeparationService(
            models, device, folder, limits, run_within_memory, metrics.count_job
        )
        metrics.watch(service.count)
        own = listener.getsockname()[0]
        hosts = [*LOCAL_HOSTS, own, config.host, *config.hosts] if is_local(listener) else None
        app = build_service_app(service, metrics, token, hosts)
        server = timed_server(app, service.close, limits.idle_seconds, limits.upload_seconds)
        with service, until_interrupted():
            print(f"{server_address(listener)} (Ctrl-C ends it)", flush=True)
            server.run(sockets=[listener])
    print("ended; uploads and stems are deleted")


def check_exposure(listener: socket.socket, host: str, token: str | None) -> None:
    """Raise InputError if other machines could connect and need no token."""
    if token is None and not is_local(listener):
        raise InputError(
            f"host={host}: others can connect, so a token is needed; set {TOKEN_VARIABLE} or "
            "token_file=..., or use host=127.0.0.1"
        )


def build_limits(config: DictConfig) -> ServeLimits:
    """Limits of the service, from the keys."""
    advice = "the limit of this server (max_seconds); cut the file"
    return ServeLimits(
        sound=SoundLimits(config.max_seconds, advice, config.max_channels),
        upload_bytes=round(config.max_upload_mb * 2**20),
        upload_seconds=config.upload_seconds,
        timeout_seconds=config.timeout_seconds,
        idle_seconds=config.idle_seconds,
        keep_seconds=config.keep_seconds,
        queue_size=config.queue_size,
        workers=config.workers,
    )
