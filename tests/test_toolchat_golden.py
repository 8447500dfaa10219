"""toolchat's wire, byte by byte: whole replies of a fresh session at seed 0 on the virtual clock, as files in
`golden/toolchat/` (status and headers as they were sent, an empty line, the body).

After a wanted change write them anew and read the difference:

    CHAT_EMULATOR_GOLDEN=write pytest tests/test_toolchat_golden.py && git diff tests/golden

The tests below the first read the files and not the server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import golden_files
import httpx
import pytest
from toolchat_caller import DEMO, FIRST, TO_DELETE

from emulator.testing.server import ThreadedServer

Calls = Callable[[httpx.Client], httpx.Response]


def post(path: str, body: Any, **headers: str) -> Calls:
    return lambda http: http.post(path, json=body, headers=headers)


def get(path: str, **headers: str) -> Calls:
    return lambda http: http.get(path, headers=headers)


def chat(content: str, scenario: str | None = None, path: str = "/messages/stream") -> Calls:
    headers = {} if scenario is None else {"X-Emulator-Scenario": scenario}
    return post(path, {"conversation_id": FIRST, "content": content}, **headers)


def thoughtful(scenario: str | None) -> Calls:
    """A stream in a conversation with thinking."""

    def calls(http: httpx.Client) -> httpx.Response:
        id = http.post("/conversations/", json={"thinking_enabled": True}).json()["data"]["id"]
        headers = {} if scenario is None else {"X-Emulator-Scenario": scenario}
        return http.post("/messages/stream", json={"conversation_id": id, "content": "坐哪一班火车？"}, headers=headers)

    return calls


STREAMS = {
    "default": chat("hello", "default"),
    "no-scenario": chat("怎么去掉列表里的重复元素？"),
    "calculation": chat("1+1"),
    "tool-call": chat("hello", "tool-call"),
    "tool-error": chat("hello", "tool-error"),
    "two-tools": chat("hello", "two-tools"),
    "thinking": thoughtful("thinking"),
    "thinking-of-its-own": thoughtful(None),
    "error-mid-stream": chat("hello", "error-mid-stream"),
    "ping-between-deltas": chat("hello", "ping-between-deltas"),
}
WHOLE = {
    "blocking": chat("hello", "default", "/messages/"),
    "blocking-tool": chat("北京今天天气怎么样？", None, "/messages/"),
    "blocking-error": chat("hello", "error-mid-stream", "/messages/"),
    "login": post("/auth/login", {"username": "demo", "password": "demo-password"}),
    "unauthorized": get("/auth/me", Authorization="Bearer wrong"),
    "conversations": get("/conversations/?page_size=2"),
    "created": post("/conversations/", {"title": "行程"}),
    "history": get(f"/messages/{FIRST}"),
    "deleted": lambda http: http.delete(f"/conversations/{TO_DELETE}"),
    "tool": get("/tools/get_weather_forecast"),
    "executed": post("/tools/get_current_weather/execute", {"city": "北京"}),
    "conflict": post("/tools/calculate/execute", {"city": "北京"}),
    "invalid": post("/messages/", {"content": 1}),
    "options": lambda http: http.options(
        "/messages/stream", headers={"Origin": "http://page.test", "Access-Control-Request-Method": "POST"}
    ),
}
CASES: dict[str, Calls] = {f"stream-{name}": calls for name, calls in STREAMS.items()} | WHOLE


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_those_of_the_golden_file(server: ThreadedServer, session_name: str, name: str) -> None:
    headers = {"Authorization": f"Bearer {DEMO}", "X-Emulator-Session": session_name, "Host": golden_files.HOST}
    with httpx.Client(base_url=f"{server.url}/toolchat/api", headers=headers, timeout=30, verify=False) as http:
        sent = golden_files.written(CASES[name](http))
    golden_files.hold("toolchat", name, sent)


def test_every_golden_file_is_one_of_a_case() -> None:
    assert golden_files.names("toolchat") == set(CASES)


# --- what the facts say, held against the files


def read(name: str) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = golden_files.read("toolchat", name)
    return status, dict(headers), body


FRAME = re.compile(rb'event: (text|tool_call|tool_result|done|error)\ndata: \{"type":"\1",[^\n]*\}')
MEMBERS = {
    "text": ["type", "content"],
    "tool_call": ["type", "id", "name", "arguments"],
    "tool_result": ["type", "id", "name", "result"],
    "done": ["type", "message_id", "conversation_id", "thinking", "usage"],
    "error": ["type", "message"],
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_frame_tells_its_kind_twice(name: str) -> None:
    status, headers, body = read(f"stream-{name}")
    assert (status, headers["content-type"], headers["cache-control"]) == (
        200,
        "text/event-stream; charset=utf-8",
        "no-cache",
    )
    assert "content-length" not in headers
    frames = body.split(b"\n\n")
    assert frames.pop() == b""
    kinds = []
    for frame in frames:
        if frame == b": ping":
            continue
        assert FRAME.fullmatch(frame), frame
        data = json.loads(frame.split(b"\ndata: ")[1])
        # Compact, and UTF-8 as it is.
        assert json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() == frame.split(b"\ndata: ")[1]
        assert list(data) == MEMBERS[data["type"]]
        kinds.append(data["type"])
    assert [kind for kind in kinds if kind in ("done", "error")] == kinds[-1:]
    assert (b": ping" in frames) is (name == "ping-between-deltas")


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "options"])
def test_a_body_is_compact_json_in_an_envelope(name: str) -> None:
    status, headers, body = read(name)
    data = json.loads(body)
    assert headers["content-type"] == "application/json"
    assert json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() == body
    assert data["success"] is (status == 200)
    assert list(data) == [member for member in ("success", "message", "data", "detail") if member in data]
    assert ("detail" in data) is (status != 200)
    assert ("www-authenticate" in headers) is (status == 401)
