"""A session's time. Virtual time moves only by scripted waiting and one second a call; real time is the wall clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from emulator.settings import ClockKind

VIRTUAL_START = 1_767_225_600.0
"""2026-01-01T00:00:00Z in Unix seconds: where every virtual clock begins."""


class Clock:
    """Seconds since 1970 for one session. `epoch` is the time at which the session began."""

    __slots__ = ("_ahead", "epoch", "kind")

    def __init__(self, kind: ClockKind, start: float | None = None) -> None:
        self.kind: ClockKind = kind
        self._ahead = 0.0
        if kind == "virtual":
            self.epoch = VIRTUAL_START if start is None else start
        else:
            self.epoch = time.time()

    def now(self) -> float:
        """Unix seconds, with fractions."""
        return (self.epoch if self.kind == "virtual" else time.time()) + self._ahead

    def tick(self) -> None:
        """A call has come: virtual time moves by one second."""
        if self.kind == "virtual":
            self._ahead += 1.0

    def pass_(self, seconds: float) -> None:
        """Scripted time has passed: virtual time moves with it, real time did so by itself."""
        if self.kind == "virtual":
            self._ahead += seconds


def iso(seconds: float, zone: str = "Z") -> str:
    """Unix seconds as `2024-01-16T12:00:29` plus `zone`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S") + zone
