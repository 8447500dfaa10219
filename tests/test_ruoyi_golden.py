"""ruoyi's wire, byte by byte: whole replies of a fresh session at seed 0 on the virtual clock, as files in
`golden/ruoyi/` (status and headers as they were sent, an empty line, the body).

After a wanted change write them anew and read the difference:

    CHAT_EMULATOR_GOLDEN=write pytest tests/test_ruoyi_golden.py && git diff tests/golden

The tests below the first read the files and not the server. They hold by hand what FACTS.md, section 000, says of this
wire, so that a wrong file is noticed even when it was written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import golden_files
import httpx
import pytest
from ruoyi_caller import DEEPSEEK, DIFY
from session_caller import frames_of

from emulator.testing.server import ThreadedServer

CHINESE = "西湖怎么走？"
EXPIRED = (
    '{"code":401,"msg":"用户token已失效，请重新登录","data":"","success":false,"time":"2026-01-01T00:00:01.000000"}'
)
INVALID = (
    '{"detail":[{"type":"int_type","loc":["body","app_id"],"msg":"Input should be a valid integer","input":"中"},'
    '{"type":"missing","loc":["body","user_id"],"msg":"Field required","input":{"app_id":"中"}}]}'
)

Calls = Callable[[httpx.Client], httpx.Response]


def call(method: str, path: str, body: Any = None, scenario: str | None = None, **headers: str) -> Calls:
    if scenario is not None:
        headers["X-Emulator-Scenario"] = scenario
    return lambda http: http.request(method, path, json=body, headers=headers)


def question(path: str, scenario: str | None, query: str = "What is new?") -> Calls:
    return call("POST", f"{DIFY}/{path}", {"app_id": 1, "query": query, "user_id": "abc-123"}, scenario)


def message(scenario: str | None, streaming: bool = True, content: str = "What is new?") -> Calls:
    return call("POST", f"{DIFY}/chats/2/messages", {"content": content, "streaming": streaming}, scenario)


def completion(path: str, scenario: str | None, content: str = "What is new?", **members: Any) -> Calls:
    body = {"messages": [{"role": "user", "content": content}], **members}
    return call("POST", f"{DEEPSEEK}/{path}?provider_id=1", body, scenario)


DIFY_STREAMS = {
    "stream-default": question("chat/stream", "default"),
    "stream-no-scenario": question("chat/stream", None, CHINESE),
    "stream-ping-between-deltas": question("chat/stream", "ping-between-deltas"),
    "stream-error-mid-stream": message("error-mid-stream"),
    "stream-provider-error": message("provider-error"),
    "stream-message": message(None, content=CHINESE),
}
DEEPSEEK_STREAMS = {
    "chunks-default": completion("chat/stream", "default"),
    "chunks-no-scenario": completion("chat/stream", None, CHINESE),
    "chunks-reasoner": completion("chat/stream", "reasoner", stream_options={"include_usage": True}),
    "chunks-ping-between-deltas": completion("chat/stream", "ping-between-deltas"),
    "chunks-error-mid-stream": completion("chat/stream", "error-mid-stream"),
    "chunks-provider-error": completion("chat/stream", "provider-error"),
    "chunks-length": completion("chat/stream", None, max_tokens=8),
}
BARE = {
    "answer": question("chat", "default"),
    "answer-chinese": question("chat", None, CHINESE),
    "message": message(None, streaming=False),
    "chats": call("GET", f"{DIFY}/chats?user_id=1&limit=3"),
    "messages": call("GET", f"{DIFY}/chats/3/messages?limit=2"),
    "created": call("POST", f"{DIFY}/chats", {"app_id": 1, "user_id": 1}),
    "renamed": call("PUT", f"{DIFY}/chats/3/title", {"title": "春季计划"}),
    "deleted": call("DELETE", f"{DIFY}/chats/4"),
}
ENVELOPED = {
    "completion": completion("chat", "default"),
    "reasoner": completion("reasoner", None, CHINESE),
    "saved": call("POST", f"{DEEPSEEK}/save_chat", {"app_id": 1, "messages": [{"role": "user", "content": "你好"}]}),
}
REFUSED = {
    "not-authenticated": call("GET", f"{DIFY}/chats?user_id=1", Authorization="none"),
    "token-expired": call("GET", f"{DIFY}/chats?user_id=1", Authorization="Bearer wrong"),
    "foreign-chat": call("DELETE", f"{DIFY}/chats/6"),
    "chat-not-found": call("DELETE", f"{DIFY}/chats/99"),
    "app-not-found": call("POST", f"{DIFY}/chats", {"app_id": 99, "user_id": 1}),
    "invalid": call("POST", f"{DIFY}/chats", {"app_id": "中"}),
    "answer-failed": question("chat", "error-mid-stream"),
    "provider-error": completion("reasoner", "provider-error"),
    "stream-failed": completion("chat/stream", "upstream-timeout"),
    "unknown-path": call("GET", "/api/ai/nothing"),
    "method-not-allowed": call("PATCH", f"{DIFY}/chats"),
}
STREAMS = DIFY_STREAMS | DEEPSEEK_STREAMS
CASES = STREAMS | BARE | ENVELOPED | REFUSED


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_those_of_the_golden_file(server: ThreadedServer, session_name: str, name: str) -> None:
    headers = {"Authorization": "Bearer emulator-token", "X-Emulator-Session": session_name, "Host": golden_files.HOST}
    with httpx.Client(base_url=f"{server.url}/ruoyi/dev-api", headers=headers, timeout=30, verify=False) as http:
        sent = golden_files.written(CASES[name](http))
    golden_files.hold("ruoyi", name, sent)


def test_every_golden_file_is_one_of_a_case() -> None:
    assert golden_files.names("ruoyi") == set(CASES)


# --- what the facts say, held against the files


class Golden:
    """One file: status, headers, body."""

    def __init__(self, name: str) -> None:
        self.status, headers, self.body = golden_files.read("ruoyi", name)
        self.headers = dict(headers)

    @property
    def json(self) -> Any:
        """The body as a value."""
        return json.loads(self.body)

    @property
    def frames(self) -> list[bytes]:
        """The frames of a stream; each ends in one blank line."""
        return frames_of(self.body)

    @property
    def texts(self) -> list[str]:
        """The data of the frames, comments left out."""
        return [frame.removeprefix(b"data: ").decode() for frame in self.frames if frame != b": ping"]

    @property
    def events(self) -> list[Any]:
        """The JSON of the frames, the end mark left out."""
        return [json.loads(text) for text in self.texts if text != "[DONE]"]


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_data_lines_of_compact_json(name: str) -> None:
    golden = Golden(name)
    assert golden.status == 200
    assert golden.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert golden.headers["transfer-encoding"] == "chunked"
    assert all(frame == b": ping" or frame.startswith(b"data: ") for frame in golden.frames)
    assert not any(b"\n" in frame for frame in golden.frames)
    assert all(text == "[DONE]" or text == compact(json.loads(text)) for text in golden.texts)
    assert b"data: data: " not in golden.body and b"\r" not in golden.body
    assert golden.frames.count(b": ping") == ("ping" in name)


@pytest.mark.parametrize("name", [*BARE, *ENVELOPED, *REFUSED])
def test_a_whole_reply_is_compact_json_in_utf_8(name: str) -> None:
    golden = Golden(name)
    assert golden.headers["content-type"] == "application/json"
    assert golden.body.decode() == compact(golden.json), "no blanks, no escapes, no newline at the end"


@pytest.mark.parametrize("name", BARE)
def test_the_dify_operations_have_no_envelope(name: str) -> None:
    golden = Golden(name)
    assert golden.status == 200
    assert isinstance(golden.json, list) == (name in ("chats", "messages"))
    assert "code" not in golden.json and "msg" not in golden.json


def test_deleting_says_exactly_that() -> None:
    assert Golden("deleted").body == b'{"success":true}'


@pytest.mark.parametrize("name", ENVELOPED)
def test_the_deepseek_operations_have_the_envelope(name: str) -> None:
    golden = Golden(name)
    assert (golden.status, list(golden.json)) == (200, ["code", "msg", "data", "success", "time"])
    assert golden.body.startswith('{"code":200,"msg":"操作成功","data":{'.encode())
    # The session's first call is one second after 2026-01-01T00:00:00, and an answer takes its time.
    assert re.fullmatch(r"2026-01-01T00:00:\d{2}\.\d{6}", golden.json["time"])
    assert (golden.json["time"] == "2026-01-01T00:00:01.000000") == (name == "saved")


@pytest.mark.parametrize("name", DIFY_STREAMS)
def test_difys_frames_have_their_members_in_order(name: str) -> None:
    common = ["event", "conversation_id", "message_id", "created_at"]
    own = {
        "message": ["task_id", "id", "answer", "from_variable_selector"],
        "message_end": ["task_id", "id", "metadata", "files"],
        "error": ["code", "status", "message"],
    }
    events = Golden(name).events
    assert all(list(event) == common + own[event["event"]] for event in events)
    assert [event["event"] for event in events[:-1]] == ["message"] * (len(events) - 1)
    assert events[-1]["event"] == ("error" if "error" in name else "message_end")
    assert events[0]["created_at"] == 1767225601


@pytest.mark.parametrize("name", DEEPSEEK_STREAMS)
def test_chunks_end_in_their_mark_or_in_an_error(name: str) -> None:
    golden = Golden(name)
    if "error" in name:
        text = "Rate Limit Reached" if "provider" in name else "Server Error"
        assert golden.body.endswith(f'data: {{"error":"DeepSeek API错误: {text}"}}\n\n'.encode())
        assert b"[DONE]" not in golden.body
    else:
        assert golden.body.endswith(b"}\n\ndata: [DONE]\n\n")
        assert golden.body.count(b"[DONE]") == 1


def test_a_reasoner_with_its_usage_apart() -> None:
    *chunks, usage = Golden("chunks-reasoner").events
    assert all(chunk["usage"] is None for chunk in chunks)
    assert usage["choices"] == [] and list(usage["usage"])[-1] == "completion_tokens_details"


def test_a_cut_answer() -> None:
    end = Golden("chunks-length").events[-1]
    assert end["choices"][0]["finish_reason"] == "length"
    assert end["usage"]["completion_tokens"] <= 8


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("not-authenticated", 401, '{"code":401,"msg":"Not authenticated"}'),
        ("token-expired", 401, EXPIRED),
        ("foreign-chat", 403, '{"code":403,"msg":"无权访问此聊天会话"}'),
        ("chat-not-found", 404, '{"code":404,"msg":"聊天会话不存在"}'),
        ("app-not-found", 404, '{"code":404,"msg":"应用不存在: 99"}'),
        ("invalid", 422, INVALID),
        ("answer-failed", 500, '{"code":500,"msg":"AI回复失败: The model did not answer."}'),
        ("provider-error", 429, '{"code":429,"msg":"DeepSeek Reasoner API错误: Rate Limit Reached"}'),
        ("stream-failed", 500, '{"code":500,"msg":"流式发送消息失败: The read operation timed out"}'),
        ("unknown-path", 404, '{"detail":"Not Found"}'),
        ("method-not-allowed", 405, '{"detail":"Method Not Allowed"}'),
    ],
)
def test_refusals_to_the_byte(name: str, status: int, body: str) -> None:
    golden = Golden(name)
    assert (golden.status, golden.body.decode()) == (status, body)
