"""uvicorn as this project runs it: quick, quiet, and with the connection within reach of faults."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from emulator.connection import TRANSPORT

KEEP_ALIVE_SECONDS = 75
WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
MOST_HEAD = 65_536
"""Bytes that the head of a request may have."""
UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)


class Protocol(HttpToolsProtocol):
    """Puts the connection's transport into each request's scope, so that a fault can reset it.

    Bounds the head of a request. Takes `Upgrade` out of it: the parser would give up at the end of such a head, and
    take the body for another request (clients that offer h2c send it with any call).
    """

    _earlier: RequestResponseCycle | None = None
    _within = False
    _pending = b""
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Bytes have come. A head that begins with them is held until it is whole."""
        if not self._within:
            data = self._pending + data
            head, end, rest = data.partition(b"\r\n\r\n")
            if len(head) > MOST_HEAD:
                self._refuse_head()
                return
            if not end and data[:1].isalpha() and b"\n\n" not in data:
                self._pending = data
                return
            self._pending = b""
            data = UPGRADE.sub(b"\r\nX-Unused-Upgrade:", head) + end + rest
        super().data_received(data)

    def _refuse_head(self) -> None:
        self._unset_keepalive_if_required()
        self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        # An upgrade behind a pipelined call: what follows can't be told from its body.
        self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MOST_HEAD:
            self._refuse_head()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head of a request is whole."""
        # None before the first call, whatever its type says.
        under_way: RequestResponseCycle | None = self.cycle
        if self._earlier is None and under_way and not under_way.response_complete:
            self._earlier = under_way
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer has had its end; a call that came behind it is next."""
        self._earlier = self.pipeline[-1][0] if len(self.pipeline) > 1 else None
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone. uvicorn tells the last of several calls; the one being answered has to hear of it,
        or an answer that was cut would be taken for one that is missing."""
        if self._earlier is not None and not self._earlier.response_complete:
            self._earlier.disconnected = True
            self._earlier.message_event.set()
        super().connection_lost(exc)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._within = False
        super().on_message_complete()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._within, self._head_bytes = True, 0
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
    try:
        host.encode("idna")
    except UnicodeError:
        raise OSError(errno.EINVAL, "no host can have this name") from None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
        sock.setblocking(False)
    except BaseException:
        # Also for what is no OSError, as a port beyond all.
        sock.close()
        raise
    return sock


def cannot_listen(host: str, port: int, error: OSError) -> str:
    """What to say when `listen` raised."""
    return f"cannot listen on {host}:{port}: {error.strerror or error}"


def address_of(sock: socket.socket) -> str:
    """`http://HOST:PORT` of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def reachable(url: str) -> str:
    """The address at which clients of this machine reach a server that listens on all of its addresses; any other as it
    is."""
    for wildcard, address in WILDCARDS.items():
        url = url.replace(f"//{wildcard}:", f"//{address}:")
    return url


def raise_file_limit() -> None:
    """Let the process open as many connections as the system allows."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ImportError, OSError, ValueError):  # not there on every system
        return
