"""A session's record of its calls: bounded, ordered, never changed by reading.

Bodies are cut to a limit, secrets are blacked out when an entry is shown. Entries are filled in as a call proceeds;
`frames` and `closed` belong to streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emulator.call import Call, Closed, Headers, Violation
from emulator.settings import Limits

MOST_FRAMES = 2_000
"""Frames that one entry keeps; the count of all is in `frame_count`."""

FRAME_BYTES = 500
"""Roughly what one kept frame takes."""

SECRET_HEADERS = frozenset({"authorization", "cookie", "set-cookie", "proxy-authorization"})


@dataclass(slots=True)
class Entry:
    """One call and what became of it. Times are Unix seconds of the session's clock, durations milliseconds."""

    id: int
    at: float
    session: str
    backend: str
    call: Call
    kept_bytes: int
    operation: str | None = None
    status: int | None = None
    verdict: str = "accepted"
    violations: tuple[Violation, ...] = ()
    breaches: list[Violation] = field(default_factory=list)
    scenario: str | None = None
    chosen_by: str | None = None
    near_misses: tuple[str, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    reply_headers: Headers = ()
    reply_body: bytes = b""
    frames: list[dict[str, Any]] = field(default_factory=list)
    frame_count: int = 0
    closed: Closed | None = None
    duration_ms: float | None = None
    weight: int = 0

    def add_frame(self, at_ms: float, size: int, event: Any) -> None:
        """Note a frame that was sent: when (milliseconds since the stream began), how many bytes, which event."""
        self.frame_count += 1
        if len(self.frames) < MOST_FRAMES:
            self.frames.append({"at_ms": round(at_ms, 3), "bytes": size, "event": event})

    def shown(self) -> dict[str, Any]:
        """The entry as JSON."""
        return {
            "id": self.id,
            "at": self.at,
            "session": self.session,
            "backend": self.backend,
            "operation": self.operation,
            "method": self.call.method,
            "path": self.call.path,
            "status": self.status,
            "verdict": self.verdict,
            "violations": [_shown_violation(one) for one in self.violations],
            "breaches": [_shown_violation(one) for one in self.breaches],
            "scenario": self.scenario,
            "chosen_by": self.chosen_by,
            "near_misses": list(self.near_misses),
            "fault": ", ".join(fault["name"] for fault in self.faults) or None,
            "faults": list(self.faults),
            "request": {"headers": _shown_headers(self.call.headers), "body": self._text(self.call.body)},
            "reply": {"headers": _shown_headers(dict(self.reply_headers)), "body": self._text(self.reply_body)},
            "frames": list(self.frames),
            "closed": self.closed,
            "duration_ms": self.duration_ms,
        }

    def _text(self, body: bytes) -> str:
        return body[: self.kept_bytes].decode("utf-8", "replace")


class Journal:
    """The last entries of one session, bounded by number and by bytes. `dropped` counts those that had to leave."""

    __slots__ = ("_limits", "_listeners", "_next", "bytes", "dropped", "entries")

    def __init__(self, limits: Limits) -> None:
        self.entries: deque[Entry] = deque()
        self.bytes = 0
        self.dropped = 0
        self._limits = limits
        self._next = 1
        self._listeners: list[Callable[[Entry], None]] = []

    def open(self, at: float, session: str, backend: str, call: Call) -> Entry:
        """Begin the entry of a call."""
        kept = self._limits.journal_body_bytes
        if len(call.body) > kept:
            call = replace(call, body=call.body[:kept])
        entry = Entry(self._next, at, session, backend, call, kept)
        self._next += 1
        self.entries.append(entry)
        if len(self.entries) > self._limits.journal_entries:
            self._drop()
        return entry

    def close(self, entry: Entry) -> None:
        """The call is over: weigh its entry, and tell whoever listens."""
        entry.reply_body = entry.reply_body[: entry.kept_bytes]
        if self.entries and entry.id >= self.entries[0].id:
            # Unless it had to leave while its stream was under way.
            entry.weight = _weigh(entry)
            self.bytes += entry.weight
        while self.bytes > self._limits.journal_bytes and len(self.entries) > 1:
            self._drop()
        for listener in self._listeners:
            listener(entry)

    def _drop(self) -> None:
        self.bytes -= self.entries.popleft().weight
        self.dropped += 1

    def subscribe(self, listener: Callable[[Entry], None]) -> Callable[[], None]:
        """Call `listener` with each entry that closes, until the returned function is called."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe


def _weigh(entry: Entry) -> int:
    call = entry.call
    frames: int = sum(FRAME_BYTES + frame["bytes"] for frame in entry.frames)
    texts = len(call.path) + len(call.query) + sum(len(name) + len(value) for name, value in call.headers.items())
    return 1_000 + texts + len(call.body) + len(entry.reply_body) + frames


def _shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: "…" if name.lower() in SECRET_HEADERS else value for name, value in headers.items()}


def _shown_violation(violation: Violation) -> dict[str, str]:
    return {
        "in": violation.place,
        "pointer": violation.pointer,
        "rule": violation.rule,
        "expected": violation.expected,
        "got": violation.got,
    }
