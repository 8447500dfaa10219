"""Schema → a value that fits it: its example, its default, else something small and deterministic.

Serves documented replies chosen by name, and operations that no behaviour serves. Not a fuzzer: one value a schema.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from emulator.call import Headers
from emulator.contract.document import Document, Operation
from emulator.world.seed import as_uuid

DEPTH = 12
OF_THE_EDGE = ("content-length", "content-type")


def body_for(document: Document, operation: Operation, status: str, rng: random.Random) -> tuple[str | None, Any]:
    """(media type, value) of a reply with this status: a documented example if there is one, else from the schema.
    (None, None) when the status has no body."""
    content = operation.responses[status].get("content") or {}
    for media_type, media in content.items():
        for example in (media.get("examples") or {}).values():
            return media_type, document.resolve(example).get("value")
        if "example" in media:
            return media_type, media["example"]
    for media_type, media in content.items():
        return media_type, value_for(document, media.get("schema", {}), rng)
    return None, None


def headers_for(
    document: Document, operation: Operation, status: str, rng: random.Random, known: Headers
) -> list[tuple[str, str]]:
    """The headers that a reply with this status must have, beside the `known` ones and those that the edge adds."""
    there = {name.lower() for name, _ in known} | set(OF_THE_EDGE)
    found: list[tuple[str, str]] = []
    for name, raw in (operation.responses[status].get("headers") or {}).items():
        header = document.resolve(raw)
        if header.get("required") and name.lower() not in there:
            value = header["example"] if "example" in header else value_for(document, header.get("schema", {}), rng)
            found.append((name, str(value)))
    return found


def value_for(document: Document, schema: Any, rng: random.Random, depth: int = 0) -> Any:
    """One value that fits `schema`."""
    schema = document.resolve(schema)
    if not isinstance(schema, Mapping) or depth > DEPTH:
        return None
    for word in ("const", "default", "example"):
        if word in schema:
            return schema[word]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return value_for(document, schema[word][0], rng, depth + 1)
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for one in schema["allOf"]:
            value = value_for(document, one, rng, depth + 1)
            if isinstance(value, dict):
                merged |= value
        return merged
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    return _by_type(document, kind, schema, rng, depth)


def _by_type(document: Document, kind: str, schema: Mapping[str, Any], rng: random.Random, depth: int) -> Any:
    match kind:
        case "object":
            required = schema.get("required", ())
            return {
                name: value_for(document, member, rng, depth + 1)
                for name, member in schema.get("properties", {}).items()
                if name in required or depth < 3
            }
        case "array":
            length = max(int(schema.get("minItems", 1)), 0)
            return [value_for(document, schema.get("items", {}), rng, depth + 1) for _ in range(length)]
        case "integer" | "number":
            low = schema.get("minimum", 0)
            return int(low) if kind == "integer" else float(low)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(schema, rng)


def _text(schema: Mapping[str, Any], rng: random.Random) -> str:
    match schema.get("format"):
        case "uuid":
            return as_uuid(rng.randbytes(16))
        case "date-time":
            return "2026-01-01T00:00:00Z"
        case "date":
            return "2026-01-01"
        case "uri" | "url":
            return "http://127.0.0.1/"
        case "email":
            return "user@example.com"
        case _:
            text = "text"
            low, high = int(schema.get("minLength", 0)), int(schema.get("maxLength", 10_000))
            return (text * (low // len(text) + 1))[: max(low, min(len(text), high))]
