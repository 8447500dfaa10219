"""Conversations: list, read, create, change, move, delete, one or many. Source: FACTS.md 003, Conversations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from emulator.backends import Ask
from emulator.backends.deskchat import times
from emulator.backends.deskchat.lookup import (
    active_conversations,
    active_messages,
    default_group,
    find_conversation,
    find_group,
    known_conversation,
    touch,
)
from emulator.backends.deskchat.records import Conversation, Json, data_of
from emulator.backends.deskchat.search import contains
from emulator.backends.deskchat.shapes import listed_conversation
from emulator.backends.deskchat.wire import success
from emulator.call import Reply
from emulator.errors import Refused
from emulator.wire.numbers import next_number
from emulator.world.paging import by_number
from emulator.world.session import World

DEFAULT_TITLE = "新对话"
API_KEYS = frozenset({1})
PROMPTS = frozenset({1})
"""Numbers of the API keys and prompts that exist. There are no calls to manage them."""


def list_conversations(ask: Ask) -> Reply:
    """`listConversations`: active ones, the one updated last first."""
    query = ask.query
    within = times.asked(query)
    keyword = (query.get("keyword") or "").casefold()
    found = [
        one
        for one in active_conversations(ask.world, query.get("group_id"))
        if within.holds(one.created_at) and contains(keyword, one.title, one.description)
    ]
    found.sort(key=lambda one: (one.updated_at, one.number), reverse=True)
    page, size = query["pageNum"], query["pageSize"]
    shown = [listed_conversation(ask, one) for one in by_number(found, page, size)]
    return success("获取对话列表成功", {"list": shown, "total": len(found), "pageNum": page, "pageSize": size})


def get_conversation(ask: Ask) -> Reply:
    """`getConversation`: as lists show it, and its configuration."""
    found = find_conversation(ask, ask.path["chat_id"])
    return success("获取对话详情成功", {**listed_conversation(ask, found), "config": found.config})


def create_conversation(ask: Ask) -> Reply:
    """`createConversation`. Null equals absent."""
    body = ask.body
    group = body.get("group_id")
    # JSON schema takes 1.0 for an integer, and so do these lookups.
    group_id = default_group(ask.world).id if group is None else find_group(ask.world, group).id
    created = start_conversation(
        ask.world,
        title=DEFAULT_TITLE if body.get("title") is None else body["title"],
        description=body.get("description"),
        group_id=group_id,
        config=body.get("config") or {},
        api_key_id=_existing(body.get("api_key_id"), API_KEYS, "api_key_not_found"),
        prompt_id=_existing(body.get("prompt_id"), PROMPTS, "prompt_not_found"),
    )
    return success(
        "对话创建成功",
        {
            "id": created.number,
            "uuid": created.id,
            "title": created.title,
            "group_id": created.group_id,
            "created_at": times.shown(created.created_at),
        },
    )


def _existing(number: float | None, there_are: frozenset[int], code: str) -> int | None:
    if number is None:
        return None
    if number not in there_are:
        raise Refused(code)
    return int(number)


def start_conversation(
    world: World,
    title: str,
    description: str | None,
    group_id: int,
    config: Json,
    created_at: float | None = None,
    updated_at: float | None = None,
    uuid: str | None = None,
    api_key_id: int | None = None,
    prompt_id: int | None = None,
) -> Conversation:
    """A new conversation in the store, by default one of now."""
    now = world.clock.now()
    created = Conversation(
        id=uuid or world.seed.uuid("conversation"),
        number=next_number(world, "conversation"),
        title=title,
        description=description,
        group_id=group_id,
        config=config,
        created_at=now if created_at is None else created_at,
        updated_at=now if updated_at is None else updated_at,
        api_key_id=api_key_id,
        prompt_id=prompt_id,
    )
    return data_of(world).conversations.put(created)


def update_conversation(ask: Ask) -> Reply:
    """`updateConversation`: what is there and not null is applied; `model_id` is not kept."""
    found = find_conversation(ask, ask.path["chat_id"])
    changes: dict[str, Any] = given(ask.body, ("title", "description", "group_id", "config"))
    if "group_id" in changes:
        changes["group_id"] = find_group(ask.world, changes["group_id"]).id
    if changes:
        changes["updated_at"] = ask.world.clock.now()
        found = data_of(ask.world).conversations.put(replace(found, **changes))
    return success(
        "对话更新成功",
        {"id": found.number, "uuid": found.id, "title": found.title, "updated_at": times.shown(found.updated_at)},
    )


def given(body: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The members with these names that are there and not null."""
    return {name: body[name] for name in names if body.get(name) is not None}


def delete_conversation(ask: Ask) -> Reply:
    """`deleteConversation`: its record stays, as deleted."""
    mark_deleted(ask.world, find_conversation(ask, ask.path["chat_id"]))
    return success("对话删除成功")


def mark_deleted(world: World, conversation: Conversation) -> None:
    """Delete a conversation softly."""
    data_of(world).conversations.put(replace(conversation, status="deleted", updated_at=world.clock.now()))


def delete_conversations(ask: Ask) -> Reply:
    """`deleteConversations`: ids that name nothing are passed over, but counted."""
    ids = ask.body["ids"]
    for found in _known(ask, ids):
        mark_deleted(ask.world, found)
    return success(f"成功删除 {len(ids)} 个对话")


def _known(ask: Ask, ids: Iterable[str]) -> list[Conversation]:
    """The conversations that ids name, each once: a million times the same id is no more work than one."""
    found = (known_conversation(ask, uuid) for uuid in dict.fromkeys(one.lower() for one in ids))
    return [one for one in found if one is not None]


def clear_messages(ask: Ask) -> Reply:
    """`clearConversationMessages`: all messages become deleted, the conversation stays."""
    found = find_conversation(ask, ask.path["chat_id"])
    messages = data_of(ask.world).messages
    now = ask.world.clock.now()
    for one in active_messages(ask.world, found.id):
        messages.put(replace(one, status="deleted", updated_at=now))
    touch(ask.world, found.id)
    return success("对话消息清空成功")


def move_conversation(ask: Ask) -> Reply:
    """`moveConversation`: first the conversation has to be there, then the group."""
    found = find_conversation(ask, ask.path["chat_id"])
    move(ask.world, found, find_group(ask.world, ask.body["group_id"]).id)
    return success("对话移动成功")


def move(world: World, conversation: Conversation, group_id: int) -> None:
    """Put a conversation into a group."""
    data_of(world).conversations.put(replace(conversation, group_id=group_id, updated_at=world.clock.now()))


def move_conversations(ask: Ask) -> Reply:
    """`moveConversations`: ids that name nothing are passed over, but counted; the group has to be there."""
    group_id = find_group(ask.world, ask.body["target_group_id"]).id
    ids = ask.body["chat_ids"]
    for found in _known(ask, ids):
        move(ask.world, found, group_id)
    return success(f"成功移动 {len(ids)} 个对话")
