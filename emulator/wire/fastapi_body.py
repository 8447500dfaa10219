"""What FastAPI says of a JSON body that it cannot take apart: no JSON, no object, or no body at all.

Beside `fastapi.py`, which words what is wrong inside a body. Source: measured with FastAPI and pydantic 2.
"""

from __future__ import annotations

import json
from typing import Any

UNREADABLE = "There was an error parsing the body"
"""The text of the 400 for bytes that are no text."""
NO_OBJECT = "Input should be a valid dictionary or object to extract fields from"


def malformed(body: bytes) -> dict[str, Any] | None:
    """The `detail` item for no body or for text that is no JSON; None for what is no text, or is JSON that nobody could
    keep."""
    return broken(body) if body else missing()


def broken(body: bytes) -> dict[str, Any] | None:
    """The same by what a JSON parser says alone, to which an empty body is broken as well."""
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        return {
            "type": "json_invalid",
            "loc": ["body", error.pos],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
    except (ValueError, RecursionError):
        pass
    return None


def no_object(value: Any) -> dict[str, Any]:
    """The item for a body that is something else than an object: another JSON value, or the text of another media
    type."""
    if value is None or value == "":
        return missing()
    return {"type": "model_attributes_type", "loc": ["body"], "msg": NO_OBJECT, "input": value}


def missing(*loc: str | int) -> dict[str, Any]:
    """The item for no body at all, or for the part of a form at `loc`. A form is never quoted."""
    return {"type": "missing", "loc": ["body", *loc], "msg": "Field required", "input": None}
