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
