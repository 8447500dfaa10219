"""What each operation of the plainchat API does and refuses, over a real server. Source: FACTS.md 001."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from plainchat_caller import (
    ANSWERED,
    OPERATIONS,
    SERVICE,
    TO_CONTINUE,
    TO_DELETE,
    TO_READ,
    UNKNOWN,
    Plain,
    breaches,
    part,
    send_parts,
)

from emulator.backends.plainchat.differences import DIFFERENCES
from emulator.settings import Limits
from emulator.testing.server import ThreadedServer
from emulator.world.media import picture_png

PICTURE = picture_png("a test", 32, 32)
TIME = re.compile(r"202[56]-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
MALFORMED = {"error": "请求数据格式错误"}
NO_MESSAGE = {"error": "消息内容不能为空"}
NO_CONVERSATION = {"error": "对话不存在"}
NO_SUCH_MESSAGE = {"error": "消息不存在"}
INTERNAL = {"error": "服务器内部错误"}
NO_CREDENTIALS = {"detail": "未提供用户名和密码"}
WRONG = {"detail": "密码错误"}
NOT_EXISTS = "[ERROR] AI服务异常: Conversation Not Exists.".encode()


@pytest.fixture
def plain(server: ThreadedServer, session_name: str) -> Iterator[Plain]:
    with Plain(server, session_name) as caller:
        yield caller


def missing(*loc: str, given: Any = None) -> dict[str, Any]:
    """FastAPI's item for something that is not there."""
    return {"type": "missing", "loc": list(loc), "msg": "Field required", "input": given}


def is_json(reply: httpx.Response, status: int, body: Any) -> None:
    """The reply has this status and exactly these bytes."""
    assert (reply.status_code, reply.json()) == (status, body), reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.content == json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


# --- every operation

GOOD: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sendChatMessage": ("POST", "/api/chat", {"json": {"message": "Hello", "username": "abc-123"}}),
    "uploadFiles": (
        "POST",
        "/api/file/upload",
        {"files": [("files", ("a.png", PICTURE, "image/png"))], "data": {"username": "abc-123"}},
    ),
    "getNextSuggestions": ("GET", f"/api/chat/next_suggest/{ANSWERED}", {"params": {"username": "abc-123"}}),
    "listConversations": ("GET", "/api/conversations/list/demo", {}),
    "getConversationHistory": (
        "GET",
        f"/api/conversations/{TO_READ}/history",
        {"params": {"username": "abc-123"}},
    ),
    "deleteConversation": ("DELETE", f"/api/conversations/{TO_DELETE}/delete", {"params": {"username": "abc-123"}}),
    "registerUser": ("POST", "/api/user/register", {"data": {"username": "mira", "password": "sesame"}}),
    "loginUser": ("POST", "/api/user/login", {"json": {"username": "demo", "password": "demo-password"}}),
}


def test_every_operation_has_a_good_call() -> None:
    assert set(GOOD) == set(OPERATIONS) == set(SERVICE.backend.behaviours)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_good_call_is_answered_as_documented(plain: Plain, operation: str) -> None:
    method, path, arguments = GOOD[operation]
    reply = plain.http.request(method, path, **arguments)
    assert reply.status_code == 200
    assert reply.headers["x-emulator-operation"] == operation
    assert "www-authenticate" not in reply.headers
    assert breaches(operation, reply) == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_token_changes_nothing(plain: Plain, operation: str) -> None:
    method, path, arguments = GOOD[operation]
    reply = plain.http.request(method, path, **arguments, headers={"Authorization": "Bearer wrong"})
    assert reply.status_code == 200


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_documented_reply_can_be_asked_for(plain: Plain, operation: str) -> None:
    method, path, arguments = GOOD[operation]
    for status in OPERATIONS[operation].responses:
        for name in SERVICE.document.examples(OPERATIONS[operation], status):
            headers = {"Prefer": f"code={status}, example={name}"}
            reply = plain.http.request(method, path, **arguments, headers=headers)
            assert reply.status_code == int(status)
            assert breaches(operation, reply) == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_other_methods_are_refused_with_those_there_are(plain: Plain, operation: str) -> None:
    method, path, _ = GOOD[operation]
    allowed = f"{method}, HEAD, OPTIONS" if method == "GET" else f"{method}, OPTIONS"
    reply = plain.http.request("PATCH", path)
    is_json(reply, 405, {"detail": "Method Not Allowed"})
    assert reply.headers["allow"] == allowed
    assert plain.http.request("OPTIONS", path).headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/api", "/api/chat/", "/api/chats", "/api/conversations/list/", "/files/"])
