"""The `/chat/*` API of a desk chat application. What it does is here, what it promises in `specs/deskchat.yaml`."""

from __future__ import annotations

from emulator.backends import Ask, Backend, Extra
from emulator.backends.deskchat import chat, conversations, counting, groups, messages, preferences, search, transfer
from emulator.backends.deskchat.differences import DIFFERENCES
from emulator.backends.deskchat.records import data_of
from emulator.backends.deskchat.seeding import populate
from emulator.backends.deskchat.turn import SPEAKS
from emulator.backends.deskchat.wire import ERRORS, refuse


def authenticate(ask: Ask) -> None:
    """Everybody is let in: this API has no accounts."""


BACKEND = Backend(
    name="deskchat",
    title="Desk chat",
    behaviours={
        "listConversations": conversations.list_conversations,
        "getConversation": conversations.get_conversation,
        "createConversation": conversations.create_conversation,
        "updateConversation": conversations.update_conversation,
        "deleteConversation": conversations.delete_conversation,
        "deleteConversations": conversations.delete_conversations,
        "clearConversationMessages": conversations.clear_messages,
        "moveConversation": conversations.move_conversation,
        "moveConversations": conversations.move_conversations,
        "listMessages": messages.list_messages,
        "sendMessage": messages.send_message,
        "editMessage": messages.edit_message,
        "deleteMessage": messages.delete_message,
        "regenerateMessage": chat.regenerate,
        "streamMessage": chat.stream_message,
        "cancelStream": chat.cancel,
        "listGroups": groups.list_groups,
        "createGroup": groups.create_group,
        "updateGroup": groups.update_group,
        "deleteGroup": groups.delete_group,
        "searchChats": search.search,
        "getSettings": preferences.get_settings,
        "updateSettings": preferences.update_settings,
        "exportConversation": transfer.export_conversation,
        "exportConversations": transfer.export_conversations,
        "importConversations": transfer.import_conversations,
        "generateTitle": counting.generate_title,
        "getStatistics": counting.get_statistics,
    },
    extras=(Extra("POST", "/chat/terminate", "Cancels every stream under way", chat.terminate),),
    authenticate=authenticate,
    refuse=refuse,
    populate=populate,
    # Regenerating has no text of its own: there a scenario is chosen by header, or by a member that is else ignored.
    codes=frozenset(ERRORS),
    turn=chat.turn_of,
    declare=data_of,
    chat_text={"streamMessage": "content", "regenerateMessage": "content"},
    speaks=SPEAKS,
    differences=DIFFERENCES,
)
