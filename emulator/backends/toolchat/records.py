"""What the toolchat backend keeps: frozen records, and the collections of one session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from emulator.world.clock import iso
from emulator.world.session import World
from emulator.world.store import Collection, Store

Json = Mapping[str, Any]
ID_BYTES = 6


@dataclass(frozen=True, slots=True)
class User:
    """An account. The password is kept as it is: it guards nothing."""

    id: int
    username: str
    email: str
    password: str
    role: str = "user"
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation. `turns` counts the messages that were ever sent in it; the answer to the next depends on it."""

    id: str
    user_id: int
    title: str
    model: str
    project_id: str | None
    system_prompt: str | None
    temperature: float
    max_tokens: int
    thinking_enabled: bool
    created_at: float
    updated_at: float
    turns: int = 0

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": self.id,
            "user_id": self.user_id,
            "title": self.title,
            "model": self.model,
            "project_id": self.project_id,
            "system_prompt": self.system_prompt,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "thinking_enabled": self.thinking_enabled,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        }


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a person or of the assistant. `tool_calls` are as shown: id, name, arguments, result."""

    id: str
    conversation_id: str
    role: str
    content: str
    created_at: float
    thinking: str | None = None
    tool_calls: tuple[Json, ...] = ()

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": self.id,
            "conversation_id": self.conversation_id,
            "role": self.role,
            "content": self.content,
            "thinking": self.thinking,
            "tool_calls": list(self.tool_calls),
            "created_at": iso(self.created_at),
        }


@dataclass(frozen=True, slots=True)
class Revoked:
    """A token that was handed back. `id` is its `jti`."""

    id: str
    expires: float


@dataclass(frozen=True)
class Data:
    """The collections of one session."""

    users: Collection[User]
    conversations: Collection[Conversation]
    messages: Collection[Message]
    revoked: Collection[Revoked]


class Ids(Protocol):
    """Something that knows which ids are taken."""

    def get(self, id: Any) -> object | None:
        """The record with this id, or None."""
        ...


def data_of(world: World) -> Data:
    """The collections of a session's world."""
    if world.data is None:
        world.data = _declare(world.store)
    data: Data = world.data
    return data


def _declare(store: Store) -> Data:
    collection = store.collection
    return Data(
        users=collection("users", User, username=lambda one: one.username, email=lambda one: one.email.casefold()),
        conversations=collection("conversations", Conversation, user=lambda one: one.user_id),
        messages=collection("messages", Message, conversation=lambda one: one.conversation_id),
        revoked=collection("revoked", Revoked),
    )


def new_id(world: World, prefix: str, taken: Ids) -> str:
    """A new id such as `conv_0c4e7a91d2b6`. Six bytes can meet, so those that are taken are passed over."""
    while True:
        id = f"{prefix}_{world.seed.next(prefix, size=ID_BYTES).hex()}"
        if taken.get(id) is None:
            return id


def touch(conversations: Collection[Conversation], conversation: Conversation) -> Conversation:
    """Put a conversation in which something has just happened: it becomes the newest, in lists and for the store,
    which lets the oldest go first."""
    conversations.drop(conversation.id)
    return conversations.put(conversation)
