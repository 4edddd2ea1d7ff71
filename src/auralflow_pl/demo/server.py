"""The web server of the demo."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import gradio as gr
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
from auralflow_pl.serving.web.server import EndingServer


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


def serve_demo(studio: DemoService, queue: int, listener: socket.socket) -> None:
    """Serve the page until SIGINT or SIGTERM; then stop jobs and the event streams of pages."""
    app = build_app(studio, queue)
    page_ends: asyncio.Event = app.routes[-1].app.stop_event

    def ending() -> None:
        studio.close()
        page_ends.set()

    EndingServer(app, ending).run(sockets=[listener])
