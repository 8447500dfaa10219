"""Dify's wire, byte by byte: whole replies of a fresh session at seed 0 on the virtual clock, as files in
`golden/dify/` (status and headers as they were sent, an empty line, the body; spoken audio only as a digest).

After a wanted change write them anew and read the difference:

    CHAT_EMULATOR_GOLDEN=write pytest tests/test_dify_golden.py && git diff tests/golden

The tests below the first read the files and not the server. They hold by hand what FACTS.md, section 002, says of this
wire, so that a wrong file is noticed even when it was written anew.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import golden_files
import httpx
import pytest
from conftest import KEYS
from session_caller import frames_of

from emulator.testing.server import ThreadedServer

USER = "abc-123"
TO_DELETE = "6f1f3f0e-5d0a-4c53-9d8e-2b7a41c0de11"
"""A conversation that is there from the start."""

Calls = Callable[[httpx.Client], httpx.Response]


def chat(scenario: str | None, query: str = "What is new?", mode: str = "streaming") -> Calls:
    body = {"inputs": {}, "query": query, "user": USER, "response_mode": mode}
    headers = {} if scenario is None else {"X-Emulator-Scenario": scenario}
    return lambda http: http.post("/chat-messages", json=body, headers=headers)


def get(path: str, **headers: str) -> Calls:
    return lambda http: http.get(path, params={"user": USER}, headers=headers)


def delete(path: str) -> Calls:
    return lambda http: http.request("DELETE", path, json={"user": USER})


STREAMS = {
    "default": chat("default"),
    "no-scenario": chat(None, "西湖怎么走？"),
    "agent-tool-call": chat("agent-tool-call"),
    "generated-image": chat("generated-image"),
    "message-replaced": chat("message-replaced"),
    "spoken-answer": chat("spoken-answer"),
    "annotation-hit": chat("annotation-hit"),
    "error-mid-stream": chat("error-mid-stream"),
    "quota-exceeded": chat("quota-exceeded"),
    "ping-between-deltas": chat("ping-between-deltas"),
}
WHOLE = {
    "blocking": chat("default", mode="blocking"),
    "blocking-chinese": chat(None, "西湖怎么走？", mode="blocking"),
    "blocking-quota-exceeded": chat("quota-exceeded", mode="blocking"),
    "unauthorized": get("/info", Authorization="Bearer wrong"),
    "parameters": get("/parameters"),
    "deleted": delete(f"/conversations/{TO_DELETE}"),
}
CASES = {f"stream-{name}": calls for name, calls in STREAMS.items()} | WHOLE


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_those_of_the_golden_file(server: ThreadedServer, session_name: str, name: str) -> None:
    headers = {"Authorization": f"Bearer {KEYS['chat']}", "X-Emulator-Session": session_name, "Host": golden_files.HOST}
    with httpx.Client(base_url=f"{server.url}/dify/v1", headers=headers, timeout=30, verify=False) as http:
        sent = written(CASES[name](http))
    golden_files.hold("dify", name, sent)


def test_every_golden_file_is_one_of_a_case() -> None:
    assert golden_files.names("dify") == set(CASES)


def written(reply: httpx.Response) -> bytes:
    """A reply as its file has it."""
    return re.sub(rb'"audio":"([^"]+)"', digest, golden_files.written(reply))


def digest(found: re.Match[bytes]) -> bytes:
    audio = base64.b64decode(found[1], validate=True)
    return b'"audio":"%d bytes, sha256 %s"' % (len(audio), hashlib.sha256(audio).hexdigest().encode())


# --- what the facts say, held against the files


class Golden:
    """One file: status, headers, body."""

    def __init__(self, name: str) -> None:
        self.status, headers, self.body = golden_files.read("dify", name)
        self.headers = dict(headers)

    @property
    def frames(self) -> list[bytes]:
        """The frames of a stream; each ends in one blank line."""
        return frames_of(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON events of a stream."""
        return [json.loads(frame.removeprefix(b"data: ")) for frame in self.frames if frame != b"event: ping"]

    @property
    def kinds(self) -> list[str]:
        """Kinds of event in their order, those that repeat at once only once."""
        names = [event["event"] for event in self.events]
        return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


