"""Moments as texts. Owns their syntax and the bounds of what a clock may reach. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

EARLIEST = 31_536_000.0
"""1971-01-01T00:00:00Z: the first moment that a clock can be set to. What is there from the start is a little older."""
LATEST = 253_370_764_800.0
"""9999-01-01T00:00:00Z: where every clock stands still. What is made then may end a little later, in a year that can
still be written."""

MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


def moment(text: str) -> float:
    """Unix seconds of an ISO 8601 time such as `2026-01-01T00:00:00Z`; a date is its first second, and without a zone
    it is UTC. Raises ValueError for any other text, for days that no month has, and outside what a clock can reach."""
    if not MOMENT.fullmatch(text):
        raise ValueError(text)
    found = datetime.fromisoformat(text)
    seconds = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    if not EARLIEST <= seconds <= LATEST:
        raise ValueError(text)
    return seconds
