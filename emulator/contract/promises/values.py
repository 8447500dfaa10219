"""Where a value stands: JSON pointers (RFC 6901) and the runtime expressions of OpenAPI, over one exchange.

Owns looking up, and comparing what was found; decides nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from emulator.contract.promises.exchange import Exchange


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "nothing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()
"""There is no such value, which is something else than null."""


INDEX = re.compile(r"0|-?[1-9][0-9]{0,8}")
"""Which item of an array; counted from its end where it is negative."""


def at(value: Any, pointer: str) -> Any:
    """What stands at a pointer, or MISSING. The empty pointer is the whole."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            if name not in value:
                return MISSING
            value = value[name]
        elif isinstance(value, list) and INDEX.fullmatch(name) and -len(value) <= int(name) < len(value):
            value = value[int(name)]
        else:
            return MISSING
    return value


def evaluate(expression: Any, exchange: Exchange, last: Exchange | None = None) -> Any:
    """The value of an expression: `$request.body#/user`, `$request.path.id`, `$response.body#/id`, … or `$last.body#/…`
    for the follow-up before. Anything else stands for itself; objects and arrays are evaluated inside. MISSING where an
    expression points at nothing."""
    if isinstance(expression, Mapping):
        members = {name: evaluate(member, exchange, last) for name, member in expression.items()}
        return {name: member for name, member in members.items() if member is not MISSING}
    if isinstance(expression, list):
        return [one for one in (evaluate(one, exchange, last) for one in expression) if one is not MISSING]
    if not isinstance(expression, str) or not expression.startswith("$"):
        return expression
    place, _, pointer = expression.partition("#")
    source, _, rest = place[1:].partition(".")
    if source == "last":
        return at(last.reply, pointer) if last is not None and rest == "body" else MISSING
    where, _, name = rest.partition(".")
    return at(_PLACES[source, where](exchange, name), pointer)


def _one(values: list[str] | None) -> Any:
    return values[0] if values else MISSING


_PLACES: dict[tuple[str, str], Callable[[Exchange, str], Any]] = {
    ("request", "body"): lambda exchange, _: exchange.sent,
    ("request", "path"): lambda exchange, name: exchange.path_values.get(name, MISSING),
    ("request", "query"): lambda exchange, name: _one(exchange.query.get(name)),
    ("request", "header"): lambda exchange, name: exchange.headers.get(name.lower(), MISSING),
    ("response", "body"): lambda exchange, _: exchange.reply,
    ("response", "header"): lambda exchange, name: exchange.reply_headers.get(name.lower(), MISSING),
}
EXPRESSION = (
    r"^\$(request\.body(#/.*)?|request\.(path|query|header)\.[^#]+|response\.body(#/.*)?|response\.header\.[^#]+"
    r"|last\.body(#/.*)?)$"
)


def mentions(given: Any, expression: str) -> bool:
    """Whether the expression, or one that goes deeper, stands anywhere in what a promise says."""
    if isinstance(given, Mapping):
        return any(mentions(one, expression) for one in (*given, *given.values()))
    if isinstance(given, list):
        return any(mentions(one, expression) for one in given)
    return isinstance(given, str) and (given == expression or given.startswith(f"{expression}/"))


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same. 1 and 1.0 are; true and 1 are not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def key(value: Any) -> Hashable:
    """Something to look a JSON value up by: equal for values that are the `same`, and for no others."""
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, Mapping):
        return frozenset((name, key(member)) for name, member in value.items())
    return tuple(map(key, value)) if isinstance(value, list) else value


def same_as_sent(sent: Any, found: Any) -> bool:
    """`same`, where what was sent may have been text only because of where it stood (a path or a query)."""
    if isinstance(sent, str) and isinstance(found, (int, float)):
        return sent.strip() == json.dumps(found)
    return same(sent, found)


DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)


def instant(value: Any) -> datetime | None:
    """A text as the date and time that it is, with its zone where it names one; None for everything else."""
    if not isinstance(value, str) or DATE_TIME.fullmatch(value) is None:
        return None
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        return None


def in_order(one: Any, other: Any) -> bool | None:
    """Whether one value does not come after another: numbers, texts, and dates with times as what they mean. None where
    the two cannot be compared."""
    first, second = instant(one), instant(other)
    if first is not None and second is not None:
        # A time without a zone may be of any.
        return None if (first.tzinfo is None) is not (second.tzinfo is None) else first <= second
    if isinstance(one, str) and isinstance(other, str):
        return one <= other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return not one > other
    return None


def quote(value: Any) -> str:
    """A value as it is shown in a sentence."""
    text = repr(value) if value is MISSING else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 120 else text[:117] + "…"


def path_values(template: str, path: str) -> dict[str, str]:
    """The values in a path that was sent, by the names of its template. Both are compared from the end, so it does not
    matter what stands in front."""
    names = template.split("/")[1:]
    segments = path.split("/")[-len(names) :] if names else []
    return {
        name[1:-1]: unquote(segment)
        for name, segment in zip(names, segments, strict=False)
        if name.startswith("{") and name.endswith("}")
    }