COMMON = ["event", "conversation_id", "message_id", "created_at", "task_id"]
OWN = {
    "message": ["id", "answer", "from_variable_selector"],
    "agent_message": ["id", "answer"],
    "agent_thought": [
        "id",
        "position",
        "thought",
        "observation",
        "tool",
        "tool_labels",
        "tool_input",
        "message_files",
    ],
    "message_file": ["id", "type", "belongs_to", "url"],
    "message_replace": ["answer", "reason"],
    "tts_message": ["audio"],
    "tts_message_end": ["audio"],
    "message_end": ["id", "metadata", "files"],
}
MEMBERS = {kind: COMMON + own for kind, own in OWN.items()} | {
    # The one event without a task.
    "error": ["event", "conversation_id", "message_id", "created_at", "code", "status", "message"],
}
USAGE = [
    "prompt_tokens",
    "prompt_unit_price",
    "prompt_price_unit",
    "prompt_price",
    "completion_tokens",
    "completion_unit_price",
    "completion_price_unit",
    "completion_price",
    "total_tokens",
    "total_price",
    "currency",
    "latency",
    "time_to_first_token",
    "time_to_generate",
]
KINDS = {
    "default": ["message", "message_end"],
    "no-scenario": ["message", "message_end"],
    "agent-tool-call": [
        *("agent_thought", "agent_message", "agent_thought"),
        *("agent_message", "agent_thought", "message_end"),
    ],
    "generated-image": [
        *("agent_thought", "message_file", "agent_thought"),
        *("agent_message", "agent_thought", "message_end"),
    ],
    "message-replaced": ["message", "message_replace", "message_end"],
    "spoken-answer": ["message", "tts_message", "message", "message_end", "tts_message", "tts_message_end"],
    "annotation-hit": ["message", "message_end"],
    "error-mid-stream": ["message", "error"],
    "quota-exceeded": ["message", "error"],
    "ping-between-deltas": ["message", "message_end"],
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_frames_of_compact_json_and_literal_pings(name: str) -> None:
    golden = Golden(f"stream-{name}")
    for frame in golden.frames:
        if frame == b"event: ping":
            continue
        assert frame.startswith(b"data: {")
        assert b"\n" not in frame
        text = frame.removeprefix(b"data: ").decode()
        assert text == json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False), "blanks or escapes"
    assert b"[DONE]" not in golden.body
    assert b"\r" not in golden.body


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_its_headers(name: str) -> None:
    golden = Golden(f"stream-{name}")
    assert golden.status == 200
    assert golden.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert golden.headers["transfer-encoding"] == "chunked"
    assert golden.headers["x-version"] == "1.13.2"
    assert golden.headers["x-env"] == "PRODUCTION"
    assert golden.headers["access-control-allow-origin"] == "*"
    assert golden.headers["x-emulator-operation"] == "sendChatMessage"
    assert golden.headers.get("x-emulator-scenario") == (None if name == "no-scenario" else name)


@pytest.mark.parametrize("name", STREAMS)
def test_events_have_their_members_in_order_and_share_their_ids(name: str) -> None:
    events = Golden(f"stream-{name}").events
    for event in events:
        assert list(event) == MEMBERS[event["event"]]
    tasks = [event for event in events if event["event"] != "error"]
    assert len({(event["conversation_id"], event["message_id"], event["created_at"]) for event in events}) == 1
    assert len({event["task_id"] for event in tasks}) == 1
    for event in events:
        if event["event"] in ("message", "agent_message", "message_end"):
            assert event["id"] == event["message_id"]
        if event["event"] == "message":
            assert event["from_variable_selector"] is None
    # The session's first call, one second after 2026-01-01T00:00:00Z.
    assert events[0]["created_at"] == 1767225601


@pytest.mark.parametrize("name", STREAMS)
def test_events_come_in_the_order_of_their_kind_of_stream(name: str) -> None:
    assert Golden(f"stream-{name}").kinds == KINDS[name]


