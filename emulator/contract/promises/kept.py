"""Promises about what a server keeps: written, read back, listed, deleted, and shown to nobody else.

Each function yields what is wrong, a sentence each. Follow-up calls go through `ask`; where one may not be sent or is
refused in a way that says nothing (429, 5xx), nothing is concluded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from emulator.contract.promises.exchange import Ask, Exchange, FollowUp, answered
from emulator.contract.promises.values import MISSING, at, evaluate, key, quote, same, same_as_sent

Promise = Mapping[str, Any]
UNSEEN = (401, 403)
"""Refusals by which another user sees nothing, whatever else is promised."""
MOST_IDS = 2
"""Of a batch, so many are looked after: a check may not call without end."""


def write_echoed(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """Members of the reply repeat what was sent."""
    yield from _differences(promise, exchange, exchange.reply)


def _differences(promise: Promise, exchange: Exchange, reply: Any) -> Iterator[str]:
    """Where members of `reply` are not what was sent. What was not sent says nothing, nor does null unless the promise
    is about nulls, nor blank text where blanks do not count; characters that a server drops are not looked for. With
    `texts` only text is compared: a server may turn everything else into text."""
    trimmed = promise.get("trimmed", False)
    dropped = dict.fromkeys(map(ord, promise.get("drops", "")))
    for pointer, expression in promise.get("members", {}).items():
        wanted = evaluate(expression, exchange)
        if wanted is MISSING or (wanted is None and not promise.get("nulls", False)):
            continue
        if trimmed and isinstance(wanted, str) and not wanted.strip():
            continue
        if promise.get("texts") and not isinstance(wanted, str):
            continue
        found = at(reply, pointer)
        if isinstance(wanted, str) and isinstance(found, str):
            # On both sides: a server may drop them from one member and not from another.
            wanted, found = wanted.translate(dropped), found.translate(dropped)
        if not _alike(expression, wanted, found, trimmed):
            yield f"{pointer or 'the body'} is {quote(found)}, expected {quote(wanted)}"


def _alike(expression: Any, wanted: Any, found: Any, trimmed: bool) -> bool:
    text_only = isinstance(expression, str) and expression.startswith(("$request.path.", "$request.query."))
    if (text_only or trimmed) and isinstance(wanted, str) and isinstance(found, str):
        return wanted.strip().lower() == found.strip().lower()
    return same_as_sent(wanted, found) if text_only else same(wanted, found)


def write_read_back(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """What was written is read by another operation."""
    read = _read(promise, exchange, ask)
    if read is None or read.status in promise.get("or", ()):
        return
    if not read.succeeded:
        yield f"it cannot be read: {read.line()}"
        return
    place = read.reply
    if "items" in promise:
        place = _item(promise, exchange, read)
        if place is MISSING:
            if len(_items(promise, read)) >= promise.get("most", float("inf")):
                return
            yield f"{quote(evaluate(promise['is'], exchange))} is not in the list: {read.line()}"
            return
    for difference in _differences(promise, exchange, place):
        yield f"{difference}; {read.line()}"


def deleted_is_gone(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """What was deleted is in no list, and reading it is refused."""
    ids = evaluate(promise["id"], exchange)
    like = re.compile(promise.get("like", ""))
    ids = [id for id in (ids if isinstance(ids, list) else [ids]) if id is not MISSING and id is not None]
    for id in [id for id in ids if like.search(str(id))][:MOST_IDS]:
        for place in promise["from"]:
            read = _read(place, exchange, ask, {"id": id})
            if read is None:
                continue
            if "items" not in place:
                if read.status not in place["gives"]:
                    still = "and still " if read.succeeded else f"{_refused(place)} is expected, and "
                    yield f"{quote(id)} was deleted, {still}{read.line()}"
            elif read.succeeded:
                listed = _ids(place, read)
                if any(same_as_sent(id, one) for one in listed):
                    yield f"{quote(id)} was deleted, and is still listed: {read.line()}"


def users_isolated(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """Another user does not see it."""
    headers = {}
    if "sign_in" in promise:
        steps = _steps(promise["sign_in"]["steps"], exchange, ask)
        token = evaluate(promise["sign_in"]["header"], exchange, steps)
        prefix = promise["sign_in"].get("prefix", "")
        if not isinstance(token, str):
            return
        headers = {promise["sign_in"].get("name", "Authorization"): prefix + token}
    read = _read(promise, exchange, ask, {}, headers)
    if read is None or read.status in UNSEEN:
        return
    if "items" not in promise:
        if read.status not in promise["gives"]:
            seen = "sees it" if read.succeeded else f"is to get {_refused(promise)}"
            yield f"another user {seen}: {read.line()}"
        return
    if not read.succeeded:
        return
    mine = set(map(key, [evaluate(promise["is"], exchange)] if "is" in promise else _ids(promise, exchange)))
    shared = [id for id in _ids(promise, read) if key(id) in mine]
    if shared:
        yield f"another user sees {quote(shared[0])}: {read.line()}"


def upload_kept(promise: Promise, exchange: Exchange, ask: Ask) -> Iterator[str]:
    """The bytes that were sent come back."""
    sent = [content for content, is_file in exchange.parts.get(promise["part"], ()) if is_file]
    if not sent or not sent[0]:
        return
    last = _steps(promise.get("steps", ()), exchange, ask)
    if isinstance(last, Exchange) and not last.succeeded:
        yield f"the upload cannot be used: {last.line()}"
        return
    if "fetch" in promise:
        told = evaluate(promise["fetch"], exchange, last)
        if told is MISSING and last is not None:
            yield f"the upload is not where it should be listed: {last.line()}"
        url = _address(told, last or exchange, exchange)
        if url is None:
            return
        last = answered(ask, FollowUp(url=url))
    if last is None:
        return
    if not last.succeeded:
        yield f"the upload cannot be read: {last.line()}"
    elif last.content != sent[0]:
        yield f"sent were {len(sent[0])} bytes, {len(last.content)} others came back: {last.line()}"


def _address(told: Any, teller: Exchange, exchange: Exchange) -> str | None:
    """An address that a reply told, maybe relative to its own, as a whole one. None for one of elsewhere than where the
    upload went: nothing is fetched from there."""
    try:
        url = urljoin(teller.url, told) if isinstance(told, str) and told else ""
        parts = urlsplit(url)
    except ValueError:
        return None
    here = parts.scheme in ("http", "https") and parts.netloc == urlsplit(exchange.url).netloc
    return url if here else None


def _steps(steps: Any, exchange: Exchange, ask: Ask) -> Exchange | None:
    """Calls one after another; the reply of the last, or of the first that is refused and must not be. None when one
    cannot be sent, or is refused in a way that the step does not allow: then nothing is known."""
    last: Exchange | None = None
    for step in steps:
        reply = answered(ask, _follow_up(step, exchange, last))
        if reply is not None and not reply.succeeded and step.get("must"):
            return reply
        if reply is None or not (reply.succeeded or reply.status in step.get("or", ())):
            return None
        last = reply
    return last


def _follow_up(
    step: Promise, exchange: Exchange, last: Exchange | None = None, further: Mapping[str, Any] | None = None
) -> FollowUp:
    """The call that a step asks for. `with` names parameters as `path.id` and `query.user`; `{id}` in `further` is
    what stands for `@id`."""
    path: dict[str, Any] = {}
    query: dict[str, Any] = {}
    for name, expression in step.get("with", {}).items():
        value = (further or {}).get("id") if expression == "@id" else evaluate(expression, exchange, last)
        where, _, key = name.partition(".")
        if value is not MISSING:
            (path if where == "path" else query)[key] = value
    body = evaluate(step["body"], exchange, last) if "body" in step else MISSING
    return FollowUp(step.get("call") or step["read"], path, query, {}, body)


def _read(
    promise: Promise,
    exchange: Exchange,
    ask: Ask,
    further: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Exchange | None:
    follow_up = _follow_up(promise, exchange, further=further)
    further_call = FollowUp(follow_up.operation, follow_up.path, follow_up.query, dict(headers or {}), follow_up.body)
    return answered(ask, further_call)


def _refused(promise: Promise) -> str:
    return " or ".join(map(str, promise["gives"]))


def _ids(promise: Promise, exchange: Exchange) -> list[Any]:
    """The ids of all items that have one."""
    ids = (at(item, promise["id"]) for item in _items(promise, exchange))
    return [id for id in ids if id is not MISSING]


def _items(promise: Promise, exchange: Exchange) -> list[Any]:
    items = at(exchange.reply, promise["items"])
    return items if isinstance(items, list) else []


def _item(promise: Promise, exchange: Exchange, read: Exchange) -> Any:
    wanted = evaluate(promise["is"], exchange)
    for item in _items(promise, read):
        if same_as_sent(wanted, at(item, promise["id"])):
            return item
    return MISSING
