"""The JSON Schema for editors: it takes what the reader takes, refuses what is wrong in its form, and has the same
words."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from test_scenario_files import BUNDLED, MISTAKES, WORDS
from test_scenario_unfolding import CHOICE, PACES
from test_scenario_when import SENTENCES

from emulator.cli import main
from emulator.durations import duration
from emulator.errors import Broken
from emulator.fault import FAULTS, parse
from emulator.service import bundled
from emulator.source import parse as parse_yaml
from emulator.source import read
from emulator.streams import reading, when
from emulator.streams import words as words_of

ROOT = Path(__file__).parent.parent
FILE = bundled("scenarios") / "scenario.schema.json"
SCHEMA: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
MODELINE = "# yaml-language-server: $schema=../scenario.schema.json\n"

NOT_ITS_FORM = {
    "a wait that is too long",
    "bytes that are no base64",
    "bytes that are not even ASCII",
    "a misspelt member of a result",
    "no regular expression",
    "a pattern that looks ahead",
    "a fault of the head as a step",
    "latency as a step",
    "a step with a place",
    "repeats of repeats",
    "a way after the last",
    "a state that is asked for twice",
    "a reply beside text",
    "a reply before text",
    "a wait after a reply",
    "two replies",
    "a reply again and again",
    "a reply in one way and text for all",
    "a body where there is none",
    "a header with a line end",
    "a header that is no name",
    "a header of the server",
}
"""Mistakes that are about what something means, not about its form."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that writes the schema."""
    spec = importlib.util.spec_from_file_location("scenario_schema", ROOT / "scripts" / "scenario_schema.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(data: Any) -> list[str]:
    return [f"{list(error.absolute_path)}: {error.message[:200]}" for error in VALIDATOR.iter_errors(data)]


def test_it_is_a_schema_of_2020_12_and_is_what_the_script_writes(script: ModuleType) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"].endswith("2020-12/schema")
    assert script.schema() == SCHEMA, "run scripts/scenario_schema.py"


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_bundled_file_fits_and_says_so_to_editors(file: Path) -> None:
    assert told(read(file).data) == []
    text = file.read_text("utf-8")
    assert text.startswith(MODELINE)
    assert (file.parent / text.partition("$schema=")[2].partition("\n")[0]).resolve() == FILE.resolve()


VALID = {
    **{f"step: {name}": f"steps:\n{text}" for name, (text, _) in WORDS.items()},
    **{f"pace: {name}": text for name, (text, _) in PACES.items()},
    **{f"when: {when}": f"when: {when}\nsteps: [ping]" for when, _ in SENTENCES},
    "a choice": CHOICE,
    "a repeat": "steps: [{repeat: '{{ nth }}', steps: [ping, {repeat: 2, steps: [ping]}]}]",
    "faults": "faults: [reset, {truncate: {event: last}}, {latency: '{{ state.slow }}'}]",
    "states": "requires: {a: {exists: false}, b: 1}\nbecomes: {a: {b: [1]}}",
    "values": "steps: [{say: '{{ nth }}', every: '{{ state.a }}'}, {event: '{{ state.b }}', violates: true}, "
    "{file: {type: '{{ state.c }}'}}, {wait: '{{ nth }}'}, {end: '{{ state.d }}'}]",
    "a reply of values": "steps: [reply: {status: '{{ nth }}', headers: {a: '{{ nth }}'}, body: ['{{ nth }}']}]",
}


@pytest.mark.parametrize("name", VALID)
def test_what_the_reader_takes_fits(name: str) -> None:
    source = parse_yaml(VALID[name], "f.yaml")
    reading.read_scenario(source, "mine")
    assert told(source.data) == []


def test_what_is_wrong_in_its_form_does_not_fit() -> None:
    fits = set()
    for name, (text, *_) in MISTAKES.items():
        try:
            data = parse_yaml(text, "f.yaml").data
        except Broken:
            continue
        if not told(data):
            fits.add(name)
    assert fits == NOT_ITS_FORM


def members(schema: Any) -> set[str]:
    return set(schema["properties"])


def test_words_of_reader_and_schema_are_the_same() -> None:
    defs = SCHEMA["$defs"]
    assert members(SCHEMA) == set(reading.MEMBERS)
    assert members(defs["when"]) == set(when.WORDS)
    assert members(defs["tests"]) == set(when.TESTS)
    assert members(defs["reply"]) == set(words_of.REPLY)
    alone, *forms = defs["step"]["anyOf"]
    words = {form["required"][0]: members(form) - {form["required"][0]} for form in forms}
    assert words == {
        **{word: set(extra) for word, (_, extra) in words_of.STEPS.items()},
        "repeat": {"steps"},
        "choose": set(),
    }
    assert set(words) == set(words_of.WORDS)
    for word in words_of.WORDS:
        assert (word in alone["enum"]) is can_be_read({"steps": [word]}), word
    way = next(form for form in forms if form["required"] == ["choose"])["properties"]["choose"]["items"]
    assert members(way) == set(reading.BRANCH)
    pace = next(form for form in SCHEMA["properties"]["pace"]["anyOf"] if form.get("type") == "object")
    assert members(pace) == set(words_of.PACING)


def can_be_read(data: Any) -> bool:
    try:
        reading.scenario_from(data, "mine", None, None, LookupError)
    except LookupError:
        return False
    return True


def test_faults_of_reader_and_schema_are_the_same() -> None:
    names, by_name, _ = SCHEMA["$defs"]["fault"]["anyOf"]
    listed = names["anyOf"][0]["enum"]
    assert set(listed) >= set(FAULTS)
    assert set(listed) == members(by_name)
    for name in listed:
        (fault,) = parse(name, LookupError)
        assert fault.name in FAULTS


@pytest.mark.parametrize("text", ["40ms", "1.5s", "2m", " 3 s ", "0", "-1", "1", "2 weeks", "", "s", "1e3s", "5", "1h"])
def test_a_duration_fits_as_it_is_read(text: str) -> None:
    try:
        seconds: float | None = duration(text, 1e12)
    except ValueError:
        seconds = None
    assert (told({"steps": [{"wait": text}]}) == []) is (seconds is not None)


def test_each_member_says_what_it_is_for() -> None:
    silent = [
        name for name, member in SCHEMA["properties"].items() if "description" not in member and "$ref" not in member
    ]
    for name, definition in SCHEMA["$defs"].items():
        if "properties" in definition:
            silent += [f"{name}.{word}" for word, one in definition["properties"].items() if "description" not in one]
    assert silent == []


def test_it_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
