"""The web server of the demo."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from auralflow_pl.demo.page import (
    DEMO_POLICY,
    PAGE_STYLE,
    SYSTEM_FONTS,
    THEME_COLOURS,
    build_blocks,
    names_foreign_file,
)
from auralflow_pl.demo.studio import DemoService
from auralflow_pl.errors import InputError

LAST_PORT = 2**16 - 1


def build_app(studio: DemoService, queue: int) -> FastAPI:
    """Web application that serves the page and the files of results.

    Args:
        studio: service that separates the songs.
        queue: number of songs that may wait.
    """
    app = FastAPI(openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if await names_foreign_file(request, studio):
            detail = "a file that was not uploaded; upload it first"
            response: Response = JSONResponse({"detail": detail}, 400)
        else:
            response = await answer(request)
        response.headers.setdefault("Content-Security-Policy", DEMO_POLICY)
        return response

    @app.get("/results/{token}/{name:path}")
    def result(token: str, name: str) -> FileResponse:
        path = studio.find(token, name)
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, headers={"Cache-Control": "no-store"})

    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="zinc", font=SYSTEM_FONTS, font_mono=("monospace",)
    ).set(**THEME_COLOURS)
    return gr.mount_gradio_app(
        app,
        build_blocks(studio, queue),
        "/",
        theme=theme,
        css=PAGE_STYLE,
        ssr_mode=False,
        run_history=False,
        show_error=False,
        footer_links=[],
        allowed_paths=[str(studio.examples)],
        max_file_size=round(studio.limits.megabytes * 2**20),
    )


class DemoServer(uvicorn.Server):
    """A server that stops jobs and the event streams of open pages before it shuts down."""

    def __init__(self, app: FastAPI, studio: DemoService) -> None:
        super().__init__(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
        self.studio = studio
        self.page_ends: asyncio.Event = app.routes[-1].app.stop_event

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop jobs and streams, then shut down; uvicorn calls it after a signal."""
        self.studio.close()
        self.page_ends.set()
        await super().shutdown(sockets)


def serve_demo(studio: DemoService, queue: int, listener: socket.socket) -> None:
    """Serve the page until SIGINT or SIGTERM."""
    DemoServer(build_app(studio, queue), studio).run(sockets=[listener])


def bind_socket(host: str, port: int) -> socket.socket:
    """Bind a listening socket.

    Raises:
        InputError: the port is in use, or the host is not an address of this machine.
    """
    if not 0 <= port <= LAST_PORT:
        raise InputError(f"port={port}: expected 0 to {LAST_PORT}; 0 takes a free one")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"host={host} port={port}: cannot listen there ({reason}); choose another port, or "
            "port=0 for a free one"
        ) from error


def server_address(listener: socket.socket) -> str:
    """URL of the page."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def configure_gradio(uploads: Path) -> None:
    """Configure Gradio's temporary folder; call this before importing Gradio."""
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
