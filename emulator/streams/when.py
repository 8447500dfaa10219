"""Conditions: whether a call is one that a scenario, a branch of it or an arming is for.

Owns the words of `when` and `requires`, their tests, and the sentences that tell why one is not met. A condition is
plain data, checked by `check_when` once; `mismatch` then never raises and never takes long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emulator.errors import nearest
from emulator.source import Pointer
from emulator.streams.patterns import pattern

if TYPE_CHECKING:
    from emulator.streams.scene import Scene

PLACES = ("body", "header", "query", "path", "state")
"""Where a condition looks for something by its name."""
COUNTS = ("nth", "play", "turn")
"""What it counts: accepted calls of the operation in the session, plays of the scenario in the session, questions of
the conversation, each with this one."""
WORDS = (*PLACES, *COUNTS)
TEXTUAL = frozenset({"header", "query", "path"})
"""Places whose values are text on the wire, so that numbers are compared by how they are written."""

NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
SHOWN = 60
MOST_NAMES = 200

Fail = Callable[[Pointer, str], Exception]


def _equals(value: Any, wanted: Any) -> bool:
    # In Python true is 1, in JSON it is not.
    return isinstance(value, bool) is isinstance(wanted, bool) and bool(value == wanted)


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, list) and any(_equals(one, wanted) for one in value)


def _matches(value: Any, wanted: Any) -> bool:
    return isinstance(value, str) and pattern(str(wanted)).found_in(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TESTS: Mapping[str, tuple[Callable[[Any, Any], bool], str, str]] = {
    "equals": (_equals, "is", "is not"),
    "contains": (_contains, "contains", "does not contain"),
    "matches": (_matches, "matches", "does not match"),
    "exists": (lambda value, wanted: (value is not None) is wanted, "is", "is not"),
    "at_least": (lambda value, wanted: _is_number(value) and value >= wanted, "is at least", "is not at least"),
    "at_most": (lambda value, wanted: _is_number(value) and value <= wanted, "is at most", "is not at most"),
    "every": (
        lambda value, wanted: isinstance(value, int) and _is_number(value) and value % wanted == 0,
        "is a multiple of",
        "is no multiple of",
    ),
}
"""Word of a test → the test, and its words when it is met and when it is not."""


def mismatch(when: Mapping[str, Any], scene: Scene) -> str | None:
    """Why the condition is not met, in words; None when it is. `when` must have passed `check_when`."""
    for place, name, word, wanted in _each(when):
        value = _counted(place, scene) if place in COUNTS else _found(place, name, scene)
        given, asked = _alike(value, wanted) if place in TEXTUAL else (value, wanted)
        if not TESTS[word][0](given, asked):
            return _sentence(place, name, word, wanted, False, value)
    return None


def told(when: Mapping[str, Any]) -> str:
    """The condition in words, such as "body.query contains 'quota' and nth is 2"; "always" for an empty one."""
    return " and ".join(_sentence(*one, True, None) for one in _each(when)) or "always"


def _each(when: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """(place, name, test, operand) of each test in a condition."""
    for place, wanted in when.items():
        for name, tests in {"": wanted}.items() if place in COUNTS else wanted.items():
            for word, operand in tests.items() if isinstance(tests, Mapping) else (("equals", tests),):
                yield place, name, word, operand


def _sentence(place: str, name: str, word: str, operand: Any, met: bool, value: Any) -> str:
    subject = f"{place}.{name}" if name else place
    if word == "exists":
        return f"{subject} {'is there' if operand is met else 'is not there'}"
    if not met and value is None and place not in COUNTS:
        return f"{subject} is not there"
    got = "" if met or place not in COUNTS else f" but {value}"
    return f"{subject} {TESTS[word][1 if met else 2]} {_shown(operand)}{got}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _counted(place: str, scene: Scene) -> int:
    return {"nth": scene.nth, "play": scene.play, "turn": scene.turn}[place]


def _found(place: str, name: str, scene: Scene) -> Any:
    """What stands at a name; None for nothing. A dot leads into a value: `inputs.city`, `messages.0.role`."""
    if place == "header":
        return scene.headers.get(name.lower())
    whole = {"body": scene.body, "query": scene.query, "path": scene.path, "state": scene.states}[place]
    if isinstance(whole, Mapping) and name in whole:
        return whole[name]
    for part in name.split("."):
        if isinstance(whole, Mapping):
            whole = whole.get(part)
        elif isinstance(whole, list) and part.isascii() and part.isdigit() and int(part[:9]) < len(whole):
            whole = whole[int(part[:9])]
        else:
            return None
    return whole


def _alike(value: Any, wanted: Any) -> tuple[Any, Any]:
    """A value that is text on the wire beside what it is compared with: two numbers where a number is wanted, else
    two texts."""
    if isinstance(wanted, bool) and isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), value), wanted
    if _is_number(wanted) and isinstance(value, str) and NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value), wanted
    if isinstance(wanted, str) and _is_number(value):
        return str(value), wanted
    return value, wanted


def check_when(data: Any, fail: Fail) -> Mapping[str, Any]:
    """The condition that `data` describes, which `mismatch` can then be asked about. Raises what `fail` makes of the
    place inside `data` and of what is wrong."""
    if not isinstance(data, dict):
        raise fail((), f"expected a mapping of {', '.join(WORDS)}")
    _only((), data, WORDS, fail)
    for place, wanted in data.items():
        if place in COUNTS:
            _check_tests((place,), wanted, fail)
            continue
        check_names(place, wanted, lambda pointer, what, place=place: fail((place, *pointer), what))  # type: ignore[misc]
    return data


def check_names(place: str, data: Any, fail: Fail) -> Mapping[str, Any]:
    """Names with what stands there must be: the value itself, or tests."""
    if not isinstance(data, dict):
        raise fail((), f"expected a mapping of names to what they must be, such as {EXAMPLES[place]}")
    if len(data) > MOST_NAMES:
        raise fail((), f"more than {MOST_NAMES} names")
    for name, wanted in data.items():
        _check_tests((name,), wanted, fail)
    return data


EXAMPLES = {
    "body": "{query: {contains: quota}}",
    "header": "{x-client: web}",
    "query": "{limit: 5}",
    "path": "{id: {exists: true}}",
    "state": "{left: {at_least: 1}}",
}


def _check_tests(pointer: Pointer, wanted: Any, fail: Fail) -> None:
    counted = len(pointer) == 1 and pointer[0] in COUNTS
    if not isinstance(wanted, dict):
        if isinstance(wanted, list) or (counted and not _is_number(wanted)):
            raise fail(pointer, f"expected {'a number' if counted else 'a value'} or tests such as {{at_least: 2}}")
        return
    if not wanted:
        raise fail(pointer, f"expected a test, one of {', '.join(TESTS)}")
    _only(pointer, wanted, TESTS, fail)
    for word, operand in wanted.items():
        _check_operand((*pointer, word), word, operand, fail)


def _check_operand(pointer: Pointer, word: str, operand: Any, fail: Fail) -> None:
    if word == "matches":
        if not isinstance(operand, str):
            raise fail(pointer, "expected a regular expression")
        try:
            pattern(operand)
        except ValueError as error:
            raise fail(pointer, f"no regular expression: {error}") from error
    elif word == "exists" and not isinstance(operand, bool):
        raise fail(pointer, "expected true or false")
    elif word in ("at_least", "at_most") and not _is_number(operand):
        raise fail(pointer, f"expected a number, got {_shown(operand)}")
    elif word == "every" and not (isinstance(operand, int) and _is_number(operand) and operand >= 1):
        raise fail(pointer, f"expected a whole number from 1, got {_shown(operand)}")
    elif word == "contains" and isinstance(operand, dict | list):
        raise fail(pointer, "expected one value")


def _only(pointer: Pointer, data: Mapping[str, Any], known: Iterable[str], fail: Fail) -> None:
    for word in data:
        if word not in known:
            raise fail((*pointer, word), unknown("word", word, known))


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """The words for a name that is none of those there are, with the nearest."""
    near = nearest(word, known)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {word[:80]!r}; {hint}expected one of {', '.join(known)}"
