"""The dialect of a Dify app behind RuoYi: Dify's frames as they are, and what a chat keeps of an answer.

Sources: FACTS.md 000 (frames are passed through) and 002 §2 (members and their order); a chat's side is FACTS.md 000.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from emulator.backends import Ask
from emulator.backends.ruoyi.failures import Failure, app_failure
from emulator.backends.ruoyi.files import address, keep_file
from emulator.call import Event
from emulator.streams.steps import Audio, End, Fail, File, Replace, ToolCall, ToolResult
from emulator.wire.dify_events import input_of, label, observed, shown_thought, spoken
from emulator.wire.dify_usage import FRAME_TOKENS, usage
from emulator.wire.made_files import EXTENSIONS, content_of
from emulator.world.prose import tokens_in


class Keeper(Protocol):
    """Who keeps the answer: a chat, or nobody."""

    def completed(self, answer: str, metadata: Mapping[str, Any]) -> None:
        """The answer is there."""
        ...

    def failed(self, failure: Failure) -> None:
        """There will be none."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """One step of an agent: what it thought, which tool it used, what came of it."""

    id: str
    position: int
    thought: str = ""
    tool: str = ""
    tool_input: str = ""
    observation: str = ""
    files: tuple[str, ...] = ()


class AppTurn:
    """One answer of an app. `agent` makes it speak as an agent does. After the end `failure` is what it ended with."""

    def __init__(self, ask: Ask, query: str, conversation_id: str, keeper: Keeper, agent: bool) -> None:
        seed = ask.world.seed
        self._ask = ask
        self._query = query
        self._keeper = keeper
        self._agent = agent
        self.task_id = seed.uuid("task")
        self.message_id = seed.uuid("dify-message")
        self.conversation_id = conversation_id
        self.created_at = int(ask.world.clock.now())
        self.metadata: Mapping[str, Any] = {}
        self.failure: Failure | None = None
        self._said: list[str] = []
        self._replaced: str | None = None
        self._first: float | None = None
        self._unspoken: list[str] = []
        self._audio = False
        self._round: Round | None = None
        self._rounds = 0
        self._thought: list[str] = []
        self._files: list[dict[str, Any]] = []
        self._over = False

    @property
    def answer(self) -> str:
        """What has been said so far."""
        return self._replaced if self._replaced is not None else "".join(self._said)

    def begin(self) -> Iterator[Event]:
        """Nothing comes before the first piece."""
        yield from ()

    def say(self, delta: str, seconds: float) -> Iterator[Event]:
        """A piece of the answer."""
        if self._over:
            return
        if self._first is None:
            self._first = seconds
        self._said.append(delta)
        self._unspoken.append(delta)
        if self._agent:
            yield from self._open_round()
            self._thought.append(delta)
            yield self._event("agent_message", id=self.message_id, answer=delta)
        else:
            yield self._event("message", id=self.message_id, answer=delta, from_variable_selector=None)

    def ping(self) -> Iterator[Event]:
        """A keep-alive: a comment, since RuoYi's stream has data lines only."""
        yield Event(comment="ping")

    def event(self, payload: Any) -> Iterator[Event]:
        """A raw event; members that every event has are filled in. A chunk of DeepSeek's cannot be said here."""
        if isinstance(payload, Mapping) and "event" in payload:
            common = self._common() if payload["event"] == "error" else self._common() | {"task_id": self.task_id}
            yield Event(data={"event": payload["event"], **common, **payload})
        elif not (isinstance(payload, Mapping) and "choices" in payload):
            yield Event(data=payload)

    def tool_call(self, step: ToolCall) -> Iterator[Event]:
        """The agent's step, now with its tool."""
        if self._round is not None and self._round.tool:
            yield from self._close_round(self._round)
        yield from self._open_round()
        assert self._round is not None
        given = input_of(step.name, step.arguments)
        self._round = replace(self._round, thought="".join(self._thought), tool=step.name, tool_input=given)
        yield self._thought_event(self._round)

    def tool_result(self, step: ToolResult) -> Iterator[Event]:
        """The agent's step, now with what its tool observed; the round is over."""
        yield from self._open_round()
        assert self._round is not None
        observation = observed(step.name or self._round.tool, step.result)
        yield from self._close_round(replace(self._round, observation=observation))

    def file(self, step: File) -> Iterator[Event]:
        """A file that was made: kept, so that its address works."""
        text = step.text or step.name or self.answer or self._query
        file = keep_file(self._ask.world, step.name, step.type, content_of(step.type, text))
        url = address(self._ask, file, step.type)
        if self._round is not None:
            self._round = replace(self._round, files=(*self._round.files, file.id))
        self._files.append(
            {
                "related_id": file.id,
                "extension": f".{EXTENSIONS[step.type]}",
                "filename": file.name,
                "size": len(file.data),
                "mime_type": file.mime_type,
                "transfer_method": "tool_file",
                "type": step.type,
                "url": url,
                "upload_file_id": None,
                "remote_url": "",
            }
        )
        yield self._event("message_file", id=file.id, type=step.type, belongs_to="assistant", url=url)

    def replace(self, step: Replace) -> Iterator[Event]:
        """The answer so far is replaced; the chat keeps the replacement."""
        self._replaced = step.text
        yield self._event("message_replace", answer=step.text, reason=step.reason)

    def audio(self, step: Audio) -> Iterator[Event]:
        """Spoken audio, in pieces that decode on their own."""
        text = step.text if step.text is not None else "".join(self._unspoken)
        self._unspoken.clear()
        for piece in spoken(text):
            self._audio = True
            yield self._event("tts_message", audio=piece)

    def error(self, step: Fail) -> Iterator[Event]:
        """The answer fails: one error event, which has no task."""
        failure = app_failure(step)
        if self._over:
            return
        self._over = True
        self.failure = failure
        self._keeper.failed(failure)
        said = {"code": failure.code, "status": failure.status, "message": failure.text}
        yield Event(data={"event": "error", **self._common(), **said})

    def end(self, step: End, seconds: float) -> Iterator[Event]:
        """The proper end."""
        if self._over:
            return
        if self._round is not None:
            yield from self._close_round(self._round)
        prompt = tokens_in(self._query) + FRAME_TOKENS
        self.metadata = {
            "annotation_reply": None,
            "retriever_resources": [],
            "usage": usage(prompt, tokens_in(self.answer), seconds, self._first),
        }
        self._over = True
        self._keeper.completed(self.answer, self.metadata)
        yield self._event("message_end", id=self.message_id, metadata=self.metadata, files=self._files or None)

    def stop(self, seconds: float) -> Iterator[Event]:
        """Stopped, since its session ends: it ends properly with the part that was said."""
        yield from self.end(End(), seconds)

    def leave(self) -> None:
        """The client has gone: the answer is never finished, and the chat still waits for it."""

    def close(self) -> Iterator[Event]:
        """After spoken audio one more event says that it is over."""
        if self._audio and self.failure is None:
            yield self._event("tts_message_end", audio="")

    def _common(self) -> dict[str, Any]:
        return {
            "conversation_id": self.conversation_id,
            "message_id": self.message_id,
            "created_at": self.created_at,
        }

    def _event(self, kind: str, **members: Any) -> Event:
        return Event(data={"event": kind, **self._common(), "task_id": self.task_id, **members})

    def _open_round(self) -> Iterator[Event]:
        if self._round is None:
            self._rounds += 1
            self._round = Round(self._ask.world.seed.uuid("thought"), self._rounds)
            yield self._thought_event(self._round)

    def _close_round(self, last: Round) -> Iterator[Event]:
        yield self._thought_event(replace(last, thought="".join(self._thought)))
        self._round = None
        self._thought.clear()

    def _thought_event(self, one: Round) -> Event:
        labels = {one.tool: label(one.tool)} if one.tool else {}
        return self._event("agent_thought", **shown_thought(one, labels))
