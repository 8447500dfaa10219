"""Answers: streamed, produced anew, cancelled. Sources: FACTS.md 003, Stream and Messages.

The answer to a question depends on the seed, the question and its place in the conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from emulator.backends import Ask
from emulator.backends.deskchat import times
from emulator.backends.deskchat.lookup import (
    active_messages,
    add_message,
    find_conversation,
    find_message,
    reword,
    touch,
)
from emulator.backends.deskchat.messages import store_said
from emulator.backends.deskchat.records import Conversation, Message, data_of
from emulator.backends.deskchat.turn import DeskTurn, reason_of
from emulator.backends.deskchat.wire import ERRORS, encode, error_reply, success
from emulator.call import Headers, Reply, Stream
from emulator.errors import Refused
from emulator.streams.player import Player, at_once
from emulator.streams.steps import Fail, Say, Step, Wait
from emulator.world import prose

THINKING_SECONDS = 0.35
MOST_TRIES = 8
"""Texts tried until one differs from the last one; short greetings are few."""
NO_KEY = Fail(message="对话未配置API密钥或提示词")
PLACEHOLDER = "这是重新生成的回复内容"

EVENTS: Headers = (
    ("Cache-Control", "no-cache"),
    ("Connection", "keep-alive"),
    # Access-Control-Allow-Origin is the edge's: twice in one reply it would close the stream to every page.
    ("Access-Control-Allow-Headers", "*"),
    ("Content-Type", "text/event-stream; charset=utf-8"),
)


def stream_message(ask: Ask) -> Stream:
    """`streamMessage`: both messages are in the store before the stream begins."""
    world = ask.world
    conversation = find_conversation(ask, ask.body["chat_id"])
    turns = len(data_of(world).messages.where("conversation", conversation.id))
    said = store_said(ask, conversation)
    answer = add_message(world, conversation.id, "assistant", "", finished=False)

    def keep(text: str, whole: bool) -> None:
        message = data_of(world).messages.get(answer.id)
        if message is not None:
            # What was edited while it was under way stays as it was edited.
            reword(world, message, message.content or text, finished=whole)
            touch(world, conversation.id)

    task_id = world.seed.uuid("task")

    def finished() -> None:
        world.running.pop(task_id, None)

    steps = ask.script if ask.script is not None else own_steps(ask, conversation, said.content, turns)
    turn = DeskTurn(said, answer.id, keep)
    player = Player(steps, turn, world.clock, None, finished)
    world.running[task_id] = (None, player)
    headers: Headers = (("X-Task-ID", task_id), *EVENTS)
    if not ask.observed("task_id_exposed"):
        headers = (*headers, ("Access-Control-Expose-Headers", "X-Task-ID"))
    return Stream(200, headers, player, encode)


def turn_of(ask: Ask) -> int:
    """How many things were said in the conversation of a call with it, deleted ones included."""
    messages = data_of(ask.world).messages.where("conversation", ask.body["chat_id"].lower())
    return sum(message.role == "user" for message in messages) + 1


def own_steps(ask: Ask, conversation: Conversation, query: str, turns: int) -> Sequence[Step]:
    """What the backend does of its own accord."""
    if ask.observed("needs_api_key") and None in (conversation.api_key_id, conversation.prompt_id):
        return (NO_KEY,)
    return (Wait(THINKING_SECONDS), Say(prose.answer_to(query, ask.world.seed.rng("answer", f"{turns}\x00{query}"))))


def regenerate(ask: Ask) -> Reply:
    """`regenerateMessage`: the text of an answer is replaced; another message has the answer behind it replaced, or
    gets one. The call does not stream, so it takes as long as the answer does."""
    world = ask.world
    conversation = find_conversation(ask, ask.body["chat_id"])
    message = find_message(ask, ask.body["message_id"])
    if message.conversation_id != conversation.id:
        raise Refused("message_of_other_conversation")
    if ask.observed("regenerate") and ask.script is None:
        return _regenerated(message.id, PLACEHOLDER, world.clock.now())
    question, answer = _pair(active_messages(world, conversation.id), message)
    version = 1 if answer is None else answer.version + 1
    text, version = _other_text(ask, question, answer, version)
    steps = ask.script if ask.script is not None else (Wait(THINKING_SECONDS), Say(text))
    turn = DeskTurn(None, message.id, lambda text, whole: None)
    player = Player(steps, turn, world.clock)
    ask.faults += at_once(player)
    if turn.failure is not None:
        # Whatever status a scenario names: this API has one for everything that fails on its side.
        words = ERRORS["regeneration_failed"][1] + reason_of(turn.failure)
        return replace(error_reply(Refused("regeneration_failed", words)), after=player.seconds)
    if answer is None:
        answer = replace(add_message(world, conversation.id, "assistant", ""), answers=message.id)
    answer = reword(world, answer, turn.text, version)
    touch(world, conversation.id)
    return replace(_regenerated(answer.id, answer.content, answer.updated_at), after=player.seconds)


def _pair(messages: Sequence[Message], message: Message) -> tuple[Message, Message | None]:
    """What is to be answered, and the answer that it has."""
    at = next((i for i, one in enumerate(messages) if one.id == message.id), len(messages))
    if message.role == "assistant":
        questions = [one for one in messages[:at] if one.role == "user"]
        return (questions[-1] if questions else message), message
    made = next((one for one in messages if one.answers == message.id), None)
    if made is not None:
        return message, made
    behind = messages[at + 1] if at + 1 < len(messages) else None
    return message, behind if behind is not None and behind.role == "assistant" else None


def _other_text(ask: Ask, question: Message, answer: Message | None, version: int) -> tuple[str, int]:
    """Another answer than the last one, and its version."""
    text = ""
    for number in range(version, version + MOST_TRIES):
        rng = ask.world.seed.rng("answer", f"again {number}\x00{question.content}")
        text, version = prose.answer_to(question.content, rng), number
        if answer is None or text != answer.content:
            break
    return text, version


def _regenerated(message_id: str, text: str, at: float) -> Reply:
    return success(
        "消息重新生成成功", {"message_id": message_id, "new_content": text, "regenerated_at": times.shown(at)}
    )


def cancel(ask: Ask) -> Reply:
    """`cancelStream`: an unknown task is told by the envelope's code, the status stays 200."""
    task_id = ask.query["task_id"]
    _, performance = ask.world.running.get(task_id, (None, None))
    if performance is None:
        return success("任务不存在或已完成", {"task_id": task_id}, code=404)
    performance.stop()
    return success("流式生成已取消", {"task_id": task_id})


def terminate(ask: Ask) -> Reply:
    """Cancel everything under way in this session. Not documented; the message's wording is ours."""
    running = list(ask.world.running.values())
    for _, performance in running:
        performance.stop()
    return success("所有流式生成已终止", {"cancelled_count": len(running)})
