"""Sending a message, streamed or not, stopping it, and what could be asked next.

Sources: FACTS.md 002 §2 (checks and their order, state), §3, §4.
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from emulator.backends import Ask
from emulator.backends.dify import prepared
from emulator.backends.dify.apps import App
from emulator.backends.dify.conversations import find_conversation
from emulator.backends.dify.files import attach
from emulator.backends.dify.forms import checked, filled_in
from emulator.backends.dify.messages import find_message
from emulator.backends.dify.people import end_user
from emulator.backends.dify.records import Annotation, Conversation, EndUser, Message, Use, Variable, data_of
from emulator.backends.dify.turn import DifyTurn
from emulator.backends.dify.wire import (
    BLOCKING,
    EVENTS,
    NO_BLOCKING,
    encode,
    error_reply,
    refuses_blocking,
    reply_json,
)
from emulator.call import Reply, Stream
from emulator.errors import Refused
from emulator.jsontext import compact_ascii
from emulator.streams.player import Player, at_once
from emulator.streams.steps import End, File, Say, Step, ToolCall, ToolResult, Wait
from emulator.world import prose
from emulator.world.session import World

KEEP_ALIVE = 10.0
LONGEST = 1200.0
NAME_LENGTH = 20
NAMING_SECONDS = 1.0
THINKING_SECONDS = 0.35
HIT_PACE = 0.01
LONGEST_COMPARED = 500
NUMBER = re.compile(r"(?<![0-9])[0-9]{1,12}(?![0-9])")
PICTURE_WORDS = ("draw", "picture", "image", "paint", "画", "图")


def send_message(ask: Ask) -> Reply | Stream:
    """`sendChatMessage`."""
    app: App = ask.caller
    body = ask.body
    user = end_user(ask, body["user"])
    streaming = body.get("response_mode") == "streaming"
    if refuses_blocking(ask):
        raise Refused("invalid_param", NO_BLOCKING)
    query = body["query"].replace("\x00", "")
    conversation_id = (body.get("conversation_id") or "").strip()
    conversation = find_conversation(ask, user, conversation_id) if conversation_id else None
    files = attach(ask, user, body.get("files"))
    inputs = checked(app, body.get("inputs") or {})

    world, data = ask.world, data_of(ask.world)
    now = world.clock.now()
    turns = len(data.messages.where("conversation", conversation.id)) if conversation is not None else 0
    steps = ask.script if ask.script is not None else script(ask, app, query, turns)
    if conversation is None:
        named = body.get("auto_generate_name")
        conversation = start_conversation(world, app, user, query, inputs, now, named is None or named)
    else:
        conversation = data.conversations.put(replace(conversation, updated_at=now))
    message = data.messages.put(
        Message(
            id=world.seed.uuid("message"),
            conversation_id=conversation.id,
            app_id=conversation.app_id,
            user_id=user.id,
            inputs=inputs,
            query=query,
            created_at=now,
            files=tuple(files),
            resources=tuple(cited(world, app, query)),
        )
    )
    for file in files:
        if file.upload_id is not None:
            data.uses.put(Use(f"{file.upload_id} {message.id}", file.upload_id, message.app_id))

    agent = speaks_as_agent(app, steps)
    task_id = world.seed.uuid("task")
    turn = DifyTurn(ask, conversation, message, task_id, agent)
    player = Player(steps, turn, world.clock, KEEP_ALIVE, lambda: forget(world, task_id), LONGEST)
    if not streaming:
        return _blocking(ask, turn, player)
    world.running[task_id] = ((app.key, user.id), player)
    return Stream(200, EVENTS, player, encode)


def turn_of(ask: Ask) -> int:
    """How many questions the conversation of a call has heard with it."""
    id = (ask.body.get("conversation_id") or "").strip().lower()
    return len(data_of(ask.world).messages.where("conversation", id)) + 1


def speaks_as_agent(app: App, steps: Sequence[Step]) -> bool:
    """Whether an answer comes as an agent's: a tool is called, or the app is one and no annotation answers for it."""
    if any(isinstance(step, ToolCall | ToolResult) for step in steps):
        return True
    return app.mode == "agent-chat" and not any(isinstance(step, End) and "annotation" in step.detail for step in steps)


def forget(world: World, task_id: str) -> None:
    """The task is over."""
    world.running.pop(task_id, None)


def _blocking(ask: Ask, turn: DifyTurn, player: Player) -> Reply:
    """The whole answer at once, after the time it takes. A failure is an ordinary error."""
    ask.faults += at_once(player)
    after = player.seconds
    if turn.failure is not None:
        failure = turn.failure
        refused = Refused(failure.code or "completion_request_error", failure.message, failure.status)
        return replace(error_reply(ask, refused), after=after)
    message = turn.message
    body = compact_ascii(
        {
            "event": "message",
            "task_id": turn.task_id,
            "id": message.id,
            "message_id": message.id,
            "conversation_id": message.conversation_id,
            "mode": "chat",
            "answer": turn.answer,
            "metadata": turn.metadata,
            "created_at": int(message.created_at),
        }
    )
    return Reply(200, BLOCKING, body, after)


