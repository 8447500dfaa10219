"""What is there from the start: a user who can log in, and conversations of two callers, in English and Chinese, some
with pictures. Times lie in the days before the session began."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from emulator.backends.plainchat.chat import start_conversation
from emulator.backends.plainchat.records import Attached, File, Message, User, data_of
from emulator.world import prose
from emulator.world.media import picture_png
from emulator.world.session import World

HOUR = 3600.0
DAY = 24 * HOUR

DEMO, PASSWORD = "demo", "demo-password"
CALLER = "abc-123"
"""Who asks in the spec's examples. Chatting needs no registration, and this user has none."""

TO_READ = "e20b6c7f-94d1-4a38-85ef-7b3d1a0c9f62"
TO_CONTINUE = "3f0c8a52-7d1e-4b96-a5c4-2e8f1d0b9a61"
TO_DELETE = "27f8d5a0-1c6b-4e93-9b72-a4d0e3f6c815"
ANSWERED = "6b4e0d93-2f81-4c57-8a1d-9e3c5b7f0a26"
"""Conversations and a message that the spec's examples name, each for one operation."""


@dataclass(frozen=True, slots=True)
class Pictured:
    """A question and an answer, and the picture that came with one of them."""

    query: str
    answer: str
    id: str
    name: str
    belongs_to: Literal["user", "assistant"]


PICTURES = (
    Pictured(
        "这张图片里有什么？",
        "这是一幅由彩色方块拼成的图案，颜色从一角慢慢过渡到另一角，没有文字，也没有人物。",
        "0d6f2a8b-51c7-4e39-a4f0-8b7c3e9d1a52",
        "photo.png",
        "user",
    ),
    Pictured(
        "能用别的颜色再画一张吗？",
        "好的，这是换了颜色的一张。如果想要更深的色调，请告诉我。",
        "a3c95e17-2b40-4f86-9d1b-6e0f7a4c8d23",
        "drawing.png",
        "assistant",
    ),
)


def populate(world: World) -> None:
    """Fill a session's world."""
    data_of(world).users.put(User(DEMO, PASSWORD))
    day = world.clock.epoch - 9 * DAY
    _converse(world, TO_DELETE, CALLER, "en", day, turns=1)
    _converse(world, TO_CONTINUE, CALLER, "en", day + 22 * HOUR, turns=2)
    _converse(world, _id(world, CALLER), CALLER, "zh", day + 2 * DAY, turns=2, first=ANSWERED)
    _talk_of_pictures(world, CALLER, day + 4 * DAY)
    for number, language in enumerate(("en", "zh", "en", "zh")):
        at = day + (3 + number) * DAY + number * 3 * HOUR
        _converse(world, _id(world, f"{DEMO} {number}"), DEMO, language, at, turns=2 + number % 3)


def _id(world: World, key: str) -> str:
    return world.seed.fixed_uuid("seeded", key)


def _converse(
    world: World, id: str, username: str, language: str, at: float, turns: int, first: str | None = None
) -> None:
    """One conversation. `first` is the id of its first message, where that is given."""
    data = data_of(world)
    rng = world.seed.rng("history", id)
    at += rng.randint(0, 3599)
    query = prose.question(rng, language)
    conversation = start_conversation(world, id, username, query, at)
    for turn in range(turns):
        message_id = first if first is not None and turn == 0 else _id(world, f"{id} {turn}")
        message = data.messages.put(Message(message_id, id, username, query, at, prose.answer_to(query, rng)))
        data.conversations.put(replace(conversation, updated_at=at))
        query = rng.choice(prose.follow_ups(query, message.answer, rng))
        at += rng.randint(40, 900)


def _talk_of_pictures(world: World, username: str, at: float) -> None:
    """The conversation to read has a picture of its user's, and one that was drawn for an answer."""
    data = data_of(world)
    conversation = start_conversation(world, TO_READ, username, PICTURES[0].query, at)
    for number, one in enumerate(PICTURES):
        time = at + number * 90
        data.files.put(File(one.id, username, one.name, "image/png", picture_png(one.query, 96, 96)))
        file = Attached(one.id, one.belongs_to)
        id = _id(world, f"{TO_READ} {number}")
        data.messages.put(Message(id, TO_READ, username, one.query, time, one.answer, (file,)))
        data.conversations.put(replace(conversation, updated_at=time))
