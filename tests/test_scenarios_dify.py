"""Every scenario that Dify can be asked for, streamed and not, by header and by chat text; and what the history shows
afterwards. Orders are those of FACTS.md, section 002 §2 "Streaming: order"."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from conftest import KEYS, Dify
from days import other_names
from session_caller import Received, receive

from emulator.call import Event
from emulator.service import bundled
from emulator.streams.shelf import Scenarios
from emulator.streams.steps import Say
from emulator.testing.server import ThreadedServer

SCENARIOS = Scenarios("dify", [bundled("scenarios")])
NAMES = other_names(SCENARIOS)
APPS = {"chat": {}, "agent": {}, "flow": {"city": "Hangzhou"}}
"""Kind of app → the inputs it asks for."""

LETTERS = {
    "message": "m",
    "agent_message": "a",
    "agent_thought": "t",
    "message_file": "f",
    "message_replace": "r",
    "tts_message": "s",
    "tts_message_end": "S",
    "message_end": "E",
    "error": "X",
}
BASIC = "m+E"
ROUND = "ta*tf*t"
"""A round of an agent with a tool: an empty thought, text, the thought with its tool, files, the thought with what the
tool gave back."""
LAST_ROUND = "ta+t"
ORDERS = {
    "default": BASIC,
    "long-answer": BASIC,
    "ping-between-deltas": BASIC,
    "annotation-hit": BASIC,
    "message-replaced": "m+rE",
    "error-mid-stream": "m+X",
    "quota-exceeded": "m+X",
    "disconnect-mid-stream": "m+",
    "agent-tool-call": f"({ROUND})+{LAST_ROUND}E",
    "generated-image": f"({ROUND})+{LAST_ROUND}E",
    "spoken-answer": "[ms]*mEs+S",
}
AGENT_ORDERS = {
    "message-replaced": "ta+trE",
    "error-mid-stream": "ta+X",
    "quota-exceeded": "ta+X",
    "disconnect-mid-stream": "ta+",
    "agent-tool-call": ORDERS["agent-tool-call"],
    "generated-image": ORDERS["generated-image"],
    "spoken-answer": "t[as]*atEs+S",
    # A prepared answer is no agent's: it comes by `message`.
    "annotation-hit": BASIC,
}
"""The same in an agent app; those that are not here are one round without a tool."""
FAILING = {"error-mid-stream": "completion_request_error", "quota-exceeded": "provider_quota_exceeded"}
CUT = "disconnect-mid-stream"


@dataclass
class Told(Received):
    """What came of a streamed call."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON events, without keep-alives."""
        return [json.loads(frame.removeprefix(b"data: ")) for frame in self.frames if frame != b"event: ping"]

    @property
    def letters(self) -> str:
        """Their kinds, a letter each."""
        return "".join(LETTERS[event["event"]] for event in self.events)

    @property
    def answer(self) -> str:
        """The texts of the deltas."""
        return "".join(event["answer"] for event in self.events if event["event"] in ("message", "agent_message"))


def tell(caller: Dify, query: str, headers: dict[str, str] | None = None, **members: Any) -> Told:
    """A streamed call, read to its end or to where it breaks off."""
    body = {"user": caller.user, "inputs": {}, "query": query, "response_mode": "streaming", **members}
    return receive(Told, caller.http.stream("POST", "/chat-messages", json=body, headers=headers))


def asked(name: str, by: str) -> dict[str, Any]:
    """The arguments that ask for a scenario."""
    if by == "header":
        return {"query": "What is new?", "headers": {"X-Emulator-Scenario": name}}
    return {"query": f"/scenario {name}"}


def last_message(caller: Dify, message_id: str | None = None) -> dict[str, Any]:
    """The newest message of the newest conversation."""
    (conversation,) = caller.get("/conversations", limit=1, sort_by="-created_at").json()["data"]
    message: dict[str, Any] = caller.get("/messages", conversation_id=conversation["id"], limit=1).json()["data"][-1]
    assert message_id in (None, message["id"])
    return message


def said(name: str) -> str:
    """All text of a scenario, also what nobody hears."""
    return "".join(step.text for step in SCENARIOS.get(name).steps if isinstance(step, Say))


def stored_answer(name: str, told: Told) -> str:
    """What the history should show as the answer."""
    if name in FAILING:
        return ""
    if name == CUT:
        return said(name).strip()
    replaced = [event["answer"] for event in told.events if event["event"] == "message_replace"]
    if replaced:
        return str(replaced[-1])
    if "t" in told.letters:
        # The same thought is told more than once; the last time says what is kept of it.
        thoughts = {event["id"]: event["thought"] for event in told.events if event["event"] == "agent_thought"}
        return "\n".join(text for text in thoughts.values() if text)
    return told.answer.strip()


