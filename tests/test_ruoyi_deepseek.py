"""Calls of DeepSeek through ruoyi: completions, the reasoner, streams of chunks, every scenario, and what fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from days import other_names
from httpx_sse import connect_sse
from ruoyi_caller import COMPLETE_STREAM, DEEPSEEK, DONE, QUESTION, Caller

from emulator.service import bundled
from emulator.streams.shelf import Scenarios
from emulator.streams.steps import Say, Send
from emulator.testing.server import ThreadedServer
from emulator.world.prose import tokens_in

SCENARIOS = Scenarios("ruoyi", [bundled("scenarios")])
NAMES = other_names(SCENARIOS)
CHAT, REASONER = "deepseek-chat", "deepseek-reasoner"
QUESTIONS = ("hello", QUESTION, "为什么天空是蓝色的？", "", "\x00\U0001f600")
COMPLETION = ["id", "object", "created", "model", "choices", "usage", "system_fingerprint"]
CHUNK = ["id", "object", "created", "model", "system_fingerprint", "choices"]
USAGE = ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens"]
PATHS = ("chat", "reasoner", "chat/stream")
UPSTREAM = {
    "chat": "DeepSeek API错误",
    "reasoner": "DeepSeek Reasoner API错误",
    "chat/stream": "DeepSeek API错误",
}
FAILED = {"chat": "发送消息失败", "reasoner": "推理请求失败", "chat/stream": "流式发送消息失败"}
PROVIDER_ERRORS = {
    "error: {}": (500, "Server Error"),
    "error: {code: authentication_fails}": (401, "Authentication Fails"),
    "error: {code: insufficient_balance}": (402, "Insufficient Balance"),
    "error: {code: rate_limit_reached}": (429, "Rate Limit Reached"),
    "error: {code: server_overloaded}": (503, "Server Overloaded"),
    "error: {status: 503, message: Come back later.}": (503, "Come back later."),
}
STEPS = """
steps:
  - tool_call: {name: get_weather, arguments: {city: 杭州}}
  - tool_result: sunny
  - file: {type: image}
  - replace: nothing
  - audio: nothing
  - event: {event: message, answer: not here}
