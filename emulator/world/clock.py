"""A session's time. Virtual time moves only by scripted waiting, one second a call, and when it is moved ahead; real
time is the wall clock, and can be ahead of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from emulator.settings import ClockKind
from emulator.times import LATEST

VIRTUAL_START = 1_767_225_600.0
"""2026-01-01T00:00:00Z in Unix seconds: where a virtual clock begins unless it is told otherwise."""


class Clock:
    """Seconds since 1970 for one session, never beyond `LATEST`. `epoch` is the time at which the session began,
    `ahead` how far the clock has moved from there (virtual) or was moved ahead of the wall clock (real)."""

    __slots__ = ("ahead", "epoch", "kind")

    def __init__(self, kind: ClockKind, start: float | None = None) -> None:
        self.set(kind, start)

    def now(self) -> float:
        """Unix seconds, with fractions."""
        return min((self.epoch if self.kind == "virtual" else time.time()) + self.ahead, LATEST)

    def tick(self) -> None:
        """A call has come: virtual time moves by one second."""
        if self.kind == "virtual":
            self.ahead += 1.0

    def pass_(self, seconds: float) -> None:
        """Scripted time has passed: virtual time moves with it, real time did so by itself."""
        if self.kind == "virtual":
            self.ahead += seconds

    def advance(self, seconds: float) -> None:
        """Move ahead, whatever its kind."""
        self.ahead += seconds

    def set(self, kind: ClockKind, start: float | None = None) -> None:
        """Begin anew: virtual at `start` (None is `VIRTUAL_START`), real at the wall clock's time."""
        self.kind: ClockKind = kind
        self.ahead = 0.0
        if kind == "virtual":
            self.epoch = VIRTUAL_START if start is None else start
        else:
            self.epoch = time.time()

    def rewind(self) -> None:
        """Back to where it began, for a session that begins anew. The wall clock cannot go back: what is real begins
        now."""
        if self.kind == "virtual":
            self.ahead = 0.0
        else:
            self.epoch = self.now()

    def copy(self) -> Clock:
        """Another clock that shows the same time."""
        return restored(self.kind, self.epoch, self.ahead)

    def shown(self) -> dict[str, Any]:
        """The clock as JSON: its kind, and its time as ISO 8601."""
        return {"kind": self.kind, "now": iso(self.now())}


def restored(kind: ClockKind, epoch: float, ahead: float) -> Clock:
    """The clock that had these members."""
    clock = Clock(kind)
    clock.epoch, clock.ahead = epoch, ahead
    return clock


def iso(seconds: float, zone: str = "Z") -> str:
    """Unix seconds as `2024-01-16T12:00:29` plus `zone`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S") + zone
