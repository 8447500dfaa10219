"""The bytes of an event stream as frames: what a reader of `text/event-stream` sees, and what it would not.

Source: HTML Living Standard, "Server-sent events". Pure; comments are passed over wherever they stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from emulator.contract.promises.values import MISSING, at

LINE_END = re.compile(rb"\r\n|\r|\n")
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Frame:
    """One event. `name` is its `event` field, `data` its data lines joined; None where there is no such line."""

    name: str | None
    data: str | None

    @cached_property
    def value(self) -> Any:
        """Its data as JSON, MISSING where it is none."""
        if self.data is None:
            return MISSING
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):
            return MISSING

    def kind(self, where: str) -> str:
        """What kind of event it is. `where` is `name`, or a pointer into the data. Data that is no JSON is its own
        kind (`[DONE]`), and so is the first member of an object without the member pointed at (`{"error": …}`)."""
        if self.data is None or where == "name":
            return self.name or "message"
        if self.value is MISSING:
            return self.data
        found = at(self.value, where)
        if found is not MISSING:
            return str(found)
        return next(iter(self.value), "") if isinstance(self.value, Mapping) else self.data


@dataclass(frozen=True, slots=True)
class Frames:
    """All frames of a stream. `rest` is an event that was begun after the last blank line, which every reader throws
    away; a comment is none, nor is `retry`, which holds as soon as it is read."""

    frames: tuple[Frame, ...]
    rest: bytes
    stray: tuple[str, ...]
    """Lines that are no field: a reader ignores them, and whoever wrote them wanted to say something."""


FIELDS = ("data", "event", "id", "retry")


def read_frames(content: bytes) -> Frames:
    """Read a whole stream. Never raises; bytes that are not UTF-8 are replaced."""
    frames: list[Frame] = []
    stray: list[str] = []
    fields: list[tuple[str, str]] = []
    *lines, last = LINE_END.split(content.removeprefix(BOM))
    seen: list[bytes] = []
    for line in lines:
        if not line:
            # With neither there is no event: an id or a time for the reader alone.
            if any(name in ("data", "event") for name, _ in fields):
                frames.append(_frame(fields))
            fields, seen = [], []
            continue
        name, _, value = line.decode("utf-8", "replace").partition(":")
        if name not in ("", "retry"):
            seen.append(line)
        if name in FIELDS:
            fields.append((name, value.removeprefix(" ")))
        elif name:
            stray.append(name)
    rest = [*seen, b"" if last.startswith(b":") else last]
    return Frames(tuple(frames), b"\n".join(rest), tuple(stray))


def _frame(fields: list[tuple[str, str]]) -> Frame:
    data = [value for name, value in fields if name == "data"]
    names = [value for name, value in fields if name == "event"]
    return Frame(names[-1] if names else None, "\n".join(data) if data else None)
