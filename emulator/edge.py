"""ASGI ⇄ Call, Reply, Stream. Beside `app` the only file that knows HTTP libraries.

Reads a request within bounds, asks the pipeline, and sends what comes back: whole replies at their time, streams frame
by frame, resets where a fault says so. Each stream watches for its client to leave and is ended when a client does not
read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from emulator.call import Call, Event, Headers, Reply, Stream
from emulator.pipeline import Answer, answer, note_breaches
from emulator.service import Service
from emulator.settings import Settings
from emulator.streams.wheel import Wheel
from emulator.world.session import DEFAULT, Sessions

log = logging.getLogger("emulator.edge")

SESSION_PREFIX = "/_s/"
SESSION_HEADER = "x-emulator-session"
OWN_REQUEST_HEADERS = ("X-Emulator-Session", "X-Emulator-Scenario", "Prefer")
OWN_REPLY_HEADERS = ("X-Emulator-Operation", "X-Emulator-Scenario", "X-Emulator-Violation")
AUTHORITY = re.compile(r"[A-Za-z0-9._~\[\]:-]{1,255}")
FLUSH_SECONDS = 0.05
"""How long a client gets to read what was sent: before a reset, which may discard it, and before an event that comes
apart, since nothing on the way keeps chunks apart and a reader that finds two gets them as one."""
TRANSPORT = "emulator.transport"
"""ASGI extension: the connection's asyncio transport, put there by our uvicorn protocol."""


class TooLarge(Exception):
    """A request body is beyond the limit."""


class Gone(Exception):
    """The client left before it had sent its request."""


class Prefixed:
    """Takes `/_s/NAME` off a path and remembers the name, so that every address has a form with a session in it."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            raw = _raw_path(scope)
            if raw.startswith(SESSION_PREFIX):
                name, slash, rest = raw[len(SESSION_PREFIX) :].partition("/")
                path = slash + rest or "/"
                scope = {**scope, "path": path, "raw_path": path.encode("latin-1"), "emulator.session": name}
        await self._app(scope, receive, send)


def _raw_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    return raw.partition(b"?")[0].decode("latin-1")


class BackendRoute(BaseRoute):
    """One backend at one mount ("/dify", or "" for the documented place). Leads by the raw path."""

    def __init__(self, mount: str, service: Service, sessions: Sessions, settings: Settings) -> None:
        self.mount = mount
        self._service = service
        self._sessions = sessions
        self._settings = settings
        self._any_origin = "*" in settings.origins

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette's question."""
        if scope["type"] != "http":
            return Match.NONE, {}
        raw = _raw_path(scope)
        if not self.mount:
            return Match.FULL, {}
        hit = raw.startswith(self.mount) and raw[len(self.mount) : len(self.mount) + 1] in ("/", "")
        return (Match.FULL if hit else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starlette's call."""
        try:
            await self._handle(scope, receive, send)
        except asyncio.CancelledError:
            if TRANSPORT not in scope.get("extensions", {}):
                raise
            # The server ends: whoever still waits is let go, and that is no error.
            await abort(scope)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        too_large = False
        try:
            body = await read_body(receive, headers, self._settings)
        except TooLarge:
            body, too_large = b"", True
        except Gone:
            return
        except TimeoutError:
            await let_go(send)
            return
        name = scope.get("emulator.session", headers.get(SESSION_HEADER, DEFAULT))
        prefix = f"{SESSION_PREFIX}{name}" if "emulator.session" in scope else ""
        call = Call(
            method=scope["method"],
            path=_raw_path(scope)[len(self.mount) :] or "/",
            query=scope["query_string"],
            headers=headers,
            body=body,
            session=name,
            origin=_origin(scope, headers),
            mount=prefix + self.mount,
        )
        answered = answer(self._service, self._sessions, self._settings, call, too_large)
        reply_headers = self._headers(call, answered, too_large)
        if isinstance(answered.reply, Reply):
            await send_reply(answered, answered.reply, reply_headers, scope, receive, send)
        else:
            await Sending(answered, answered.reply, reply_headers, self._settings, scope, receive, send).run()

    def _headers(self, call: Call, answered: Answer, too_large: bool) -> Headers:
        """The reply's headers and what browsers need."""
        reply = answered.reply
        cors = self._service.backend.cors
        headers = list(reply.headers)
        if too_large:
            headers.append(("Connection", "close"))
        if reply.status == 405 and not cors.on_405:
            return tuple(headers)
        origin = call.headers.get("origin")
        allowed = self._any_origin or origin in self._settings.origins
        if not allowed:
            return tuple(headers)
        headers.append(("Access-Control-Allow-Origin", origin or "*"))
        if origin:
            headers.append(("Vary", "Origin"))
        headers.append(("Access-Control-Expose-Headers", ", ".join((*cors.exposed, *OWN_REPLY_HEADERS))))
        if call.method == "OPTIONS" and "access-control-request-method" in call.headers:
            headers.append(("Access-Control-Allow-Methods", cors.methods))
            known = {name.lower(): name for name in (*cors.headers, *OWN_REQUEST_HEADERS)}
            asked = [one.strip() for one in call.headers.get("access-control-request-headers", "").split(",")]
            echoed = [one for one in asked if one.lower() in known]
            if echoed:
                headers.append(("Access-Control-Allow-Headers", ", ".join(echoed)))
        return tuple(headers)


def _origin(scope: Scope, headers: MutableMapping[str, str]) -> str:
    host = headers.get("host", "")
    if not AUTHORITY.fullmatch(host):
        server = scope.get("server") or ("127.0.0.1", None)
        host = f"{server[0]}:{server[1]}" if server[1] else str(server[0])
    return f"{scope.get('scheme', 'http')}://{host}"


async def read_body(receive: Receive, headers: MutableMapping[str, str], settings: Settings) -> bytes:
    """The whole body. Raises TooLarge beyond the limit (by Content-Length already), Gone when the client leaves,
    TimeoutError when it stalls."""
    multipart = headers.get("content-type", "").lower().startswith("multipart/")
    most = settings.limits.body_bytes if multipart else settings.limits.text_body_bytes
    length = headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) > most:
        raise TooLarge
    if length == "0" and "transfer-encoding" not in headers:
        # Nothing will come that would need a bound in time.
        message = await receive()
    else:
        message = await asyncio.wait_for(receive(), settings.limits.send_seconds)
    if message["type"] == "http.disconnect":
        raise Gone
    if not message.get("more_body"):
        whole: bytes = message.get("body", b"")
        if len(whole) > most:
            raise TooLarge
        return whole
    pieces, size = [message.get("body", b"")], len(message.get("body", b""))
    while message.get("more_body"):
        message = await asyncio.wait_for(_or_gone(receive), settings.limits.send_seconds)
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > most:
            raise TooLarge
    return b"".join(pieces)


async def _or_gone(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message


async def let_go(send: Send) -> None:
    """Answer a client that stalls in the middle of its request, and close."""
    headers = _raw((("Connection", "close"), ("Content-Length", "0")))
    await send({"type": "http.response.start", "status": 408, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _raw(headers: Headers) -> list[tuple[bytes, bytes]]:
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
    await send({"type": "http.response.start", "status": reply.status, "headers": _raw(headers)})
    if reply.cut is not None:
        await send({"type": "http.response.body", "body": reply.body[: reply.cut], "more_body": True})
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
                {"type": "http.response.start", "status": self._stream.status, "headers": _raw(self._headers)}
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
            elif whole:
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
