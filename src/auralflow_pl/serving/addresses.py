"""The address that a server listens at."""

from __future__ import annotations

import ipaddress
import socket

from auralflow_pl.errors import InputError

LAST_PORT = 2**16 - 1


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
    """URL of a server."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_local(listener: socket.socket) -> bool:
    """Whether only programs on this machine can connect."""
    host = listener.getsockname()[0].partition("%")[0]
    return ipaddress.ip_address(host).is_loopback
