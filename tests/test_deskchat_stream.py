"""Deskchat's answers: every scenario over a real socket and what the store shows afterwards; cancelled from another
connection, left by the client, produced anew. Source: FACTS.md 003, Stream."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import httpx
import pytest
from days import other_names
from deskchat_caller import FIRST, UNKNOWN, Desk, Told
from httpx_sse import connect_sse
from session_caller import until

from emulator.backends.deskchat import BACKEND
from emulator.backends.deskchat.turn import DeskTurn
from emulator.call import Event
from emulator.service import bundled
from emulator.streams.shelf import Scenarios
from emulator.streams.steps import VERBS, Audio, Fail, File, Replace, Say, ToolCall, ToolResult
from emulator.testing.server import ThreadedServer

SCENARIOS = Scenarios("deskchat", [bundled("scenarios")])
NAMES = other_names(SCENARIOS)
FAILING = {"error-mid-stream": "model is not available", "no-api-key": "对话未配置API密钥或提示词"}
CUT = "disconnect-mid-stream"
BEGIN = ["user_message", "assistant_start"]
KINDS = {
    "default": ["chunk", "complete"],
    "long-answer": ["chunk", "complete"],
    "ping-between-deltas": ["chunk", "complete"],
    "slow-start": ["chunk", "complete"],
    "error-mid-stream": ["chunk", "error"],
    "no-api-key": ["error"],
    CUT: ["chunk"],
}
HI = "What is new?"


@pytest.fixture
def desk(server: ThreadedServer, session_name: str) -> Iterator[Desk]:
    with Desk(server, session_name) as caller:
        yield caller


@pytest.fixture(scope="module")
def slow_server() -> Iterator[ThreadedServer]:
    """One that takes its time, so that something can happen in the meantime."""
    with ThreadedServer(speed=1, backends=("deskchat",), check_replies=True) as running:
        yield running


@pytest.fixture
def slow(slow_server: ThreadedServer, session_name: str) -> Iterator[Desk]:
    with Desk(slow_server, session_name) as caller:
        yield caller


def said(name: str) -> str:
    """All text of a scenario, also what nobody hears."""
    return "".join(step.text for step in SCENARIOS.get(name).steps if isinstance(step, Say))


def breaches(desk: Desk, told: Told) -> list[str]:
    """How a stream breaks the spec: each event its schema, and one that came whole the schema of streams."""
    service = desk.server.app.services["deskchat"]
    operation = service.document.operations["streamMessage"]
    events = [Event(data=event) for event in told.events]
    if told.whole:
        return [str(one) for one in service.inspector.events(operation, "200", events)]
    return [str(one) for event in events for one in service.inspector.event(operation, "200", event)]


# --- scenarios


def test_every_scenario_has_its_order_here() -> None:
    assert set(KINDS) == set(NAMES)
    own = {name for name in NAMES if SCENARIOS.get(name).operation is not None}
    assert own == {"slow-start", "no-api-key"}


@pytest.mark.parametrize("by", ["header", "text"])
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_is_spoken_in_order_and_kept(desk: Desk, name: str, by: str) -> None:
    chat_id = desk.start()
    told = desk.stream(HI, chat_id, scenario=name) if by == "header" else desk.stream(f"/scenario {name}", chat_id)
    assert told.status == 200
    assert told.headers["X-Emulator-Scenario"] == name
    assert told.kinds == BEGIN + KINDS[name]
    assert told.whole is (name != CUT)
    assert breaches(desk, told) == []
    if name in FAILING:
        assert told.events[-1]["message"] == f"生成失败: {FAILING[name]}"
    elif name != CUT:
        assert told.text == told.events[-1]["content"] == said(name)
    until(lambda: not desk.server.app.sessions.get(desk.session).world("deskchat", BACKEND.populate).running)
    question, answer = desk.history(chat_id)
    assert (question["uuid"], question["role"]) == (told.id_of("user_message"), "user")
    assert question["content"] == told.events[0]["content"]
    assert (answer["uuid"], answer["role"]) == (told.id_of("assistant_start"), "assistant")
    # A fault damages the wire and not the store; a text is stored on completion only.
    assert answer["content"] == ("" if name in FAILING else said(name))
    assert answer["character_count"] == len(answer["content"])
    assert desk.data("GET", f"/conversations/{chat_id}")["message_count"] == 2


def test_a_ping_is_a_comment(desk: Desk) -> None:
    told = desk.stream(HI, scenario="ping-between-deltas")
    assert told.frames.count(b": ping") == 1
    at = told.frames.index(b": ping")
    assert all(b'"type": "chunk"' in told.frames[beside] for beside in (at - 1, at + 1))


def test_a_reader_of_server_sent_events_sees_messages_without_a_name(desk: Desk) -> None:
    body = {"chat_id": FIRST, "content": HI}
    headers = {"X-Emulator-Scenario": "ping-between-deltas"}
    with connect_sse(desk.http, "POST", "/messages/stream", json=body, headers=headers) as source:
        events = list(source.iter_sse())
    assert {(event.event, event.id, event.retry) for event in events} == {("message", "", None)}
    assert [event.json()["type"] for event in events][:2] == BEGIN


def test_the_behaviours_own_answer_depends_on_question_and_place(desk: Desk) -> None:
    one, other = desk.start(), desk.start()
    first = desk.stream(HI, one).text
    assert len(first) > 20
    assert desk.stream(HI, other).text == first
    assert desk.stream(HI, one).text != first


def test_the_headers_are_those_of_the_facts(desk: Desk) -> None:
    headers = desk.stream(HI).headers
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Connection"] == "keep-alive"
    assert headers.get_list("Access-Control-Allow-Origin") == ["*"]
    assert headers["Access-Control-Allow-Headers"] == "*"
    assert len(headers["X-Task-ID"]) == 36


def test_pages_of_other_origins_may_read_the_task_only_in_profile_documented(desk: Desk) -> None:
    assert "X-Task-ID" in desk.stream(HI).headers["Access-Control-Expose-Headers"]
    desk.observe()
    assert "X-Task-ID" not in desk.stream(HI).headers["Access-Control-Expose-Headers"]


def test_a_page_gets_one_allowed_origin(desk: Desk) -> None:
    desk.http.headers["Origin"] = "http://page.test"
    assert desk.stream(HI).headers.get_list("Access-Control-Allow-Origin") == ["http://page.test"]


@pytest.mark.parametrize("stream", [True, False])
def test_the_member_stream_has_no_effect(desk: Desk, stream: bool) -> None:
    assert desk.stream(HI, desk.start(), stream=stream, message_type="image").kinds[-1] == "complete"


def test_refusals_come_before_the_stream_as_json(desk: Desk) -> None:
    told = desk.stream(HI, UNKNOWN)
    assert (told.status, json.loads(told.body)) == (404, {"detail": "对话不存在"})
    assert desk.call("POST", "/messages/stream", {"chat_id": FIRST}).status_code == 422


def test_a_conversation_deleted_meanwhile_stays_deleted(slow: Desk) -> None:
    chat_id = slow.start()
    with Running(slow, chat_id, "long-answer") as running:
        slow.data("DELETE", f"/conversations/{chat_id}")
        slow.data("POST", "/messages/stream/cancel", task_id=running.task_id)
    assert running.told.kinds[-1] == "cancelled"
    assert slow.call("GET", f"/conversations/{chat_id}").status_code == 404


def test_in_profile_observed_a_conversation_needs_a_key(desk: Desk) -> None:
    desk.observe()
    told = desk.stream(HI, desk.start(api_key_id=1))
    assert told.kinds == [*BEGIN, "error"]
    assert told.events[-1]["message"].startswith("生成失败: ")
    assert desk.stream(HI, desk.start(api_key_id=1, prompt_id=1)).kinds[-1] == "complete"
    assert desk.stream(HI, FIRST).kinds[-1] == "complete"
    assert desk.stream(HI, desk.start(), scenario="default").kinds[-1] == "complete"


def test_in_profile_observed_an_answer_counts_once_it_is_complete(desk: Desk) -> None:
    desk.observe()
    chat_id = desk.start(api_key_id=1, prompt_id=1)
    desk.stream(HI, chat_id)
    assert desk.data("GET", f"/conversations/{chat_id}")["message_count"] == 2
    desk.stream(HI, chat_id, scenario="no-api-key")
    assert desk.data("GET", f"/conversations/{chat_id}")["message_count"] == 3
    assert len(desk.history(chat_id)) == 4


# --- the dialect alone

ANSWER = "e7b90d24-5c38-4a1f-86d2-94f0c3b17a65"


def turn() -> DeskTurn:
    return DeskTurn(None, ANSWER, lambda text, whole: None)


def test_what_the_dialect_cannot_say_is_left_out() -> None:
    steps = (ToolCall("t"), ToolResult(1), File(), Replace("r"), Audio("a"))
    assert frozenset(VERBS.values()) - BACKEND.speaks == {VERBS[type(step)] for step in steps}
    said = turn()
    said.begin()
    for step in steps:
        assert list(getattr(said, VERBS[type(step)])(step)) == []
    assert said.text == ""


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        ({"type": "chunk", "content": "x"}, {"type": "chunk", "content": "x", "message_id": ANSWER}),
        ({"type": "chunk", "content": "x", "message_id": "m"}, {"type": "chunk", "content": "x", "message_id": "m"}),
        ({"type": "error", "message": "m"}, {"type": "error", "message": "m"}),
        ({"type": "new"}, {"type": "new"}),
        ("text", "text"),
        ([1], [1]),
    ],
)
def test_a_raw_event_gets_the_answers_id_where_it_belongs(payload: Any, sent: Any) -> None:
    assert [event.data for event in turn().event(payload)] == [sent]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Fail(), "model is not available"),
        (Fail("quota"), "quota"),
        (Fail("quota", 429, "No quota left"), "No quota left"),
    ],
)
def test_an_error_has_no_code_but_a_reason(failure: Fail, reason: str) -> None:
    assert [event.data for event in turn().error(failure)] == [{"type": "error", "message": f"生成失败: {reason}"}]


# --- cancelling, leaving


class Running:
    """A stream under way in a thread; as a context manager from its second chunk to its end."""

    def __init__(self, desk: Desk, chat_id: str, scenario: str) -> None:
        self.told = Told(0, httpx.Headers())
        self.task_id = ""
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(desk, chat_id, scenario))

    def _run(self, desk: Desk, chat_id: str, scenario: str) -> None:
        body = {"chat_id": chat_id, "content": HI}
        with Desk(desk.server, desk.session) as own:
            headers = {"X-Emulator-Scenario": scenario}
            with own.http.stream("POST", "/messages/stream", json=body, headers=headers) as reply:
                self.task_id = reply.headers["X-Task-ID"]
                for piece in reply.iter_raw():
                    self.told.body += piece
                    if self.told.body.count(b'"chunk"') >= 2:
                        self._started.set()
        self.told.frames = self.told.body.split(b"\n\n")[:-1]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_cancelling_from_another_connection_ends_the_stream_and_keeps_the_part(slow: Desk) -> None:
    chat_id = slow.start()
    with Running(slow, chat_id, "long-answer") as running:
        assert slow.texts(chat_id) == [("user", HI), ("assistant", "")]
        begun = time.monotonic()
        reply = slow.call("POST", "/messages/stream/cancel", task_id=running.task_id).json()
    assert time.monotonic() - begun < 2
    assert reply == {"code": 200, "message": "流式生成已取消", "data": {"task_id": running.task_id}}
    assert running.told.kinds == [*BEGIN, "chunk", "cancelled"]
    assert running.told.frames[-1] == rb'data: {"type": "cancelled", "message": "\u751f\u6210\u5df2\u88ab\u53d6\u6d88"}'
    assert breaches(slow, running.told) == []
    assert slow.texts(chat_id) == [("user", HI), ("assistant", running.told.text)]
    again = slow.call("POST", "/messages/stream/cancel", task_id=running.task_id)
    assert again.status_code == 200
    assert again.json() == {"code": 404, "message": "任务不存在或已完成", "data": {"task_id": running.task_id}}


def test_a_wait_can_be_cancelled(slow: Desk) -> None:
    chat_id = slow.start()
    begun = time.monotonic()
    body = {"chat_id": chat_id, "content": "/scenario slow-start"}
    with slow.http.stream("POST", "/messages/stream", json=body) as reply:
        with Desk(slow.server, slow.session) as other:
            other.data("POST", "/messages/stream/cancel", taskId=reply.headers["X-Task-ID"])
        assert b'"cancelled"' in reply.read()
    assert time.monotonic() - begun < 4
    assert slow.texts(chat_id)[1] == ("assistant", "")


def test_terminating_cancels_everything_of_this_session(slow: Desk) -> None:
    with Desk(slow.server, f"{slow.session}-b") as other, Running(other, FIRST, "long-answer") as foreign:
        with Running(slow, FIRST, "long-answer") as one, Running(slow, FIRST, "long-answer") as two:
            reply = slow.call("POST", "/terminate").json()
        assert (reply["code"], reply["data"]) == (200, {"cancelled_count": 2})
        assert one.told.kinds[-1] == two.told.kinds[-1] == "cancelled"
        assert one.task_id != two.task_id
        assert not foreign.told.frames
        assert slow.call("POST", "/messages/stream/cancel", task_id=foreign.task_id).json()["code"] == 404
        assert other.call("POST", "/terminate").json()["data"] == {"cancelled_count": 1}
    assert slow.call("POST", "/terminate").json()["data"] == {"cancelled_count": 0}


@pytest.mark.parametrize("task_id", [UNKNOWN, "x", " ", "任务", "x" * 5_000])
def test_an_unknown_task_is_200_with_code_404(desk: Desk, task_id: str) -> None:
    reply = desk.call("POST", "/messages/stream/cancel", task_id=task_id)
    assert reply.status_code == 200
    assert reply.json() == {"code": 404, "message": "任务不存在或已完成", "data": {"task_id": task_id}}


def test_a_finished_task_is_unknown(desk: Desk) -> None:
    task_id = desk.stream(HI).headers["X-Task-ID"]
    assert desk.call("POST", "/messages/stream/cancel", task_id=task_id).json()["code"] == 404
    assert desk.call("POST", "/messages/stream/cancel", task_id="").status_code == 422


def test_a_client_that_leaves_leaves_an_empty_answer(slow: Desk) -> None:
    chat_id = slow.start()
    body = {"chat_id": chat_id, "content": "/scenario long-answer"}
    with slow.http.stream("POST", "/messages/stream", json=body) as reply:
        for piece in reply.iter_raw():
            if b'"chunk"' in piece:
                break
    world = slow.server.app.sessions.get(slow.session).world("deskchat", BACKEND.populate)
    until(lambda: not world.running)
    assert slow.texts(chat_id) == [("user", "/scenario long-answer"), ("assistant", "")]
    assert slow.data("GET", f"/conversations/{chat_id}")["message_count"] == 2
    (entry,) = [one for one in slow.server.app.sessions.get(slow.session).journal.entries if one.closed is not None]
    assert entry.closed == "left"
