"""A session's record of its calls: bounded, ordered, never changed by reading.

Bodies and frames are cut to a limit, secrets are blacked out when an entry is shown. Entries are filled in as a call
proceeds; `frames` and `closed` belong to streams.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from emulator.call import Call, Closed, Headers, Violation
from emulator.jsontext import compact
from emulator.settings import Limits
from emulator.world import secrets
from emulator.world.secrets import HIDDEN, SECRET_HEADERS

__all__ = ["FRAME_BYTES", "MOST_FRAMES", "SECRET_HEADERS", "Entry", "Journal"]

MOST_FRAMES = 2_000
"""Frames that one entry keeps; the count of all is in `frame_count`."""

FRAME_BYTES = 500
"""Roughly what one kept frame takes."""

MOST_FRAME_BYTES = 2 * 1024 * 1024
"""Roughly the bytes of frames that one entry keeps."""

VIOLATION_HEADER = "x-emulator-violation"

# What no text has; a body with any of it is shown in base64.
NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f]")

Happening = Literal["opened", "closed"]
Listener = Callable[[Happening, "Entry"], None]


@dataclass(slots=True)
class Entry:
    """One call and what became of it. Times are Unix seconds of the session's clock, durations milliseconds. Bodies are
    what was kept of them, `request_bytes` and `reply_bytes` how long they were."""

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
    request_bytes: int = 0
    reply_bytes: int = 0
    frames_weight: int = 0

    @property
    def under_way(self) -> bool:
        """Whether the call is not over yet. One is weighed when it is."""
        return self.weight == 0

    def add_frame(self, at_ms: float, size: int, event: Any) -> None:
        """Note a frame that was sent: when (milliseconds since the stream began), how many bytes, which event. Long
        events are kept as the beginning of their text, and from some number or size on frames are only counted."""
        self.frame_count += 1
        weight = FRAME_BYTES + min(size, self.kept_bytes)
        if len(self.frames) < MOST_FRAMES and self.frames_weight < MOST_FRAME_BYTES:
            self.frames_weight += weight
            kept = event if size <= self.kept_bytes else _cut(event, self.kept_bytes)
            self.frames.append({"at_ms": round(at_ms, 3), "bytes": size, "event": kept})

    def shown(self) -> dict[str, Any]:
        """The entry as JSON, without secrets."""
        return {
            "id": self.id,
            "at": self.at,
            "session": self.session,
            "backend": self.backend,
            "operation": self.operation,
            "method": self.call.method,
            "path": self.call.path,
            "query": secrets.query(self.call.query.decode("utf-8", "replace")),
            "status": self.status,
            "verdict": self.verdict,
            "violations": [_shown_violation(one) for one in self.violations],
            "breaches": [_shown_violation(one) for one in self.breaches],
            "scenario": self.scenario,
            "chosen_by": self.chosen_by,
            "near_misses": list(self.near_misses),
            "fault": ", ".join(fault["name"] for fault in self.faults) or None,
            "faults": list(self.faults),
            "request": _shown_message(self.call.headers, self.call.body, self.request_bytes),
            "reply": _shown_message(self._reply_headers(), self.reply_body, self.reply_bytes),
            "frames": [{**frame, "event": secrets.value(frame["event"])} for frame in self.frames],
            "frame_count": self.frame_count,
            "under_way": self.under_way,
            "closed": self.closed,
            "duration_ms": self.duration_ms,
        }

    def _reply_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for name, value in self.reply_headers:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if any(_is_secret(one) for one in self.violations):
            # It says what was got.
            headers = {name: HIDDEN if name.lower() == VIOLATION_HEADER else value for name, value in headers.items()}
        return headers


class Journal:
    """The last entries of one session, bounded by number and by bytes. `dropped` counts those that had to leave."""

    __slots__ = ("_limits", "_listeners", "_next", "bytes", "dropped", "entries")

    def __init__(self, limits: Limits) -> None:
        self.entries: deque[Entry] = deque()
        self.bytes = 0
        self.dropped = 0
        self._limits = limits
        self._next = 1
        self._listeners: list[tuple[Listener, Callable[[], None]]] = []

    @property
    def opened(self) -> int:
        """How many calls there were, those that have left included."""
        return self._next - 1

    def open(self, at: float, session: str, backend: str, call: Call) -> Entry:
        """Begin the entry of a call."""
        kept = self._limits.journal_body_bytes
        size = len(call.body)
        if size > kept:
            call = replace(call, body=call.body[:kept])
        entry = Entry(self._next, at, session, backend, call, kept, request_bytes=size)
        self._next += 1
        self.entries.append(entry)
        if len(self.entries) > self._limits.journal_entries:
            self._drop()
        if self._listeners:
            self._tell("opened", entry)
        return entry

    def close(self, entry: Entry) -> None:
        """The call is over: weigh its entry, and tell whoever listens."""
        entry.reply_bytes = len(entry.reply_body)
        entry.reply_body = entry.reply_body[: entry.kept_bytes]
        if self.entries and entry.id >= self.entries[0].id:
            # Unless it had to leave while its stream was under way.
            entry.weight = _weigh(entry)
            self.bytes += entry.weight
        while self.bytes > self._limits.journal_bytes and len(self.entries) > 1:
            self._drop()
        if self._listeners:
            self._tell("closed", entry)

    def _drop(self) -> None:
        self.bytes -= self.entries.popleft().weight
        self.dropped += 1

    def clear(self) -> None:
        """Forget all entries, and how many had to leave. Ids go on; calls under way are no longer noted."""
        self.entries.clear()
        self.bytes = self.dropped = 0

    def select(
        self,
        *,
        backend: str | None = None,
        operation: str | None = None,
        status: int | None = None,
        scenario: str | None = None,
        verdict: str | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """The entries that are as asked, by id; with an id higher than `after`, and the first `limit` of them."""
        found: list[Entry] = []
        for entry in self.entries:
            if (
                (limit is None or len(found) < limit)
                and (after is None or entry.id > after)
                and (backend is None or entry.backend == backend)
                and (operation is None or entry.operation == operation)
                and (status is None or entry.status == status)
                and (scenario is None or entry.scenario == scenario)
                and (verdict is None or entry.verdict == verdict)
            ):
                found.append(entry)
        return found

    def subscribe(self, listener: Listener, gone: Callable[[], None] = lambda: None) -> Callable[[], None]:
        """Call `listener` with `opened` or `closed` and the entry, until the returned function is called. `gone` is
        called when the session itself leaves or is reset: nothing comes after it."""
        both = (listener, gone)
        self._listeners.append(both)

        def unsubscribe() -> None:
            if both in self._listeners:
                self._listeners.remove(both)

        return unsubscribe

    def leave(self) -> None:
        """The session is going: whoever listens is told."""
        listeners, self._listeners = self._listeners, []
        for _, gone in listeners:
            gone()

    def _tell(self, what: Happening, entry: Entry) -> None:
        for listener, _ in tuple(self._listeners):
            listener(what, entry)


def _weigh(entry: Entry) -> int:
    call = entry.call
    texts = len(call.path) + len(call.query) + sum(len(name) + len(value) for name, value in call.headers.items())
    return 1_000 + texts + len(call.body) + len(entry.reply_body) + entry.frames_weight


def _cut(event: Any, most: int) -> str:
    text = event if isinstance(event, str) else compact(event).decode()
    return f"{text[:most]}{HIDDEN}"


def _shown_message(headers: Mapping[str, str], body: bytes, size: int) -> dict[str, Any]:
    """Headers and body of one side. A body that is no text is shown in base64; `truncated` says that it is only the
    beginning of `bytes` bytes."""
    named = {name.lower(): value for name, value in headers.items()}
    content_type = named.get("content-type", "")
    text = body.decode("utf-8", "replace")
    multipart = content_type.lower().startswith("multipart/")
    encoding = "utf-8"
    if not multipart and _is_binary(body, text):
        encoding, text = "base64", b64encode(body).decode()
    else:
        text = secrets.body(text, content_type)
    return {
        "headers": secrets.headers(headers),
        "body": text,
        "encoding": encoding,
        "bytes": size,
        "truncated": size > len(body),
    }


def _is_binary(body: bytes, text: str) -> bool:
    # A character may have been cut in two at the end.
    return NO_TEXT.search(text) is not None or ("\ufffd".encode() not in body and "\ufffd" in text[:-1])


def _is_secret(violation: Violation) -> bool:
    return secrets.is_secret(violation.pointer.rpartition("/")[2])


def _shown_violation(violation: Violation) -> dict[str, str]:
    return {
        "in": violation.place,
        "pointer": violation.pointer,
        "rule": violation.rule,
        "expected": violation.expected,
        "got": HIDDEN if _is_secret(violation) else violation.got,
    }
