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

from emulator import source
from emulator.errors import Broken, Misused
from emulator.fault import Fault
from emulator.service import bundled
from emulator.streams.reading import LONGEST_WAIT, STEPS, load
from emulator.streams.scenario import MOST_STEPS, Scenario, Scene, asked_for
from emulator.streams.shelf import Scenarios
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
    Say,
    Send,
    Step,
    ToolCall,
    ToolResult,
    Wait,
)
from emulator.world.seed import Seed

BUNDLED = sorted(bundled("scenarios").glob("*/*.yaml"))
PROMISED = {"default", "long-answer", "ping-between-deltas", "error-mid-stream", "disconnect-mid-stream"}


def written(folder: Path, text: str, name: str = "mine") -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(text, "utf-8")
    return file


def steps_of(folder: Path, steps: str) -> tuple[Step, ...]:
    return load(written(folder, f"steps:\n{steps}\n")).steps


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

WORDS: dict[str, tuple[str, Step]] = {
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
    "fault": ("- fault: disconnect", Fault("reset")),
    "end": ("- end", End()),
    "end with more": ("- end: {annotation: 0}", End({"annotation": 0})),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_step_is_read(tmp_path: Path, name: str) -> None:
    text, expected = WORDS[name]
    assert steps_of(tmp_path, text) == (expected,)


def test_every_step_of_the_language_is_tried_above() -> None:
    assert {VERBS[type(step)] for _, step in WORDS.values()} == set(STEPS) == set(VERBS.values())


def test_a_whole_file(tmp_path: Path) -> None:
    text = "description: What it is.\noperation: sendChatMessage\nwhen: {body: {query: {contains: quota}}}\n"
    file = written(tmp_path, f"{text}steps: [ping]\n")
    when = {"body": {"query": {"contains": "quota"}}}
    assert load(file) == Scenario("mine", "What it is.", (Ping(),), "sendChatMessage", when, str(file))


def test_json_is_yaml(tmp_path: Path) -> None:
    file = written(tmp_path, json.dumps({"description": "é", "steps": [{"say": "你好"}, "ping"]}))
    assert load(file).steps == (Say("你好"), Ping())


# --- mistakes

EXPECTED_STEPS = ", ".join(STEPS)
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
    "a unit that is not there": ("steps:\n- wait: 2h\n", 2, 3, "expected a duration such as"),
    "a wait that is a boolean": ("steps:\n- wait: true\n", 2, 3, "expected a duration such as"),
    "a wait below nothing": ("steps:\n- wait: -1\n", 2, 3, "expected a duration from 0 to 3600s, got -1"),
    "a wait that is too long": ("steps:\n- wait: 61m\n", 2, 3, "expected a duration from 0 to 3600s, got '61m'"),
    "a wait beyond a float": (f"steps:\n- wait: 1{'0' * 400}\n", 2, 3, "expected a duration from 0 to 3600s"),
    "a wait of thousands of digits": (f"steps:\n- wait: 1{'0' * 5000}\n", 2, 9, "digits"),
    "an infinite wait": ("steps:\n- wait: 1e999\n", 2, 3, "expected a duration from 0 to 3600s, got inf"),
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
        "steps:\n- fault: disconect\n",
        2,
        3,
        "unknown fault 'disconect'; did you mean 'disconnect'?",
    ),
    "an end that is no mapping": ("steps:\n- end: 5\n", 2, 3, "expected a mapping, got 5"),
    "a misspelt place": ("when: {boddy: {}}\nsteps: [ping]\n", 1, 8, "unknown word 'boddy'; did you mean 'body'?"),
    "when is no mapping": ("when: quota\nsteps: [ping]\n", 1, 1, "expected a mapping with body or header"),
    "a place that is no mapping": ("when: {body: quota}\nsteps: [ping]\n", 1, 8, "expected a mapping of names"),
    "a misspelt test": (
        "when: {body: {query: {contain: x}}}\nsteps: [ping]\n",
        1,
        23,
        "unknown word 'contain'; did you mean 'contains'?",
    ),
    "no regular expression": ("when: {body: {query: {matches: '('}}}\nsteps: [ping]\n", 1, 23, "no regular expression"),
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
SOME_WORDS = st.sampled_from([*STEPS, "every", "size", "violates", "sya", ""])
SOME_STEPS = st.lists(st.dictionaries(SOME_WORDS, VALUES, max_size=2) | st.sampled_from([*STEPS]) | VALUES, max_size=4)
SOME_FILES = st.fixed_dictionaries(
    {"steps": SOME_STEPS | VALUES}, optional={"description": VALUES, "operation": VALUES, "when": VALUES}
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
        assert 0 < len(found.steps) <= MOST_STEPS
        assert all(0 <= step.seconds <= LONGEST_WAIT for step in found.steps if isinstance(step, Wait))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_scenario_or_broken(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any-bytes.yaml"
    file.write_bytes(data)
    found = scenario_or_broken(file)
    assert isinstance(found, Scenario) or str(found).startswith(str(file))


# --- the set of a server


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """The server's own folder and one of somebody's: `any` serves every backend, the rest one."""
    files = {
        "house/any/default": "house any",
        "house/any/common": "house any",
        "house/any/shared": "house any",
        "house/dify/shared": "house dify",
        "house/dify/special": "house dify",
        "house/other/foreign": "house other",
        "mine/any/common": "mine any",
        "mine/any/special": "mine any",
        "mine/dify/own": "mine dify",
    }
    for name, description in files.items():
        file = tmp_path / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"description: {description}\nsteps: [ping]\n")
    return [tmp_path / "house", tmp_path / "mine"]


def test_names_are_those_of_every_backend_and_its_own(folders: list[Path]) -> None:
    assert Scenarios("dify", folders).names() == ["common", "default", "own", "shared", "special"]
    assert Scenarios("other", folders).names() == ["common", "default", "foreign", "shared", "special"]
    assert [one.name for one in Scenarios("dify", folders).all()] == ["common", "default", "own", "shared", "special"]


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("default", "house any"),
        ("common", "mine any"),  # one's own replaces a bundled one
        ("shared", "house dify"),  # the backend's wins over that of every backend
        ("special", "house dify"),  # … also over somebody's own for every backend
        ("own", "mine dify"),
    ],
)
def test_of_two_with_one_name_the_nearer_wins(folders: list[Path], name: str, description: str) -> None:
    assert Scenarios("dify", folders).get(name).description == description


