"""Messages of toolchat: answers at once and as streams, every scenario in its dialect, and what the history keeps of
each way in which an answer can end."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from days import other_names
from session_caller import until
from toolchat_caller import EVENT_SCHEMAS, FIRST, GUEST, MESSAGE_TO_DELETE, UNKNOWN, Chat, Told, breaks

from emulator.backends.toolchat import BACKEND
from emulator.backends.toolchat.tools import TOOLS, run
from emulator.backends.toolchat.wire import FAILURES
from emulator.call import Event
from emulator.service import bundled
from emulator.settings import Settings
from emulator.streams.shelf import Scenarios
from emulator.streams.steps import VERBS, Say
from emulator.testing.server import ThreadedServer

SCENARIOS = Scenarios("toolchat", [bundled("scenarios")])
NAMES = other_names(SCENARIOS)
OWN = {"tool-call", "tool-error", "two-tools", "thinking"}
ORDERS = {
    "default": ["text", "done"],
    "long-answer": ["text", "done"],
    "ping-between-deltas": ["text", "done"],
    "thinking": ["text", "done"],
    "tool-call": ["text", "tool_call", "tool_result", "text", "done"],
    "tool-error": ["text", "tool_call", "tool_result", "text", "done"],
    "two-tools": ["text", "tool_call", "tool_result", "text", "tool_call", "tool_result", "text", "done"],
    "error-mid-stream": ["text", "error"],
    "disconnect-mid-stream": ["text"],
}
FAILED = ("error-mid-stream",)
QUESTIONS = (
    "hello",
    "How can I fit a short walk into a day at the desk?",
    "做一锅四个人喝的蔬菜汤要准备哪些食材？",
    "北京今天天气怎么样？",
    "What is (1 + 2) * 3 / 4?",
    "Search for contract tests",
    "",
    "\x00\ud7ff\U0001f600 " * 50,
)


@pytest.fixture
def demo(server: ThreadedServer, session_name: str) -> Iterator[Chat]:
    with Chat(server, session_name) as caller:
        yield caller


@pytest.fixture(scope="module")
def paced() -> Iterator[ThreadedServer]:
    """Five times as fast as people read."""
    with ThreadedServer(speed=5, backends=("toolchat",), check_replies=True) as running:
        yield running


def said(name: str) -> str:
    """The text of a scenario."""
    return "".join(step.text for step in SCENARIOS.get(name).steps if isinstance(step, Say))


# --- a message and its answer


@pytest.mark.parametrize("content", QUESTIONS)
def test_an_answer_is_the_same_streamed_or_not(server: ThreadedServer, session_name: str, content: str) -> None:
    with Chat(server, f"{session_name[:50]}-1") as one, Chat(server, f"{session_name[:50]}-2") as other:
        whole = one.send(content)["assistant_message"]
        told = other.stream(content)
        assert told.status == 200 and told.whole
        assert (told.text, told.calls) == (whole["content"], whole["tool_calls"])
        assert other.history()[-1] == {**whole, "created_at": other.history()[-1]["created_at"]}
        # The next time the same question is another turn.
        assert (
            content == "hello" or whole["tool_calls"] or one.send(content)["assistant_message"]["content"] != told.text
        )


def test_a_message_and_its_answer(demo: Chat) -> None:
    data = demo.send("hello", tools_enabled=False)
    question, answer = data["user_message"], data["assistant_message"]
    assert breaks("Exchange", data) == []
    assert (question["role"], question["content"]) == ("user", "hello")
    assert (answer["role"], answer["thinking"], answer["tool_calls"]) == ("assistant", None, [])
    assert demo.history()[-2:] == [question, answer]


def test_events_are_those_of_the_spec(demo: Chat) -> None:
    told = demo.stream("What is 6 * 7?")
    assert told.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert told.headers["cache-control"] == "no-cache"
    assert told.kinds == ["text", "tool_call", "tool_result", "text", "done"]
    for event in told.events:
        assert breaks(EVENT_SCHEMAS[event["type"]], event) == []
    usage = told.events[-1]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert (told.events[-1]["message_id"], told.events[-1]["conversation_id"]) == (demo.history()[-1]["id"], FIRST)


@pytest.mark.parametrize(
    ("content", "tool", "arguments", "told"),
    [
        ("北京今天天气怎么样？", "get_current_weather", {"city": "北京"}, "北京现在"),
        ("请问乌镇的天气如何", "get_current_weather", {"city": "乌镇"}, "乌镇现在"),
        ("what's the weather", "get_current_weather", {"city": "Beijing"}, "In Beijing it is"),
        (
            "The weather in New York in fahrenheit, please",
            "get_current_weather",
            {"city": "New York", "unit": "fahrenheit"},
            "°F",
        ),
        ("上海明天天气怎么样", "get_weather_forecast", {"city": "上海", "days": 1}, "上海的天气预报"),
        ("你好，帮我看一下成都这周的天气", "get_weather_forecast", {"city": "成都", "days": 7}, "第 7 天"),
        ("未来5天的天气", "get_weather_forecast", {"city": "北京", "days": 5}, "第 5 天"),
        ("后天的天气", "get_weather_forecast", {"city": "北京", "days": 2}, "第 2 天"),
        ("Forecast for Hangzhou", "get_weather_forecast", {"city": "Hangzhou", "days": 3}, "day 3"),
        ("What is 12 * 3.5?", "calculate", {"expression": "12 * 3.5"}, "12 * 3.5 = 42."),
        ("计算（3+4）×5", "calculate", {"expression": "(3+4)*5"}, "= 35。"),
        ("1-3", "calculate", {"expression": "1-3"}, "1-3 = -2."),
        ("what is 5 / 0?", "calculate", {"expression": "5 / 0"}, "divides by zero"),
        ("5/0等于多少", "calculate", {"expression": "5/0"}, "除数不能为零"),
        (
            "帮我搜索 OpenAPI 3.2 的新特性。谢谢",
            "search_web",
            {"query": "OpenAPI 3.2 的新特性", "count": 3},
            "example.com",
        ),
        ("Please search for bread", "search_web", {"query": "bread", "count": 3}, "[bread - "),
        ("看看 https://example.com/a.html。", "fetch_page", {"url": "https://example.com/a.html"}, "网页"),
        ("Read https://example.com/a?b=c", "fetch_page", {"url": "https://example.com/a?b=c"}, ": "),
    ],
)
def test_a_question_gets_the_tool_that_fits(
    demo: Chat, content: str, tool: str, arguments: dict[str, Any], told: str
) -> None:
    answer = demo.send(content)["assistant_message"]
    (call,) = answer["tool_calls"]
    assert (call["name"], call["arguments"]) == (tool, arguments)
    assert call["result"] == run(TOOLS[tool], arguments) == demo.ok("POST", f"/tools/{tool}/execute", arguments)
    assert told in answer["content"]
    assert demo.send(content, tools_enabled=False)["assistant_message"]["tool_calls"] == []


@pytest.mark.parametrize(
    "content",
    [
        "Call me on 555-1234",
        "We open 9-17, 7 days",
        "搜索",
        "what is ((1)?",
        "version 2.0.1",
        "What? 24/7!!",
        "x" * 70_000,
    ],
)
def test_other_questions_get_words_only(demo: Chat, content: str) -> None:
    assert demo.send(content)["assistant_message"]["tool_calls"] == []


# --- thinking


def test_thinking_comes_when_it_is_enabled(demo: Chat) -> None:
    thoughtful = demo.start(thinking_enabled=True)
    answer = demo.send("为什么天空是蓝色的？", thoughtful)["assistant_message"]
    assert "天空" in answer["thinking"]
    told = demo.stream("为什么天空是蓝色的？", thoughtful)
    assert told.events[-1]["thinking"] == answer["thinking"] == demo.history(thoughtful)[-1]["thinking"]
    assert demo.history(thoughtful)[-2]["thinking"] is None
    demo.ok("PUT", f"/conversations/{thoughtful}", {"thinking_enabled": False})
    assert demo.stream("hello", thoughtful).events[-1]["thinking"] is None
    assert demo.history(thoughtful)[1]["thinking"] == answer["thinking"]


def test_a_scenario_says_what_was_thought(demo: Chat) -> None:
    thoughtful = demo.start(thinking_enabled=True)
    told = demo.stream("Which train?", thoughtful, "thinking")
    assert told.events[-1]["thinking"].startswith("Two trains are possible.")
    assert demo.history(thoughtful)[-1]["thinking"] == told.events[-1]["thinking"]
    assert demo.stream("Which train?", FIRST, "thinking").events[-1]["thinking"] is None


# --- scenarios


def test_every_scenario_has_its_order() -> None:
    assert set(ORDERS) == set(NAMES) and set(NAMES) >= OWN


def test_what_is_spoken() -> None:
    assert set(VERBS.values()) - BACKEND.speaks == {"file", "replace", "audio"}


@pytest.mark.parametrize("by", ["header", "text"])
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_streamed(demo: Chat, name: str, by: str) -> None:
    content = "hello" if by == "header" else f"/scenario {name} please"
    told = demo.stream(content, scenario=name if by == "header" else None)
    assert (told.status, told.headers["x-emulator-scenario"]) == (200, name)
    assert told.kinds == ORDERS[name]
    for event in told.events:
        assert breaks(EVENT_SCHEMAS[event["type"]], event) == []
    if name in FAILED:
        assert demo.history()[-1]["content"] == content
        return
    # A fault damages the wire and not the store.
    assert told.whole is (name != "disconnect-mid-stream")
    until(lambda: demo.history()[-1]["role"] == "assistant" and demo.history()[-2]["content"] == content)
    answer = demo.history()[-1]
    assert answer["content"] == said(name)
    assert answer["content"].startswith(told.text)
    assert answer["tool_calls"] == told.calls


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_at_once(demo: Chat, name: str) -> None:
    body = {"conversation_id": FIRST, "content": "hello"}
    headers = {"X-Emulator-Scenario": name}
    if name == "disconnect-mid-stream":
        with pytest.raises(httpx.TransportError):
            demo.http.post("/messages/", json=body, headers=headers)
    else:
        reply = demo.http.post("/messages/", json=body, headers=headers)
        assert reply.headers["x-emulator-scenario"] == name
        if name in FAILED:
            assert reply.status_code == 500
            assert reply.json() == {"success": False, "message": "服务器内部错误", "detail": "模型服务暂时不可用"}
            assert demo.history()[-1]["role"] == "user"
            return
        assert [reply.json()["data"]["user_message"], reply.json()["data"]["assistant_message"]] == demo.history()[-2:]
    assert demo.history()[-1]["content"] == said(name)


def test_a_tool_in_a_scenario_is_really_executed(demo: Chat) -> None:
    (call,) = demo.stream("/scenario tool-call").calls
    assert call["result"] == run(TOOLS["get_current_weather"], {"city": "北京"})
    first, second = demo.stream("/scenario two-tools").calls
    assert first["result"] == run(TOOLS["get_weather_forecast"], first["arguments"])
    assert second["result"]["value"] == 171.0
    assert len({call["id"], first["id"], second["id"]}) == 3
    assert demo.stream("/scenario tool-error").calls[0]["result"]["error"] == "连接超时"


def test_the_long_answer_is_long(demo: Chat) -> None:
    told = demo.stream("/scenario long-answer")
    assert len(told.text) >= 600 and len(told.events) >= 20


def test_a_ping_is_a_comment(demo: Chat) -> None:
    told = demo.stream("/scenario ping-between-deltas")
    assert told.frames.count(b": ping") == 1
    assert 0 < told.frames.index(b": ping") < len(told.frames) - 1


# --- scenarios of one's own

STEPS = """
steps:
  - say: one
    size: 3
  - tool_call: {name: calculate, arguments: {expression: 1 + 1}, id: first}
  - tool_call: {name: hash_text, arguments: {text: hello}, id: call_0123456789ab}
  - tool_result: {id: first, result: }
  - tool_result
  - tool_call: {name: calculate, arguments: {city: nowhere}}
  - tool_result
  - tool_call: {name: unheard_of, arguments: {at: 1e3}}
  - tool_result
  - tool_result: {name: other, result: 7}
  - tool_call: {name: unfinished}
  - file: {name: x.png}
  - replace: nothing
  - audio: nothing
  - event: {type: text, content: raw}
  - bytes: "event: text\\ndata: {\\"type\\":\\"text\\",\\"content\\":\\"bytes\\"}\\n\\n"
  - end: {thinking: 17}
  - say: too late
  - tool_call: {name: calculate}
  - tool_result: 1
  - error: model_timeout
  - end
