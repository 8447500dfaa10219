"""Dify's dialect: how each step of an answer looks in its stream, and what the history keeps of it.

Sources: FACTS.md 002 §2 "Streaming: framing" (members and their order) and "Streaming: order".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from emulator.backends import Ask
from emulator.backends.dify.files import address, shown_at_end
from emulator.backends.dify.records import Annotation, Conversation, Message, MessageFile, Thought, ToolFile, data_of
from emulator.backends.dify.wire import ERRORS
from emulator.call import Event
from emulator.streams.steps import Audio, End, Fail, File, Replace, ToolCall, ToolResult
from emulator.wire.dify_events import input_of, label, observed, shown_thought, spoken
from emulator.wire.dify_usage import FRAME_TOKENS, ZERO_USAGE, usage
from emulator.wire.made_files import EXTENSIONS, MEDIA_TYPES, content_of
from emulator.world.prose import tokens_in


class DifyTurn:
    """One answer. `agent` makes it speak as an agent does. After the end `failure` is the error it ended with."""

    def __init__(self, ask: Ask, conversation: Conversation, message: Message, task_id: str, agent: bool) -> None:
        self._ask = ask
        self._data = data_of(ask.world)
        self._agent = agent
        self.message = message
        self.task_id = task_id
        self.failure: Fail | None = None
        self.metadata: Mapping[str, Any] = {}
        self._common = {
            "conversation_id": conversation.id,
            "message_id": message.id,
            "created_at": int(message.created_at),
        }
        self._answer = ""
        self._replaced: str | None = None
        self._first: float | None = None
        self._unspoken = ""
        self._audio = False
        self._rounds: list[str] = []
        self._thought: Thought | None = None
        self._text = ""
        self._files = list(message.files)
        self._thoughts: list[Thought] = []

    @property
    def answer(self) -> str:
        """What has been said so far, rounds of an agent joined by newlines."""
        if self._replaced is not None:
            return self._replaced
        if self._agent:
            return "\n".join(text for text in (*self._rounds, self._text) if text)
        return self._answer

    def begin(self) -> Iterator[Event]:
        """Nothing comes before the first piece."""
        yield from ()

    def say(self, delta: str, seconds: float) -> Iterator[Event]:
        """A piece of the answer."""
        if self._first is None:
            self._first = seconds
        self._answer += delta
        self._unspoken += delta
        if self._agent:
            yield from self._open_round()
            self._text += delta
            yield self._event("agent_message", id=self.message.id, answer=delta)
        else:
            yield self._event("message", id=self.message.id, answer=delta, from_variable_selector=None)

    def ping(self) -> Iterator[Event]:
        """The literal keep-alive, without data."""
        yield Event(event="ping")

    def event(self, payload: Any) -> Iterator[Event]:
        """A raw event; the members that every event has are filled in where they are missing."""
        if not isinstance(payload, Mapping) or "event" not in payload:
            yield Event(data=payload)
            return
        base = {"event": payload["event"], **self._common}
        if payload["event"] != "error":
            base["task_id"] = self.task_id
        yield Event(data=base | dict(payload))

    def tool_call(self, step: ToolCall) -> Iterator[Event]:
        """The agent's step, now with its tool."""
        yield from self._open_round()
        assert self._thought is not None
        self._thought = replace(
            self._thought,
            thought=self._text,
            tool=step.name,
            tool_input=input_of(step.name, step.arguments),
        )
        yield self._thought_event(self._thought)

    def tool_result(self, step: ToolResult) -> Iterator[Event]:
        """The agent's step, now with what its tool observed; the round is over."""
        yield from self._open_round()
        thought = self._thought
        assert thought is not None
        observation = observed(step.name or thought.tool, step.result)
        thought = replace(thought, thought=self._text, observation=observation)
        yield self._thought_event(thought)
        self._close_round(thought)

    def file(self, step: File) -> Iterator[Event]:
        """A file that was made: kept, so that its address works."""
        world = self._ask.world
        text = step.text or step.name or self._answer or self.message.query
        content, mime_type = content_of(step.type, text), MEDIA_TYPES[step.type]
        id = world.seed.uuid("tool-file")
        name = step.name or f"{id}.{EXTENSIONS[step.type]}"
        self._data.tool_files.put(ToolFile(id, name, mime_type, content))
        file = MessageFile(id, step.type, name, mime_type, len(content), "tool_file", "assistant")
        self._files.append(file)
        if self._thought is not None:
            self._thought = replace(self._thought, files=(*self._thought.files, id))
        yield self._event("message_file", id=id, type=step.type, belongs_to="assistant", url=address(self._ask, file))

    def replace(self, step: Replace) -> Iterator[Event]:
        """The answer so far is replaced; the history keeps the replacement."""
        self._replaced = step.text
        yield from self._finish_round()
        yield self._event("message_replace", answer=step.text, reason=step.reason)

    def audio(self, step: Audio) -> Iterator[Event]:
        """Spoken audio, in pieces that decode on their own."""
        text = step.text if step.text is not None else self._unspoken
        self._unspoken = ""
        for piece in spoken(text):
            self._audio = True
            yield self._event("tts_message", audio=piece)

    def error(self, step: Fail) -> Iterator[Event]:
        """The answer fails: one error event, which has no task, and an empty answer in the history."""
        code = step.code or "completion_request_error"
        status, text = ERRORS.get(code, (400, code))
        if code == "internal_server_error":
            text = "Internal Server Error, please contact support."
        self.failure = Fail(code, step.status or status, step.message or text)
        self._store(replace(self.message, status="error", error=self.failure.message, files=tuple(self._files)))
        yield Event(
            data={
                "event": "error",
                **self._common,
                "code": code,
                "status": self.failure.status,
                "message": self.failure.message,
            }
        )

    def end(self, step: End, seconds: float) -> Iterator[Event]:
        """The proper end. `detail` may name an annotation (its place in the app's list, newest first) that the answer
        is taken from."""
        annotation = self._hit(step.detail)
        yield from self._finish_round()
        self.metadata = {
            "annotation_reply": None if annotation is None else self._annotation_reply(annotation),
            "retriever_resources": [dict(one) for one in self.message.resources] if annotation is None else [],
            "usage": dict(ZERO_USAGE) if annotation is not None else self.usage(seconds),
        }
        self._store(
            replace(
                self.message,
                answer=self.answer.strip(),
                files=tuple(self._files),
                thoughts=tuple(self._thoughts),
                resources=() if annotation is not None else self.message.resources,
            )
        )
        files = [shown_at_end(self._ask, file) for file in self._files] or None
        yield self._event("message_end", id=self.message.id, metadata=self.metadata, files=files)

    def stop(self, seconds: float) -> Iterator[Event]:
        """Stopped: it ends as it would, with the part that was produced."""
        yield from self.end(End(), seconds)

    def leave(self) -> None:
        """The client has gone: the last write does not happen, the history shows an empty answer."""

    def close(self) -> Iterator[Event]:
        """After spoken audio one more event says that it is over."""
        if self._audio and self.failure is None:
            yield self._event("tts_message_end", audio="")

    def usage(self, seconds: float) -> dict[str, Any]:
        """What the answer took so far."""
        prompt = tokens_in(self.message.query) + FRAME_TOKENS
        return usage(prompt, tokens_in(self.answer), seconds, self._first)

    def _event(self, kind: str, **members: Any) -> Event:
        return Event(data={"event": kind, **self._common, "task_id": self.task_id, **members})

    def _open_round(self) -> Iterator[Event]:
        if self._thought is None:
            world = self._ask.world
            self._thought = Thought(
                world.seed.uuid("thought"), len(self._thoughts) + 1, "", "", "", "", (), world.clock.now()
            )
            yield self._thought_event(self._thought)

    def _finish_round(self) -> Iterator[Event]:
        """The last round has no tool: its step is sent once more, with what was said."""
        if self._thought is None:
            return
        thought = self._thought
        if self._text:
            thought = replace(thought, thought=self._text)
            yield self._thought_event(thought)
        self._close_round(thought)

    def _close_round(self, thought: Thought) -> None:
        self._thoughts.append(thought)
        if self._text:
            self._rounds.append(self._text)
        self._text = ""
        self._thought = None

    def _thought_event(self, thought: Thought) -> Event:
        return self._event("agent_thought", **shown_thought(thought, labels(thought.tool)))

    def _hit(self, detail: Mapping[str, Any]) -> Annotation | None:
        wanted = detail.get("annotation")
        if wanted is None:
            return None
        found = self._data.annotations.get(wanted)
        if found is None:
            listed = self._data.annotations.where("app", self._ask.caller.id_in(self._ask))
            if not isinstance(wanted, int) or not listed:
                return None
            found = listed[::-1][wanted % len(listed)]
        return self._data.annotations.put(replace(found, hit_count=found.hit_count + 1))

    def _annotation_reply(self, annotation: Annotation) -> dict[str, Any]:
        seed = self._ask.world.seed
        name = seed.faker("account-name").first_name()
        return {"id": annotation.id, "account": {"id": seed.fixed_uuid("account"), "name": name}}

    def _store(self, message: Message) -> None:
        # Deleted meanwhile: what is gone stays gone.
        if self._data.messages.get(message.id) is not None:
            self._data.messages.put(message)
        self.message = message


def labels(tool: str) -> dict[str, Any]:
    """Labels of the tools in `a;b`."""
    return {name: label(name) for name in tool.split(";") if name}
