"""`chat-emulator check` of scenarios: every kind of finding with its place, and none where there is nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from emulator.checking import check, check_file
from emulator.cli import main
from emulator.errors import Broken
from emulator.rehearsal import Rehearsal
from emulator.service import Service, spec_files
from emulator.settings import Settings
from emulator.streams.reading import MOST_MISTAKES

SOUND = {name: Rehearsal(Service(name, file, Settings())) for name, file in spec_files(Settings()).items()}


def found(folder: Path, name: str, text: str) -> list[str]:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return [place(error, file) for error in check_file(folder, file, list(SOUND), SOUND)]


def place(error: Broken, file: Path) -> str:
    return str(error).removeprefix(f"{file}:")


SEVERAL = """descripton: x
operation: sendChatMesage
when: {boddy: {}}
steps:
- sya: a
- choose:
  - {when: {nth: x}, steps: [ping]}
  - steps: [wait: never]
- say: '{{ nope }}'
"""
EVERY_WORD = """operation: sendChatMessage
pace: {every: 1ms, jitter: 1ms}
steps:
- repeat: 2
  steps: [say: '{{ index }}']
- choose: [{when: {play: {every: 2}}, steps: [error: {}]}, {steps: [replace: a, audio, file, end]}]
"""
ELSEWHERE = """steps:
- choose:
  - {when: {body: {gone: 1}}, steps: [event: {event: '{{ request.body.gone }}'}]}
  - steps: [ping]