"""
BUSY = "steps:\n  - say: so\n  - error: rate_limited\n"
TEAPOT = "steps:\n  - error: {status: 418, message: 我是茶壶, code: teapot}\n"


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedServer]:
    folder = tmp_path_factory.mktemp("scenarios")
    (folder / "toolchat").mkdir()
    for name, text in {"steps": STEPS, "busy": BUSY, "teapot": TEAPOT}.items():
        (folder / "toolchat" / f"{name}.yaml").write_text(text, "utf-8")
    with ThreadedServer(Settings(speed=0, port=0, backends=("toolchat",), scenarios=folder)) as server:
        yield server


def test_every_step_in_this_dialect(scripted: ThreadedServer, session_name: str) -> None:
    with Chat(scripted, session_name) as chat:
        thoughtful = chat.start(thinking_enabled=True)
        told = chat.stream("/scenario steps", thoughtful)
        assert told.kinds.count("done") == 1 and told.kinds[-1] == "done" and "error" not in told.kinds
        assert told.text == "onerawbytes"
        assert [(call["name"], call["result"]) for call in told.calls] == [
            ("calculate", {"expression": "1 + 1", "value": 2.0, "error": None}),
            ("hash_text", run(TOOLS["hash_text"], {"text": "hello"})),
            ("calculate", {"error": "参数与工具不匹配"}),
            ("unheard_of", None),
            ("other", 7),
            ("unfinished", None),
        ]
        assert told.calls[1]["id"] == "call_0123456789ab"
        assert all(re.fullmatch("call_[0-9a-f]{12}", call["id"]) for call in told.calls)
        answer = chat.history(thoughtful)[-1]
        assert (answer["content"], answer["thinking"], answer["tool_calls"]) == ("one", "17", told.calls)
        assert breaks("Message", answer) == []


@pytest.mark.parametrize(
    ("name", "status", "text"), [("busy", 429, FAILURES["rate_limited"][1]), ("teapot", 418, "我是茶壶")]
)
def test_a_failure_has_its_text_and_status(
    scripted: ThreadedServer, session_name: str, name: str, status: int, text: str
) -> None:
    with Chat(scripted, session_name) as chat:
        assert chat.stream(f"/scenario {name}").events[-1] == {"type": "error", "message": text}
        body = {"conversation_id": FIRST, "content": f"/scenario {name}"}
        reply = chat.call("POST", "/messages/", body)
        assert (reply.status_code, reply.json()) == (status, {"success": False, "message": text, "detail": text})
        assert [one["role"] for one in chat.history()[-2:]] == ["user", "user"]


# --- answers that end in other ways


def begun(chat: Chat, conversation: str, scenario: str, then: Any) -> Told:
    """Stream, and do something when the first event has come."""
    body = {"conversation_id": conversation, "content": f"/scenario {scenario}"}
    told = Told(200, httpx.Headers())
    with chat.http.stream("POST", "/messages/stream", json=body) as reply:
        for piece in reply.iter_raw():
            if not told.body:
                then()
            told.body += piece
    told.frames = told.body.split(b"\n\n")[:-1]
    return told


def test_an_answer_whose_reader_left_is_not_kept(paced: ThreadedServer, session_name: str) -> None:
    with Chat(paced, session_name) as chat, Chat(paced, session_name) as other:
        own = other.start()
        body = {"conversation_id": own, "content": "/scenario long-answer"}
        with chat.http.stream("POST", "/messages/stream", json=body) as reply:
            next(reply.iter_raw())
        entry = paced.app.sessions.get(session_name).journal.entries[-1]
        until(lambda: entry.closed is not None)
        assert entry.closed == "left"
        assert [one["role"] for one in other.history(own)] == ["user"]
        assert paced.app.sessions.get(session_name).world("toolchat", lambda world: None).running == {}
        # The conversation goes on as if nothing had been.
        assert other.send("hello", own)["assistant_message"]["content"]


def test_an_answer_under_way_is_not_in_the_history_yet(paced: ThreadedServer, session_name: str) -> None:
    with Chat(paced, session_name) as chat, Chat(paced, session_name) as other:
        own = other.start()
        seen: list[list[str]] = []
        told = begun(chat, own, "long-answer", lambda: seen.append([one["role"] for one in other.history(own)]))
        assert seen == [["user"]]
        assert [one["role"] for one in other.history(own)] == ["user", "assistant"]
        assert told.kinds == ["text", "done"]


def test_what_is_deleted_meanwhile_stays_gone(paced: ThreadedServer, session_name: str) -> None:
    with Chat(paced, session_name) as chat, Chat(paced, session_name) as other:
        own = other.start()
        told = begun(chat, own, "long-answer", lambda: other.call("DELETE", f"/conversations/{own}"))
        assert told.kinds == ["text", "done"]
        assert other.refused("GET", f"/messages/{own}") == (404, "会话不存在")
        assert other.refused("DELETE", f"/messages/{told.events[-1]['message_id']}") == (404, "消息不存在")
        assert own not in other.listed()


def test_what_is_changed_meanwhile_stays_changed(paced: ThreadedServer, session_name: str) -> None:
    with Chat(paced, session_name) as chat, Chat(paced, session_name) as other:
        own = other.start()
        begun(chat, own, "long-answer", lambda: other.call("PUT", f"/conversations/{own}", {"title": "other"}))
        assert other.ok("GET", f"/conversations/{own}")["title"] == "other"


def test_a_session_that_is_reset_ends_its_answers(paced: ThreadedServer, session_name: str) -> None:
    with Chat(paced, session_name) as chat, httpx.Client(base_url=paced.url) as control:
        reset = f"/_emulator/sessions/{session_name}"
        told = begun(chat, FIRST, "long-answer", lambda: control.delete(reset).raise_for_status())
        assert told.kinds == ["text", "done"]
        assert said("long-answer").startswith(told.text) and told.text != said("long-answer")
        assert len(chat.history()) == 4


def test_answers_of_one_conversation_can_be_under_way_at_once(paced: ThreadedServer, session_name: str) -> None:
    with Chat(paced, session_name) as chat:
        own = chat.start()
        told: list[Told] = []

        def speak() -> None:
            with Chat(paced, session_name) as caller:
                told.append(caller.stream("/scenario tool-call", own))

        threads = [threading.Thread(target=speak) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers = {one["id"]: one for one in chat.history(own) if one["role"] == "assistant"}
        assert len(answers) == len(told) == 4
        for one in told:
            answer = answers[one.events[-1]["message_id"]]
            assert (answer["content"], answer["tool_calls"]) == (one.text, one.calls)


def test_an_answer_takes_its_time(paced: ThreadedServer, session_name: str) -> None:
    with Chat(paced, session_name) as chat:
        begun_at = time.monotonic()
        chat.send("/scenario thinking")
        assert time.monotonic() - begun_at > 0.3


# --- list and delete


def test_the_newest_come_oldest_first(demo: Chat) -> None:
    own = demo.start()
    for n in range(3):
        demo.send(f"hello {n}", own)
    everything = demo.history(own)
    assert [one["content"] for one in everything if one["role"] == "user"] == ["hello 0", "hello 1", "hello 2"]
    assert [one["created_at"] for one in everything] == sorted(one["created_at"] for one in everything)
    assert demo.history(own, limit=2) == everything[-2:]
    assert demo.history(own, limit=1000) == everything
    assert demo.history(own, limit=1) == everything[-1:]
    for one in everything:
        assert breaks("Message", one) == []


def test_a_message_can_be_deleted_once(demo: Chat) -> None:
    reply = demo.call("DELETE", f"/messages/{MESSAGE_TO_DELETE}")
    assert reply.json() == {"success": True, "message": "消息删除成功"}
    assert demo.refused("DELETE", f"/messages/{MESSAGE_TO_DELETE}") == (404, "消息不存在")
    own = demo.history()
    demo.ok("DELETE", f"/messages/{own[1]['id']}")
    assert demo.history() == [own[0], *own[2:]]


@pytest.mark.parametrize("id", [FIRST, "msg_000000000000", "1", "消息", f"{MESSAGE_TO_DELETE}%0A"])
def test_what_is_no_message_is_not_found(demo: Chat, id: str) -> None:
    assert demo.refused("DELETE", f"/messages/{id}") == (404, "消息不存在")


@pytest.mark.parametrize("id", [UNKNOWN, "", "\x00", MESSAGE_TO_DELETE, "x" * 10_000])
@pytest.mark.parametrize("path", ["/messages/", "/messages/stream"])
def test_a_message_needs_its_conversation(demo: Chat, path: str, id: str) -> None:
    assert demo.refused("POST", path, {"conversation_id": id, "content": "hello"}) == (404, "会话不存在")


def test_people_have_conversations_of_their_own(server: ThreadedServer, session_name: str) -> None:
    with Chat(server, session_name, GUEST) as guest:
        own = guest.listed()[0]
        assert guest.stream("hello", own).kinds == ["text", "done"]


def test_a_raw_event_that_is_no_mapping_is_sent_as_it_stands() -> None:
    from emulator.backends.toolchat.turn import ToolchatTurn

    (event,) = ToolchatTurn.event(object.__new__(ToolchatTurn), ["x"])
    assert event == Event(data=["x"])
    assert json.dumps(event.data) == '["x"]'
