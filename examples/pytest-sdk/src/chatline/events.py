"""Bytes → events. Pure: the pieces may be cut anywhere, also within a character or between the two ends of a line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any


def read_events(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON of each event; keep-alives are left out. Raises ValueError for data that is no JSON object."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest, data = "", []
    for piece in pieces:
        rest += decoder.decode(piece)
        # A carriage return at the end may be the first half of a line's end.
        held = "\r" if rest.endswith("\r") else ""
        *lines, rest = rest.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        rest += held
        for line in lines:
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif not line and data:
                event = json.loads("\n".join(data))
                data = []
                if not isinstance(event, dict):
                    raise ValueError("an event is no object")
                yield event
