"""The web server: connections that do not hang, and an end that leaves nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

END_SECONDS = 5  # for responses in work once the server ends


class TimedConnection(H11Protocol):
    """An HTTP connection that is closed if its client does nothing.

    uvicorn limits the time between two requests only. Here a client also has `idle_seconds` to
    send its first request, and to take the next piece of a response; and `refused_seconds` to end
    a body that nobody reads any more. Who reads a body limits its time.
    """

    idle_seconds = 30.0
    refused_seconds = 600.0

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.idle: asyncio.TimerHandle | None = None
        self.stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self.idle = self.loop.call_later(self.idle_seconds, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Pass on what arrived; once a request is there, its response is awaited."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            stop_timer(self.idle)

    def on_response_complete(self) -> None:
        """Wait for the rest of the body, and for the next request."""
        stop_timer(self.idle)
        seconds = self.refused_seconds if self.cycle.more_body else self.idle_seconds
        self.idle = self.loop.call_later(seconds, self.transport.abort)
        super().on_response_complete()  # may begin with the next request
        if not self.cycle.response_complete:
            stop_timer(self.idle)

    def pause_writing(self) -> None:
        """The client takes nothing."""
        super().pause_writing()
        self.stuck = self.loop.call_later(self.idle_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client takes something."""
        super().resume_writing()
        stop_timer(self.stuck)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        super().connection_lost(exc)
        stop_timer(self.idle)
        stop_timer(self.stuck)


def stop_timer(timer: asyncio.TimerHandle | None) -> None:
    """Stop a timer, if there is one."""
    if timer is not None:
        timer.cancel()


class EndingServer(uvicorn.Server):
    """A server that calls a function before it waits for the responses in work and ends.

    Args:
        app: the application.
        ending: ends what would keep responses waiting.
        **settings: further arguments of `uvicorn.Config`.
    """

    def __init__(self, app: ASGIApp, ending: Callable[[], None], **settings: Any) -> None:
        limits = {"log_level": "warning", "timeout_graceful_shutdown": END_SECONDS}
        super().__init__(uvicorn.Config(app, **limits, **settings))
        self.ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what waits, then shut down; uvicorn calls it after a signal."""
        self.ending()
        await super().shutdown(sockets)


def timed_server(
    app: ASGIApp, ending: Callable[[], None], idle_seconds: float, refused_seconds: float
) -> EndingServer:
    """A server of `TimedConnection`.

    Args:
        app: the application.
        ending: see `EndingServer`.
        idle_seconds: time after which a client that does nothing is disconnected.
        refused_seconds: time in which a client has to end a body that is refused.
    """
    times = {"idle_seconds": idle_seconds, "refused_seconds": refused_seconds}
    connection = type("ServeConnection", (TimedConnection,), times)
    return EndingServer(
        app,
        ending,
        http=connection,
        ws="none",
        lifespan="off",
        server_header=False,
        proxy_headers=False,
    )
