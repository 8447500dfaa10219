"""What FastAPI says when a request does not fit: the 422 body with its `detail` list, 404 and 405.

Source: measured with FastAPI and pydantic 2, see FACTS.md ("fastapi" tag): items have type, loc, msg and input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emulator.call import Violation
from emulator.errors import Refused
from emulator.wire.fastapi_body import NO_OBJECT

NOT_FOUND: Mapping[str, Any] = {"detail": "Not Found"}
METHOD_NOT_ALLOWED: Mapping[str, Any] = {"detail": "Method Not Allowed"}

TYPES: Mapping[str, tuple[str, str]] = {
    "integer": ("int_type", "Input should be a valid integer"),
    "number": ("float_type", "Input should be a valid number"),
    "string": ("string_type", "Input should be a valid string"),
    "boolean": ("bool_type", "Input should be a valid boolean"),
    "array": ("list_type", "Input should be a valid list"),
    "object": ("dict_type", "Input should be a valid dictionary"),
}
"""Wanted JSON type → pydantic's error type and message."""

PARSING: Mapping[str, tuple[str, str]] = {
    "integer": ("int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    "number": ("float_parsing", "Input should be a valid number, unable to parse string as a number"),
    "boolean": ("bool_parsing", "Input should be a valid boolean, unable to interpret input"),
}
"""The same for text in a path or query."""


class Detailed(Refused):
    """A refusal whose `detail` is a list of what does not fit. A backend that words several of them differently gives
    each a `code`."""

    def __init__(self, detail: Sequence[Mapping[str, Any]], code: str = "detailed") -> None:
        super().__init__(code)
        self.detail = detail


def detail(
    violations: Iterable[Violation], body: Any = None, query: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The `detail` list for violations. `body` and `query` are the values that were judged, for `input`."""
    listed = list(violations)
    # Of a member that is no text and none of the choices, the framework tells the choices.
    chosen = {(one.place, one.pointer) for one in listed if one.rule == "enum"}
    return [
        _item(one, body, query or {})
        for one in listed
        if not (one.rule == "type" and (one.place, one.pointer) in chosen)
    ]


def _item(violation: Violation, body: Any, query: Mapping[str, Any]) -> dict[str, Any]:
    parts = [_part(part) for part in violation.pointer.split("/")[1:]]
    kind, message = _words(violation)
    given: Any = None
    if violation.place == "body":
        given = _at(body, parts[:-1] if violation.rule == "required" else parts)
    elif violation.rule != "required":
        given = query.get(str(parts[0])) if parts else None
        if given is None and violation.got.startswith("'"):
            given = violation.got.strip("'")
    return {"type": kind, "loc": [violation.place, *parts], "msg": message, "input": given}


def _part(raw: str) -> str | int:
    text = raw.replace("~1", "/").replace("~0", "~")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _at(value: Any, parts: list[str | int]) -> Any:
    for part in parts:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value if not isinstance(value, bytes) else None


WORDS: Mapping[str, tuple[str, str, str]] = {
    "required": ("missing", "Field required", ""),
    "minLength": ("string_too_short", "String should have {}", ""),
    "maxLength": ("string_too_long", "String should have {}", ""),
    "minimum": ("greater_than_equal", "Input should be greater than or equal to {}", "at least "),
    "maximum": ("less_than_equal", "Input should be less than or equal to {}", "at most "),
    "enum": ("literal_error", "Input should be {}", "one of "),
    "const": ("literal_error", "Input should be {}", ""),
    "pattern": ("string_pattern_mismatch", "String should match pattern '{}'", "text that matches "),
    "minItems": ("too_short", "List should have {}", ""),
    "maxItems": ("too_long", "List should have {}", ""),
    "additionalProperties": ("extra_forbidden", "Extra inputs are not permitted", ""),
    "media_type": ("model_attributes_type", NO_OBJECT, ""),
}
"""Broken rule → pydantic's error type, its message with a place for what was expected, our words that it leaves out."""


def _words(violation: Violation) -> tuple[str, str]:
    expected = violation.expected
    if violation.rule == "json":
        return "json_invalid", f"JSON decode error: {violation.got}"
    if violation.rule == "type":
        kind = "boolean" if expected == "true or false" else expected.removeprefix("an ").removeprefix("a ")
        if violation.place != "body" and kind in PARSING:
            return PARSING[kind]
        return TYPES.get(kind.partition(" or ")[0], ("value_error", f"Input should be {expected}"))
    kind, message, left_out = WORDS.get(violation.rule, ("value_error", "Input should be {}", ""))
    return kind, message.format(expected.removeprefix(left_out))
