"""DeepSeek's dialect: chunks of a completion, `[DONE]`, and the same completion in one piece.

Source: FACTS.md 000 (DeepSeek operations); members and their order are those of DeepSeek's public API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emulator.backends import Ask
from emulator.backends.ruoyi.failures import Failure, provider_failure
from emulator.backends.ruoyi.wire import UPSTREAM_DEFAULT
from emulator.call import Event
from emulator.jsontext import compact
from emulator.streams.steps import Audio, End, Fail, File, Replace, ToolCall, ToolResult
from emulator.world.prose import tokens_in

REASONER = "deepseek-reasoner"
DONE = "[DONE]"


class CompletionTurn:
    """One completion. `include_usage` gives the usage a chunk of its own. After the end `failure` is what it ended
    with."""

    def __init__(self, ask: Ask, model: str, prompt_tokens: int, include_usage: bool) -> None:
        seed = ask.world.seed
        self._seed = seed
        self._prompt = prompt_tokens
        self._include_usage = include_usage
        self._reasons = model == REASONER
        self.id = seed.uuid("completion")
        self.failure: Failure | None = None
        self._model = model
        self._created = int(ask.world.clock.now())
        self._fingerprint = f"fp_{seed.fixed('fingerprint', model, 5).hex()}_prod"
        self._said: list[str] = []
        self._thought: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._calls_last = False
        self._finish = "stop"
        self._begun = False
        self._over = False

    def begin(self) -> Iterator[Event]:
        """The role comes with the first piece: a call that fails at once never has one."""
        yield from ()

    def say(self, delta: str, seconds: float) -> Iterator[Event]:
        """A piece of the answer."""
        if not self._over:
            self._said.append(delta)
            self._calls_last = False
            yield from self._add({"content": delta, "reasoning_content": None} if self._reasons else {"content": delta})

    def ping(self) -> Iterator[Event]:
        """A keep-alive: a comment."""
        yield Event(comment="ping")

    def event(self, payload: Any) -> Iterator[Event]:
        """A raw chunk; members that every chunk has are filled in. What it adds to the answer or to the reasoning
        counts. An event of Dify's cannot be said here."""
        if isinstance(payload, Mapping) and "choices" in payload:
            yield from self._chunk_given(payload)
        elif not (isinstance(payload, Mapping) and "event" in payload):
            yield Event(data=payload)

    def tool_call(self, step: ToolCall) -> Iterator[Event]:
        """The model asks for a function."""
        if self._over:
            return
        call = {
            "index": len(self._calls),
            "id": step.id or f"call_{len(self._calls)}_{self._seed.uuid('tool-call')}",
            "type": "function",
            "function": {"name": step.name, "arguments": compact(dict(step.arguments)).decode()},
        }
        self._calls.append(call)
        self._calls_last = True
        yield from self._add({"tool_calls": [call]})

    def tool_result(self, step: ToolResult) -> Iterator[Event]:
        """A result would come with the next call."""
        yield from ()

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
        """The provider fails: one last frame, and no end mark."""
        if self._over:
            return
        self._over = True
        self.failure = provider_failure(step)
        yield Event(data={"error": f"{UPSTREAM_DEFAULT}: {self.failure.text}"})

    def end(self, step: End, seconds: float) -> Iterator[Event]:
        """The proper end. `finish_reason` in `detail` says why it ended where it is not by itself."""
        if self._over:
            return
        self._finish = str(step.detail.get("finish_reason") or ("tool_calls" if self._calls_last else "stop"))
        yield from self._open()
        delta = {"content": "", "reasoning_content": None} if self._reasons else {"content": ""}
        last = self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": self._finish}])
        if self._include_usage:
            yield Event(data=last)
            yield Event(data=self._chunk([]) | {"usage": self.usage()})
        else:
            yield Event(data=last | {"usage": self.usage()})
        yield Event(data=DONE)
        self._over = True

    def stop(self, seconds: float) -> Iterator[Event]:
        """Stopped, since its session ends: it ends properly with the part that was said."""
        yield from self.end(End(), seconds)

    def leave(self) -> None:
        """The client has gone; nothing is kept anyway."""

    def close(self) -> Iterator[Event]:
        """Nothing comes after the end mark."""
        yield from ()

    def completion(self) -> dict[str, Any]:
        """The whole answer in one object."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._said)}
        if self._reasons:
            message["reasoning_content"] = "".join(self._thought)
        if self._calls:
            message["tool_calls"] = self._calls
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}],
            "usage": self.usage(),
            "system_fingerprint": self._fingerprint,
        }

    def usage(self) -> dict[str, Any]:
        """Tokens read and written so far."""
        reasoning = tokens_in("".join(self._thought))
        completion = tokens_in("".join(self._said)) + reasoning
        usage: dict[str, Any] = {
            "prompt_tokens": self._prompt,
            "completion_tokens": completion,
            "total_tokens": self._prompt + completion,
            "prompt_cache_hit_tokens": 0,
            "prompt_cache_miss_tokens": self._prompt,
        }
        if self._reasons:
            usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
        return usage

    def _open(self) -> Iterator[Event]:
        """The role, once."""
        if not self._begun:
            self._begun = True
            first = {"content": None, "reasoning_content": ""} if self._reasons else {"content": ""}
            yield self._delta({"role": "assistant", **first})

    def _add(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        yield from self._open()
        yield self._delta(delta)

    def _delta(self, delta: Mapping[str, Any]) -> Event:
        chunk = self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])
        return Event(data=chunk)

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        chunk = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "system_fingerprint": self._fingerprint,
            "choices": choices,
        }
        return chunk | {"usage": None} if self._include_usage else chunk

    def _chunk_given(self, payload: Mapping[str, Any]) -> Iterator[Event]:
        """A chunk as a scenario gives it, completed."""
        choices = payload["choices"]
        if not isinstance(choices, list) or not all(isinstance(one, Mapping) for one in choices):
            yield Event(data=payload)
            return
        completed = []
        for choice in choices:
            given = choice.get("delta")
            delta = dict(given) if isinstance(given, Mapping) else {}
            thought, said = delta.get("reasoning_content"), delta.get("content")
            if isinstance(thought, str):
                self._thought.append(thought)
                delta = {"content": None, **delta}
            if isinstance(said, str):
                self._said.append(said)
                self._calls_last = False
            base = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}
            completed.append({**base, **choice, "delta": delta})
        yield from self._open()
        yield Event(data=self._chunk([]) | dict(payload) | {"choices": completed})
