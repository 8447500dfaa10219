"""Promises about streams. Each function yields what is wrong, a sentence each; nothing is yielded when all is well.

A stream that was not read to its end is never judged here: the caller skips it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.contract.promises.exchange import Ask, Exchange, FollowUp, answered
from emulator.contract.promises.frames import Frame
from emulator.contract.promises.values import MISSING, at, evaluate, key, quote, same

Promise = Mapping[str, Any]


def event_order(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """Order of the events, and the one that ends them."""
    if exchange.frames.rest:
        yield f"the stream stops inside an event: {quote(exchange.frames.rest.decode('utf-8', 'replace'))}"
    if exchange.frames.stray:
        yield f"lines that are no field of an event stream: {quote(exchange.frames.stray[0])}"
    frames = _told(promise, exchange)
    kinds = [frame.kind(promise["kind"]) for frame in frames]
    ends = [place for place, kind in enumerate(kinds) if kind in promise["ends"]]
    if len(ends) != 1:
        yield f"{len(ends)} events end the stream, expected one of {_list(promise['ends'])}, once"
    else:
        late = [kind for kind in kinds[ends[0] + 1 :] if kind not in promise.get("after_end", ())]
        if late:
            yield f"{quote(late[0])} comes after {quote(kinds[ends[0]])}, which is the end"
    broken = any(kind in promise.get("broken_by", ()) for kind in kinds)
    starts = promise.get("starts", ())
    if starts and kinds and kinds[0] not in starts and kinds[0] not in promise["ends"]:
        yield f"the first event is {quote(kinds[0])}, expected {_list(starts)}"
    for kind in promise.get("once", ()):
        count = kinds.count(kind)
        if count > 1 or (count == 0 and not broken):
            yield f"{quote(kind)} comes {count} times, expected once"
    for first, then in promise.get("before", ()):
        if then in kinds and first not in kinds[: kinds.index(then)]:
            yield f"{quote(then)} comes without a {quote(first)} before it"
    for pair in promise.get("pairs", ()):
        yield from _pairs(pair, frames, kinds, broken)
    if promise.get("named"):
        for frame, kind in zip(frames, kinds, strict=True):
            if frame.name != kind:
                yield f"an event of kind {quote(kind)} is named {quote(frame.name)}"
                return


def _pairs(pair: Mapping[str, str], frames: list[Frame], kinds: list[str], broken: bool) -> Iterator[str]:
    """Each of the second kind follows one of the first with the same id, and none of the first is left open."""
    left: dict[Hashable, list[Any]] = {}
    for frame, kind in zip(frames, kinds, strict=True):
        id = at(frame.value, pair["by"])
        if kind == pair["first"]:
            left.setdefault(key(id), []).append(id)
        elif kind == pair["then"]:
            if key(id) not in left:
                yield f"{quote(kind)} {quote(id)} comes without a {quote(pair['first'])} before it"
                return
            left[key(id)].pop()
            if not left[key(id)]:
                del left[key(id)]
    if left and not broken:
        open_one = next(iter(left.values()))[0]
        yield f"{quote(pair['first'])} {quote(open_one)} is never followed by a {quote(pair['then'])}"


def ids_constant(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """Members that are the same in all events that have them, and those that repeat what was asked for."""
    only = promise.get("only")
    values = [
        frame.value
        for frame in _told(promise, exchange)
        if frame.value is not MISSING and (only is None or frame.kind(promise["kind"]) in only)
    ]
    for pointer in promise["same"]:
        found = [one for one in (at(value, pointer) for value in values) if one is not MISSING]
        other = next((one for one in found[1:] if not same(one, found[0])), MISSING)
        if other is not MISSING:
            yield f"{pointer} is {quote(found[0])} in one event and {quote(other)} in another"
    for pointer, expression in promise.get("asked", {}).items():
        wanted = evaluate(expression, exchange)
        found = [one for one in (at(value, pointer) for value in values) if one is not MISSING]
        # Blank and null ask for a new one. A server may drop blanks around what was sent, and need not.
        if not isinstance(wanted, str) or not wanted.strip() or not found:
            continue
        if str(found[0]).strip().lower() != wanted.strip().lower():
            yield f"{pointer} is {quote(found[0])}, asked for was {quote(wanted)}"


def ping_tolerated(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """A ping carries nothing, and none comes after the end."""
    kinds = [frame.kind(promise["kind"]) for frame in exchange.frames.frames]
    last_end = max((place for place, kind in enumerate(kinds) if kind in promise["ends"]), default=len(kinds))
    for place, frame in enumerate(exchange.frames.frames):
        if frame.kind("name") not in promise["pings"] and kinds[place] not in promise["pings"]:
            continue
        if frame.data is not None:
            yield f"a ping carries data: {quote(frame.data)}"
        if place > last_end:
            yield "a ping comes after the end"


def text_adds_up(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """The pieces of a text, joined, are the whole text that an event or a later read gives."""
    pieces, whole = promise["pieces"], promise["whole"]
    frames = _told(promise, exchange)
    kinds = [frame.kind(promise["kind"]) for frame in frames]
    # An answer that was replaced or broken off adds up to nothing that is promised.
    if any(kind in promise.get("unless", ()) for kind in kinds):
        return
    found = [at(frame.value, pieces["at"]) for frame, kind in zip(frames, kinds, strict=True) if kind in pieces["of"]]
    text = _whole("".join(piece for piece in found if isinstance(piece, str)))
    if "of" in whole:
        told = next(
            (at(frame.value, whole["at"]) for frame, kind in zip(frames, kinds, strict=True) if kind == whole["of"]),
            MISSING,
        )
    else:
        told = _read_whole(whole, exchange, frames, ask)
        if isinstance(told, Lost):
            yield told.what
            return
    told = _whole(told) if isinstance(told, str) else told
    if told is not MISSING and told != text and (not isinstance(told, str) or told.strip() != text.strip()):
        yield f"the pieces give {quote(text)}, the whole is {quote(told)}"


def _whole(text: str) -> str:
    """A text with its surrogates paired: JSON may tell a character beyond the first 65536 in halves, and a stream may
    part them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Lost:
    """A text that should be in a list, and is not."""

    what: str


