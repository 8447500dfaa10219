"""Arming over the control API: what is refused at once, and what the next calls then do."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import httpx
import pytest
from conftest import Dify
from control_caller import Control

from emulator.fault import FAULTS
from emulator.testing.server import ThreadedServer
from emulator.world.armed import MOST_ARMED
from emulator.world.patching import MOST_STATES
from emulator.world.session import MOST_PLAYS

WORDS = {"steps": [{"say": "Armed words."}]}
INLINE = "inline-" + sha256(b'{"steps":[{"say":"Armed words."}]}').hexdigest()[:8]


def chat(dify: Dify, query: str = "Hi") -> httpx.Response:
    """A blocking question."""
    return dify.post("/chat-messages", inputs={}, query=query)


def said(dify: Dify, query: str = "Hi") -> str:
    """Its answer."""
    answer: str = chat(dify, query).json()["answer"]
    return answer


# ---- What can be armed ----


def test_arming(control: Control, dify: Dify) -> None:
    path = f"/sessions/{dify.session}/armed"
    body = {"backend": "dify", "operation": "sendChatMessage", "scenario": "default", "times": 2}
    reply = control.call("POST", path, json=body)
    arming = reply.json()
    assert (reply.status_code, reply.headers["location"]) == (201, f"/_emulator{path}/{arming['id']}")
    shown = {**body, "id": arming["id"], "prefer": None, "fault": None, "when": None, "left": 2}
    assert {name: arming[name] for name in shown} == shown
    assert control.ok("GET", path) == {"armed": [arming]}
    assert control.ok("GET", f"{path}/{arming['id']}") == arming
    chat(dify)
    assert control.ok("GET", f"{path}/{arming['id']}")["left"] == 1
    control.ok("DELETE", f"{path}/{arming['id']}")
    for method in ("GET", "DELETE"):
        problem = control.refused(404, method, f"{path}/{arming['id']}")
        assert problem["title"] == "Nothing armed"
    control.arm(dify.session, fault="reset")
    control.arm(dify.session, prefer="code=429")
    control.ok("DELETE", path)
    assert control.ok("GET", path) == {"armed": []}


def test_what_is_left_out(control: Control, session_name: str) -> None:
    arming = control.arm(session_name, fault="reset")
    assert (arming["operation"], arming["times"], arming["left"], arming["when"]) == (None, 1, 1, None)
    arming = control.arm(session_name, fault="reset", times=None, operation=None, when=None)
    assert (arming["times"], arming["left"]) == (None, None)


def test_every_scenario_can_be_armed(control: Control, session_name: str) -> None:
    for backend in control.ok("GET", "/backends")["backends"]:
        for scenario in backend["scenarios"]:
            control.arm(session_name, backend["name"], scenario=scenario)


def test_every_documented_reply_can_be_armed(control: Control, session_name: str) -> None:
    for name, service in control.server.app.services.items():
        for id, operation in service.document.operations.items():
            for status in operation.responses:
                control.arm(session_name, name, operation=id, prefer=f"code={status}")
        control.ok("DELETE", f"/sessions/{session_name}/armed")


@pytest.mark.parametrize("fault", list(FAULTS))
def test_every_fault_can_be_armed(control: Control, session_name: str, fault: str) -> None:
    assert control.arm(session_name, fault=fault)["fault"] == fault
    assert control.arm(session_name, scenario="default", fault=[fault])["fault"] == [fault]
    assert control.arm(session_name, prefer="code=429", fault={fault: {}})["prefer"] == "code=429"


REFUSED: list[tuple[dict[str, Any], str, str, str]] = [
    # body beside backend dify → title, a word of the detail, one of the available names
    ({"backend": "dfy", "fault": "reset"}, "Unknown backend", "Did you mean dify", "dify"),
    ({"operation": "sendChatMesage", "fault": "reset"}, "Unknown operation", "sendChatMessage", "sendChatMessage"),
    ({"operation": "login", "fault": "reset"}, "Unknown operation", "dify", "sendChatMessage"),
    ({"scenario": "long-anser"}, "Unknown scenario", "long-answer", "long-answer"),
    ({"scenario": ""}, "Unknown scenario", "", "default"),
    ({"scenario": "../any/default"}, "Unknown scenario", "", "default"),
    ({"fault": "rest"}, "Unusable fault", "reset", ""),
    ({"fault": {}}, "Unusable fault", "/fault", ""),
    ({"fault": [5]}, "Unusable fault", "/fault/0", ""),
    ({"fault": {"truncate": {"event": -7}}}, "Unusable fault", "/fault/truncate", ""),
    ({"prefer": "code=999"}, "Undocumented reply", "999", "200"),
    ({"prefer": "example=rate_limit_eror"}, "Undocumented reply", "rate_limit_error", "rate_limit_error"),
    ({"prefer": "return=minimal"}, "Malformed Prefer", "code=STATUS", ""),
    ({"prefer": "code"}, "Malformed Prefer", "code=VALUE", ""),
    ({"operation": "getChatAppInfo", "prefer": "code=429"}, "Undocumented status", "429", "200"),
    ({"operation": "getChatAppInfo", "scenario": "default"}, "Nobody can play it", "getChatAppInfo", "sendChatMessage"),
    ({"scenario": {"steps": [{"sayy": "x"}]}}, "Unusable scenario", "/scenario/steps/0", ""),
    ({"scenario": {"steps": []}}, "Unusable scenario", "/scenario/steps", ""),
    ({"scenario": {"nothing": 1}}, "Unusable scenario", "/scenario", ""),
    ({"scenario": {**WORDS, "operation": "sendChatMesage"}}, "", "sendChatMessage", ""),
    ({"fault": "reset", "when": {"bdy": {}}}, "Unusable condition", "/when/bdy", ""),
    ({"scenario": "default", "prefer": "code=429"}, "Too much to arm", "scenario, prefer", ""),
    ({}, "Nothing to arm", "scenario, prefer", ""),
    ({"when": {"nth": 1}}, "Nothing to arm", "scenario, prefer", ""),
    ({"fault": "reset", "tims": 2}, "Unknown member", "Did you mean times", "times"),
    ({"fault": "reset", "times": 0}, "Not what is documented", "at least 1", ""),
    ({"fault": "reset", "times": True}, "Not what is documented", "/times", ""),
    ({"fault": "reset", "times": 1.5}, "Not what is documented", "/times", ""),
    ({"fault": "reset", "times": 10**9}, "Not what is documented", "at most", ""),
    ({"backend": None, "fault": "reset"}, "Not what is documented", "/backend", ""),
    ({"scenario": 5}, "Not what is documented", "/scenario", ""),
    ({"prefer": {"code": 429}}, "Not what is documented", "/prefer", ""),
    ({"fault": 5}, "Not what is documented", "/fault", ""),
    ({"fault": "reset", "when": "always"}, "Not what is documented", "/when", ""),
]


@pytest.mark.parametrize(("body", "title", "word", "available"), REFUSED)
def test_what_cannot_be_armed(
    control: Control, session_name: str, body: dict[str, Any], title: str, word: str, available: str
) -> None:
    path = f"/sessions/{session_name}/armed"
    problem = control.refused(400, "POST", path, json={"backend": "dify", **body})
    assert (title, word in problem["detail"]) == (title and problem["title"], True), problem
    assert not available or available in problem["available"]
    assert session_name not in control.names()
    kept = control.arm(session_name, fault="reset")
    control.refused(400, "POST", path, json={"backend": "dify", **body})
    assert control.ok("GET", path) == {"armed": [kept]}


def test_the_list_is_bounded(control: Control, session_name: str) -> None:
    path = f"/sessions/{session_name}/armed"
    for _ in range(MOST_ARMED):
        control.http.post(path, json={"backend": "dify", "fault": "reset"})
    problem = control.refused(409, "POST", path, json={"backend": "dify", "fault": "reset"})
    assert str(MOST_ARMED) in problem["detail"]
    assert len(control.ok("GET", path)["armed"]) == MOST_ARMED
    control.ok("DELETE", f"{path}/a1")
    control.arm(session_name, fault="reset")


def test_so_are_its_bytes(control: Control, session_name: str) -> None:
    body = {"backend": "dify", "scenario": {"steps": [{"say": "x" * 400_000}]}}
    replies = [control.call("POST", f"/sessions/{session_name}/armed", json=body).status_code for _ in range(40)]
    assert replies[0] == 201 and replies[-1] == 409


# ---- What the calls then do ----


def test_it_is_spent_by_the_next_call(control: Control, dify: Dify) -> None:
    plain = said(dify)
    arming = control.arm(dify.session, scenario=WORDS)
    assert said(dify) == "Armed words."
    assert said(dify) != "Armed words." != plain
    entry = control.entries(dify.session, operation="sendChatMessage")[1]
    assert (entry["chosen_by"], entry["scenario"]) == (f"armed {arming['id']}", INLINE)
    assert control.ok("GET", f"/sessions/{dify.session}/armed") == {"armed": []}


def test_times(control: Control, dify: Dify) -> None:
    control.arm(dify.session, prefer="code=429", operation="sendChatMessage", times=2)
    assert [chat(dify).status_code for _ in range(3)] == [429, 429, 200]
    control.arm(dify.session, prefer="code=429", operation="sendChatMessage", times=None)
    assert [chat(dify).status_code for _ in range(5)] == [429] * 5
    control.ok("DELETE", f"/sessions/{dify.session}")
    assert chat(dify).status_code == 200


def test_the_one_armed_first_is_spent_first(control: Control, dify: Dify) -> None:
    for words in ("one", "two", "three"):
        control.arm(dify.session, scenario={"steps": [{"say": words}]})
    assert [said(dify) for _ in range(3)] == ["one", "two", "three"]


def test_a_refused_call_spends_nothing(control: Control, dify: Dify) -> None:
    arming = control.arm(dify.session, scenario=WORDS)
    assert dify.post("/chat-messages", inputs={}).status_code == 400
    stranger = Dify(dify.server, dify.session, "nobody")
    assert chat(stranger).status_code == 401
    stranger.http.close()
    assert dify.http.post("/chat-messages", json={}, headers={"X-Emulator-Scenario": "nothing"}).status_code == 400
    assert control.ok("GET", f"/sessions/{dify.session}/armed/{arming['id']}")["left"] == 1
    assert said(dify) == "Armed words."


def test_nor_does_one_that_cannot_play_it(control: Control, dify: Dify) -> None:
    arming = control.arm(dify.session, scenario=WORDS)
    assert dify.get("/info").status_code == 200
    (entry,) = control.entries(dify.session)
    assert any(f"armed {arming['id']}" in miss and "getChatAppInfo" in miss for miss in entry["near_misses"])
    assert said(dify) == "Armed words."


def test_an_operation_is_meant(control: Control, dify: Dify) -> None:
    arming = control.arm(dify.session, prefer="code=404", operation="getConversationsList")
    assert chat(dify).status_code == 200
    assert control.entries(dify.session)[0]["near_misses"] == [f"armed {arming['id']}: it is for getConversationsList"]
    assert dify.get("/conversations").status_code == 404


def test_a_documented_reply_goes_to_the_first_that_documents_it(control: Control, dify: Dify) -> None:
    control.arm(dify.session, prefer="code=429")
    assert dify.get("/info").status_code == 200
    assert chat(dify).status_code == 429


def test_other_backends_are_not_meant(control: Control, dify: Dify) -> None:
    arming = control.arm(dify.session, "toolchat", scenario="default")
    chat(dify)
    assert control.ok("GET", f"/sessions/{dify.session}/armed/{arming['id']}")["left"] == 1
    assert control.entries(dify.session)[0]["near_misses"] == []


def test_a_condition(control: Control, dify: Dify) -> None:
    arming = control.arm(dify.session, scenario=WORDS, when={"body": {"query": "the word"}})
    assert said(dify, "another") != "Armed words."
    assert any(f"armed {arming['id']}" in miss for miss in control.entries(dify.session)[0]["near_misses"])
    assert said(dify, "the word") == "Armed words."
    control.arm(dify.session, prefer="code=429", when={"nth": 5})
    assert [chat(dify).status_code for _ in range(4)] == [200, 200, 429, 200]


def test_what_the_call_says_itself_wins(control: Control, dify: Dify) -> None:
    arming = control.arm(dify.session, scenario=WORDS)
    body = {"user": dify.user, "inputs": {}, "query": "Hi"}
    reply = dify.http.post("/chat-messages", json=body, headers={"Prefer": "code=429"})
    assert reply.status_code == 429
    reply = dify.http.post("/chat-messages", json=body, headers={"X-Emulator-Scenario": "default"})
    assert reply.json()["answer"] != "Armed words."
    assert control.ok("GET", f"/sessions/{dify.session}/armed/{arming['id']}")["left"] == 1
    assert said(dify) == "Armed words."


def test_a_fault(control: Control, dify: Dify) -> None:
    arming = control.arm(dify.session, fault="reset")
    with pytest.raises(httpx.TransportError):
        dify.get("/info")
    assert dify.get("/info").status_code == 200
    first, second = control.entries(dify.session)
    assert (first["fault"], first["faults"][0]["source"]) == ("reset", f"armed {arming['id']}")
    assert second["fault"] is None


def test_a_fault_beside_a_scenario(control: Control, dify: Dify) -> None:
    control.arm(dify.session, scenario=WORDS, fault="reset")
    with pytest.raises(httpx.TransportError):
        chat(dify)
    (entry,) = control.entries(dify.session)
    assert (entry["fault"], entry["scenario"]) == ("reset", INLINE)


def test_refused_for_a_while(control: Control, dify: Dify) -> None:
    """By the session's clock, for as many calls as come."""
    control.ok("PATCH", f"/sessions/{dify.session}", json={"clock": "virtual"})
    arming = control.arm(dify.session, fault={"refuse": {"for": "60s"}})
    assert (arming["times"], arming["left"]) == (None, None)
    for _ in range(3):
        with pytest.raises(httpx.TransportError):
            dify.get("/info")
    control.ok("PATCH", f"/sessions/{dify.session}", json={"advance": "60s"})
    assert control.ok("GET", f"/sessions/{dify.session}/armed") == {"armed": []}
    control.refused(404, "GET", f"/sessions/{dify.session}/armed/{arming['id']}")
    assert dify.get("/info").status_code == 200
    assert control.arm(dify.session, fault={"refuse": {"for": "5s"}}, times=1)["times"] == 1


