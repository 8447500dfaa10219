"""Calls over a bare socket, and what a client sees of the answer: chunks as they were sent, and how it ended."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, urlencode

from example_calls import BEARERS, bodies_of, example_of

from emulator.app import open_services
from emulator.call import Call, Reply, Stream
from emulator.contract.document import Operation
from emulator.pipeline import answer
from emulator.service import Service
from emulator.settings import Settings
from emulator.testing.server import ThreadedServer
from emulator.world.session import Sessions

LONG = 20.0
"""Seconds that nothing may take, and by far."""
QUIET = 0.15
"""Seconds without a byte that are a stall."""


@dataclass(frozen=True)
class Asked:
    """One call as it goes over the wire."""

    backend: str
    operation: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def request(self, session: str, version: str = "1.1", method: str | None = None) -> bytes:
        lines = [f"{method or self.method} {self.path} HTTP/{version}", "Host: emulator.test"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"X-Emulator-Session: {session}", f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


def asked_for(service: Service, operation: Operation, body: Any) -> Asked:
    """The call that the operation's examples describe."""
    path, query = operation.path, {}
    for parameter in operation.parameters:
        value = example_of(service.document, parameter)
        if value is not None and parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", quote(str(value), safe=""))
        elif (
            value is not None
            and parameter["in"] == "query"
            and (parameter.get("required") or "user" in parameter["name"])
        ):
            query[parameter["name"]] = str(value)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if service.name in BEARERS:
        headers["Authorization"] = f"Bearer {BEARERS[service.name]}"
    target = f"/{service.name}{service.bases()[0]}{path}" + (f"?{urlencode(query)}" if query else "")
    return Asked(service.name, operation.id, operation.method.upper(), target, headers, _bytes(body))


def _bytes(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body).encode()


def answers() -> Iterator[tuple[Asked, Reply | Stream]]:
    """What each operation gives for each of its examples."""
    settings = Settings(speed=0)
    for service in open_services(settings).values():
        for operation in service.document.operations.values():
            if operation.id not in service.backend.chat_text and operation.method.upper() != "GET":
                continue
            for arguments in bodies_of(service.document, operation):
                asked = asked_for(service, operation, arguments.get("json"))
                path, _, query = asked.path.removeprefix(f"/{service.name}").partition("?")
                headers = {name.lower(): value for name, value in asked.headers.items()}
                call = Call(asked.method, path, query.encode(), headers, asked.body)
                yield asked, answer(service, Sessions(settings), settings, call).reply


def found() -> tuple[dict[str, Asked], dict[str, Asked]]:
    """Every streaming operation, and one JSON operation of each backend."""
    streams: dict[str, Asked] = {}
    replies: dict[str, Asked] = {}
    for asked, reply in answers():
        if isinstance(reply, Stream):
            streams.setdefault(f"{asked.backend}-{asked.operation}", asked)
        elif reply.status == 200 and reply.body[:1] in b"{[" and len(reply.body) > 50 and asked.method == "GET":
            replies.setdefault(asked.backend, asked)
    return streams, replies


STREAMS, REPLIES = found()


@dataclass
class Seen:
    """What a client got. `ended` is proper, short (the connection ended too soon), reset or silent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    ended: str = "proper"
    behind: bytes = b""

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


class Wire:
    """One connection that reads with nobody's help."""

    def __init__(self, server: ThreadedServer) -> None:
        self.sock = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=LONG)
        self.held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def _more(self) -> None:
        piece = self.sock.recv(65_536)
        if not piece:
            raise EOFError
        self.held += piece

    def _line(self) -> bytes:
        while b"\r\n" not in self.held:
            self._more()
        line, _, self.held = self.held.partition(b"\r\n")
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self.held) < size:
            self._more()
        data, self.held = self.held[:size], self.held[size:]
        return data

    def ask(self, asked: Asked, session: str, quiet_after: int | None = None, **how: Any) -> Seen:
        """Call and read the answer; after so many chunks (or any of a body that is not chunked) only for a while."""
        self.sock.sendall(asked.request(session, **how))
        seen = Seen()
        try:
            self._read(seen, quiet_after, how.get("method") == "HEAD")
        except EOFError:
            seen.ended = "short"
        except ConnectionResetError:
            seen.ended = "reset"
        except TimeoutError:
            seen.ended = "silent"
        return seen

    def _read(self, seen: Seen, quiet_after: int | None, bodiless: bool) -> None:
        seen.status = int(self._line().split()[1])
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(": ")
            seen.headers[name] = value
        if bodiless:
            return
        if "content-length" in seen.headers:
            size = int(seen.headers["content-length"])
            try:
                while len(self.held) < size:
                    if quiet_after is not None and self.held:
                        self.sock.settimeout(QUIET)
                    self._more()
            finally:
                seen.chunks = [self.held[:size]]
                self.held = self.held[size:]
            return
        while True:
            if quiet_after == len(seen.chunks):
                self.sock.settimeout(QUIET)
            size = int(self._line(), 16)
            data = self._exactly(size + 2)
            assert data.endswith(b"\r\n")
            if not size:
                return
            seen.chunks.append(data[:-2])

    def rest(self) -> bytes:
        """All that still comes before the connection ends."""
        try:
            while True:
                self._more()
        except EOFError:
            return self.held
