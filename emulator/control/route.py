"""ASGI ⇄ the control API: guards before anything is read, reads within bounds, sends replies and feeds."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from emulator.call import Call, Reply
from emulator.connection import TRANSPORT, abort
from emulator.contract.document import Operation
from emulator.control.api import Control, refusal
from emulator.control.behaviours import BASE
from emulator.control.feed import Feed
from emulator.control.guard import check
from emulator.edge import Gone, TooLarge, raw_path, read_body
from emulator.errors import Misused
from emulator.sending import raw_headers
from emulator.streams.sse import encode

FEED_HEADERS = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"))


class ControlRoute(BaseRoute):
    """Everything below `/_emulator`, led by the raw path. `token` is None when the server is bound to loopback."""

    def __init__(self, control: Control, token: str | None) -> None:
        self._control = control
        self._token = token

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette's question."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path = raw_path(scope)
        return (Match.FULL if path == BASE or path.startswith(BASE + "/") else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starlette's call."""
        try:
            answered = await self._answer(scope, receive)
        except Gone:
            return
        except Misused as error:
            answered = refusal(error)
        if isinstance(answered, Feed):
            await self._send_feed(answered, scope, receive, send)
        else:
            await _send_reply(answered, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Reply | Feed:
        """Raises Misused and Gone."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        check(headers, scope["scheme"], self._token)
        operation, values = self._control.find(scope["method"], raw_path(scope))
        single = {name: given[-1] for name, given in headers.items()}
        body = b"" if operation is None else await self._read(operation, single, receive)
        call = Call(scope["method"], raw_path(scope), scope["query_string"], single, body)
        return await self._control.answer(operation, values, call)

    async def _read(self, operation: Operation, headers: dict[str, str], receive: Receive) -> bytes:
        if operation.request_body is None:
            # What comes all the same means nothing; the server reads past it.
            return b""
        most = self._control.most_body(operation)
        try:
            return await read_body(receive, headers, self._control.server.settings, most)
        except TooLarge as error:
            raise Misused("Too large", f"A body here has at most {most} bytes.", (), 413) from error
        except TimeoutError as error:
            raise Misused("Too slow", "The body did not come in time.", (), 408) from error

    async def _send_feed(self, feed: Feed, scope: Scope, receive: Receive, send: Send) -> None:
        server = self._control.server
        server.feeds.append(feed)
        watcher = asyncio.ensure_future(_watch(feed, receive))
        patience = server.settings.limits.send_seconds

        async def put(message: Message) -> None:
            async with asyncio.timeout(patience):
                await send(message)

        try:
            await put({"type": "http.response.start", "status": 200, "headers": raw_headers(FEED_HEADERS)})
            async with contextlib.aclosing(feed.events()) as events:
                async for event in events:
                    await put({"type": "http.response.body", "body": encode(event), "more_body": True})
            await put({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError):
            await abort(scope)
        except asyncio.CancelledError:
            if TRANSPORT not in scope.get("extensions", {}):
                raise
            # The server ends: whoever still waits is let go, and that is no error.
            await abort(scope)
        finally:
            watcher.cancel()
            feed.close()
            server.feeds.remove(feed)


async def _watch(feed: Feed, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    feed.leave()


async def _send_reply(reply: Reply, send: Send) -> None:
    headers = reply.headers
    if reply.status != 204:
        headers = (*headers, ("Content-Length", str(len(reply.body))))
    if reply.status in (408, 413):
        headers = (*headers, ("Connection", "close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": raw_headers(headers)})
    await send({"type": "http.response.body", "body": reply.body})
