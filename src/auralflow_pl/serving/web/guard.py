"""What every request passes: host, origin and token, one count, and headers of safety."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auralflow_pl.errors import printable
from auralflow_pl.serving.refusals import Refusal
from auralflow_pl.serving.web.metrics import ServeMetrics

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

OPEN_PATHS = ("/health", "/docs", "/openapi.json")  # that need no token

API_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class RequestGuard:
    """ASGI middleware that refuses requests from elsewhere, and those without the token.

    Args:
        app: the application.
        token: expected as `Authorization: Bearer <token>`; None: nobody needs one.
        hosts: accepted names in the header `Host`, without a port; None: any. It protects a server
            that only this machine can reach from web pages whose name suddenly leads here.
        metrics: counts the responses.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        hosts: Collection[str] | None,
        metrics: ServeMetrics,
    ) -> None:
        self.app, self.metrics = app, metrics
        self.token = None if token is None else token.encode()
        self.hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Content-Security-Policy"] = API_POLICY
                headers.setdefault("Cache-Control", "no-store")
                self.metrics.count_response(scope, message["status"])
            await send(message)

        try:
            self.check(Headers(scope=scope), scope["path"])
        except Refusal as refusal:
            await refusal_response(refusal)(scope, receive, send_safely)
        else:
            await self.app(scope, receive, send_safely)

    def check(self, headers: Headers, path: str) -> None:
        """Raise Refusal for a request that the application must not see."""
        host = host_name(f"//{headers.get('host', '')}")
        if self.hosts is not None and host not in self.hosts:
            raise Refusal(
                421,
                f"Host: {printable(host)[:80] or 'none'}; expected one of "
                f"{', '.join(sorted(self.hosts))} (hosts adds others)",
            )
        origin = headers.get("origin")
        if origin is not None and host_name(origin) != host:
            raise Refusal(403, "a page of another site asks; its requests are not served")
        if self.token is None or path in OPEN_PATHS:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode("latin-1", "replace"), self.token
        ):
            raise Refusal(401, "no token, or a wrong one: expected Authorization: Bearer <token>")


def host_name(address: str) -> str:
    """Host of an address in small letters, without port; empty if there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def refusal_response(refusal: Refusal) -> JSONResponse:
    """Response for a refusal: JSON with one line `detail`."""
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"detail": refusal.detail}, refusal.status, headers)
