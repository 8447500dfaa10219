"""Deskchat's wire, byte by byte: whole replies of a fresh session at seed 0 on the virtual clock, as files in
`golden/deskchat/` (status and headers as they were sent, an empty line, the body).

After a wanted change write them anew and read the difference:

    CHAT_EMULATOR_GOLDEN=write pytest tests/test_deskchat_golden.py && git diff tests/golden

The tests below the first read the files and not the server. They hold by hand what FACTS.md, section 003, says of this
wire, so that a wrong file is noticed even when it was written anew.
"""

from __future__ import annotations

import json
from typing import Any

import golden_files
import pytest
from deskchat_caller import FIRST, MESSAGES, UNKNOWN, Desk
from session_caller import frames_of

from emulator.testing.server import ThreadedServer

Case = tuple[str, str, Any, dict[str, str]]


def said(scenario: str | None, content: str = "What is new?") -> Case:
    headers = {} if scenario is None else {"X-Emulator-Scenario": scenario}
    return "POST", "/messages/stream", {"chat_id": FIRST, "content": content}, headers


STREAMS: dict[str, Case] = {
    "default": said("default"),
    "no-scenario": said(None, "西湖怎么走？"),
    "error-mid-stream": said("error-mid-stream"),
    "no-api-key": said("no-api-key"),
    "ping-between-deltas": said("ping-between-deltas"),
}
WHOLE: dict[str, Case] = {
    "conversations": ("GET", "/conversations/list?pageSize=2", None, {}),
    "messages": ("GET", f"/conversations/{FIRST}/messages", None, {}),
    "groups": ("GET", "/groups", None, {}),
    "statistics": ("GET", "/statistics?time_range=week", None, {}),
    "sent": ("POST", "/messages", {"chat_id": FIRST, "content": "你好"}, {}),
    "regenerated": ("POST", "/messages/regenerate", {"chat_id": FIRST, "message_id": MESSAGES[3]}, {}),
    "unknown-task": ("POST", f"/messages/stream/cancel?task_id={UNKNOWN}", None, {}),
    "not-found": ("GET", f"/conversations/{UNKNOWN}", None, {}),
    "invalid": ("POST", "/messages", {"content": "你好"}, {}),
    "method-not-allowed": ("GET", "/conversations/batch", None, {}),
    "export-json": ("POST", "/export", {"chat_id": FIRST}, {}),
    "export-markdown": ("POST", "/export/batch", {"chat_ids": [FIRST], "format": "markdown"}, {}),
    "export-txt": ("POST", "/export", {"chat_id": FIRST, "format": "txt"}, {}),
}
CASES = {f"stream-{name}": case for name, case in STREAMS.items()} | WHOLE


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_those_of_the_golden_file(server: ThreadedServer, session_name: str, name: str) -> None:
    method, path, body, headers = CASES[name]
    with Desk(server, session_name) as desk:
        sent = golden_files.written(desk.http.request(method, path, json=body, headers=headers))
    golden_files.hold("deskchat", name, sent)


def test_every_golden_file_is_one_of_a_case() -> None:
    assert golden_files.names("deskchat") == set(CASES)


# --- what the facts say, held against the files


class Golden:
    """One file: status, headers, body."""

    def __init__(self, name: str) -> None:
        self.status, self.headers, self.body = golden_files.read("deskchat", name)

    @property
    def frames(self) -> list[bytes]:
        """The frames of a stream; each ends in one blank line."""
        return frames_of(self.body)


MEMBERS = {
    "user_message": ["type", "content", "message_id"],
    "assistant_start": ["type", "message_id"],
    "chunk": ["type", "content", "message_id"],
    "complete": ["type", "message_id", "content"],
    "error": ["type", "message"],
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_data_lines_of_json_with_blanks_and_escapes(name: str) -> None:
    for frame in Golden(f"stream-{name}").frames:
        if frame == b": ping":
            continue
        assert frame.startswith(b"data: ")
        assert b"\n" not in frame
        event = json.loads(frame.removeprefix(b"data: "))
        assert frame == b"data: " + json.dumps(event).encode(), "as Python writes it"
        assert list(event) == MEMBERS[event["type"]]


def test_beyond_ascii_a_stream_is_escaped_and_a_reply_is_not() -> None:
    assert rb"\u897f\u6e56\u600e\u4e48\u8d70\uff1f" in Golden("stream-no-scenario").body
    assert Golden("stream-no-scenario").body.isascii()
    assert "对话不存在".encode() in Golden("not-found").body


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_the_headers_of_the_running_system(name: str) -> None:
    golden = Golden(f"stream-{name}")
    assert golden.status == 200
    assert [one for one, _ in golden.headers[:5]] == [
        "x-task-id",
        "cache-control",
        "connection",
        "access-control-allow-headers",
        "content-type",
    ]
    assert ("access-control-allow-origin", "*") in golden.headers


def test_the_first_frames_are_both_messages_and_the_last_has_the_whole_text() -> None:
    frames = [json.loads(frame.removeprefix(b"data: ")) for frame in Golden("stream-default").frames]
    assert frames[0]["content"] == "What is new?"
    assert [frame["type"] for frame in frames] == [
        "user_message",
        "assistant_start",
        *["chunk"] * (len(frames) - 3),
        "complete",
    ]
    assert frames[-1]["content"] == "".join(frame["content"] for frame in frames[2:-1])
    assert {frame["message_id"] for frame in frames[1:]} == {frames[1]["message_id"]}


def test_errors_and_envelopes_are_compact() -> None:
    assert Golden("not-found").body == '{"detail":"对话不存在"}'.encode()
    assert Golden("method-not-allowed").body == b'{"detail":"Method Not Allowed"}'
    assert Golden("unknown-task").status == 200
    assert Golden("unknown-task").body == (
        f'{{"code":404,"message":"任务不存在或已完成","data":{{"task_id":"{UNKNOWN}"}}}}'.encode()
    )
    assert Golden("invalid").status == 422
    assert json.loads(Golden("invalid").body) == {
        "detail": [
            {"type": "missing", "loc": ["body", "chat_id"], "msg": "Field required", "input": {"content": "你好"}}
        ]
    }


def test_an_export_is_a_file() -> None:
    for name, extension in (("json", "json"), ("txt", "txt")):
        disposition = f'attachment; filename="conversation_{FIRST}.{extension}"'
        assert ("content-disposition", disposition) in Golden(f"export-{name}").headers
    assert ("content-disposition", 'attachment; filename="conversations.md"') in Golden("export-markdown").headers
    markdown, text = (Golden(f"export-{name}").body.decode() for name in ("markdown", "txt"))
    assert markdown.startswith("# 项目讨论\n\n> 关于新项目的讨论\n\n## user 2025-12-23T00:01:00\n\n你好，")
    assert text.startswith("标题: 项目讨论\n描述: 关于新项目的讨论\n\n[2025-12-23T00:01:00] user: 你好，")
    assert markdown.endswith("是否继续。\n")
    assert text.endswith("是否继续。\n")
