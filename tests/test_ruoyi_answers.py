"""Questions to ruoyi's app: answers at once and as Dify's stream, every scenario, and what a chat keeps of each way in
which an answer can end."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from days import other_names
from httpx_sse import connect_sse
from ruoyi_caller import APOLOGY, ASK, ASK_STREAM, DIFY, QUESTION, SEND, Caller, Told
from session_caller import until

from emulator.service import bundled
from emulator.streams.shelf import Scenarios
from emulator.streams.steps import Say
from emulator.testing.server import ThreadedServer

SCENARIOS = Scenarios("ruoyi", [bundled("scenarios")])
NAMES = other_names(SCENARIOS)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
KINDS = {
    "default": ["message", "message_end"],
    "long-answer": ["message", "message_end"],
    "ping-between-deltas": ["message", "message_end"],
    "reasoner": ["message", "message_end"],
    "disconnect-mid-stream": ["message"],
    "error-mid-stream": ["message", "error"],
    "provider-error": ["error"],
    "upstream-timeout": [],
}
FAILED = {
    "error-mid-stream": "The model did not answer.",
    "provider-error": "Rate Limit Reached",
    "upstream-timeout": "The read operation timed out",
}
"""Scenario → why the answer fails."""
QUESTIONS = ("hello", QUESTION, "做一锅四个人喝的蔬菜汤要准备哪些食材？", "\x00", "\ud7ff\U0001f600 " * 50)
OWN = """
- say: I will draw it.
- tool_call: {name: draw_picture, arguments: {prompt: lighthouse}}
- file: {type: image, name: lighthouse.png, text: a lighthouse}
- tool_result: done
- say: Here it is.
- event: {event: message_replace, answer: Here it was., reason: moderation}
- event: {choices: [{delta: {reasoning_content: not here}}]}
- file: {type: document, text: notes}
- audio: Here it is.
- replace: Look at it.
- end
- say: Nobody hears this.
- audio: Look at it.
"""


@pytest.fixture
def admin(server: ThreadedServer, session_name: str) -> Iterator[Caller]:
    with Caller(server, session_name) as caller:
        yield caller


@pytest.fixture(scope="module")
def paced() -> Iterator[ThreadedServer]:
    """Five times as fast as people read."""
    with ThreadedServer(speed=5, backends=("ruoyi",), check_replies=True) as running:
        yield running


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedServer]:
    """With a scenario that has every step."""
    folder: Path = tmp_path_factory.mktemp("scenarios")
    (folder / "ruoyi").mkdir()
    (folder / "ruoyi" / "everything.yaml").write_text("steps:" + OWN.replace("\n", "\n  "), "utf-8")
    with ThreadedServer(speed=0, backends=("ruoyi",), scenarios=folder, check_replies=True) as running:
        yield running


def said(name: str) -> str:
    """The text of a scenario."""
    return "".join(step.text for step in SCENARIOS.get(name).steps if isinstance(step, Say))


# --- a question and its answer


def test_a_whole_answer(admin: Caller) -> None:
    answer = admin.ask(user_id="abc-123", streaming=True, inputs={"city": "Ulm"}, files=[], conversation_id=None)
    assert list(answer) == [
        *("event", "task_id", "id", "message_id", "conversation_id"),
        *("mode", "answer", "metadata", "created_at"),
    ]
    assert (answer["event"], answer["mode"], answer["id"]) == ("message", "chat", answer["message_id"])
    assert all(UUID.fullmatch(answer[member]) for member in ("task_id", "id", "conversation_id"))
    usage = answer["metadata"]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert admin.chats()[0]["id"] == 5, "nothing is kept as a chat"


@pytest.mark.parametrize("query", QUESTIONS)
def test_an_answer_is_the_same_streamed_or_not(server: ThreadedServer, session_name: str, query: str) -> None:
    with Caller(server, f"{session_name[:50]}-1") as one, Caller(server, f"{session_name[:50]}-2") as other:
        whole, told = one.ask(query), other.ask_stream(query)
        assert (told.status, told.whole, told.answer) == (200, True, whole["answer"])
        end = told.events[-1]
        assert end["metadata"] == whole["metadata"]
        assert end["message_id"] == whole["message_id"] and end["conversation_id"] == whole["conversation_id"]
        assert told.breaches(ASK_STREAM) == []


def test_a_conversation_goes_on(admin: Caller) -> None:
    first = admin.ask()
    for wanted in ("", None, "  "):
        assert admin.ask(conversation_id=wanted)["conversation_id"] != first["conversation_id"]
    again = admin.ask(conversation_id=first["conversation_id"])
    assert again["conversation_id"] == first["conversation_id"]
    assert again["answer"] != first["answer"], "the same question is another turn"
    upper = admin.ask_stream(conversation_id=f" {first['conversation_id'].upper()} ")
    assert upper.events[0]["conversation_id"] == first["conversation_id"]


@pytest.mark.parametrize("wanted", ["x", "00000000-0000-4000-8000-000000000000", "\x00", "x" * 10_000])
@pytest.mark.parametrize("path", ["chat", "chat/stream"])
def test_an_unknown_conversation(admin: Caller, path: str, wanted: str) -> None:
    body = {"app_id": 1, "query": "hi", "conversation_id": wanted}
    assert admin.refused("POST", f"{DIFY}/{path}", body) == (404, {"code": 404, "msg": "Conversation Not Exists."})


def test_a_conversation_is_the_callers_own(admin: Caller) -> None:
    conversation = admin.ask()["conversation_id"]
    with Caller(admin.server, admin.session, admin.login("ry")) as ry:
        body = {"app_id": 1, "query": "hi", "conversation_id": conversation}
        assert ry.refused("POST", f"{DIFY}/chat", body)[0] == 404


def test_the_stream_is_readable_by_an_sse_client(admin: Caller) -> None:
    body = {"app_id": 1, "query": QUESTION}
    with connect_sse(admin.http, "POST", f"{DIFY}/chat/stream", json=body) as source:
        events = list(source.iter_sse())
    assert {event.event for event in events} == {"message"}
    assert events[-1].json()["event"] == "message_end"


# --- messages of a chat


def test_a_message_is_kept_with_its_answer(admin: Caller) -> None:
    chat = admin.start()
    sent = admin.send(chat)
    assert list(sent) == ["user_message_id", "assistant_message_id", "conversation_id", "message_id", "answer"]
    question, answer = admin.history(chat)
    assert (question["id"], answer["id"]) == (sent["user_message_id"], sent["assistant_message_id"])
    assert (question["role"], question["content"], question["message_metadata"]) == ("user", QUESTION, None)
    assert (answer["role"], answer["content"], answer["status"]) == ("assistant", sent["answer"], "completed")
    assert answer["tokens"] == answer["message_metadata"]["usage"]["completion_tokens"]
    top = admin.chats()[0]
    assert (top["id"], top["conversation_id"]) == (chat, sent["conversation_id"])
    assert top["updated_at"] > top["created_at"]


def test_a_streamed_message_is_kept_too(admin: Caller) -> None:
    told = admin.send_stream(2)
    assert told.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert told.breaches(SEND) == []
    question, answer = admin.history(2)[-2:]
    assert (question["content"], answer["content"], answer["status"]) == (QUESTION, told.answer, "completed")
    assert answer["message_metadata"] == told.events[-1]["metadata"]
    assert admin.chats()[0]["id"] == 2


def test_the_conversation_of_a_chat_goes_on(admin: Caller) -> None:
    chat = admin.start()
    first, second = admin.send(chat), admin.send_stream(chat)
    assert {event["conversation_id"] for event in second.events} == {first["conversation_id"]}
    assert second.answer != first["answer"]
    # It is the app's conversation as well.
    assert admin.ask(conversation_id=first["conversation_id"])["conversation_id"] == first["conversation_id"]


@pytest.mark.parametrize("streaming", [{}, {"streaming": False}, {"streaming": None}])
def test_a_message_is_answered_whole_by_default(admin: Caller, streaming: dict[str, Any]) -> None:
    assert admin.ok("POST", f"{DIFY}/chats/2/messages", {"content": "hi", "user_id": "7", **streaming})["answer"]


# --- scenarios


def test_every_scenario_has_its_kinds() -> None:
    assert set(KINDS) == set(NAMES)


@pytest.mark.parametrize("by", ["header", "text"])
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_streamed(admin: Caller, name: str, by: str) -> None:
    content = QUESTION if by == "header" else f"/scenario {name} please"
    chat = admin.start()
    told = admin.send_stream(chat, content, name if by == "header" else None)
    assert told.headers["x-emulator-scenario"] == name
    question, answer = admin.history(chat)
    assert question["content"] == content
    if name == "upstream-timeout":
        assert (told.status, told.headers["content-type"]) == (500, "application/json")
    else:
        assert (told.status, told.kinds, told.whole) == (200, KINDS[name], name != "disconnect-mid-stream")
    if name in FAILED:
        assert (answer["status"], answer["content"]) == ("failed", APOLOGY)
        assert (answer["error_message"], answer["tokens"], answer["message_metadata"]) == (FAILED[name], 0, None)
    else:
        assert (answer["status"], answer["content"], answer["error_message"]) == ("completed", said(name), None)
    if name in FAILED and told.status == 200:
        error = told.events[-1]
        assert list(error) == ["event", "conversation_id", "message_id", "created_at", "code", "status", "message"]
        assert (error["code"], error["status"], error["message"]) == ("completion_request_error", 400, FAILED[name])
    if told.status == 200 and told.whole:
        assert told.breaches(SEND) == []
        assert told.body.count(b": ping\n\n") == (name == "ping-between-deltas")


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_at_once(admin: Caller, name: str) -> None:
    chat = admin.start()
    path, body = f"{DIFY}/chats/{chat}/messages", {"content": QUESTION}
    if name == "disconnect-mid-stream":
        with pytest.raises(httpx.TransportError):
            admin.call("POST", path, body, name)
        assert admin.history(chat)[-1]["content"] == said(name)
    elif name in FAILED:
        expected = (500, {"code": 500, "msg": f"AI回复失败: {FAILED[name]}"})
        assert admin.refused("POST", path, body, name) == expected
        assert admin.refused("POST", f"{DIFY}/chat", {"app_id": 1, "query": "hi"}, name) == expected
        assert admin.history(chat)[-1]["error_message"] == FAILED[name]
    else:
        sent = admin.send(chat, scenario=name)
        assert sent["answer"] == said(name) == admin.history(chat)[-1]["content"]
        assert admin.ask(scenario=name)["answer"] == said(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_outside_any_chat(admin: Caller, name: str) -> None:
    told = admin.ask_stream(scenario=name)
    if name == "upstream-timeout":
        assert told.status == 500
    else:
        assert told.kinds == KINDS[name]
        assert told.whole is False or told.breaches(ASK_STREAM) == []


def test_a_chat_can_be_asked_again_after_a_failure(admin: Caller) -> None:
    chat = admin.start()
    admin.send_stream(chat, scenario="error-mid-stream")
    assert admin.send(chat)["answer"]
    assert [one["status"] for one in admin.history(chat)] == ["completed", "failed", "completed", "completed"]


def test_the_long_answer_is_long(admin: Caller) -> None:
    told = admin.ask_stream(scenario="long-answer")
    assert len(told.answer) >= 600 and len(told.frames) >= 20
    assert told.events[-1]["metadata"]["usage"]["latency"] >= 5


def test_pings_come_while_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "ruoyi").mkdir()
    (tmp_path / "ruoyi" / "slow.yaml").write_text("steps:\n  - wait: 25s\n  - say: There.\n", "utf-8")
    with ThreadedServer(speed=0, backends=("ruoyi",), scenarios=tmp_path) as server, Caller(server, "pings") as admin:
        told = admin.ask_stream(scenario="slow")
    assert told.frames[:2] == [b": ping"] * 2 and told.answer == "There."


# --- every step


def test_every_step_in_this_dialect(scripted: ThreadedServer) -> None:
    with Caller(scripted, "steps") as admin:
        chat = admin.start()
        told = admin.send_stream(chat, scenario="everything")
        assert told.kinds == [
            *("agent_thought", "agent_message", "agent_thought", "message_file", "agent_thought", "agent_message"),
            *("message_replace", "message_file", "tts_message", "message_replace", "agent_thought", "message_end"),
            *("tts_message", "tts_message_end"),
        ]
        assert told.breaches(SEND) == []
        assert admin.history(chat)[-1]["content"] == "Look at it."
        thoughts = [event for event in told.events if event["event"] == "agent_thought"]
        assert [one["position"] for one in thoughts] == [1, 1, 1, 2, 2]
        assert thoughts[1]["tool_input"] == '{"draw_picture":{"prompt":"lighthouse"}}'
        assert thoughts[2]["observation"] == '{"draw_picture":"done"}'
        assert (thoughts[2]["thought"], thoughts[4]["thought"]) == ("I will draw it.", "Here it is.")


def test_files_that_were_made_can_be_fetched(scripted: ThreadedServer) -> None:
    with Caller(scripted, "files") as admin:
        told = admin.ask_stream(scenario="everything")
        end = next(event for event in told.events if event["event"] == "message_end")
        files = [event for event in told.events if event["event"] == "message_file"]
        assert [one["url"] for one in files] == [one["url"] for one in end["files"]]
        picture, notes = (httpx.get(one["url"]) for one in files)
        assert (picture.headers["content-type"], picture.content[:4]) == ("image/png", b"\x89PNG")
        assert (notes.headers["content-type"], notes.text) == ("text/plain; charset=utf-8", "notes")
        assert thoughts_files(told) == [files[0]["id"]]
        missing = httpx.get(files[0]["url"].replace(files[0]["id"], "x"))
        assert (missing.status_code, missing.json()) == (404, {"code": 404, "msg": "File Not Exists."})


def thoughts_files(told: Told) -> list[str]:
    found = [one["message_files"] for one in told.events if one["event"] == "agent_thought" and one["observation"]]
    return [str(id) for ids in found for id in ids]


# --- ways to end


def test_an_answer_whose_reader_left_is_never_finished(paced: ThreadedServer, session_name: str) -> None:
    with Caller(paced, session_name) as admin:
        chat = admin.start()
        body = {"content": "/scenario long-answer", "streaming": True}
        with admin.http.stream("POST", f"{DIFY}/chats/{chat}/messages", json=body) as reply:
            next(reply.iter_raw())
            world = paced.app.sessions.get(session_name).world("ruoyi", lambda world: None)
            assert len(world.running) == 1
        until(lambda: not world.running)
        answer = admin.history(chat)[-1]
        assert (answer["status"], answer["content"], answer["tokens"]) == ("processing", "", 0)


def test_an_answer_under_way_is_processing(paced: ThreadedServer, session_name: str) -> None:
    with Caller(paced, session_name) as admin:
        chat = admin.start()
        body = {"content": "/scenario default", "streaming": True}
        with admin.http.stream("POST", f"{DIFY}/chats/{chat}/messages", json=body) as reply:
            pieces = reply.iter_raw()
            next(pieces)
            with Caller(paced, session_name) as other:
                assert other.history(chat)[-1]["status"] == "processing"
                assert other.chats()[0]["conversation_id"] is not None
            for _ in pieces:
                pass
        assert admin.history(chat)[-1]["status"] == "completed"


def test_what_is_deleted_meanwhile_stays_gone(paced: ThreadedServer, session_name: str) -> None:
    with Caller(paced, session_name) as admin:
        chat = admin.start()
        body = {"content": "/scenario default", "streaming": True}
        with admin.http.stream("POST", f"{DIFY}/chats/{chat}/messages", json=body) as reply:
            pieces = reply.iter_raw()
            next(pieces)
            with Caller(paced, session_name) as other:
                other.ok("DELETE", f"{DIFY}/chats/{chat}")
            assert b'"event":"message_end"' in b"".join(pieces)
        assert chat not in [one["id"] for one in admin.chats()]
        assert admin.call("GET", f"{DIFY}/chats/{chat}/messages").status_code == 404


def test_a_session_that_is_reset_ends_its_answers(paced: ThreadedServer, session_name: str) -> None:
    with Caller(paced, session_name) as admin:
        found: list[Told] = []
        admin.chats()
        reader = threading.Thread(target=lambda: found.append(admin.ask_stream(scenario="long-answer")))
        reader.start()
        world = paced.app.sessions.get(session_name).world("ruoyi", lambda world: None)
        until(lambda: world.running)
        time.sleep(0.3)
        paced.app.sessions.get(session_name).stop_all()
        reader.join(5)
        assert found[0].whole and found[0].kinds == ["message", "message_end"]
        assert 0 < len(found[0].answer) < len(said("long-answer"))


def test_answers_of_one_chat_can_be_under_way_at_once(paced: ThreadedServer, session_name: str) -> None:
    with Caller(paced, session_name) as admin:
        chat = admin.start()

        def ask() -> None:
            with Caller(paced, session_name) as caller:
                caller.send_stream(chat, scenario="default")

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        messages = admin.history(chat)
        assert [one["status"] for one in messages] == ["completed"] * 8
        assert {one["content"] for one in messages} == {QUESTION, said("default")}


def test_a_whole_answer_takes_its_time(paced: ThreadedServer, session_name: str) -> None:
    with Caller(paced, session_name) as admin:
        begun = time.monotonic()
        answer = admin.ask(scenario="default")
        assert time.monotonic() - begun >= answer["metadata"]["usage"]["latency"] / 5 - 0.01


def test_the_operation_of_a_question_is_named(admin: Caller) -> None:
    reply = admin.call("POST", f"{DIFY}/chat", {"app_id": 1, "query": "hi"})
    assert reply.headers["x-emulator-operation"] == ASK
