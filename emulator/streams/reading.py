"""Scenarios from text and from JSON: which words there are, what their values may be, and where a mistake stands.

Owns the language. A file's mistakes are told as `file:line:column: what`, with the nearest valid word; whoever sends a
scenario as JSON says how they are told. What has values in it (`{{ … }}`) is read twice: here, with something that fits
in their place, and for each call with what they come to.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emulator.durations import LONGEST, duration
from emulator.errors import Broken
from emulator.fault import FAULTS, Fault, parse
from emulator.source import MOST_DEPTH, Pointer, Source, read
from emulator.streams.scenario import (
    BESIDE_REPLY,
    MOST_STEPS,
    Branch,
    Choose,
    Line,
    Piece,
    Repeat,
    Scenario,
    Spoken,
)
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
from emulator.streams.values import Mistake, Names, Template, compiled
from emulator.streams.when import MOST_NAMES, check_names, check_when, unknown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LONGEST_WAIT = LONGEST
FASTEST = 100_000
MOST_NESTED = 8
MOST_BRANCHES = 100
MOST_HEADERS = 50
MOST_VALUES = 200_000
MOST_BITS = 8_192
MOST_MISTAKES = 100
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,4000}")
OF_THE_CONNECTION = ("connection", "content-length", "transfer-encoding")
KINDS_OF_FILE = ("image", "audio", "document")

MEMBERS = ("description", "operation", "when", "requires", "becomes", "pace", "faults", "steps")
"""The words of a file."""
BRANCH = ("when", "requires", "becomes", "faults", "steps")
"""The words of one way of a choice."""
PACING = ("every", "ttft", "tokens_per_second", "jitter")
"""The words of a pace."""

Told = Callable[[Pointer, str], Exception]


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly text comes, in seconds: between two pieces, before the first, and how uneven."""

    every: float = PACE
    ttft: float = 0.0
    jitter: float = 0.0


def load(
    file: Path,
    playable: Collection[str] | None = None,
    speaks: Collection[str] | None = None,
    answering: Collection[str] | None = None,
) -> Scenario:
    """Read one scenario file. Raises Broken with the place of what is wrong and the nearest valid word.

    An `operation` must be one of `playable`; one that is not among `answering` gives no answer that steps could be
    played in. Each step must be a word that the dialect `speaks`. None of them matters where it is None."""
    return read_scenario(read(file), file.stem, playable, speaks, answering)


def read_scenario(
    source: Source,
    name: str,
    playable: Collection[str] | None = None,
    speaks: Collection[str] | None = None,
    answering: Collection[str] | None = None,
) -> Scenario:
    """The scenario in a file's data; see `load`."""
    scenario = scenario_from(source.data, name, playable, speaks, source.broken, answering)
    return replace(scenario, file=source.file)


def scenario_from(
    data: Any,
    name: str,
    playable: Collection[str] | None,
    speaks: Collection[str] | None,
    fail: Told,
    answering: Collection[str] | None = None,
) -> Scenario:
    """The scenario that plain data describe; see `load`. Raises what `fail` makes of the place and of what is wrong."""
    try:
        return _Reader(None, playable, speaks, answering).scenario(data, name, fail)
    except Mistake as mistake:
        raise fail(mistake.pointer, mistake.what) from mistake


def mistakes_in(
    source: Source,
    name: str,
    playable: Collection[str] | None = None,
    speaks: Collection[str] | None = None,
    answering: Collection[str] | None = None,
) -> tuple[Scenario | None, list[Broken]]:
    """The scenario in a file's data, as far as it can be read, and its mistakes, of very many the first."""
    found: list[Mistake] = []
    scenario: Scenario | None = None
    try:
        scenario = _Reader(found, playable, speaks, answering).scenario(source.data, name, source.broken)
        scenario = replace(scenario, file=source.file)
    except Mistake as mistake:
        found.append(mistake)
    return scenario, [source.broken(one.pointer, one.what) for one in found[:MOST_MISTAKES]]


