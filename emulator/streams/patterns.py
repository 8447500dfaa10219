"""Regular expressions whose time is bounded, whatever the pattern and the text.

Python's own engine goes back and tries again, so that a short pattern (`(a|a)*b`, `a.*b.*c`) can hold a server for
hours over a client's text, and bounding that text would have to begin at some hundred characters. Here all ways through
a pattern are followed at once: at most `MOST_STATES` steps for each of the first `LONGEST_TEXT` characters. What that
cannot do (back references, looking ahead or behind, atomic groups) is refused. Python's parser reads the patterns, so
that they mean what Python's mean.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MOST_STATES = 400
LONGEST_TEXT = 1_024
"""Characters of a text that are looked at."""
LONGEST_PATTERN = 1_000
DEEPEST = 40

Test = Callable[[str], bool]

_parser: Any = importlib.import_module("re._parser")
_c: Any = importlib.import_module("re._constants")


@dataclass(slots=True)
class _State:
    """One state: it takes a character that passes `test`, or stands at a place that is `at`, or forks to `ways`."""

    test: Test | None = None
    at: Any = None
    ways: tuple[int, ...] = ()


class Pattern:
    """One pattern. Raises ValueError, with what is wrong in words, for one that cannot be used."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST_PATTERN:
            raise ValueError(f"longer than {LONGEST_PATTERN} characters")
        try:
            with warnings.catch_warnings():
                # What may mean something else in a later Python.
                warnings.simplefilter("ignore")
                tree = _parser.parse(text)
        except (re.error, OverflowError) as error:
            raise ValueError(str(error)) from error
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        self._flags = tree.state.flags
        self._states: list[_State] = []
        self._final = self._add(_State())
        self._first = self._sequence(list(tree), self._final, 0)

    def found_in(self, text: str) -> bool:
        """Whether it matches somewhere in the first `LONGEST_TEXT` characters of `text`."""
        text = text[:LONGEST_TEXT]
        now: set[int] = set()
        for place in range(len(text) + 1):
            now = self._reached((*now, self._first), text, place)
            if self._final in now:
                return True
            if place < len(text):
                character = text[place]
                now = {
                    state.ways[0]
                    for state in (self._states[number] for number in now)
                    if state.test is not None and state.test(character)
                }
        return False

    def _reached(self, numbers: Iterable[int], text: str, place: int) -> set[int]:
        found: set[int] = set()
        waiting = list(numbers)
        while waiting:
            number = waiting.pop()
            if number in found:
                continue
            found.add(number)
            state = self._states[number]
            if state.test is None and (state.at is None or self._stands(state.at, text, place)):
                waiting += state.ways
        return found

    def _add(self, state: _State) -> int:
        if len(self._states) >= MOST_STATES:
            raise ValueError(f"too large: it comes to more than {MOST_STATES} states")
        self._states.append(state)
        return len(self._states) - 1

    def _sequence(self, nodes: list[Any], then: int, depth: int) -> int:
        if depth > DEEPEST:
            raise ValueError("nested too deep")
        for operation, value in reversed(nodes):
            then = self._node(operation, value, then, depth)
        return then

    def _node(self, operation: Any, value: Any, then: int, depth: int) -> int:
        if operation in (_c.LITERAL, _c.NOT_LITERAL, _c.IN, _c.ANY):
            return self._add(_State(test=self._test(operation, value), ways=(then,)))
        if operation is _c.AT:
            return self._add(_State(at=value, ways=(then,)))
        if operation is _c.BRANCH:
            ways = tuple(self._sequence(list(way), then, depth + 1) for way in value[1])
            return self._add(_State(ways=ways))
        if operation is _c.SUBPATTERN and not value[1] and not value[2]:
            return self._sequence(list(value[3]), then, depth + 1)
        if operation in (_c.MAX_REPEAT, _c.MIN_REPEAT):
            low, high, inner = value
            return self._repeated(list(inner), low, None if high is _c.MAXREPEAT else high, then, depth)
        raise ValueError(f"{REFUSED.get(str(operation), str(operation).lower())} cannot be used here")

    def _repeated(self, inner: list[Any], low: int, high: int | None, then: int, depth: int) -> int:
        if high is None:
            loop = self._add(_State())
            self._states[loop].ways = (self._sequence(inner, loop, depth + 1), then)
            then = loop
        else:
            after = then
            for _ in range(min(high - low, MOST_STATES + 1)):
                then = self._add(_State(ways=(self._sequence(inner, then, depth + 1), after)))
        for _ in range(min(low, MOST_STATES + 1)):
            before = len(self._states)
            then = self._sequence(inner, then, depth + 1)
            if len(self._states) == before:
                # What is repeated is empty, and so is any number of it.
                break
        return then

    def _test(self, operation: Any, value: Any) -> Test:
        plain = self._plain(operation, value)
        if not self._flags & re.IGNORECASE or operation is _c.ANY:
            return plain
        if operation is _c.NOT_LITERAL or (operation is _c.IN and value and value[0][0] is _c.NEGATE):
            return lambda one: all(map(plain, {one, one.lower()[:1], one.upper()[:1]}))
        return lambda one: any(map(plain, {one, one.lower()[:1], one.upper()[:1]}))

    def _plain(self, operation: Any, value: Any) -> Test:
        if operation is _c.ANY:
            return (lambda one: True) if self._flags & re.DOTALL else (lambda one: one != "\n")
        if operation is _c.LITERAL:
            wanted = chr(value)
            return lambda one: one == wanted
        if operation is _c.NOT_LITERAL:
            unwanted = chr(value)
            return lambda one: one != unwanted
        negated = bool(value) and value[0][0] is _c.NEGATE
        tests = [self._member(kind, one) for kind, one in value if kind is not _c.NEGATE]
        return lambda one: any(test(one) for test in tests) is not negated

    def _member(self, kind: Any, value: Any) -> Test:
        if kind is _c.RANGE:
            low, high = map(chr, value)
            return lambda one: low <= one <= high
        if kind is _c.CATEGORY:
            test, wanted = CATEGORIES[str(value)]
            ascii_only = bool(self._flags & re.ASCII)
            return lambda one: (test(one) and (one.isascii() or not ascii_only)) is wanted
        return self._plain(kind, value)

    def _stands(self, at: Any, text: str, place: int) -> bool:
        before, after = text[place - 1 : place], text[place : place + 1]
        lines = bool(self._flags & re.MULTILINE)
        if at is _c.AT_BEGINNING:
            return place == 0 or (lines and before == "\n")
        if at is _c.AT_END:
            return after == "" or (after == "\n" and (lines or place == len(text) - 1))
        if at is _c.AT_BEGINNING_STRING:
            return place == 0
        if at is _c.AT_END_STRING:
            return after == ""
        ascii_only = bool(self._flags & re.ASCII)
        words = [_is_word(one) and (one.isascii() or not ascii_only) for one in (before, after)]
        return (words[0] != words[1]) is (at is _c.AT_BOUNDARY)


def _is_word(one: str) -> bool:
    return one.isalnum() or one == "_"


CATEGORIES: dict[str, tuple[Test, bool]] = {
    "CATEGORY_DIGIT": (str.isdecimal, True),
    "CATEGORY_NOT_DIGIT": (str.isdecimal, False),
    "CATEGORY_SPACE": (str.isspace, True),
    "CATEGORY_NOT_SPACE": (str.isspace, False),
    "CATEGORY_WORD": (_is_word, True),
    "CATEGORY_NOT_WORD": (_is_word, False),
}
REFUSED = {
    "ASSERT": "looking ahead or behind",
    "ASSERT_NOT": "looking ahead or behind",
    "ATOMIC_GROUP": "an atomic group",
    "GROUPREF": "a back reference",
    "GROUPREF_EXISTS": "a condition on a group",
    "POSSESSIVE_REPEAT": "a possessive repetition",
    "SUBPATTERN": "a flag for a part",
}


@lru_cache(maxsize=512)
def pattern(text: str) -> Pattern:
    """The pattern that `text` describes. Raises ValueError."""
    return Pattern(text)
