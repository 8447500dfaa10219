"""Write `scenarios/scenario.schema.json`, by which editors complete and check scenario files.

    python scripts/scenario_schema.py

The words are those of the reader; a test holds the two against each other, and the file against this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator import fault
from emulator.durations import LONGEST
from emulator.streams.reading import MOST_BRANCHES
from emulator.streams.scenario import MOST_STEPS
from emulator.streams.when import MOST_NAMES
from emulator.streams.words import FASTEST, KINDS_OF_FILE, MOST_HEADERS

FILE = Path(__file__).parent.parent / "scenarios" / "scenario.schema.json"
Schema = dict[str, Any]

VALUE = {"$ref": "#/$defs/value"}
TEXT = {"$ref": "#/$defs/text"}
DURATION = {"$ref": "#/$defs/duration"}
STEPS = {"$ref": "#/$defs/steps"}
NAMES = {"$ref": "#/$defs/names"}


def described(says: str, schema: Mapping[str, Any]) -> Schema:
    """A schema with what it is for; beside a reference that is allowed since 2019-09."""
    return {"description": says, **schema}


def or_value(schema: Mapping[str, Any]) -> Schema:
    """What fits the schema, or what is worked out for each call."""
    return {"anyOf": [dict(schema), VALUE]}


def mapping(says: str, members: Mapping[str, Any], required: tuple[str, ...] = (), **more: Any) -> Schema:
    """A mapping with these members and no others."""
    needed = {"required": list(required)} if required else {}
    found = {"description": says, "type": "object", "properties": dict(members), "additionalProperties": False}
    return {**found, **needed, **more}


def whole(low: int, high: int) -> Schema:
    """A whole number, or what is worked out."""
    return or_value({"type": "integer", "minimum": low, "maximum": high})


PACE = {
    "every": described("Time between two pieces: 40ms, 1.5s. 30ms where nothing is said.", DURATION),
    "ttft": described("Time before the first piece, on top of waits.", DURATION),
    "tokens_per_second": described(
        "The same as every, the other way round; a piece counts as a token.",
        or_value({"type": "number", "minimum": 1 / LONGEST, "maximum": FASTEST}),
    ),
    "jitter": described("How much each distance may differ, up or down; drawn from the seed.", DURATION),
}
TWICE = {"required": ["every", "tokens_per_second"]}
APART = (["body", "example"], ["body", "code"], ["body", "message"], ["example", "code"], ["example", "message"])
"""Words of a reply of which each says what the body is."""
VIOLATES = {"violates": described("It breaks the spec on purpose.", or_value({"type": "boolean"}))}
A_PACE = {**mapping("A pace.", PACE), "not": TWICE}
STATES = described(
    "States to set when this is played, each with its data.", {"type": "object", "maxProperties": MOST_NAMES}
)
REQUIRES = described("States that must be so: a value, or tests. The same as `when: {state: …}`.", NAMES)
FAULTS = {"$ref": "#/$defs/faults"}

STEP: Mapping[str, tuple[Schema, Schema, bool]] = {
    "say": (
        described("Text of the answer. It is cut as a model's tokens come, or by size.", TEXT),
        {**PACE, "size": described("Characters of a piece.", whole(1, 100_000))},
        False,
    ),
    "event": (
        described(
            "One raw event of the dialect. `check` holds it against the spec.",
            {"not": {"type": "null"}},
        ),
        VIOLATES,
        False,
    ),
    "bytes": (
        described(
            "Exact bytes on the wire: text, or base64.",
            {"anyOf": [TEXT, mapping("Bytes that are no text.", {"base64": TEXT}, ("base64",))]},
        ),
        {},
        False,
    ),
    "ping": (described("A keep-alive, now.", {"type": "null"}), {}, True),
    "wait": (described("Nothing for a while; keep-alives go on.", DURATION), {}, False),
    "error": (
        described(
            "The answer fails here. Without a code it is the generic failure of a model.",
            {
                "anyOf": [
                    {"type": ["string", "null"]},
                    mapping("The failure.", {"status": whole(400, 599), "code": TEXT, "message": TEXT}),
                ]
            },
        ),
        {},
        True,
    ),
    "tool_call": (
        described(
            "The model calls a tool.",
            or_value(
                mapping(
                    "The call.",
                    {"name": TEXT, "arguments": or_value({"type": ["object", "null"]}), "id": TEXT},
                    ("name",),
                )
            ),
        ),
        {},
        False,
    ),
    "tool_result": (
        described(
            "What a tool gives: any value, or {result, name, id} to say which call it is for. Nothing: what the "
            "backend's own tool gives.",
            {},
        ),
        {},
        True,
    ),
    "file": (
        described(
            "A file is made.",
            {
                "anyOf": [
                    {"type": "null"},
                    VALUE,
                    mapping("The file.", {"type": or_value({"enum": list(KINDS_OF_FILE)}), "name": TEXT, "text": TEXT}),
                ]
            },
        ),
        {},
        True,
    ),
    "replace": (
        described(
            "What was said so far is replaced.",
            {"anyOf": [TEXT, mapping("The new text, and why.", {"text": TEXT, "reason": TEXT}, ("text",))]},
        ),
        {},
        False,
    ),
    "audio": (
        described("Spoken audio of a text, or of what was said since the last.", {"anyOf": [{"type": "null"}, TEXT]}),
        {"every": described("Time between two pieces of audio. 50ms where nothing is said.", DURATION)},
        True,
    ),
    "fault": (
        described("What breaks here. What is about the head of an answer belongs to `faults`.", FAULTS),
        {},
        False,
    ),
    "end": (
        described("The proper end, with what the dialect can say in it.", or_value({"type": ["object", "null"]})),
        {},
        True,
    ),
    "reply": (
        described(
            "An HTTP reply instead of an answer. Nothing may stand beside it but waits before it.",
            {"anyOf": [whole(200, 599), {"$ref": "#/$defs/reply"}]},
        ),
        {},
        False,
    ),
    "repeat": (
        described("How often its steps are played; `index` counts from 0 in their values.", whole(0, MOST_STEPS)),
        {"steps": STEPS},
        False,
    ),
    "choose": (
        described(
            "The first way whose condition is met is played; one without a condition is the last.",
            {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_BRANCHES,
                "items": mapping(
                    "One way.",
                    {
                        "when": {"$ref": "#/$defs/when"},
                        "requires": REQUIRES,
                        "becomes": STATES,
                        "faults": FAULTS,
                        "steps": STEPS,
                    },
                    anyOf=[{"required": [word]} for word in ("steps", "faults", "becomes")],
                ),
            },
        ),
        {},
        False,
    ),
}
"""Word of a step → its value, the words beside it, and whether it can stand alone."""

TESTS: Mapping[str, Schema] = {
    "equals": described("Is this value.", {}),
    "contains": described("Text that contains this, or a list that has it.", {"not": {"type": ["object", "array"]}}),
    "matches": described(
        "Text in which this regular expression matches, in Python's syntax without looking around and references.",
        {"type": "string", "maxLength": 1000},
    ),
    "exists": described("Whether it is there.", {"type": "boolean"}),
    "at_least": described("A number from this one on.", {"type": "number"}),
    "at_most": described("A number up to this one.", {"type": "number"}),
    "every": described("A multiple of this number: every third is 3.", {"type": "integer", "minimum": 1}),
}
PLACES = {
    "body": "Members of the body; a dot leads further in, as in inputs.city.",
    "header": "Headers of the call.",
    "query": "Parameters in the query.",
    "path": "Parameters in the path.",
    "state": "States of this backend in this session, as `becomes` has set them.",
}
COUNTS = {
    "nth": "The number of this call among the accepted ones of its operation in this session, from 1.",
    "play": "The number of this play of the scenario in this session, from 1.",
    "turn": "The number of this question in its conversation, from 1.",
}
REPLY: Mapping[str, Schema] = {
    "status": described("The HTTP status.", whole(200, 599)),
    "code": described("An error code of the backend, whose own words then make the body.", TEXT),
    "message": described("The text of that error.", TEXT),
    "example": described("The name of a documented example for this status.", TEXT),
    "headers": described(
        "Headers, such as Retry-After.",
        or_value({"type": "object", "maxProperties": MOST_HEADERS, "additionalProperties": TEXT}),
    ),
    "body": described("The body: text as it is, anything else as JSON.", {}),
    **VIOLATES,
}


def step() -> Schema:
    """One step."""
    alone = [word for word, (_, _, bare) in STEP.items() if bare]
    forms: list[Schema] = [described("A step that needs no more than its name.", {"enum": alone})]
    for word, (value, extra, _) in STEP.items():
        needed = (word, "steps") if word == "repeat" else (word,)
        form = mapping(value["description"], {word: value, **extra}, needed)
        forms.append({**form, "not": TWICE} if "tokens_per_second" in extra else form)
    return {"anyOf": forms}


def with_values(schema: Any) -> Any:
    """A schema of faults in which each number and word may be worked out for a call."""
    if isinstance(schema, list):
        return [with_values(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in ("integer", "number", "string") or "enum" in schema:
        about = {word: schema[word] for word in ("description", "default") if word in schema}
        return {**about, "anyOf": [{word: one for word, one in schema.items() if word not in about}, VALUE]}
    return {
        word: {name: with_values(member) for name, member in one.items()} if word == "properties" else with_values(one)
        for word, one in schema.items()
    }


def schema() -> Schema:
    """The whole schema."""
    members = {
        "description": described("What happens, in a sentence or two.", TEXT),
        "operation": described(
            "The operation that it is for. Left out: all that give answers, or all where no step says anything.",
            {"type": "string"},
        ),
        "when": {"$ref": "#/$defs/when"},
        "requires": REQUIRES,
        "becomes": STATES,
        "pace": described(
            "How quickly every text of this file comes: the time between two pieces, or more.",
            {"anyOf": [DURATION, A_PACE, {"type": "null"}]},
        ),
        "faults": described("What breaks on the way of the answer, whoever makes it.", FAULTS),
        "steps": STEPS,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario of chat-emulator",
        **mapping(
            "What an answer can be made to do.",
            members,
            anyOf=[{"required": [word]} for word in ("steps", "faults", "becomes")],
            dependentRequired={"pace": ["steps"]},
        ),
        "$defs": {
            "value": described("A text with values, worked out for each call: {{ request.body.query }}.", VALUE_TEXT),
            "text": described(
                "Text; {{ … }} in it is worked out for each call.", {"type": ["string", "number", "boolean"]}
            ),
            "duration": described(
                "A duration: 40ms, 1.5s, 2m, or a number of seconds.",
                or_value(
                    {
                        "anyOf": [
                            {"type": "number", "minimum": 0, "maximum": LONGEST},
                            {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)\s*$"},
                        ]
                    }
                ),
            ),
            "steps": described(
                "What happens, in order.",
                {"type": "array", "minItems": 1, "maxItems": MOST_STEPS, "items": {"$ref": "#/$defs/step"}},
            ),
            "step": step(),
            "reply": mapping("A reply.", REPLY, ("status",), allOf=[{"not": {"required": pair}} for pair in APART]),
            "names": described(
                "Names with what must be there: a value, or tests.",
                {
                    "type": "object",
                    "maxProperties": MOST_NAMES,
                    "additionalProperties": {
                        "anyOf": [
                            {"type": ["string", "number", "boolean", "null"]},
                            {"$ref": "#/$defs/tests"},
                        ]
                    },
                },
            ),
            "tests": mapping("Tests that must all pass.", TESTS, minProperties=1),
            "when": mapping(
                "Which calls it is for. All that is said must hold.",
                {
                    **{word: described(says, NAMES) for word, says in PLACES.items()},
                    **{
                        word: described(says, {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/tests"}]})
                        for word, says in COUNTS.items()
                    },
                },
            ),
            **_faults(),
        },
    }


def _faults() -> Schema:
    """One fault, and what may stand for some: it, or a list of them."""
    one, several = with_values(fault.schema())["anyOf"]
    assert several["items"] == one
    reference = {"$ref": "#/$defs/fault"}
    return {"fault": one, "faults": {"anyOf": [reference, {**several, "items": reference}]}}


VALUE_TEXT = {"type": "string", "pattern": r"\{\{"}


def main() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
