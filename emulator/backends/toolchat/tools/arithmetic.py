"""The value of an arithmetic expression: numbers, `+ - * /`, signs and parentheses, in floating point.

An operator-precedence parser with two stacks, so that no depth of parentheses is a depth of calls.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping

TOKEN = re.compile(r" *(?:([0-9]+\.?[0-9]*|\.[0-9]+)|([-+*/()]))")
BINARY: Mapping[str, tuple[int, Callable[[float, float], float]]] = {
    "+": (1, operator.add),
    "-": (1, operator.sub),
    "*": (2, operator.mul),
    "/": (2, operator.truediv),
}
"""Operator → how tightly it binds, and what it does."""
SIGNS: Mapping[str, str] = {"+": "plus", "-": "minus"}
SIGN_BINDS = 3


class Malformed(Exception):
    """The text is no expression, or its value is beyond what a number can hold."""


def evaluate(text: str) -> float:
    """The expression's value. Raises Malformed, or ZeroDivisionError."""
    values: list[float] = []
    operators: list[str] = []
    wants_value = True
    for number, symbol in _tokens(text):
        if wants_value:
            if number:
                values.append(float(number))
                wants_value = False
            elif symbol in SIGNS:
                operators.append(SIGNS[symbol])
            elif symbol == "(":
                operators.append(symbol)
            else:
                raise Malformed(text)
        elif symbol == ")":
            _reduce(values, operators, 0)
            if not operators:
                raise Malformed(text)
            operators.pop()
        elif symbol in BINARY:
            _reduce(values, operators, BINARY[symbol][0])
            operators.append(symbol)
            wants_value = True
        else:
            raise Malformed(text)
    if wants_value:
        raise Malformed(text)
    _reduce(values, operators, 0)
    if operators or not math.isfinite(values[0]):
        raise Malformed(text)
    return values[0]


def _tokens(text: str) -> list[tuple[str, str]]:
    """Numbers and symbols, each as (number, "") or ("", symbol)."""
    found: list[tuple[str, str]] = []
    text = text.rstrip(" ")
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise Malformed(text)
        found.append((match.group(1) or "", match.group(2) or ""))
        at = match.end()
    return found


def _reduce(values: list[float], operators: list[str], binds: int) -> None:
    """Apply what is waiting and binds at least as tightly, down to an open parenthesis."""
    while operators and operators[-1] != "(" and _binds(operators[-1]) >= binds:
        name = operators.pop()
        right = values.pop()
        if name in BINARY:
            values.append(BINARY[name][1](values.pop(), right))
        else:
            values.append(-right if name == "minus" else right)


def _binds(name: str) -> int:
    return BINARY[name][0] if name in BINARY else SIGN_BINDS
