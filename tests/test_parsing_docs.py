"""What docs/parsing-streams.md says and shows: its readers are run as they stand there, its figures counted."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Dify
from node_tests import FOLDER, require_node, run_node

from emulator.testing.server import ThreadedServer

TEXT = (Path(__file__).parent.parent / "docs" / "parsing-streams.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8787"
KINDS = END, NEWLINES, FIELD, CHARACTER, ELSEWHERE = (
    "right before or after the two newlines that end an event",
    "between these two newlines",
    "in `data: ` or right after it",
    "inside a character",
    "anywhere else in the JSON",
)
"""What can be cut, as the text calls it."""


def code(language: str) -> list[str]:
    """The blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def numbers(pattern: str) -> list[int]:
    """The numbers of a sentence, which may go over lines."""
    found = re.search(pattern.replace(" ", r"\s+").replace("#", r"(\d+)"), TEXT)
    assert found is not None, pattern
    return [int(one) for one in found.groups()]


def naive_reader() -> Callable[[bytes], list[Any]]:
    space: dict[str, Any] = {}
    exec(code("python")[0], space)
    reader: Callable[[bytes], list[Any]] = space["naive"]
    return reader


def kind_of(body: bytes, at: int) -> str:
    """What a cut before this byte cuts."""
    if body[at - 2 : at] == b"\n\n" or body[at : at + 2] == b"\n\n":
        return END
    if body[at - 1 : at + 1] == b"\n\n":
        return NEWLINES
    if body[at] & 0xC0 == 0x80:
        return CHARACTER
    start = body.rfind(b"\n\n", 0, at)
    return FIELD if at - (0 if start == -1 else start + 2) <= len(b"data: ") else ELSEWHERE


@pytest.fixture
def body(dify: Dify) -> bytes:
    return dify.stream("What next?", {"X-Emulator-Scenario": "long-answer"}).content


def wrong_cuts(body: bytes) -> Counter[str]:
    """How many cuts of each kind the naive reader reads wrong. It keeps nothing from one part to the next, so what is
    far from a cut does not matter to it."""
    naive = naive_reader()
    wrong: Counter[str] = Counter()
    for before, frame, after in near_frames(body):
        near = before + frame + after
        events = naive(near)
        for at in range(len(before) + 1, min(len(before) + len(frame) + 1, len(near))):
            try:
                wrong[kind_of(near, at)] += naive(near[:at]) + naive(near[at:]) != events
            except ValueError:
                wrong[kind_of(near, at)] += 1
    return wrong


def near_frames(body: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Each frame of a stream with the one before and the one after it."""
    frames = [b"", *(frame + b"\n\n" for frame in body.split(b"\n\n")[:-1]), b""]
    return list(zip(frames, frames[1:], frames[2:], strict=False))


def table() -> dict[str, tuple[int, int, int]]:
    """What is cut → places, read wrong in Python, read wrong in JavaScript."""
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \| (\d+) \|$", TEXT, re.MULTILINE)
    return {what: (int(places), int(python), int(javascript)) for what, places, python, javascript in rows}


def test_its_figures(body: bytes) -> None:
    assert numbers("has # events in # bytes") == [body.count(b"\n\n"), len(body)]
    tried = Counter(kind_of(body, at) for at in range(1, len(body)))
    wrong = wrong_cuts(body)
    assert {kind: row[:2] for kind, row in table().items()} == {kind: (tried[kind], wrong[kind]) for kind in KINDS}
    said = numbers("of the # places, it is read wrong by the Python one in # cases and by the JavaScript one in #")
    assert said == [sum(column) for column in zip(*table().values(), strict=True)] and said[0] == len(body) - 1


def test_json_once_a_chunk_breaks_on_two_events(body: bytes) -> None:
    one, two = body.split(b"\n\n")[:2]
    assert json.loads(one.removeprefix(b"data: "))
    with pytest.raises(ValueError, match="Extra data"):
        json.loads((one + b"\n\n" + two).removeprefix(b"data: "))


def test_the_right_reader_in_python(server: ThreadedServer, dify: Dify) -> None:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(code("python")[1].replace(ADDRESS, f"{server.url}/_s/{dify.session}"), {})
    assert shown.getvalue().rstrip("\n") == answer_kept(dify)


@pytest.mark.node
def test_the_naive_reader_in_javascript(body: bytes, tmp_path: Path) -> None:
    given = {
        "frames": [b64encode(frame).decode() for _, frame, _ in near_frames(body)],
        "kinds": [kind_of(body, at) for at in range(1, len(body))],
        "naive": code("js")[0],
        "wrong": {kind: row[2] for kind, row in table().items()},
    }
    file = tmp_path / "stream.json"
    file.write_text(json.dumps(given))
    run_node("parsing-streams", CHAT_EMULATOR_STREAMS=str(file))


@pytest.mark.node
def test_the_right_reader_in_javascript(server: ThreadedServer, dify: Dify) -> None:
    require_node()
    source = code("js")[1].replace(ADDRESS, f"{server.url}/_s/{dify.session}")
    ran = subprocess.run(
        ["node", "--input-type=module", "--eval", source],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=True,
    )
    assert ran.stdout.rstrip("\n") == answer_kept(dify)


def answer_kept(caller: Dify) -> str:
    """The answer to the last question, as the history has it."""
    (conversation,) = caller.get("/conversations", limit=1, sort_by="-created_at").json()["data"]
    (message,) = caller.get("/messages", conversation_id=conversation["id"]).json()["data"]
    assert "第三，把任务拆成" in message["answer"]
    return str(message["answer"])


def test_what_it_arms(server: ThreadedServer, dify: Dify, body: bytes) -> None:
    found = re.search(r"-d '(\{.*\})'\n```", TEXT)
    assert found is not None
    armed = httpx.post(f"{server.url}/_emulator/sessions/{dify.session}/armed", json=json.loads(found[1]), verify=False)
    assert armed.status_code == 201, armed.text
    sliced = dify.stream("What next?", {"X-Emulator-Scenario": "long-answer"})
    assert len(sliced.content) > 60_000 and sliced.content.endswith(b"\n\n")
    dify.stream("And now?")
    entry = server.app.sessions.get(dify.session).journal.entries[-1]
    assert [one["name"] for one in entry.faults] == ["slice"]


def test_the_scenario_it_shows(tmp_path: Path) -> None:
    (scenario,) = code("yaml")
    (tmp_path / "any").mkdir()
    (tmp_path / "any" / "in-slices.yaml").write_text(scenario, encoding="utf-8")
    with ThreadedServer(speed=0, scenarios=tmp_path, check_replies=True) as server:
        caller = Dify(server, "in-slices")
        reply = caller.stream("Hi", {"X-Emulator-Scenario": "in-slices"})
        entry = server.app.sessions.get("in-slices").journal.entries[-1]
        caller.http.close()
    assert "步" in reply.text and [one["name"] for one in entry.faults] == ["slice"]
