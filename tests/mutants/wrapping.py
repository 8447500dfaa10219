"""A broken server: the running application with a fault put around it, from outside.

`Wrapped` is the ASGI application that a mutant's server runs. It reads each call of the mutated operation whole, lets
the mutant change the call or answer it, passes it to the emulator, and lets the mutant change the reply. Nothing of the
product is edited or patched.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from emulator.app import App

SESSION = "x-emulator-session"


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it came in. Names of headers are in small letters."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str, value: str) -> Call:
        """The call with another header."""
        return replace(self, headers={**self.headers, name: value})

    def without(self, *names: str) -> Call:
        """The call without these parameters of its query."""
        return replace(self, query=tuple(pair for pair in self.query if pair[0] not in names))

    def asking(self, name: str, value: str) -> Call:
        """The call with one parameter of its query set."""
        return replace(self.without(name), query=(*self.without(name).query, (name, value)))

    def members(self, change: Callable[[dict[str, Any]], None]) -> Call:
        """The call with its JSON object changed; unchanged where it has none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return self
        if not isinstance(value, dict):
            return self
        change(value)
        return replace(self, body=json.dumps(value).encode())


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply as it goes out."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def media_type(self) -> str:
        """Its media type without parameters."""
        return next((value for name, value in self.headers if name == "content-type"), "").partition(";")[0].strip()

    @property
    def succeeded(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300

    def header(self, name: str, value: str) -> Answer:
        """The reply with another header."""
        return replace(self, headers=(*(pair for pair in self.headers if pair[0] != name), (name, value)))

    def json(self) -> Any:
        """Its body as JSON, None where it is none."""
        try:
            return json.loads(self.body) if self.media_type == "application/json" else None
        except ValueError:
            return None

    def of(self, value: Any) -> Answer:
        """The reply with another JSON body."""
        return replace(self, body=json.dumps(value, ensure_ascii=False).encode())


Before = Callable[[Call], "Call | Answer"]
After = Callable[[Call, Answer], Answer]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault in one operation. `spec` are schemathesis' own checks that may find it, `checks` those of
    `emulator.contract.checks`; a kill by any other check, or in another operation, does not count."""

    backend: str
    operation: str
    kind: str
    spec: frozenset[str]
    checks: frozenset[str] = frozenset()
    before: Before = field(default=lambda call: call)
    after: After = field(default=lambda call, answer: answer)
    any_method: bool = False
    detail: str = ""

    @property
    def name(self) -> str:
        """`dify/sendChatMessage/end missing`."""
        return f"{self.backend}/{self.operation}/{self.kind}" + (f" {self.detail}" if self.detail else "")


class Wrapped:
    """The application, and the mutant in front of it. Both can be changed between calls."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.settings = app.settings
        self.mutant: Mutant | None = None
        self.session = ""

    def stop_streams(self) -> None:
        """End every stream under way."""
        self.app.stop_streams()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        call = await _read(scope, receive)
        if self.session:
            call = call.header(SESSION, self.session)
        mutant = self.mutant
        if mutant is None or not self._aimed(mutant, call):
            answer = await _pass_on(self.app, scope, call)
        else:
            changed = mutant.before(call)
            answer = changed if isinstance(changed, Answer) else await _pass_on(self.app, scope, changed)
            answer = mutant.after(call, answer)
        headers = [(name, value) for name, value in answer.headers if name not in ("content-length", "connection")]
        if answer.status != 204:
            headers.append(("content-length", str(len(answer.body))))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body if answer.status != 204 else b""})

    def _aimed(self, mutant: Mutant, call: Call) -> bool:
        service = self.app.services[mutant.backend]
        if not call.path.startswith(f"/{mutant.backend}/"):
            return False
        below = call.path[len(mutant.backend) + 1 :]
        operation = service.document.operations[mutant.operation]
        if mutant.any_method:
            known = service.find(operation.method, below)
            taken = {one.method for one in service.document.operations.values() if one.path == operation.path}
            if call.method in {*taken, "OPTIONS", "HEAD"}:
                return False
        else:
            known = service.find(call.method, below)
        return known is not None and known.target is not None and known.target.operation is operation


async def _read(scope: Any, receive: Any) -> Call:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return Call(scope["method"], scope["raw_path"].decode("latin-1"), tuple(query), headers, body)


async def _pass_on(app: Any, scope: Any, call: Call) -> Answer:
    """What the application answers, read whole."""
    headers = {**call.headers}
    if "content-length" in headers:
        headers["content-length"] = str(len(call.body))
    inner = {
        **scope,
        "method": call.method,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "raw_path": call.path.encode("latin-1"),
        "extensions": {},
    }
    original = tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    if call.query != original:
        inner["query_string"] = urlencode(call.query).encode()
    sent = False
    status, body = 500, b""
    reply_headers: tuple[tuple[str, str], ...] = ()

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            # The client stays to the end.
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": call.body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, reply_headers, body
        if message["type"] == "http.response.start":
            status = message["status"]
            reply_headers = tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message["headers"]
            )
        elif message["type"] == "http.response.body":
            body += message.get("body", b"")

    await app(inner, receive, send)
    return Answer(status, reply_headers, body)