def test_an_unknown_name_is_told_with_those_there_are_and_the_nearest(folders: list[Path]) -> None:
    with pytest.raises(Misused) as caught:
        Scenarios("dify", folders).get("defualt")
    assert caught.value.status == 400
    assert caught.value.available == ("common", "default", "own", "shared", "special")
    assert caught.value.detail == "There is no scenario 'defualt'. Did you mean default?"


def test_a_name_like_none_has_no_guess(folders: list[Path]) -> None:
    with pytest.raises(Misused) as caught:
        Scenarios("dify", folders).get("zzz" * 100)
    assert "Did you mean" not in caught.value.detail
    assert len(caught.value.detail) < 150


def test_a_broken_file_is_told_when_it_is_asked_for_and_harms_no_other(folders: list[Path]) -> None:
    (folders[1] / "dify" / "broken.yaml").write_text("steps: [sya]\n")
    scenarios = Scenarios("dify", folders)
    assert scenarios.get("default").name == "default"
    with pytest.raises(Broken, match=r"broken\.yaml:1:9: unknown step 'sya'"):
        scenarios.get("broken")


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert Scenarios("dify", [tmp_path / "none"]).names() == []


# --- which one a call gets

MATCHES: list[tuple[str, dict[str, str], Any, bool]] = [
    # `when`, the call's headers and body, whether it matches
    ("{body: {query: hello}}", {}, {"query": "hello"}, True),
    ("{body: {query: hello}}", {}, {"query": "hello there"}, False),
    ("{body: {query: {equals: hello}}}", {}, {"query": "hello"}, True),
    ("{body: {query: {contains: quota}}}", {}, {"query": "the quota is out"}, True),
    ("{body: {query: {contains: quota}}}", {}, {"query": ["a", "quota"]}, True),
    ("{body: {query: {contains: quota}}}", {}, {"query": 5}, False),
    ("{body: {query: {contains: 5}}}", {}, {"query": "5"}, False),
    ("{body: {query: {matches: '^h.*o$'}}}", {}, {"query": "hello"}, True),
    ("{body: {query: {matches: '^h.*o$'}}}", {}, {"query": None}, False),
    ("{body: {query: {matches: 5}}}", {}, {"query": "5"}, False),
    ("{body: {query: {exists: true}}}", {}, {"query": ""}, True),
    ("{body: {query: {exists: true}}}", {}, {}, False),
    ("{body: {query: {exists: false}}}", {}, {}, True),
    ("{body: {query: {contains: a, matches: b}}}", {}, {"query": "ab"}, True),
    ("{body: {query: {contains: a, matches: b}}}", {}, {"query": "a"}, False),
    ("{body: {query: hello, user: u}}", {}, {"query": "hello", "user": "u"}, True),
    ("{body: {query: hello, user: u}}", {}, {"query": "hello", "user": "v"}, False),
    ("{body: {query: hello}}", {}, None, False),
    ("{body: {query: hello}}", {}, ["hello"], False),
    ("{header: {X-Test: a}}", {"x-test": "a"}, {}, True),
    ("{header: {X-Test: a}}", {"x-test": "b"}, {}, False),
    ("{header: {X-Test: {contains: a}}}", {}, {}, False),
    ("{header: {X-Test: a}, body: {query: b}}", {"x-test": "a"}, {"query": "b"}, True),
    ("{header: {X-Test: a}, body: {query: b}}", {"x-test": "a"}, {"query": "c"}, False),
    ("{}", {}, {}, True),
]


