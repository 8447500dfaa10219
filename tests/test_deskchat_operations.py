"""What each operation of deskchat does with conversations, messages and groups, and what is there from the start.
Source: FACTS.md 003; over a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from deskchat_caller import FIRST, MESSAGES, UNKNOWN, Desk, conversation

from emulator.backends.deskchat import BACKEND
from emulator.backends.deskchat.lookup import default_group
from emulator.backends.deskchat.records import data_of
from emulator.service import Service, spec_files
from emulator.settings import Settings
from emulator.testing.server import ThreadedServer

SERVICE = Service("deskchat", spec_files(Settings())["deskchat"], Settings())
OPERATIONS = SERVICE.document.operations
LARGE = 10**399

Case = tuple[str, str, Any]
GOOD: dict[str, Case] = {
    "listConversations": ("GET", "/conversations/list", None),
    "getConversation": ("GET", f"/conversations/{FIRST}", None),
    "createConversation": ("POST", "/conversations", {"title": "项目讨论", "model_id": "gpt-3.5-turbo", "group_id": 1}),
    "updateConversation": ("PUT", f"/conversations/{conversation(2)}", {"title": "项目复盘", "group_id": 2}),
    "deleteConversation": ("DELETE", f"/conversations/{conversation(3)}", None),
    "deleteConversations": ("DELETE", "/conversations/batch", {"ids": [conversation(8), conversation(9)]}),
    "clearConversationMessages": ("DELETE", f"/conversations/{conversation(4)}/messages", None),
    "moveConversation": ("PUT", f"/conversations/{conversation(5)}/move", {"group_id": 2}),
    "moveConversations": ("PUT", "/conversations/batch/move", {"chat_ids": [conversation(6)], "target_group_id": 2}),
    "listMessages": ("GET", f"/conversations/{FIRST}/messages", None),
    "sendMessage": ("POST", "/messages", {"chat_id": FIRST, "content": "你好"}),
    "editMessage": ("PUT", f"/messages/{MESSAGES[1]}", {"content": "请只分析风险"}),
    "deleteMessage": ("DELETE", f"/messages/{MESSAGES[2]}", None),
    "regenerateMessage": ("POST", "/messages/regenerate", {"chat_id": FIRST, "message_id": MESSAGES[3]}),
    "streamMessage": ("POST", "/messages/stream", {"chat_id": FIRST, "content": "你好"}),
    "cancelStream": ("POST", f"/messages/stream/cancel?task_id={UNKNOWN}", None),
    "listGroups": ("GET", "/groups", None),
    "createGroup": ("POST", "/groups", {"name": "工作对话", "description": "d", "color": "#2196F3", "sort": 1}),
    "updateGroup": ("PUT", "/groups/2", {"color": "#4CAF50"}),
    "deleteGroup": ("DELETE", "/groups/3", None),
    "searchChats": ("GET", "/search?keyword=项目&type=all&pageNum=1&pageSize=10", None),
    "getSettings": ("GET", "/settings", None),
    "updateSettings": ("PUT", "/settings", {"theme": "dark"}),
    "exportConversation": ("POST", "/export", {"chat_id": FIRST}),
    "exportConversations": ("POST", "/export/batch", {"chat_ids": [FIRST], "format": "txt"}),
    "importConversations": ("POST", "/import", {"title": "t"}),
    "generateTitle": ("POST", "/utils/generate-title", {"content": "a title"}),
    "getStatistics": ("GET", "/statistics", None),
}
"""A well-formed call of every operation, by the ids of the spec's examples."""


@pytest.fixture
def desk(server: ThreadedServer, session_name: str) -> Iterator[Desk]:
    with Desk(server, session_name) as caller:
        yield caller


def send(desk: Desk, case: Case) -> httpx.Response:
    method, path, body = case
    if path == "/import":
        return desk.http.post(path, files={"file": ("import.json", json.dumps(body))})
    return desk.http.request(method, path, json=body)


# --- all operations


def test_every_operation_is_here_and_has_a_behaviour() -> None:
    assert set(GOOD) == set(OPERATIONS) == set(BACKEND.behaviours)
    assert len(OPERATIONS) == 28


