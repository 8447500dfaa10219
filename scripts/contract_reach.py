"""Which operations the stateful phase of a contract run has to reach, and which it did reach.

A story begins with the operation that creates something. Each of its operations counts as reached when it succeeded
(2xx) on what a call of the first one had made: by links that handed on all their values, however many steps later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Story:
    """What is done with a thing from its making on: `first` makes it, `then` are operations that use, change or delete
    it."""

    first: str
    then: tuple[str, ...]


STORIES: Mapping[str, Sequence[Story]] = {
    "dify": (
        Story(
            "sendChatMessage",
            (
                "sendChatMessage",
                "stopChatMessageGeneration",
                "getSuggestedQuestions",
                "textToAudioChat",
                "postChatMessageFeedback",
                "getChatAppFeedbacks",
                "getConversationsList",
                "getConversationHistory",
                "getConversationVariables",
                "renameConversation",
                "deleteConversation",
            ),
        ),
        Story("uploadChatFile", ("sendChatMessage", "previewChatFile", "getEndUserChat")),
        Story("createAnnotation", ("getAnnotationList", "updateAnnotation", "deleteAnnotation")),
        Story("initialAnnotationReplySettings", ("getInitialAnnotationReplySettingsStatus",)),
    ),
    "deskchat": (
        Story("createGroup", ("listGroups", "updateGroup", "createConversation", "listConversations", "deleteGroup")),
        Story(
            "createConversation",
            (
                "getConversation",
                "updateConversation",
                "moveConversation",
                "moveConversations",
                "listMessages",
                "sendMessage",
                "streamMessage",
                "exportConversation",
                "exportConversations",
                "clearConversationMessages",
                "deleteConversation",
            ),
        ),
        Story("sendMessage", ("listMessages", "editMessage", "regenerateMessage", "deleteMessage")),
        Story("streamMessage", ("cancelStream", "listMessages")),
        Story("importConversations", ("getConversation", "deleteConversations")),
    ),
    "plainchat": (
        Story("registerUser", ("loginUser", "listConversations")),
        Story("sendChatMessage", ("listConversations", "getConversationHistory", "deleteConversation")),
        Story("uploadFiles", ("sendChatMessage",)),
    ),
    "ruoyi": (
        Story(
            "create_chat_api_ai_dify_chats_post",
            (
                "get_user_chats_api_ai_dify_chats_get",
                "send_message_api_ai_dify_chats__chat_id__messages_post",
                "get_chat_messages_api_ai_dify_chats__chat_id__messages_get",
                "rename_chat_api_ai_dify_chats__chat_id__title_put",
                "delete_chat_api_ai_dify_chats__chat_id__delete",
            ),
        ),
        Story(
            "chat_api_ai_dify_chat_post",
            ("chat_api_ai_dify_chat_post", "chat_stream_api_ai_dify_chat_stream_post"),
        ),
        Story(
            "save_chat_endpoint_api_ai_deepseek_save_chat_post",
            (
                "get_chat_messages_api_ai_dify_chats__chat_id__messages_get",
                "rename_chat_api_ai_dify_chats__chat_id__title_put",
                "delete_chat_api_ai_dify_chats__chat_id__delete",
            ),
        ),
    ),
    "toolchat": (
        Story("registerUser", ("loginUser",)),
        Story(
            "createConversation",
            (
                "getConversation",
                "updateConversation",
                "listMessages",
                "sendMessage",
                "streamMessage",
                "deleteConversation",
            ),
        ),
        Story("sendMessage", ("listMessages", "deleteMessage")),
        Story("listTools", ("getTool",)),
    ),
}

OUTSIDE: Mapping[str, Mapping[str, str]] = {
    "dify": {
        "updateChatConversationVariable": "the chat app, whose key the runs use, has no variables",
        "audioToText": "keeps nothing",
        "getChatAppInfo": "about the app alone",
        "getChatAppParameters": "about the app alone",
        "getChatAppMeta": "about the app alone",
        "getChatWebAppSettings": "about the app alone",
    },
    "deskchat": {
        "searchChats": "finds by texts, not by an id that a reply gives",
        "getSettings": "one object that is always there",
        "updateSettings": "one object that is always there",
        "generateTitle": "keeps nothing",
        "getStatistics": "counts",
    },
    "plainchat": {"getNextSuggestions": "its id stands in the text of an answer, where no link can take it from"},
    "ruoyi": {
        "chat_endpoint_api_ai_deepseek_chat_post": "keeps nothing",
        "chat_stream_endpoint_api_ai_deepseek_chat_stream_post": "keeps nothing",
        "reasoner_endpoint_api_ai_deepseek_reasoner_post": "keeps nothing",
    },
    "toolchat": {
        "logoutUser": "takes its token from the header, which no link sets",
        "getCurrentUser": "takes its token from the header, which no link sets",
        "listConversations": "its links lead on from what is there already",
        "executeTool": "keeps nothing",
    },
}
"""Operations that no story has, each with the reason."""

UNRESOLVED = "$unresolvable"
"""How a report marks a value of a link that points at nothing."""

Step = tuple[str, str]
"""An operation that a story begins with, and one that succeeded on what it had made."""


def wanted(backend: str) -> set[Step]:
    """All steps of the backend's stories; none for a backend that this file does not know."""
    return {(story.first, then) for story in STORIES.get(backend, ()) for then in story.then}


def read_chains(report: Path, ids: Mapping[tuple[str, str], str]) -> tuple[int, set[Step]]:
    """How many chains the stateful phase of an NDJSON report has, and the steps that they reached. `ids` names the
    operation of a method and a path template."""
    chains, steps = 0, set()
    with report.open(encoding="utf-8") as lines:
        for line in lines:
            # Most lines are of other phases, and long.
            if line.startswith('{"ScenarioFinished"') and '"phase":"stateful"' in line[:1000]:
                chains += 1
                steps |= set(_steps(json.loads(line)["ScenarioFinished"]["recorder"], ids))
    return chains, steps


def _steps(recorder: Mapping[str, Any], ids: Mapping[tuple[str, str], str]) -> Iterator[Step]:
    cases: Mapping[str, Any] = recorder.get("cases", {})
    good = {
        case
        for case, sent in recorder.get("interactions", {}).items()
        if 200 <= (sent.get("response") or {}).get("status_code", 0) < 300
    }
    for case in good & cases.keys():
        reached = at = case
        while _handed_on(cases[at]) and (at := cases[at].get("parent_id", "")) in good:
            yield _id(cases[at], ids), _id(cases[reached], ids)


def _handed_on(case: Mapping[str, Any]) -> bool:
    """Whether a link led here with all its values. One that points at nothing is left out of the call, which then names
    something else, and may succeed all the same."""
    return bool(case.get("is_transition_applied")) and not _unresolved(case.get("transition"))


def _unresolved(value: Any) -> bool:
    if isinstance(value, Mapping):
        return UNRESOLVED in value or any(map(_unresolved, value.values()))
    return isinstance(value, list) and any(map(_unresolved, value))


def _id(case: Mapping[str, Any], ids: Mapping[tuple[str, str], str]) -> str:
    value = case["value"]
    return ids.get((value["method"].upper(), value["path"]), "")
