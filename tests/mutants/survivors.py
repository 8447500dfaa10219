"""Mutants that no check finds, and why. A survivor that is not here fails `make mutants`."""

from __future__ import annotations

import re

FREE = "The member is free: text or an object of the user's own, a tool's, or the system's choice."
NULLABLE = "Null is allowed there: the running system sends it, or the user may leave it out."
NO_REFUSAL = "There is nothing to refuse: no input of this operation is wrong but for its credentials."
NOT_KEPT = (
    "The answer is kept nowhere and its pieces are not counted, so nobody can tell that one is lost or twice there."
)

REASONS: tuple[tuple[str, str], ...] = (
    (r"^plainchat/listConversations/(wrong error|accepts)", "Any name is accepted: one that is unknown has no lists."),
    (r"^toolchat/(logoutUser|getCurrentUser)/wrong error status", NO_REFUSAL),
    (r"^toolchat/getConversation/wrong value /data/model", FREE),
    (r"^toolchat/sendMessage/null /data/assistant_message/tool_calls/0/result", FREE),
    (r"^toolchat/listTools/.* /data/categorized/\w+/0/parameters", FREE),
    (r"^deskchat/(getConversation|exportConversations)/extra field .*/config", FREE),
    (r"^deskchat/searchChats/null .*/description", NULLABLE),
    (r"^deskchat/getSettings/wrong error", NO_REFUSAL),
    (r"^deskchat/getSettings/wrong value /data/theme", FREE),
    (r"^ruoyi/chat_stream_api_ai_dify_chat_stream_post/event", NOT_KEPT),
    (r"^ruoyi/chat_stream_endpoint_api_ai_deepseek_chat_stream_post/event", NOT_KEPT),
    (
        r"^ruoyi/get_chat_messages_api_ai_dify_chats__chat_id__messages_get/item missing",
        "Alone, the operation reads its example at its default size, where a short page is the last one.",
    ),
    (r"^dify/getConversationsList/wrong type . /data/0/inputs/", FREE),
    (r"^dify/getConversationHistory/null .*/mime_type", NULLABLE),
    (r"^dify/getChatAppInfo/wrong value /tags/0", FREE),
    (r"^dify/getChatAppParameters/wrong error status", NO_REFUSAL),
    (
        r"^dify/getChatAppParameters/missing field .*/default",
        "No source says that every input of a form has a default.",
    ),
    (r"^dify/getChatAppParameters/wrong value /text_to_speech/voice", FREE),
    (r"^dify/getChatWebAppSettings/wrong value /default_language", FREE),
    (r"^dify/(createAnnotation|getAnnotationList)/null", NULLABLE),
    (
        r"^dify/getConversation(History|Variables)/(order reversed|item missing)",
        "Alone, the operation reads its example, which has one item; longer lists come from calls of other operations.",
    ),
    (r"^dify/getConversationVariables/variable_name ignored", "The example's one variable has the name asked for."),
    (r"^dify/getAnnotationList/order reversed", "No order is promised: those there from the start are not in order."),
    (
        r"^dify/uploadChatFile/upload lost",
        "The next call refuses a lost upload like one of a kind that the app does not take, which proves nothing.",
    ),
    (r"^dify/uploadChatFile/null /file_key", NULLABLE),
    (
        r"^dify/previewChatFile/wrong media type",
        "A file is served with the type that it was uploaded with, which is any.",
    ),
    (
        r"^dify/(postChatMessageFeedback|getConversationVariables|getInitialAnnotationReplySettingsStatus)/refuses",
        "Good input may be answered with 400 there (schemathesis.toml says why).",
    ),
)
"""(Pattern of names, why nothing finds it.) First match."""


def reason(mutant: str) -> str | None:
    """Why a mutant survives; None where nobody has said."""
    return next((why for pattern, why in REASONS if re.search(pattern, mutant)), None)
