"""Where deskchat's document and the running system disagree, as one entry each. Source: FACTS.md, section 003.

Entries whose two sides are alike record a ruling: both profiles go by what clients need.
"""

from __future__ import annotations

from emulator.backends import Difference

FACTS = "FACTS.md 003"

DIFFERENCES = (
    Difference(
        "deleted_by_uuid",
        "a deleted conversation or message is gone: 404, although its record stays",
        "it can still be reached by its uuid and has status `deleted`; lists, search and statistics leave it out",
        f"{FACTS} (second paragraph); DESIGN.md, Rulings",
    ),
    Difference(
        "message_count",
        "`message_count` is the number of active messages",
        "an answer counts once it is complete: not while it is under way, not when it failed or was cancelled",
        f"{FACTS}, Stream; DESIGN.md, Rulings",
    ),
    Difference(
        "regenerate",
        "regenerating produces a new text and stores it",
        "it answers a fixed placeholder (the wording is ours) and changes nothing",
        f"{FACTS}, Messages",
    ),
    Difference(
        "needs_api_key",
        "every conversation is answered: the document's examples name no key",
        "the stream of a conversation without `api_key_id` or `prompt_id` fails with `生成失败: …` (what follows is "
        "our wording); a chosen scenario is played all the same",
        f"{FACTS}, Stream",
    ),
    Difference(
        "task_id_exposed",
        "pages of other origins may read `X-Task-ID`, without which they could not cancel",
        "the header is sent, but not exposed to them",
        f"{FACTS}, Stream",
    ),
    Difference(
        "camel_case",
        "the camelCase spellings that the page sends are taken where the snake_case one is absent",
        "the same, although the running system ignores or rejects them",
        f"{FACTS} (third paragraph) and the introduction",
    ),
    Difference(
        "batch_paths",
        "`…/batch` is a path of its own, and the operations on many conversations work",
        "the same, although the running system answers 404 or 500 there",
        f"{FACTS}, Conversations, bugs not to copy",
    ),
    Difference(
        "later_operations",
        "settings, export, import and statistics are served",
        "the same, although the revision of the running system that was found lacks them",
        f"{FACTS}, In the seed but absent",
    ),
)