def test_sessions_do_not_share(control: Control, dify: Dify) -> None:
    control.arm(f"{dify.session}-2", scenario=WORDS)
    assert said(dify) != "Armed words."


def test_what_is_armed_outlives_a_snapshot(control: Control, dify: Dify) -> None:
    path = f"/sessions/{dify.session}"
    arming = control.arm(dify.session, scenario=WORDS, when={"body": {"query": "Hi"}})
    kept = control.ok("GET", f"{path}/snapshot")
    assert said(dify) == "Armed words."
    control.ok("PUT", f"{path}/snapshot", json=kept)
    assert control.ok("GET", f"{path}/armed") == {"armed": [arming]}
    assert said(dify) == "Armed words."
    assert [entry["scenario"] for entry in control.entries(dify.session)] == [INLINE, INLINE]
    kept["armed"]["items"][0]["scenario"] = "no-such"
    assert "no-such" in control.refused(400, "PUT", f"{path}/snapshot", json=kept)["detail"]


# ---- Calls that an arming is not for ----


def test_a_fault_that_can_do_nothing_to_a_reply_waits_for_a_stream(control: Control, dify: Dify) -> None:
    id = control.arm(dify.session, fault={"truncate": {"event": 3}})["id"]
    assert dify.get("/conversations").status_code == 200
    (entry,) = control.entries(dify.session)
    assert (entry["fault"], entry["near_misses"]) == (
        None,
        [f"armed {id}: its fault could do nothing to a reply that is no stream"],
    )
    dify.post("/chat-messages", inputs={}, query="Hi", response_mode="streaming")
    assert control.entries(dify.session)[-1]["faults"][0]["applied"]
    assert control.ok("GET", f"/sessions/{dify.session}/armed") == {"armed": []}


