"""Serve an application on a port of this machine. Edge."""

import logging
import socket
from typing import Any

from pegel.errors import OutsideError
from pegel.jobs.wiring.stopping import stop_event

_log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 10
"""How long requests that are being answered hold up the end."""


def listen(host: str, port: int, name: str) -> socket.socket:
    """Take the port before anything else is started, so that a taken one is known at once.

    Args:
        host: the address to listen on.
        port: the port; 0 lets the system choose one.
        name: the section of the settings that holds ``host`` and ``port``, for the message.

    Raises:
        OutsideError: if the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # asyncio does it only for sockets that name their protocol. Without it the body of an answer waits for the client
    # to acknowledge the head, which takes 40 ms on a connection that is kept.
    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        msg = (
            f"{host}:{port} cannot be listened on ({error.strerror or error}); stop what listens there, "
            f"or choose another port with --set {name}.port=N"
        )
        raise OutsideError(msg) from error
    return taken


def serve(app: Any, taken: socket.socket, name: str) -> None:
    """Serve an ASGI application on a socket that was taken by :func:`listen`, until SIGINT or SIGTERM; then return."""
    import uvicorn

    # uvicorn ends by raising the signal again for whoever handled it before; by default that would end the process
    # here, before the caller has put away what it holds.
    stop_event()
    host, port = taken.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info("%s: http://%s:%d", name, shown, port)
    config = uvicorn.Config(
        app,
        log_config=None,  # its lines go where the job's own lines go
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[taken])
