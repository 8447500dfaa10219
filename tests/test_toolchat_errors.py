"""Refusals of toolchat, to the byte: its envelope, its texts, FastAPI's words for invalid input; and the observed
profile, in which FastAPI speaks alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from toolchat_caller import FIRST, OPERATIONS, Chat

from emulator.backends.toolchat import BACKEND, catalogue
from emulator.settings import Limits
from emulator.testing.server import ThreadedServer

JSON = {"Content-Type": "application/json"}
UNREADABLE = '{"success":false,"message":"请求格式错误","detail":"There was an error parsing the body"}'
POSTS = (
    "/auth/register",
    "/auth/login",
    "/conversations/",
    "/messages/",
    "/messages/stream",
    "/tools/calculate/execute",
)


@pytest.fixture
def demo(server: ThreadedServer, session_name: str) -> Iterator[Chat]:
    with Chat(server, session_name) as caller:
        yield caller


@pytest.fixture
def observed(demo: Chat) -> Chat:
    demo.observe()
    return demo


def invalid(*detail: dict[str, Any]) -> bytes:
    body = {"success": False, "message": "请求参数错误", "detail": list(detail)}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


# --- bodies


@pytest.mark.parametrize("path", POSTS)
def test_a_missing_body_is_invalid(demo: Chat, path: str) -> None:
    missing = invalid({"type": "missing", "loc": ["body"], "msg": "Field required", "input": None})
    for headers in ({}, JSON, {"Content-Type": "text/plain"}):
        reply = demo.http.post(path, headers=headers)
        assert (reply.status_code, reply.headers["content-type"]) == (422, "application/json")
        expected = missing if headers != JSON else invalid(malformed(0, "Expecting value"))
        assert reply.content == expected


def malformed(at: int, error: str) -> dict[str, Any]:
    """FastAPI's words for text that is no JSON."""
    return {
        "type": "json_invalid",
        "loc": ["body", at],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": error},
    }


@pytest.mark.parametrize("path", POSTS)
def test_another_media_type_is_invalid(demo: Chat, path: str) -> None:
    reply = demo.http.post(path, content=b"a=\xff", headers={"Content-Type": "application/x-www-form-urlencoded"})
    words = "Input should be a valid dictionary or object to extract fields from"
    item = {"type": "model_attributes_type", "loc": ["body"], "msg": words, "input": "a=\ufffd"}
    assert (reply.status_code, reply.content) == (422, invalid(item))


@pytest.mark.parametrize(
    ("body", "at", "error"),
    [
        (b'{"a":}', 5, "Expecting value"),
        (b'{"a" 1}', 5, "Expecting ':' delimiter"),
        (b"{", 1, "Expecting property name enclosed in double quotes"),
        (b"[] []", 3, "Extra data"),
        (b'"\n"', 1, "Invalid control character at"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(demo: Chat, body: bytes, at: int, error: str) -> None:
    reply = demo.http.post("/messages/", content=body, headers=JSON)
    assert (reply.status_code, reply.content) == (422, invalid(malformed(at, error)))


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b'\xef\xbb\xbf{"a":1}',
        b'{"content":"\\ud800"}',
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":1e400}',
        b"[" * 100_000,
        b"[" * 200 + b"]" * 200,
        b"1" * 5_000,
    ],
    ids=["not UTF-8", "BOM", "half a pair", "twice", "NaN", "1e400", "deep", "deep and closed", "digits"],
)
def test_what_nobody_could_keep_is_unreadable(demo: Chat, body: bytes) -> None:
    reply = demo.http.post("/messages/", content=body, headers=JSON)
    assert (reply.status_code, reply.text) == (400, UNREADABLE)


@pytest.mark.parametrize(
    "url", ["/conversations/%ff", "/conversations/?page=%ff", "/tools/a%00b", "/messages/x?limit=%00"]
)
def test_an_address_that_is_no_text_is_unreadable(demo: Chat, url: str) -> None:
    reply = demo.http.get(url)
    assert reply.status_code in (400, 404)
    if "x?" not in url:
        assert (reply.status_code, reply.text) == (400, UNREADABLE)


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/auth/register", {}, [("missing", "username"), ("missing", "email"), ("missing", "password")]),
        (
            "/auth/register",
            {"username": "", "email": "x@y", "password": "x"},
            [("string_too_short", "username"), ("string_pattern_mismatch", "email")],
        ),
        (
            "/auth/register",
            {"username": "x" * 51, "email": "x@y.z", "password": "x"},
            [("string_too_long", "username")],
        ),
        ("/auth/login", {"username": 1, "password": None}, [("string_type", "username"), ("string_type", "password")]),
        ("/conversations/", {"temperature": 2.1}, [("less_than_equal", "temperature")]),
        ("/conversations/", {"temperature": True}, [("float_type", "temperature")]),
        ("/conversations/", {"max_tokens": 0}, [("greater_than_equal", "max_tokens")]),
        ("/conversations/", {"max_tokens": 10**300}, [("less_than_equal", "max_tokens")]),
        ("/conversations/", {"thinking_enabled": "yes"}, [("bool_type", "thinking_enabled")]),
        ("/conversations/", {"title": None}, [("string_type", "title")]),
        ("/messages/", {"conversation_id": FIRST}, [("missing", "content")]),
        ("/messages/stream", {"content": "x"}, [("missing", "conversation_id")]),
        (
            "/messages/stream",
            {"conversation_id": FIRST, "content": "x", "tools_enabled": 1},
            [("bool_type", "tools_enabled")],
        ),
    ],
)
def test_each_member_that_is_wrong_is_told(demo: Chat, path: str, body: Any, detail: list[tuple[str, str]]) -> None:
    status, shown = demo.refused("POST", path, body)
    assert (status, [(one["type"], one["loc"]) for one in shown]) == (
        422,
        [(kind, ["body", name]) for kind, name in detail],
    )


