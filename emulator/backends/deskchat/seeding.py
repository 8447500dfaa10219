"""What is there from the start: nine conversations in three groups, in English and Chinese, in the days before the
session began. Those with fixed uuids are the ones that the spec's examples name, one for each thing that can be done.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from emulator.backends.deskchat.conversations import start_conversation
from emulator.backends.deskchat.lookup import add_message, default_group
from emulator.backends.deskchat.records import DEFAULT_GROUP, Conversation, Group, Json, data_of
from emulator.wire.numbers import next_number
from emulator.world import prose
from emulator.world.session import World

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR

CONVERSATION = "5f0c1a52-3d8e-4b67-9a41-2c7e8d915b{:02d}"
MESSAGE = "8d2b6e70-91c4-4f3a-b5d8-6a0f3e7c4d{:02d}"
WORK, STUDY = 2, 3
PICTURE: Json = {"url": "https://example.com/plan.png", "width": 800}


@dataclass(frozen=True, slots=True)
class Plan:
    """One conversation to be. `turns` are questions with an answer, `first` the uuid of the first question."""

    group_id: int
    language: str
    turns: int
    days_ago: float
    system: str | None = None
    picture: bool = False
    first: str | None = None


PLANS = (
    Plan(DEFAULT_GROUP, "en", 2, 8.2, system="You are a patient assistant. Answer in short sentences."),
    Plan(DEFAULT_GROUP, "zh", 1, 7.4),
    Plan(WORK, "en", 3, 6.3),
    Plan(DEFAULT_GROUP, "zh", 2, 5.1, picture=True),
    Plan(STUDY, "en", 2, 4.6),
    # Not in conversation 1, which tools that follow lists come upon and delete.
    Plan(STUDY, "zh", 2, 3.2, first=MESSAGE.format(2)),
    Plan(WORK, "en", 1, 2.5),
    Plan(STUDY, "zh", 1, 1.3),
)
"""Conversations 2 to 9: to change, delete, empty, move, move (two) and delete (two) in the examples."""

FIRST = (
    (MESSAGE.format(1), "user", "你好，请帮我分析一下这个项目的可行性"),
    (MESSAGE.format(3), "assistant", "可行。先从需求开始。"),
    (None, "user", "需求已经整理好了，下一步做什么？"),
    (None, "assistant", "先请五位同事试用一周，再根据他们的反馈决定是否继续。"),
)
"""What was said in conversation 1: uuid, role, text."""


def populate(world: World) -> None:
    """Fill a session's world."""
    _make_groups(world)
    _make_first(world)
    for number, plan in enumerate(PLANS, start=2):
        _make(world, number, plan)


def _make_groups(world: World) -> None:
    groups = data_of(world).groups
    at = world.clock.epoch - 30 * DAY
    groups.put(replace(default_group(world), created_at=at, updated_at=at))
    for name, description, color in (
        ("工作对话", "与工作相关的对话", "#2196F3"),
        ("Study", "Languages, books and courses", "#4CAF50"),
    ):
        number = next_number(world, "group")
        made = at + number * HOUR
        groups.put(Group(DEFAULT_GROUP + number, name, description, color, number, made, made))


def _make_first(world: World) -> None:
    begun, resumed = world.clock.epoch - 9 * DAY, world.clock.epoch - 2 * HOUR
    start_conversation(
        world,
        title="项目讨论",
        description="关于新项目的讨论",
        group_id=WORK,
        config={"temperature": 0.7},
        created_at=begun,
        updated_at=resumed + 3 * MINUTE,
        uuid=CONVERSATION.format(1),
        api_key_id=1,
        prompt_id=1,
    )
    ats = (begun + MINUTE, begun + MINUTE + 5, resumed, resumed + 3 * MINUTE)
    for (uuid, role, text), at in zip(FIRST, ats, strict=True):
        add_message(world, CONVERSATION.format(1), role, text, at=at, uuid=uuid)


def _make(world: World, number: int, plan: Plan) -> None:
    """One conversation: perhaps a system message, then questions and answers."""
    rng = world.seed.rng("history", str(number))
    at = world.clock.epoch - plan.days_ago * DAY - rng.randint(0, 3 * 3600)
    query = prose.question(rng, plan.language)
    conversation = start_conversation(
        world,
        title=prose.title_of(query, rng),
        description=None if number % 2 else query,
        group_id=plan.group_id,
        config={"temperature": rng.choice((0.2, 0.5, 0.9))},
        created_at=at,
        updated_at=at,
        uuid=CONVERSATION.format(number),
        api_key_id=1,
        prompt_id=1,
    )
    if plan.system is not None:
        add_message(world, conversation.id, "system", plan.system, at=at)
    picture, uuid = (PICTURE if plan.picture else None), plan.first
    for _ in range(plan.turns):
        at, query = _exchange(world, conversation, query, picture, uuid, at, rng)
        picture = uuid = None
    data_of(world).conversations.put(replace(conversation, updated_at=at))


def _exchange(
    world: World,
    conversation: Conversation,
    query: str,
    picture: Json | None,
    uuid: str | None,
    at: float,
    rng: random.Random,
) -> tuple[float, str]:
    """A question and its answer; returns when it was over and what may be asked next."""
    kind = "text" if picture is None else "image"
    add_message(world, conversation.id, "user", query, kind, picture, at=at + 20, uuid=uuid)
    answer = prose.answer_to(query, rng)
    at += 20 + rng.randint(3, 9)
    add_message(world, conversation.id, "assistant", answer, at=at)
    return at + rng.randint(40, 600), rng.choice(prose.follow_ups(query, answer, rng))
