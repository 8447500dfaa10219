"""What a test sees of the journal: typed entries, lists of them, and the words for both.

Pure: what the control API gave goes in. Bodies are as the journal keeps them: cut at its limit, without secrets.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, overload

MOST_LINES = 20
"""Calls that a text lists; of more the last are shown."""
MOST_WORDS = 300
"""Characters of one body in a text."""
MOST_REPR = 220
"""Characters of a `repr`: pytest cuts what is longer in the middle."""


class Headers(Mapping[str, str]):
    """Headers by name, whatever its case."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in given.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({self._values})"


@dataclass(frozen=True, slots=True)
class Message:
    """One side of a call. `body` is its text, base64 where `encoding` says so; `bytes` is how long it was, `truncated`
    whether `body` is only the beginning. What is secret is shown as `…`."""

    headers: Headers
    body: str
    encoding: Literal["utf-8", "base64"]
    bytes: int
    truncated: bool

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ValueError for one that is none, or of which only the beginning was kept."""
        if self.truncated:
            raise ValueError(f"only the beginning of this body of {self.bytes} bytes was kept")
        try:
            return json.loads(self.body)
        except ValueError:
            raise ValueError(f"this body is no JSON: {_short(self.body) or 'it is empty'}") from None

    @property
    def content(self) -> Any:
        """The body as bytes."""
        return b64decode(self.body) if self.encoding == "base64" else self.body.encode()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stream: when it was sent (milliseconds since the stream began), how long it was, and the event in
    it (its JSON, or its text)."""

    at_ms: float
    bytes: int
    event: Any

    @property
    def name(self) -> str:
        """What kind of event it is, as far as the event says so."""
        if isinstance(self.event, dict):
            named = self.event.get("event") or self.event.get("type")
            return named if isinstance(named, str) else "data"
        return "text"


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One call and what became of it, as the journal has it.

    `at` is in Unix seconds of the session's clock, `duration_ms` in milliseconds (None for a reply that is no stream).
    `verdict` is `accepted` or `refused`, `violations` say why; `scenario` was played (or a documented reply given),
    `chosen_by` says what chose it, `near_misses` why others were not chosen; `faults` struck it. `frames` are those of
    a stream, `frame_count` how many there were; `closed` is `ended`, `cut`, `left` or `stopped`, None for a reply that
    is no stream, or while the call is `under_way`. `raw` is the entry as the control API gave it.
    """

    id: int
    at: float
    session: str
    backend: str
    operation: str | None
    method: str
    path: str
    query: str
    status: int | None
    verdict: Literal["accepted", "refused"]
    violations: tuple[dict[str, str], ...]
    scenario: str | None
    chosen_by: str | None
    near_misses: tuple[str, ...]
    fault: str | None
    faults: tuple[dict[str, Any], ...]
    request: Message
    reply: Message
    frames: tuple[Frame, ...]
    frame_count: int
    under_way: bool
    closed: Literal["ended", "cut", "left", "stopped"] | None
    duration_ms: float | None
    raw: Mapping[str, Any] = field(compare=False)

    @property
    def events(self) -> tuple[Any, ...]:
        """The events of its frames, in order."""
        return tuple(frame.event for frame in self.frames)

    def __str__(self) -> str:
        """What happened, in one line."""
        words = [f"#{self.id} {self.backend} {self.operation or '(no operation)'}", f"{self.method} {self.path}"]
        words.append(f"→ {self.status if self.status is not None else 'no answer yet'}")
        if self.verdict == "refused":
            words.append("refused")
        if self.scenario is not None:
            words.append(f"scenario {self.scenario}")
        if self.fault is not None:
            words.append(f"fault {self.fault}")
        if self.frame_count:
            words.append(f"{self.frame_count} frame{'s' * (self.frame_count != 1)}")
        if self.under_way:
            words.append("under way")
        elif self.closed is not None:
            words.append(self.closed)
        return " ".join(words)

    def __repr__(self) -> str:
        return _cut(f"<Entry {self}>", MOST_REPR)

    def lines(self) -> list[str]:
        """What happened, in a few lines of bounded length."""
        found = [str(self)]
        if self.query:
            found.append(f"  query    {_short(self.query)}")
        if self.request.body:
            found.append(f"  request  {_short(self.request.body)}")
        found += [f"  refused  {_violation(one)}" for one in self.violations[:5]]
        found += [f"  missed   {_short(one)}" for one in self.near_misses[:5]]
        if self.frames:
            found.append(f"  frames   {_short(_told(self))}")
        elif self.reply.body:
            found.append(f"  reply    {_short(self.reply.body)}")
        return found


class Calls(Sequence[Entry]):
    """Entries, the oldest first. Equal to any sequence of the same entries, so that `calls == []` says that there are
    none. `dropped` is how many calls of the session the journal no longer has: of these nobody can tell whether they
    would be among them."""

    __slots__ = ("_entries", "dropped", "what")

    def __init__(self, entries: Sequence[Entry], what: str = "calls", dropped: int = 0) -> None:
        self._entries = tuple(entries)
        self.what = what
        self.dropped = dropped

    @property
    def only(self) -> Entry:
        """The one entry. Raises AssertionError unless there is exactly one, and none that the journal has lost."""
        __tracebackhide__ = True
        if len(self._entries) == 1 and self.dropped:
            raise AssertionError(f"whether there was one of the {self.what} cannot be told, got {self}")
        if len(self._entries) != 1:
            raise AssertionError(f"expected exactly one of the {self.what}, got {self}")
        return self._entries[0]

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> Calls: ...
    def __getitem__(self, at: int | slice) -> Entry | Calls:
        __tracebackhide__ = True
        if isinstance(at, slice):
            return Calls(self._entries[at], self.what, self.dropped)
        try:
            return self._entries[at]
        except IndexError:
            raise IndexError(f"there is no [{at}] among the {self.what}: {self}") from None

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __str__(self) -> str:
        """All of them, a line each."""
        return listed(self._entries, self.dropped)

    def __repr__(self) -> str:
        inside = "; ".join(str(entry) for entry in self._entries)
        lost = f" ({gone(self.dropped)})" * bool(self.dropped)
        return _cut(f"<{len(self._entries)} {self.what}{lost}{': ' * bool(inside)}{inside}>", MOST_REPR)


def read(raw: Mapping[str, Any]) -> Entry:
    """An entry as the control API gives it → typed."""
    return Entry(
        id=raw["id"],
        at=raw["at"],
        session=raw["session"],
        backend=raw["backend"],
        operation=raw["operation"],
        method=raw["method"],
        path=raw["path"],
        query=raw["query"],
        status=raw["status"],
        verdict=raw["verdict"],
        violations=tuple(raw["violations"]),
        scenario=raw["scenario"],
        chosen_by=raw["chosen_by"],
        near_misses=tuple(raw["near_misses"]),
        fault=raw["fault"],
        faults=tuple(raw["faults"]),
        request=_message(raw["request"]),
        reply=_message(raw["reply"]),
        frames=tuple(Frame(one["at_ms"], one["bytes"], one["event"]) for one in raw["frames"]),
        frame_count=raw["frame_count"],
        under_way=raw["under_way"],
        closed=raw["closed"],
        duration_ms=raw["duration_ms"],
        raw=raw,
    )


def _message(raw: Mapping[str, Any]) -> Message:
    return Message(Headers(raw["headers"]), raw["body"], raw["encoding"], raw["bytes"], raw["truncated"])


def gone(dropped: int) -> str:
    """What to say of calls that had to leave the journal."""
    return f"the journal no longer has the first {f'{dropped} calls' if dropped > 1 else 'call'}"


def listed(entries: Sequence[Entry], dropped: int = 0) -> str:
    """Entries as a text: how many, then a line each, the last of many; and how many the journal has lost."""
    if not entries:
        return "none" + f" ({gone(dropped)})" * bool(dropped)
    lines = [f"{len(entries)}:"]
    if dropped:
        lines.append(f"  … {gone(dropped)}")
    if len(entries) > MOST_LINES:
        lines.append(f"  … {len(entries) - MOST_LINES} earlier ones")
    lines += [f"  {_cut(str(entry), MOST_WORDS)}" for entry in entries[-MOST_LINES:]]
    return "\n".join(lines)


def _told(entry: Entry) -> str:
    """The kinds of a stream's frames and how many came in a row."""
    runs = [(name, len(list(run))) for name, run in groupby(frame.name for frame in entry.frames)]
    words = [name if count == 1 else f"{name} x{count}" for name, count in runs]
    more = entry.frame_count - len(entry.frames)
    return ", ".join(words) + (f", and {more} more" if more > 0 else "")


def _violation(one: Mapping[str, str]) -> str:
    return _short(f"{one['in']}{one['pointer']}: expected {one['expected']}, got {one['got']}")


def _short(text: str) -> str:
    return _cut(" ".join(text.split()), MOST_WORDS)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