def _read_whole(whole: Mapping[str, Any], exchange: Exchange, frames: list[Frame], ask: Ask) -> Any:
    """The whole text from a list, or Lost. A value that begins with `@` points into the last event that has it."""

    def value(expression: Any) -> Any:
        if isinstance(expression, str) and expression.startswith("@"):
            found = (at(frame.value, expression[1:]) for frame in reversed(frames))
            return next((one for one in found if one is not MISSING), MISSING)
        return evaluate(expression, exchange)

    given = {name: value(expression) for name, expression in whole.get("with", {}).items()}
    if any(one is MISSING or one is None for one in given.values()):
        return MISSING
    template_values = {name.removeprefix("path."): one for name, one in given.items() if name.startswith("path.")}
    query = {name.removeprefix("query."): one for name, one in given.items() if name.startswith("query.")}
    read = answered(ask, FollowUp(whole["read"], template_values, query))
    if read is None or not read.succeeded:
        return MISSING
    items = at(read.reply, whole["items"])
    if not isinstance(items, list):
        return MISSING
    full = len(items) >= whole.get("most", float("inf"))
    if whole.get("last"):
        return MISSING if full or not items else at(items[-1], whole["at"])
    wanted = value(whole["is"])
    for item in items:
        if same(at(item, whole["id"]), wanted):
            return at(item, whole["at"])
    # A full page may have cut it off.
    if full:
        return MISSING
    return Lost(f"{quote(wanted)} is not in the list: {read.line()}")


def streaming_honoured(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """A stream where one was asked for, and only there."""
    wanted = promise["stream"]
    asked = wanted is True or any(same(evaluate(promise["asks"], exchange), value) for value in wanted)
    if asked and not exchange.is_stream:
        yield f"a stream was asked for, the answer is {exchange.reply_headers.get('content-type', 'of no type')}"
    if not asked and exchange.is_stream:
        yield "no stream was asked for, and the answer is one"


def text_ending(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """An unframed text ends in exactly one of its marks. A match within a longer one is none: it may be a quotation."""
    text = exchange.content.decode("utf-8", "replace")
    matches = [match for mark in promise["marks"] for match in re.finditer(mark, text)]
    found: list[re.Match[str]] = []
    for match in sorted(matches, key=lambda match: (match.start(), -match.end())):
        if not found or match.end() > found[-1].end():
            found.append(match)
    for match in found:
        if match.end() != len(text):
            yield f"{quote(match[0])} is followed by {quote(text[match.end() :])}"
            return
    if len(found) != 1:
        yield f"{len(found)} marks end the text {quote(text[-80:])}, expected one of {_list(promise['marks'])}"


def _told(promise: Promise, exchange: Exchange) -> list[Frame]:
    """The events without the pings."""
    pings = promise.get("pings", ())
    return [
        frame
        for frame in exchange.frames.frames
        if frame.kind("name") not in pings and frame.kind(promise["kind"]) not in pings
    ]


def _list(words: Any) -> str:
    return ", ".join(words)
