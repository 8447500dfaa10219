"""Moments as deskchat writes and reads them: ISO texts without a zone, to the second. Pure.

Source: FACTS.md 003 ("Times are naive ISO strings"); the zone is UTC.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{6})?")
DATE_LENGTH = 10


def shown(seconds: float) -> str:
    """Unix seconds as `2026-01-01T00:00:00`; the year has four digits even before the year 1000."""
    return datetime.fromtimestamp(math.floor(seconds), UTC).replace(tzinfo=None).isoformat()


def read(text: str) -> float:
    """Unix seconds of such a text. Raises ValueError for any other, and for a day that no month has."""
    if not MOMENT.fullmatch(text):
        raise ValueError(text)
    # Times here are to the second; a fraction may round up to a year that cannot be shown.
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Range:
    """A range of time with both ends in it, as texts; None leaves an end open."""

    begin: str | None
    end: str | None

    def holds(self, seconds: float) -> bool:
        """Whether a moment lies in it. Texts are compared, so a bound may be a day that no month has."""
        if self.begin is None and self.end is None:
            return True
        text = shown(seconds)
        return (self.begin is None or self.begin <= text) and (self.end is None or text <= self.end)


def asked(query: Mapping[str, Any]) -> Range:
    """The range that `begin_time` and `end_time` of a query name: a date begins with its first second and ends with
    its last."""
    return Range(_bound(query.get("begin_time"), "T00:00:00"), _bound(query.get("end_time"), "T23:59:59"))


def _bound(text: str | None, of_a_date: str) -> str | None:
    if text is None:
        return None
    return text + of_a_date if len(text) == DATE_LENGTH else text.replace(" ", "T")
