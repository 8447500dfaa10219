"""Messages: sending one, at once or as a stream, listing, deleting. Source: FACTS.md 004 (messages)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from emulator.backends import Ask
from emulator.backends.toolchat import assistant
from emulator.backends.toolchat.conversations import find_conversation
from emulator.backends.toolchat.records import Conversation, Message, data_of, new_id, touch
from emulator.backends.toolchat.turn import ToolchatTurn
from emulator.backends.toolchat.wire import EVENTS, encode, error_reply, success
from emulator.call import Reply, Stream
from emulator.errors import Refused
from emulator.streams.player import Player, at_once
from emulator.streams.steps import Step
from emulator.world.clock import Clock
from emulator.world.session import World


def exchange(
    world: World,
    clock: Clock,
    conversation: Conversation,
    content: str,
    steps: Sequence[Step],
    ids: tuple[str, str] | None = None,
) -> tuple[Message, ToolchatTurn, Player]:
    """Keep a question and make its answer ready to be played. `ids` are those of question and answer, new ones where
    none are given."""
    data = data_of(world)
    own, id = ids or (new_id(world, "msg", data.messages), new_id(world, "msg", data.messages))
    now = clock.now()
    conversation = touch(data.conversations, replace(conversation, updated_at=now, turns=conversation.turns + 1))
    question = data.messages.put(Message(own, conversation.id, "user", content, now))
    thought = assistant.thought(world.seed, content) if conversation.thinking_enabled else None
    turn = ToolchatTurn(world, clock, conversation, question, id, thought)

    def over() -> None:
        world.running.pop(id, None)

    return question, turn, Player(steps, turn, clock, finished=over)


def _exchange(ask: Ask) -> tuple[Message, ToolchatTurn, Player]:
    conversation = find_conversation(ask, ask.body["conversation_id"])
    content, tools_enabled = ask.body["content"], ask.body["tools_enabled"]
    steps = ask.script
    if steps is None:
        steps = assistant.answer(ask.world.seed, conversation, content, tools_enabled)
    return exchange(ask.world, ask.world.clock, conversation, content, steps)


def send_message(ask: Ask) -> Reply:
    """`sendMessage`: the whole answer at once, after the time it takes. A failure is an ordinary error."""
    question, turn, player = _exchange(ask)
    ask.faults += at_once(player)
    if turn.failure is not None:
        refused = Refused("model_failed", turn.failure.message, turn.failure.status)
        return replace(error_reply(ask, refused), after=player.seconds)
    assert turn.answer is not None
    reply = success({"user_message": question.shown(), "assistant_message": turn.answer.shown()})
    return replace(reply, after=player.seconds)


def stream_message(ask: Ask) -> Stream:
    """`streamMessage`."""
    _, turn, player = _exchange(ask)
    # Nobody can stop it, but it must not outlive its session.
    ask.world.running[turn.id] = (ask.caller.user.id, player)
    return Stream(200, EVENTS, player, encode)


def turn_of(ask: Ask) -> int:
    """How many questions the conversation of a call has heard with it."""
    conversation = data_of(ask.world).conversations.get(ask.body["conversation_id"])
    return 1 if conversation is None else conversation.turns + 1


def list_messages(ask: Ask) -> Reply:
    """`listMessages`: the newest, the oldest of them first."""
    conversation = find_conversation(ask, ask.path["id"])
    newest = data_of(ask.world).messages.where("conversation", conversation.id)[-ask.query["limit"] :]
    return success([message.shown() for message in newest])


def delete_message(ask: Ask) -> Reply:
    """`deleteMessage`: of the caller's conversations."""
    data = data_of(ask.world)
    message = data.messages.get(ask.path["id"])
    conversation = None if message is None else data.conversations.get(message.conversation_id)
    if message is None or conversation is None or conversation.user_id != ask.caller.user.id:
        raise Refused("message_not_found")
    data.messages.drop(message.id)
    return success(message="消息删除成功")
