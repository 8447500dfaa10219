"""Deskchat's dialect: how each step of an answer looks in its stream, and what is kept of it.

Source: FACTS.md 003, Stream: kinds, members and their order. There are no words for tools, files, audio or for
replacing what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from emulator.backends.deskchat.records import Message
from emulator.call import Event
from emulator.streams.steps import Audio, End, Fail, File, Replace, ToolCall, ToolResult

SPEAKS = frozenset({"say", "wait", "ping", "event", "bytes", "error", "fault", "end"})
MODEL_FAILURE = "model is not available"
OF_A_MESSAGE = ("assistant_start", "chunk", "complete")
"""Kinds of events that name the answer's message."""


class DeskTurn:
    """One answer. `said` is the message that it answers, None where that is no news to the client; `keep` is given
    the text, and whether it is whole, when the answer ends or is cancelled. After an error `failure` says why."""

    def __init__(self, said: Message | None, answer_id: str, keep: Callable[[str, bool], None]) -> None:
        self._said = said
        self._id = answer_id
        self._keep = keep
        self._pieces: list[str] = []
        self.failure: Fail | None = None

    @property
    def text(self) -> str:
        """What has been said so far."""
        return "".join(self._pieces)

    def begin(self) -> Iterator[Event]:
        """Both messages are announced before anything else."""
        if self._said is not None:
            yield Event(data={"type": "user_message", "content": self._said.content, "message_id": self._said.id})
        yield Event(data={"type": "assistant_start", "message_id": self._id})

    def say(self, delta: str, seconds: float) -> Iterator[Event]:
        """A piece of the answer."""
        self._pieces.append(delta)
        yield Event(data={"type": "chunk", "content": delta, "message_id": self._id})

    def ping(self) -> Iterator[Event]:
        """A comment: this API has no keep-alive of its own."""
        yield Event(comment="ping")

    def event(self, payload: Any) -> Iterator[Event]:
        """A raw event; the message's id is filled in where it belongs and is missing."""
        if isinstance(payload, Mapping) and payload.get("type") in OF_A_MESSAGE and "message_id" not in payload:
            payload = {**payload, "message_id": self._id}
        yield Event(data=payload)

    def tool_call(self, step: ToolCall) -> Iterator[Event]:
        """Cannot be said."""
        yield from ()

    def tool_result(self, step: ToolResult) -> Iterator[Event]:
        """Cannot be said."""
        yield from ()

    def file(self, step: File) -> Iterator[Event]:
        """Cannot be said."""
        yield from ()

    def replace(self, step: Replace) -> Iterator[Event]:
        """Cannot be said."""
        yield from ()

    def audio(self, step: Audio) -> Iterator[Event]:
        """Cannot be said."""
        yield from ()

    def error(self, step: Fail) -> Iterator[Event]:
        """The answer fails; its message stays empty, since a text is stored on completion only."""
        self.failure = step
        yield Event(data={"type": "error", "message": f"生成失败: {reason_of(step)}"})

    def end(self, step: End, seconds: float) -> Iterator[Event]:
        """The proper end, with the whole text."""
        self._keep(self.text, True)
        yield Event(data={"type": "complete", "message_id": self._id, "content": self.text})

    def stop(self, seconds: float) -> Iterator[Event]:
        """Cancelled: the part that was produced is kept."""
        self._keep(self.text, False)
        yield Event(data={"type": "cancelled", "message": "生成已被取消"})

    def leave(self) -> None:
        """The client has gone before the end: nothing is stored, as the text is stored on completion only."""

    def close(self) -> Iterator[Event]:
        """Nothing comes after the last event."""
        yield from ()


def reason_of(failure: Fail) -> str:
    """What a failure says for itself. There are no codes on this wire, so a code is as good as a sentence."""
    return failure.message or failure.code or MODEL_FAILURE
