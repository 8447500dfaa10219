"""Stories: several calls to a real server, each of which leaves the next one in another state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Dify

from emulator.choosing import Readied
from emulator.streams.reading import scenario_from
from emulator.testing.server import ThreadedServer
from emulator.world.armed import Arming

FILES = {
    "dify/flaky.yaml": """
when: {body: {query: {contains: flaky}}}
steps:
- choose:
  - when: {play: {at_most: 2}}
    steps: [{wait: 1s}, {reply: {status: 500, code: internal_server_error, headers: {Retry-After: "{{ 3 - play }}"}}}]
  - steps: [say: "Here I am, after {{ play - 1 }} failures."]
""",
    "dify/quota.yaml": """
when: {body: {query: {contains: quota}}}
becomes: {left: "{{ (state.left | default(2)) - 1 }}"}
steps:
- choose:
  - requires: {left: {at_most: 0}}
    becomes: {left: 0}
    steps: [{say: Let me, every: 1ms}, error: provider_quota_exceeded]
  - steps: [say: "{{ (state.left | default(2)) - 1 }} left"]
""",
    "dify/sign-out.yaml": """
operation: postChatMessageFeedback
when: {body: {content: sign out}}
becomes: {signed_out: true}
""",
    "dify/signed-out.yaml": """
operation: getConversationsList
requires: {signed_out: true}
steps: [reply: {status: 401, code: unauthorized}]
""",
    "dify/first-time.yaml": """
operation: getChatAppInfo
steps: [choose: [{when: {nth: 1}, steps: [reply: {status: 200, body: {name: first}, violates: true}]}]]
when: {}
""",
    "dify/echo.yaml": """
pace: {tokens_per_second: 100, ttft: 1s, jitter: 2ms}
steps:
- say: "You said {{ request.body.query }} in {{ fake.city }}, {{ request.headers['x-mood'] }}. "
- repeat: 2
  steps: [say: "{{ index }}", ping, event: {event: message, answer: "{{ uuid() }}"}]
""",
    "dify/no-example.yaml": "steps: [reply: {status: 400, example: never_heard_of}]",
    "dify/no-code.yaml": "steps: [reply: {status: 400, code: provider_quota_exceded}]",
    "dify/by-turn.yaml": """
