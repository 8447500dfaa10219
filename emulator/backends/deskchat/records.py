"""What the deskchat backend keeps: frozen records, and the collections of one session.

Nothing is ever taken out: what was deleted stays as a record with another status. Source: FACTS.md 003 ("status →
`deleted`").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from emulator.world.session import World
from emulator.world.store import Collection, Store

Json = Mapping[str, Any]
Status = Literal["active", "deleted"]

DEFAULT_GROUP = 1
"""Number of the default group."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation. `id` is the uuid that calls name, `number` the running number that replies show as `id`."""

    id: str
    number: int
    title: str
    description: str | None
    group_id: int
    config: Json
    created_at: float
    updated_at: float
    api_key_id: int | None = None
    prompt_id: int | None = None
    status: Status = "active"


@dataclass(frozen=True, slots=True)
class Message:
    """A message. `finished` is False for an answer that is under way, failed or was cancelled; `version` counts how
    often it was answered anew. `answers` is the message that an answer was made for when it stands elsewhere."""

    id: str
    number: int
    conversation_id: str
    role: str
    content: str
    message_type: str
    metadata: Json | None
    tokens: int
    created_at: float
    updated_at: float
    status: Status = "active"
    finished: bool = True
    version: int = 0
    answers: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A group of conversations."""

    id: int
    name: str
    description: str | None
    color: str | None
    sort: int
    created_at: float
    updated_at: float
    status: Status = "active"


@dataclass(frozen=True, slots=True)
class Preferences:
    """The one settings object."""

    id: str = "settings"
    preferences: Json | None = None
    default_config: Json | None = None
    auto_save: bool = True
    theme: str = "light"


@dataclass(frozen=True)
class Data:
    """The collections of one session."""

    conversations: Collection[Conversation]
    messages: Collection[Message]
    groups: Collection[Group]
    preferences: Collection[Preferences]


def data_of(world: World) -> Data:
    """The collections of a session's world."""
    if world.data is None:
        world.data = _declare(world.store)
    data: Data = world.data
    return data


def _declare(store: Store) -> Data:
    collection = store.collection
    return Data(
        conversations=collection("conversations", Conversation, group=lambda one: one.group_id),
        messages=collection("messages", Message, conversation=lambda one: one.conversation_id),
        groups=collection("groups", Group),
        preferences=collection("preferences", Preferences),
    )
