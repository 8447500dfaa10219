"""What is there from the start: chats of both users with their messages, in English and Chinese. Times lie in the days
before the session began. Numbers 1 to 4 are those that the spec's examples name."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from emulator.backends.ruoyi.chats import APOLOGY, new_chat, new_message
from emulator.backends.ruoyi.records import Chat, Conversation, Json, data_of
from emulator.wire.dify_usage import FRAME_TOKENS, usage
from emulator.world import prose
from emulator.world.session import World

HOUR = 3600.0
DAY = 24 * HOUR
APP = 1
OWNERS = ((1, "en"), (1, "zh"), (1, "en"), (1, "zh"), (1, None), (2, "zh"), (2, "en"), (2, "zh"))
"""Owner and language of each chat, by number; without a language it was saved from a call of DeepSeek."""
FAILED_IN = 3
"""The chat in which the model has failed once."""
SAVED = (
    ("system", "You are a patient teacher."),
    ("user", "为什么天空是蓝色的？"),
    ("assistant", "阳光穿过空气时，蓝光比红光散射得更多，所以从各个方向进入眼睛的多是蓝光。"),
    ("user", "那傍晚为什么变红？"),
    ("assistant", "傍晚的光要穿过更厚的空气，蓝光大多已经散射掉了，剩下的就偏红。"),
)


def populate(world: World) -> None:
    """Fill a session's world."""
    asked: set[str] = set()
    for number, (owner, language) in enumerate(OWNERS):
        rng = world.seed.rng("history", str(number))
        at = world.clock.epoch - (len(OWNERS) - number) * DAY + rng.randint(-8 * 3600, 8 * 3600)
        if language is None:
            _saved(world, owner, at)
        else:
            query = prose.question(rng, language)
            while query in asked:
                query = prose.question(rng, language)
            asked.add(query)
            _talk(world, owner, query, at, rng)


def _saved(world: World, owner: int, at: float) -> None:
    chat = new_chat(world, f"DeepSeek对话 {len(SAVED)} 条消息", APP, owner, at)
    for role, content in SAVED:
        new_message(world, chat, role, content, at)


def _talk(world: World, owner: int, query: str, at: float, rng: Random) -> None:
    """A chat of two to four turns."""
    chat = new_chat(world, prose.title_of(query, rng), APP, owner, at)
    turns = rng.randint(2, 4)
    for turn in range(turns):
        failed = chat.id == FAILED_IN and turn == 0
        answer = APOLOGY if failed else prose.answer_to(query, rng)
        took = 1.0 + rng.randint(0, 4000) / 1000
        _exchange(world, chat, query, answer, (at, took), failed)
        if not failed:
            # After a failure the same is asked again.
            query = rng.choice(prose.follow_ups(query, answer, rng))
        at += rng.randint(40, 900)
    data = data_of(world)
    conversation = Conversation(world.seed.uuid("conversation"), APP, owner, turns)
    data.conversations.put(conversation)
    data.chats.put(replace(chat, updated_at=at, conversation_id=conversation.id))


def _exchange(world: World, chat: Chat, query: str, answer: str, when: tuple[float, float], failed: bool) -> None:
    """A question and its answer, `when` it was asked and how long it took."""
    at, took = when
    new_message(world, chat, "user", query, at)
    if failed:
        text = "The model did not answer."
        new_message(world, chat, "assistant", answer, at + took, status="failed", error=text, tokens=0)
        return
    prompt, completion = prose.tokens_in(query) + FRAME_TOKENS, prose.tokens_in(answer)
    metadata: Json = {
        "annotation_reply": None,
        "retriever_resources": [],
        "usage": usage(prompt, completion, took, round(took / 4, 3)),
    }
    new_message(world, chat, "assistant", answer, at + took, metadata=metadata)
