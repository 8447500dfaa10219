"""The Dify chat-app API. What it does is here, what it promises in `specs/dify.yaml`."""

from __future__ import annotations

from emulator.backends import HOUSE_CODES, Backend, Cors, Credential, Extra
from emulator.backends.dify import (
    application,
    audio,
    chat,
    conversations,
    files,
    messages,
    people,
    prepared,
)
from emulator.backends.dify.apps import APPS, authenticate
from emulator.backends.dify.differences import DIFFERENCES
from emulator.backends.dify.records import data_of
from emulator.backends.dify.seeding import populate
from emulator.backends.dify.wire import ERRORS, OWN_HEADERS, refuse

BACKEND = Backend(
    name="dify",
    title="Dify chat app",
    behaviours={
        "sendChatMessage": chat.send_message,
        "stopChatMessageGeneration": chat.stop_message,
        "getSuggestedQuestions": chat.suggested,
        "uploadChatFile": files.upload,
        "previewChatFile": files.preview,
        "getEndUserChat": people.get_end_user,
        "postChatMessageFeedback": messages.give_feedback,
        "getChatAppFeedbacks": messages.list_feedback,
        "getConversationsList": conversations.list_conversations,
        "getConversationHistory": conversations.history,
        "getConversationVariables": conversations.list_variables,
        "renameConversation": conversations.rename,
        "updateChatConversationVariable": conversations.update_variable,
        "deleteConversation": conversations.delete,
        "audioToText": audio.to_text,
        "textToAudioChat": audio.to_audio,
        "getChatAppInfo": application.info,
        "getChatAppParameters": application.parameters,
        "getChatAppMeta": application.meta,
        "getChatWebAppSettings": application.site,
        "createAnnotation": prepared.create,
        "getAnnotationList": prepared.list_annotations,
        "updateAnnotation": prepared.update,
        "deleteAnnotation": prepared.delete,
        "initialAnnotationReplySettings": prepared.switch,
        "getInitialAnnotationReplySettingsStatus": prepared.status,
    },
    extras=(
        Extra("GET", "/v1/", "Welcome, needs no key", application.welcome),
        Extra("GET", "/files/{file_id}/file-preview", "A file by its signed address", files.signed_file),
        Extra("GET", "/files/tools/{name}", "A file made by a tool, by its signed address", files.signed_file),
    ),
    authenticate=authenticate,
    refuse=refuse,
    populate=populate,
    headers=OWN_HEADERS,
    cors=Cors(
        methods="DELETE, GET, OPTIONS, PATCH, POST, PUT",
        headers=("Content-Type", "X-App-Code", "X-App-Passport", "Authorization"),
        exposed=("X-Env", "X-Trace-Id", "X-Version"),
        on_405=False,
    ),
    failures=frozenset(ERRORS),
    chat_text={"sendChatMessage": "query"},
    codes=frozenset({*ERRORS, *HOUSE_CODES}),
    turn=chat.turn_of,
    declare=data_of,
    differences=DIFFERENCES,
    accounts=frozenset(APPS),
    credentials=tuple(Credential(app.key, f"{app.name} ({app.mode}), user abc-123") for app in APPS.values()),
)