"""
FINDINGS: dict[str, tuple[str, str, list[str]]] = {
    # What is wrong: the file, its text, the beginning of each finding.
    "several mistakes": (
        "dify/a.yaml",
        SEVERAL,
        [
            "1:1: unknown word 'descripton'; did you mean 'description'?",
            "2:1: unknown operation 'sendChatMesage'; did you mean 'sendChatMessage'?",
            "3:8: unknown word 'boddy'; did you mean 'body'?",
            "5:3: unknown step 'sya'; did you mean 'say'?",
            "7:13: expected a number or tests",
            "8:13: expected a duration",
            "9:3: unknown name 'nope'",
        ],
    ),
    "a step that the dialect has no words for": (
        "deskchat/a.yaml",
        "steps:\n- say: a\n- repeat: 2\n  steps: [tool_call: {name: x}]\n- audio\n",
        ["4:11: this backend cannot say 'tool_call'; it says say, ", "5:3: this backend cannot say 'audio'"],
    ),
    "a step that some dialects have no words for": (
        "any/a.yaml",
        "steps:\n- ping\n- tool_call: {name: x}\n",
        ["3:3: deskchat and plainchat cannot say 'tool_call'"],
    ),
    "an operation that nobody has": (
        "any/a.yaml",
        "operation: sendChatMesage\nsteps: [ping]\n",
        ["1:1: no backend that streams has it: unknown operation 'sendChatMesage'; did you mean 'sendChatMessage'?"],
    ),
    "text where no backend gives an answer": (
        "any/a.yaml",
        "operation: getChatAppInfo\nsteps: [say: a]\n",
        ["1:1: getChatAppInfo gives no answer in any backend"],
    ),
    "text where there is no answer": (
        "dify/a.yaml",
        "operation: getChatAppInfo\nsteps: [say: a]\n",
        ["2:9: getChatAppInfo gives no answer that 'say' could be a part of"],
    ),
    "an event that breaks the spec": (
        "dify/a.yaml",
        "steps:\n- event: {event: message, answer: 5}\n",
        ["2:3: it breaks the spec of dify's sendChatMessage: "],
    ),
    "an event of nobody's": (
        "toolchat/a.yaml",
        "steps:\n- event: {type: nonsense}\n",
        ["2:3: it breaks the spec of toolchat's streamMessage: "],
    ),
    "an event in a choice, of values": (
        "toolchat/a.yaml",
        "steps: [choose: [{when: {nth: 1}, steps: [event: {type: text, content: '{{ nth }}'}]}]]\n",
        ["1:43: it breaks the spec of toolchat's streamMessage: "],
    ),
    "a violation that is none": (
        "dify/a.yaml",
        "steps:\n- event: {event: message_replace, answer: a, reason: b}\n  violates: true\n",
        ["2:3: violates: true, but it breaks nothing in the spec of dify's sendChatMessage"],
    ),
    "an undocumented status": (
        "dify/a.yaml",
        "operation: getChatAppInfo\nsteps: [reply: 418]\n",
        ["2:9: it breaks the spec of dify's getChatAppInfo: body: expected one of the documented statuses"],
    ),
    "a status that some operations have not": (
        "plainchat/a.yaml",
        "steps: [reply: 503]\n",
        ["1:9: it breaks the spec of plainchat's "],
    ),
    "an example of nobody's": (
        "dify/a.yaml",
        "operation: sendChatMessage\nsteps: [reply: {status: 400, example: quota_exceeded}]\n",
        ["2:9: sendChatMessage has no example 'quota_exceeded'. Did you mean"],
    ),
    "a code of nobody's": (
        "ruoyi/a.yaml",
        "steps: [choose: [{when: {nth: 1}, steps: [reply: {status: 500, code: nonsense}]}]]\n",
        ["1:43: ruoyi has no code 'nonsense'"],
    ),
    "a body that breaks the schema": (
        "dify/a.yaml",
        "operation: getChatAppInfo\nsteps: [reply: {status: 200, body: {name: 5}}]\n",
        ["2:9: it breaks the spec of dify's getChatAppInfo: "],
    ),
    "a reply that violates nothing": (
        "dify/a.yaml",
        "operation: sendChatMessage\nsteps: [reply: {status: 400, code: provider_quota_exceeded, violates: true}]\n",
        ["2:9: violates: true, but it breaks nothing in the spec of dify's sendChatMessage"],
    ),
    "a value that the example does not have": (
        "dify/a.yaml",
        "operation: sendChatMessage\nsteps:\n- say: '{{ request.body.gone }}'\n",
        ["3:3: the value cannot be worked out: there is no 'gone' in what has "],
    ),
    "a value of the wrong kind": (
        "dify/a.yaml",
        "operation: sendChatMessage\nsteps:\n- wait: '{{ request.body.query }}'\n",
        ["3:3: expected a duration such as 40ms, 1.5s or 2m, got "],
    ),
    "a fault that cannot be a step": ("dify/a.yaml", "steps: [fault: refuse]\n", ["1:9: refuse is about an answer's"]),
    "a file in no folder": ("a.yaml", "steps: [ping]\n", [""]),
    "a folder that is misspelt": ("dfy/a.yaml", "steps: [ping]\n", [""]),
    "no YAML": ("dify/a.yaml", "steps: [\n", ["2:1: "]),
    "a name that nobody can ask for": (
        "dify/a b.yaml",
        "steps: [ping]\n",
        ["1:1: the file's name 'a b' is no scenario"],
    ),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_what_is_wrong_is_found(tmp_path: Path, name: str) -> None:
    file, text, expected = FINDINGS[name]
    told = found(tmp_path, file, text)
    assert len(told) == len(expected), told
    for line, begin in zip(told, expected, strict=True):
        assert line.startswith(begin), line
    if expected == [""]:
        assert "expected BACKEND/NAME.yaml" in told[0]
        assert ("did you mean dify/a.yaml?" in told[0]) is (file == "dfy/a.yaml")


FINE = {
    "an event that breaks the spec on purpose": (
        "dify/a.yaml",
        "steps:\n- event: {event: message, answer: 5}\n  violates: true\n",
    ),
    "an event of the dialect": ("dify/a.yaml", "steps:\n- event: {event: message_replace, answer: a, reason: b}\n"),
    "an event of the dialect, of values": ("toolchat/a.yaml", "steps: [event: {type: text, content: '{{ nth }} a'}]\n"),
    "a chunk": ("plainchat/a.yaml", "steps: [event: a]\n"),
    "a documented reply": ("dify/a.yaml", "operation: sendChatMessage\nsteps: [wait: 1s, reply: 400]\n"),
    "a reply by code": (
        "dify/a.yaml",
        "operation: getChatAppInfo\nsteps: [reply: {status: 401, code: unauthorized}]\n",
    ),
    "a reply that breaks the spec on purpose": (
        "any/a.yaml",
        "steps: [reply: {status: 503, headers: {Retry-After: 1}, body: busy, violates: true}]\n",
    ),
    "a value for other calls": (
        "dify/a.yaml",
        "when: {body: {gone: {exists: true}}}\nsteps: [say: '{{ request.body.gone }}']\n",
    ),
    "an event for other calls": ("dify/a.yaml", ELSEWHERE),
    "an operation of some backends": ("any/a.yaml", "operation: sendChatMessage\nsteps: [say: a]\n"),
    "a keep-alive everywhere": ("any/a.yaml", "steps: [ping]\n"),
    "faults and states alone": ("any/a.yaml", "requires: {a: 1}\nfaults: reset\nbecomes: {a: 2}\n"),
    "every word": ("dify/a.yaml", EVERY_WORD),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine_is_not_found(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, *FINE[name]) == []


def test_of_very_many_mistakes_the_first_are_told_soon(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert len(found(tmp_path, "dify/a.yaml", "steps:\n" + "- sya: a\n" * 10_000)) == MOST_MISTAKES
    assert time.monotonic() - begun < 20


def test_what_is_found_in_own_folders_is_told_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "dify" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("steps:\n- event: {event: message, answer: 5}\n- wait: 1 week\n- sya: a\n", "utf-8")
    assert main(["check", "--scenarios", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert [line.partition(": ")[0] for line in out.splitlines()] == [f"{file}:3:3", f"{file}:4:3"]
    assert err.endswith("scenarios checked, 2 findings\n")


@pytest.mark.parametrize(
    ("where", "text", "told"),
    [
        ("dify/a.yaml", "steps: [error: rate_limit_eror]\n", "a.yaml:1:9: dify has no failure 'rate_limit_eror'; did"),
        ("ruoyi/a.yaml", "steps:\n  - say: a\n  - audio: b\n", "a.yaml:3:5: chat_stream_endpoint_api_ai"),
        ("dify/a.yml", "steps: [ping]\n", "a.yml: a scenario's file ends in .yaml, so this one is not read"),
        ("dify/a.json", "{}", "a.json: a scenario's file ends in .yaml"),
    ],
)
def test_what_would_go_unnoticed_is_told(tmp_path: Path, where: str, text: str, told: str) -> None:
    file = tmp_path / where
    file.parent.mkdir()
    file.write_text(text)
    (finding,) = check(Settings(scenarios=tmp_path)).findings
    assert told in finding
