"""Chats of ruoyi: what is there from the start, creating, listing, renaming, deleting, saving, and whose they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruoyi_caller import APOLOGY, DEEPSEEK, DIFY, Caller

from emulator.testing.server import ThreadedServer
from emulator.world.clock import VIRTUAL_START, iso

CHAT = ["id", "title", "app_id", "user_id", "conversation_id", "created_at", "updated_at"]
MESSAGE = [
    *("id", "chat_id", "role", "content", "status", "tokens"),
    *("error_message", "message_metadata", "user_id", "created_at"),
]
NAIVE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")
SAID = [{"role": "user", "content": "What is a monad?"}, {"role": "assistant", "content": "A way to chain steps."}]


@pytest.fixture
def admin(server: ThreadedServer, session_name: str) -> Iterator[Caller]:
    with Caller(server, session_name) as caller:
        yield caller


@pytest.fixture
def ry(admin: Caller) -> Iterator[Caller]:
    with Caller(admin.server, admin.session, admin.login("ry")) as caller:
        yield caller


# --- there from the start


@pytest.mark.parametrize("user", [1, 2])
def test_each_user_has_believable_chats(admin: Caller, user: int) -> None:
    chats = admin.chats(user)
    assert len(chats) >= 3
    assert all(list(chat) == CHAT and chat["user_id"] == user and chat["app_id"] == 1 for chat in chats)
    assert len({chat["title"] for chat in chats}) == len(chats)
    text = "".join(chat["title"] for chat in chats)
    assert re.search("[a-z]", text) and re.search("[\u4e00-\u9fff]", text)
    for chat in chats:
        assert NAIVE.fullmatch(chat["created_at"]) and NAIVE.fullmatch(chat["updated_at"])
        assert "2025-12-2" <= chat["created_at"] <= chat["updated_at"] < iso(VIRTUAL_START, "")


def test_the_numbers_of_the_examples_are_the_callers(admin: Caller) -> None:
    assert {1, 2, 3, 4} <= {chat["id"] for chat in admin.chats()}
    assert all(len(admin.history(chat)) >= 4 for chat in (1, 2, 3, 4))


def test_messages_are_whole_and_in_order(admin: Caller) -> None:
    for chat in admin.chats():
        messages = admin.history(chat["id"])
        assert all(list(message) == MESSAGE and message["chat_id"] == chat["id"] for message in messages)
        assert [message["id"] for message in messages] == sorted(message["id"] for message in messages)
        times = [message["created_at"] for message in messages]
        assert times == sorted(times)


def test_one_answer_has_failed(admin: Caller) -> None:
    failed = [one for one in admin.history(3) if one["status"] == "failed"]
    assert [(one["content"], one["error_message"], one["tokens"]) for one in failed] == [
        (APOLOGY, "The model did not answer.", 0)
    ]


def test_one_chat_was_saved_from_deepseek(admin: Caller) -> None:
    (saved,) = [chat for chat in admin.chats() if chat["title"].startswith("DeepSeek对话")]
    assert saved["conversation_id"] is None
    messages = admin.history(saved["id"])
    assert saved["title"] == f"DeepSeek对话 {len(messages)} 条消息"
    assert [message["role"] for message in messages][:2] == ["system", "user"]


# --- creating and listing


def test_a_new_chat(admin: Caller) -> None:
    before = admin.chats(limit=100)
    chat = admin.ok("POST", f"{DIFY}/chats", {"app_id": 1, "user_id": 1, "title": "Trips"})
    assert list(chat) == CHAT
    assert (chat["title"], chat["app_id"], chat["user_id"], chat["conversation_id"]) == ("Trips", 1, 1, None)
    assert chat["created_at"] == chat["updated_at"]
    assert admin.chats(limit=100) == [chat, *before]
    assert admin.history(chat["id"]) == []


@pytest.mark.parametrize("body", [{}, {"title": None}])
def test_the_default_title(admin: Caller, body: dict[str, Any]) -> None:
    assert admin.ok("POST", f"{DIFY}/chats", {"app_id": 1, "user_id": 1, **body})["title"] == "新聊天"


@pytest.mark.parametrize("title", ["", "a\x00b", "中文 \U0001f600", "x" * 10_000])
def test_any_title_is_kept(admin: Caller, title: str) -> None:
    assert admin.chats()[0]["title"] != title
    chat = admin.start(title)
    assert next(one for one in admin.chats() if one["id"] == chat)["title"] == title


def test_numbers_count_on_and_never_come_again(admin: Caller) -> None:
    first = admin.start()
    admin.ok("DELETE", f"{DIFY}/chats/{first}")
    assert admin.start() == first + 1


def test_an_integer_may_be_written_with_a_point(admin: Caller) -> None:
    chat = admin.ok("POST", f"{DIFY}/chats", {"app_id": 1.0, "user_id": 1.0})
    assert (repr(chat["app_id"]), repr(chat["user_id"])) == ("1", "1")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": 2}, slice(0, 2)),
        ({"limit": 2, "offset": 1}, slice(1, 3)),
        ({"offset": 4}, slice(4, None)),
        ({"offset": 2**62}, slice(0, 0)),
        ({"limit": 100, "app_id": 1}, slice(None)),
        ({"app_id": 99}, slice(0, 0)),
    ],
)
def test_paging_of_chats(admin: Caller, query: dict[str, int], expected: slice) -> None:
    assert admin.chats(**query) == admin.chats(limit=100)[expected]


def test_twenty_come_by_default(admin: Caller) -> None:
    numbers = [admin.start(f"Trip {number}") for number in range(25)]
    assert [chat["id"] for chat in admin.chats()] == numbers[:-21:-1]
    for _ in range(11):
        admin.send(numbers[0])
    messages = admin.history(numbers[0], limit=100)
    assert len(messages) == 22
    assert admin.history(numbers[0]) == messages[:20]
    assert admin.history(numbers[0], offset=20) == messages[20:]
    assert admin.history(numbers[0], offset=3, limit=2) == messages[3:5]


def test_an_unknown_user_has_none(admin: Caller) -> None:
    assert admin.chats(4711) == []
    assert admin.chats(-1) == []


# --- changing


def test_renaming_moves_a_chat_up(admin: Caller) -> None:
    last = admin.chats(limit=100)[-1]
    renamed = admin.ok("PUT", f"{DIFY}/chats/{last['id']}/title", {"title": "春季计划"})
    assert renamed == {**last, "title": "春季计划", "updated_at": renamed["updated_at"]}
    assert renamed["updated_at"] > last["updated_at"]
    assert admin.chats()[0] == renamed


def test_deleting_takes_the_messages_along(admin: Caller) -> None:
    assert admin.call("DELETE", f"{DIFY}/chats/4").content == b'{"success":true}'
    assert 4 not in [chat["id"] for chat in admin.chats(limit=100)]
    gone = (404, {"code": 404, "msg": "聊天会话不存在"})
    assert admin.refused("GET", f"{DIFY}/chats/4/messages") == gone
    assert admin.refused("POST", f"{DIFY}/chats/4/messages", {"content": "hi"}) == gone
    assert admin.refused("PUT", f"{DIFY}/chats/4/title", {"title": "x"}) == gone
    assert admin.refused("DELETE", f"{DIFY}/chats/4") == gone


# --- saving


def test_a_saved_chat_is_in_the_list(admin: Caller) -> None:
    envelope = admin.ok("POST", f"{DEEPSEEK}/save_chat", {"app_id": 1, "messages": SAID, "title": "Monads"})
    assert list(envelope) == ["code", "msg", "data", "success", "time"]
    assert re.fullmatch(r"2026-01-01T00:00:\d{2}\.\d{6}", envelope["time"])
    assert list(envelope["data"]) == ["success", "chat_id", "message_count"]
    assert (envelope["data"]["success"], envelope["data"]["message_count"]) == (True, 2)
    chat = admin.chats()[0]
    assert (chat["id"], chat["title"], chat["user_id"]) == (envelope["data"]["chat_id"], "Monads", 1)
    messages = admin.history(chat["id"])
    assert [{"role": one["role"], "content": one["content"]} for one in messages] == SAID
    assert {one["status"] for one in messages} == {"completed"}


@pytest.mark.parametrize("title", [{}, {"title": None}])
def test_a_saved_chat_without_a_title_counts_its_messages(admin: Caller, title: dict[str, Any]) -> None:
    body = {"app_id": 1, "messages": SAID, "provider_id": 99, **title}
    number = admin.ok("POST", f"{DEEPSEEK}/save_chat", body)["data"]["chat_id"]
    assert (admin.chats()[0]["id"], admin.chats()[0]["title"]) == (number, "DeepSeek对话 2 条消息")


def test_a_saved_chat_goes_on_with_the_app(admin: Caller) -> None:
    number = admin.ok("POST", f"{DEEPSEEK}/save_chat", {"app_id": 1, "messages": SAID})["data"]["chat_id"]
    admin.send(number)
    assert [one["role"] for one in admin.history(number)] == ["user", "assistant"] * 2


# --- whose they are


def test_a_foreign_chat_is_out_of_reach(admin: Caller, ry: Caller) -> None:
    mine, theirs = 1, ry.chats(2)[0]["id"]
    foreign = (403, {"code": 403, "msg": "无权访问此聊天会话"})
    for caller, chat in ((admin, theirs), (ry, mine)):
        kept = (admin.chats(limit=100), ry.chats(2, limit=100))
        assert caller.refused("GET", f"{DIFY}/chats/{chat}/messages") == foreign
        assert caller.refused("POST", f"{DIFY}/chats/{chat}/messages", {"content": "hi", "user_id": 1}) == foreign
        assert caller.refused("PUT", f"{DIFY}/chats/{chat}/title", {"title": "x"}) == foreign
        assert caller.refused("DELETE", f"{DIFY}/chats/{chat}") == foreign
        assert kept == (admin.chats(limit=100), ry.chats(2, limit=100))


def test_a_chat_belongs_to_the_user_that_was_named(admin: Caller, ry: Caller) -> None:
    number = admin.start(user_id=2)
    assert ry.chats(2)[0]["id"] == number
    assert ry.send(number)["answer"]
    assert admin.call("GET", f"{DIFY}/chats/{number}/messages").status_code == 403


def test_what_is_saved_belongs_to_the_token(admin: Caller, ry: Caller) -> None:
    number = ry.ok("POST", f"{DEEPSEEK}/save_chat", {"app_id": 1, "messages": SAID})["data"]["chat_id"]
    assert ry.chats(2)[0]["id"] == number
    assert number not in [chat["id"] for chat in admin.chats(1, limit=100)]


def test_sessions_do_not_see_each_other(server: ThreadedServer, session_name: str) -> None:
    with Caller(server, f"{session_name[:50]}-1") as one, Caller(server, f"{session_name[:50]}-2") as other:
        before = other.chats()
        number = one.start("Only here")
        assert one.call("GET", f"{DIFY}/chats/{number}/messages").status_code == 200
        assert other.call("GET", f"{DIFY}/chats/{number}/messages").status_code == 404
        assert other.chats() == before


def test_equal_calls_give_equal_bytes(server: ThreadedServer, session_name: str) -> None:
    def told(session: str) -> list[bytes]:
        with Caller(server, session) as caller:
            number = caller.start()
            return [
                caller.call("GET", f"{DIFY}/chats", user_id=1).content,
                caller.send_stream(number).body,
                caller.complete_stream().body,
                caller.call("GET", f"{DIFY}/chats/{number}/messages").content,
            ]

    assert told(f"{session_name[:50]}-1") == told(f"{session_name[:50]}-2")


# --- against a small model

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.text(max_size=8)),
        st.tuples(st.just("rename"), st.integers(0, 5)),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("send"), st.integers(0, 5)),
        st.tuples(st.just("save"), st.integers(0, 3)),
    ),
    max_size=10,
)
RUNS = iter(range(10**6))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_chats_follow_a_model(server: ThreadedServer, steps: list[tuple[str, Any]]) -> None:
    with Caller(server, f"ruoyi-model-{next(RUNS)}") as caller:
        # Number → title and count of messages, the last changed at the end.
        model = {
            chat["id"]: (chat["title"], len(caller.history(chat["id"]))) for chat in reversed(caller.chats(limit=100))
        }
        for verb, value in steps:
            if verb == "create":
                model[caller.start(value)] = (value, 0)
            elif verb == "save":
                body = {"app_id": 1, "messages": SAID[:1] * value, "title": "saved"}
                model[caller.ok("POST", f"{DEEPSEEK}/save_chat", body)["data"]["chat_id"]] = ("saved", value)
            elif model:
                number = sorted(model)[value % len(model)]
                title, count = model.pop(number)
                if verb == "rename":
                    caller.ok("PUT", f"{DIFY}/chats/{number}/title", {"title": title + "!"})
                    model[number] = (title + "!", count)
                elif verb == "send":
                    caller.send(number)
                    model[number] = (title, count + 2)
                else:
                    caller.ok("DELETE", f"{DIFY}/chats/{number}")
        assert [(chat["id"], chat["title"]) for chat in caller.chats(limit=100)] == [
            (number, title) for number, (title, _) in reversed(model.items())
        ]
        assert all(len(caller.history(number, limit=100)) == count for number, (_, count) in model.items())
