"""Messages: list, store, change, delete. Source: FACTS.md 003, Messages."""

from __future__ import annotations

from dataclasses import replace

from emulator.backends import Ask
from emulator.backends.deskchat import times
from emulator.backends.deskchat.lookup import (
    active_messages,
    add_message,
    find_conversation,
    find_message,
    reword,
    touch,
)
from emulator.backends.deskchat.records import Conversation, Message, data_of
from emulator.backends.deskchat.shapes import listed_message
from emulator.backends.deskchat.wire import success
from emulator.call import Reply
from emulator.world.paging import by_number


def list_messages(ask: Ask) -> Reply:
    """`listMessages`: active ones, the oldest first."""
    query = ask.query
    conversation = find_conversation(ask, ask.path["chat_id"])
    kind = query.get("message_type")
    found = [one for one in active_messages(ask.world, conversation.id) if kind in (None, one.message_type)]
    page, size = query["pageNum"], query["pageSize"]
    shown = [listed_message(one) for one in by_number(found, page, size)]
    return success("获取消息列表成功", {"list": shown, "total": len(found), "pageNum": page, "pageSize": size})


def send_message(ask: Ask) -> Reply:
    """`sendMessage`: the person's message is stored, no answer is produced. `stream` changes the reply only."""
    message = store_said(ask, find_conversation(ask, ask.body["chat_id"]))
    if ask.body["stream"]:
        return success("请使用WebSocket进行流式对话", {"message_id": message.id})
    return success(
        "消息发送成功",
        {"message_id": message.id, "content": message.content, "created_at": times.shown(message.created_at)},
    )


def store_said(ask: Ask, conversation: Conversation) -> Message:
    """What the person says in this call, as a message."""
    body = ask.body
    message = add_message(
        ask.world, conversation.id, "user", body["content"], body["message_type"], body.get("message_metadata")
    )
    touch(ask.world, conversation.id)
    return message


def edit_message(ask: Ask) -> Reply:
    """`editMessage`: the counts follow the text."""
    found = find_message(ask, ask.path["message_id"])
    changed = reword(ask.world, found, ask.body["content"], finished=found.finished)
    return success(
        "消息编辑成功",
        {"message_id": changed.id, "content": changed.content, "updated_at": times.shown(changed.updated_at)},
    )


def delete_message(ask: Ask) -> Reply:
    """`deleteMessage`: its record stays, as deleted."""
    found = find_message(ask, ask.path["message_id"])
    data_of(ask.world).messages.put(replace(found, status="deleted", updated_at=ask.world.clock.now()))
    touch(ask.world, found.conversation_id)
    return success("消息删除成功")
