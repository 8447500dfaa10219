"""Asking, and what could be asked next. Source: FACTS.md 001, POST /api/chat and next_suggest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from emulator.backends import Ask
from emulator.backends.plainchat.conversations import own_conversation
from emulator.backends.plainchat.records import Attached, Conversation, Message, data_of
from emulator.backends.plainchat.turn import PlainTurn
from emulator.backends.plainchat.wire import TEXT, encode, reply_json
from emulator.call import Reply, Stream
from emulator.errors import Refused
from emulator.streams.player import Player
from emulator.streams.steps import Bytes, Fail, Say, Send, Step, Wait
from emulator.world import prose
from emulator.world.session import World

THINKING_SECONDS = 0.35


def send_message(ask: Ask) -> Stream:
    """`sendChatMessage`. What the system behind it refuses, it says in the text: the status is always 200."""
    world, data = ask.world, data_of(ask.world)
    username, query = ask.body["username"], ask.body["message"].strip()
    try:
        conversation = _conversation(ask, username, ask.body.get("conversation_id") or "")
        files = _attached(ask, username, ask.body.get("file_ids") or ())
    except Refused as refused:
        return Stream(200, TEXT, Player((Fail(refused.code),), PlainTurn(world, None), world.clock), encode)
    now = world.clock.now()
    if conversation is None:
        conversation = start_conversation(world, world.seed.uuid("conversation"), username, query, now)
    else:
        data.conversations.put(replace(conversation, updated_at=now))
    turn_number = len(data.messages.where("conversation", conversation.id))
    message = data.messages.put(Message(world.seed.uuid("message"), conversation.id, username, query, now, files=files))
    steps = ask.script if ask.script is not None else script(world, query, turn_number)
    # A raw event is bytes here, and only events are noted for the history.
    steps = [Send(step.data) if isinstance(step, Bytes) else step for step in steps]

    def finished() -> None:
        world.running.pop(message.id, None)

    player = Player(steps, PlainTurn(world, message), world.clock, finished=finished)
    # Nobody can stop it by a call, but it ends with its session.
    world.running[message.id] = (username, player)
    return Stream(200, TEXT, player, encode)


def turn_of(ask: Ask) -> int:
    """How many questions the conversation of a call has heard with it."""
    return len(data_of(ask.world).messages.where("conversation", ask.body.get("conversation_id") or "")) + 1


def suggestions(ask: Ask) -> Reply:
    """`getNextSuggestions`."""
    message = data_of(ask.world).messages.get(ask.path["message_id"])
    if message is None or message.username != ask.query["username"]:
        raise Refused("message_not_found")
    rng = ask.world.seed.rng("suggested", message.id)
    listed = prose.follow_ups(message.query, message.answer, rng)
    return reply_json(listed if ask.observed("suggest_body") else {"data": listed})


def start_conversation(world: World, id: str, username: str, query: str, now: float) -> Conversation:
    """A new conversation, named after its first question."""
    name = prose.title_of(query, world.seed.rng("title", id))
    return data_of(world).conversations.put(Conversation(id, username, name, now, now))


def script(world: World, query: str, turn: int) -> Sequence[Step]:
    """What is answered without a scenario. The same question at the same turn of a conversation gets the same
    answer."""
    answer = prose.answer_to(query, world.seed.rng("answer", f"{turn}\x00{query}"))
    return (Wait(THINKING_SECONDS), Say(answer))


def _conversation(ask: Ask, username: str, id: str) -> Conversation | None:
    """The conversation to go on with, None for a new one. Raises Refused for one that is not the user's."""
    if not id:
        return None
    found = own_conversation(ask, id, username)
    if found is None:
        raise Refused("conversation_not_exists")
    return found


def _attached(ask: Ask, username: str, ids: Sequence[str]) -> tuple[Attached, ...]:
    """The files of a question, each once. Raises Refused for one that the user did not upload."""
    files = data_of(ask.world).files
    for id in ids:
        file = files.get(id)
        if file is None or file.username != username:
            raise Refused("file_not_found")
    return tuple(Attached(id, "user") for id in dict.fromkeys(ids))
