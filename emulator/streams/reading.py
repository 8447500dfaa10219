"""Scenarios from text and from JSON: which words there are, what their values may be, and where a mistake stands.

Owns the language. A file's mistakes are told as `file:line:column: what`, with the nearest valid word; whoever sends a
scenario as JSON says how they are told. What has values in it (`{{ … }}`) is read twice: here, with something that fits
in their place, and for each call with what they come to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from emulator.errors import Broken
from emulator.fault import Fault, parse
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
from emulator.streams.values import Mistake, Names, Template, compiled
from emulator.streams.when import MOST_NAMES, check_names, check_when, unknown
from emulator.streams.words import PACING, STEPS, WORDS, Pace, mapping, only, optional_text, paced, seconds, text, whole

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOST_NESTED = 8
MOST_BRANCHES = 100
MOST_VALUES = 200_000
MOST_BITS = 8_192
MOST_MISTAKES = 100

MEMBERS = ("description", "operation", "when", "requires", "becomes", "pace", "faults", "steps")
"""The words of a file."""
BRANCH = ("when", "requires", "becomes", "faults", "steps")
"""The words of one way of a choice."""

Told = Callable[[Pointer, str], Exception]


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
