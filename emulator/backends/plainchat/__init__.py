"""A chat backend that answers in plain text without any framing. What it does is here, what it promises in
`specs/plainchat.yaml`."""

from __future__ import annotations

from emulator.backends import Backend, Cors, Credential, Extra
from emulator.backends.plainchat import chat, conversations, files, users
from emulator.backends.plainchat.differences import DIFFERENCES
from emulator.backends.plainchat.records import data_of
from emulator.backends.plainchat.seeding import CALLER, DEMO, PASSWORD, populate
from emulator.backends.plainchat.turn import REASONS, SPEAKS
from emulator.backends.plainchat.wire import ERRORS, refuse

BACKEND = Backend(
    name="plainchat",
    title="Plain-text chat",
    behaviours={
        "sendChatMessage": chat.send_message,
        "uploadFiles": files.upload,
        "getNextSuggestions": chat.suggestions,
        "listConversations": conversations.list_conversations,
        "getConversationHistory": conversations.history,
        "deleteConversation": conversations.delete,
        "registerUser": users.register,
        "loginUser": users.login,
    },
    extras=(
        Extra("GET", "/health", "Whether it is up", users.health),
        Extra("GET", "/api/user/user_info/{username}", "Whether a user is registered", users.user_info),
        Extra("GET", "/files/{file_id}", "A file, by the address that a history gives", files.fetch),
    ),
    # Nothing here needs a token: who calls says so.
    authenticate=lambda ask: None,
    refuse=refuse,
    populate=populate,
    cors=Cors(methods="DELETE, GET, OPTIONS, POST", headers=("Content-Type",)),
    codes=frozenset(ERRORS),
    turn=chat.turn_of,
    declare=data_of,
    chat_text={"sendChatMessage": "message"},
    speaks=SPEAKS,
    failures=frozenset(REASONS),
    differences=DIFFERENCES,
    credentials=(
        Credential(f"{DEMO} / {PASSWORD}", "user name and password; there is no token"),
        Credential(CALLER, "user name of the spec's examples, not registered"),
    ),
)
