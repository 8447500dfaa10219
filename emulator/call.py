"""What passes through the house: a call, what is wrong with it, and what goes back.

Owns the plain, frozen values that every layer shares. Knows no HTTP library, no backend and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from emulator.fault import Fault

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body. `filename` is None for a plain field and may be empty for a file part."""

    name: str
    data: bytes
    filename: str | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came, without its transport.

    `path` is the raw path below the backend's mount, still percent-encoded, beginning with "/".
    `headers` have lower-case names. `origin` is the scheme and authority that the client used,
    `mount` the path in front of `path` (session prefix included), so that absolute addresses can be made.
    """

    method: str
    path: str
    query: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    session: str = "default"
    origin: str = "http://127.0.0.1"
    mount: str = ""


Place = Literal["path", "query", "header", "body"]


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a call or a reply breaks the contract.

    `pointer` is a JSON pointer inside `place` ("" is the whole), `rule` the keyword that was broken
    (`required`, `type`, `enum`, `format`, … or `media_type`, `json`, `multipart`), the rest is for people.
    """

    place: Place
    pointer: str
    rule: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.place}{self.pointer}: expected {self.expected}, got {self.got}"

    def shown(self) -> dict[str, str]:
        """The violation as JSON."""
        words = {"rule": self.rule, "expected": self.expected, "got": self.got}
        return {"in": self.place, "pointer": self.pointer, **words}


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `after` is how many seconds of stream time it takes before it is sent."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream before it is bytes.

    `data` is a JSON value, or the text itself; None means the frame has no data. `event` is the SSE event
    name, `comment` makes it a comment frame. `raw` replaces everything by exact bytes. `apart` says that readers know
    it by how a chunk begins: it leaves when what came before has had the time to be read, at any speed. `final` marks
    the one that ends the answer.
    """

    data: Any = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None
    raw: bytes | None = None
    apart: bool = False
    final: bool = False


Item = float | Event | Fault
"""What an answer under way gives: seconds of stream time to wait until, what to send then, what breaks there."""


Closed = Literal["ended", "cut", "left", "stopped"]


class Performance(Protocol):
    """An answer under way: what the edge needs of it."""

    def play(self) -> Iterator[Item]:
        """Yield seconds of stream time to wait until, what to send then, and what breaks there, in order."""
        ...

    def ping(self) -> Iterable[Event]:
        """The dialect's keep-alive; nothing where it has none."""
        ...

    def stop(self) -> None:
        """Ask it to end early, with its proper last event. Safe from any other call."""
        ...

    def on_stop(self, wake: Callable[[], None]) -> None:
        """Call `wake()` when somebody stops this performance."""
        ...

    def advance(self, seconds: float) -> None:
        """The session's clock was moved ahead: what is due by then comes now, and moves that clock no further."""
        ...

    def on_advance(self, skip: Callable[[float], None]) -> None:
        """Call `skip(seconds)` when somebody moves the time of this performance ahead."""
        ...

    def leave(self) -> None:
        """The client has gone: nothing more will be sent."""
        ...

    @property
    def closed(self) -> Closed:
        """How it ended."""
        ...


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that comes in pieces. `encode` turns one event into its exact bytes."""

    status: int
    headers: Headers
    performance: Performance
    encode: Callable[[Event], bytes]
