"""The words of a step: what each may say, and what it comes to.

Each reader takes a place, a value, the step around it and the pace of the file, and gives the step, or raises Mistake.
A Template stands for something that will fit.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.durations import LONGEST, duration
from emulator.fault import FAULTS, parse
from emulator.source import Pointer
from emulator.streams.scenario import Spoken
from emulator.streams.steps import (
    PACE,
    Audio,
    Bytes,
    End,
    Fail,
    File,
    Ping,
    Replace,
    Respond,
    Say,
    Send,
    ToolCall,
    ToolResult,
    Wait,
)
from emulator.streams.values import Mistake, Template
from emulator.streams.when import unknown

LONGEST_WAIT = LONGEST
FASTEST = 100_000
MOST_HEADERS = 50
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,4000}")
OF_THE_CONNECTION = ("connection", "content-length", "transfer-encoding")
KINDS_OF_FILE = ("image", "audio", "document")
PACING = ("every", "ttft", "tokens_per_second", "jitter")
"""The words of a pace."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly text comes, in seconds: between two pieces, before the first, and how uneven."""

    every: float = PACE
    ttft: float = 0.0
    jitter: float = 0.0


# ---- what a value may be; each takes a Template for something that will fit


def only(pointer: Pointer, data: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise Mistake for a word that is none of those known."""
    for word in data:
        if word not in known:
            raise Mistake((*pointer, word), unknown("word", word, known))


def text(pointer: Pointer, value: Any) -> str:
    """Text, or a number or boolean as text."""
    if isinstance(value, Template):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise Mistake(pointer, f"expected text, got {kind(value)}")
    return value


def optional_text(pointer: Pointer, value: Any) -> str | None:
    """Text, or nothing."""
    return None if value is None else text(pointer, value)


def mapping(pointer: Pointer, value: Any) -> dict[str, Any]:
    """A mapping; an empty one for nothing."""
    if value is None or isinstance(value, Template):
        return {}
    if not isinstance(value, dict):
        raise Mistake(pointer, f"expected a mapping, got {kind(value)}")
    return value


def seconds(pointer: Pointer, value: Any) -> float:
    """A duration in seconds."""
    if isinstance(value, Template):
        return 0.0
    try:
        return duration(value)
    except ValueError as error:
        raise Mistake(pointer, str(error)) from error


def whole(pointer: Pointer, value: Any, low: int, high: int) -> int:
    """A whole number in bounds."""
    if isinstance(value, Template):
        return low
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Mistake(pointer, f"expected a whole number from {low} to {high}, got {kind(value)}")
    return value


def truth(pointer: Pointer, value: Any) -> bool:
    """True or false."""
    if isinstance(value, Template):
        return False
    if not isinstance(value, bool):
        raise Mistake(pointer, "expected true or false")
    return value


def paced(pointer: Pointer, data: Mapping[str, Any], default: Pace) -> Pace:
    """The pace that some words give, the rest from `default`."""
    every = default.every
    if "every" in data and "tokens_per_second" in data:
        raise Mistake((*pointer, "tokens_per_second"), "every says the same in another way: one of them is enough")
    if "every" in data:
        every = seconds((*pointer, "every"), data["every"])
    elif "tokens_per_second" in data:
        every = 1 / _rate((*pointer, "tokens_per_second"), data["tokens_per_second"])
    return Pace(
        every,
        seconds((*pointer, "ttft"), data["ttft"]) if "ttft" in data else default.ttft,
        seconds((*pointer, "jitter"), data["jitter"]) if "jitter" in data else default.jitter,
    )


def _rate(pointer: Pointer, value: Any) -> float:
    if isinstance(value, Template):
        return 1.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1 / LONGEST_WAIT <= value <= FASTEST:
        raise Mistake(pointer, f"expected a number up to {FASTEST}, got {kind(value)}")
    return float(value)


def kind(value: Any) -> str:
    """A value in a sentence."""
    if isinstance(value, int) and value.bit_length() > 1_000:
        return "a huge number"
    shown = {type(None): "nothing", dict: "a mapping", list: "a list"}.get(type(value), repr(value))
    return shown if len(shown) <= 60 else shown[:57] + "…"


# ---- the steps


def _say(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Say:
    size = step.get("size")
    if size is not None:
        size = whole((*pointer[:-1], "size"), size, 1, 100_000)
    own = paced(pointer[:-1], step, pace)
    return Say(text(pointer, value), own.every, size, own.ttft, own.jitter)


def _wait(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Wait:
    return Wait(seconds(pointer, value))


def _ping(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Ping:
    if value is not None:
        raise Mistake(pointer, "ping takes no value")
    return Ping()


def _event(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Send:
    if value is None:
        raise Mistake(pointer, "expected an event")
    return Send(value, truth((*pointer[:-1], "violates"), step.get("violates", False)))


def _bytes(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Bytes:
    if isinstance(value, dict):
        only(pointer, value, ("base64",))
        try:
            return Bytes(b64decode(text((*pointer, "base64"), value.get("base64")), validate=True))
        except ValueError as error:
            raise Mistake((*pointer, "base64"), f"no base64: {error}") from error
    return Bytes(text(pointer, value).encode())


def _error(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Fail:
    if isinstance(value, str | Template):
        return Fail(code=text(pointer, value))
    error = mapping(pointer, value)
    only(pointer, error, ("status", "code", "message"))
    status = error.get("status")
    return Fail(
        code=optional_text((*pointer, "code"), error.get("code")),
        status=None if status is None else whole((*pointer, "status"), status, 400, 599),
        message=optional_text((*pointer, "message"), error.get("message")),
    )


def _tool_call(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> ToolCall:
    call = mapping(pointer, value)
    only(pointer, call, ("name", "arguments", "id"))
    return ToolCall(
        name=text((*pointer, "name"), call.get("name", "" if isinstance(value, Template) else None)),
        arguments=mapping((*pointer, "arguments"), call.get("arguments")),
        id=optional_text((*pointer, "id"), call.get("id")),
    )


def _tool_result(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> ToolResult:
    if isinstance(value, dict) and "result" in value:
        only(pointer, value, ("name", "id", "result"))
        return ToolResult(
            result=value["result"],
            name=optional_text((*pointer, "name"), value.get("name")),
            id=optional_text((*pointer, "id"), value.get("id")),
        )
    return ToolResult(value)


def _file(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> File:
    file = mapping(pointer, value)
    only(pointer, file, ("type", "name", "text"))
    named = file.get("type", "image")
    type = KINDS_OF_FILE[0] if isinstance(named, Template) else text((*pointer, "type"), named)
    if type not in KINDS_OF_FILE:
        raise Mistake((*pointer, "type"), unknown("type", type, KINDS_OF_FILE))
    return File(
        type=type,
        name=optional_text((*pointer, "name"), file.get("name")),
        text=text((*pointer, "text"), file.get("text", "")),
    )


def _replace(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Replace:
    if isinstance(value, dict):
        only(pointer, value, ("text", "reason"))
        return Replace(
            text=text((*pointer, "text"), value.get("text")),
            reason=text((*pointer, "reason"), value.get("reason", "")),
        )
    return Replace(text(pointer, value))


def _audio(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Audio:
    every = seconds((*pointer[:-1], "every"), step["every"]) if "every" in step else Audio().every
    return Audio(optional_text(pointer, value), every)


def _fault(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Spoken:
    if _has_template(value):
        return ()
    found = parse(value, lambda place, what: Mistake((*pointer, *place), what))
    for fault in found:
        if FAULTS[fault.name].head or fault.name == "latency":
            advice = "a wait does that here" if fault.name == "latency" else "write it under `faults:`"
            raise Mistake(pointer, f"{fault.name} is about an answer's beginning and can be no step: {advice}")
        if fault.event is not None or fault.byte is not None:
            raise Mistake(pointer, "a step strikes where it stands: event and byte are for `faults:`")
    return found


def _has_template(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_template, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Template)


def _end(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> End:
    return End(mapping(pointer, value))


REPLY = ("status", "code", "message", "example", "headers", "body", "violates")
BODIES = (("body",), ("example",), ("code", "message"))
"""Words of a reply that say what its body is; those of one group go together."""


def _reply(pointer: Pointer, value: Any, step: Mapping[str, Any], pace: Pace) -> Respond:
    reply = mapping(pointer, value) if isinstance(value, dict) else {"status": value}
    only(pointer, reply, REPLY)
    status = whole((*pointer, "status"), reply.get("status"), 200, 599)
    groups = [[word for word in group if word in reply] for group in BODIES]
    given = [words for words in groups if words]
    if len(given) > 1:
        raise Mistake((*pointer, given[1][0]), f"{given[0][0]} says what the body is already")
    if given and status in (204, 304):
        raise Mistake((*pointer, given[0][0]), f"a reply with the status {status} has no body")
    return Respond(
        status=status,
        code=optional_text((*pointer, "code"), reply.get("code")),
        message=optional_text((*pointer, "message"), reply.get("message")),
        example=optional_text((*pointer, "example"), reply.get("example")),
        headers=_headers((*pointer, "headers"), reply.get("headers")),
        body=reply.get("body"),
        has_body="body" in reply,
        violates=truth((*pointer, "violates"), reply.get("violates", False)),
    )


def _headers(pointer: Pointer, value: Any) -> Mapping[str, str]:
    headers = mapping(pointer, value)
    if len(headers) > MOST_HEADERS:
        raise Mistake(pointer, f"more than {MOST_HEADERS} headers")
    found: dict[str, str] = {}
    for name, given in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise Mistake((*pointer, name), f"{name[:60]!r} is no name of a header")
        if name.lower() in OF_THE_CONNECTION:
            raise Mistake(
                (*pointer, name), "the server says this itself; a fault such as content_length makes it wrong"
            )
        found[name] = text((*pointer, name), given)
        if not HEADER_VALUE.fullmatch(found[name]):
            raise Mistake((*pointer, name), "expected up to 4000 characters of Latin-1 in one line")
    return found


Parser = Callable[[Pointer, Any, Mapping[str, Any], Pace], Any]

STEPS: Mapping[str, tuple[Parser, tuple[str, ...]]] = {
    "say": (_say, ("every", "size", "ttft", "tokens_per_second", "jitter")),
    "event": (_event, ("violates",)),
    "bytes": (_bytes, ()),
    "ping": (_ping, ()),
    "wait": (_wait, ()),
    "error": (_error, ()),
    "tool_call": (_tool_call, ()),
    "tool_result": (_tool_result, ()),
    "file": (_file, ()),
    "replace": (_replace, ()),
    "audio": (_audio, ("every",)),
    "fault": (_fault, ()),
    "end": (_end, ()),
    "reply": (_reply, ()),
}
"""Word of a step → how its value is read, and which words may stand beside it."""

WORDS = (*STEPS, "repeat", "choose")
"""The words that a step can begin with."""
