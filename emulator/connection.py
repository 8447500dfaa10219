"""One client's connection, below HTTP: broken off, reset, or written to past the server's own idea of an answer.

Knows the transport that our server puts into a request's scope, and no HTTP library. In process (a test client that
calls the application directly) there is no transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any

TRANSPORT = "emulator.transport"
"""ASGI extension: the connection's asyncio transport, put there by our uvicorn protocol."""

FLUSH_SECONDS = 0.05
"""How long a client gets to read what was sent: before a reset, which may discard it, and before an event that comes
apart, since nothing on the way keeps chunks apart and a reader that finds two gets them as one."""

MOST_UNSENT = 64 * 1024
"""Bytes that wait for the client to read before more is written."""
LOOK_SECONDS = 0.01

FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})
"""Headers that say how a body is framed."""
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def transport_of(scope: MutableMapping[str, Any]) -> Any:
    """The connection's transport, None in process."""
    return scope.get("extensions", {}).get(TRANSPORT)


async def abort(scope: MutableMapping[str, Any]) -> None:
    """Drop the connection, whatever was sent on it."""
    transport = transport_of(scope)
    if transport is not None:
        transport.abort()
        # The server hears of it at the loop's next turn; until then it takes the answer for unfinished.
        await asyncio.sleep(0)


async def reset(scope: MutableMapping[str, Any], flush: bool = True) -> None:
    """Break the connection with a TCP reset; with `flush` after the client could read what was sent. In process this
    raises ConnectionResetError."""
    transport = transport_of(scope)
    if transport is None:
        raise ConnectionResetError("the answer was cut on purpose")
    if flush:
        await asyncio.sleep(FLUSH_SECONDS)
    sock = transport.get_extra_info("socket")
    # The client may have closed its end meanwhile: then there is no socket to ask.
    with contextlib.suppress(OSError, AttributeError, ValueError):
        # Lingering for no time makes the close a reset.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await asyncio.sleep(0)


class RawAnswer:
    """An HTTP/1.1 answer written by hand, for framings that the server would not write. It ends the connection."""

    def __init__(self, transport: Any, method: str, version: str, status: int) -> None:
        self._transport = transport
        self._status = status
        self._bodiless = method == "HEAD" or status in (204, 304)
        self._chunks = version != "1.0"
        self._chunked = False

    async def head(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        length: int | None,
        before_line: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """The head, line by line where there is something to do before each. Without a length the body is chunked,
        or goes on to the end of the connection for a client that knows no chunks. Raises OSError."""
        self._chunked = length is None and self._chunks and not self._bodiless
        lines = [b"HTTP/1.1 %d %s\r\n" % (self._status, _phrase(self._status))]
        lines += [name + b": " + CONTROL.sub(b"?", value) + b"\r\n" for name, value in headers if name not in FRAMING]
        if length is not None:
            lines.append(b"content-length: %d\r\n" % length)
        elif self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        lines += [b"connection: close\r\n", b"\r\n"]
        if before_line is None:
            lines = [b"".join(lines)]
        for line in lines:
            if before_line is not None:
                await before_line()
            self._write(line)

    async def send(self, data: bytes) -> None:
        """A piece of the body. Returns when the client has read enough of what came before."""
        if self._bodiless or not data:
            return
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        # The protocol, which would be told of it, is the server's.
        while self._transport.get_write_buffer_size() > MOST_UNSENT:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)

    def end(self) -> None:
        """The end of the body, and of the connection once all of it was read."""
        if self._chunked:
            self._write(b"0\r\n\r\n")
        self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the client has left")
        self._transport.write(data)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
