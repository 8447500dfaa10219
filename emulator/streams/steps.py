"""The steps of an answer: written once in a scenario or by a behaviour, spoken in every dialect.

Plain frozen values. Seconds are stream seconds (real seconds times the speed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.fault import Fault

PACE = 0.03
"""Seconds between two deltas where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Say:
    """Text, cut into deltas as a model's tokens come, or into pieces of `size` characters; `every` seconds apart, the
    first after `first` seconds. Each distance differs by up to `jitter` seconds, drawn from `noise`."""

    text: str
    every: float = PACE
    size: int | None = None
    first: float = 0.0
    jitter: float = 0.0
    noise: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing for a while; keep-alives go on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ping:
    """The dialect's keep-alive, now."""


@dataclass(frozen=True, slots=True)
class Send:
    """A raw event of the dialect. `violates` says that it breaks the event's schema on purpose."""

    event: Any
    violates: bool = False


@dataclass(frozen=True, slots=True)
class Bytes:
    """Exact bytes on the wire."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Fail:
    """The answer fails here. What is None is the dialect's generic model failure."""

    code: str | None = None
    status: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the tool that was called last (or `name`) gave back."""

    result: Any
    name: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file made while answering. `text` decides its content (a picture or speech), the rest its label."""

    type: str = "image"
    name: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """Everything said so far is replaced."""

    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Audio:
    """Spoken audio of `text` (default: what was said since the last audio), a piece each `every` seconds."""

    text: str | None = None
    every: float = 0.05


@dataclass(frozen=True, slots=True)
class Respond:
    """An HTTP reply instead of an answer. Its body is `body` if `has_body`, else the documented `example`, else the
    backend's own refusal with `code` and `message`, else what the spec has for the status. `violates` says that the
    spec has no such reply on purpose."""

    status: int
    code: str | None = None
    message: str | None = None
    example: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    has_body: bool = False
    violates: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The proper end, with what the dialect can say in it (`detail`)."""

    detail: Mapping[str, Any] = field(default_factory=dict)


Step = Say | Wait | Ping | Send | Bytes | Fail | ToolCall | ToolResult | File | Replace | Audio | Fault | End

VERBS: Mapping[type, str] = {
    Say: "say",
    Wait: "wait",
    Ping: "ping",
    Send: "event",
    Bytes: "bytes",
    Fail: "error",
    ToolCall: "tool_call",
    ToolResult: "tool_result",
    File: "file",
    Replace: "replace",
    Audio: "audio",
    Fault: "fault",
    End: "end",
}
"""The word of a step in a scenario file."""