def test_one_for_a_named_operation_is_spent_there_whatever_it_can_do(control: Control, dify: Dify) -> None:
    control.arm(dify.session, operation="getConversationsList", fault="coalesce")
    dify.get("/conversations")
    (fault,) = control.entries(dify.session)[-1]["faults"]
    assert (fault["name"], fault["applied"]) == ("coalesce", False)


def test_values_that_only_a_question_has_do_no_harm_to_other_calls(control: Control, dify: Dify) -> None:
    control.arm(dify.session, scenario={"steps": [{"say": "You asked {{ request.body.query }}"}]})
    reply = dify.get("/conversations")
    assert reply.status_code == 200
    (miss,) = control.entries(dify.session)[-1]["near_misses"]
    assert "there is no 'query'" in miss
    assert said(dify, "why?") == "You asked why?"


def test_what_waits_while_the_call_asks_for_something_else_is_told(control: Control, dify: Dify) -> None:
    id = control.arm(dify.session, fault="reset")["id"]
    dify.http.get("/info", headers={"Prefer": "code=401"})
    chat(dify, "/scenario default")
    misses = [entry["near_misses"] for entry in control.entries(dify.session)]
    assert misses == [[f"armed {id}: the call itself asks for something else"]] * 2


def test_an_unknown_code_is_refused_when_it_is_armed(control: Control, session_name: str) -> None:
    body = {"backend": "dify", "scenario": {"steps": [{"reply": {"status": 400, "code": "not_foun"}}]}}
    problem = control.refused(400, "POST", f"/sessions/{session_name}/armed", json=body)
    assert "not_found" in problem["available"] and "Did you mean not_found" in problem["detail"]
    (violation,) = problem["violations"]
    assert violation["pointer"].startswith("/scenario/steps/0") and "not_foun" in violation["got"]


