"""Durations as people write them: `40ms`, `1.5s`, `2m`, or a plain number of seconds. Pure."""

from __future__ import annotations

import re
from typing import Any

LONGEST = 3_600.0
"""Seconds that nothing written anywhere may be longer than, unless its place says so."""
WRITTEN = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?) ?(ms|s|m|h|d)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def duration(value: Any, longest: float = LONGEST) -> float:
    """Seconds, 0 to `longest`. Raises ValueError with what was expected."""
    if isinstance(value, str) and (found := WRITTEN.fullmatch(value.strip())):
        seconds: float = float(found[1]) * UNITS[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    else:
        raise ValueError(f"expected a duration such as 40ms, 1.5s or 2m, got {shown(value)}")
    # An integer can be too large for a float, so it is compared first; NaN is in no range.
    if not 0 <= seconds <= longest:
        raise ValueError(f"expected a duration from 0 to {longest:.0f}s, got {shown(value)}")
    return float(seconds)


def shown(value: Any) -> str:
    """A value in a sentence, cut to what a line can hold."""
    if value is None:
        return "nothing"
    text = f"{value:.3g}" if isinstance(value, int) and abs(value) >= 10**15 and abs(value) < 10**300 else _repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _repr(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**300:
        return "a huge number"
    return repr(value)