class _Reader:
    """One scenario's data to a Scenario. Mistakes are collected in `found`, or raised at once where that is None."""

    def __init__(
        self,
        found: list[Mistake] | None,
        playable: Collection[str] | None,
        speaks: Collection[str] | None,
        answering: Collection[str] | None,
    ) -> None:
        self._found = found
        self._playable = playable
        self._speaks = speaks
        self._answering = answering
        self._operation: str | None = None

    @contextmanager
    def _part(self) -> Iterator[None]:
        """One part, whose mistakes hide none in others."""
        try:
            yield
        except Mistake as mistake:
            if self._found is None:
                raise
            self._found.append(mistake)

    def scenario(self, data: Any, name: str, fail: Told) -> Scenario:
        if not NAME.fullmatch(name):
            raise Mistake((), f"the file's name {name[:80]!r} is no scenario name")
        if not isinstance(data, dict):
            raise Mistake((), "expected a mapping with description and steps")
        check_plain(data)
        with self._part():
            only((), data, MEMBERS)
        parts: dict[str, Any] = {}
        for word, part in self._parts(data).items():
            with self._part():
                parts[word] = part()
        with self._part():
            pace = self._pace(data)
            lines = self._steps(data, pace)
            parts |= {"lines": lines, "ttft": pace.ttft}
        return Scenario(name=name, fail=fail, **({"description": "", "lines": None} | parts))

    def _parts(self, data: Mapping[str, Any]) -> dict[str, Callable[[], Any]]:
        return {
            "description": lambda: text(("description",), data.get("description", "")),
            "operation": lambda: self._for(data.get("operation")),
            "when": lambda: _when(("when",), data["when"]) if "when" in data else None,
            "requires": lambda: _requires(("requires",), data["requires"]) if "requires" in data else None,
            "becomes": lambda: _becomes(("becomes",), data.get("becomes")),
            "faults": lambda: _faults(("faults",), data["faults"]) if "faults" in data else (),
        }

    def _for(self, value: Any) -> str | None:
        operation = self._operation = optional_text(("operation",), value)
        if operation is not None and self._playable is not None and operation not in self._playable:
            raise Mistake(("operation",), unknown("operation", operation, self._playable))
        return operation

    def _pace(self, data: Mapping[str, Any]) -> Pace:
        value = data.get("pace")
        if value is None:
            return Pace()
        if "steps" not in data:
            raise Mistake(("pace",), "there are no steps that it could pace")
        if not isinstance(value, dict):
            return Pace(every=seconds(("pace",), value))
        only(("pace",), value, PACING)
        return paced(("pace",), value, Pace())

    def _steps(self, data: Mapping[str, Any], pace: Pace) -> tuple[Piece, ...] | None:
        if "steps" not in data and ("faults" in data or "becomes" in data):
            return None
        lines = self.lines(("steps",), data.get("steps"), replace(pace, ttft=0.0), 0, False)
        if _most(lines) > MOST_STEPS:
            raise Mistake(("steps",), f"it comes to more than {MOST_STEPS} steps")
        _ways(lines)
        return lines

    def lines(self, pointer: Pointer, data: Any, pace: Pace, depth: int, looped: bool) -> tuple[Piece, ...]:
        if depth > MOST_NESTED:
            raise Mistake(pointer, f"choices and repeats nested deeper than {MOST_NESTED} levels")
        if not isinstance(data, list) or not 0 < len(data) <= MOST_STEPS:
            raise Mistake(pointer, f"expected a list of 1 to {MOST_STEPS} steps")
        found: list[Piece] = []
        for number, one in enumerate(data):
            with self._part():
                found.append(self._line((*pointer, number), one, pace, depth, looped))
        return tuple(found)

    def _line(self, pointer: Pointer, data: Any, pace: Pace, depth: int, looped: bool) -> Piece:
        if isinstance(data, str):
            data = {data: None}
        if not isinstance(data, dict) or not data:
            raise Mistake(pointer, "expected a step such as `say: …`, `wait: 1s` or `ping`")
        word = next((key for key in data if key in WORDS), None)
        if word is None:
            first = next(iter(data))
            raise Mistake((*pointer, first), unknown("step", first, WORDS))
        if word == "repeat":
            return self._repeat(pointer, data, pace, depth)
        if word == "choose":
            only(pointer, data, ("choose",))
            return self._choose((*pointer, word), data[word], pace, depth, looped)
        return self._spoken(pointer, word, data, pace, looped)

    def _spoken(self, pointer: Pointer, word: str, data: Mapping[str, Any], pace: Pace, looped: bool) -> Line:
        parse_step, extra = STEPS[word]
        only(pointer, data, (word, *extra))
        if self._speaks is not None and word != "reply" and word not in self._speaks:
            can = ", ".join(one for one in STEPS if one in self._speaks)
            raise Mistake(pointer, f"this backend cannot say {word!r}; it says {can}")
        if self._is_mute() and word not in ("reply", "wait"):
            what = f"{self._operation} gives no answer that {word!r} could be a part of; it can be given a reply"
            raise Mistake(pointer, what)

        def parsed(given: Mapping[str, Any]) -> Spoken:
            made = parse_step((*pointer, word), given[word], given, pace)
            return made if isinstance(made, tuple) else (made,)

        made = compiled(data, pointer, looped)
        if made is data:
            return Line(pointer, word, parsed(data))
        # With something that fits in the place of each value: the rest of the step is looked at now.
        parsed(made)
        return Line(pointer, word, (), lambda names: parsed(names.filled(made)))

    def _is_mute(self) -> bool:
        """Whether it is for an operation that gives no answer step by step."""
        if self._operation is None or self._answering is None or self._operation in self._answering:
            return False
        return self._playable is None or self._operation in self._playable

    def _repeat(self, pointer: Pointer, data: Mapping[str, Any], pace: Pace, depth: int) -> Repeat:
        only(pointer, data, ("repeat", "steps"))
        place = (*pointer, "repeat")
        times = compiled(data["repeat"], place, depth > 0)
        lines = self.lines((*pointer, "steps"), data.get("steps"), pace, depth + 1, True)
        if isinstance(times, Template):
            return Repeat(place, None, lines, lambda names: whole(place, names.filled(times), 0, MOST_STEPS))
        return Repeat(place, whole(place, times, 0, MOST_STEPS), lines)

    def _choose(self, pointer: Pointer, data: Any, pace: Pace, depth: int, looped: bool) -> Choose:
        if not isinstance(data, list) or not 0 < len(data) <= MOST_BRANCHES:
            raise Mistake(pointer, f"expected a list of 1 to {MOST_BRANCHES} ways, each with when and steps")
        branches: list[Branch] = []
        for number, one in enumerate(data):
            with self._part():
                last = number == len(data) - 1
                branches.append(self._branch((*pointer, number), one, pace, depth, looped, last))
        return Choose(pointer, tuple(branches))

    def _branch(self, pointer: Pointer, data: Any, pace: Pace, depth: int, looped: bool, last: bool) -> Branch:
        if not isinstance(data, dict) or not data:
            raise Mistake(pointer, f"expected a mapping of {', '.join(BRANCH)}")
        only(pointer, data, BRANCH)
        when = _both(pointer, data)
        if when is None and not last:
            raise Mistake(pointer, "a way without when is the last one: those after it could never be played")
        lines: tuple[Piece, ...] = ()
        if "steps" in data or not ("faults" in data or "becomes" in data):
            lines = self.lines((*pointer, "steps"), data.get("steps"), pace, depth + 1, looped)
        return Branch(
            pointer,
            when,
            lines,
            _becomes((*pointer, "becomes"), data.get("becomes")),
            _faults((*pointer, "faults"), data["faults"]) if "faults" in data else (),
        )