def start_conversation(
    world: World, app: App, user: EndUser, query: str, inputs: Mapping[str, Any], now: float, auto_name: bool
) -> Conversation:
    """A new conversation: first the start of the query is its name, a title comes a second later if wanted."""
    data = data_of(world)
    id = world.seed.uuid("conversation")
    name = query[:NAME_LENGTH] + "…" if len(query) > NAME_LENGTH else query
    title = prose.title_of(query, world.seed.rng("title", id)) if auto_name else None
    conversation = data.conversations.put(
        Conversation(
            id=id,
            app_id=app.id_of(world),
            user_id=user.id,
            name=name,
            inputs=inputs,
            introduction=filled_in(app.opening, inputs),
            created_at=now,
            updated_at=now,
            title=title,
            named_at=now + NAMING_SECONDS,
        )
    )
    for kind in app.variables:
        data.variables.put(
            Variable(world.seed.uuid("variable"), id, kind.name, kind.type, kind.value, kind.description, now, now)
        )
    return conversation


def script(ask: Ask, app: App, query: str, turn: int) -> Sequence[Step]:
    """What the app does of its own accord. The same query at the same turn of a conversation gets the same answer,
    streamed or not."""
    hit = annotation_hit(ask, app, query)
    if hit is not None:
        return (Say(hit.answer, HIT_PACE, size=1), End({"annotation": hit.id}))
    rng = ask.world.seed.rng("answer", f"{app.key}\x00{turn}\x00{query}")
    answer = prose.answer_to(query, rng)
    if app.mode == "agent-chat":
        return (Wait(THINKING_SECONDS), *tool_round(query, rng), Wait(THINKING_SECONDS), Say(answer))
    return (Wait(THINKING_SECONDS), Say(answer))


def tool_round(query: str, rng: random.Random) -> Sequence[Step]:
    """One round of an agent: it calls a tool that suits the query."""
    chinese = prose.language_of(query) == "zh"
    if any(word in query.lower() for word in PICTURE_WORDS):
        return (
            Say("我来画一张图。" if chinese else "Let me draw that."),
            ToolCall("draw_picture", {"prompt": query[:200]}),
            Wait(0.8),
            File("image", text=query[:200]),
            ToolResult("done"),
        )
    numbers = [int(word) for word in NUMBER.findall(query[:LONGEST_COMPARED])[:2]]
    if len(numbers) == 2:
        expression = f"{numbers[0]} {'+' if '+' in query else '*'} {numbers[1]}"
        value = numbers[0] + numbers[1] if "+" in query else numbers[0] * numbers[1]
        return (ToolCall("calculator", {"expression": expression}), Wait(0.3), ToolResult({"result": value}))
    return (
        ToolCall("web_search", {"query": query[:200], "limit": 3}),
        Wait(0.6),
        ToolResult({"results": [{"title": prose.title_of(query, rng), "rank": rank} for rank in (1, 2, 3)]}),
    )


def annotation_hit(ask: Ask, app: App, query: str) -> Annotation | None:
    """The annotation that answers the query: the most similar question, if annotation reply is on and it is similar
    enough."""
    threshold = prepared.threshold(ask, app)
    if threshold is None:
        return None
    wanted = query.casefold().strip()
    best, score = None, 0.0
    for one in data_of(ask.world).annotations.where("app", app.id_in(ask)):
        question = one.question.casefold().strip()
        if question == wanted:
            return one
        if max(len(question), len(wanted)) <= LONGEST_COMPARED:
            matcher = difflib.SequenceMatcher(None, question, wanted)
            least = max(score, threshold)
            # The quick ones are upper bounds: most questions are out after them.
            if matcher.real_quick_ratio() >= least and matcher.quick_ratio() >= least:
                ratio = matcher.ratio()
                if ratio >= threshold and ratio > score:
                    best, score = one, ratio
    return best


def cited(world: World, app: App, query: str) -> list[dict[str, Any]]:
    """The passages that an answer rests on, for an app that shows citations."""
    if not app.cites:
        return []
    seed = world.seed
    rng = seed.rng("citation", f"{app.key}\x00{query}")
    chapter = rng.choice(("Arrival", "Getting around", "Food and drink", "Rainy days", "Packing"))
    content = prose.answer_to(query, rng, sentences=2)
    key = f"{app.key} {chapter}"
    return [
        {
            "position": 1,
            "dataset_id": seed.fixed_uuid("dataset", app.key),
            "dataset_name": "Travel handbook",
            "document_id": seed.fixed_uuid("document", key),
            "document_name": f"{chapter}.md",
            "data_source_type": "upload_file",
            "segment_id": seed.fixed_uuid("segment", key),
            "retriever_from": "api",
            "score": round(0.6 + rng.random() * 0.39, 6),
            "hit_count": rng.randint(1, 40),
            "word_count": len(content),
            "segment_position": rng.randint(1, 12),
            "index_node_hash": seed.fixed("node", key, 32).hex(),
            "content": content,
            "page": None,
            "doc_metadata": None,
            "title": None,
            "files": None,
            "summary": None,
        }
    ]


def stop_message(ask: Ask) -> Reply:
    """`stopChatMessageGeneration`: always a success; only the caller's own task really stops."""
    user = end_user(ask, ask.body["user"])
    owner, performance = ask.world.running.get(ask.path["task_id"], (None, None))
    if performance is not None and owner == (ask.caller.key, user.id):
        performance.stop()
    return reply_json({"result": "success"})


def suggested(ask: Ask) -> Reply:
    """`getSuggestedQuestions`."""
    if not ask.query.get("user"):
        raise Refused("invalid_param", "Arg user must be provided.")
    app: App = ask.caller
    message = find_message(ask, end_user(ask, ask.query["user"]), ask.path["message_id"])
    if not app.suggests:
        raise Refused("bad_request", "Suggested Questions Is Disabled.")
    rng = ask.world.seed.rng("suggested", message.id)
    return reply_json({"result": "success", "data": prose.follow_ups(message.query, message.answer, rng)})
