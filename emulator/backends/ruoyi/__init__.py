"""RuoYi with its Dify and DeepSeek groups. What it does is here, what it promises in `specs/ruoyi.yaml`."""

from __future__ import annotations

from emulator.backends import Backend, Credential, Extra
from emulator.backends.ruoyi import chats, deepseek, questions
from emulator.backends.ruoyi.accounts import NAMES, authenticate, login
from emulator.backends.ruoyi.differences import DIFFERENCES
from emulator.backends.ruoyi.failures import APP_FAILURE, PROVIDER, UNREACHABLE
from emulator.backends.ruoyi.files import get_file
from emulator.backends.ruoyi.records import data_of
from emulator.backends.ruoyi.seeding import populate
from emulator.backends.ruoyi.wire import ERRORS, LOGIN_ERRORS, TOKEN_ERRORS, refuse

BASES = ("/dev-api", "")
"""The application's root path, and the same paths without it."""

BACKEND = Backend(
    name="ruoyi",
    title="RuoYi with Dify and DeepSeek",
    behaviours={
        "chat_api_ai_dify_chat_post": questions.ask_app,
        "chat_stream_api_ai_dify_chat_stream_post": questions.ask_app_stream,
        "create_chat_api_ai_dify_chats_post": chats.create_chat,
        "get_user_chats_api_ai_dify_chats_get": chats.list_chats,
        "send_message_api_ai_dify_chats__chat_id__messages_post": questions.send_message,
        "get_chat_messages_api_ai_dify_chats__chat_id__messages_get": chats.list_messages,
        "delete_chat_api_ai_dify_chats__chat_id__delete": chats.delete_chat,
        "rename_chat_api_ai_dify_chats__chat_id__title_put": chats.rename_chat,
        "chat_endpoint_api_ai_deepseek_chat_post": deepseek.complete,
        "chat_stream_endpoint_api_ai_deepseek_chat_stream_post": deepseek.complete_stream,
        "reasoner_endpoint_api_ai_deepseek_reasoner_post": deepseek.reason,
        "save_chat_endpoint_api_ai_deepseek_save_chat_post": chats.save_chat,
    },
    extras=(
        *(Extra("POST", f"{base}/login", "A token for a name and password (form fields)", login) for base in BASES),
        Extra("GET", "/files/tools/{name}", "A file that an app's tool made", get_file),
    ),
    authenticate=authenticate,
    refuse=refuse,
    populate=populate,
    bases=BASES,
    codes=frozenset({*ERRORS, *TOKEN_ERRORS, *LOGIN_ERRORS}),
    mute=dict.fromkeys(deepseek.FAILED, deepseek.MUTE),
    failures=frozenset({*PROVIDER, *UNREACHABLE, APP_FAILURE}),
    turn=questions.turn_of,
    declare=data_of,
    chat_text={
        "chat_api_ai_dify_chat_post": "query",
        "chat_stream_api_ai_dify_chat_stream_post": "query",
        "send_message_api_ai_dify_chats__chat_id__messages_post": "content",
        "chat_endpoint_api_ai_deepseek_chat_post": "messages",
        "chat_stream_endpoint_api_ai_deepseek_chat_stream_post": "messages",
        "reasoner_endpoint_api_ai_deepseek_reasoner_post": "messages",
    },
    differences=DIFFERENCES,
    credentials=(Credential("emulator-token", "user 1 (admin); log in as admin or ry, password admin123"),),
    accounts=frozenset(NAMES),
)
