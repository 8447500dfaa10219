"""uvicorn as this project runs it: quick, quiet, and with the connection within reach of faults."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from emulator.edge import TRANSPORT

KEEP_ALIVE_SECONDS = 75


class Protocol(HttpToolsProtocol):
    """Puts the connection's transport into each request's scope, so that a fault can reset it."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]  # an extension of our own


class Server(uvicorn.Server):
    """uvicorn's server, which can tell when it accepts calls."""

    _ready: Callable[[], None] = staticmethod(lambda: None)
    ending: Callable[[], None] = staticmethod(lambda: None)
    loop: asyncio.AbstractEventLoop | None = None

    def run_with(self, ready: Callable[[], None], sockets: list[socket.socket]) -> None:
        """Run until stopped; `ready` is called once calls are accepted."""
        self._ready = ready
        self.run(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """To be stopped by a signal is how a server ends, and no failure: uvicorn would raise the signal again."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's own, and then the word."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """The streams under way end as if they were stopped, then uvicorn's own."""
        self.ending()
        await super().shutdown(sockets)


def make_server(app: Any) -> Server:
    """A server for `app` that logs only what went wrong. Run it with `run(sockets=[…])` or `run_with`."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
        backlog=2048,
    )
    server = Server(config)
    server.ending = getattr(app, "stop_streams", server.ending)
    return server


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def raise_file_limit() -> None:
    """Let the process open as many connections as the system allows."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ImportError, OSError, ValueError):  # not there on every system
        return
