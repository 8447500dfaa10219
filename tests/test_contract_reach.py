"""The table of stories fits the specs: no operation is forgotten, and links lead from each beginning to every step.

That the steps are really reached, with success, is asked of each run by scripts/contract.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from emulator.contract.document import Document, Operation, open_document
from emulator.service import spec_files
from emulator.settings import Settings

sys.path.append(str(Path(__file__).parent.parent / "scripts"))
from contract_reach import OUTSIDE, STORIES, read_chains, wanted

# A backend that has no stories yet is no mistake: its runs ask for none.
BACKENDS = sorted(STORIES)


def document_of(backend: str) -> Document:
    return open_document(spec_files(Settings())[backend])


def links_of(document: Document) -> dict[str, set[str]]:
    """Operation → operations that a link of one of its replies leads to."""
    return {
        operation.id: {
            document.resolve(link)["operationId"]
            for response in operation.responses.values()
            for link in (response.get("links") or {}).values()
        }
        for operation in document.operations.values()
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_operation_is_in_a_story_or_left_out_for_a_reason(backend: str) -> None:
    told = {name for story in STORIES[backend] for name in (story.first, *story.then)}
    left_out = OUTSIDE[backend]
    assert told & left_out.keys() == set()
    assert told | left_out.keys() == document_of(backend).operations.keys()
    assert all(left_out.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_links_lead_from_each_beginning_to_every_step(backend: str) -> None:
    links = links_of(document_of(backend))
    for story in STORIES[backend]:
        reached: set[str] = set()
        ahead = set(links[story.first])
        while ahead:
            reached |= ahead
            ahead = {further for one in ahead for further in links[one]} - reached
        assert set(story.then) <= reached, story.first


def expressions(value: Any) -> Iterator[str]:
    """All runtime expressions in what a link hands on."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from expressions(one)
    elif isinstance(value, str) and value.startswith("$"):
        yield value


def described(document: Document, schema: Mapping[str, Any], pointer: str) -> bool:
    """Whether a schema describes a member at a pointer."""
    schema = document.resolve(schema)
    first, _, rest = pointer.removeprefix("/").partition("/")
    if not first:
        return True
    below = [schema["properties"][first]] if first in schema.get("properties", {}) else []
    if first.isdigit() and "items" in schema:
        below.append(schema["items"])
    parts = [one for word in ("allOf", "anyOf", "oneOf") for one in schema.get(word, ())]
    return any(described(document, one, f"/{rest}") for one in below) or any(
        described(document, one, pointer) for one in parts
    )


def points_at_something(document: Document, operation: Operation, response: Mapping[str, Any], expression: str) -> bool:
    """Whether the documented call and reply have what an expression of a link names."""
    source, _, pointer = expression.partition("#")
    side, where, *name = source.removeprefix("$").split(".", 2)
    if (side, where) == ("response", "header"):
        return name[0] in response.get("headers", {})
    if where == "body":
        body = response if side == "response" else document.resolve(operation.request_body or {})
        return any(described(document, one["schema"], pointer) for one in body["content"].values())
    return (where, name[0]) in {(one["in"], one["name"]) for one in operation.parameters}


@pytest.mark.parametrize("backend", BACKENDS)
def test_links_hand_on_what_there_is(backend: str) -> None:
    document = document_of(backend)
    for operation in document.operations.values():
        for response in operation.responses.values():
            for name, found in (response.get("links") or {}).items():
                link = document.resolve(found)
                parameters, body = link.get("parameters", {}), link.get("requestBody")
                # Something that is named outright is there whatever the first call has made.
                assert all(map(list, map(expressions, parameters.values()))), (operation.id, name)
                told = [*expressions(parameters), *expressions(body)]
                assert told or not (parameters or body), (operation.id, name)
                lost = [one for one in told if not points_at_something(document, operation, response, one)]
                assert lost == [], (operation.id, name)


@pytest.mark.parametrize(
    ("expression", "there"),
    [
        ("$response.body#/conversations/0/id", True),
        ("$response.body#/nope/0/id", False),
        ("$response.body#/conversations/id", False),
        ("$request.path.username", True),
        ("$request.query.username", False),
        ("$response.header.Location", False),
    ],
)
def test_expressions_that_point_at_nothing(expression: str, there: bool) -> None:
    document = document_of("plainchat")
    operation = document.operations["listConversations"]
    assert points_at_something(document, operation, operation.responses["200"], expression) is there


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_deletion_is_a_step(backend: str) -> None:
    deletions = {operation.id for operation in document_of(backend).operations.values() if operation.method == "DELETE"}
    assert deletions <= {then for _, then in wanted(backend)}


CREATE, READ, DELETE = "POST /things", "GET /things/{id}", "DELETE /things/{id}"
IDS = {("POST", "/things"): "create", ("GET", "/things/{id}"): "read", ("DELETE", "/things/{id}"): "delete"}


def case(of: str, parent: str | None = None, applied: bool = True, handed: Any = 7) -> dict[str, Any]:
    method, path = of.split()
    known = {"value": {"method": method, "path": path}, "is_transition_applied": applied and parent is not None}
    parameter = {"definition": "$response.body#/id", "value": handed, "is_required": True}
    transition = {"parameters": {"path_parameters": {"id": parameter}}, "request_body": None}
    return known if parent is None else {**known, "parent_id": parent, "transition": transition}


LOST = {"$unresolvable": True}


@pytest.mark.parametrize(
    ("cases", "statuses", "steps"),
    [
        ({"a": case(CREATE), "b": case(READ, "a")}, {"a": 201, "b": 200}, {("create", "read")}),
        # What was made is handed on over a step between.
        (
            {"a": case(CREATE), "b": case(READ, "a"), "c": case(DELETE, "b")},
            {"a": 201, "b": 200, "c": 204},
            {("create", "read"), ("create", "delete"), ("read", "delete")},
        ),
        # No success, nothing made, nothing handed on, no answer.
        ({"a": case(CREATE), "b": case(READ, "a")}, {"a": 201, "b": 404}, set()),
        ({"a": case(CREATE), "b": case(READ, "a")}, {"a": 400, "b": 200}, set()),
        ({"a": case(CREATE), "b": case(READ, "a", applied=False)}, {"a": 201, "b": 200}, set()),
        ({"a": case(CREATE), "b": case(READ, "a")}, {"a": 201}, set()),
        # A value of the link that points at nothing, at the end or on the way.
        ({"a": case(CREATE), "b": case(READ, "a", handed=LOST)}, {"a": 201, "b": 200}, set()),
        ({"a": case(CREATE), "b": case(READ, "a", handed={"ids": [LOST]})}, {"a": 201, "b": 200}, set()),
        (
            {"a": case(CREATE), "b": case(READ, "a", handed=LOST), "c": case(DELETE, "b")},
            {"a": 201, "b": 200, "c": 204},
            {("read", "delete")},
        ),
    ],
)
def test_steps_are_read_from_a_report(
    cases: Mapping[str, Any], statuses: Mapping[str, int], steps: set[tuple[str, str]], tmp_path: Path
) -> None:
    recorder = {
        "cases": cases,
        "interactions": {name: {"response": {"status_code": status}} for name, status in statuses.items()},
    }
    report = tmp_path / "report.ndjson"
    scenarios = [{"phase": "stateful", "recorder": recorder}, {"phase": "fuzzing", "recorder": recorder}]
    lines = [{"Initialize": {}}, *({"ScenarioFinished": scenario} for scenario in scenarios)]
    report.write_text("\n".join(json.dumps(line, separators=(",", ":")) for line in lines))
    assert read_chains(report, IDS) == (1, steps)
