"""Looking at JSON that somebody sent: each member by its pointer, told with what was expected and what came. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from emulator.errors import Misused, nearest

MOST_DEPTH = 110
"""How deep a value may nest: what a call may store, and what stands around it."""
MOST_DIGITS = 400


@dataclass(frozen=True, slots=True)
class Given:
    """A value, its JSON pointer, and the title of the problem that it may be."""

    title: str
    value: Any
    pointer: str = ""

    def refuse(self, expected: str, got: str | None = None, available: Iterable[str] = ()) -> NoReturn:
        """Raise Misused with what was expected here and what came."""
        at = self.pointer or "the whole"
        raise Misused(
            self.title, f"{at}: expected {expected}, got {shown(self.value) if got is None else got}", available
        )

    def at(self, key: str | int) -> Given:
        """The member or item there."""
        return Given(self.title, self.value[key], f"{self.pointer}/{escaped(key)}")

    def members(self, names: Collection[str], optional: bool = False) -> dict[str, Given]:
        """The members of an object that has no others; all of them, unless they are optional."""
        found = self.items()
        for name in found:
            if name not in names:
                near = nearest(name, names)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                found[name].refuse(f"one of {', '.join(names)}", f"the unknown member {name[:80]!r}{hint}", names)
        if not optional:
            for name in names:
                if name not in found:
                    self.refuse(f"a member {name!r}", "none")
        return found

    def items(self) -> dict[str, Given]:
        """The members of an object."""
        if not isinstance(self.value, dict):
            self.refuse("an object")
        return {name: self.at(name) for name in self.value}

    def list(self, most: int) -> Iterator[Given]:
        """The items of an array of at most so many."""
        if not isinstance(self.value, list | tuple):
            self.refuse("an array")
        if len(self.value) > most:
            self.refuse(f"at most {most} items", str(len(self.value)))
        return (self.at(number) for number in range(len(self.value)))

    def text(self, most: int | None = None) -> str:
        """A text."""
        if not isinstance(self.value, str):
            self.refuse("a text")
        if most is not None and len(self.value) > most:
            self.refuse(f"at most {most} characters", str(len(self.value)))
        return self.value

    def one_of(self, words: Sequence[str]) -> str:
        """One of some words."""
        if not isinstance(self.value, str) or self.value not in words:
            near = nearest(self.value, words) if isinstance(self.value, str) else []
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.refuse(f"one of {', '.join(words)}", shown(self.value) + hint, words)
        return self.value

    def whole(self, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self.value
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.refuse(f"a whole number from {low} to {high}")
        return value

    def number(self, low: float, high: float) -> float:
        """A number within bounds, as a float."""
        value = self.value
        # Compared before it is converted: an integer can be too large for a float.
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            self.refuse(f"a number from {low:g} to {high:g}")
        return float(value)

    def json(self) -> None:
        """Look through everything below: what JSON has, and what can be stored and sent again."""
        waiting: list[tuple[Given, int]] = [(self, 0)]
        while waiting:
            one, depth = waiting.pop()
            value = one.value
            if isinstance(value, dict | list | tuple):
                if depth == MOST_DEPTH:
                    one.refuse(f"nothing nested deeper than {MOST_DEPTH}", "more")
                keys: Iterable[Any] = value if isinstance(value, dict) else range(len(value))
                for key in keys:
                    if isinstance(value, dict):
                        _check_key(one, key)
                    # Most values are plain, and need no pointer of their own.
                    if not _plain(value[key]):
                        waiting.append((one.at(key), depth + 1))
            else:
                _check_scalar(one)


def _plain(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        text: str = value
        return text.isascii()
    if kind is int:
        return -(2**63) <= value < 2**63
    return value is None or kind is bool or (kind is float and math.isfinite(value))


def _check_key(holder: Given, key: Any) -> None:
    if not isinstance(key, str):
        holder.refuse("names that are texts", shown(key))
    if not key.isascii():
        _check_scalar(Given(holder.title, key, holder.pointer))


def _check_scalar(given: Given) -> None:
    value = given.value
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            given.refuse("Unicode text", "a lone surrogate")
    elif isinstance(value, float):
        if not math.isfinite(value):
            given.refuse("a finite number")
    elif isinstance(value, int):
        if abs(value) >= 10**MOST_DIGITS:
            given.refuse(f"a number of at most {MOST_DIGITS} digits", "a longer one")
    elif value is not None:
        given.refuse("a JSON value", type(value).__name__)


def shown(value: Any) -> str:
    """A value in few words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a very long number"
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "…"


def escaped(key: str | int) -> str:
    """A key as a JSON pointer has it."""
    return str(key)[:200].replace("~", "~0").replace("/", "~1")