"""


@pytest.fixture
def admin(server: ThreadedServer, session_name: str) -> Iterator[Caller]:
    with Caller(server, session_name) as caller:
        yield caller


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedServer]:
    """With scenarios for each failure of the provider, and for steps that are rare."""
    folder: Path = tmp_path_factory.mktemp("scenarios")
    own = folder / "ruoyi"
    own.mkdir()
    for number, step in enumerate(PROVIDER_ERRORS):
        (own / f"failure-{number}.yaml").write_text(f"steps:\n  - {step}\n", "utf-8")
    (own / "tools.yaml").write_text(STEPS, "utf-8")
    (own / "tools-and-text.yaml").write_text(STEPS + "  - say: It is sunny.\n  - end\n  - say: No.\n", "utf-8")
    (own / "filtered.yaml").write_text("steps:\n  - end: {finish_reason: content_filter}\n", "utf-8")
    (own / "late.yaml").write_text("steps:\n  - say: Hm.\n  - error: {code: upstream_unreachable}\n", "utf-8")
    with ThreadedServer(speed=0, backends=("ruoyi",), scenarios=folder, check_replies=True) as running:
        yield running


def said(name: str) -> str:
    """The text of a scenario."""
    return "".join(step.text for step in SCENARIOS.get(name).steps if isinstance(step, Say))


# --- whole completions


@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": CHAT}])
def test_a_completion(admin: Caller, model: dict[str, Any]) -> None:
    completion = admin.complete(temperature=0.7, top_p=1, stream=True, unknown={"member": 1}, **model)
    assert list(completion) == COMPLETION
    assert (completion["object"], completion["model"]) == ("chat.completion", CHAT)
    (choice,) = completion["choices"]
    assert list(choice) == ["index", "message", "logprobs", "finish_reason"]
    assert (choice["index"], choice["logprobs"], choice["finish_reason"]) == (0, None, "stop")
    assert list(choice["message"]) == ["role", "content"]
    assert choice["message"]["content"]
    usage = completion["usage"]
    assert list(usage) == USAGE
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] == tokens_in(choice["message"]["content"])


@pytest.mark.parametrize(
    ("path", "model"), [("chat", REASONER), ("reasoner", REASONER), ("reasoner", CHAT), ("reasoner", None)]
)
def test_a_completion_with_its_reasoning(admin: Caller, path: str, model: str | None) -> None:
    completion = admin.complete(path=path, model=model)
    assert completion["model"] == REASONER
    message = completion["choices"][0]["message"]
    assert list(message) == ["role", "content", "reasoning_content"]
    assert message["content"] and message["reasoning_content"]
    usage = completion["usage"]
    assert list(usage) == [*USAGE, "completion_tokens_details"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": tokens_in(message["reasoning_content"])}
    assert usage["completion_tokens"] == tokens_in(message["reasoning_content"]) + tokens_in(message["content"])


def test_nothing_is_kept_of_a_completion(admin: Caller) -> None:
    before = admin.chats()
    admin.complete()
    admin.complete_stream()
    assert admin.chats() == before


def test_the_turn_decides_the_answer(admin: Caller) -> None:
    question = {"role": "user", "content": QUESTION}
    first = admin.complete()["choices"][0]["message"]
    body = {"messages": [question, first, question]}
    second = admin.ok("POST", f"{DEEPSEEK}/chat", body, provider_id=1)["data"]["choices"][0]["message"]
    assert first == admin.complete()["choices"][0]["message"] != second


def test_a_call_without_a_user_is_answered_too(admin: Caller) -> None:
    body = {"messages": [{"role": "system", "content": "You are brief."}, {"role": "tool", "content": "17"}]}
    assert admin.ok("POST", f"{DEEPSEEK}/chat", body, provider_id=1)["data"]["choices"][0]["message"]["content"]


@pytest.mark.parametrize("model", [CHAT, REASONER])
@pytest.mark.parametrize("most", [1, 2, 10, 40, 60, 100])
def test_an_answer_is_cut_after_so_many_tokens(admin: Caller, model: str, most: int) -> None:
    whole = admin.complete(model=model)["choices"][0]["message"]
    completion = admin.complete(model=model, max_tokens=most)
    (choice,) = completion["choices"]
    text = choice["message"]["content"]
    assert whole["content"].startswith(text)
    assert whole.get("reasoning_content", "").startswith(choice["message"].get("reasoning_content", ""))
    assert completion["usage"]["completion_tokens"] <= most
    assert choice["finish_reason"] == ("stop" if text == whole["content"] else "length")
    told = admin.complete_stream(model=model, max_tokens=most)
    assert told.added("content") == text
    assert told.events[-2]["choices"][0]["finish_reason"] == choice["finish_reason"]


@pytest.mark.parametrize("most", [None, 10**6, 2**62])
def test_a_wide_limit_cuts_nothing(admin: Caller, most: int | None) -> None:
    assert admin.complete(max_tokens=most)["choices"] == admin.complete()["choices"]


# --- streams


@pytest.mark.parametrize("model", [CHAT, REASONER])
@pytest.mark.parametrize("content", QUESTIONS)
def test_a_stream_says_the_same(server: ThreadedServer, session_name: str, content: str, model: str) -> None:
    with Caller(server, f"{session_name[:50]}-1") as one, Caller(server, f"{session_name[:50]}-2") as other:
        whole, told = one.complete(content, model=model), other.complete_stream(content, model=model)
        message = whole["choices"][0]["message"]
        assert told.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert told.whole and told.breaches(COMPLETE_STREAM) == []
        assert told.added("content") == message["content"]
        assert told.added("reasoning_content") == message.get("reasoning_content", "")
        *chunks, end, mark = told.events
        assert mark == DONE and told.body.endswith(b"\n\ndata: [DONE]\n\n")
        assert all(list(chunk) == CHUNK for chunk in chunks) and list(end) == [*CHUNK, "usage"]
        assert end["usage"] == whole["usage"]
        for member in ("id", "created", "model", "system_fingerprint"):
            assert {chunk[member] for chunk in (*chunks, end)} == {whole[member]}
        assert [chunk["choices"][0]["finish_reason"] for chunk in (*chunks, end)] == [None] * len(chunks) + ["stop"]


def test_the_role_comes_first_and_once(admin: Caller) -> None:
    plain, reasoner = admin.complete_stream(), admin.complete_stream(model=REASONER)
    assert plain.deltas[0] == {"role": "assistant", "content": ""}
    assert plain.deltas[-1] == {"content": ""}
    assert reasoner.deltas[0] == {"role": "assistant", "content": None, "reasoning_content": ""}
    assert reasoner.deltas[-1] == {"content": "", "reasoning_content": None}
    for told in (plain, reasoner):
        assert ["role" in delta for delta in told.deltas] == [True] + [False] * (len(told.deltas) - 1)


def test_the_reasoner_thinks_before_it_answers(admin: Caller) -> None:
    deltas = admin.complete_stream(model=REASONER).deltas[1:-1]
    thinking = [delta["content"] is None for delta in deltas]
    assert thinking == sorted(thinking, reverse=True) and {True, False} == set(thinking)
    assert all((delta["content"] is None) != (delta["reasoning_content"] is None) for delta in deltas)


def test_the_usage_in_a_chunk_of_its_own(admin: Caller) -> None:
    told = admin.complete_stream(stream_options={"include_usage": True})
    assert told.breaches(COMPLETE_STREAM) == []
    *chunks, last, mark = told.events
    assert mark == DONE
    assert all(list(chunk) == [*CHUNK, "usage"] and chunk["usage"] is None for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (last["choices"], list(last["usage"])) == ([], USAGE)
    assert last["usage"] == admin.complete()["usage"]


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": None}])
def test_no_usage_chunk_unless_asked_for(admin: Caller, options: Any) -> None:
    told = admin.complete_stream(stream_options=options, stream=False)
    assert all(event["choices"] for event in told.events[:-1])
    assert told.events[-2]["usage"]["total_tokens"] > 0


def test_the_stream_is_readable_by_an_sse_client(admin: Caller) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}]}
    with connect_sse(admin.http, "POST", f"{DEEPSEEK}/chat/stream?provider_id=1", json=body) as source:
        events = list(source.iter_sse())
    assert events[-1].data == DONE
    assert all(event.json()["object"] == "chat.completion.chunk" for event in events[:-1])


# --- scenarios


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_streamed(admin: Caller, name: str) -> None:
    told = admin.complete_stream(scenario=name)
    assert told.headers["x-emulator-scenario"] == name
    if name == "upstream-timeout":
        assert (told.status, told.headers["content-type"]) == (500, "application/json")
        return
    assert told.status == 200 and told.breaches(COMPLETE_STREAM) == []
    assert told.whole == (name != "disconnect-mid-stream")
    assert said(name).startswith(told.added("content"))
    failed = [event for event in told.events if isinstance(event, dict) and "error" in event]
    if name in ("error-mid-stream", "provider-error"):
        assert told.events[-1:] == failed
        text = "Rate Limit Reached" if name == "provider-error" else "Server Error"
        assert failed == [{"error": f"DeepSeek API错误: {text}"}]
        assert DONE not in told.events
    elif told.whole:
        assert told.added("content") == said(name)
        assert told.events.count(DONE) == 1 and told.events[-1] == DONE
    assert told.body.count(b": ping\n\n") == (name == "ping-between-deltas")


@pytest.mark.parametrize("path", ["chat", "reasoner"])
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_at_once(admin: Caller, path: str, name: str) -> None:
    def call() -> httpx.Response:
        body = {"messages": [{"role": "user", "content": QUESTION}]}
        return admin.call("POST", f"{DEEPSEEK}/{path}", body, name, provider_id=1)

    expected = {
        "error-mid-stream": (500, f"{UPSTREAM[path]}: Server Error"),
        "provider-error": (429, f"{UPSTREAM[path]}: Rate Limit Reached"),
        "upstream-timeout": (500, f"{FAILED[path]}: The read operation timed out"),
    }
    if name == "disconnect-mid-stream":
        with pytest.raises(httpx.TransportError):
            call()
        return
    reply = call()
    if name in expected:
        status, text = expected[name]
        assert (reply.status_code, reply.json()) == (status, {"code": status, "msg": text})
        return
    completion = reply.json()["data"]
    assert completion["choices"][0]["message"]["content"] == said(name)
    assert completion["model"] == (REASONER if path == "reasoner" or name == "reasoner" else CHAT)


def test_the_reasoner_scenario_thinks_aloud(admin: Caller) -> None:
    steps = SCENARIOS.get("reasoner").steps
    thought = "".join(
        step.event["choices"][0]["delta"]["reasoning_content"] for step in steps if isinstance(step, Send)
    )
    told = admin.complete_stream(scenario="reasoner")
    assert told.added("reasoning_content") == thought
    assert {event["model"] for event in told.events[:-1]} == {REASONER}
    assert [list(delta) for delta in told.deltas[1:5]] == [["content", "reasoning_content"]] * 4
    assert [delta["content"] for delta in told.deltas[1:5]] == [None] * 4
    assert told.events[-2]["usage"]["completion_tokens_details"] == {"reasoning_tokens": tokens_in(thought)}


def test_the_timeout_takes_half_a_minute_of_stream_time(admin: Caller) -> None:
    clock = admin.server.app.sessions.get(admin.session).clock
    begun = clock.now()
    admin.complete_stream(scenario="upstream-timeout")
    assert clock.now() - begun >= 30


# --- failures and rare steps


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("number", range(len(PROVIDER_ERRORS)))
def test_a_failure_of_the_provider(scripted: ThreadedServer, path: str, number: int) -> None:
    status, text = list(PROVIDER_ERRORS.values())[number]
    with Caller(scripted, f"failure-{number}") as admin:
        body = {"messages": [{"role": "user", "content": QUESTION}]}
        reply = admin.call("POST", f"{DEEPSEEK}/{path}", body, f"failure-{number}", provider_id=1)
        if path == "chat/stream":
            assert reply.status_code == 200
            assert reply.content == f'data: {{"error":"{UPSTREAM[path]}: {text}"}}\n\n'.encode()
        else:
            assert reply.status_code == status
            assert reply.content == f'{{"code":{status},"msg":"{UPSTREAM[path]}: {text}"}}'.encode()


def test_who_is_lost_on_the_way_is_a_frame(scripted: ThreadedServer) -> None:
    with Caller(scripted, "late") as admin:
        told = admin.complete_stream(scenario="late")
        assert told.added("content") == "Hm."
        assert told.events[-1] == {"error": "DeepSeek API错误: All connection attempts failed"}


def test_a_function_that_is_asked_for(scripted: ThreadedServer) -> None:
    with Caller(scripted, "tools") as admin:
        told = admin.complete_stream(scenario="tools")
        assert told.breaches(COMPLETE_STREAM) == []
        (call,) = told.deltas[1]["tool_calls"]
        assert call["function"] == {"name": "get_weather", "arguments": '{"city":"杭州"}'}
        assert told.events[-2]["choices"][0]["finish_reason"] == "tool_calls"
        body = {"messages": [{"role": "user", "content": QUESTION}]}
        choice = admin.ok("POST", f"{DEEPSEEK}/chat", body, "tools", provider_id=1)["data"]["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["tool_calls"][0]["function"] == call["function"]


def test_text_after_a_function_is_the_answer(scripted: ThreadedServer) -> None:
    with Caller(scripted, "text") as admin:
        told = admin.complete_stream(scenario="tools-and-text")
        assert told.added("content") == "It is sunny."
        assert told.events[-2]["choices"][0]["finish_reason"] == "stop"
        assert told.events.count(DONE) == 1


def test_a_scenario_says_why_it_ended(scripted: ThreadedServer) -> None:
    with Caller(scripted, "filtered") as admin:
        told = admin.complete_stream(scenario="filtered")
        assert told.events[-2]["choices"][0]["finish_reason"] == "content_filter"


# --- providers and models


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("provider", "model", "status", "text"),
    [
        (99, None, 404, "AI提供商不存在"),
        (-1, "gpt", 404, "AI提供商不存在"),
        (2**63 - 1, None, 404, "AI提供商不存在"),
        (2, None, 400, "提供商类型不是DeepSeek"),
        (2, "gpt", 400, "提供商类型不是DeepSeek"),
        (1, "gpt", 400, "{upstream}: Model Not Exist"),
    ],
)
def test_what_cannot_be_called(
    admin: Caller, path: str, provider: int, model: str | None, status: int, text: str
) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    expected = {"code": status, "msg": text.format(upstream=UPSTREAM[path])}
    assert admin.refused("POST", f"{DEEPSEEK}/{path}", body, provider_id=provider) == (status, expected)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_malformed_comes_first(admin: Caller, path: str) -> None:
    status, body = admin.refused("POST", f"{DEEPSEEK}/{path}", {"model": "gpt", "messages": []}, provider_id=2)
    assert status == 422
    assert [one["loc"] for one in body["detail"]] == [["body", "messages"]]