@pytest.fixture
def app_caller(server: ThreadedServer, session_name: str, app: str) -> Iterator[Dify]:
    """A caller of the app that the test is about."""
    caller = Dify(server, session_name, KEYS[app])
    yield caller
    caller.http.close()
    assert caller.breaches() == []


def test_every_scenario_has_its_order_here() -> None:
    assert set(ORDERS) == set(NAMES)


@pytest.mark.parametrize("by", ["header", "text"])
@pytest.mark.parametrize("name", NAMES)
def test_a_stream_keeps_to_the_spec_and_the_order(server: ThreadedServer, dify: Dify, name: str, by: str) -> None:
    told = tell(dify, **asked(name, by))
    assert told.status == 200
    assert told.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert told.headers["X-Emulator-Scenario"] == name
    assert told.headers["X-Emulator-Operation"] == "sendChatMessage"
    assert re.fullmatch(ORDERS[name], told.letters), told.letters
    assert told.whole is (name != CUT)
    assert breaches(server, told) == []


def breaches(server: ThreadedServer, told: Told) -> list[str]:
    """How the stream breaks the spec: each event its schema, and a stream that came whole the schema of streams."""
    service = server.app.services["dify"]
    operation = service.document.operations["sendChatMessage"]
    events = [
        Event(event="ping") if frame == b"event: ping" else Event(data=json.loads(frame.removeprefix(b"data: ")))
        for frame in told.frames
    ]
    if told.whole:
        found = service.inspector.events(operation, "200", events)
    else:
        found = [one for event in events for one in service.inspector.event(operation, "200", event)]
    return [str(one) for one in found]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("app", APPS)
def test_every_app_can_play_it(server: ThreadedServer, app_caller: Dify, app: str, name: str) -> None:
    told = tell(app_caller, f"/scenario {name}", inputs=APPS[app])
    order = AGENT_ORDERS.get(name, f"{LAST_ROUND}E") if app == "agent" else ORDERS[name]
    assert re.fullmatch(order, told.letters), told.letters
    assert breaches(server, told) == []
    assert last_message(app_caller, told.events[0]["message_id"])["answer"] == stored_answer(name, told)


@pytest.mark.parametrize("name", NAMES)
def test_the_history_shows_what_was_said(dify: Dify, name: str) -> None:
    told = tell(dify, **asked(name, "header"))
    message = last_message(dify, told.events[0]["message_id"])
    assert message["query"] == "What is new?"
    assert message["answer"] == stored_answer(name, told)
    assert message["conversation_id"] == told.events[0]["conversation_id"]
    assert message["created_at"] == told.events[0]["created_at"]
    if name in FAILING:
        assert (message["status"], message["error"]) == ("error", told.events[-1]["message"])
    else:
        assert (message["status"], message["error"]) == ("normal", None)


@pytest.mark.parametrize("name", NAMES)
def test_the_history_shows_the_steps_and_files_of_an_agent(dify: Dify, name: str) -> None:
    told = tell(dify, **asked(name, "header"))
    message = last_message(dify)
    last_told = {event["id"]: event for event in told.events if event["event"] == "agent_thought"}
    assert [thought["id"] for thought in message["agent_thoughts"]] == list(last_told)
    for thought in message["agent_thoughts"]:
        event = last_told[thought["id"]]
        for member in ("position", "thought", "observation", "tool", "tool_labels", "tool_input", "message_id"):
            assert thought[member] == event[member]
        assert thought["files"] == event["message_files"]
    files = [event for event in told.events if event["event"] == "message_file"]
    assert [(one["id"], one["type"], one["belongs_to"], one["url"]) for one in message["message_files"]] == [
        (event["id"], event["type"], event["belongs_to"], event["url"]) for event in files
    ]
    for one in message["message_files"]:
        got = httpx.get(one["url"], headers={"X-Emulator-Session": dify.session})
        assert (got.status_code, got.headers["Content-Type"], len(got.content)) == (200, one["mime_type"], one["size"])
        assert got.content.startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("by", ["header", "text"])
@pytest.mark.parametrize("name", NAMES)
def test_a_reply_that_does_not_stream(dify: Dify, name: str, by: str) -> None:
    arguments = asked(name, by)
    body = {"inputs": {}, "query": arguments["query"], "user": dify.user, "response_mode": "blocking"}
    with dify.http.stream("POST", "/chat-messages", json=body, headers=arguments.get("headers")) as reply:
        assert reply.headers["X-Emulator-Scenario"] == name
        if name == CUT:
            with pytest.raises(httpx.TransportError):
                reply.read()
            assert 0 < reply.num_bytes_downloaded < int(reply.headers["Content-Length"])
            assert last_message(dify)["answer"] == said(name)
            return
        reply.read()
    answered = reply.json()
    message = last_message(dify)
    if name in FAILING:
        assert reply.status_code == 400
        assert reply.headers["Content-Type"] == "application/json"
        assert list(answered) == ["code", "message", "status"]
        assert (answered["code"], answered["status"]) == (FAILING[name], 400)
        assert (message["status"], message["error"], message["answer"]) == ("error", answered["message"], "")
        return
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answered["id"] == answered["message_id"] == message["id"]
    assert answered["answer"] == message["answer"] != ""
    assert (message["status"], message["error"]) == ("normal", None)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FAILING and name != CUT])
