"""toolchat's dialect: how each step of an answer looks in its stream, and what the history keeps of it.

The kind of an event is told twice, in its `event:` line and as `type` (FACTS.md 004 Stream). The answer is kept when it
is whole: one that failed, or whose reader left, leaves the question alone in the history.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from emulator.backends.toolchat.records import Conversation, Message, data_of, new_id, touch
from emulator.backends.toolchat.tools import TOOLS, mismatches, run
from emulator.backends.toolchat.wire import FAILURES, GENERIC_FAILURE
from emulator.call import Event
from emulator.streams.steps import VERBS, Audio, End, Fail, File, Replace, ToolCall, ToolResult
from emulator.world.clock import Clock
from emulator.world.prose import tokens_in
from emulator.world.session import World

SPEAKS = frozenset(VERBS.values()) - {"file", "replace", "audio"}
CALL_ID = re.compile(r"call_[0-9a-f]{12}")
FRAME_TOKENS = 8
"""Tokens that a model counts around the texts of a prompt."""
NO_FIT = {"error": "参数与工具不匹配"}


class ToolchatTurn:
    """One answer. `clock` says when it is kept. `thought` is what the assistant thinks unless the end says otherwise,
    None where thinking is off. After the end `answer` is what was kept, or `failure` the error it ended with."""

    def __init__(
        self, world: World, clock: Clock, conversation: Conversation, question: Message, id: str, thought: str | None
    ) -> None:
        self._world = world
        self._clock = clock
        self._conversation = conversation
        self._question = question
        self.id = id
        self._thought = thought
        self._said: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._waiting: dict[str, dict[str, Any]] = {}
        self._over = False
        self.answer: Message | None = None
        self.failure: Fail | None = None

    def begin(self) -> Iterator[Event]:
        """Nothing comes before the first piece."""
        yield from ()

    def say(self, delta: str, seconds: float) -> Iterator[Event]:
        """A piece of the answer."""
        if not self._over:
            self._said.append(delta)
        yield from self._event("text", content=delta)

    def ping(self) -> Iterator[Event]:
        """A keep-alive: a comment, which readers of events do not see."""
        yield Event(comment="ping")

    def event(self, payload: Any) -> Iterator[Event]:
        """A raw event: a mapping with `type` gets its `event:` line, anything else is the data as it stands."""
        kind = payload.get("type") if isinstance(payload, Mapping) else None
        yield Event(event=kind if isinstance(kind, str) else None, data=payload)

    def tool_call(self, step: ToolCall) -> Iterator[Event]:
        """The assistant calls a tool. An `id` that is none of this backend's is a label, by which the result finds its
        call."""
        own = step.id is not None and CALL_ID.fullmatch(step.id) is not None
        id = step.id if own and step.id is not None else new_id(self._world, "call", {})
        call = {"id": id, "name": step.name, "arguments": dict(step.arguments), "result": None}
        if not self._over:
            self._calls.append(call)
            self._waiting[step.id or id] = call
        yield from self._event("tool_call", id=id, name=step.name, arguments=call["arguments"])

    def tool_result(self, step: ToolResult) -> Iterator[Event]:
        """What came of a call. A result that is left out is what the tool really gives."""
        if self._over:
            return
        call = self._waited_for(step)
        if call is None:
            yield from self.tool_call(ToolCall(step.name or "tool"))
            _, call = self._waiting.popitem()
        call["result"] = _executed(call) if step.result is None else step.result
        yield from self._event("tool_result", id=call["id"], name=call["name"], result=call["result"])

    def file(self, step: File) -> Iterator[Event]:
        """There are no files here."""
        yield from ()

    def replace(self, step: Replace) -> Iterator[Event]:
        """What was said cannot be taken back here."""
        yield from ()

    def audio(self, step: Audio) -> Iterator[Event]:
        """Nothing is spoken here."""
        yield from ()

    def error(self, step: Fail) -> Iterator[Event]:
        """The answer fails: one last event, and nothing of it is kept."""
        status, text = FAILURES.get(step.code or GENERIC_FAILURE, FAILURES[GENERIC_FAILURE])
        self.failure = Fail(step.code or GENERIC_FAILURE, step.status or status, step.message or text)
        yield from self._event("error", message=self.failure.message)
        self._over = True

    def end(self, step: End, seconds: float) -> Iterator[Event]:
        """The proper end; the answer is kept. `thinking` in `detail` is what the assistant thought."""
        if self._over:
            return
        thought = self._thought
        if thought is not None and "thinking" in step.detail:
            thought = str(step.detail["thinking"])
        answer = self._keep(thought)
        usage = self._usage(answer)
        yield from self._event(
            "done",
            message_id=answer.id,
            conversation_id=answer.conversation_id,
            thinking=thought,
            usage=usage,
        )
        self._over = True

    def stop(self, seconds: float) -> Iterator[Event]:
        """Stopped, since its session ends: it ends properly with the part that was said."""
        yield from self.end(End(), seconds)

    def leave(self) -> None:
        """The client has gone: the answer is never finished and so not kept."""

    def close(self) -> Iterator[Event]:
        """Nothing comes after the last event."""
        yield from ()

    def _event(self, kind: str, **members: Any) -> Iterator[Event]:
        if not self._over:
            yield Event(event=kind, data={"type": kind, **members})

    def _waited_for(self, step: ToolResult) -> dict[str, Any] | None:
        """Take the call that a result is for: the one with its label, else the last (of its name)."""
        label = step.id
        if label not in self._waiting:
            fitting = [one for one, call in self._waiting.items() if step.name in (None, call["name"])]
            label = fitting[-1] if fitting else None
        return None if label is None else self._waiting.pop(label)

    def _keep(self, thought: str | None) -> Message:
        data, now = data_of(self._world), self._clock.now()
        answer = Message(
            id=self.id,
            conversation_id=self._conversation.id,
            role="assistant",
            content="".join(self._said),
            created_at=now,
            thinking=thought,
            tool_calls=tuple(dict(call) for call in self._calls),
        )
        conversation = data.conversations.get(self._conversation.id)
        # Deleted meanwhile: what is gone stays gone.
        if conversation is not None:
            data.messages.put(answer)
            touch(data.conversations, replace(conversation, updated_at=now))
        self.answer = answer
        return answer

    def _usage(self, answer: Message) -> dict[str, int]:
        prompt = FRAME_TOKENS + tokens_in(self._conversation.system_prompt or "") + tokens_in(self._question.content)
        completion = tokens_in(answer.content) + tokens_in(answer.thinking or "")
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }


def _executed(call: Mapping[str, Any]) -> Any:
    """What a tool gives for a call; None for a tool that is none of the eleven."""
    tool = TOOLS.get(call["name"])
    if tool is None:
        return None
    return NO_FIT if mismatches(tool, call["arguments"]) else run(tool, call["arguments"])