def test_unknown_paths(plain: Plain, path: str) -> None:
    is_json(plain.http.get(path), 404, {"error": "接口不存在"})


def test_paths_that_are_no_text(plain: Plain) -> None:
    for name in ("%FF", "%00", "a%00b"):
        is_json(plain.http.get(f"/api/conversations/list/{name}"), 400, MALFORMED)
        is_json(plain.http.get(f"/files/{name}"), 400, MALFORMED)
    for query in ("username=%FF", "username=%00"):
        is_json(plain.http.get(f"/api/conversations/{TO_READ}/history?{query}"), 400, MALFORMED)


def test_pages_of_other_origins_may_call(plain: Plain) -> None:
    asked = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "POST"}
    reply = plain.http.request(
        "OPTIONS", "/api/chat", headers={**asked, "Access-Control-Request-Headers": "content-type"}
    )
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert reply.headers["access-control-allow-methods"] == "DELETE, GET, OPTIONS, POST"
    assert reply.headers["access-control-allow-headers"] == "content-type"


def test_a_body_beyond_the_limit(session_name: str) -> None:
    with (
        ThreadedServer(backends=("plainchat",), speed=0, limits=Limits(text_body_bytes=1000)) as small,
        Plain(small, session_name) as caller,
    ):
        reply = caller.http.post("/api/chat", json={"message": "x" * 2000, "username": "u"})
        is_json(reply, 413, {"error": "请求内容过大"})


# --- asking: what is refused before the stream