def test_streamed_or_not_it_says_the_same(dify: Dify, name: str) -> None:
    told = tell(dify, **asked(name, "header"))
    body = {"inputs": {}, "query": "What is new?", "user": dify.user}
    blocking = dify.http.post("/chat-messages", json=body, headers={"X-Emulator-Scenario": name}).json()
    (end,) = [event for event in told.events if event["event"] == "message_end"]
    assert blocking["answer"] == stored_answer(name, told)
    assert blocking["metadata"] == end["metadata"]


@pytest.mark.parametrize("streaming", [True, False])
def test_an_annotation_hit_is_counted_costs_nothing_and_comes_by_the_character(dify: Dify, streaming: bool) -> None:
    before = hit_counts(dify)
    if streaming:
        told = tell(dify, **asked("annotation-hit", "header"))
        assert all(len(event["answer"]) == 1 for event in told.events[:-1])
        metadata = told.events[-1]["metadata"]
    else:
        metadata = dify.ask("/scenario annotation-hit")["metadata"]
    hit = metadata["annotation_reply"]["id"]
    assert metadata["annotation_reply"]["account"].keys() == {"id", "name"}
    assert (metadata["usage"]["total_tokens"], metadata["usage"]["total_price"]) == (0, "0.0")
    after = hit_counts(dify)
    assert after[hit] == before[hit] + 1
    assert {id for id in after if after[id] != before[id]} == {hit}


def hit_counts(caller: Dify) -> dict[str, int]:
    """How often each annotation was hit."""
    return {one["id"]: one["hit_count"] for one in caller.get("/apps/annotations").json()["data"]}


@pytest.mark.parametrize("app", APPS)
def test_an_annotation_answers_its_question_in_every_app(app_caller: Dify, app: str) -> None:
    """No scenario: annotation reply is switched on, and the question is asked."""
    setting = {"score_threshold": 0.9, "embedding_provider_name": "openai", "embedding_model_name": "small"}
    assert app_caller.post("/apps/annotation-reply/enable", setting).json()["job_status"] == "waiting"
    for _ in range(3):
        app_caller.get("/info")  # a second each on the virtual clock: the job is done
    told = tell(app_caller, "Can I change my booking?", inputs=APPS[app])
    assert re.fullmatch(BASIC, told.letters), told.letters
    assert told.answer == "Yes, free of charge until 24 hours before it begins."
    assert told.events[-1]["metadata"]["annotation_reply"] is not None
    assert "X-Emulator-Scenario" not in told.headers


def test_spoken_audio_is_mp3_in_pieces_that_stand_alone(dify: Dify) -> None:
    told = tell(dify, **asked("spoken-answer", "header"))
    pieces = [base64.b64decode(one["audio"], validate=True) for one in told.events if one["event"] == "tts_message"]
    assert len(pieces) >= 4
    assert all(piece[:2] == b"\xff\xfb" and len(piece) % 144 == 0 for piece in pieces)


def test_a_ping_stands_between_two_deltas(dify: Dify) -> None:
    frames = tell(dify, **asked("ping-between-deltas", "header")).frames
    at = frames.index(b"event: ping")
    assert frames.count(b"event: ping") == 1
    assert b'"event":"message",' in frames[at - 1] and b'"event":"message",' in frames[at + 1]


def test_a_long_answer_is_long(dify: Dify) -> None:
    told = tell(dify, **asked("long-answer", "header"))
    assert len(told.answer) >= 600
    assert len(told.events) >= 20
    assert told.events[-1]["metadata"]["usage"]["latency"] >= 5.0


def test_a_scenario_continues_a_conversation(dify: Dify) -> None:
    first = tell(dify, **asked("default", "header"))
    conversation = first.events[0]["conversation_id"]
    second = tell(dify, **asked("agent-tool-call", "header"), conversation_id=conversation)
    assert second.events[0]["conversation_id"] == conversation
    assert second.events[0]["message_id"] != first.events[0]["message_id"]
    history = dify.get("/messages", conversation_id=conversation).json()["data"]
    assert [message["id"] for message in history] == [told.events[0]["message_id"] for told in (first, second)]


