"""What deskchat refuses, and in which words: one table per sentence of FACTS.md 003, over a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from deskchat_caller import FIRST, MESSAGES, UNKNOWN, Desk, conversation

from emulator.settings import Settings
from emulator.testing.server import ThreadedServer

LARGE = 10**399


@pytest.fixture
def desk(server: ThreadedServer, session_name: str) -> Iterator[Desk]:
    with Desk(server, session_name) as caller:
        yield caller


BAD_IDS = ("x", "5F0C1A52", "1", "%20", "..%2f", "对话", f"{FIRST}0", UNKNOWN, str(LARGE))


@pytest.mark.parametrize("id", BAD_IDS)
@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "/conversations/{}", None, "对话不存在"),
        ("PUT", "/conversations/{}", {}, "对话不存在"),
        ("DELETE", "/conversations/{}", None, "对话不存在"),
        ("GET", "/conversations/{}/messages", None, "对话不存在"),
        ("DELETE", "/conversations/{}/messages", None, "对话不存在"),
        ("PUT", "/conversations/{}/move", {"group_id": 2}, "对话不存在"),
        ("PUT", "/messages/{}", {"content": "x"}, "消息不存在"),
        ("DELETE", "/messages/{}", None, "消息不存在"),
    ],
)
def test_an_id_in_a_path_that_names_nothing_is_404_whatever_its_form(
    desk: Desk, method: str, path: str, body: Any, said: str, id: str
) -> None:
    reply = desk.call(method, path.format(id), body)
    assert (reply.status_code, reply.content) == (404, b'{"detail":"%s"}' % said.encode())
    assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/messages", {"chat_id": "x", "content": "y"}, 404, "对话不存在"),
        ("POST", "/messages/stream", {"chat_id": UNKNOWN, "content": "y"}, 404, "对话不存在"),
        ("POST", "/messages/regenerate", {"chat_id": UNKNOWN, "message_id": MESSAGES[3]}, 404, "对话不存在"),
        ("POST", "/messages/regenerate", {"chat_id": FIRST, "message_id": ""}, 404, "消息不存在"),
        (
            "POST",
            "/messages/regenerate",
            {"chat_id": conversation(2), "message_id": MESSAGES[3]},
            400,
            "消息不属于该对话",
        ),
        ("POST", "/export", {"chat_id": UNKNOWN}, 404, "对话不存在"),
        ("POST", "/export/batch", {"chat_ids": [FIRST, UNKNOWN]}, 404, "对话不存在"),
        ("POST", "/conversations", {"group_id": 99}, 404, "分组不存在"),
        ("POST", "/conversations", {"group_id": LARGE}, 404, "分组不存在"),
        ("POST", "/conversations", {"api_key_id": 2}, 404, "API密钥不存在或已禁用"),
        ("POST", "/conversations", {"prompt_id": 2}, 404, "提示词不存在"),
        ("POST", "/conversations", {"group_id": 99, "api_key_id": 2}, 404, "分组不存在"),
        ("PUT", f"/conversations/{FIRST}", {"group_id": -1}, 404, "分组不存在"),
        ("PUT", f"/conversations/{FIRST}/move", {"group_id": 99}, 404, "分组不存在"),
        ("PUT", f"/conversations/{UNKNOWN}/move", {"group_id": 99}, 404, "对话不存在"),
        ("PUT", "/conversations/batch/move", {"chat_ids": [], "target_group_id": 99}, 404, "分组不存在"),
        ("PUT", "/groups/99", {}, 404, "分组不存在"),
        ("PUT", f"/groups/{LARGE}", {}, 404, "分组不存在"),
        ("PUT", "/groups/0", {}, 404, "分组不存在"),
        ("DELETE", "/groups/99", None, 404, "分组不存在"),
        ("DELETE", "/groups/0", None, 404, "分组不存在"),
        ("DELETE", "/groups/-7", None, 404, "分组不存在"),
        ("DELETE", "/groups/1", None, 400, "不能删除默认分组"),
        ("DELETE", "/groups/01", None, 400, "不能删除默认分组"),
        ("GET", "/nothing", None, 404, "Not Found"),
        ("GET", "/conversations/list/", None, 404, "Not Found"),
        ("GET", "/conversations//messages", None, 404, "Not Found"),
        ("GET", "/conversations/%ff", None, 400, "There was an error parsing the body"),
        ("GET", "/search?keyword=%00", None, 400, "There was an error parsing the body"),
        ("GET", "/search?keyword=%ff", None, 400, "There was an error parsing the body"),
    ],
)
def test_a_refusal_is_a_detail_and_nothing_else(
    desk: Desk, method: str, path: str, body: Any, status: int, said: str
) -> None:
    reply = desk.http.request(method, path, json=body)
    assert (reply.status_code, reply.content.decode()) == (status, f'{{"detail":"{said}"}}')


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_literal_paths_win_over_ids(desk: Desk, method: str) -> None:
    reply = desk.call(method, "/conversations/batch", {})
    assert reply.status_code == 405
    assert reply.headers["Allow"] == "DELETE, OPTIONS"
    assert desk.call("GET", "/conversations/batch/messages").json() == {"detail": "对话不存在"}


WRONG: list[tuple[str, str, bytes, str, Any]] = [
    (
        "POST",
        "/messages",
        b'{"content": "x"}',
        "application/json",
        {"type": "missing", "loc": ["body", "chat_id"], "msg": "Field required", "input": {"content": "x"}},
    ),
    (
        "POST",
        "/messages",
        b'{"chat_id": "x", "content": 5}',
        "application/json",
        {"type": "string_type", "loc": ["body", "content"], "msg": "Input should be a valid string", "input": 5},
    ),
    (
        "POST",
        "/messages",
        b"",
        "application/json",
        {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None},
    ),
    ("POST", "/messages", b"", "", {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}),
    (
        "POST",
        "/messages",
        b"null",
        "application/json",
        {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None},
    ),
    (
        "POST",
        "/messages",
        b"[1]",
        "application/json",
        {
            "type": "model_attributes_type",
            "loc": ["body"],
            "msg": "Input should be a valid dictionary or object to extract fields from",
            "input": [1],
        },
    ),
    (
        "POST",
        "/messages",
        b'{"content"}',
        "text/plain",
        {
            "type": "model_attributes_type",
            "loc": ["body"],
            "msg": "Input should be a valid dictionary or object to extract fields from",
            "input": '{"content"}',
        },
    ),
    (
        "POST",
        "/messages",
        '{\n "标题": }'.encode(),
        "application/json",
        {
            "type": "json_invalid",
            "loc": ["body", 9],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": "Expecting value"},
        },
    ),
    (
        "GET",
        "/conversations/list?pageNum=0",
        b"",
        "",
        {
            "type": "greater_than_equal",
            "loc": ["query", "pageNum"],
            "msg": "Input should be greater than or equal to 1",
            "input": "0",
        },
    ),
    (
        "GET",
        "/conversations/list?pageSize=many",
        b"",
        "",
        {
            "type": "int_parsing",
            "loc": ["query", "pageSize"],
            "msg": "Input should be a valid integer, unable to parse string as an integer",
            "input": "many",
        },
    ),
    (
        "POST",
        "/messages/stream/cancel",
        b"",
        "",
        {"type": "missing", "loc": ["query", "task_id"], "msg": "Field required", "input": None},
    ),
    (
        "PUT",
        "/groups/first",
        b"{}",
        "application/json",
        {
            "type": "int_parsing",
            "loc": ["path", "group_id"],
            "msg": "Input should be a valid integer, unable to parse string as an integer",
            "input": "first",
        },
    ),
    (
        "POST",
        "/import",
        b"x",
        "text/plain",
        {"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": None},
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "content_type", "item"), WRONG)
def test_what_breaks_a_schema_is_422_in_the_frameworks_words(
    desk: Desk, method: str, path: str, body: bytes, content_type: str, item: Any
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    reply = desk.http.request(method, path, content=body, headers=headers)
    assert (reply.status_code, reply.json()) == (422, {"detail": [item]})


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b"[" * 200,
        b'{"a": 1e999}',
        b'{"a": %s}' % (b"9" * 401),
        b'{"a": "\\ud800"}',
    ],
)
def test_json_that_could_not_be_stored_is_400(desk: Desk, body: bytes) -> None:
    reply = desk.http.post("/conversations", content=body, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()) == (400, {"detail": "There was an error parsing the body"})


def test_a_wrong_body_is_told_before_an_unknown_id(desk: Desk) -> None:
    assert desk.call("PUT", f"/messages/{UNKNOWN}", {}).status_code == 422


def test_a_body_beyond_the_limit_is_413() -> None:
    with ThreadedServer(Settings(speed=0, port=0, backends=("deskchat",), check_replies=True)) as own:
        long = own.app.settings.limits.text_body_bytes + 1
        with Desk(own, "large") as desk:
            reply = desk.http.post("/messages", content=b"x" * long, headers={"Content-Type": "application/json"})
            assert (reply.status_code, reply.json()) == (413, {"detail": "Request Entity Too Large"})


def test_a_failure_of_the_server_comes_when_it_is_asked_for(desk: Desk) -> None:
    reply = desk.http.get("/settings", headers={"Prefer": "code=500"})
    assert (reply.status_code, reply.json()) == (500, {"detail": "操作失败: database is locked"})
