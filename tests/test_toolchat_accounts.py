"""Accounts and tokens of toolchat: who is let in, how long, and what each refusal says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from toolchat_caller import DEMO, FIRST, GUEST, Chat

from emulator.backends.toolchat.accounts import token_key
from emulator.backends.toolchat.seeding import populate
from emulator.settings import Limits, Settings
from emulator.testing.server import ThreadedServer
from emulator.wire import jwt
from emulator.world.session import Session

DAY = 86_400
NEWCOMER = {"username": "newcomer", "email": "newcomer@example.com", "password": "correct-horse"}


@pytest.fixture
def demo(server: ThreadedServer, session_name: str) -> Iterator[Chat]:
    with Chat(server, session_name) as caller:
        yield caller


@pytest.fixture
def nobody(server: ThreadedServer, session_name: str) -> Iterator[Chat]:
    with Chat(server, session_name, None) as caller:
        yield caller


def with_token(chat: Chat, token: str) -> Chat:
    return Chat(chat.server, chat.session, token)


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


# --- register


def test_a_new_account_can_log_in_and_is_told_who_it_is(nobody: Chat) -> None:
    reply = nobody.call("POST", "/auth/register", NEWCOMER)
    assert reply.json() == {"success": True, "message": "注册成功", "data": {"id": 3, "username": "newcomer"}}
    with with_token(nobody, nobody.login("newcomer", "correct-horse")) as newcomer:
        assert newcomer.ok("GET", "/auth/me") == {
            "id": 3,
            "username": "newcomer",
            "email": "newcomer@example.com",
            "role": "user",
            "is_active": True,
        }
        assert newcomer.listed() == []


def test_accounts_are_numbered_on(nobody: Chat) -> None:
    ids = [
        nobody.ok("POST", "/auth/register", {**NEWCOMER, "username": f"u{n}", "email": f"u{n}@example.com"})["id"]
        for n in range(3)
    ]
    assert ids == [3, 4, 5]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"username": "demo"}, "用户名已存在"),
        ({"email": "demo@example.com"}, "邮箱已被注册"),
        ({"email": "DEMO@example.com"}, "邮箱已被注册"),
        ({"username": "guest", "email": "guest@example.com"}, "用户名已存在"),
    ],
)
def test_what_is_taken_is_taken(nobody: Chat, members: dict[str, str], text: str) -> None:
    assert nobody.refused("POST", "/auth/register", {**NEWCOMER, **members}) == (409, text)


# --- log in


def test_a_login_answers_a_token_and_whose_it_is(nobody: Chat) -> None:
    reply = nobody.call("POST", "/auth/login", {"username": "demo", "password": "demo-password"}).json()
    assert (reply["success"], reply["message"]) == (True, "登录成功")
    assert reply["data"]["token_type"] == "bearer"
    assert reply["data"]["user"] == {"id": 1, "username": "demo", "role": "user"}


def test_the_token_verifies_with_the_key_of_the_session(nobody: Chat) -> None:
    token = nobody.login("demo", "demo-password")
    key = token_key(nobody.server.app.sessions.get(nobody.session).world("toolchat", populate))
    text, _, signature = token.rpartition(".")
    expected = base64.urlsafe_b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).rstrip(b"=")
    assert signature.encode() == expected
    claims = claims_of(token)
    assert claims | {"jti": ""} == {
        "sub": "1",
        "username": "demo",
        "role": "user",
        "iat": 1_767_225_601,
        "exp": 1_767_225_601 + DAY,
        "jti": "",
    }
    assert len(claims["jti"]) == 32


@pytest.mark.parametrize(
    ("username", "password"),
    [("demo", "wrong"), ("demo", ""), ("nobody", "demo-password"), ("", ""), ("demo\x00", "demo-password")],
)
def test_wrong_credentials_are_refused_alike(nobody: Chat, username: str, password: str) -> None:
    reply = nobody.call("POST", "/auth/login", {"username": username, "password": password})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.json() == {"success": False, "message": "用户名或密码错误", "detail": "用户名或密码错误"}


# --- tokens


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (None, "未提供认证令牌"),
        ("", "未提供认证令牌"),
        ("Bearer", "未提供认证令牌"),
        ("Basic ZGVtbzpkZW1v", "未提供认证令牌"),
        ("Bearer wrong", "无效的认证令牌"),
        ("Bearer a.b.c", "无效的认证令牌"),
        ("Bearer " + "." * 3000, "无效的认证令牌"),
        ("bearer emulator-token", None),
    ],
)
def test_what_the_authorization_header_must_be(nobody: Chat, header: str | None, text: str | None) -> None:
    reply = nobody.http.get("/auth/me", headers={} if header is None else {"Authorization": header})
    if text is None:
        assert reply.json()["data"]["username"] == "demo"
        return
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert reply.json() == {"success": False, "message": text, "detail": text}


def test_a_token_ends_by_the_clock_of_the_session(nobody: Chat) -> None:
    clock = nobody.server.app.sessions.get(nobody.session).clock
    token = nobody.login("demo", "demo-password")
    with with_token(nobody, token) as caller:
        # Each call is one second.
        clock.pass_(claims_of(token)["exp"] - clock.now() - 1.5)
        assert caller.ok("GET", "/auth/me")["id"] == 1
        assert caller.refused("GET", "/auth/me") == (401, "认证令牌已过期")
        assert caller.refused("POST", "/auth/logout") == (401, "认证令牌已过期")
    with with_token(nobody, nobody.login("demo", "demo-password")) as again:
        assert again.ok("GET", "/auth/me")["id"] == 1


def test_logging_out_ends_this_token_and_no_other(nobody: Chat) -> None:
    first, second = nobody.login("demo", "demo-password"), nobody.login("demo", "demo-password")
    assert first != second
    with with_token(nobody, first) as one, with_token(nobody, second) as other:
        reply = one.call("POST", "/auth/logout")
        assert (reply.status_code, reply.json()) == (200, {"success": True, "message": "登出成功"})
        assert one.refused("GET", "/auth/me") == (401, "认证令牌已失效")
        assert one.refused("POST", "/auth/logout") == (401, "认证令牌已失效")
        assert other.ok("GET", "/auth/me")["id"] == 1


def test_a_key_cannot_be_handed_back(demo: Chat) -> None:
    assert demo.call("POST", "/auth/logout").json() == {"success": True, "message": "登出成功"}
    assert demo.ok("GET", "/auth/me")["username"] == "demo"


def test_a_token_of_another_seed_or_account_is_worth_nothing(demo: Chat) -> None:
    key = token_key(demo.server.app.sessions.get(demo.session).world("toolchat", populate))
    good = {"sub": "1", "username": "demo", "role": "user", "iat": 0, "exp": 9e12, "jti": "x"}
    with with_token(demo, jwt.sign(good, key)) as forged:
        assert forged.ok("GET", "/auth/me")["id"] == 1
    for wrong in (
        jwt.sign(good, b"another key of the same length!!"),
        *(jwt.sign({name: one for name, one in good.items() if name != left_out}, key) for left_out in ("sub", "exp")),
        jwt.sign({**good, "sub": "2"}, key),
        jwt.sign({**good, "sub": 1}, key),
        jwt.sign({**good, "username": "nobody"}, key),
        jwt.sign({**good, "exp": "soon"}, key),
        jwt.sign({**good, "jti": None}, key),
    ):
        with with_token(demo, wrong) as caller:
            assert caller.refused("GET", "/auth/me") == (401, "无效的认证令牌")


def test_refused_before_anything_else_is_looked_at(nobody: Chat) -> None:
    assert nobody.refused("POST", "/messages/", {"nonsense": 1}) == (401, "未提供认证令牌")
    assert nobody.refused("GET", "/conversations/anything") == (401, "未提供认证令牌")


def test_keys_can_be_added() -> None:
    keys = {"toolchat": {"my-key": "guest", "lost-key": "nobody"}}
    with ThreadedServer(speed=0, backends=("toolchat",), keys=keys) as server:
        with Chat(server, "keys", "my-key") as caller:
            assert caller.ok("GET", "/auth/me")["username"] == "guest"
        with Chat(server, "keys", "lost-key") as caller:
            assert caller.refused("GET", "/auth/me") == (401, "无效的认证令牌")


def test_people_from_the_start_stay_when_the_store_is_full() -> None:
    with (
        ThreadedServer(speed=0, backends=("toolchat",), limits=Limits(records=20)) as server,
        Chat(server, "x") as chat,
    ):
        own = chat.start()
        for n in range(30):
            chat.send(f"hello {n}", own)
        assert chat.ok("GET", "/auth/me")["username"] == "demo"
        assert chat.login("guest", "guest-password")
        assert chat.refused("POST", "/auth/register", {**NEWCOMER, "username": "demo"})[0] == 409
        assert chat.refused("POST", "/auth/register", {**NEWCOMER, "email": "guest@example.com"})[0] == 409
        assert chat.ok("POST", "/auth/register", NEWCOMER)["id"] == 3
        # What is in use is the youngest, so it is the last to leave.
        assert len(chat.history(own)) == 16
        assert chat.refused("GET", f"/conversations/{FIRST}") == (404, "会话不存在")


# --- isolation


def test_people_do_not_see_each_other(server: ThreadedServer, session_name: str) -> None:
    with Chat(server, session_name, DEMO) as demo, Chat(server, session_name, GUEST) as guest:
        assert len(demo.listed()) >= 3 and len(guest.listed()) >= 3
        assert not set(demo.listed()) & set(guest.listed())
        assert guest.refused("GET", f"/conversations/{FIRST}") == (404, "会话不存在")
        assert guest.refused("PUT", f"/conversations/{FIRST}", {"title": "mine"}) == (404, "会话不存在")
        assert guest.refused("DELETE", f"/conversations/{FIRST}") == (404, "会话不存在")
        assert guest.refused("GET", f"/messages/{FIRST}") == (404, "会话不存在")
        message = {"conversation_id": FIRST, "content": "hello"}
        assert guest.refused("POST", "/messages/", message) == (404, "会话不存在")
        assert guest.refused("POST", "/messages/stream", message) == (404, "会话不存在")
        own = demo.history()[0]["id"]
        assert guest.refused("DELETE", f"/messages/{own}") == (404, "消息不存在")
        assert demo.history()[0]["id"] == own
        assert demo.ok("GET", f"/conversations/{FIRST}")["title"] == "北京的天气"


def test_sessions_do_not_see_each_other(server: ThreadedServer, session_name: str) -> None:
    with Chat(server, f"{session_name[:50]}-1") as one, Chat(server, f"{session_name[:50]}-2") as other:
        one.ok("POST", "/auth/register", NEWCOMER)
        own = one.start(title="only here")
        assert other.refused("GET", f"/conversations/{own}") == (404, "会话不存在")
        assert other.refused("POST", "/auth/login", {"username": "newcomer", "password": "correct-horse"})[0] == 401
        with with_token(other, one.login("newcomer", "correct-horse")) as stranger:
            assert stranger.refused("GET", "/auth/me") == (401, "无效的认证令牌")
        # Same seed, same calls: the same ids.
        other.ok("POST", "/auth/register", NEWCOMER)
        assert other.start(title="only here") == own


def test_another_seed_makes_other_tokens() -> None:
    worlds = [Session("s", Settings(seed=seed)).world("toolchat", populate) for seed in (0, 1)]
    assert token_key(worlds[0]) != token_key(worlds[1])
