"""What the callers of all backends share: a client in one session, the spec held against what it got, whole streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from emulator.testing.server import ThreadedServer

R = TypeVar("R", bound="Received")


class SessionCaller:
    """A caller. As a context manager it makes sure that nothing went out against the spec, unless `watch` is off."""

    def __init__(self, server: ThreadedServer, session: str, http: httpx.Client, watch: bool = True) -> None:
        self.server = server
        self.session = session
        self.http = http
        self.watch = watch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.close()
        if kind is None and self.watch:
            assert self.breaches() == []

    def breaches(self) -> list[Any]:
        """What the server sent against its own spec in this session."""
        journal = self.server.app.sessions.get(self.session).journal
        return [(entry.operation, str(breach)) for entry in journal.entries for breach in entry.breaches]

    def observe(self) -> None:
        """Go by the running system from now on. Its replies may break the spec."""
        self.watch = False
        self.server.app.sessions.get(self.session).profile = "observed"


def session_client(url: str, session: str, token: str | None = None) -> httpx.Client:
    """A client of one session."""
    headers = {"X-Emulator-Session": session}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    # Nothing is encrypted here, and reading the machine's certificates takes longer than most of these tests.
    return httpx.Client(base_url=url, headers=headers, timeout=30, verify=False)


@dataclass
class Received:
    """What came of a streamed call, as far as it came."""

    status: int
    headers: httpx.Headers
    body: bytes = b""
    whole: bool = True
    frames: list[bytes] = field(default_factory=list)


def receive(kind: type[R], call: AbstractContextManager[httpx.Response]) -> R:
    """A call's reply, read to its end or to where it breaks off."""
    with call as reply:
        received = kind(reply.status_code, reply.headers)
        try:
            for piece in reply.iter_raw():
                received.body += piece
        except httpx.TransportError:
            received.whole = False
    if received.headers["content-type"].startswith("text/event-stream"):
        received.frames = frames_of(received.body)
    return received


def frames_of(body: bytes) -> list[bytes]:
    """The frames of a stream; each ends in one blank line."""
    frames = body.split(b"\n\n")
    assert frames.pop() == b"", "the last frame ends like the others"
    return frames


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for something that another connection brings about."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
