"""JSON values as bytes, in the styles that the backends' wires have. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

BEYOND_ASCII = re.compile("[^\x00-\x7e]+")

LONG = 65_536
"""Bytes from which on the standard library escapes a text more quickly than we do."""


def compact(value: Any) -> bytes:
    """No blanks, UTF-8 as it is."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Integers beyond 64 bits are JSON too.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def compact_ascii(value: Any) -> bytes:
    r"""No blanks, everything beyond ASCII as `\uXXXX`."""
    text = compact(value)
    if len(text) > LONG:
        return json.dumps(value, separators=(",", ":")).encode()
    # DEL is ASCII, and escaped all the same.
    return text if text.isascii() and 0x7F not in text else BEYOND_ASCII.sub(_escaped, text.decode()).encode()


def _escaped(found: re.Match[str]) -> str:
    """Characters beyond ASCII stand only inside strings, so that they can be escaped in the finished text."""
    return json.dumps(found.group())[1:-1]


def spaced_ascii(value: Any) -> bytes:
    r"""Python's own style: a blank after `,` and `:`, everything beyond ASCII as `\uXXXX`."""
    return json.dumps(value).encode()
