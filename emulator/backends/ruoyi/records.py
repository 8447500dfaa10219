"""What the ruoyi backend keeps: frozen records, and the collections of one session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.world.session import World
from emulator.world.store import Collection, Store

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat of one user with one app. `conversation_id` is Dify's, None before the first message."""

    id: int
    title: str
    app_id: int
    user_id: int
    created_at: float
    updated_at: float
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message of a chat. `metadata` is what Dify said about an answer."""

    id: int
    chat_id: int
    role: str
    content: str
    created_at: float
    status: str = "completed"
    tokens: int = 0
    error: str | None = None
    metadata: Json | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as Dify has it: which app and user it belongs to, and how many questions it has heard."""

    id: str
    app_id: int
    user_id: int
    turns: int = 0


@dataclass(frozen=True, slots=True)
class ToolFile:
    """A file that a tool of an app made."""

    id: str
    name: str
    mime_type: str
    data: bytes


@dataclass(frozen=True)
class Data:
    """The collections of one session."""

    chats: Collection[Chat]
    messages: Collection[ChatMessage]
    conversations: Collection[Conversation]
    files: Collection[ToolFile]


def data_of(world: World) -> Data:
    """The collections of a session's world."""
    if world.data is None:
        world.data = _declare(world.store)
    data: Data = world.data
    return data


def _declare(store: Store) -> Data:
    return Data(
        chats=store.collection("chats", Chat, user=lambda one: one.user_id),
        messages=store.collection("messages", ChatMessage, chat=lambda one: one.chat_id),
        conversations=store.collection("conversations", Conversation),
        files=store.collection("files", ToolFile),
    )