@pytest.mark.parametrize("name", GOOD)
def test_a_well_formed_call_is_answered_with_200(desk: Desk, name: str) -> None:
    reply = send(desk, GOOD[name])
    assert reply.status_code == 200, reply.text
    assert reply.headers["X-Emulator-Operation"] == name
    assert reply.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("name", [name for name in GOOD if not re.match("stream|export", name)])
def test_a_success_is_an_envelope_of_three_members(desk: Desk, name: str) -> None:
    reply = send(desk, GOOD[name])
    assert reply.headers["Content-Type"] == "application/json"
    assert list(reply.json()) == ["code", "message", "data"]
    assert reply.content == json.dumps(reply.json(), ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize("name", GOOD)
def test_the_same_calls_get_the_same_bytes_in_every_session(
    server: ThreadedServer, session_name: str, name: str
) -> None:
    with Desk(server, session_name) as one, Desk(server, f"{session_name}-2") as other:
        assert send(one, GOOD[name]).content == send(other, GOOD[name]).content


@pytest.mark.parametrize("name", GOOD)
def test_every_path_has_its_other_methods_refused_with_allow(desk: Desk, name: str) -> None:
    path = GOOD[name][1].partition("?")[0]
    known = {one.method for one in OPERATIONS.values() if one.path == OPERATIONS[name].path}
    reply = desk.http.request("PATCH", path)
    assert (reply.status_code, reply.json()) == (405, {"detail": "Method Not Allowed"})
    assert known <= set(reply.headers["Allow"].split(", ")) <= known | {"HEAD", "OPTIONS"}


# --- conversations


def test_a_new_conversation_has_defaults(desk: Desk) -> None:
    created = desk.data("POST", "/conversations", {})
    assert created["title"] == "新对话"
    assert created["group_id"] == 1
    whole = desk.data("GET", f"/conversations/{created['uuid']}")
    assert whole == {
        **created,
        "description": None,
        "message_count": 0,
        "status": "active",
        "updated_at": created["created_at"],
        "config": {},
    }
    assert desk.listed()[0] == created["uuid"]


def test_null_equals_absent(desk: Desk) -> None:
    nothing = dict.fromkeys(("title", "description", "group_id", "config", "api_key_id", "prompt_id", "model_id"))
    uuid = desk.start(**nothing)
    assert desk.data("GET", f"/conversations/{uuid}")["title"] == "新对话"
    desk.data("PUT", f"/conversations/{uuid}", {"title": "t", "description": "d", "config": {"a": 1}, "group_id": 2})
    before = desk.data("GET", f"/conversations/{uuid}")
    desk.data("PUT", f"/conversations/{uuid}", dict.fromkeys(("title", "description", "group_id", "config")))
    assert desk.data("GET", f"/conversations/{uuid}") == before


def test_a_configuration_is_replaced_whole(desk: Desk) -> None:
    uuid = desk.start(config={"a": 1, "b": LARGE, "c": 1e308})
    assert desk.data("GET", f"/conversations/{uuid}")["config"] == {"a": 1, "b": LARGE, "c": 1e308}
    desk.data("PUT", f"/conversations/{uuid}", {"config": {"d": {"e": []}}})
    assert desk.data("GET", f"/conversations/{uuid}")["config"] == {"d": {"e": []}}


def test_camel_case_is_taken_where_snake_case_is_absent(desk: Desk) -> None:
    uuid = desk.start(groupId=2, apiKeyId=1, promptId=1)
    assert desk.data("GET", f"/conversations/{uuid}")["group_id"] == 2
    assert desk.data("POST", "/messages", {"chatId": uuid, "content": "x", "messageType": "file"})["content"] == "x"
    assert [one["message_type"] for one in desk.history(uuid, messageType="file")] == ["file"]
    assert desk.history(uuid, messageType="text") == []
    desk.data("PUT", "/conversations/batch/move", {"chatIds": [uuid], "targetGroupId": 3})
    assert desk.data("GET", f"/conversations/{uuid}")["group_id"] == 3
    desk.data("PUT", f"/conversations/{uuid}/move", {"groupId": 2, "group_id": 1})
    assert desk.data("GET", f"/conversations/{uuid}")["group_id"] == 1
    assert "conversations" not in desk.data("GET", "/groups", includeChats="false")[0]
    assert desk.data("POST", "/utils/generate-title", {"content": "abcdef", "maxLength": 3})["title"] == "abc..."
    assert desk.data("GET", "/statistics", timeRange="year")["time_range"] == "year"
    assert desk.data("PUT", "/settings", {"autoSave": False, "defaultConfig": {"a": 1}})["auto_save"] is False


def test_a_whole_number_may_be_written_with_a_point(desk: Desk) -> None:
    reply = desk.http.post(
        "/conversations",
        content=b'{"group_id": 2.0, "api_key_id": 1.0}',
        headers={"Content-Type": "application/json"},
    )
    assert b'"group_id":2,' in reply.content
    reply = desk.http.post(
        "/groups", content=b'{"name": "n", "sort": -3.0}', headers={"Content-Type": "application/json"}
    )
    group = next(one for one in desk.data("GET", "/groups") if one["id"] == reply.json()["data"]["id"])
    assert isinstance(group["sort"], int)
    assert group["sort"] == -3


def test_what_was_deleted_is_gone_everywhere_but_in_the_store(desk: Desk) -> None:
    uuid = desk.start(title="to be deleted")
    message = desk.say(uuid, "with a text of its own")
    desk.data("DELETE", f"/conversations/{uuid}")
    assert uuid not in desk.listed(pageSize=100)
    for method, path, body in (
        ("GET", f"/conversations/{uuid}", None),
        ("DELETE", f"/conversations/{uuid}", None),
        ("GET", f"/conversations/{uuid}/messages", None),
        ("POST", "/messages", {"chat_id": uuid, "content": "x"}),
        ("POST", "/messages/stream", {"chat_id": uuid, "content": "x"}),
        ("POST", "/export", {"chat_id": uuid}),
    ):
        assert desk.call(method, path, body).json() == {"detail": "对话不存在"}
    assert desk.call("PUT", f"/messages/{message}", {"content": "x"}).json() == {"detail": "消息不存在"}
    found = desk.data("GET", "/search", keyword="with a text of its own")
    assert found == {"conversations": [], "messages": []}
    assert all(uuid != one["uuid"] for group in desk.data("GET", "/groups") for one in group["conversations"])
    world = desk.server.app.sessions.get(desk.session).world("deskchat", BACKEND.populate)
    kept = data_of(world).conversations.get(uuid)
    assert kept is not None and kept.status == "deleted"


def test_operations_on_many_count_the_ids_that_were_sent(desk: Desk) -> None:
    ids = [conversation(8), "nothing", conversation(8), ""]
    moved = desk.call("PUT", "/conversations/batch/move", {"chat_ids": ids, "target_group_id": 2}).json()
    assert moved == {"code": 200, "message": "成功移动 4 个对话", "data": None}
    assert desk.data("GET", f"/conversations/{conversation(8)}")["group_id"] == 2
    deleted = desk.call("DELETE", "/conversations/batch", {"ids": ids}).json()
    assert deleted == {"code": 200, "message": "成功删除 4 个对话", "data": None}
    assert desk.call("GET", f"/conversations/{conversation(8)}").status_code == 404
    assert desk.call("DELETE", "/conversations/batch", {"ids": []}).json()["message"] == "成功删除 0 个对话"


def test_emptying_leaves_the_conversation(desk: Desk) -> None:
    assert desk.data("GET", f"/conversations/{FIRST}")["message_count"] == 4
    for _ in range(2):
        assert desk.call("DELETE", f"/conversations/{FIRST}/messages").json()["message"] == "对话消息清空成功"
        assert desk.history(FIRST) == []
        assert desk.data("GET", f"/conversations/{FIRST}")["message_count"] == 0


def test_uuids_may_be_written_in_capitals(desk: Desk) -> None:
    assert desk.data("GET", f"/conversations/{FIRST.upper()}")["uuid"] == FIRST


# --- messages


def test_a_message_is_stored_and_not_answered(desk: Desk) -> None:
    uuid = desk.start()
    metadata = {"url": "https://example.com/a.png", "size": LARGE}
    sent = desk.call(
        "POST",
        "/messages",
        {"chat_id": uuid, "content": "看看\x00这张图", "message_type": "image", "message_metadata": metadata},
    ).json()
    assert sent["message"] == "消息发送成功"
    (message,) = desk.history(uuid)
    assert message == {
        "id": message["id"],
        "uuid": sent["data"]["message_id"],
        "role": "user",
        "content": "看看\x00这张图",
        "message_type": "image",
        "message_metadata": metadata,
        "token_count": message["token_count"],
        "character_count": 6,
        "created_at": sent["data"]["created_at"],
        "updated_at": sent["data"]["created_at"],
    }
    assert desk.data("GET", f"/conversations/{uuid}")["message_count"] == 1
    assert desk.listed()[0] == uuid


def test_a_message_that_announces_a_stream_is_stored_too(desk: Desk) -> None:
    uuid = desk.start()
    sent = desk.call("POST", "/messages", {"chat_id": uuid, "content": "x", "stream": True}).json()
    (message,) = desk.history(uuid)
    assert sent == {"code": 200, "message": "请使用WebSocket进行流式对话", "data": {"message_id": message["uuid"]}}


def test_the_counts_follow_an_edit(desk: Desk) -> None:
    desk.data("PUT", f"/messages/{MESSAGES[1]}", {"content": "四个汉字"})
    first = desk.history(FIRST)[0]
    assert (first["content"], first["character_count"], first["token_count"]) == ("四个汉字", 4, 4)
    assert first["updated_at"] > first["created_at"]


def test_a_deleted_message_does_not_count(desk: Desk) -> None:
    desk.data("DELETE", f"/messages/{MESSAGES[3]}")
    assert [one["uuid"] for one in desk.history(FIRST)][:1] == [MESSAGES[1]]
    assert desk.data("GET", f"/conversations/{FIRST}")["message_count"] == 3
    assert desk.call("DELETE", f"/messages/{MESSAGES[3]}").json() == {"detail": "消息不存在"}
    assert desk.call("POST", "/messages/regenerate", {"chat_id": FIRST, "message_id": MESSAGES[3]}).status_code == 404


# --- groups


def test_groups_come_by_sort_then_age(desk: Desk) -> None:
    first = desk.data("POST", "/groups", {"name": "a", "sort": -1})["id"]
    second = desk.data("POST", "/groups", {"name": "b", "sort": -1})["id"]
    third = desk.data("POST", "/groups", {"name": "b", "sort": None})["id"]
    groups = desk.data("GET", "/groups")
    assert [one["id"] for one in groups] == [first, second, 1, third, 2, 3]
    assert [one["is_default"] for one in groups] == [0, 0, 1, 0, 0, 0]
    assert {uuid for one in groups for uuid in (talk["uuid"] for talk in one["conversations"])} == set(desk.listed())


def test_a_deleted_groups_conversations_go_to_the_default_group(desk: Desk) -> None:
    inside = desk.listed(group_id=3)
    assert len(inside) >= 3
    desk.data("DELETE", "/groups/3")
    assert {one["group_id"] for one in desk.data("GET", "/conversations/list", pageSize=100)["list"]} == {1, 2}
    assert set(inside) <= set(desk.listed(group_id=1))
    assert [one["id"] for one in desk.data("GET", "/groups")] == [1, 2]
    assert desk.call("DELETE", "/groups/3").json() == {"detail": "分组不存在"}
    assert desk.call("POST", "/conversations", {"group_id": 3}).json() == {"detail": "分组不存在"}
    assert desk.data("POST", "/groups", {"name": "next"})["id"] == 4


def test_a_group_can_be_deleted_with_its_conversations(desk: Desk) -> None:
    inside = desk.listed(group_id=3)
    desk.data("DELETE", "/groups/3", delete_chats="true")
    assert not set(inside) & set(desk.listed(pageSize=100))
    assert desk.call("GET", f"/conversations/{inside[0]}").status_code == 404


def test_the_default_group_can_be_changed_and_is_made_when_it_is_missing(desk: Desk) -> None:
    desk.data("PUT", "/groups/1", {"name": "mine", "sort": 9, "color": None})
    assert desk.data("GET", "/groups")[-1]["name"] == "mine"
    world = desk.server.app.sessions.get(desk.session).world("deskchat", BACKEND.populate)
    data_of(world).groups.drop(1)
    assert desk.data("POST", "/conversations", {})["group_id"] == 1
    assert default_group(world).name == "默认分组"
    assert [one["is_default"] for one in desk.data("GET", "/groups") if one["id"] == 1] == [1]


# --- isolation, profiles, what is there from the start


def test_sessions_do_not_see_each_other(server: ThreadedServer, session_name: str) -> None:
    with Desk(server, session_name) as one, Desk(server, f"{session_name}-b") as other:
        mine = one.start(title="mine alone")
        one.data("PUT", "/settings", {"theme": "dark"})
        one.data("DELETE", f"/conversations/{FIRST}")
        assert other.call("GET", f"/conversations/{mine}").status_code == 404
        assert other.data("GET", "/settings")["theme"] == "light"
        assert FIRST in other.listed()


def test_in_profile_observed_deleted_things_can_be_reached_by_uuid(desk: Desk) -> None:
    uuid = desk.start(title="gone by title")
    message = desk.say(uuid, "first")
    desk.observe()
    desk.data("DELETE", f"/messages/{message}")
    assert desk.history(uuid) == []
    assert desk.data("PUT", f"/messages/{message}", {"content": "second"})["content"] == "second"
    desk.data("DELETE", f"/conversations/{uuid}")
    assert desk.data("GET", f"/conversations/{uuid}")["status"] == "deleted"
    assert uuid not in desk.listed(pageSize=100)
    assert desk.data("GET", "/search", keyword="gone by title")["conversations"] == []
    assert desk.data("DELETE", f"/conversations/{uuid}") is None


def test_in_profile_observed_regenerating_changes_nothing(desk: Desk) -> None:
    desk.observe()
    before = desk.texts(FIRST)
    replies = [desk.data("POST", "/messages/regenerate", GOOD["regenerateMessage"][2]) for _ in range(2)]
    assert {one["new_content"] for one in replies} == {"这是重新生成的回复内容"}
    assert desk.texts(FIRST) == before


def test_every_difference_is_told_once_and_well_sourced() -> None:
    names = [one.name for one in BACKEND.differences]
    assert len(set(names)) == len(names)
    assert all("FACTS.md 003" in one.source and one.documented and one.observed for one in BACKEND.differences)


def test_there_is_something_to_see_from_the_start(desk: Desk) -> None:
    listed = desk.data("GET", "/conversations/list")["list"]
    assert [one["id"] for one in sorted(listed, key=lambda one: one["uuid"])] == list(range(1, 10))
    assert listed[0]["uuid"] == FIRST
    assert all("2025-12-01" < one["created_at"] <= one["updated_at"] < "2026-01-01" for one in listed)
    assert {bool(re.search("[\u4e00-\u9fff]", one["title"])) for one in listed} == {True, False}
    assert all(len(group["conversations"]) >= 3 for group in desk.data("GET", "/groups"))
    assert all(desk.history(one["uuid"]) for one in listed)
    assert [one["message_type"] for one in desk.history(conversation(5), message_type="image")] == ["image"]
    assert desk.history(conversation(2))[0]["role"] == "system"


@pytest.mark.parametrize("text", ["", "\x00", "\U0001f9ea" * 3, "#\\\n\r\u2028", "x" * 1_000_000, "/scenario"])
def test_any_text_can_be_stored_and_listed(desk: Desk, text: str) -> None:
    uuid = desk.start(title=text, description=text, config={text: text})
    desk.say(uuid, text, message_metadata={text: text})
    assert desk.history(uuid)[0]["content"] == text
    assert desk.data("GET", f"/conversations/{uuid}")["config"] == {text: text}
    for format in ("json", "markdown", "txt"):
        assert desk.call("POST", "/export", {"chat_id": uuid, "format": format}).status_code == 200
    assert desk.data("GET", "/statistics", group_id=1)["total_messages"] == 1
