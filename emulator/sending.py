"""Reply, Stream → the wire. Whole replies at their time, streams frame by frame, damaged where a fault says so.

Beside `edge` and `app` the only file that knows HTTP libraries. Each stream watches for its client to leave and is
ended when a client does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from emulator.call import Event, Headers, Reply, Stream
from emulator.fault import Fault
from emulator.pipeline import Answer, note_breaches
from emulator.settings import Settings
from emulator.streams.wheel import Wheel

log = logging.getLogger("emulator.edge")

FLUSH_SECONDS = 0.05
"""How long a client gets to read what was sent: before a reset, which may discard it, and before an event that comes
apart, since nothing on the way keeps chunks apart and a reader that finds two gets them as one."""
TRANSPORT = "emulator.transport"
"""ASGI extension: the connection's asyncio transport, put there by our uvicorn protocol."""


def raw_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]


async def send_reply(
    answered: Answer, reply: Reply, headers: Headers, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send a whole reply at its time."""
    speed = answered.session.speed if answered.session is not None else 1.0
    if reply.after and speed > 0 and await left_within(receive, reply.after / speed):
        return
    if reply.status not in (204, 304):
        headers = (*headers, ("Content-Length", str(len(reply.body))))
    await send({"type": "http.response.start", "status": reply.status, "headers": raw_headers(headers)})
    if any(fault.name == "reset" for fault in answered.faults):
        await send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
        await reset(scope)
        return
    await send({"type": "http.response.body", "body": reply.body})


async def left_within(receive: Receive, seconds: float) -> bool:
    """Wait; True as soon as the client has gone meanwhile."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    watcher = asyncio.ensure_future(gone())
    done, _ = await asyncio.wait({watcher}, timeout=seconds)
    watcher.cancel()
    return bool(done)


async def abort(scope: Scope) -> None:
    """Drop the connection, whatever was sent on it."""
    transport = scope.get("extensions", {}).get(TRANSPORT)
    if transport is not None:
        transport.abort()
        # The server hears of it at the loop's next turn; until then it takes the answer for unfinished.
        await asyncio.sleep(0)


async def reset(scope: Scope) -> None:
    """Break the connection with a TCP reset, after the client could read what was sent."""
    await asyncio.sleep(FLUSH_SECONDS)
    transport = scope.get("extensions", {}).get(TRANSPORT)
    if transport is None:
        raise ConnectionResetError("the answer was cut on purpose")
    sock = transport.get_extra_info("socket")
    # The client may have closed its end meanwhile: then there is no socket to ask.
    with contextlib.suppress(OSError, AttributeError, ValueError):
        # Lingering for no time makes the close a reset.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await asyncio.sleep(0)


_WHEELS: dict[asyncio.AbstractEventLoop, Wheel] = {}


def _wheel() -> Wheel:
    loop = asyncio.get_running_loop()
    wheel = _WHEELS.get(loop)
    if wheel is None:
        for old in [one for one in _WHEELS if one.is_closed()]:
            del _WHEELS[old]
        wheel = _WHEELS[loop] = Wheel(loop)
    return wheel


class Sending:
    """One stream on its way to one client."""

    def __init__(
        self,
        answered: Answer,
        stream: Stream,
        headers: Headers,
        settings: Settings,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._answered = answered
        self._stream = stream
        self._headers = headers
        self._settings = settings
        self._scope = scope
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._left = False
        self._begun = 0.0
        self._sent = 0.0

    async def run(self) -> None:
        """Send everything, or as much as the client takes."""
        performance = self._stream.performance
        watcher = self._loop.create_task(self._watch())
        performance.on_stop(self._wake)
        self._begun = self._loop.time()
        try:
            await self._put(
                {"type": "http.response.start", "status": self._stream.status, "headers": raw_headers(self._headers)}
            )
            whole = await self._play()
            if whole and not self._left:
                await self._put({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.warning("a client did not read its stream for %s s", self._settings.limits.send_seconds)
            await abort(self._scope)
        except OSError:
            self._left = True
        except Exception:
            log.exception("a stream of %s broke", self._answered.entry.operation if self._answered.entry else "nothing")
            await abort(self._scope)
        finally:
            watcher.cancel()
            performance.leave()
            self._note()

    async def _play(self) -> bool:
        """Play to the end; False when the connection was reset on the way."""
        session, entry, inspect = self._answered.session, self._answered.entry, self._answered.inspect
        encode = self._stream.encode
        whole = True
        for item in self._stream.performance.play():
            speed = session.speed if session is not None else 1.0
            if isinstance(item, float):
                if whole and speed > 0:
                    await self._until(self._begun + item / speed)
            elif isinstance(item, Event):
                if not whole:
                    continue
                data = encode(item)
                if item.apart and self._sent:
                    await self._until(self._sent + FLUSH_SECONDS)
                await self._put({"type": "http.response.body", "body": data, "more_body": True})
                self._sent = self._loop.time()
                if entry is not None:
                    entry.add_frame((self._loop.time() - self._begun) * 1000, len(data), _noted(item))
                    if inspect is not None:
                        note_breaches(entry, inspect(item))
                if speed == 0:
                    # Let others in: a stop may come while an unpaced stream is under way.
                    await asyncio.sleep(0)
            elif whole and isinstance(item, Fault):
                whole = False
                await reset(self._scope)
            if self._left and whole:
                # After a reset nobody listens either, but the answer goes on in the store.
                break
        return whole

    async def _until(self, deadline: float) -> None:
        if deadline <= self._loop.time():
            await asyncio.sleep(0)
            return
        self._waiting = _wheel().until(deadline)
        await self._waiting
        self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _put(self, message: Message) -> None:
        async with asyncio.timeout(self._settings.limits.send_seconds):
            await self._send(message)

    async def _watch(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
        self._left = True
        self._wake()

    def _note(self) -> None:
        entry, session = self._answered.entry, self._answered.session
        if entry is not None and session is not None:
            entry.closed = self._stream.performance.closed
            entry.duration_ms = round((self._loop.time() - self._begun) * 1000, 3)
            session.journal.close(entry)


def _noted(event: Event) -> Any:
    if event.raw is not None:
        return event.raw.decode("utf-8", "replace")
    return event.data if event.data is not None else event.event or event.comment