# --- choosing


@pytest.mark.parametrize("mode", ["streaming", "blocking"])
@pytest.mark.parametrize("by", ["header", "text"])
def test_an_unknown_name_is_told_with_those_there_are_and_the_nearest(dify: Dify, by: str, mode: str) -> None:
    arguments = asked("defualt", by)
    body = {"inputs": {}, "query": arguments["query"], "user": dify.user, "response_mode": mode}
    reply = dify.http.post("/chat-messages", json=body, headers=arguments.get("headers"))
    assert reply.status_code == 400
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json()
    assert problem["status"] == 400 and problem["title"]
    assert problem["available"] == SCENARIOS.names()
    assert "defualt" in problem["detail"] and "Did you mean default?" in problem["detail"]
    assert "X-Emulator-Scenario" not in reply.headers


@pytest.mark.parametrize("query", ["/scenario", "/scenario   "])
def test_without_a_name_it_lists_those_there_are(dify: Dify, query: str) -> None:
    reply = dify.stream(query)
    assert reply.status_code == 400
    assert reply.json()["available"] == SCENARIOS.names()


def test_a_text_that_only_begins_alike_is_a_chat_text(dify: Dify) -> None:
    assert dify.ask("/scenarios are fun, aren't they?")["answer"]


def test_a_header_wins_over_a_text(dify: Dify) -> None:
    told = tell(dify, "/scenario default", headers={"X-Emulator-Scenario": "quota-exceeded"})
    assert told.headers["X-Emulator-Scenario"] == "quota-exceeded"
    assert told.letters.endswith("X")


def test_a_wrong_name_in_a_header_is_told_before_a_wrong_key(dify: Dify) -> None:
    headers = {"X-Emulator-Scenario": "defualt", "Authorization": "Bearer wrong"}
    assert dify.stream("Hello", headers=headers).status_code == 400
    headers["X-Emulator-Scenario"] = "default"
    refused = dify.stream("Hello", headers=headers)
    assert refused.status_code == 401 and "X-Emulator-Scenario" not in refused.headers
    assert dify.stream("/scenario defualt", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_call_that_is_refused_is_refused_before_anything_is_played(dify: Dify) -> None:
    refused = dify.http.post("/chat-messages", json={"user": "u"}, headers={"X-Emulator-Scenario": "default"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    assert "X-Emulator-Scenario" not in refused.headers


def test_a_call_that_cannot_play_one_is_answered_as_always(dify: Dify) -> None:
    reply = dify.http.get("/info", headers={"X-Emulator-Scenario": "default"})
    assert reply.status_code == 200 and "X-Emulator-Scenario" not in reply.headers
    entry = dify.server.app.sessions.get(dify.session).journal.entries[-1]
    assert any("default" in miss for miss in entry.near_misses)


def test_nothing_is_chosen_for_an_ordinary_call(dify: Dify) -> None:
    told = tell(dify, "Hello")
    assert "X-Emulator-Scenario" not in told.headers
    assert re.fullmatch(BASIC, told.letters)


# --- the same seed and the same calls give the same bytes


@pytest.fixture(scope="module")
def second_server() -> Iterator[ThreadedServer]:
    """Another server with the same settings, at another port."""
    with ThreadedServer(speed=0) as running:
        yield running


def all_bytes(server: ThreadedServer, session: str, name: str) -> list[bytes]:
    """A streamed call, a blocking one, the list and the histories, from a fresh session."""
    caller = Dify(server, session)
    caller.http.headers["Host"] = "emulator.test"
    found = [tell(caller, **asked(name, "header")).body]
    if name != CUT:
        body = {"inputs": {}, "query": "你好", "user": caller.user}
        found.append(caller.http.post("/chat-messages", json=body, headers={"X-Emulator-Scenario": name}).content)
    conversations = caller.get("/conversations")
    histories = [caller.get("/messages", conversation_id=one["id"]) for one in conversations.json()["data"][:2]]
    caller.http.close()
    return [*found, conversations.content, *(history.content for history in histories)]


@pytest.mark.parametrize("name", NAMES)
def test_sessions_and_servers_say_the_same(
    server: ThreadedServer, second_server: ThreadedServer, session_name: str, name: str
) -> None:
    first = all_bytes(server, session_name, name)
    assert all_bytes(server, f"{session_name}-2", name) == first
    assert all_bytes(second_server, f"another-{name}", name) == first


def test_another_seed_says_it_with_other_ids(server: ThreadedServer, session_name: str) -> None:
    with ThreadedServer(speed=0, seed=1, backends=("dify",)) as other:
        theirs = all_bytes(other, session_name, "default")
    ours = all_bytes(server, session_name, "default")
    assert theirs[0] != ours[0]
    assert len(theirs) == len(ours)