when: {body: {query: {contains: turn}}}
steps: [say: "turn {{ turn }}, call {{ nth }}, play {{ play }}"]
""",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedServer]:
    folder = tmp_path_factory.mktemp("stories")
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    with ThreadedServer(backends=("dify",), scenarios=Path(folder), speed=0) as running:
        yield running


@pytest.fixture
def caller(server: ThreadedServer, session_name: str) -> Iterator[Dify]:
    made = Dify(server, session_name)
    yield made
    made.http.close()


def ask(caller: Dify, query: str, **members: Any) -> httpx.Response:
    return caller.post("/chat-messages", inputs={}, query=query, **members)


def answer(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    said: str = reply.json()["answer"]
    return said


def misses(caller: Dify) -> tuple[str, ...]:
    return list(caller.server.app.sessions.get(caller.session).journal.entries)[-1].near_misses


def test_it_fails_twice_and_then_works(caller: Dify) -> None:
    first, second, third = (ask(caller, "be flaky") for _ in range(3))
    assert (first.status_code, first.json()["code"]) == (500, "internal_server_error")
    assert (first.headers["retry-after"], second.headers["retry-after"]) == ("2", "1")
    assert first.headers["x-emulator-scenario"] == "flaky"
    assert answer(third) == "Here I am, after 2 failures."
    with Dify(caller.server, caller.session + "-other").http as other:
        body = {"user": "abc-123", "inputs": {}, "query": "flaky"}
        assert other.post("/chat-messages", json=body).status_code == 500, "another session has its own story"


def test_the_quota_runs_out_and_stays_out(caller: Dify) -> None:
    assert answer(ask(caller, "my quota")) == "1 left"
    assert answer(ask(caller, "my quota")) == "0 left"
    for _ in range(2):
        reply = ask(caller, "my quota")
        assert (reply.status_code, reply.json()["code"]) == (400, "provider_quota_exceeded")
    streamed = caller.stream("my quota")
    assert '"code":"provider_quota_exceeded"' in streamed.text and streamed.status_code == 200


def test_a_state_of_one_operation_changes_another(caller: Dify) -> None:
    assert caller.get("/conversations").status_code == 200
    assert misses(caller) == ("signed-out: state.signed_out is not there",)
    message = ask(caller, "Hello").json()["message_id"]
    out = caller.post(f"/messages/{message}/feedbacks", rating="like", content="sign out")
    assert (out.status_code, out.json()) == (200, {"result": "success"}), "the behaviour answers, the state moves"
    assert out.headers["x-emulator-scenario"] == "sign-out"
    refused = caller.get("/conversations")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    assert "www-authenticate" in refused.headers


def test_the_first_call_alone_is_answered_by_the_scenario(caller: Dify) -> None:
    assert caller.get("/info").json() == {"name": "first"}
    assert "tags" in caller.get("/info").json()


def test_turn_and_calls_are_counted_apart(caller: Dify) -> None:
    first = ask(caller, "turn please")
    conversation = first.json()["conversation_id"]
    assert answer(first) == "turn 1, call 1, play 1"
    assert ask(caller, "").status_code == 400, "a refused call does not count"
    assert answer(ask(caller, "Hello", conversation_id=conversation)) != ""
    assert answer(ask(caller, "turn please", conversation_id=conversation)) == "turn 3, call 3, play 2"


def test_values_come_from_the_call_and_the_seed(server: ThreadedServer, session_name: str) -> None:
    said = []
    for session in (f"{session_name}-a", f"{session_name}-b"):
        caller = Dify(server, session)
        headers = {"X-Emulator-Scenario": "echo", "X-Mood": "calm"}
        streamed = caller.stream("{{ nth }}", headers=headers)
        events = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
        said.append("".join(event.get("answer", "") for event in events))
        assert streamed.text.count("event: ping") == 2
        caller.http.close()
    assert said[0] == said[1], "another session has the same"
    assert said[0].startswith("You said {{ nth }} in ") and ", calm. 0" in said[0]


@pytest.mark.parametrize(
    ("scenario", "detail"),
    [
        ("echo", "there is no 'x-mood' in what has"),
        ("no-example", "sendChatMessage has no example 'never_heard_of'"),
        ("no-code", "dify has no code 'provider_quota_exceded'. Did you mean provider_quota_exceeded"),
        ("signed-out", None),
    ],
)
def test_what_cannot_be_played_is_a_clear_400_and_moves_nothing(
    caller: Dify, scenario: str, detail: str | None
) -> None:
    for _ in range(2):
        reply = caller.http.post(
            "/chat-messages",
            json={"user": "u", "inputs": {}, "query": "Hi"},
            headers={"X-Emulator-Scenario": scenario},
        )
        if detail is None:
            assert reply.status_code == 200
            assert misses(caller)[0] == "signed-out: it is for getConversationsList"
        else:
            assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")
            assert detail in reply.json()["detail"]
    session = caller.server.app.sessions.get(caller.session)
    story = session.world("dify", lambda world: None).story
    assert scenario not in story.plays


def test_one_that_is_asked_for_by_name_is_played_whatever_it_requires(caller: Dify) -> None:
    reply = caller.http.get("/conversations?user=abc-123", headers={"X-Emulator-Scenario": "signed-out"})
    assert reply.status_code == 401
    body = {"user": "abc-123", "inputs": {}, "query": "Hi"}
    named = caller.http.post("/chat-messages", json=body, headers={"X-Emulator-Scenario": "by-turn"})
    assert answer(named) == "turn 1, call 1, play 1"


def test_one_of_json_is_armed_with_a_condition(caller: Dify) -> None:
    data = {"steps": [{"say": "armed for {{ request.body.query }}"}]}
    scenario = scenario_from(data, "inline", None, None, lambda place, what: LookupError(what))
    armed = caller.server.app.sessions.get(caller.session).armed
    armed.add(Arming(armed.new_id(), "dify", ready=Readied(scenario, when={"nth": {"every": 2}})))
    assert "armed" not in answer(ask(caller, "Hello"))
    assert misses(caller)[0] == "armed a1: nth is no multiple of 2 but 1"
    assert answer(ask(caller, "Hello")) == "armed for Hello"
