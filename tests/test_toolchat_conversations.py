"""Conversations of toolchat: what each operation does, and every documented example, tried as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from toolchat_caller import FIRST, MESSAGE_TO_DELETE, OPERATIONS, TO_DELETE, TO_UPDATE, UNKNOWN, Chat

from emulator.testing.server import ThreadedServer

DEFAULTS = {
    "title": "新会话",
    "model": "glm-5",
    "project_id": None,
    "system_prompt": None,
    "temperature": 1.0,
    "max_tokens": 65536,
    "thinking_enabled": False,
}
EVERYTHING = {
    "title": "Trip",
    "model": "glm-4",
    "project_id": "p",
    "system_prompt": "Be short.",
    "temperature": 0.5,
    "max_tokens": 100,
    "thinking_enabled": True,
}


@pytest.fixture
def demo(server: ThreadedServer, session_name: str) -> Iterator[Chat]:
    with Chat(server, session_name) as caller:
        yield caller


# --- every operation with its documented examples


def examples() -> Iterator[tuple[str, str, str, Any, dict[str, Any]]]:
    """Operation, method, path, body and query of each documented example."""
    for operation in OPERATIONS.values():
        path, query = operation.path, {}
        names: list[str | None] = [None]
        for parameter in operation.parameters:
            if parameter["in"] == "query" and "example" in parameter:
                query[parameter["name"]] = parameter["example"]
            elif "example" in parameter:
                path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
            else:
                names = list(parameter["examples"])
        bodies = {}
        if operation.request_body is not None:
            bodies = operation.request_body["content"]["application/json"]["examples"]
        for name in names:
            own = path if name is None else path.replace("{name}", name)
            for body in [bodies[name]] if name in bodies else list(bodies.values()) or [{"value": None}]:
                yield operation.id, operation.method, own, body["value"], query


EXAMPLES = list(examples())


def test_there_are_sixteen_operations_and_all_are_tried() -> None:
    assert len(OPERATIONS) == 16
    assert {example[0] for example in EXAMPLES} == set(OPERATIONS)


@pytest.mark.parametrize(("operation", "method", "path", "body", "query"), EXAMPLES)
def test_an_example_succeeds(
    demo: Chat, operation: str, method: str, path: str, body: Any, query: dict[str, Any]
) -> None:
    reply = demo.call(method, path.removeprefix("/api"), body, **query)
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-emulator-operation"] == operation


# --- list


def test_the_list_a_newcomer_opens(demo: Chat) -> None:
    page = demo.ok("GET", "/conversations/")
    assert (page["total"], page["page"], page["page_size"]) == (7, 1, 20)
    assert {one["user_id"] for one in page["items"]} == {1}
    activity = [one["updated_at"] for one in page["items"]]
    assert activity == sorted(activity, reverse=True)
    assert all(re.fullmatch(r"2025-12-[0-3]\dT\d\d:\d\d:\d\dZ", one) for one in activity)
    assert {FIRST, TO_UPDATE, TO_DELETE} <= {one["id"] for one in page["items"]}
    titles = "".join(one["title"] for one in page["items"])
    assert re.search("[a-z]", titles) and re.search("[一-龥]", titles)
    histories = [demo.history(one["id"]) for one in page["items"]]
    assert all(len(history) >= 2 for history in histories)
    answers = [message for history in histories for message in history if message["role"] == "assistant"]
    assert any(message["tool_calls"] for message in answers)
    assert any(message["thinking"] for message in answers)


def test_pages_cut_the_list(demo: Chat) -> None:
    everything = demo.listed()
    pages = [demo.listed(page=page, page_size=3) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert [id for page in pages for id in page] == everything
    assert demo.listed(page=10**30) == []


def test_a_project_keeps_its_own(demo: Chat) -> None:
    page = demo.ok("GET", "/conversations/", project_id="project-emulator", page_size=2)
    assert (page["total"], len(page["items"])) == (3, 2)
    assert {one["project_id"] for one in page["items"]} == {"project-emulator"}
    assert demo.ok("GET", "/conversations/", project_id="none")["total"] == 0
    assert demo.ok("GET", "/conversations/", project_id="")["total"] == 0


def test_the_newest_activity_is_first(demo: Chat) -> None:
    made = demo.start()
    assert demo.listed()[0] == made
    demo.send("hello", TO_DELETE)
    assert demo.listed()[:2] == [TO_DELETE, made]
    demo.ok("PUT", f"/conversations/{TO_UPDATE}", {"title": "上海"})
    assert demo.listed()[:3] == [TO_UPDATE, TO_DELETE, made]
    demo.stream("hello", FIRST)
    assert demo.listed()[0] == FIRST


# --- create, read, change, delete


@pytest.mark.parametrize("members", [{}, EVERYTHING, {"project_id": None, "system_prompt": None}])
def test_what_is_left_out_has_its_default(demo: Chat, members: dict[str, Any]) -> None:
    reply = demo.call("POST", "/conversations/", members).json()
    assert (reply["success"], reply["message"]) == (True, "会话创建成功")
    conversation = reply["data"]
    assert re.fullmatch("conv_[0-9a-f]{12}", conversation["id"])
    assert {name: conversation[name] for name in DEFAULTS} == {**DEFAULTS, **members}
    assert conversation["created_at"] == conversation["updated_at"] == "2026-01-01T00:00:01Z"
    assert demo.ok("GET", f"/conversations/{conversation['id']}") == conversation
    assert demo.history(conversation["id"]) == []


def test_numbers_are_what_they_are_to_be(demo: Chat) -> None:
    reply = demo.http.post(
        "/conversations/",
        content=b'{"temperature":1,"max_tokens":1e2,"unknown":{}}',
        headers={"Content-Type": "application/json"},
    )
    assert b'"temperature":1.0,"max_tokens":100,' in reply.content
    assert "unknown" not in reply.json()["data"]


@pytest.mark.parametrize(
    "change", [{"title": "上海的天气"}, {"thinking_enabled": True, "temperature": 0}, EVERYTHING, {}]
)
def test_what_is_there_changes(demo: Chat, change: dict[str, Any]) -> None:
    before = demo.ok("GET", f"/conversations/{TO_UPDATE}")
    reply = demo.call("PUT", f"/conversations/{TO_UPDATE}", change).json()
    assert reply["message"] == "会话更新成功"
    assert reply["data"] == {**before, **change, "updated_at": "2026-01-01T00:00:02Z"}
    assert demo.ok("GET", f"/conversations/{TO_UPDATE}") == reply["data"]


def test_null_takes_away(demo: Chat) -> None:
    made = demo.start(**EVERYTHING)
    changed = demo.ok("PUT", f"/conversations/{made}", {"project_id": None, "system_prompt": None})
    assert (changed["project_id"], changed["system_prompt"]) == (None, None)
    assert demo.refused("PUT", f"/conversations/{made}", {"title": None})[0] == 422


def test_a_conversation_goes_with_its_messages(demo: Chat) -> None:
    message = demo.history(FIRST)[0]["id"]
    reply = demo.call("DELETE", f"/conversations/{FIRST}")
    assert reply.json() == {"success": True, "message": "会话删除成功"}
    assert FIRST not in demo.listed()
    for method, path in (
        ("GET", "conversations"),
        ("PUT", "conversations"),
        ("DELETE", "conversations"),
        ("GET", "messages"),
    ):
        assert demo.refused(method, f"/{path}/{FIRST}", {} if method == "PUT" else None) == (404, "会话不存在")
    assert demo.refused("DELETE", f"/messages/{message}") == (404, "消息不存在")
    assert demo.refused("POST", "/messages/", {"conversation_id": FIRST, "content": "x"}) == (404, "会话不存在")


@pytest.mark.parametrize(
    "id", [UNKNOWN, "conv_5A1C9E40B7D2", "1", MESSAGE_TO_DELETE, "会话", f"{FIRST}%0A", "%2F", "..."]
)
def test_what_is_no_conversation_is_not_found(demo: Chat, id: str) -> None:
    assert demo.refused("GET", f"/conversations/{id}") == (404, "会话不存在")
    assert demo.refused("PUT", f"/conversations/{id}", {}) == (404, "会话不存在")
    assert demo.refused("DELETE", f"/conversations/{id}") == (404, "会话不存在")
    assert demo.refused("GET", f"/messages/{id}") == (404, "会话不存在")


def test_lists_answer_with_and_without_their_slash(demo: Chat) -> None:
    for path in ("/conversations", "/tools"):
        assert demo.ok("GET", path) == demo.ok("GET", f"{path}/")
    assert demo.call("POST", "/conversations", {}).status_code == 200
    assert demo.call("POST", "/messages", {"conversation_id": FIRST, "content": "hello"}).status_code == 200
