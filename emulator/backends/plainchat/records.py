"""What the plainchat backend keeps: frozen records, and the collections of one session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emulator.world.session import World
from emulator.world.store import Collection, Store


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in. `id` is the name. The password is kept as it is: it guards nothing."""

    id: str
    password: str


@dataclass(frozen=True, slots=True)
class File:
    """A file with its bytes. Only the user who uploaded it can ask about it; anybody who knows its id can fetch it."""

    id: str
    username: str
    name: str
    mime_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Attached:
    """A file of a message: `id` is that of the file."""

    id: str
    belongs_to: Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation of a user."""

    id: str
    username: str
    name: str
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Message:
    """A question and its answer, which is empty until it has ended, and stays so when it fails or nobody listens."""

    id: str
    conversation_id: str
    username: str
    query: str
    created_at: float
    answer: str = ""
    files: tuple[Attached, ...] = ()


@dataclass(frozen=True)
class Data:
    """The collections of one session."""

    users: Collection[User]
    files: Collection[File]
    conversations: Collection[Conversation]
    messages: Collection[Message]


def data_of(world: World) -> Data:
    """The collections of a session's world."""
    if world.data is None:
        world.data = _declare(world.store)
    data: Data = world.data
    return data


def _declare(store: Store) -> Data:
    collection = store.collection
    return Data(
        users=collection("users", User),
        files=collection("files", File),
        conversations=collection("conversations", Conversation, username=lambda one: one.username),
        messages=collection("messages", Message, conversation=lambda one: one.conversation_id),
    )