def scene(**changes: Any) -> Scene:
    """A call of sendChatMessage."""
    members: dict[str, Any] = {
        "operation": "sendChatMessage",
        "method": "POST",
        "url": "/v1/chat-messages",
        "headers": {},
        "path": {},
        "query": {},
        "body": {},
        "nth": 1,
        "turn": 1,
        "plays": {},
        "states": {},
        "session": "default",
        "seed": Seed(0, "dify"),
        "now": 0.0,
    }
    return Scene(**(members | changes))


@pytest.mark.parametrize(("when", "headers", "body", "expected"), MATCHES)
def test_a_call_matches_when(tmp_path: Path, when: str, headers: dict[str, str], body: Any, expected: bool) -> None:
    (tmp_path / "dify").mkdir()
    written(tmp_path / "dify", f"when: {when}\nsteps: [ping]\n")
    written(tmp_path / "dify", "steps: [ping]\n", "a-first-one-without-when")
    found, _ = Scenarios("dify", [tmp_path]).matching(scene(headers=headers, body=body))
    assert (found is not None and found.name == "mine") is expected


def test_of_several_that_match_the_first_by_name_is_played_if_it_is_for_the_operation(tmp_path: Path) -> None:
    (tmp_path / "dify").mkdir()
    for name, operation in (("a", "another"), ("b", "sendChatMessage"), ("c", "sendChatMessage")):
        written(tmp_path / "dify", f"operation: {operation}\nwhen: {{}}\nsteps: [ping]\n", name)
    found, _ = Scenarios("dify", [tmp_path]).matching(scene())
    assert found is not None and found.name == "b"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/scenario default", "default"),
        ("/scenario default and more of it", "default"),
        ("  \n/scenario\tdefault", "default"),
        ("/scenario", ""),
        ("/scenario  ", ""),
        ("/scenarios are what I like", None),
        ("/scenariodefault", None),
        ("please /scenario default", None),
        ("", None),
        ("/scenari", None),
    ],
)
def test_a_chat_text_asks_for_a_scenario(text: str, name: str | None) -> None:
    assert asked_for(text) == name


def test_looking_at_a_long_text_takes_no_time() -> None:
    begun = time.monotonic()
    for text in (" " * 2_000_000, "/scenario" + " " * 2_000_000, "/scenario" + " " * 2_000_000 + "\x00"):
        asked_for(text)
    assert time.monotonic() - begun < 5
