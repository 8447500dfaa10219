"""Where RuoYi's document and the running system disagree, one entry each.

Entries whose two sides are alike record a ruling: both profiles go by what clients need.
"""

from __future__ import annotations

from emulator.backends import Difference

FACTS = "FACTS.md 000"

DIFFERENCES = (
    Difference(
        "bad_token_status",
        "a bad or expired token gets HTTP 401 with RuoYi's body",
        "it gets HTTP 200 with the same body",
        f"{FACTS} Auth; DESIGN.md, Rulings",
    ),
    Difference(
        "crash_status",
        "an unexpected failure gets HTTP 500 with `code` and `msg`",
        "it gets HTTP 200 with `code` 500 in RuoYi's envelope",
        f"{FACTS} Errors",
    ),
    Difference(
        "completion_place",
        "DeepSeek's completion is the envelope's `data`",
        "the same, although another revision of the code puts it into `msg`",
        f"{FACTS} DeepSeek operations",
    ),
    Difference(
        "chunk_prefix",
        "each frame of DeepSeek's stream has one `data: `",
        "the same, although another revision of the code doubles it",
        f"{FACTS} DeepSeek operations",
    ),
    Difference(
        "stream_media_type",
        "streams are `text/event-stream`, although the document's table says `application/json`",
        "the same",
        f"{FACTS} Dify operations",
    ),
    Difference(
        "dify_token",
        "the Dify operations need a token, although the document names no current user for them",
        "the same",
        f"{FACTS} Auth",
    ),
)