def test_faults_that_multiply_one_another_are_bounded(control: Control, dify: Dify) -> None:
    control.arm(dify.session, fault=[{"duplicate": {"event": 0, "times": 100}}] * 10)
    reply = chat(dify)
    assert len(reply.content) < 33 * 1024 * 1024
    assert dify.get("/info").status_code == 200


def test_what_is_armed_behind_a_fault_that_waits_has_its_turn(control: Control, dify: Dify) -> None:
    waiting = control.arm(dify.session, fault={"truncate": {"event": 3}})["id"]
    control.arm(dify.session, prefer="code=401")
    assert dify.get("/conversations").status_code == 401
    (left,) = control.ok("GET", f"/sessions/{dify.session}/armed")["armed"]
    assert left["id"] == waiting


def test_scenarios_without_end_leave_no_more_than_a_bound(server: ThreadedServer, dify: Dify) -> None:
    story = server.app.sessions.get(dify.session).world("dify", lambda world: None).story
    for number in range(MOST_PLAYS + 5):
        story.played(f"inline-{number}", {f"state-{number}": number})
    assert (len(story.plays), len(story.states)) == (MOST_PLAYS, MOST_STATES)
    assert f"state-{MOST_PLAYS + 4}" in story.states and "inline-4" not in story.plays
