"""The bytes of every bundled stream: each operation that streams, in each scenario that its backend has, from the app
itself. A new scenario file is among them without being named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
from example_calls import SERVICES, example_requests

from emulator.contract.document import Operation
from emulator.service import Service
from emulator.testing.server import ThreadedServer

EVENT_STREAM = "text/event-stream"
ANYWHERE = {"default", "disconnect-mid-stream", "error-mid-stream", "long-answer", "ping-between-deltas"}
"""Scenarios that every backend has."""
PATIENCE = httpx.Timeout(30, read=2)
"""A scenario may stall for ever; what came before is its stream."""
MOST_CALLS = 4
"""A scenario may refuse first and answer later."""
LINE_END = re.compile(rb"\r\n|\r|\n")
FRAME_END = re.compile(rb"(?:(?>\r\n|\r|\n)){2,}")


@dataclass(frozen=True)
class Taken:
    """One stream as far as it came. `whole` tells whether it came to its proper end."""

    name: str
    body: bytes
    whole: bool

    def with_line_ends(self, end: bytes) -> Taken:
        """The same with other line ends and nothing else changed."""
        return Taken(self.name, LINE_END.sub(end, self.body), self.whole)

    def beginning(self, most: int) -> Taken:
        """The whole frames that come before so many bytes; itself where it is not longer."""
        if len(self.body) <= most:
            return self
        kept = b""
        for frame in self.frames:
            if len(kept) + len(frame) > most:
                break
            kept += frame
        return Taken(self.name, kept, whole=False)

    @property
    def frames(self) -> list[bytes]:
        """Its frames, each with the blank line that ends it; the last may be cut."""
        ends = [found.end() for found in FRAME_END.finditer(self.body)]
        if not ends or ends[-1] != len(self.body):
            ends.append(len(self.body))
        return [self.body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def streaming_operations() -> Iterator[tuple[Service, Operation]]:
    """Operations that may answer with events."""
    for service in SERVICES.values():
        for operation in service.document.operations.values():
            if EVENT_STREAM in (operation.responses.get("200") or {}).get("content", {}):
                yield service, operation


def label(service: Service, operation: Operation) -> str:
    """What an operation's streams are called."""
    return f"{service.name} {operation.id}"


def take_all(server: ThreadedServer) -> dict[str, list[Taken]]:
    """The streams of each operation, one for each scenario that streams at all."""
    # At once, because some have to be waited for.
    with ThreadPoolExecutor(16) as pool:
        begun = [
            (label(*one), name, pool.submit(_called, server, label(*one), example, name))
            for one in streaming_operations()
            for example in [_streaming_example(server, *one)]
            for name in one[0].scenarios.names()
        ]
    taken: dict[str, list[Taken]] = {}
    for operation, name, future in begun:
        came = future.result()
        assert came is not None or name not in ANYWHERE, f"{operation} {name}"
        if came is not None:
            taken.setdefault(operation, []).append(Taken(f"{operation} {name}", *came))
    return taken


def _streaming_example(server: ThreadedServer, service: Service, operation: Operation) -> dict[str, Any]:
    """The operation's first example that asks for a stream."""
    examples = example_requests(service, operation)
    return next(one for one in examples if _called(server, label(service, operation), one, "default") is not None)


def _called(
    server: ThreadedServer, operation: str, example: dict[str, Any], scenario: str
) -> tuple[bytes, bool] | None:
    """Bytes of the first stream that the scenario gives, and whether it ended properly; None when it gives none."""
    session = f"{operation.replace(' ', '-')[:24]}-{scenario}"[:64]
    headers = {**example["headers"], "X-Emulator-Session": session, "X-Emulator-Scenario": scenario}
    call = {**example, "url": server.url + example["url"], "headers": headers}
    for _ in range(MOST_CALLS):
        body, whole = b"", True
        try:
            with httpx.stream(**call, timeout=PATIENCE, verify=False) as reply:
                if reply.status_code != 200 or not reply.headers.get("content-type", "").startswith(EVENT_STREAM):
                    continue
                for piece in reply.iter_raw():
                    body += piece
        except httpx.TransportError as error:
            whole = False
            if isinstance(error, httpx.ReadTimeout) and not body:
                return None
        if body:
            return body, whole
    return None
