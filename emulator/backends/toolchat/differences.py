"""Where the document leaves a choice and a running system of its kind makes another one than the document's reader
would expect. No running system was found, so `observed` is what FastAPI does of its own accord.

Entries whose two sides are alike record a ruling on what the document does not say.
"""

from __future__ import annotations

from emulator.backends import Difference

FACTS = "FACTS.md 004"

DIFFERENCES = (
    Difference(
        "error_envelope",
        "refusals have `success` false, `message` and `detail`",
        "they have `detail` alone, as FastAPI sends them",
        f"{FACTS} Envelope [inferred]",
    ),
    Difference(
        "taken_status",
        "a name or address that is taken gets 409",
        "it gets 400",
        f"{FACTS} register [inferred]; specs/toolchat.yaml",
    ),
    Difference(
        "slash_redirect",
        "list paths answer with and without the slash at their end",
        "without it they redirect (307), and many clients lose their token on the way",
        f"{FACTS} Envelope [inferred]",
    ),
    Difference(
        "filtered_categories",
        "`categorized` always has all four categories, those filtered out are empty",
        "with `category` it has only that one",
        f"{FACTS} tools [inferred]",
    ),
    Difference(
        "event_kind",
        "an event's kind stands in its `event:` line and in the `type` of its data",
        "the same: either may be what a client reads",
        f"{FACTS} Stream [inferred]",
    ),
    Difference(
        "message_list",
        "`data` of a message list is an array",
        "the same, although it may be a page object",
        f"{FACTS} messages [inferred]",
    ),
)