U = {"username": "abc-123"}
CHAT: dict[str, tuple[Any, int, Any]] = {
    "no JSON": (b"hello", 400, MALFORMED),
    "nothing": (b"", 400, MALFORMED),
    "half of it": (b'{"message": "hi"', 400, MALFORMED),
    "not UTF-8": (b'{"message": "\xff", "username": "u"}', 400, MALFORMED),
    "half a surrogate pair": (b'{"message": "\\ud800", "username": "u"}', 400, MALFORMED),
    "twice the same": (b'{"message": "a", "message": "b", "username": "u"}', 400, MALFORMED),
    "no number": (b'{"message": "a", "username": "u", "x": NaN}', 400, MALFORMED),
    "beyond a double": (b'{"message": "a", "username": "u", "x": 1e400}', 400, MALFORMED),
    "too deep": (b'{"message": "a", "username": "u", "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400, MALFORMED),
    "a list": ([], 400, MALFORMED),
    "null": (None, 400, MALFORMED),
    "a message that is a number": ({"message": 5, **U}, 400, MALFORMED),
    "a message that is null": ({"message": None, **U}, 400, MALFORMED),
    "a conversation that is a number": ({"message": "a", "conversation_id": 5, **U}, 400, MALFORMED),
    "a conversation that is a list": ({"message": "a", "conversation_id": [], **U}, 400, MALFORMED),
    "files that are null": ({"message": "a", "file_ids": None, **U}, 400, MALFORMED),
    "files that are a text": ({"message": "a", "file_ids": UNKNOWN, **U}, 400, MALFORMED),
    "a file that is a number": ({"message": "a", "file_ids": [5], **U}, 400, MALFORMED),
    "types before texts": ({"message": " ", "file_ids": None, "username": None}, 400, MALFORMED),
    "no message": (U, 400, NO_MESSAGE),
    "an empty message": ({"message": "", **U}, 400, NO_MESSAGE),
    "a blank message": ({"message": " \t\r\n\u3000\xa0\u2003\x1c ", **U}, 400, NO_MESSAGE),
    "neither message nor user": ({}, 400, NO_MESSAGE),
    "no user": (
        {"message": "你好"},
        422,
        {"detail": [missing("body", "username", given={"message": "你好"})]},
    ),
}


@pytest.mark.parametrize("name", CHAT)
def test_a_question_that_does_not_fit(plain: Plain, name: str) -> None:
    body, status, expected = CHAT[name]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    before = plain.listed()
    reply = plain.http.post("/api/chat", content=content, headers={"Content-Type": "application/json"})
    is_json(reply, status, expected)
    assert breaches("sendChatMessage", reply) == []
    assert reply.headers["x-emulator-violation"]
    assert plain.listed() == before


@pytest.mark.parametrize("username", ["", None, 5, [], {}, True, "a\x00b"])
def test_a_user_that_is_no_name(plain: Plain, username: Any) -> None:
    reply = plain.http.post("/api/chat", json={"message": "hi", "username": username})
    assert reply.status_code == 422
    (item,) = reply.json()["detail"]
    assert item["loc"] == ["body", "username"]
    assert item["input"] == username
    kind = (
        "string_type"
        if not isinstance(username, str)
        else "string_too_short"
        if not username
        else "string_pattern_mismatch"
    )
    assert item["type"] == kind
    assert breaches("sendChatMessage", reply) == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
def test_a_question_must_say_that_it_is_json(plain: Plain, kind: str) -> None:
    content = b'{"message": "hi", "username": "u"}'
    is_json(plain.http.post("/api/chat", content=content, headers={"Content-Type": kind}), 400, MALFORMED)


@pytest.mark.parametrize(
    "extra",
    [{"x": 10**399}, {"x": 1e308}, {"x": "\x00"}, {"": [[[]]]}, {"stream": True}],
)
def test_members_that_nobody_knows_are_ignored(plain: Plain, extra: dict[str, Any]) -> None:
    reply = plain.http.post("/api/chat", json={"message": "hi\x00", "username": "名 字/?#", **extra})
    assert reply.status_code == 200
    assert [one["query"] for one in plain_history(plain, "名 字/?#")] == ["hi\x00"]


def plain_history(plain: Plain, user: str) -> list[dict[str, Any]]:
    """The newest conversation of a user with any name."""
    reply = plain.http.get(f"/api/conversations/list/{quote(user, safe='')}")
    return plain.history(reply.json()["conversations"][0]["id"], user)


def test_a_very_long_question_is_no_trouble(plain: Plain) -> None:
    message = "为什么 " * 300_000
    reply = plain.http.post("/api/chat", json={"message": message, "username": "abc-123"})
    assert "[MESSAGE_ID:" in reply.text
    listed = plain.listed()[0]
    assert len(listed["name"]) <= 75
    assert plain.history(listed["id"])[0]["query"] == message.strip()


# --- suggestions


def test_suggestions_are_questions_and_stay_the_same(plain: Plain) -> None:
    first, second = plain.suggestions(ANSWERED), plain.suggestions(ANSWERED)
    assert list(first.json()) == ["data"]
    assert len(first.json()["data"]) == 3
    assert first.content == second.content
    assert re.search("[\u4e00-\u9fff]", first.text), "the language of the question, not escaped"


@pytest.mark.parametrize(
    ("id", "user"), [(UNKNOWN, "abc-123"), ("nonsense", "abc-123"), (ANSWERED, "demo"), (ANSWERED, "")]
)
def test_suggestions_for_what_is_not_there(plain: Plain, id: str, user: str) -> None:
    reply = plain.http.get(f"/api/chat/next_suggest/{id}", params={"username": user})
    is_json(reply, 404, NO_SUCH_MESSAGE)


@pytest.mark.parametrize("operation", ["getNextSuggestions", "getConversationHistory", "deleteConversation"])
def test_the_query_must_say_who_asks(plain: Plain, operation: str) -> None:
    method, path, _ = GOOD[operation]
    is_json(plain.http.request(method, path), 422, {"detail": [missing("query", "username")]})
    twice = plain.http.request(method, f"{path}?username=a&username=b")
    assert twice.status_code == 422
    assert breaches(operation, twice) == []


# --- conversations


def test_the_list_is_newest_first_with_iso_times(plain: Plain) -> None:
    for user, least in (("demo", 3), ("abc-123", 3)):
        listed = plain.listed(user)
        assert len(listed) >= least
        for one in listed:
            assert list(one) == ["id", "name", "created_at", "updated_at"]
            assert TIME.fullmatch(one["created_at"]) and TIME.fullmatch(one["updated_at"])
            assert one["created_at"] <= one["updated_at"] < "2026-01-01"
        times = [one["created_at"] for one in listed]
        assert times == sorted(times, reverse=True) and len(set(times)) == len(times)


def test_there_are_conversations_in_both_languages_and_pictures_from_the_start(plain: Plain) -> None:
    for user in ("demo", "abc-123"):
        names = " ".join(one["name"] for one in plain.listed(user))
        assert re.search("[\u4e00-\u9fff]", names) and re.search("[A-Za-z]{4}", names)
        for one in plain.listed(user):
            for message in plain.history(one["id"], user):
                assert list(message) == ["query", "answer", "message_files", "created_at"]
                assert message["query"] and message["answer"]
    files = [file for message in plain.history(TO_READ) for file in message["message_files"]]
    assert [file["belongs_to"] for file in files] == ["user", "assistant"]
    assert all(plain.http.get(file["url"]).content.startswith(b"\x89PNG") for file in files)


def test_what_the_examples_delete_is_never_in_the_list_of_the_examples(plain: Plain) -> None:
    text = json.dumps(plain.listed("demo"))
    assert not any(id in text for id in (TO_READ, TO_CONTINUE, TO_DELETE, ANSWERED))


def test_at_most_twenty_are_listed_and_all_can_be_read(plain: Plain) -> None:
    ids: list[str] = []
    for number in range(23):
        plain.http.post("/api/chat", json={"message": f"Question {number}", "username": "mira"})
        ids.insert(0, plain.listed("mira")[0]["id"])
    assert [one["id"] for one in plain.listed("mira")] == ids[:20]
    assert plain.history(ids[22], "mira")[0]["query"] == "Question 0"
    assert plain.delete(ids[0], "mira").status_code == 200
    assert [one["id"] for one in plain.listed("mira")] == ids[1:21]


def test_a_user_that_nobody_knows_has_no_conversations(plain: Plain) -> None:
    for user in ("nobody", "%20", "a%2Fb", "%E5%90%8D", "x" * 5000):
        is_json(plain.http.get(f"/api/conversations/list/{user}"), 200, {"conversations": []})


@pytest.mark.parametrize("id", [UNKNOWN, "x", "%20", "a%2Fb", TO_READ.upper()])
def test_conversations_that_are_not_there(plain: Plain, id: str) -> None:
    is_json(plain.read(id), 404, NO_CONVERSATION)
    is_json(plain.delete(id), 404, NO_CONVERSATION)


def test_conversations_of_others_are_not_there(plain: Plain) -> None:
    before = plain.history(TO_READ)
    for user in ("demo", "ABC-123", "abc-123 ", ""):
        params = {"username": user}
        is_json(plain.http.get(f"/api/conversations/{TO_READ}/history", params=params), 404, NO_CONVERSATION)
        is_json(plain.http.delete(f"/api/conversations/{TO_READ}/delete", params=params), 404, NO_CONVERSATION)
    assert plain.history(TO_READ) == before


def test_what_is_deleted_is_gone_with_what_was_said_in_it(plain: Plain) -> None:
    told = plain.ask("Keep this?")
    (id,) = [one["id"] for one in plain.listed() if one["created_at"] >= "2026"]
    is_json(plain.delete(id), 200, {"message": "对话已删除", "conversation_id": id})
    is_json(plain.delete(id), 404, NO_CONVERSATION)
    is_json(plain.read(id), 404, NO_CONVERSATION)
    is_json(plain.suggestions(told.message_id), 404, NO_SUCH_MESSAGE)
    assert id not in [one["id"] for one in plain.listed()]


def test_sessions_do_not_see_each_other(server: ThreadedServer, plain: Plain, session_name: str) -> None:
    plain.ask("Only here")
    plain.http.post("/api/user/register", data={"username": "mira", "password": "sesame"})
    with Plain(server, f"{session_name[:50]}.other") as other:
        assert len(other.listed()) == len(plain.listed()) - 1
        assert other.http.get("/api/user/user_info/mira").status_code == 404
        assert plain.http.get("/api/user/user_info/mira").status_code == 200


# --- files


def test_several_files_get_ids_in_the_order_of_their_parts(plain: Plain) -> None:
    files = [("a.png", PICTURE, "image/png"), ("图.jpg", b"\xff\xd8\xff", "image/jpeg"), ("résumé", b"", "text/html")]
    ids = plain.upload(*files)
    assert len(set(ids)) == 3
    for id, (_, data, kind) in zip(ids, files, strict=True):
        reply = plain.http.get(f"/files/{id}")
        assert reply.content == data
        assert reply.headers["x-content-type-options"] == "nosniff"
        shown = kind.startswith("image/")
        assert reply.headers["content-type"] == (kind if shown else "application/octet-stream")
        assert reply.headers.get("content-disposition") == (
            None if shown else "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9"
        )


@pytest.mark.parametrize("kind", ["image/svg+xml", "text/html", "IMAGE/PNG ; x=y", "image/png\x7f", "nonsense"])
def test_only_pictures_are_shown_in_place(plain: Plain, kind: str) -> None:
    (id,) = plain.upload(("a", b"<svg/>", kind))
    shown = plain.http.get(f"/files/{id}").headers["content-type"]
    assert shown == ("image/png" if kind.startswith("IMAGE") else "application/octet-stream")


def test_a_file_can_be_fetched_without_a_session_header_by_a_prefixed_address(
    server: ThreadedServer, plain: Plain
) -> None:
    base = f"{server.url}/_s/{plain.session}/plainchat"
    params = {"username": "abc-123"}
    file = httpx.get(f"{base}/api/conversations/{TO_READ}/history", params=params).json()["data"][0]["message_files"][0]
    assert file["url"] == f"{base}/files/{file['id']}"
    assert httpx.get(file["url"]).headers["content-type"] == "image/png"


def test_a_file_that_is_not_there(plain: Plain) -> None:
    is_json(plain.http.get(f"/files/{UNKNOWN}"), 404, {"error": "文件不存在"})


UPLOADS: dict[str, tuple[tuple[bytes, ...], list[Any]]] = {
    "no files": ((part("username", b"u"),), [missing("body", "files")]),
    "no user": ((part("files", b"x", "a.png"),), [missing("body", "username")]),
    "other names": (
        (part("file", b"x", "a.png"), part("user", b"u")),
        [missing("body", "files"), missing("body", "username")],
    ),
    "a text for a file": (
        (part("files", b"x", "a.png"), part("files", b"y"), part("username", b"u")),
        [
            {
                "type": "value_error",
                "loc": ["body", "files", 1],
                "msg": "Value error, Expected UploadFile, received: <class 'str'>",
                "input": "y",
                "ctx": {"error": {}},
            }
        ],
    ),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_an_upload_that_lacks_something(plain: Plain, name: str) -> None:
    parts, detail = UPLOADS[name]
    reply = send_parts(plain, "/api/file/upload", *parts)
    is_json(reply, 422, {"detail": detail})
    assert breaches("uploadFiles", reply) == []


def test_an_upload_that_is_no_form(plain: Plain) -> None:
    lacking = {"detail": [missing("body", "files"), missing("body", "username")]}
    is_json(plain.http.post("/api/file/upload", json={"username": "u"}), 422, lacking)
    is_json(plain.http.post("/api/file/upload"), 422, lacking)
    is_json(
        plain.http.post("/api/file/upload", content=b"x", headers={"Content-Type": "multipart/form-data"}),
        400,
        MALFORMED,
    )
    is_json(send_parts(plain, "/api/file/upload", part("username", b"u"), end=b""), 400, MALFORMED)
    is_json(send_parts(plain, "/api/file/upload", b"--limit\r\n\r\nx\r\n"), 400, MALFORMED)


@pytest.mark.parametrize("username", [b"", b"\xff", b"a\x00b", "名".encode()])
def test_any_user_may_upload(plain: Plain, username: bytes) -> None:
    reply = send_parts(plain, "/api/file/upload", part("files", b"x", "a.png"), part("username", username))
    assert reply.status_code == 200
    reply = send_parts(plain, "/api/file/upload", part("username", username, "u.txt"), part("files", b"x", "a.png"))
    assert reply.status_code == 200


def test_the_oldest_leave_when_the_store_is_full(session_name: str) -> None:
    with (
        ThreadedServer(backends=("plainchat",), speed=0, limits=Limits(bytes=1_000_000)) as small,
        Plain(small, session_name) as caller,
    ):
        (first,) = caller.upload(("a.png", b"x" * 400_000, "image/png"))
        caller.ask("Look", file_ids=[first])
        for _ in range(3):
            caller.upload(("b.png", b"y" * 400_000, "image/png"))
        assert caller.http.get(f"/files/{first}").status_code == 404
        world = small.app.sessions.get(session_name).world("plainchat", SERVICE.backend.populate)
        assert world.store.bytes <= 1_000_000
        assert caller.ask("Look again", file_ids=[first]).text.startswith("[ERROR]")


# --- users


def test_who_registers_can_log_in(plain: Plain) -> None:
    for number, arguments in enumerate(({"files": {"x": ("", b"")}}, {})):
        person = {"username": f"米拉 {number}", "password": "öffne dich"}
        assert plain.http.get(f"/api/user/user_info/米拉 {number}").status_code == 404
        is_json(plain.http.post("/api/user/login", json=person), 401, WRONG)
        reply = plain.http.post("/api/user/register", data=person, **arguments)  # type: ignore[arg-type]
        is_json(reply, 200, {"message": "用户注册成功！"})
        is_json(plain.http.post("/api/user/login", json=person), 200, {"message": "登录成功"})
        is_json(plain.http.post("/api/user/login", json={**person, "password": "x"}), 401, WRONG)
        again = plain.http.post("/api/user/register", data={**person, "password": "other"})
        is_json(again, 400, {"detail": "用户已存在"})
        assert breaches("registerUser", again) == []
        is_json(plain.http.post("/api/user/login", json=person), 200, {"message": "登录成功"})


def test_there_is_a_user_from_the_start(plain: Plain) -> None:
    is_json(
        plain.http.post("/api/user/login", json={"username": "demo", "password": "demo-password"}),
        200,
        {"message": "登录成功"},
    )
    taken = plain.http.post("/api/user/register", data={"username": "demo", "password": "x"})
    is_json(taken, 400, {"detail": "用户已存在"})


BOTH = [missing("body", "username"), missing("body", "password")]
FORMS: dict[str, tuple[dict[str, str], int, Any]] = {
    "nothing": ({}, 422, {"detail": BOTH}),
    "no password": ({"username": "a"}, 422, {"detail": BOTH[1:]}),
    "no user": ({"password": "a"}, 422, {"detail": BOTH[:1]}),
    "both empty": ({"username": "", "password": ""}, 422, {"detail": BOTH}),
    "an empty password": ({"username": "a", "password": ""}, 422, {"detail": BOTH[1:]}),
    "a NUL": ({"username": "a\x00b", "password": "a"}, 400, MALFORMED),
    "a NUL in the password": ({"username": "a", "password": "\x00"}, 400, MALFORMED),
}


@pytest.mark.parametrize("multipart", [True, False])
@pytest.mark.parametrize("name", FORMS)
def test_a_registration_that_does_not_fit(plain: Plain, name: str, multipart: bool) -> None:
    form, status, expected = FORMS[name]
    if multipart:
        reply = send_parts(
            plain,
            "/api/user/register",
            *[part(key, value.encode()) for key, value in form.items()],
            b"" if form else part("x", b""),
        )
    else:
        reply = plain.http.post("/api/user/register", data={**form, "x": ""})
    is_json(reply, status, expected)
    assert breaches("registerUser", reply) == []


def test_a_registration_that_is_no_form(plain: Plain) -> None:
    is_json(plain.http.post("/api/user/register", json={"username": "a", "password": "b"}), 422, {"detail": BOTH})
    is_json(plain.http.post("/api/user/register"), 422, {"detail": BOTH})
    parts = (part("username", b"a", "a.txt"), part("password", b"b"))
    assert send_parts(plain, "/api/user/register", *parts).status_code in (400, 422)
    is_json(send_parts(plain, "/api/user/register", *parts, end=b""), 400, MALFORMED)


LOGINS: dict[str, tuple[Any, int, Any]] = {
    "nothing": ({}, 400, NO_CREDENTIALS),
    "no password": ({"username": "demo"}, 400, NO_CREDENTIALS),
    "an empty name": ({"username": "", "password": "x"}, 400, NO_CREDENTIALS),
    "null": ({"username": None, "password": None}, 400, NO_CREDENTIALS),
    "a number": ({"username": "demo", "password": 5}, 400, MALFORMED),
    "a number and nothing": ({"username": 5}, 400, MALFORMED),
    "a NUL": ({"username": "de\x00mo", "password": "x"}, 400, MALFORMED),
    "a list": ([], 400, MALFORMED),
    "no JSON": (b"username=demo", 400, MALFORMED),
    "empty": (b"", 400, MALFORMED),
    "another password": ({"username": "demo", "password": "Demo-password"}, 401, WRONG),
    "another user": ({"username": "nobody", "password": "demo-password"}, 401, WRONG),
    "a caller who never registered": ({"username": "abc-123", "password": "abc-123"}, 401, WRONG),
}


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_that_fails(plain: Plain, name: str) -> None:
    body, status, expected = LOGINS[name]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = plain.http.post("/api/user/login", content=content, headers={"Content-Type": "application/json"})
    is_json(reply, status, expected)
    assert breaches("loginUser", reply) == []


def test_a_login_must_be_json(plain: Plain) -> None:
    form = {"username": "demo", "password": "demo-password"}
    is_json(plain.http.post("/api/user/login", data=form), 400, MALFORMED)


# --- what the document does not tell


def test_health(plain: Plain) -> None:
    reply = plain.http.get("/health")
    is_json(reply, 200, {"status": "healthy", "timestamp": "2026-01-01T00:00:01Z", "service": "chatbot-backend"})
    assert "x-emulator-operation" not in reply.headers
    is_json(plain.http.post("/health"), 405, {"detail": "Method Not Allowed"})


def test_user_info(plain: Plain) -> None:
    known = plain.http.get("/api/user/user_info/demo")
    is_json(known, 200, {"code": 200, "message": "获取用户信息成功", "data": {"username": "demo"}})
    is_json(plain.http.get("/api/user/user_info/nobody"), 404, {"detail": "用户不存在"})


# --- where document and running system disagree

Probe = Callable[[Plain], Any]


def body_kind(path: str) -> Probe:
    def probe(plain: Plain) -> Any:
        return type(plain.http.get(path, params={"username": "abc-123"}).json()).__name__

    return probe


def outcome(method: str, path: str, **arguments: Any) -> Probe:
    def probe(plain: Plain) -> Any:
        reply = plain.http.request(method, path, **arguments)
        return reply.status_code, reply.json()

    return probe


def times(plain: Plain) -> Any:
    (listed,) = [
        one for one in plain.http.get("/api/conversations/list/abc-123").json()["conversations"] if one["id"] == TO_READ
    ]
    messages = plain.http.get(f"/api/conversations/{TO_READ}/history", params=U).json()
    messages = messages["data"] if isinstance(messages, dict) else messages
    return listed["created_at"], listed["updated_at"], messages[0]["created_at"]


def failure(plain: Plain) -> Any:
    return plain.ask("Hello", conversation_id=UNKNOWN).chunks


def content_type(plain: Plain) -> Any:
    return dict(plain.ask("Hello").headers)["content-type"]


def origin(plain: Plain) -> Any:
    return plain.http.get("/health", headers={"Origin": "http://anywhere"}).headers["access-control-allow-origin"]


SIDES: dict[str, tuple[Probe, Any, Any]] = {
    "suggest_body": (body_kind(f"/api/chat/next_suggest/{ANSWERED}"), "dict", "list"),
    "history_body": (body_kind(f"/api/conversations/{TO_READ}/history"), "dict", "list"),
    "times": (
        times,
        ("2025-12-27T00:00:00Z", "2025-12-27T00:01:30Z", "2025-12-27T00:00:00Z"),
        (1766793600, 1766793690, 1766793600),
    ),
    "suggest_failure": (
        outcome("GET", f"/api/chat/next_suggest/{UNKNOWN}", params=U),
        (404, NO_SUCH_MESSAGE),
        (500, INTERNAL),
    ),
    "history_failure": (
        outcome("GET", f"/api/conversations/{UNKNOWN}/history", params=U),
        (404, NO_CONVERSATION),
        (500, INTERNAL),
    ),
    "chat_not_json": (
        outcome("POST", "/api/chat", content=b"x", headers={"Content-Type": "application/json"}),
        (400, MALFORMED),
        (500, INTERNAL),
    ),
    "failure_marker": (failure, [NOT_EXISTS], [NOT_EXISTS]),
    "chat_content_type": (content_type, "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
    "origins": (origin, "http://anywhere", "http://anywhere"),
}


def test_every_difference_has_a_test() -> None:
    assert set(SIDES) == {one.name for one in DIFFERENCES}


@pytest.mark.parametrize("profile", ["documented", "observed"])
@pytest.mark.parametrize("name", [one.name for one in DIFFERENCES])
def test_a_side_of_a_difference(server: ThreadedServer, session_name: str, name: str, profile: str) -> None:
    probe, *sides = SIDES[name]
    with Plain(server, session_name) as caller:
        if profile == "observed":
            caller.observe()
        assert probe(caller) == sides[profile == "observed"]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: str(one.name))
def test_a_difference_says_where_it_is_from(difference: Any) -> None:
    assert difference.source.startswith("FACTS.md 001 ")
    documented, observed = SIDES[difference.name][1:]
    assert (documented == observed) == difference.observed.startswith("the same")


def test_deleting_what_is_not_there_is_404_in_both_profiles(plain: Plain) -> None:
    plain.observe()
    is_json(plain.delete(UNKNOWN), 404, NO_CONVERSATION)
