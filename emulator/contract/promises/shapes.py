"""The extension `x-promises`: its shape, and the promises of an operation read from a spec.

An operation says under `x-promises` which checks hold for it, with what each has to know and with the sentence that it
comes from. docs/contract-checks.md describes it for whoever writes a spec. Nothing here knows schemathesis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from emulator.contract.document import METHODS, resolve
from emulator.contract.promises.values import EXPRESSION, quote
from emulator.errors import nearest
from emulator.source import Pointer

KEY = "x-promises"
NAMES = re.compile(r"\{([^}]+)\}")
"""Parameters in a path template."""

POINTER = {"type": "string", "pattern": "^(/.*)?$"}
KINDS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
WITH = {"type": "object", "propertyNames": {"type": "string", "pattern": "^(path|query)\\..+$"}}
EXPRESSED = {"type": "string", "pattern": "^\\$"}
"""Where anything but an expression would be the same for every call."""
QUERY = {
    "type": "object",
    "required": ["query"],
    "additionalProperties": False,
    "properties": {"query": {"type": "string"}, "default": {"type": "integer"}, "most": {"type": "integer"}},
}
SORT = {
    "type": "object",
    "required": ["by", "order"],
    "additionalProperties": False,
    "properties": {"by": POINTER, "order": {"enum": ["ascending", "descending"]}},
}
STEP = {
    "type": "object",
    "required": ["call"],
    "additionalProperties": False,
    "properties": {
        "call": {"type": "string"},
        "with": WITH,
        "body": True,
        "or": {"type": "array", "items": {"type": "integer"}},
        "must": {"type": "boolean"},
    },
}
STEPS = {"type": "array", "items": STEP, "minItems": 1, "maxItems": 4}
GIVES = {"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}, "minItems": 1}
WHERE = {"type": "string", "pattern": "^(name|/.*)$"}

STREAM = {"kind": WHERE, "pings": KINDS}
READ = {"read": {"type": "string"}, "with": WITH, "body": True}
LISTED = {"items": POINTER, "id": POINTER, "is": True}


def _more(means: str) -> dict[str, Any]:
    return {
        "required": ["more"],
        "properties": {"more": {"required": ["means"], "properties": {"means": {"const": means}}}},
    }


SHAPES: dict[str, dict[str, Any]] = {
    "event_order": {
        "required": ["kind", "ends"],
        "properties": {
            **STREAM,
            "ends": KINDS,
            "after_end": KINDS,
            "broken_by": KINDS,
            "starts": KINDS,
            "once": KINDS,
            "before": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
            },
            "pairs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["first", "then", "by"],
                    "additionalProperties": False,
                    "properties": {"first": {"type": "string"}, "then": {"type": "string"}, "by": POINTER},
                },
            },
            "named": {"type": "boolean"},
        },
    },
    "ids_constant": {
        "required": ["kind", "same"],
        "properties": {
            **STREAM,
            "same": {"type": "array", "items": POINTER},
            "only": KINDS,
            "asked": {"type": "object", "propertyNames": POINTER},
        },
    },
    "ping_tolerated": {"required": ["kind", "pings", "ends"], "properties": {**STREAM, "ends": KINDS}},
    "text_adds_up": {
        "required": ["kind", "pieces", "whole"],
        "properties": {
            **STREAM,
            "unless": KINDS,
            "pieces": {
                "type": "object",
                "required": ["of", "at"],
                "additionalProperties": False,
                "properties": {"of": KINDS, "at": POINTER},
            },
            "whole": {
                "type": "object",
                "required": ["at"],
                "additionalProperties": False,
                "properties": {
                    "of": {"type": "string"},
                    "at": POINTER,
                    "most": {"type": "integer"},
                    "last": {"const": True},
                    **READ,
                    **LISTED,
                },
                "oneOf": [
                    {"required": ["of"]},
                    {"required": ["read", "items", "id", "is"]},
                    {"required": ["read", "items", "last"]},
                ],
            },
        },
    },
    "text_ending": {"required": ["marks"], "properties": {"marks": KINDS}},
    "streaming_honoured": {
        "required": ["stream"],
        "properties": {"asks": EXPRESSED, "stream": {"anyOf": [{"const": True}, {"type": "array", "minItems": 1}]}},
        "anyOf": [{"required": ["asks"]}, {"properties": {"stream": {"const": True}}}],
    },
    "paging_honoured": {
        "required": ["items", "id"],
        # The next page and whether there is one cannot be told without knowing how many items fill a page.
        "dependentRequired": {"next": ["size"], "more": ["size"]},
        "allOf": [
            {"if": _more("full"), "then": {"properties": {"size": {"required": ["query"]}}}},
            {"if": _more("exact"), "then": {"required": ["next"]}},
        ],
        "properties": {
            "items": POINTER,
            "id": POINTER,
            "size": {"anyOf": [QUERY, {**QUERY, "required": ["most"]}]},
            "sorted": {
                "anyOf": [
                    SORT,
                    {
                        "type": "object",
                        "required": ["query", "default", "ways"],
                        "additionalProperties": False,
                        "properties": {
                            "query": {"type": "string"},
                            "default": {"type": "string"},
                            "ways": {"type": "object", "additionalProperties": SORT},
                        },
                    },
                ]
            },
            "echoed": {"type": "object", "propertyNames": POINTER, "additionalProperties": QUERY},
            "total": POINTER,
            "more": {
                "type": "object",
                "required": ["at", "means"],
                "additionalProperties": False,
                "properties": {"at": POINTER, "means": {"enum": ["exact", "full"]}},
            },
            "next": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "cursor": {"type": "string"},
                    "id": POINTER,
                    "direction": {"enum": ["after", "before"]},
                    "page": {"type": "string"},
                    "offset": {"type": "string"},
                },
                "oneOf": [{"required": ["cursor", "id"]}, {"required": ["page"]}, {"required": ["offset"]}],
            },
        },
    },
    "filter_honoured": {
        "required": ["items", "in", "how"],
        "oneOf": [{"required": ["query"]}, {"required": ["value"]}],
        "properties": {
            "items": POINTER,
            "query": {"type": "string"},
            "value": EXPRESSED,
            "in": {"type": "array", "items": POINTER, "minItems": 1},
            "how": {"enum": ["contains", "equals", "from", "until"]},
        },
    },
    "write_echoed": {
        "required": ["members"],
        "properties": {
            "members": {"type": "object", "propertyNames": POINTER, "minProperties": 1},
            "nulls": {"type": "boolean"},
            "trimmed": {"type": "boolean"},
            "texts": {"type": "boolean"},
            "drops": {"type": "string", "minLength": 1},
        },
    },
    "write_read_back": {
        "required": ["read"],
        "properties": {
            **READ,
            **LISTED,
            "members": {"type": "object", "propertyNames": POINTER},
            "nulls": {"type": "boolean"},
            "trimmed": {"type": "boolean"},
            "texts": {"type": "boolean"},
            "drops": {"type": "string", "minLength": 1},
            "most": {"type": "integer"},
            "or": GIVES,
        },
        "dependentRequired": {"items": ["id", "is"]},
        "anyOf": [{"required": ["members"]}, {"required": ["items"]}],
    },
    "deleted_is_gone": {
        "required": ["id", "from"],
        "properties": {
            "id": True,
            "like": {"type": "string", "format": "regex"},
            "from": {
                "type": "array",
                "minItems": 1,
                "maxItems": 4,
                "items": {
                    "type": "object",
                    "required": ["read"],
                    "additionalProperties": False,
                    "properties": {**READ, "items": POINTER, "id": POINTER, "gives": GIVES},
                    "oneOf": [{"required": ["gives"]}, {"required": ["items", "id"]}],
                },
            },
        },
    },
    "upload_kept": {
        "required": ["part", "steps"],
        "properties": {"part": {"type": "string"}, "steps": STEPS, "fetch": {"type": "string"}},
    },
    "users_isolated": {
        "required": ["read"],
        "properties": {
            **READ,
            **LISTED,
            "gives": GIVES,
            "sign_in": {
                "type": "object",
                "required": ["steps", "header"],
                "additionalProperties": False,
                "properties": {
                    "steps": STEPS,
                    "header": {"type": "string"},
                    "name": {"type": "string"},
                    "prefix": {"type": "string"},
                },
            },
        },
        "oneOf": [{"required": ["gives"]}, {"required": ["items", "id"]}],
    },
}
"""What each check has to know. Every promise has `said` besides, and may have `when`."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise of an operation. `said` is where the sentence stands that it comes from."""

    check: str
    said: str
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with the promises of a spec, and where."""

    pointer: Pointer
    what: str

    def __str__(self) -> str:
        return f"{'/'.join(map(str, self.pointer))}: {self.what}"


class Unsaid(Exception):
    """The promises of a spec cannot be understood. `str()` is a line for each mistake."""


def promises(raw: Mapping[str, Any], operation: Mapping[str, Any], check: str) -> list[Promise]:
    """What an operation promises for a check, in order. Raises Unsaid where that cannot be understood."""
    try:
        said = resolve(raw, operation.get(KEY)) or {}
        found = resolve(raw, said.get(check)) or []
        given = [resolve(raw, one) for one in (found if isinstance(found, list) else [found])]
    except (AttributeError, KeyError, TypeError) as error:
        raise Unsaid(f"{operation.get('operationId')}: {KEY} cannot be read: {error!r}") from error
    return [Promise(check, one["said"], one) for one in given]


def mistakes(raw: Mapping[str, Any]) -> Iterator[Mistake]:
    """Everything that is wrong with the promises of a document."""
    operations = dict(_operations(raw))
    paths = {str(operation.get("operationId", "")): str(pointer[1]) for pointer, operation in operations.items()}
    for pointer, operation in operations.items():
        if KEY not in operation:
            continue
        here = (*pointer, KEY)
        try:
            said = resolve(raw, operation[KEY])
        except (KeyError, TypeError) as error:
            yield Mistake(here, f"a reference to nothing: {error}")
            continue
        if not isinstance(said, Mapping):
            yield Mistake(here, "expected an object: check → what it has to know")
            continue
        for check, found in said.items():
            try:
                yield from list(_mistakes(raw, (*here, check), str(check), found, paths))
            except RecursionError:
                yield Mistake((*here, check), "nested too deeply")


def _operations(raw: Mapping[str, Any]) -> Iterator[tuple[Pointer, Mapping[str, Any]]]:
    paths = raw.get("paths")
    for path, item in paths.items() if isinstance(paths, Mapping) else ():
        for method in METHODS:
            if isinstance(item, Mapping) and isinstance(item.get(method), Mapping):
                yield ("paths", path, method), item[method]


def _mistakes(
    raw: Mapping[str, Any], pointer: Pointer, check: str, found: Any, paths: Mapping[str, str]
) -> Iterator[Mistake]:
    if check not in SHAPES:
        near = nearest(check, SHAPES)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(SHAPES)}"
        yield Mistake(pointer, f"there is no check {check!r}{hint}")
        return
    try:
        found = resolve(raw, found)
        given = [resolve(raw, one) for one in (found if isinstance(found, list) else [found])]
    except (KeyError, TypeError) as error:
        yield Mistake(pointer, f"a reference to nothing: {error}")
        return
    if not given:
        yield Mistake(pointer, "an empty list promises nothing")
    validator = Draft202012Validator(schema_of(check))
    for number, one in enumerate(given):
        here = (*pointer, number) if isinstance(found, list) else pointer
        errors = sorted(validator.iter_errors(one), key=lambda error: list(map(str, error.absolute_path)))
        yield from (Mistake((*here, *error.absolute_path), error.message) for error in errors)
        if not errors:
            yield from _words(here, one, paths)
            yield from _expressions(here, one)


def _words(pointer: Pointer, value: Any, paths: Mapping[str, str]) -> Iterator[Mistake]:
    """Operations that are not there or cannot be called so, and patterns that are none. `paths` are those of all
    operations."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            here = (*pointer, name)
            if name in ("read", "call"):
                yield from _call(here, member, value.get("with", {}), paths)
            elif name == "when":
                yield from (_expression((*here, one), one) for one in member if not _is_expression(one))
            elif name in ("marks", "like"):
                yield from _patterns(here, member)
            # Everything else is values, which may have members of any names.
            elif name in ("whole", "from", "sign_in", "steps"):
                yield from _words(here, member, paths)
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _words((*pointer, number), member, paths)


