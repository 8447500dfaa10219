"""JSON values as bytes, in the styles that the backends' wires have. Pure."""

from __future__ import annotations

import json
from typing import Any

import orjson


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
    if text.isascii():
        return text
    return json.dumps(value, separators=(",", ":")).encode()


def spaced_ascii(value: Any) -> bytes:
    r"""Python's own style: a blank after `,` and `:`, everything beyond ASCII as `\uXXXX`."""
    return json.dumps(value).encode()


def spaced(value: Any) -> bytes:
    """A blank after `,` and `:`, UTF-8 as it is."""
    return json.dumps(value, ensure_ascii=False).encode()
