"""Search over titles, descriptions and the texts of messages. Source: FACTS.md 003, Search."""

from __future__ import annotations

from emulator.backends import Ask
from emulator.backends.deskchat import times
from emulator.backends.deskchat.lookup import active_conversations
from emulator.backends.deskchat.records import Conversation, Message, data_of
from emulator.backends.deskchat.shapes import found_conversation, found_message
from emulator.backends.deskchat.wire import success
from emulator.call import Reply
from emulator.world.paging import by_number


def contains(keyword: str, *texts: str | None) -> bool:
    """Whether a text has the keyword in it, whatever its case; `keyword` is case-folded already."""
    return not keyword or any(text is not None and keyword in text.casefold() for text in texts)


def search(ask: Ask) -> Reply:
    """`searchChats`: both parts are always there, each paged on its own, the newest first."""
    query = ask.query
    keyword = query["keyword"].casefold()
    kind, page, size = query["type"], query["pageNum"], query["pageSize"]
    reachable = active_conversations(ask.world, query.get("group_id"))
    conversations = _conversations(reachable, keyword, times.asked(query)) if kind in ("all", "chat") else []
    messages = _messages(ask, reachable, keyword, times.asked(query)) if kind in ("all", "message") else []
    return success(
        "搜索完成",
        {
            "conversations": [found_conversation(ask, one) for one in by_number(conversations, page, size)],
            "messages": [found_message(one, of) for one, of in by_number(messages, page, size)],
        },
    )


def _conversations(reachable: list[Conversation], keyword: str, within: times.Range) -> list[Conversation]:
    found = [one for one in reachable if within.holds(one.created_at) and contains(keyword, one.title, one.description)]
    return sorted(found, key=lambda one: (one.created_at, one.number), reverse=True)


def _messages(
    ask: Ask, reachable: list[Conversation], keyword: str, within: times.Range
) -> list[tuple[Message, Conversation]]:
    by_id = {one.id: one for one in reachable}
    found = [
        (one, by_id[one.conversation_id])
        for one in data_of(ask.world).messages
        if one.status == "active"
        and one.conversation_id in by_id
        and within.holds(one.created_at)
        and contains(keyword, one.content)
    ]
    return sorted(found, key=lambda pair: (pair[0].created_at, pair[0].number), reverse=True)
