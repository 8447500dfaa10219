"""Events of a stream as bytes of `text/event-stream`. Pure.

Source: HTML Living Standard, "Server-sent events" (fields, line ends, comments, dispatch on a blank line).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from emulator.call import Event
from emulator.jsontext import compact

LINE_END = re.compile("\r\n|\r|\n")


def encode(event: Event, dumps: Callable[[Any], bytes] = compact) -> bytes:
    """The frame of one event. Text is sent line by line, any other JSON value by `dumps`; a frame ends in a blank
    line. Fields come in the order comment, event, id, retry, data."""
    if event.raw is not None:
        return event.raw
    lines: list[bytes] = []
    if event.comment is not None:
        lines += [b": " + line.encode() if line else b":" for line in LINE_END.split(event.comment)]
    if event.event is not None:
        lines.append(b"event: " + event.event.encode())
    if event.id is not None:
        lines.append(b"id: " + event.id.encode())
    if event.retry is not None:
        lines.append(b"retry: %d" % event.retry)
    if isinstance(event.data, str):
        lines += [b"data: " + line.encode() for line in LINE_END.split(event.data)]
    elif event.data is not None:
        lines.append(b"data: " + dumps(event.data))
    lines.append(b"\n")
    return b"\n".join(lines)
