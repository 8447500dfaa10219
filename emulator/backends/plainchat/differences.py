"""Where plainchat's document and the running system disagree, each as one entry.

Entries whose two sides are alike record a ruling: both profiles go by what clients need.
"""

from __future__ import annotations

from emulator.backends import Difference

FACTS = "FACTS.md 001"

DIFFERENCES = (
    Difference(
        "suggest_body",
        "suggestions come as an object with `data`",
        "they come as a bare array, and the system's own page reads nothing else",
        f"{FACTS} table, next_suggest body [001-py, 001-web]",
    ),
    Difference(
        "history_body",
        "a history comes as an object with `data`",
        "it comes as a bare array, and the system's own page reads nothing else",
        f"{FACTS} table, history body [001-py, 001-web]",
    ),
    Difference(
        "times",
        "times are ISO texts in UTC",
        "they are the integer seconds of the system behind it",
        f"{FACTS} table, times [001-py]; DESIGN.md, Rulings",
    ),
    Difference(
        "suggest_failure",
        "suggestions for an unknown message get 404 `消息不存在`",
        "they get 500; its text is not known, so it is the one that the system has for all it did not expect",
        f"{FACTS} next_suggest [001-py]; DESIGN.md, Rulings",
    ),
    Difference(
        "history_failure",
        "the history of an unknown conversation gets 404 `对话不存在`",
        "it gets 500 `服务器内部错误`",
        f"{FACTS} history [001-py]; DESIGN.md, Rulings",
    ),
    Difference(
        "chat_not_json",
        "a question that is no JSON gets 400 `请求数据格式错误`",
        "it gets 500 `服务器内部错误`",
        f"{FACTS} POST /api/chat [001-py, 001-go]; DESIGN.md, Rulings",
    ),
    Difference(
        "failure_marker",
        "every failure of an answer is a chunk that begins with `[ERROR]`",
        "the same, although what the system behind it refuses ends the text without any marker: the scenario "
        "`ends-without-marker` does so",
        f"{FACTS} POST /api/chat, Failure [001-py, inferred]; DESIGN.md, Small print",
    ),
    Difference(
        "chat_content_type",
        "an answer is `text/plain; charset=utf-8`",
        "the same, although a later rewrite says `text/event-stream` of the same unframed text",
        f"{FACTS} table, chat content type [001-py, 001-go]; DESIGN.md, Rulings",
    ),
    Difference(
        "origins",
        "browsers may call from any origin",
        "the same, although the running system names its origins: the setting `origins` does so",
        f"{FACTS} Users, CORS [001-py]; DESIGN.md, CORS",
    ),
)
