"""Conversations: list, create, read, change, delete. Source: FACTS.md 004 (conversations)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from emulator.backends import Ask
from emulator.backends.toolchat.records import Conversation, data_of, new_id, touch
from emulator.backends.toolchat.wire import success
from emulator.call import Reply
from emulator.errors import Refused
from emulator.world.paging import by_number

CHANGEABLE = (
    "project_id",
    "title",
    "model",
    "system_prompt",
    "temperature",
    "max_tokens",
    "thinking_enabled",
)


def find_conversation(ask: Ask, id: str) -> Conversation:
    """The caller's conversation with this id. Raises Refused; somebody else's does not exist."""
    found = data_of(ask.world).conversations.get(id)
    if found is None or found.user_id != ask.caller.user.id:
        raise Refused("conversation_not_found")
    return found


def list_conversations(ask: Ask) -> Reply:
    """`listConversations`: the newest activity first."""
    page, size = ask.query["page"], ask.query["page_size"]
    listed = data_of(ask.world).conversations.where("user", ask.caller.user.id)
    listed.reverse()
    if "project_id" in ask.query:
        listed = [one for one in listed if one.project_id == ask.query["project_id"]]
    items = [one.shown() for one in by_number(listed, page, size)]
    return success({"items": items, "total": len(listed), "page": page, "page_size": size})


def create_conversation(ask: Ask) -> Reply:
    """`createConversation`."""
    conversations, now = data_of(ask.world).conversations, ask.world.clock.now()
    conversation = Conversation(
        id=new_id(ask.world, "conv", conversations),
        user_id=ask.caller.user.id,
        created_at=now,
        updated_at=now,
        **{"project_id": None, "system_prompt": None, **_members(ask)},
    )
    return success(conversations.put(conversation).shown(), "会话创建成功")


def read_conversation(ask: Ask) -> Reply:
    """`getConversation`."""
    return success(find_conversation(ask, ask.path["id"]).shown())


def update_conversation(ask: Ask) -> Reply:
    """`updateConversation`: what is there changes, null takes away."""
    conversation = find_conversation(ask, ask.path["id"])
    changed = replace(conversation, updated_at=ask.world.clock.now(), **_members(ask))
    return success(touch(data_of(ask.world).conversations, changed).shown(), "会话更新成功")


def delete_conversation(ask: Ask) -> Reply:
    """`deleteConversation`: its messages go with it."""
    conversation, data = find_conversation(ask, ask.path["id"]), data_of(ask.world)
    data.conversations.drop(conversation.id)
    for message in data.messages.where("conversation", conversation.id):
        data.messages.drop(message.id)
    return success(message="会话删除成功")


def _members(ask: Ask) -> dict[str, Any]:
    """What the body says of a conversation. Numbers become what they are to be: 1 a float, 65536.0 an integer."""
    found = {name: ask.body[name] for name in CHANGEABLE if name in ask.body}
    if "temperature" in found:
        found["temperature"] = float(found["temperature"])
    if "max_tokens" in found:
        found["max_tokens"] = int(found["max_tokens"])
    return found
