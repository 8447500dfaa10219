"""What ruoyi refuses and how: tokens and logins, the framework's 422s, paths and methods, both profiles; and the two
spellings of its paths."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from ruoyi_caller import DEEPSEEK, DIFY, OPERATIONS, Caller

from emulator.backends.ruoyi import BACKEND
from emulator.backends.ruoyi.wire import ERRORS, stamp
from emulator.contract.document import Operation
from emulator.testing.server import ThreadedServer
from emulator.wire import jwt
from emulator.world.seed import Seed

EXPIRED, INVALID = "用户token已失效，请重新登录", "用户token不合法"
FORM = {"username": "admin", "password": "admin123"}
JSON = {"Content-Type": "application/json"}
NOT_AUTHENTICATED = {"code": 401, "msg": "Not authenticated"}
UNREADABLE = {"code": 400, "msg": "There was an error parsing the body"}


@pytest.fixture
def admin(server: ThreadedServer, session_name: str) -> Iterator[Caller]:
    with Caller(server, session_name) as caller:
        yield caller


@pytest.fixture
def stranger(server: ThreadedServer, session_name: str) -> Iterator[Caller]:
    with Caller(server, session_name, token=None) as caller:
        yield caller


def token_of(caller: Caller, **claims: Any) -> str:
    """A token that says what it is told to, signed as the server would."""
    key = Seed(0, "ruoyi").fixed("token-key", size=32)
    usual = {"user_id": "1", "user_name": "admin", "exp": 4_000_000_000}
    return jwt.sign({**usual, **claims}, key)


# --- who is let in


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("header", [None, "", "emulator-token", "Basic emulator-token", "Bearerx emulator-token"])
def test_nobody_gets_in_without_a_token(stranger: Caller, operation: Operation, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    reply = stranger.http.request(operation.method, operation.path.replace("{chat_id}", "1"), headers=headers)
    assert (reply.status_code, reply.json()) == (401, NOT_AUTHENTICATED)
    assert reply.content == b'{"code":401,"msg":"Not authenticated"}'
    assert "www-authenticate" not in reply.headers


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("token", ["wrong", "", "a.b.c", "emulator-token2", "Bearer emulator-token"])
def test_a_bad_token_is_told_in_the_envelope(stranger: Caller, operation: Operation, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".strip()}
    reply = stranger.http.request(operation.method, operation.path.replace("{chat_id}", "1"), headers=headers)
    body = reply.json()
    assert reply.status_code == 401
    assert list(body) == ["code", "msg", "data", "success", "time"]
    assert (body["code"], body["msg"], body["data"], body["success"]) == (401, EXPIRED, "", False)


@pytest.mark.parametrize("header", ["Bearer emulator-token", "bearer emulator-token", "BEARER  emulator-token"])
def test_the_schemes_case_does_not_matter(stranger: Caller, header: str) -> None:
    reply = stranger.http.get(f"{DIFY}/chats", params={"user_id": 1}, headers={"Authorization": header})
    assert reply.status_code == 200


def test_a_bad_token_is_http_200_where_it_was_observed(stranger: Caller) -> None:
    stranger.observe()
    reply = stranger.http.get(f"{DIFY}/chats", params={"user_id": 1}, headers={"Authorization": "Bearer wrong"})
    assert (reply.status_code, reply.json()["code"], reply.json()["msg"]) == (200, 401, EXPIRED)
    # No token at all is an ordinary 401 there, too.
    assert stranger.call("GET", f"{DIFY}/chats", user_id=1).status_code == 401


def test_a_token_comes_before_everything_else(stranger: Caller) -> None:
    assert stranger.refused("POST", f"{DIFY}/chat", {"wrong": 1}) == (401, NOT_AUTHENTICATED)
    assert stranger.refused("GET", f"{DIFY}/chats/x/messages") == (401, NOT_AUTHENTICATED)


def test_more_keys_can_be_set(session_name: str) -> None:
    server = ThreadedServer(speed=0, backends=("ruoyi",), keys={"ruoyi": {"mine": "ry"}})
    with server, Caller(server, session_name, "mine") as ry:
        assert ry.history(ry.chats(2)[0]["id"])


# --- logging in


@pytest.mark.parametrize("base", ["/dev-api", ""])
@pytest.mark.parametrize("name", ["admin", "ry"])
def test_logging_in(server: ThreadedServer, session_name: str, base: str, name: str) -> None:
    with Caller(server, session_name, None, base) as stranger:
        reply = stranger.http.post("/login", data={"username": name, "password": "admin123", "code": "", "uuid": ""})
        body = reply.json()
        assert reply.status_code == 200
        assert list(body) == ["code", "msg", "success", "time", "token"]
        assert (body["code"], body["msg"], body["success"]) == (200, "登录成功", True)
        claims = json.loads(base64.urlsafe_b64decode(body["token"].split(".")[1] + "=="))
        assert (claims["user_id"], claims["user_name"]) == ({"admin": "1", "ry": "2"}[name], name)
        with Caller(server, session_name, body["token"], base) as caller:
            own = int(claims["user_id"])
            assert caller.history(caller.chats(own)[0]["id"])


def test_a_multipart_form_logs_in_as_well(stranger: Caller) -> None:
    files = {name: (None, value) for name, value in FORM.items()}
    assert stranger.http.post("/login", files=files).json()["code"] == 200


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"username": "admin", "password": "wrong"}, "密码错误"),
        ({"username": "ry", "password": "ADMIN123"}, "密码错误"),
        ({"username": "nobody", "password": "admin123"}, "用户不存在"),
    ],
)
def test_a_login_that_fails_is_code_601(stranger: Caller, form: dict[str, str], text: str) -> None:
    reply = stranger.http.post("/login", data=form)
    body = reply.json()
    assert reply.status_code == 200
    assert list(body) == ["code", "msg", "data", "success", "time"]
    assert (body["code"], body["msg"], body["data"], body["success"]) == (601, text, "", False)


@pytest.mark.parametrize(
    ("sent", "missing"),
    [
        ({"data": {"username": "admin"}}, ["password"]),
        ({"data": {"username": "", "password": ""}}, ["username", "password"]),
        ({"json": FORM}, ["username", "password"]),
        ({}, ["username", "password"]),
        ({"content": b"", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, ["username", "password"]),
    ],
)
def test_a_form_without_its_fields(stranger: Caller, sent: dict[str, Any], missing: list[str]) -> None:
    reply = stranger.http.post("/login", **sent)
    assert reply.status_code == 422
    assert reply.json() == {
        "detail": [
            {"type": "missing", "loc": ["body", name], "msg": "Field required", "input": None} for name in missing
        ]
    }


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"username=%ff&password=x"),
        ("application/x-www-form-urlencoded", b"username=%00&password=x"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=a", b"--b"),
    ],
)
def test_a_broken_form(stranger: Caller, content_type: str, body: bytes) -> None:
    reply = stranger.http.post("/login", content=body, headers={"Content-Type": content_type})
    assert (reply.status_code, reply.json()) == (400, UNREADABLE)


def test_a_token_ends_after_a_day(admin: Caller) -> None:
    token = admin.login("admin")
    with Caller(admin.server, admin.session, token) as caller:
        assert caller.chats()
        caller.server.app.sessions.get(caller.session).clock.pass_(24 * 3600)
        assert caller.refused("GET", f"{DIFY}/chats", user_id=1)[1]["msg"] == EXPIRED


def test_a_token_is_good_in_its_own_world_only(server: ThreadedServer, session_name: str) -> None:
    with Caller(server, session_name) as admin:
        token = admin.login("admin")
    with ThreadedServer(speed=0, backends=("ruoyi",), seed=7) as other, Caller(other, "x", token) as caller:
        assert caller.refused("GET", f"{DIFY}/chats", user_id=1)[1]["msg"] == EXPIRED


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"exp": 0}, EXPIRED),
        ({"exp": "never"}, EXPIRED),
        ({"exp": None}, EXPIRED),
        ({"user_id": "2"}, INVALID),
        ({"user_id": None}, INVALID),
        ({"user_id": 1}, INVALID),
        ({"user_name": "gone"}, INVALID),
        ({"user_name": ["admin"]}, INVALID),
    ],
)
def test_a_token_that_claims_something_else(admin: Caller, claims: dict[str, Any], text: str) -> None:
    with Caller(admin.server, admin.session, token_of(admin)) as caller:
        assert caller.chats()
    with Caller(admin.server, admin.session, token_of(admin, **claims)) as caller:
        assert caller.refused("GET", f"{DIFY}/chats", user_id=1)[1]["msg"] == text


# --- what is malformed

MISSING = {
    ("POST", f"{DIFY}/chat"): ["app_id", "query"],
    ("POST", f"{DIFY}/chat/stream"): ["app_id", "query"],
    ("POST", f"{DIFY}/chats"): ["app_id", "user_id"],
    ("POST", f"{DIFY}/chats/1/messages"): ["content"],
    ("PUT", f"{DIFY}/chats/1/title"): ["title"],
    ("POST", f"{DEEPSEEK}/chat?provider_id=1"): ["messages"],
    ("POST", f"{DEEPSEEK}/chat/stream?provider_id=1"): ["messages"],
    ("POST", f"{DEEPSEEK}/reasoner?provider_id=1"): ["messages"],
    ("POST", f"{DEEPSEEK}/save_chat"): ["messages", "app_id"],
}
BODIES = list(MISSING)


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_missing_members(admin: Caller, method: str, path: str) -> None:
    reply = admin.http.request(method, path, json={"other": 1})
    assert reply.status_code == 422
    assert sorted(reply.json()["detail"], key=str) == sorted(
        (
            {"type": "missing", "loc": ["body", name], "msg": "Field required", "input": {"other": 1}}
            for name in MISSING[method, path]
        ),
        key=str,
    )


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    ("body", "position", "error"),
    [
        (b"{", 1, "Expecting property name enclosed in double quotes"),
        (b'{"app_id": }', 11, "Expecting value"),
        ("{} 中".encode(), 3, "Extra data"),
        (b" ", 1, "Expecting value"),
    ],
)
def test_broken_json(admin: Caller, method: str, path: str, body: bytes, position: int, error: str) -> None:
    reply = admin.http.request(method, path, content=body, headers=JSON)
    said = {"type": "json_invalid", "loc": ["body", position], "msg": "JSON decode error", "input": {}}
    assert (reply.status_code, reply.json()) == (422, {"detail": [said | {"ctx": {"error": error}}]})


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize("body", [b"\xff", b'{"a":1,"a":2}', b'{"a":"\\ud800"}', b'{"a":1e999}', b"[" * 5000])
def test_a_body_that_nobody_could_keep(admin: Caller, method: str, path: str, body: bytes) -> None:
    reply = admin.http.request(method, path, content=body, headers=JSON)
    # Deep nesting without an end is broken JSON to one reader and too deep to another.
    assert (reply.status_code, reply.json()) == (400, UNREADABLE) or (reply.status_code == 422 and body[:1] == b"[")


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    ("body", "headers", "type", "given"),
    [
        (b"", JSON, "missing", None),
        (b"null", JSON, "missing", None),
        (b"[]", JSON, "model_attributes_type", []),
        (b'"x"', JSON, "model_attributes_type", "x"),
        (b"{}", {}, "model_attributes_type", "{}"),
        (b"{}", {"Content-Type": "text/plain"}, "model_attributes_type", "{}"),
        (b"", {}, "missing", None),
    ],
)
def test_no_object(
    admin: Caller, method: str, path: str, body: bytes, headers: dict[str, str], type: str, given: Any
) -> None:
    reply = admin.http.request(method, path, content=body, headers=headers)
    (item,) = reply.json()["detail"]
    assert (reply.status_code, item["type"], item["loc"], item["input"]) == (422, type, ["body"], given)


@pytest.mark.parametrize(
    ("method", "path", "body", "item"),
    [
        (
            "GET",
            f"{DIFY}/chats?user_id=1&limit=many",
            None,
            {
                "type": "int_parsing",
                "loc": ["query", "limit"],
                "msg": "Input should be a valid integer, unable to parse string as an integer",
                "input": "many",
            },
        ),
        (
            "GET",
            f"{DIFY}/chats?user_id=1&limit=101",
            None,
            {
                "type": "less_than_equal",
                "loc": ["query", "limit"],
                "msg": "Input should be less than or equal to 100",
                "input": "101",
                "ctx": {"le": 100},
            },
        ),
        (
            "GET",
            f"{DIFY}/chats/1/messages?offset=-1",
            None,
            {
                "type": "greater_than_equal",
                "loc": ["query", "offset"],
                "msg": "Input should be greater than or equal to 0",
                "input": "-1",
                "ctx": {"ge": 0},
            },
        ),
        (
            "GET",
            f"{DIFY}/chats",
            None,
            {"type": "missing", "loc": ["query", "user_id"], "msg": "Field required", "input": None},
        ),
        (
            "DELETE",
            f"{DIFY}/chats/abc",
            None,
            {
                "type": "int_parsing",
                "loc": ["path", "chat_id"],
                "msg": "Input should be a valid integer, unable to parse string as an integer",
                "input": "abc",
            },
        ),
        (
            "GET",
            f"{DIFY}/chats?user_id=9223372036854775808",
            None,
            {
                "type": "int_parsing_size",
                "loc": ["query", "user_id"],
                "msg": "Unable to parse input string as an integer, exceeded maximum size",
                "input": "9223372036854775808",
            },
        ),
        (
            "POST",
            f"{DIFY}/chat",
            {"app_id": 1, "query": ""},
            {
                "type": "string_too_short",
                "loc": ["body", "query"],
                "msg": "String should have at least 1 character",
                "input": "",
                "ctx": {"min_length": 1},
            },
        ),
        (
            "PUT",
            f"{DIFY}/chats/1/title",
            {"title": 5},
            {
                "type": "string_type",
                "loc": ["body", "title"],
                "msg": "Input should be a valid string",
                "input": 5,
            },
        ),
        (
            "POST",
            f"{DEEPSEEK}/chat",
            {"messages": [{"role": "user", "content": "hi"}]},
            {"type": "missing", "loc": ["query", "provider_id"], "msg": "Field required", "input": None},
        ),
    ],
)
def test_one_thing_is_wrong(admin: Caller, method: str, path: str, body: Any, item: dict[str, Any]) -> None:
    reply = admin.http.request(method, path, json=body)
    assert (reply.status_code, reply.json()) == (422, {"detail": [item]})
    assert list(reply.json()["detail"][0]) == list(item)


@pytest.mark.parametrize("path", ["/chats/%ff/messages", "/chats/1%00/messages", "/chats/1/messages?limit=%ff"])
def test_what_is_no_text(admin: Caller, path: str) -> None:
    assert admin.refused("GET", f"{DIFY}{path}") == (400, UNREADABLE)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{DIFY}/chat", {"query": "hi"}),
        ("POST", f"{DIFY}/chat/stream", {"query": "hi"}),
        ("POST", f"{DIFY}/chats", {"user_id": 1}),
        ("POST", f"{DEEPSEEK}/save_chat", {"messages": []}),
    ],
)
@pytest.mark.parametrize("app", [0, 99, -5, 2**63 - 1])
def test_an_unknown_app(admin: Caller, method: str, path: str, body: dict[str, Any], app: int) -> None:
    expected = (404, {"code": 404, "msg": f"应用不存在: {app}"})
    assert admin.refused(method, path, {**body, "app_id": app}) == expected


@pytest.mark.parametrize("chat", [0, -1, 4711, 2**63 - 1])
def test_an_unknown_chat(admin: Caller, chat: int) -> None:
    gone = (404, {"code": 404, "msg": "聊天会话不存在"})
    assert admin.refused("GET", f"{DIFY}/chats/{chat}/messages") == gone
    assert admin.refused("DELETE", f"{DIFY}/chats/{chat}") == gone


# --- paths


@pytest.mark.parametrize("path", ["/", "/api/ai/dify", f"{DIFY}/chats/", f"{DIFY}/nothing", "/api/ai/dify/chats/1"])
def test_an_unknown_path(admin: Caller, path: str) -> None:
    reply = admin.http.get(path)
    if path.endswith("chats/1"):
        assert reply.status_code == 405
    else:
        assert (reply.status_code, reply.content) == (404, b'{"detail":"Not Found"}')


def test_another_method(admin: Caller) -> None:
    reply = admin.http.patch(f"{DIFY}/chats")
    assert (reply.status_code, reply.content) == (405, b'{"detail":"Method Not Allowed"}')
    assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}


def test_both_spellings_are_one_world(server: ThreadedServer, session_name: str) -> None:
    with Caller(server, session_name) as long, Caller(server, session_name, base="") as short:
        chat = short.start("Written in short")
        assert long.chats()[0]["id"] == chat
        assert long.send(chat)["conversation_id"] == short.chats()[0]["conversation_id"]


def test_the_documented_place_when_it_is_alone() -> None:
    headers = {"Authorization": "Bearer emulator-token"}
    with ThreadedServer(speed=0, backends=("ruoyi",)) as server:
        for base in ("/dev-api", "", "/ruoyi", "/ruoyi/dev-api", "/_s/x/ruoyi"):
            reply = httpx.get(f"{server.url}{base}{DIFY}/chats?user_id=1", headers=headers)
            assert (reply.status_code, len(reply.json()) > 3) == (200, True)


# --- the rest


def test_a_failure_of_our_own(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr("emulator.backends.ruoyi.chats.shown_chat", crash)
    assert admin.refused("GET", f"{DIFY}/chats", user_id=1) == (500, {"code": 500, "msg": "Internal Server Error"})
    admin.observe()
    status, body = admin.refused("GET", f"{DIFY}/chats", user_id=1)
    assert (status, list(body)) == (200, ["code", "msg", "success", "time"])
    assert (body["code"], body["success"]) == (500, False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1970-01-01T00:00:00.000000"), (1767225600.123456, "2026-01-01T00:00:00.123456")],
)
def test_the_envelopes_time(seconds: float, text: str) -> None:
    assert stamp(seconds) == text


def test_every_difference_is_told_with_its_source() -> None:
    for one in BACKEND.differences:
        assert one.documented and one.observed and one.source.startswith("FACTS.md 000")
    assert {"bad_token_status", "crash_status"} <= BACKEND.difference_names


def test_every_error_has_a_status() -> None:
    assert all(400 <= status < 600 and text for status, text in ERRORS.values())


def test_documented_examples_can_be_preferred(admin: Caller) -> None:
    for operation in OPERATIONS.values():
        path = operation.path.replace("{chat_id}", "1")
        for status in operation.responses:
            query = {"user_id": 1, "provider_id": 1}
            body = {"app_id": 1, "query": "hi", "user_id": 1, "content": "hi", "title": "x"}
            body |= {"messages": [{"role": "user", "content": "hi"}]}
            json = body if operation.request_body else None
            reply = admin.http.request(
                operation.method, path, json=json, params=query, headers={"Prefer": f"code={status}"}
            )
            assert reply.status_code == int(status), (operation.id, status, reply.text)


def test_a_token_is_a_setting_for_the_dify_group() -> None:
    with ThreadedServer(speed=0, backends=("ruoyi",), tokenless=("ruoyi",)) as server:
        base = f"{server.url}/ruoyi/dev-api/api/ai"
        assert httpx.get(f"{base}/dify/chats?user_id=1").status_code == 200
        assert httpx.get(f"{base}/dify/chats?user_id=1", headers={"Authorization": "Bearer x"}).status_code == 401
        body = {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hi"}]}
        assert httpx.post(f"{base}/deepseek/chat?provider_id=1", json=body).status_code == 401
