"""A chat application with accounts and tools. What it does is here, what it promises in `specs/toolchat.yaml`."""

from __future__ import annotations

from emulator.backends import Backend, Cors, Credential
from emulator.backends.toolchat import accounts, catalogue, conversations, messages
from emulator.backends.toolchat.accounts import KEYS, SEEDED
from emulator.backends.toolchat.differences import DIFFERENCES
from emulator.backends.toolchat.records import data_of
from emulator.backends.toolchat.seeding import populate
from emulator.backends.toolchat.turn import SPEAKS
from emulator.backends.toolchat.wire import ERRORS, FAILURES, refuse

BACKEND = Backend(
    name="toolchat",
    title="Chat with tools",
    behaviours={
        "registerUser": accounts.register,
        "loginUser": accounts.login,
        "logoutUser": accounts.logout,
        "getCurrentUser": accounts.me,
        "listConversations": conversations.list_conversations,
        "createConversation": conversations.create_conversation,
        "getConversation": conversations.read_conversation,
        "updateConversation": conversations.update_conversation,
        "deleteConversation": conversations.delete_conversation,
        "sendMessage": messages.send_message,
        "streamMessage": messages.stream_message,
        "listMessages": messages.list_messages,
        "deleteMessage": messages.delete_message,
        "listTools": catalogue.list_tools,
        "getTool": catalogue.read_tool,
        "executeTool": catalogue.execute_tool,
    },
    authenticate=accounts.authenticate,
    refuse=refuse,
    populate=populate,
    slashless=True,
    cors=Cors(methods="GET, POST, PUT, DELETE, OPTIONS"),
    codes=frozenset(ERRORS),
    turn=messages.turn_of,
    declare=data_of,
    chat_text={"sendMessage": "content", "streamMessage": "content"},
    speaks=SPEAKS,
    failures=frozenset(FAILURES),
    differences=DIFFERENCES,
    credentials=(
        *(Credential(key, f"bearer token of {name}") for key, name in KEYS.items()),
        *(Credential(f"{user.username} / {user.password}", "login") for user in SEEDED.values()),
    ),
)