@pytest.mark.parametrize("name", [name for name, kinds in KINDS.items() if "message_end" in kinds])
def test_an_end_has_the_whole_usage_with_prices_as_text(name: str) -> None:
    (end,) = [event for event in Golden(f"stream-{name}").events if event["event"] == "message_end"]
    assert list(end["metadata"]) == ["annotation_reply", "retriever_resources", "usage"]
    usage = end["metadata"]["usage"]
    assert list(usage) == USAGE
    assert all(isinstance(usage[member], str) for member in USAGE if "price" in member)
    assert all(isinstance(usage[member], int) for member in USAGE if "tokens" in member)
    assert isinstance(usage["latency"], float) and usage["currency"] == "USD"


def test_a_ping_has_no_data() -> None:
    golden = Golden("stream-ping-between-deltas")
    assert golden.frames.count(b"event: ping") == 1
    assert b"}\n\nevent: ping\n\ndata: {" in golden.body
    assert 0 < golden.frames.index(b"event: ping") < len(golden.frames) - 2


def test_an_annotation_hit_comes_by_the_character_and_costs_nothing() -> None:
    events = Golden("stream-annotation-hit").events
    assert all(len(event["answer"]) == 1 for event in events[:-1])
    metadata = events[-1]["metadata"]
    assert list(metadata["annotation_reply"]) == ["id", "account"]
    assert list(metadata["annotation_reply"]["account"]) == ["id", "name"]
    assert {metadata["usage"][member] for member in USAGE if member.endswith("price")} == {"0.0"}
    assert {metadata["usage"][member] for member in USAGE if member.endswith("tokens")} == {0}


def test_an_agent_tells_each_step_three_times_and_its_answer_twice() -> None:
    thoughts = [event for event in Golden("stream-agent-tool-call").events if event["event"] == "agent_thought"]
    first, last = thoughts[:3], thoughts[3:]
    assert [thought["position"] for thought in thoughts] == [1, 1, 1, 2, 2]
    assert len({thought["id"] for thought in first}) == len({thought["id"] for thought in last}) == 1
    assert [(one["thought"] != "", one["tool"], one["observation"] != "") for one in thoughts] == [
        (False, "", False),
        (True, "weather_lookup", False),
        (True, "weather_lookup", True),
        (False, "", False),
        (True, "", False),
    ]
    assert list(json.loads(first[2]["observation"])) == ["weather_lookup"]
    assert json.loads(first[1]["tool_input"]) == {"weather_lookup": {"city": "Hangzhou", "days": 2}}
    assert all(one["message_files"] == [] for one in thoughts)


def test_a_drawn_picture_is_named_before_the_step_that_made_it_is_over() -> None:
    events = Golden("stream-generated-image").events
    at = [event["event"] for event in events].index("message_file")
    file, told, end = events[at], events[at + 1], events[-1]
    assert (file["type"], file["belongs_to"]) == ("image", "assistant")
    assert file["url"].startswith(f"http://{golden_files.HOST}/dify/files/tools/{file['id']}.png?timestamp=")
    assert events[at - 1]["message_files"] == []
    assert told["message_files"] == [file["id"]] and told["observation"] != ""
    (listed,) = end["files"]
    assert list(listed) == [
        *("related_id", "extension", "filename", "size", "mime_type"),
        *("transfer_method", "type", "url", "upload_file_id", "remote_url"),
    ]
    assert (listed["related_id"], listed["url"]) == (file["id"], file["url"])


def test_a_replacement_stands_right_before_the_end() -> None:
    events = Golden("stream-message-replaced").events
    assert [event["event"] for event in events[-2:]] == ["message_replace", "message_end"]
    assert events[-2]["answer"] == "I am sorry, I cannot talk about that."
    assert events[-2]["reason"] == ""


def test_audio_goes_on_after_the_end_and_ends_with_an_event_of_its_own() -> None:
    events = Golden("stream-spoken-answer").events
    assert events[-1]["event"] == "tts_message_end" and events[-1]["audio"] == ""
    assert all(event["audio"] != "" for event in events if event["event"] == "tts_message")