def test_a_body_that_is_no_object(demo: Chat) -> None:
    for path in POSTS:
        status, detail = demo.refused("POST", path, [1])
        assert (status, [(one["type"], one["loc"], one["input"]) for one in detail]) == (
            422,
            [("dict_type", ["body"], [1])],
        )


@pytest.mark.parametrize(
    ("path", "query", "item"),
    [
        ("/conversations/", "page=0", ("greater_than_equal", "page", "0")),
        ("/conversations/", "page=x", ("int_parsing", "page", "x")),
        ("/conversations/", "page=1_0", ("int_parsing", "page", "1_0")),
        ("/conversations/", "page_size=101", ("less_than_equal", "page_size", "101")),
        ("/conversations/", "page_size=", ("int_parsing", "page_size", "")),
        (f"/messages/{FIRST}", "limit=1001", ("less_than_equal", "limit", "1001")),
        (f"/messages/{FIRST}", "limit=-1", ("greater_than_equal", "limit", "-1")),
        ("/tools/", "category=nothing", ("literal_error", "category", "nothing")),
        ("/tools/", "category=%E5%A4%A9", ("literal_error", "category", "天")),
    ],
)
def test_a_query_that_is_wrong_is_told(demo: Chat, path: str, query: str, item: tuple[str, str, str]) -> None:
    status, detail = demo.refused("GET", f"{path}?{query}")
    assert (status, [(one["type"], one["loc"], one["input"]) for one in detail]) == (
        422,
        [(item[0], ["query", item[1]], item[2])],
    )


# --- the house


@pytest.mark.parametrize(
    "path", ["", "/", "/nothing", "/auth", "/auth/login/", "/tools//execute", "/conversations/a/b"]
)
def test_an_unknown_path(demo: Chat, path: str) -> None:
    reply = demo.call("GET", path)
    assert (reply.status_code, reply.text) == (404, '{"success":false,"message":"接口不存在","detail":"Not Found"}')


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/messages/stream", "POST, OPTIONS"),
        ("DELETE", "/messages/stream", "POST, OPTIONS"),
        ("GET", "/auth/login", "POST, OPTIONS"),
        ("PATCH", f"/conversations/{FIRST}", "GET, PUT, DELETE, HEAD, OPTIONS"),
        ("PUT", f"/messages/{FIRST}", "GET, DELETE, HEAD, OPTIONS"),
        ("DELETE", "/conversations", "GET, POST, HEAD, OPTIONS"),
    ],
)
def test_another_method(demo: Chat, method: str, path: str, allow: str) -> None:
    reply = demo.call(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allow)
    assert reply.text == '{"success":false,"message":"请求方法不允许","detail":"Method Not Allowed"}'


def test_a_body_that_is_too_long() -> None:
    limits = Limits(text_body_bytes=1000)
    with ThreadedServer(speed=0, backends=("toolchat",), limits=limits) as server, Chat(server, "x") as chat:
        for path in POSTS:
            reply = chat.http.post(path, content=b" " * 1001, headers=JSON)
            assert (reply.status_code, reply.text) == (
                413,
                '{"success":false,"message":"请求体过大","detail":"Request Entity Too Large"}',
            )


