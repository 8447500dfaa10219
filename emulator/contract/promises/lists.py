"""Promises about lists: size, order, totals, the next page, and filters. See `kept` for how they are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from emulator.contract.promises.exchange import Ask, Exchange, FollowUp, answered
from emulator.contract.promises.values import MISSING, at, evaluate, in_order, key, quote, same

Promise = Mapping[str, Any]
Sort = Mapping[str, str]


def paging_honoured(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """Size, order, echoes, totals, and the page after this one."""
    items = at(exchange.reply, promise["items"])
    if not isinstance(items, list):
        return
    size = _size(promise, exchange)
    if size is not None and len(items) > size:
        yield f"{len(items)} items, asked for were {size}"
    ids = _keys(promise, items)
    if len(set(ids)) < len(ids):
        yield "one item is there twice"
    sort = _sort(promise, exchange)
    yield from _order(sort, items)
    yield from _echoes(promise, exchange)
    yield from _totals(promise, exchange, items, size)
    if size is not None:
        yield from _next_page(promise, exchange, ask, items, size, sort)


def filter_honoured(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """Each item is one that was asked for."""
    expression = promise.get("value") or f"$request.query.{promise['query']}"
    wanted = evaluate(expression, exchange)
    items = at(exchange.reply, promise["items"])
    if not isinstance(wanted, str) or not wanted.strip() or not isinstance(items, list):
        return
    fits = _FITS[promise["how"]]
    for item in items:
        values = [at(item, pointer) for pointer in promise["in"]]
        if not any(fits(value, wanted) for value in values):
            yield f"{expression} is {quote(wanted)}, and listed is {quote(values)}"
            return


_FITS: dict[str, Callable[[Any, str], bool]] = {
    "contains": lambda value, wanted: isinstance(value, str) and wanted.strip().casefold() in value.casefold(),
    "equals": lambda value, wanted: _equals(value, wanted.strip()),
    "from": lambda value, wanted: isinstance(value, str) and in_order(wanted.strip(), value) is not False,
    "until": lambda value, wanted: isinstance(value, str) and _until(value, wanted),
}


def _equals(value: Any, wanted: str) -> bool:
    """Whether a value is the one that a text asks for. There are many words for yes and no; only the other one is
    wrong."""
    if value is MISSING:
        return False
    if isinstance(value, bool):
        return wanted.lower() != str(not value).lower()
    if isinstance(value, str):
        return value.strip() == wanted
    return wanted == json.dumps(value) or (isinstance(value, (int, float)) and _as_number(wanted) == value)


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _until(value: str, wanted: str) -> bool:
    """Whether a time is not after a bound. A bound that stops at the day or the second holds all of it."""
    within = value.replace(" ", "T").startswith(wanted.strip().replace(" ", "T"))
    return within or in_order(value, wanted.strip()) is not False


def _size(promise: Promise, exchange: Exchange) -> int | None:
    """How many items may be there; None where none is promised or what was sent is no number."""
    size = promise.get("size")
    if size is None:
        return None
    if "query" not in size:
        return int(size["most"])
    sent = _number(exchange, size["query"], size.get("default"))
    return min(sent, size.get("most", sent)) if sent else None


def _number(exchange: Exchange, name: str, default: int | None) -> int | None:
    values = exchange.query.get(name)
    if not values or values[0] == "":
        return default
    text = values[0].strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _sort(promise: Promise, exchange: Exchange) -> Sort | None:
    sort = promise.get("sorted")
    if sort is None or "by" in sort:
        return sort
    word = (exchange.query.get(sort["query"]) or [sort["default"]])[0] or sort["default"]
    found: Sort | None = sort["ways"].get(word)
    return found


def _order(sort: Sort | None, items: Sequence[Any], where: str = "") -> Iterator[str]:
    if sort is None:
        return
    keys = [at(item, sort["by"]) for item in items]
    for one, other in pairwise(keys):
        fits = in_order(other, one) if sort["order"] == "descending" else in_order(one, other)
        if fits is False:
            yield f"{sort['by']} is {quote(one)} before {quote(other)}{where}, expected {sort['order']} order"
            return


def _echoes(promise: Promise, exchange: Exchange) -> Iterator[str]:
    for pointer, echo in promise.get("echoed", {}).items():
        wanted = _number(exchange, echo["query"], echo.get("default"))
        found = at(exchange.reply, pointer)
        if wanted is not None and found != min(wanted, echo.get("most", wanted)):
            yield f"{pointer} is {quote(found)}, asked for was {wanted}"


def _totals(promise: Promise, exchange: Exchange, items: Sequence[Any], size: int | None) -> Iterator[str]:
    total = at(exchange.reply, promise["total"]) if "total" in promise else MISSING
    if isinstance(total, int) and "size" not in promise and total != len(items):
        yield f"the total is {total}, and there are {len(items)} items"
    elif isinstance(total, int):
        skipped = _skipped(promise, exchange, size)
        if skipped is not None and size is not None:
            here = max(0, min(size, total - skipped))
            if len(items) != here:
                yield f"the total is {total}, so {here} items belong on this page, which has {len(items)}"
        elif len(items) > total:
            yield f"{len(items)} items, and the total is {total}"
    more = promise.get("more", {})
    if more.get("means") == "full" and size is not None:
        asked = _number(exchange, promise["size"]["query"], promise["size"].get("default"))
        if at(exchange.reply, more["at"]) is not (len(items) == asked):
            yield f"{more['at']} is {quote(at(exchange.reply, more['at']))} on a page of {len(items)} of {asked}"


def _skipped(promise: Promise, exchange: Exchange, size: int | None) -> int | None:
    """How many items stand before this page; None where that cannot be told."""
    way = promise.get("next", {})
    if "page" in way:
        page = _number(exchange, way["page"], 1)
        return None if not page or size is None else (page - 1) * size
    if "offset" in way:
        return _number(exchange, way["offset"], 0)
    return None


def _next_page(
    promise: Promise, exchange: Exchange, ask: Ask, items: Sequence[Any], size: int, sort: Sort | None
) -> Iterator[str]:
    way = promise.get("next")
    further = _further(way, exchange, items, size) if way else None
    if way is None or further is None:
        return
    query: dict[str, Any] = {name: values[0] for name, values in exchange.query.items()}
    following = answered(ask, FollowUp("", {**exchange.path_values}, {**query, **further}))
    if following is None:
        return
    if not following.succeeded:
        yield f"the next page is refused: {following.line()}"
        return
    others = at(following.reply, promise["items"])
    if not isinstance(others, list):
        return
    if not set(_keys(promise, items)).isdisjoint(_keys(promise, others)):
        yield f"the next page has an item of this one: {following.line()}"
        return
    if others and len(items) < size:
        yield f"{len(items)} items where {size} were asked for, and the next page has more: {following.line()}"
    more = promise.get("more", {})
    if more.get("means") == "exact" and at(exchange.reply, more["at"]) is not bool(others):
        told = quote(at(exchange.reply, more["at"]))
        yield f"{more['at']} is {told}, and the next page has {len(others)} items: {following.line()}"
    if "total" in promise and not same(at(exchange.reply, promise["total"]), at(following.reply, promise["total"])):
        yield f"the total is another one on the next page: {following.line()}"
    # Pages that go backwards in time continue in front of this one.
    seam = [*others[-1:], *items[:1]] if way.get("direction") == "before" else [*items[-1:], *others[:1]]
    yield from _order(sort, seam, " over the end of a page")


def _keys(promise: Promise, items: Sequence[Any]) -> list[Hashable]:
    """The ids of items, to compare. An item without one is like no other."""
    return [key(id) for id in (at(item, promise["id"]) for item in items) if id is not MISSING]


def _further(way: Mapping[str, Any], exchange: Exchange, items: Sequence[Any], size: int) -> dict[str, Any] | None:
    """What has to be asked for to see the next page."""
    if "cursor" in way:
        if not items:
            return None
        cursor = at(items[0 if way.get("direction") == "before" else -1], way["id"])
        return None if cursor is MISSING else {way["cursor"]: cursor}
    if "page" in way:
        page = _number(exchange, way["page"], 1)
        return {way["page"]: page + 1} if page else None
    offset = _number(exchange, way["offset"], 0)
    return None if offset is None else {way["offset"]: offset + size}
