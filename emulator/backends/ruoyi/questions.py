"""Questions to a Dify app: outside any chat, and as messages of one. Source: FACTS.md 000 (Dify operations)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from emulator.backends import Ask
from emulator.backends.ruoyi.app_turn import AppTurn, Keeper
from emulator.backends.ruoyi.chats import Unkept, Waiting, app_in, new_message, own_chat, touch
from emulator.backends.ruoyi.failures import never_opens
from emulator.backends.ruoyi.playing import streamed, whole
from emulator.backends.ruoyi.records import Conversation, Json, data_of
from emulator.backends.ruoyi.wire import bare, error_reply
from emulator.call import Reply, Stream
from emulator.errors import Refused
from emulator.streams.steps import Say, Step, ToolCall, ToolResult, Wait
from emulator.world import prose

THINKING_SECONDS = 0.35


def ask_app(ask: Ask) -> Reply | Stream:
    """`chat_api_ai_dify_chat_post`: the whole answer, whatever `streaming` says."""
    return _question(ask, streaming=False)


def ask_app_stream(ask: Ask) -> Reply | Stream:
    """`chat_stream_api_ai_dify_chat_stream_post`: a stream, whatever `streaming` says."""
    return _question(ask, streaming=True)


def _question(ask: Ask, streaming: bool) -> Reply | Stream:
    body = ask.body
    app_id = app_in(body)
    wanted = (body.get("conversation_id") or "").strip().lower()
    conversation = _next_turn(ask, app_id, wanted) if wanted else _begun(ask, app_id)
    query = body["query"].replace("\x00", "")
    turn, steps = _turn(ask, query, conversation, Unkept())
    if streaming and not never_opens(steps):
        return streamed(ask, turn, steps, turn.task_id)
    return whole(ask, turn, steps, lambda: _shown(ask, turn, lambda: _answered(turn)))


def turn_of(ask: Ask) -> int:
    """How many questions a conversation with an app, or the messages for DeepSeek, have heard with this one."""
    data = data_of(ask.world)
    id: str | None
    if "chat_id" in ask.path:
        chat = data.chats.get(ask.path["chat_id"])
        id = chat.conversation_id if chat is not None else None
    elif "messages" in ask.body:
        asked = [message for message in ask.body["messages"] if message["role"] == "user"]
        return max(1, len(asked))
    else:
        id = (ask.body.get("conversation_id") or "").strip().lower()
    conversation = data.conversations.get(id)
    return 1 if conversation is None else conversation.turns + 1


def _answered(turn: AppTurn) -> Json:
    """Dify's own answer."""
    return {
        "event": "message",
        "task_id": turn.task_id,
        "id": turn.message_id,
        "message_id": turn.message_id,
        "conversation_id": turn.conversation_id,
        "mode": "chat",
        "answer": turn.answer,
        "metadata": turn.metadata,
        "created_at": turn.created_at,
    }


def send_message(ask: Ask) -> Reply | Stream:
    """`send_message_api_ai_dify_chats__chat_id__messages_post`: both messages are kept, and the conversation for the
    next turn."""
    chat, world = own_chat(ask), ask.world
    content = ask.body["content"].replace("\x00", "")
    now = world.clock.now()
    conversation = _continued(ask, chat.app_id, chat.conversation_id)
    question = new_message(world, chat, "user", content, now)
    waiting = new_message(world, chat, "assistant", "", now, status="processing")
    touch(world, chat.id, now, conversation_id=conversation.id)
    turn, steps = _turn(ask, content, conversation, Waiting(world, waiting))
    if ask.body.get("streaming") and not never_opens(steps):
        return streamed(ask, turn, steps, turn.task_id)
    kept = {"user_message_id": question.id, "assistant_message_id": waiting.id}
    return whole(ask, turn, steps, lambda: _shown(ask, turn, lambda: {**kept, **_sent(turn)}))


def _sent(turn: AppTurn) -> Json:
    """What a chat tells of an answer beside the numbers of its messages."""
    return {"conversation_id": turn.conversation_id, "message_id": turn.message_id, "answer": turn.answer}


def _turn(ask: Ask, query: str, conversation: Conversation, keeper: Keeper) -> tuple[AppTurn, Sequence[Step]]:
    """One more turn of a conversation: who words it, and what happens in it."""
    steps = ask.script if ask.script is not None else _script(ask, query, conversation)
    data_of(ask.world).conversations.put(replace(conversation, turns=conversation.turns + 1))
    agent = any(isinstance(step, ToolCall | ToolResult) for step in steps)
    return AppTurn(ask, query, conversation.id, keeper, agent), steps


def _script(ask: Ask, query: str, conversation: Conversation) -> Sequence[Step]:
    """What the app does of its own accord: the same question at the same turn gets the same answer."""
    rng = ask.world.seed.rng("answer", f"{conversation.app_id}\x00{conversation.turns}\x00{query}")
    return (Wait(THINKING_SECONDS), Say(prose.answer_to(query, rng)))


def _begun(ask: Ask, app_id: int) -> Conversation:
    """A new conversation."""
    id = ask.world.seed.uuid("conversation")
    return data_of(ask.world).conversations.put(Conversation(id, app_id, ask.caller.id))


def _next_turn(ask: Ask, app_id: int, id: str) -> Conversation:
    """A conversation that the app has with the caller. Raises Refused."""
    found = data_of(ask.world).conversations.get(id)
    if found is None or found.app_id != app_id or found.user_id != ask.caller.id:
        raise Refused("conversation_not_found")
    return found


def _continued(ask: Ask, app_id: int, id: str | None) -> Conversation:
    """The conversation of a chat, begun with its first message."""
    found = None if id is None else data_of(ask.world).conversations.get(id)
    return found if found is not None else _begun(ask, app_id)


def _shown(ask: Ask, turn: AppTurn, body: Callable[[], Json]) -> Reply:
    """The answer in `body`, or how it failed."""
    if turn.failure is None:
        return bare(body())
    return error_reply(ask, Refused("answer_failed", f"AI回复失败: {turn.failure.text}"))