def _call(pointer: Pointer, id: str, given: Mapping[str, Any], paths: Mapping[str, str]) -> Iterator[Mistake]:
    """Whether an operation is there, and has all that its path needs."""
    if id not in paths:
        near = nearest(id, paths)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield Mistake(pointer, f"there is no operation {id!r}{hint}")
        return
    needed = [f"path.{name}" for name in NAMES.findall(paths[id])]
    for name in given:
        if name.startswith("path.") and name not in needed:
            yield Mistake((*pointer[:-1], "with", name), f"the path of {id} has no such parameter: {paths[id]}")
    missing = ", ".join(name for name in needed if name not in given)
    if missing:
        yield Mistake((*pointer[:-1], "with"), f"{id} cannot be called without {missing}")


def _patterns(pointer: Pointer, found: str | list[str]) -> Iterator[Mistake]:
    for pattern in found if isinstance(found, list) else [found]:
        try:
            matches_all = re.compile(pattern).search("") is not None
        # Python's own words for a pattern that is too much.
        except (re.error, OverflowError, RecursionError):
            yield Mistake(pointer, f"{quote(pattern)} is no pattern")
            continue
        if pointer[-1] == "marks" and matches_all:
            yield Mistake(pointer, f"{quote(pattern)} is no mark: it matches where nothing stands")


def _expressions(pointer: Pointer, value: Any) -> Iterator[Mistake]:
    """Expressions that are none."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield from _expressions((*pointer, name), member)
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _expressions((*pointer, number), member)
    elif isinstance(value, str) and value.startswith("$") and not _is_expression(value):
        yield _expression(pointer, value)


def _is_expression(text: Any) -> bool:
    return isinstance(text, str) and re.search(EXPRESSION, text) is not None


def _expression(pointer: Pointer, text: Any) -> Mistake:
    what = "$request.body#/…, $request.path.…, $request.query.…, $request.header.…, $response.body#/… or $last.body#/…"
    return Mistake(pointer, f"{quote(text)} is no expression; expected {what}")


def schema_of(check: str) -> dict[str, Any]:
    """The JSON Schema of one promise."""
    shape = SHAPES[check]
    return {
        **shape,
        "type": "object",
        "required": ["said", *shape["required"]],
        "additionalProperties": False,
        "properties": {
            **shape["properties"],
            "said": {"type": "string", "minLength": 1},
            "when": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "array", "minItems": 1}},
        },
    }
