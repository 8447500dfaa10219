"""Finding what a call names, and what is counted and changed beside it. Raises Refused for what is not there.

Source: FACTS.md 003; which of the deleted can be reached is the difference `deleted_by_uuid`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from emulator.backends import Ask
from emulator.backends.deskchat.records import (
    DEFAULT_GROUP,
    Conversation,
    Group,
    Json,
    Message,
    data_of,
)
from emulator.errors import Refused
from emulator.wire.numbers import next_number
from emulator.world.prose import tokens_in
from emulator.world.session import World

DEFAULT_NAME = "默认分组"


def known_conversation(ask: Ask, uuid: str) -> Conversation | None:
    """The conversation with this uuid, if this profile lets it be reached."""
    found = data_of(ask.world).conversations.get(uuid.lower())
    if found is None or (found.status != "active" and not ask.observed("deleted_by_uuid")):
        return None
    return found


def find_conversation(ask: Ask, uuid: str) -> Conversation:
    """The conversation with this uuid. Raises Refused `conversation_not_found`."""
    found = known_conversation(ask, uuid)
    if found is None:
        raise Refused("conversation_not_found")
    return found


def find_message(ask: Ask, uuid: str) -> Message:
    """The message with this uuid; it goes with its conversation. Raises Refused `message_not_found`."""
    found = data_of(ask.world).messages.get(uuid.lower())
    if found is None or known_conversation(ask, found.conversation_id) is None:
        raise Refused("message_not_found")
    if found.status != "active" and not ask.observed("deleted_by_uuid"):
        raise Refused("message_not_found")
    return found


def find_group(world: World, number: float) -> Group:
    """The group with this number; the default group is always there. Raises Refused `group_not_found`."""
    if number == DEFAULT_GROUP:
        return default_group(world)
    found = data_of(world).groups.get(number)
    if found is None or found.status != "active":
        raise Refused("group_not_found")
    return found


def default_group(world: World) -> Group:
    """The default group, made when it is first needed."""
    groups = data_of(world).groups
    now = world.clock.now()
    return groups.get(DEFAULT_GROUP) or groups.put(Group(DEFAULT_GROUP, DEFAULT_NAME, None, None, 0, now, now))


def listed_groups(world: World) -> list[Group]:
    """All groups by their `sort`, then by age."""
    default_group(world)
    active = [one for one in data_of(world).groups if one.status == "active"]
    return sorted(active, key=lambda one: (one.sort, one.created_at, one.id))


def active_conversations(world: World, group: Any = None) -> list[Conversation]:
    """Those that lists show; only those of one group, if its number is given."""
    conversations = data_of(world).conversations
    found = conversations if group is None else conversations.where("group", group)
    return [one for one in found if one.status == "active"]


def active_messages(world: World, conversation_id: str) -> list[Message]:
    """A conversation's messages that lists show, the oldest first."""
    found = [one for one in data_of(world).messages.where("conversation", conversation_id) if one.status == "active"]
    return sorted(found, key=lambda one: (one.created_at, one.number))


def message_count(ask: Ask, conversation: Conversation) -> int:
    """How many messages a conversation has."""
    unfinished_count = not ask.observed("message_count")
    found = data_of(ask.world).messages.where("conversation", conversation.id)
    return sum(one.status == "active" and (one.finished or unfinished_count) for one in found)


def add_message(
    world: World,
    conversation_id: str,
    role: str,
    content: str,
    message_type: str = "text",
    metadata: Json | None = None,
    at: float | None = None,
    uuid: str | None = None,
    finished: bool = True,
) -> Message:
    """A new message at the end of a conversation, by default one of now."""
    now = world.clock.now() if at is None else at
    message = Message(
        id=uuid or world.seed.uuid("message"),
        number=next_number(world, "message"),
        conversation_id=conversation_id,
        role=role,
        content=content,
        message_type=message_type,
        metadata=metadata,
        tokens=tokens_in(content),
        created_at=now,
        updated_at=now,
        finished=finished,
    )
    return data_of(world).messages.put(message)


def reword(world: World, message: Message, content: str, version: int | None = None, finished: bool = True) -> Message:
    """The message with another text, in the store."""
    return data_of(world).messages.put(
        replace(
            message,
            content=content,
            tokens=tokens_in(content),
            updated_at=world.clock.now(),
            finished=finished,
            version=message.version if version is None else version,
        )
    )


def touch(world: World, conversation_id: str) -> None:
    """Something in the conversation has changed: it moves to the top of the list."""
    conversations = data_of(world).conversations
    found = conversations.get(conversation_id)
    if found is not None:
        conversations.put(replace(found, updated_at=world.clock.now()))
