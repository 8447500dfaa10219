"""Replies and stream events held against the spec: what our own side sends must be what the document promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from openapi_core.validation.schemas.exceptions import InvalidSchemaValue

from emulator.call import Event, Reply, Violation
from emulator.contract.document import EVENT_STREAM, Document, Operation
from emulator.contract.door import media_type
from emulator.contract.judge import Tools, schema_path, violations_of

EDGE_HEADERS = ("content-length",)
"""Headers that the edge adds to what is checked here."""
Validate = Callable[[Any], None]


class Inspector:
    """Checks what is sent for the operations of one document. Never raises."""

    def __init__(self, document: Document, tools: Tools) -> None:
        self._document = document
        self._tools = tools
        self._cache: dict[tuple[str | int, ...], Validate] = {}

    def reply(self, operation: Operation, reply: Reply) -> list[Violation]:
        """How a whole reply breaks the spec: an undocumented status or media type, a missing header, a body that its
        schema refuses."""
        response = operation.responses.get(str(reply.status))
        if response is None:
            known = ", ".join(operation.responses)
            return [Violation("body", "", "status", f"one of the documented statuses {known}", str(reply.status))]
        headers = {name.lower(): value for name, value in reply.headers}
        found = [
            Violation("header", f"/{name}", "required", "a value", "nothing")
            for name, header in response.get("headers", {}).items()
            if self._document.resolve(header).get("required") and name.lower() not in (*headers, *EDGE_HEADERS)
        ]
        content = response.get("content")
        if not content:
            if reply.body:
                found.append(Violation("body", "", "content", "no body", f"{len(reply.body)} bytes"))
            return found
        name = media_type(headers.get("content-type", ""))
        key = next((one for one in (name, f"{name.partition('/')[0]}/*", "*/*") if one in content), None)
        if key is None:
            return [*found, Violation("header", "/Content-Type", "content", " or ".join(content), name or "nothing")]
        if "schema" not in content[key] or not (name == "application/json" or name.endswith("+json")):
            return found
        try:
            value = json.loads(reply.body)
        except ValueError as error:
            return [*found, Violation("body", "", "json", "JSON", str(error))]
        pointer = (*self._responses(operation, str(reply.status)), "content", key, "schema")
        return [*found, *self._validate(pointer, value)]

    def event(self, operation: Operation, status: str, event: Event) -> list[Violation]:
        """How one event of a stream breaks its schema: the frame by `itemSchema`, JSON data by `contentSchema`."""
        content = operation.responses.get(status, {}).get("content", {}).get(EVENT_STREAM)
        if content is None or "itemSchema" not in content or event.raw is not None or is_comment(event):
            return []
        base = (*self._responses(operation, status), "content", EVENT_STREAM, "itemSchema")
        found = self._validate(base, frame(event))
        if event.data is not None:
            for pointer in self._payloads(content["itemSchema"], base, event):
                found += self._validate((*pointer, "properties", "data", "contentSchema"), event.data)
        return found

    def _payloads(self, schema: Any, pointer: tuple[str | int, ...], event: Event) -> list[tuple[str | int, ...]]:
        """Where the schemas of an event's data stand: in the frame's schema, or in that of its branches which is for
        events of this name."""
        schema = self._document.resolve(schema)
        members = schema.get("properties", {})
        if "contentSchema" in self._document.resolve(members.get("data", {})):
            name = self._document.resolve(members.get("event", {})).get("const")
            return [pointer] if name in (None, event.event) else []
        found: list[tuple[str | int, ...]] = []
        for word in ("oneOf", "anyOf", "allOf"):
            for number, branch in enumerate(schema.get(word, ())):
                found += self._payloads(branch, (*pointer, word, number), event)
        return found

    def events(self, operation: Operation, status: str, events: list[Event]) -> list[Violation]:
        """How a whole stream breaks its `schema` (an array of frames), and each of its events its own."""
        content = operation.responses.get(status, {}).get("content", {}).get(EVENT_STREAM)
        found = [violation for event in events for violation in self.event(operation, status, event)]
        if content is not None and "schema" in content:
            pointer = (*self._responses(operation, status), "content", EVENT_STREAM, "schema")
            found += self._validate(pointer, [frame(event) for event in events if not is_comment(event)])
        return found

    def _responses(self, operation: Operation, status: str) -> tuple[str | int, ...]:
        return (*operation.pointer, "responses", status)

    def _validate(self, pointer: tuple[str | int, ...], value: Any) -> list[Violation]:
        validate = self._cache.get(pointer)
        if validate is None:
            validate = self._cache[pointer] = self._tools.validator(schema_path(self._tools.spec, pointer))
        try:
            validate(value)
        except InvalidSchemaValue as error:
            return list(violations_of("body", error.schema_errors))
        except Exception as error:  # a value that the validator itself trips over fits no schema
            return [Violation("body", "", "judge", "something that can be judged", f"{type(error).__name__}: {error}")]
        return []


def is_comment(event: Event) -> bool:
    """Whether the frame is a comment and nothing else: readers of events never see it."""
    return event.comment is not None and event.event is None and event.data is None


def frame(event: Event) -> Mapping[str, Any]:
    """An event as the object that OpenAPI 3.2 describes: only the fields that the frame has, data as text."""
    found: dict[str, Any] = {}
    if event.event is not None:
        found["event"] = event.event
    if event.data is not None:
        found["data"] = event.data if isinstance(event.data, str) else json.dumps(event.data, ensure_ascii=False)
    if event.id is not None:
        found["id"] = event.id
    if event.retry is not None:
        found["retry"] = event.retry
    return found