# ---- the parts of a file that are no steps


def _when(pointer: Pointer, data: Any) -> Mapping[str, Any]:
    return check_when(data, lambda place, what: Mistake((*pointer, *place), what))


def _requires(pointer: Pointer, data: Any) -> Mapping[str, Any]:
    return check_names("state", data, lambda place, what: Mistake((*pointer, *place), what))


def _both(pointer: Pointer, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """`when` and `requires` of a way as one condition; None where it has neither."""
    when = _when((*pointer, "when"), data["when"]) if "when" in data else None
    if "requires" not in data:
        return when
    required = _requires((*pointer, "requires"), data["requires"])
    states = (when or {}).get("state", {})
    for name in required:
        if name in states:
            raise Mistake((*pointer, "requires", name), "when says what this state must be already")
    return {**(when or {}), "state": {**states, **required}}


def _becomes(pointer: Pointer, value: Any) -> Mapping[str, Any]:
    states = mapping(pointer, value)
    if len(states) > MOST_NAMES:
        raise Mistake(pointer, f"more than {MOST_NAMES} states")
    made: Mapping[str, Any] = compiled(states, pointer, False)
    return made


def _faults(pointer: Pointer, value: Any) -> tuple[Fault, ...] | Callable[[Names], tuple[Fault, ...]]:
    def parsed(given: Any) -> tuple[Fault, ...]:
        return parse(given, lambda place, what: Mistake((*pointer, *place), what))

    made = compiled(value, pointer, False)
    return parsed(value) if made is value else lambda names: parsed(names.filled(made))


def check_plain(data: Any) -> None:
    """Raise Mistake for data that are no bounded JSON: too many or too deep, numbers beyond counting, half characters,
    names that are no text."""
    waiting: list[tuple[Pointer, Any]] = [((), data)]
    count = 0
    while waiting:
        pointer, one = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise Mistake((), f"more than {MOST_VALUES} values")
        if len(pointer) > MOST_DEPTH:
            raise Mistake(pointer, f"nested deeper than {MOST_DEPTH} levels")
        if isinstance(one, dict):
            waiting += [((*pointer, name), inner) for name, inner in one.items()]
            bad = next((name for name in one if not isinstance(name, str) or not _whole_text(name)), None)
            if bad is not None:
                raise Mistake(pointer, f"{str(bad)[:60]!r} is no name")
        elif isinstance(one, list):
            waiting += [((*pointer, number), inner) for number, inner in enumerate(one)]
        elif isinstance(one, str) and not _whole_text(one):
            raise Mistake(pointer, "half a character, which is no text")
        elif isinstance(one, float) and not math.isfinite(one):
            raise Mistake(pointer, f"expected a number that JSON has, got {one}")
        elif isinstance(one, int) and one.bit_length() > MOST_BITS:
            raise Mistake(pointer, "the number is too large")


def _whole_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _most(lines: Iterable[Piece]) -> int:
    """The most steps that some lines can come to, as far as that can be told before a call."""
    count = 0
    for line in lines:
        match line:
            case Line():
                count += 1
            case Repeat():
                count += (1 if line.times is None else line.times) * max(1, _most(line.lines))
            case Choose():
                count += max((_most(branch.lines) for branch in line.branches), default=0)
    return count


def _ways(lines: Iterable[Piece]) -> set[frozenset[str]]:
    """What kinds of steps the ways through some lines have: `reply`, and `said` for all but it and waits. Raises
    Mistake for a way with a reply beside something else, or with two."""
    ways: set[frozenset[str]] = {frozenset()}
    for line in lines:
        match line:
            case Line():
                kinds = {"wait": frozenset[str](), "reply": frozenset({"reply"})}
                own = {kinds.get(line.word, frozenset({"said"}))}
            case Repeat():
                own = _ways(line.lines)
                if line.times != 1:
                    own = _together(own, own, line.pointer) | (own if line.times is None else set())
            case Choose():
                own = {way for branch in line.branches for way in _ways(branch.lines)}
                if all(branch.when is not None for branch in line.branches):
                    own.add(frozenset())
        if isinstance(line, Line) and line.word == "wait" and any("reply" in way for way in ways):
            raise Mistake(line.pointer, BESIDE_REPLY)
        ways = _together(ways, own, line.pointer)
    return ways


def _together(before: set[frozenset[str]], after: set[frozenset[str]], pointer: Pointer) -> set[frozenset[str]]:
    for one in before:
        for other in after:
            if ("reply" in one and other) or ("reply" in other and one):
                raise Mistake(pointer, BESIDE_REPLY)
    return {one | other for one in before for other in after}


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
