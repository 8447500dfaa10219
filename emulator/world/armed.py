"""What a session has armed: things that the next matching calls are made to do. Bounded, spent in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from emulator.errors import Misused
from emulator.jsontext import compact

MOST_ARMED = 1_000
MOST_BYTES = 8 * 1024 * 1024
"""Bytes that a session's armings have together, as they were given."""


@dataclass(slots=True)
class Arming:
    """One thing armed. `scenario`, `prefer`, `fault` and `when` are as they were given; `ready` is what was made of
    them. `left` is None for an arming that lasts until it is taken back, `until` the time of the session's clock at
    which it ends by itself."""

    id: str
    backend: str
    operation: str | None = None
    scenario: Any = None
    prefer: str | None = None
    fault: Any = None
    when: Any = None
    times: int | None = 1
    left: int | None = 1
    until: float | None = None
    ready: Any = None

    def shown(self) -> dict[str, Any]:
        """The arming as JSON."""
        return {
            "id": self.id,
            "backend": self.backend,
            "operation": self.operation,
            "scenario": self.scenario,
            "prefer": self.prefer,
            "fault": self.fault,
            "when": self.when,
            "times": self.times,
            "left": self.left,
        }


class Armed:
    """The armings of one session, the oldest first, bounded by number and by bytes."""

    __slots__ = ("_next", "_weights", "bytes", "items")

    def __init__(self) -> None:
        self.items: dict[str, Arming] = {}
        self.bytes = 0
        self._weights: dict[str, int] = {}
        self._next = 1

    def new_id(self) -> str:
        """An id that was never given before in this session."""
        id = f"a{self._next}"
        self._next += 1
        return id

    @property
    def given(self) -> int:
        """How many ids were given so far."""
        return self._next - 1

    def add(self, arming: Arming) -> Arming:
        """Arm it. Raises Misused (409) when there is no room; what is there stays."""
        weight = weigh(arming)
        if len(self.items) >= MOST_ARMED or self.bytes + weight > MOST_BYTES:
            what = f"A session holds at most {MOST_ARMED} armings and {MOST_BYTES} bytes of them; take some back."
            raise Misused("Too much armed", what, status=409)
        self.items[arming.id] = arming
        self._weights[arming.id] = weight
        self.bytes += weight
        return arming

    def remove(self, id: str) -> bool:
        """Take one back. False when there is none with this id."""
        if self.items.pop(id, None) is None:
            return False
        self.bytes -= self._weights.pop(id)
        return True

    def clear(self) -> None:
        """Take all back. Ids go on."""
        self.items.clear()
        self._weights.clear()
        self.bytes = 0

    def spend(self, arming: Arming) -> None:
        """One call has used it."""
        if arming.left is not None:
            arming.left -= 1
            if arming.left <= 0:
                self.remove(arming.id)

    def expire(self, now: float) -> None:
        """Drop those whose time is over."""
        for id in [id for id, one in self.items.items() if one.until is not None and one.until <= now]:
            self.remove(id)

    def for_backend(self, backend: str) -> list[Arming]:
        """Those of one backend, the oldest first."""
        return [one for one in self.items.values() if one.backend == backend]

    def copy(self) -> Armed:
        """The same armings, to be spent apart."""
        other = restored(self.given, ())
        other.items = {id: replace(arming) for id, arming in self.items.items()}
        other._weights, other.bytes = dict(self._weights), self.bytes
        return other

    def __len__(self) -> int:
        return len(self.items)


def restored(given: int, armings: Iterable[Arming]) -> Armed:
    """The list that had given so many ids and holds these armings. Raises Misused when they are too many."""
    armed = Armed()
    armed._next = given + 1
    for arming in armings:
        armed.add(arming)
    return armed


def weigh(arming: Arming) -> int:
    """Roughly the bytes an arming holds."""
    return 512 + len(compact([arming.scenario, arming.prefer, arming.fault, arming.when]))
