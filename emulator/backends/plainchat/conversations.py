"""A user's conversations: listed, read, deleted. Source: FACTS.md 001, list, history, delete."""

from __future__ import annotations

from typing import Any

from emulator.backends import Ask
from emulator.backends.plainchat.files import address
from emulator.backends.plainchat.records import Conversation, Message, data_of
from emulator.backends.plainchat.wire import reply_json
from emulator.call import Reply
from emulator.errors import Refused
from emulator.world.clock import iso

MOST_LISTED = 20


def list_conversations(ask: Ask) -> Reply:
    """`listConversations`: the newest by creation first. A user that nobody knows has none."""
    found = data_of(ask.world).conversations.where("username", ask.path["username"])
    # Turned round, because of those that began at once the later one is newer.
    newest = sorted(found, key=lambda one: one.created_at)[-MOST_LISTED:][::-1]
    return reply_json({"conversations": [_shown(ask, one) for one in newest]})


def history(ask: Ask) -> Reply:
    """`getConversationHistory`: everything, oldest first."""
    conversation = _wanted(ask)
    messages = data_of(ask.world).messages.where("conversation", conversation.id)
    listed = [_shown_message(ask, one) for one in messages]
    return reply_json(listed if ask.observed("history_body") else {"data": listed})


def delete(ask: Ask) -> Reply:
    """`deleteConversation`: it is gone, with all that was said in it."""
    conversation = _wanted(ask)
    data = data_of(ask.world)
    data.conversations.drop(conversation.id)
    for message in data.messages.where("conversation", conversation.id):
        data.messages.drop(message.id)
    return reply_json({"message": "对话已删除", "conversation_id": conversation.id})


def own_conversation(ask: Ask, id: str, username: str) -> Conversation | None:
    """The conversation with this id, None when there is none or it is another user's."""
    found = data_of(ask.world).conversations.get(id)
    return found if found is not None and found.username == username else None


def _wanted(ask: Ask) -> Conversation:
    """The conversation that the path names, of the user that the query names. Raises Refused."""
    found = own_conversation(ask, ask.path["conversation_id"], ask.query["username"])
    if found is None:
        raise Refused("conversation_not_found")
    return found


def _shown(ask: Ask, conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "name": conversation.name,
        "created_at": _time(ask, conversation.created_at),
        "updated_at": _time(ask, conversation.updated_at),
    }


def _shown_message(ask: Ask, message: Message) -> dict[str, Any]:
    return {
        "query": message.query,
        "answer": message.answer,
        "message_files": [
            {"id": file.id, "type": "image", "url": address(ask, file.id), "belongs_to": file.belongs_to}
            for file in message.files
        ],
        "created_at": _time(ask, message.created_at),
    }


def _time(ask: Ask, seconds: float) -> str | int:
    return int(seconds) if ask.observed("times") else iso(seconds)
