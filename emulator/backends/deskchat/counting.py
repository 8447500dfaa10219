"""Titles made of texts, and statistics. Sources: FACTS.md 003, Title and In the seed but absent.

Everything in the statistics is counted from the same two lists, so the parts add up to the totals.
"""

from __future__ import annotations

import bisect
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from emulator.backends import Ask
from emulator.backends.deskchat.lookup import active_conversations
from emulator.backends.deskchat.records import Conversation, Message, data_of
from emulator.backends.deskchat.times import shown
from emulator.backends.deskchat.wire import success
from emulator.call import Reply

HOUR = 3600
DAY = 24 * HOUR
DAYS = {"week": 7, "month": 30}
ROLES = ("user", "assistant", "system")


def generate_title(ask: Ask) -> Reply:
    """`generateTitle`: runs of white space become one blank, then the text is cut."""
    text = " ".join(ask.body["content"].split())
    longest = int(ask.body["max_length"])
    return success("标题生成成功", {"title": text if len(text) <= longest else text[:longest] + "..."})


def get_statistics(ask: Ask) -> Reply:
    """`getStatistics`: what was created in a range of time that ends now and is still there."""
    kind, now = ask.query["time_range"], ask.world.clock.now()
    begins = parts_of(kind, now)

    def within(one: Conversation | Message) -> bool:
        return begins[0] <= one.created_at <= now

    reachable = {one.id: one for one in active_conversations(ask.world, ask.query.get("group_id"))}
    conversations = [one for one in reachable.values() if within(one)]
    messages = [
        one
        for one in data_of(ask.world).messages
        if one.status == "active" and one.conversation_id in reachable and within(one)
    ]
    roles = Counter(one.role for one in messages)
    return success(
        "获取统计信息成功",
        {
            "time_range": kind,
            "begin_time": shown(begins[0]),
            "end_time": shown(now),
            "total_conversations": len(conversations),
            "total_messages": len(messages),
            **{f"{role}_messages": roles[role] for role in ROLES},
            "total_tokens": sum(one.tokens for one in messages),
            "total_characters": sum(len(one.content) for one in messages),
            "groups": _groups(ask, conversations, [reachable[one.conversation_id] for one in messages]),
            "trend": _trend(begins, conversations, messages),
        },
    )


def parts_of(kind: str, now: float) -> list[float]:
    """When the parts of a range begin: the hours of today, the last 7 or 30 days, the last 12 calendar months."""
    midnight = now // DAY * DAY
    if kind == "day":
        return [midnight + hour * HOUR for hour in range(24)]
    if kind in DAYS:
        return [midnight - back * DAY for back in reversed(range(DAYS[kind]))]
    today = datetime.fromtimestamp(midnight, UTC)
    months = [today.year * 12 + today.month - 1 - back for back in reversed(range(12))]
    return [datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp() for month in months]


def _groups(ask: Ask, conversations: list[Conversation], of_messages: list[Conversation]) -> list[dict[str, Any]]:
    """Counts by group, in the order of their numbers; groups without anything are left out."""
    groups = data_of(ask.world).groups
    talks = Counter(one.group_id for one in conversations)
    said = Counter(one.group_id for one in of_messages)
    shown_groups = []
    for number in sorted(talks.keys() | said.keys()):
        group = groups.get(number)
        name = "" if group is None else group.name
        shown_groups.append(
            {"group_id": number, "name": name, "conversations": talks[number], "messages": said[number]}
        )
    return shown_groups


def _trend(begins: list[float], conversations: list[Conversation], messages: list[Message]) -> list[dict[str, Any]]:
    talks = Counter(bisect.bisect_right(begins, one.created_at) - 1 for one in conversations)
    said = Counter(bisect.bisect_right(begins, one.created_at) - 1 for one in messages)
    return [
        {"begin_time": shown(begin), "conversations": talks[part], "messages": said[part]}
        for part, begin in enumerate(begins)
    ]
