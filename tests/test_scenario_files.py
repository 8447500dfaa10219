"""Scenario files: what they may say, and how a mistake in one is told. Every mistake is `file:line:column: what`, with
the nearest valid word where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scenario_scene import steps_of, written

from emulator import source
from emulator.errors import Broken
from emulator.fault import Fault
from emulator.service import bundled
from emulator.streams.reading import load
from emulator.streams.scenario import MOST_STEPS, Line, Scenario
from emulator.streams.steps import (
    PACE,
    VERBS,
    Audio,
    Bytes,
    End,
    Fail,
    File,
    Ping,
    Replace,
    Respond,
    Say,
    Send,
    Step,
    ToolCall,
    ToolResult,
    Wait,
)
from emulator.streams.words import LONGEST_WAIT, STEPS

BUNDLED = sorted(bundled("scenarios").glob("*/*.yaml"))
PROMISED = {"default", "long-answer", "ping-between-deltas", "error-mid-stream", "disconnect-mid-stream"}


# --- what is bundled


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_bundled_file_can_be_read_and_says_what_it_is_for(file: Path) -> None:
    scenario = load(file)
    assert scenario.name == file.stem
    assert scenario.description.endswith(".")
    assert scenario.operation is None or file.parent.name != "any"


def test_the_promised_ones_serve_every_backend() -> None:
    assert {file.stem for file in BUNDLED if file.parent.name == "any"} >= PROMISED


# --- the words of a step

WORDS: dict[str, tuple[str, Step | Respond]] = {
    "say": ("- say: hello", Say("hello", PACE, None)),
    "say, paced": ("- say: hello\n  every: 40ms", Say("hello", 0.04)),
    "say, cut by size": ("- {say: hello, size: 1, every: 1s}", Say("hello", 1.0, 1)),
    "say a number": ("- say: 17", Say("17")),
    "say what YAML 1.1 takes for a boolean": ("- say: yes", Say("yes")),
    "say what YAML 1.1 takes for a date": ("- say: 2026-01-01", Say("2026-01-01")),
    "say what YAML 1.1 takes for a time in base 60": ("- say: 12:30:45", Say("12:30:45")),
    "wait in milliseconds": ("- wait: 1500ms", Wait(1.5)),
    "wait in seconds": ("- wait: 1.5s", Wait(1.5)),
    "wait in minutes": ("- wait: 2m", Wait(120.0)),
    "wait a number of seconds": ("- wait: 0.25", Wait(0.25)),
    "wait as long as can be": ("- wait: 3600", Wait(3600.0)),
    "wait for nothing": ("- wait: 0", Wait(0.0)),
    "ping": ("- ping", Ping()),
    "ping as a mapping": ("- ping:", Ping()),
    "event": ("- event: {event: message, answer: x}", Send({"event": "message", "answer": "x"})),
    "event that breaks its schema": ("- event: 5\n  violates: true", Send(5, True)),
    "bytes as text": ('- bytes: "data: {\\n\\n"', Bytes(b"data: {\n\n")),
    "bytes beyond text": ("- bytes: {base64: /w==}", Bytes(b"\xff")),
    "error": ("- error: {status: 400, code: provider_quota_exceeded}", Fail("provider_quota_exceeded", 400)),
    "error by code": ("- error: provider_quota_exceeded", Fail("provider_quota_exceeded")),
    "error with a text": ("- error: {message: No.}", Fail(None, None, "No.")),
    "error, the generic one": ("- error", Fail()),
    "error, empty": ("- error: {}", Fail()),
    "tool_call": ("- tool_call: {name: f, arguments: {a: [1]}, id: c1}", ToolCall("f", {"a": [1]}, "c1")),
    "tool_call without arguments": ("- tool_call: {name: f}", ToolCall("f")),
    "tool_result": ("- tool_result: {name: f, id: c1, result: [1]}", ToolResult([1], "f", "c1")),
    "tool_result, any value": ("- tool_result: {city: Hangzhou}", ToolResult({"city": "Hangzhou"})),
    "tool_result, nothing": ("- tool_result", ToolResult(None)),
    "file": ("- file: {type: document, name: a.txt, text: hi}", File("document", "a.txt", "hi")),
    "file, whatever it is": ("- file", File()),
    "replace": ("- replace: instead", Replace("instead")),
    "replace for a reason": ("- replace: {text: instead, reason: moderation}", Replace("instead", "moderation")),
    "audio": ("- audio: hello\n  every: 60ms", Audio("hello", 0.06)),
    "audio of what was said": ("- audio", Audio()),
    "say after a while": ("- say: hello\n  ttft: 2s", Say("hello", PACE, None, 2.0)),
    "say so many tokens a second": ("- say: hello\n  tokens_per_second: 50", Say("hello", 0.02)),
    "say unevenly": ("- say: hello\n  jitter: 5ms", Say("hello", PACE, None, 0.0, 0.005)),
    "fault": ("- fault: reset", Fault("reset")),
    "fault with more": ("- fault: {stall: 3s}", Fault("stall", {"for": 3.0})),
    "reply": ("- reply: 429", Respond(429)),
    "reply by code": ("- reply: {status: 400, code: no, message: No.}", Respond(400, "no", "No.")),
    "reply by example": ("- reply: {status: 429, example: a}", Respond(429, example="a")),
    "reply with headers": (
        "- reply: {status: 503, headers: {Retry-After: 3}}",
        Respond(503, headers={"Retry-After": "3"}),
    ),
    "reply with a body": (
        "- reply: {status: 599, body: {a: [1]}, violates: true}",
        Respond(599, body={"a": [1]}, has_body=True, violates=True),
    ),
    "reply with a body of null": ("- reply: {status: 200, body: null}", Respond(200, has_body=True)),
    "end": ("- end", End()),
    "end with more": ("- end: {annotation: 0}", End({"annotation": 0})),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_step_is_read(tmp_path: Path, name: str) -> None:
    text, expected = WORDS[name]
    assert steps_of(tmp_path, text) == (expected,)


def test_every_step_of_the_language_is_tried_above() -> None:
    tried = {VERBS.get(type(step), "reply") for _, step in WORDS.values()}
    assert tried == set(STEPS) == {*VERBS.values(), "reply"}


def test_a_whole_file(tmp_path: Path) -> None:
    text = "description: What it is.\noperation: sendChatMessage\nwhen: {body: {query: {contains: quota}}}\n"
    text += "requires: {left: {at_most: 0}}\nbecomes: {left: 5}\nfaults: reset\n"
    file = written(tmp_path, f"{text}steps: [ping]\n")
    assert load(file) == Scenario(
        name="mine",
        description="What it is.",
        lines=(Line(("steps", 0), "ping", (Ping(),)),),
        operation="sendChatMessage",
        when={"body": {"query": {"contains": "quota"}}},
        requires={"left": {"at_most": 0}},
        becomes={"left": 5},
        faults=(Fault("reset"),),
        file=str(file),
    )


def test_json_is_yaml(tmp_path: Path) -> None:
    file = written(tmp_path, json.dumps({"description": "é", "steps": [{"say": "你好"}, "ping"]}))
    assert load(file).steps == (Say("你好"), Ping())


# --- mistakes

EXPECTED_STEPS = ", ".join([*STEPS, "repeat", "choose"])
MISTAKES: dict[str, tuple[str, int, int, str]] = {
    # What is wrong: the file, the line and column that are told, a part of the message.
    "a step that is misspelt": ("steps:\n  - ping\n  - sya: hi\n", 3, 5, "unknown step 'sya'; did you mean 'say'?"),
    "a step that is like none": (
        "steps:\n- frobnicate: 1\n",
        2,
        3,
        f"unknown step 'frobnicate'; expected one of {EXPECTED_STEPS}",
    ),
    "a misspelt word beside a step": (
        "steps:\n- say: hi\n  evry: 3s\n",
        3,
        3,
        "unknown word 'evry'; did you mean 'every'?",
    ),
    "two steps in one": ("steps:\n- say: hi\n  wait: 1s\n", 3, 3, "unknown word 'wait'"),
    "a misspelt member": ("stepz: [ping]\nsteps: [ping]\n", 1, 1, "unknown word 'stepz'; did you mean 'steps'?"),
    "no steps": ("description: x\n", 1, 1, f"expected a list of 1 to {MOST_STEPS} steps"),
    "an empty list of steps": ("description: x\nsteps: []\n", 2, 1, f"expected a list of 1 to {MOST_STEPS} steps"),
    "steps that are no list": ("steps: {say: hi}\n", 1, 1, "expected a list"),
    "an empty file": ("", 1, 1, "expected a mapping with description and steps"),
    "a list": ("- say: hi\n", 1, 1, "expected a mapping with description and steps"),
    "text": ("say hi\n", 1, 1, "expected a mapping with description and steps"),
    "a description that is no text": ("description: [a]\nsteps: [ping]\n", 1, 1, "expected text, got a list"),
    "an operation that is no text": ("operation: {a: b}\nsteps: [ping]\n", 1, 1, "expected text, got a mapping"),
    "a step that is a list": ("steps:\n- ping\n- - ping\n", 3, 3, "expected a step such as"),
    "a step that is empty": ("steps:\n- {}\n", 2, 3, "expected a step such as"),
    "a step that is nothing": ("steps:\n- ~\n", 2, 3, "expected a step such as"),
    "a step that is a number": ("steps:\n- 5\n", 2, 3, "expected a step such as"),
    "say nothing": ("steps:\n- say:\n", 2, 3, "expected text, got nothing"),
    "say a mapping": ("steps:\n- say: {a: b}\n", 2, 3, "expected text, got a mapping"),
    "say at no size": ("steps:\n- say: x\n  size: 0\n", 3, 3, "expected a whole number from 1 to 100000, got 0"),
    "say at a size that is a boolean": ("steps:\n- say: x\n  size: true\n", 3, 3, "got True"),
    "a pace that is no duration": (
        "steps:\n- say: x\n  every: fast\n",
        3,
        3,
        "expected a duration such as 40ms, 1.5s or 2m, got 'fast'",
    ),
    "a unit that is not there": ("steps:\n- wait: 2 weeks\n", 2, 3, "expected a duration such as"),
    "a wait that is a boolean": ("steps:\n- wait: true\n", 2, 3, "expected a duration such as"),
    "a wait below nothing": ("steps:\n- wait: -1\n", 2, 3, "expected a duration from 0 to 3600s, got -1"),
    "a wait that is too long": ("steps:\n- wait: 61m\n", 2, 3, "expected a duration from 0 to 3600s, got '61m'"),
    "a wait beyond a float": (f"steps:\n- wait: 1{'0' * 400}\n", 2, 3, "expected a duration from 0 to 3600s"),
    "a wait of thousands of digits": (f"steps:\n- wait: 1{'0' * 5000}\n", 2, 9, "digits"),
    "a number without end": ("steps:\n- wait: 1e999\n", 2, 3, "expected a number that JSON has, got inf"),
    "a ping with a value": ("steps:\n- ping: 3\n", 2, 3, "ping takes no value"),
    "no event": ("steps:\n- event:\n", 2, 3, "expected an event"),
    "violates is no boolean": ("steps:\n- event: {}\n  violates: yes\n", 3, 3, "expected true or false"),
    "bytes that are no base64": ("steps:\n- bytes: {base64: abc}\n", 2, 11, "no base64"),
    "bytes that are not even ASCII": ("steps:\n- bytes: {base64: é}\n", 2, 11, "no base64"),
    "bytes in another form": ("steps:\n- bytes: {bas64: abc}\n", 2, 11, "did you mean 'base64'?"),
    "a status that is no error": (
        "steps:\n- error: {status: 200}\n",
        2,
        11,
        "expected a whole number from 400 to 599, got 200",
    ),
    "a status in quotes": ("steps:\n- error: {status: '400'}\n", 2, 11, "got '400'"),
    "a misspelt member of an error": ("steps:\n- error: {cod: x}\n", 2, 11, "did you mean 'code'?"),
    "an error that is a list": ("steps:\n- error: [x]\n", 2, 3, "expected a mapping, got a list"),
    "a tool without a name": ("steps:\n- tool_call: {arguments: {}}\n", 2, 3, "expected text, got nothing"),
    "a misspelt member of a tool call": ("steps:\n- tool_call: {nam: f}\n", 2, 15, "did you mean 'name'?"),
    "arguments that are no mapping": (
        "steps:\n- tool_call: {name: f, arguments: [1]}\n",
        2,
        24,
        "expected a mapping, got a list",
    ),
    "a misspelt member of a result": ("steps:\n- tool_result: {result: 1, nmae: f}\n", 2, 28, "did you mean 'name'?"),
    "a kind of file that is misspelt": (
        "steps:\n- file: {type: imge}\n",
        2,
        10,
        "unknown type 'imge'; did you mean 'image'?",
    ),
    "a misspelt member of a replacement": ("steps:\n- replace: {txt: x}\n", 2, 13, "did you mean 'text'?"),
    "a fault that is misspelt": (
        "steps:\n- fault: rest\n",
        2,
        3,
        "unknown fault 'rest'; did you mean 'reset'?",
    ),
    "an end that is no mapping": ("steps:\n- end: 5\n", 2, 3, "expected a mapping, got 5"),
    "a misspelt place": ("when: {boddy: {}}\nsteps: [ping]\n", 1, 8, "unknown word 'boddy'; did you mean 'body'?"),
    "when is no mapping": ("when: quota\nsteps: [ping]\n", 1, 1, "expected a mapping of body, header, "),
    "a place that is no mapping": ("when: {body: quota}\nsteps: [ping]\n", 1, 8, "expected a mapping of names"),
    "a misspelt test": (
        "when: {body: {query: {contain: x}}}\nsteps: [ping]\n",
        1,
        23,
        "unknown word 'contain'; did you mean 'contains'?",
    ),
    "no regular expression": ("when: {body: {query: {matches: '('}}}\nsteps: [ping]\n", 1, 23, "no regular expression"),
    "an operation twice over": ("when: {operation: x}\nsteps: [ping]\n", 1, 8, "unknown word 'operation'"),
    "a test of no kind": ("when: {body: {query: {}}}\nsteps: [ping]\n", 1, 15, "expected a test, one of equals"),
    "a list to be equal to": ("when: {body: {query: [a]}}\nsteps: [ping]\n", 1, 15, "expected a value or tests"),
    "a count that is no number": ("when: {nth: first}\nsteps: [ping]\n", 1, 8, "expected a number or tests"),
    "every none": ("when: {nth: {every: 0}}\nsteps: [ping]\n", 1, 14, "expected a whole number from 1, got 0"),
    "at least a text": ("when: {nth: {at_least: '1'}}\nsteps: [ping]\n", 1, 14, "expected a number, got '1'"),
    "exists that is no boolean": ("when: {body: {a: {exists: 1}}}\nsteps: [ping]\n", 1, 19, "expected true or false"),
    "contains a list": ("when: {body: {a: {contains: [1]}}}\nsteps: [ping]\n", 1, 19, "expected one value"),
    "a pattern that is no text": (
        "when: {body: {a: {matches: 5}}}\nsteps: [ping]\n",
        1,
        19,
        "expected a regular expression",
    ),
    "a pattern that looks ahead": (
        "when: {body: {a: {matches: 'a(?=b)'}}}\nsteps: [ping]\n",
        1,
        19,
        "looking ahead or behind cannot be used here",
    ),
    "requires that is no mapping": ("requires: left\nsteps: [ping]\n", 1, 1, "expected a mapping of names"),
    "a misspelt test of a state": ("requires: {a: {at_lest: 1}}\nsteps: [ping]\n", 1, 16, "did you mean 'at_least'?"),
    "becomes that is no mapping": ("becomes: [left]\nsteps: [ping]\n", 1, 1, "expected a mapping, got a list"),
    "a pace of nothing": ("pace: 40ms\nfaults: reset\n", 1, 1, "there are no steps that it could pace"),
    "a misspelt pace": ("pace: {tps: 5}\nsteps: [ping]\n", 1, 8, "unknown word 'tps'"),
    "a pace said twice": (
        "steps:\n- say: x\n  every: 1s\n  tokens_per_second: 5\n",
        4,
        3,
        "every says the same in another way",
    ),
    "no tokens a second": ("steps:\n- say: x\n  tokens_per_second: 0\n", 3, 3, "expected a number up to 100000, got 0"),
    "a misspelt fault of a file": ("faults: rest\n", 1, 1, "did you mean 'reset'?"),
    "a fault of the head as a step": ("steps:\n- fault: refuse\n", 2, 3, "write it under `faults:`"),
    "latency as a step": ("steps:\n- fault: {latency: 1s}\n", 2, 3, "a wait does that here"),
    "a step with a place": (
        "steps:\n- fault: {reset: {event: 1}}\n",
        2,
        3,
        "a step strikes where it stands",
    ),
    "a repeat without steps": ("steps:\n- repeat: 2\n", 2, 3, "expected a list of 1 to 10000 steps"),
    "a repeat of no number": (
        "steps:\n- repeat: x\n  steps: [ping]\n",
        2,
        3,
        "expected a whole number from 0 to 10000",
    ),
    "too many repeats": ("steps:\n- repeat: 10001\n  steps: [ping]\n", 2, 3, "from 0 to 10000, got 10001"),
    "repeats of repeats": (
        "steps:\n- repeat: 1000\n  steps: [{repeat: 11, steps: [ping]}]\n",
        1,
        1,
        "it comes to more than 10000 steps",
    ),
    "a misspelt word of a repeat": ("steps:\n- repeat: 2\n  step: [ping]\n", 3, 3, "did you mean 'steps'?"),
    "a choice that is no list": ("steps:\n- choose: {when: {}}\n", 2, 3, "expected a list of 1 to 100 ways"),
    "a way that is no mapping": ("steps:\n- choose: [ping]\n", 2, 12, "expected a mapping of when, requires"),
    "a misspelt word of a way": ("steps:\n- choose: [{wen: {}, steps: [ping]}]\n", 2, 13, "did you mean 'when'?"),
    "a way without steps": ("steps:\n- choose: [{when: {nth: 1}}]\n", 2, 12, "expected a list of 1 to 10000 steps"),
    "a way after the last": (
        "steps:\n- choose: [{steps: [ping]}, {when: {nth: 1}, steps: [ping]}]\n",
        2,
        12,
        "a way without when is the last one",
    ),
    "a state that is asked for twice": (
        "steps:\n- choose: [{when: {state: {a: 1}}, requires: {a: 2}, steps: [ping]}]\n",
        2,
        47,
        "when says what this state must be already",
    ),
    "a reply beside text": ("steps:\n- say: x\n- reply: 429\n", 3, 3, "a reply is the whole answer"),
    "a reply before text": ("steps:\n- reply: 429\n- say: x\n", 3, 3, "a reply is the whole answer"),
    "a wait after a reply": ("steps:\n- reply: 429\n- wait: 1s\n", 3, 3, "a reply is the whole answer"),
    "two replies": ("steps:\n- reply: 429\n- reply: 503\n", 3, 3, "a reply is the whole answer"),
    "a reply again and again": ("steps:\n- repeat: 2\n  steps: [reply: 429]\n", 2, 3, "a reply is the whole answer"),
    "a reply in one way and text for all": (
        "steps:\n- choose: [{when: {nth: 1}, steps: [reply: 429]}]\n- say: x\n",
        3,
        3,
        "a reply is the whole answer",
    ),
    "a reply without a status": ("steps:\n- reply: {code: x}\n", 2, 3, "whole number from 200 to 599, got nothing"),
    "a reply of a kind that has no end": ("steps:\n- reply: 101\n", 2, 3, "from 200 to 599, got 101"),
    "a misspelt member of a reply": ("steps:\n- reply: {status: 429, bdy: x}\n", 2, 24, "did you mean 'body'?"),
    "a reply with two bodies": (
        "steps:\n- reply: {status: 429, body: x, code: y}\n",
        2,
        33,
        "body says what the body is already",
    ),
    "a body where there is none": ("steps:\n- reply: {status: 204, body: x}\n", 2, 24, "204 has no body"),
    "a header with a line end": (
        'steps:\n- reply: {status: 429, headers: {a: "b\\nc"}}\n',
        2,
        34,
        "Latin-1 in one line",
    ),
    "a header that is no name": ("steps:\n- reply: {status: 429, headers: {a b: c}}\n", 2, 34, "no name of a header"),
    "a header of the server": (
        "steps:\n- reply: {status: 429, headers: {Content-Length: 3}}\n",
        2,
        34,
        "the server says this itself",
    ),
    # YAML itself.
    "a key twice": ("steps: [ping]\nsteps: [ping]\n", 2, 1, "the key 'steps' stands twice"),
    "a key twice further in": ("steps:\n- say: a\n  say: b\n", 3, 3, "the key 'say' stands twice"),
    "a merge key": ("description: &d {}\nsteps:\n- <<: *d\n", 3, 3, "merge keys are not allowed"),
    "a tag that makes an object": (
        "steps: [!!python/object:os.system x]\n",
        1,
        9,
        "tag tag:yaml.org,2002:python/object:os.system is not allowed",
    ),
    "a tag of one's own": ("steps: [!mine ping]\n", 1, 9, "tag !mine is not allowed"),
    "a tag on a list": ("steps: !mine [ping]\n", 1, 8, "tag !mine is not allowed"),
    "a tag on a mapping": ("!mine {steps: [ping]}\n", 1, 1, "tag !mine is not allowed"),
    "bytes by a tag, which are no JSON": ("steps:\n- event: {x: !!binary aGk=}\n", 2, 14, "is not allowed"),
    "a date by a tag": ("steps:\n- event: {x: !!timestamp 2026-01-01}\n", 2, 14, "is not allowed"),
    "a set": ("steps: !!set {ping}\n", 1, 8, "is not allowed"),
    "a tag that does not fit": ("steps:\n- event: {x: !!bool perhaps}\n", 2, 14, "perhaps"),
    "two documents": ("steps: [ping]\n---\nsteps: [ping]\n", 2, 1, "expected a single document"),
    "a mapping in a line": ("steps:\n- say: a: b\n", 2, 9, "mapping values are not allowed"),
    "a tab": ("steps:\n\t- ping\n", 2, 1, "cannot start any token"),
    "an alias to nothing": ("steps: [*none]\n", 1, 9, "undefined alias"),
    "half a character": ('steps:\n- say: "\\ud800"\n', 2, 11, "invalid Unicode character escape code"),
    "an alias to what it is in": ("description: &a [*a]\nsteps: [ping]\n", 1, 14, "nested deeper than 64 levels"),
    "deep nesting": (f"steps: {'[' * 100}{']' * 100}\n", 1, 72, "nested deeper than 64 levels"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    text, line, column, words = MISTAKES[name]
    file = written(tmp_path, text)
    with pytest.raises(Broken) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}:{line}:{column}: ")
    assert words in caught.value.what
    assert (caught.value.file, caught.value.line, caught.value.column) == (str(file), line, column)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="No such file"):
        load(tmp_path / "none.yaml")


def test_a_name_that_nobody_could_ask_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="'two words' is no scenario name"):
        load(written(tmp_path, "steps: [ping]\n", "two words"))


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"steps: [ping] # \xff")
    with pytest.raises(Broken, match="not UTF-8 at byte 16"):
        load(file)


def test_too_many_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Broken, match=f"expected a list of 1 to {MOST_STEPS} steps"):
        steps_of(tmp_path, "- ping\n" * (MOST_STEPS + 1))


# --- files that want to exhaust the machine


def bomb(levels: int = 9) -> str:
    """Ten times ten times ten … by aliases: a kilobyte that would be a billion values."""
    lines = [f"a0: &a0 [{','.join('x' * 10)}]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join([*lines, "steps: [ping]", ""])


def test_aliases_count_each_time_they_are_used(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(Broken, match="aliases count each time"):
        load(written(tmp_path, bomb()))
    assert time.monotonic() - begun < 20


def test_a_few_aliases_are_fine(tmp_path: Path) -> None:
    assert steps_of(tmp_path, "- say: &text hello\n- replace: *text") == (Say("hello"), Replace("hello"))


def test_a_file_can_be_too_large(tmp_path: Path) -> None:
    file = written(tmp_path, f"steps: [ping] # {'x' * source.MOST_BYTES}\n")
    with pytest.raises(Broken, match=f"larger than {source.MOST_BYTES} bytes"):
        load(file)


@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "? "])
def test_bottomless_nesting_is_told_and_ends_no_process(tmp_path: Path, opener: str) -> None:
    """The C parser recurses: without a bound before it, such a file ends the process. So a process of its own reads
    it."""
    file = written(tmp_path, f"steps:\n {opener * 100_000}\n")
    reading = (
        "import sys\nfrom pathlib import Path\nfrom emulator import source\nfrom emulator.errors import Broken\n"
        "for read in (source.read, source.load):\n"
        "    try:\n        read(Path(sys.argv[1]))\n"
        "    except Broken as error:\n        print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(source.__file__).parents[1]), *sys.path])}
    command = [sys.executable, "-c", reading, str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == 2
    assert all("nested deeper than 64 levels" in line for line in told)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SOME_WORDS = st.sampled_from([*STEPS, "repeat", "choose", "steps", "when", "every", "size", "violates", "sya", ""])
SOME_STEPS = st.lists(st.dictionaries(SOME_WORDS, VALUES, max_size=2) | st.sampled_from([*STEPS]) | VALUES, max_size=4)
SOME_FILES = st.fixed_dictionaries(
    {"steps": SOME_STEPS | VALUES},
    optional=dict.fromkeys(("description", "operation", "when", "requires", "becomes", "pace", "faults"), VALUES),
)


def scenario_or_broken(file: Path) -> Scenario | Broken:
    try:
        return load(file)
    except Broken as error:
        return error


@settings(max_examples=150, deadline=None)
@given(SOME_FILES, st.booleans())
def test_any_data_is_a_scenario_or_broken(tmp_path_factory: pytest.TempPathFactory, data: Any, block: bool) -> None:
    text = yaml.safe_dump(data, allow_unicode=True, default_flow_style=not block)
    file = written(tmp_path_factory.getbasetemp(), text, "any-data")
    found = scenario_or_broken(file)
    if isinstance(found, Broken):
        assert found.line is not None and found.column is not None
        assert 1 <= found.line <= text.count("\n") + 1
    else:
        assert found.lines is None or len(found.lines) <= MOST_STEPS
        assert all(0 <= step.seconds <= LONGEST_WAIT for step in found.steps if isinstance(step, Wait))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_scenario_or_broken(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any-bytes.yaml"
    file.write_bytes(data)
    found = scenario_or_broken(file)
    assert isinstance(found, Scenario) or str(found).startswith(str(file))