def test_an_error_is_the_last_frame_and_has_no_task() -> None:
    quota = Golden("stream-quota-exceeded").events[-1]
    assert (quota["code"], quota["status"]) == ("provider_quota_exceeded", 400)
    generic = Golden("stream-error-mid-stream").events[-1]
    assert (generic["code"], generic["status"]) == ("completion_request_error", 400)
    assert "task_id" not in quota and "task_id" not in generic


def test_chinese_is_not_escaped_in_a_stream() -> None:
    body = Golden("stream-no-scenario").body
    assert re.search("[\u4e00-\u9fff]", body.decode())
    assert b"\\u" not in body


@pytest.mark.parametrize("name", ["blocking", "blocking-chinese"])
def test_a_blocking_reply_is_one_object_without_a_newline(name: str) -> None:
    golden = Golden(name)
    assert golden.status == 200
    assert golden.headers["content-type"] == "application/json; charset=utf-8"
    assert golden.headers["content-length"] == str(len(golden.body))
    assert golden.body.endswith(b"}")
    reply = json.loads(golden.body)
    assert list(reply) == [
        *("event", "task_id", "id", "message_id", "conversation_id", "mode", "answer", "metadata", "created_at")
    ]
    assert (reply["event"], reply["mode"], reply["id"]) == ("message", "chat", reply["message_id"])
    assert list(reply["metadata"]["usage"]) == USAGE
    assert golden.body.decode("ascii") == json.dumps(reply, separators=(",", ":")), "blanks, or not escaped"


def test_a_blocking_answer_and_a_streamed_one_are_the_same() -> None:
    streamed = "".join(event["answer"] for event in Golden("stream-no-scenario").events[:-1])
    assert json.loads(Golden("blocking-chinese").body)["answer"] == streamed
    assert b"\\u" in Golden("blocking-chinese").body


def test_a_failure_of_a_blocking_reply_is_an_ordinary_error() -> None:
    golden = Golden("blocking-quota-exceeded")
    assert golden.status == 400
    assert golden.headers["content-type"] == "application/json"
    assert golden.body.startswith(b'{"code":"provider_quota_exceeded","message":"')
    assert golden.body.endswith(b'","status":400}\n')


def test_a_refused_key_gets_a_401_with_its_challenge() -> None:
    golden = Golden("unauthorized")
    assert golden.status == 401
    assert golden.body == b'{"code":"unauthorized","message":"Access token is invalid","status":401}\n'
    assert golden.headers["content-type"] == "application/json"
    assert golden.headers["www-authenticate"] == 'Bearer realm="api"'
    assert golden.headers["x-version"] == "1.13.2"
    assert golden.headers["x-env"] == "PRODUCTION"


def test_ordinary_json_is_escaped_and_ends_in_one_newline() -> None:
    golden = Golden("parameters")
    assert golden.status == 200
    assert golden.headers["content-type"] == "application/json"
    assert golden.body.endswith(b"}\n") and golden.body.count(b"\n") == 1
    assert rb"\u4e09\u5929\u7684\u884c\u7a0b\u600e\u4e48\u5b89\u6392\uff1f" in golden.body
    golden.body.decode("ascii")
    assert golden.body == json.dumps(json.loads(golden.body), separators=(",", ":")).encode() + b"\n"


def test_what_is_deleted_is_a_204_that_still_names_a_type() -> None:
    golden = Golden("deleted")
    assert (golden.status, golden.body) == (204, b"")
    assert golden.headers["content-type"] == "application/json"
    assert "content-length" not in golden.headers and "transfer-encoding" not in golden.headers


@pytest.mark.parametrize("name", CASES)
def test_headers_that_every_reply_has(name: str) -> None:
    headers = Golden(name).headers
    assert headers["x-version"] == "1.13.2" and headers["x-env"] == "PRODUCTION"
    exposed = headers["access-control-expose-headers"]
    assert exposed.startswith("X-Env, X-Trace-Id, X-Version")
    assert "access-control-allow-credentials" not in headers
    assert "server" not in headers and "date" not in headers
