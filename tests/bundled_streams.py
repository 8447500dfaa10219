"""The bytes of every bundled stream: each operation that streams, in each scenario that its backend has, from the app
itself. A new scenario file is among them without being named."""

from __future__ import annotations

import re
from collections.abc import Iterator
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


def take(server: ThreadedServer, service: Service, operation: Operation) -> list[Taken]:
    """The streams of one operation, one for each scenario that streams at all."""
    label = f"{service.name} {operation.id}"
    example = next(
        one for one in example_requests(service, operation) if _called(server, one, label, "default") is not None
    )
    came = {name: _called(server, example, label, name) for name in service.scenarios.names()}
    streams = {name: Taken(f"{label} {name}", *one) for name, one in came.items() if one}
    assert set(streams) >= ANYWHERE
    return list(streams.values())


def _called(server: ThreadedServer, example: dict[str, Any], label: str, scenario: str) -> tuple[bytes, bool] | None:
    """Bytes of the first stream that the scenario gives, and whether it ended properly; None when it gives none."""
    session = f"{label.replace(' ', '-')[:24]}-{scenario}"[:64]
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
        except httpx.TransportError:
            whole = False
        if body:
            return body, whole
    return None