def test_an_error_of_our_own(demo: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "find_tool", lambda ask: 1 / 0)
    reply = demo.call("GET", "/tools/calculate")
    assert reply.status_code == 500
    assert reply.text == '{"success":false,"message":"服务器内部错误","detail":"Internal Server Error"}'


PREFERRED = [
    (operation.id, status, name)
    for operation in OPERATIONS.values()
    for status, response in operation.responses.items()
    for content in response.get("content", {}).values()
    for name in content.get("examples", {})
]


@pytest.mark.parametrize(("operation", "status", "name"), PREFERRED)
def test_every_documented_reply_can_be_had(demo: Chat, operation: str, status: str, name: str) -> None:
    found = OPERATIONS[operation]
    path = found.path.removeprefix("/api").replace("{name}", "calculate")
    path = path.replace("{id}", "msg_1f8d25c07b94" if operation == "deleteMessage" else FIRST)
    body = None
    if found.request_body is not None:
        examples = found.request_body["content"]["application/json"]["examples"]
        body = next(iter(examples.values()))["value"]
    prefer = {"Prefer": f"code={status}, example={name}"}
    reply = demo.http.request(found.method, path, json=body, headers=prefer)
    assert reply.status_code == int(status)


@pytest.mark.parametrize("size", [1, 4_000_000])
def test_long_texts_are_taken(demo: Chat, size: int) -> None:
    content = ("天气 " * (size // 8 + 1))[: size // 4 + 1]
    data = demo.send(content)
    assert data["user_message"]["content"] == content


# --- observed


def test_every_difference_is_described() -> None:
    assert len(BACKEND.difference_names) == len(BACKEND.differences) == 6
    assert all(one.documented and one.observed and one.source for one in BACKEND.differences)


def test_observed_errors_have_a_detail_alone(observed: Chat) -> None:
    assert observed.call("GET", "/nothing").text == '{"detail":"Not Found"}'
    assert observed.call("GET", "/messages/stream").text == '{"detail":"Method Not Allowed"}'
    assert observed.call("GET", "/conversations/x").json() == {"detail": "会话不存在"}
    reply = observed.call("POST", "/messages/", {"content": "x"})
    missing = {
        "type": "missing",
        "loc": ["body", "conversation_id"],
        "msg": "Field required",
        "input": {"content": "x"},
    }
    assert (reply.status_code, reply.json()) == (422, {"detail": [missing]})
    with Chat(observed.server, observed.session, "wrong") as stranger:
        stranger.watch = False
        reply = stranger.call("GET", "/auth/me")
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert reply.json() == {"detail": "无效的认证令牌"}
    body = {"conversation_id": FIRST, "content": "/scenario error-mid-stream"}
    assert observed.call("POST", "/messages/", body).json() == {"detail": "模型服务暂时不可用"}


def test_observed_what_is_taken_is_a_bad_request(observed: Chat) -> None:
    body = {"username": "demo", "email": "x@example.com", "password": "x"}
    reply = observed.call("POST", "/auth/register", body)
    assert (reply.status_code, reply.json()) == (400, {"detail": "用户名已存在"})


def test_observed_lists_redirect_to_their_slash(observed: Chat) -> None:
    reply = observed.call("GET", "/conversations", page=2)
    assert reply.status_code == 307
    assert reply.headers["location"] == f"{observed.server.url}/toolchat/api/conversations/?page=2"
    assert reply.content == b""
    address = f"{observed.server.url}/_s/{observed.session}/toolchat/api/tools"
    again = httpx.get(address, headers={"Authorization": "Bearer emulator-token"}, follow_redirects=True)
    assert again.json()["data"]["total"] == 11
    assert observed.call("POST", "/auth/login", {"username": "demo", "password": "demo-password"}).status_code == 200


def test_observed_a_category_stands_alone(observed: Chat) -> None:
    data = observed.ok("GET", "/tools/", category="data")
    assert list(data["categorized"]) == ["data"]
    assert len(observed.ok("GET", "/tools/")["categorized"]) == 4


def test_observed_streams_and_lists_are_the_same(observed: Chat) -> None:
    assert observed.stream("hello").kinds == ["text", "done"]
    assert len(observed.history()) == 6
