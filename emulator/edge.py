"""ASGI → Call. Reads a request within bounds, asks the pipeline, and hands over to `sending` what comes back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping

from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from emulator.call import Call, Headers, Reply
from emulator.connection import TRANSPORT, abort
from emulator.pipeline import Answer, answer
from emulator.sending import Sending, raw_headers, send_reply
from emulator.service import Service
from emulator.settings import Settings
from emulator.world.session import DEFAULT, Sessions

SESSION_PREFIX = "/_s/"
SESSION_HEADER = "x-emulator-session"
OWN_REQUEST_HEADERS = ("X-Emulator-Session", "X-Emulator-Scenario", "Prefer")
OWN_REPLY_HEADERS = ("X-Emulator-Operation", "X-Emulator-Scenario", "X-Emulator-Violation")
AUTHORITY = re.compile(r"[A-Za-z0-9._~\[\]:-]{1,255}")


class TooLarge(Exception):
    """A request body is beyond the limit."""


class Gone(Exception):
    """The client left before it had sent its request."""


class Prefixed:
    """Takes off a path where another application has mounted this one, then `/_s/NAME`, and remembers both, so that
    every address has a form with a session in it."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            raw = raw_path(scope)
            root = scope.get("root_path", "").rstrip("/")
            if root and raw.startswith(f"{root}/"):
                raw = raw[len(root) :]
                known = {"path": raw, "raw_path": raw.encode("latin-1"), "root_path": "", "emulator.root": root}
                scope = {**scope, **known}
            if raw.startswith(SESSION_PREFIX):
                name, slash, rest = raw[len(SESSION_PREFIX) :].partition("/")
                path = slash + rest or "/"
                scope = {**scope, "path": path, "raw_path": path.encode("latin-1"), "emulator.session": name}
        await self._app(scope, receive, send)


def raw_path(scope: Scope) -> str:
    """The path as it came, still percent-encoded, without the query."""
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
        raw = raw_path(scope)
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
        prefix = scope.get("emulator.root", "")
        prefix += f"{SESSION_PREFIX}{name}" if "emulator.session" in scope else ""
        call = Call(
            method=scope["method"],
            path=raw_path(scope)[len(self.mount) :] or "/",
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
            await send_reply(answered, answered.reply, reply_headers, self._settings, scope, receive, send)
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


async def read_body(
    receive: Receive, headers: MutableMapping[str, str], settings: Settings, most: int | None = None
) -> bytes:
    """The whole body. Raises TooLarge beyond the limit (by Content-Length already; `most` None goes by its kind), Gone
    when the client leaves, TimeoutError when it stalls."""
    if most is None:
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
    headers = raw_headers((("Connection", "close"), ("Content-Length", "0")))
    await send({"type": "http.response.start", "status": 408, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
