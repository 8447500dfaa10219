"""Chats and their messages: what RuoYi keeps itself. Source: FACTS.md 000 (Dify operations, save_chat)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from emulator.backends import Ask
from emulator.backends.ruoyi.accounts import User
from emulator.backends.ruoyi.failures import Failure
from emulator.backends.ruoyi.records import Chat, ChatMessage, Json, data_of
from emulator.backends.ruoyi.wire import bare, enveloped
from emulator.call import Reply
from emulator.errors import Refused
from emulator.wire.numbers import next_number
from emulator.world.clock import iso
from emulator.world.paging import by_offset
from emulator.world.prose import tokens_in
from emulator.world.session import World

APPS = frozenset({1})
"""The Dify apps that are configured."""
DEFAULT_TITLE = "新聊天"
APOLOGY = "抱歉，处理您的请求时出现错误。"
"""What a chat shows in place of an answer that failed."""


def app_in(body: Json) -> int:
    """The app that a body names. Raises Refused where there is no such app."""
    # JSON knows one kind of number: 1.0 is an integer, too.
    id = int(body["app_id"])
    if id not in APPS:
        raise Refused("app_not_found", f"应用不存在: {id}")
    return id


def own_chat(ask: Ask) -> Chat:
    """The chat in the path, which has to be the caller's. Raises Refused."""
    caller: User = ask.caller
    chat = data_of(ask.world).chats.get(ask.path["chat_id"])
    if chat is None:
        raise Refused("chat_not_found")
    if chat.user_id != caller.id:
        raise Refused("foreign_chat")
    return chat


def new_chat(world: World, title: str, app_id: int, user_id: int, at: float) -> Chat:
    """A chat without messages."""
    return data_of(world).chats.put(Chat(next_number(world, "chat"), title, app_id, user_id, at, at))


def new_message(world: World, chat: Chat, role: str, content: str, at: float, **members: Any) -> ChatMessage:
    """A message of a chat; `members` are those of ChatMessage."""
    members.setdefault("tokens", tokens_in(content))
    id = next_number(world, "message")
    return data_of(world).messages.put(ChatMessage(id, chat.id, role, content, at, **members))


def touch(world: World, chat_id: int, at: float, **members: Any) -> None:
    """The chat moves up in the list; `members` change with it. What was deleted meanwhile stays gone."""
    chats = data_of(world).chats
    chat = chats.get(chat_id)
    if chat is not None:
        chats.put(replace(chat, updated_at=at, **members))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message of a chat that waits for its answer; it keeps what comes of it."""

    world: World
    message: ChatMessage

    def completed(self, answer: str, metadata: Json) -> None:
        """The answer is there."""
        self._keep(content=answer, status="completed", tokens=tokens_in(answer), metadata=metadata)

    def failed(self, failure: Failure) -> None:
        """There will be none: the chat apologises and notes why."""
        self._keep(content=APOLOGY, status="failed", error=failure.text)

    def _keep(self, **members: Any) -> None:
        messages = data_of(self.world).messages
        message = messages.get(self.message.id)
        # Deleted meanwhile: what is gone stays gone.
        if message is not None:
            messages.put(replace(message, **members))
            touch(self.world, message.chat_id, self.world.clock.now())


@dataclass(frozen=True, slots=True)
class Unkept:
    """A question outside any chat: nobody keeps its answer."""

    def completed(self, answer: str, metadata: Json) -> None:
        """Nothing is kept."""

    def failed(self, failure: Failure) -> None:
        """Nothing is kept."""


def create_chat(ask: Ask) -> Reply:
    """`create_chat_api_ai_dify_chats_post`: any user may be named as the owner."""
    body = ask.body
    app_id, title = app_in(body), body.get("title")
    now = ask.world.clock.now()
    chat = new_chat(ask.world, DEFAULT_TITLE if title is None else title, app_id, int(body["user_id"]), now)
    return bare(shown_chat(chat))


def list_chats(ask: Ask) -> Reply:
    """`get_user_chats_api_ai_dify_chats_get`: last updated first, a bare array."""
    found = data_of(ask.world).chats.where("user", ask.query["user_id"])
    app_id = ask.query.get("app_id")
    if app_id is not None:
        found = [chat for chat in found if chat.app_id == app_id]
    found.sort(key=lambda chat: (chat.updated_at, chat.id), reverse=True)
    return bare([shown_chat(chat) for chat in by_offset(found, ask.query["offset"], ask.query["limit"])])


def list_messages(ask: Ask) -> Reply:
    """`get_chat_messages_api_ai_dify_chats__chat_id__messages_get`: oldest first, a bare array."""
    chat = own_chat(ask)
    found = data_of(ask.world).messages.where("chat", chat.id)
    page = by_offset(found, ask.query["offset"], ask.query["limit"])
    return bare([shown_message(chat, message) for message in page])


def delete_chat(ask: Ask) -> Reply:
    """`delete_chat_api_ai_dify_chats__chat_id__delete`: its messages go with it."""
    chat, data = own_chat(ask), data_of(ask.world)
    for message in data.messages.where("chat", chat.id):
        data.messages.drop(message.id)
    data.chats.drop(chat.id)
    return bare({"success": True})


def rename_chat(ask: Ask) -> Reply:
    """`rename_chat_api_ai_dify_chats__chat_id__title_put`."""
    chat = replace(own_chat(ask), title=ask.body["title"], updated_at=ask.world.clock.now())
    return bare(shown_chat(data_of(ask.world).chats.put(chat)))


def save_chat(ask: Ask) -> Reply:
    """`save_chat_endpoint_api_ai_deepseek_save_chat_post`: a chat of the caller's, made of messages that are there."""
    body, world, caller = ask.body, ask.world, ask.caller
    app_id = app_in(body)
    said, title = body["messages"], body.get("title")
    if title is None:
        title = f"DeepSeek对话 {len(said)} 条消息"
    now = world.clock.now()
    chat = new_chat(world, title, app_id, caller.id, now)
    for message in said:
        new_message(world, chat, message["role"], message["content"] or "", now)
    return enveloped(ask, {"success": True, "chat_id": chat.id, "message_count": len(said)})


def shown_chat(chat: Chat) -> dict[str, Any]:
    """A chat as the wire has it."""
    return {
        "id": chat.id,
        "title": chat.title,
        "app_id": chat.app_id,
        "user_id": chat.user_id,
        "conversation_id": chat.conversation_id,
        "created_at": iso(chat.created_at, ""),
        "updated_at": iso(chat.updated_at, ""),
    }


def shown_message(chat: Chat, message: ChatMessage) -> dict[str, Any]:
    """A message as the wire has it."""
    return {
        "id": message.id,
        "chat_id": chat.id,
        "role": message.role,
        "content": message.content,
        "status": message.status,
        "tokens": message.tokens,
        "error_message": message.error,
        "message_metadata": message.metadata,
        "user_id": chat.user_id,
        "created_at": iso(message.created_at, ""),
    }
