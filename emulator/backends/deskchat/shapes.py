"""Records as replies show them, member by member. Source: FACTS.md 003, the tables' data columns."""

from __future__ import annotations

from typing import Any

from emulator.backends import Ask
from emulator.backends.deskchat.lookup import message_count
from emulator.backends.deskchat.records import Conversation, Group, Message
from emulator.backends.deskchat.times import shown


def listed_conversation(ask: Ask, one: Conversation) -> dict[str, Any]:
    """A conversation as the list shows it."""
    return {
        "id": one.number,
        "uuid": one.id,
        "title": one.title,
        "description": one.description,
        "group_id": one.group_id,
        "message_count": message_count(ask, one),
        "status": one.status,
        "created_at": shown(one.created_at),
        "updated_at": shown(one.updated_at),
    }


def found_conversation(ask: Ask, one: Conversation) -> dict[str, Any]:
    """A conversation as a search shows it."""
    whole = listed_conversation(ask, one)
    del whole["status"]
    return whole


def grouped_conversation(ask: Ask, one: Conversation) -> dict[str, Any]:
    """A conversation as its group shows it."""
    whole = found_conversation(ask, one)
    del whole["description"], whole["group_id"]
    return whole


def listed_message(one: Message) -> dict[str, Any]:
    """A message as the list shows it."""
    return {
        "id": one.number,
        "uuid": one.id,
        "role": one.role,
        "content": one.content,
        "message_type": one.message_type,
        "message_metadata": one.metadata,
        "token_count": one.tokens,
        "character_count": len(one.content),
        "created_at": shown(one.created_at),
        "updated_at": shown(one.updated_at),
    }


def found_message(one: Message, conversation: Conversation) -> dict[str, Any]:
    """A message as a search shows it; `conversation_id` is the conversation's running number."""
    return {
        "id": one.number,
        "uuid": one.id,
        "conversation_id": conversation.number,
        "role": one.role,
        "content": one.content,
        "message_type": one.message_type,
        "created_at": shown(one.created_at),
    }


def listed_group(group: Group, is_default: bool) -> dict[str, Any]:
    """A group without its conversations."""
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "color": group.color,
        "sort": group.sort,
        "is_default": int(is_default),
        "created_at": shown(group.created_at),
        "updated_at": shown(group.updated_at),
    }
