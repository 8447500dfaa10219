"""What a session has armed: things that the next matching calls are made to do. Bounded, spent in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_ARMED = 1_000


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
    """The armings of one session, the oldest first."""

    __slots__ = ("_next", "items")

    def __init__(self) -> None:
        self.items: dict[str, Arming] = {}
        self._next = 1

    def new_id(self) -> str:
        """An id that was never given before in this session."""
        id = f"a{self._next}"
        self._next += 1
        return id

    def add(self, arming: Arming) -> Arming:
        """Arm it. The list must not be full."""
        assert len(self.items) < MOST_ARMED
        self.items[arming.id] = arming
        return arming

    def spend(self, arming: Arming) -> None:
        """One call has used it."""
        if arming.left is not None:
            arming.left -= 1
            if arming.left <= 0:
                self.items.pop(arming.id, None)

    def expire(self, now: float) -> None:
        """Drop those whose time is over."""
        for id in [id for id, one in self.items.items() if one.until is not None and one.until <= now]:
            del self.items[id]

    def for_backend(self, backend: str) -> list[Arming]:
        """Those of one backend, the oldest first."""
        return [one for one in self.items.values() if one.backend == backend]

    def __len__(self) -> int:
        return len(self.items)
