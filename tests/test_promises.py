"""What the checks of a contract hold: each kept and broken, on replies made by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from emulator.contract.promises.exchange import Ask, Exchange, FollowUp
from emulator.contract.promises.frames import read_frames
from emulator.contract.promises.kept import (
    deleted_is_gone,
    upload_kept,
    users_isolated,
    write_echoed,
    write_read_back,
)
from emulator.contract.promises.lists import filter_honoured, paging_honoured
from emulator.contract.promises.streams import (
    event_order,
    ids_constant,
    ping_tolerated,
    streaming_honoured,
    text_adds_up,
    text_ending,
)
from emulator.contract.promises.values import MISSING, at, evaluate, key, path_values, same, same_as_sent

HOLDS = {
    one.__name__: one
    for one in (
        event_order,
        ids_constant,
        ping_tolerated,
        text_adds_up,
        text_ending,
        streaming_honoured,
        paging_honoured,
        filter_honoured,
        write_echoed,
        write_read_back,
        deleted_is_gone,
        upload_kept,
        users_isolated,
    )
}
BASE = "http://localhost/base"
DAY = "2024-01-01T10:00:00"


def exchange(
    template: str = "/things",
    url: str = "/things",
    sent: Any = None,
    reply: Any = None,
    *,
    method: str = "GET",
    status: int = 200,
    content: bytes | None = None,
    kind: str = "application/json",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Exchange:
    """A call and its reply."""
    return Exchange(
        template,
        method,
        BASE + url,
        {"content-type": "application/json", **(headers or {})},
        body if body is not None else b"" if sent is None else json.dumps(sent).encode(),
        status,
        {"content-type": kind},
        content if content is not None else json.dumps(reply).encode(),
    )


def stream(*events: Any, sent: Any = None) -> Exchange:
    """A call that was answered with these events; text stands for a frame as it is."""
    frames = [one if isinstance(one, str) else f"data: {json.dumps(one)}\n\n" for one in events]
    return exchange(sent=sent, content="".join(frames).encode(), kind="text/event-stream")


def answers(*replies: Exchange | None) -> Ask:
    """Answers follow-ups with these, one after another."""
    left = list(replies)

    def ask(follow_up: FollowUp) -> Exchange | None:
        assert left, f"unexpected: {follow_up}"
        return left.pop(0)

    return ask


def broken(check: str, promise: Mapping[str, Any], seen: Exchange, *replies: Exchange | None) -> list[str]:
    """What a check has to say."""
    return list(HOLDS[check](promise, seen, answers(*replies)))


def event(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, **members}


ORDER = {
    "kind": "/type",
    "pings": ["ping"],
    "ends": ["end", "error"],
    "broken_by": ["error"],
    "after_end": ["audio"],
    "starts": ["start"],
    "once": ["start"],
    "before": [["start", "piece"]],
    "pairs": [{"first": "call", "then": "result", "by": "/id"}],
}
START, PIECE, END = event("start"), event("piece", text="a"), event("end")
PING = "event: ping\n\n"


@pytest.mark.parametrize(
    "events",
    [
        (START, PIECE, END),
        (START, PING, ": comment\n\n", PIECE, END),
        (START, END, event("audio")),
        (event("error"),),
        (START, event("call", id=1), event("call", id=2), event("result", id=2), event("result", id=1), END),
        (START, event("call", id=1), event("error")),
    ],
)
def test_events_in_order(events: Sequence[Any]) -> None:
    assert broken("event_order", ORDER, stream(*events)) == []


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ((START, PIECE), "0 events end the stream"),
        ((START, END, END), "2 events end the stream"),
        ((START, END, event("error")), "2 events end the stream"),
        ((START, END, PIECE), "comes after"),
        ((PIECE, START, END), "the first event is"),
        ((START, START, END), "comes 2 times"),
        ((event("audio"), END), "comes 0 times"),
        ((PIECE, END), "without a"),
        ((START, event("result", id=1), END), "without a"),
        ((START, event("call", id=1), END), "never followed"),
        ((START, event("call", id=1), event("result", id=2), END), "without a"),
        ((START, END, 'data: {"type":'), "stops inside an event"),
        ((START, '{"type": "piece"}\n\n', END), "no field of an event stream"),
        ((), "0 events end the stream"),
    ],
)
def test_events_out_of_order(events: Sequence[Any], word: str) -> None:
    found = broken("event_order", ORDER, stream(*events))
    assert any(word in one for one in found), found


def test_names_agree_with_kinds() -> None:
    promise = {"kind": "/type", "ends": ["end"], "named": True}
    assert broken("event_order", promise, stream('event: end\ndata: {"type": "end"}\n\n')) == []
    assert broken("event_order", promise, stream('event: text\ndata: {"type": "end"}\n\n')) != []
    assert broken("event_order", promise, stream(END)) != []


def test_data_that_is_no_json_is_its_own_kind() -> None:
    promise = {"kind": "/object", "ends": ["[DONE]", "error"]}
    assert broken("event_order", promise, stream({"object": "chunk"}, "data: [DONE]\n\n")) == []
    assert broken("event_order", promise, stream({"error": "no"})) == []
    assert broken("event_order", promise, stream({"object": "chunk"})) != []


IDS = {"kind": "/type", "pings": ["ping"], "same": ["/id"], "asked": {"/talk": "$request.body#/talk"}}


def test_ids_are_constant() -> None:
    events = (event("piece", id="a", talk="T1"), PING, event("note"), event("end", id="a", talk="T1"))
    assert broken("ids_constant", IDS, stream(*events, sent={"talk": " t1 "})) == []
    assert broken("ids_constant", IDS, stream(*events, sent={"talk": ""})) == []
    kept = event("piece", id="a", talk="\x1e t1 ")
    assert broken("ids_constant", IDS, stream(kept, sent={"talk": "\x1e t1 "})) == []
    changed = broken("ids_constant", IDS, stream(event("piece", id="a"), event("end", id="b"), sent={}))
    assert changed == ['/id is "a" in one event and "b" in another']
    assert broken("ids_constant", IDS, stream(event("piece", id="a", talk="T2"), sent={"talk": "t1"})) != []


def test_ids_of_some_kinds_only() -> None:
    promise = {"kind": "/type", "same": ["/id"], "only": ["piece"]}
    assert broken("ids_constant", promise, stream(event("start", id=0), event("piece", id=1))) == []
    assert broken("ids_constant", promise, stream(event("piece", id=0), event("piece", id=1))) != []


def test_pings() -> None:
    promise = {"kind": "/type", "pings": ["ping"], "ends": ["end"]}
    assert broken("ping_tolerated", promise, stream(PING, PIECE, PING, END)) == []
    assert broken("ping_tolerated", promise, stream("event: ping\ndata: {}\n\n", END)) == ['a ping carries data: "{}"']
    assert broken("ping_tolerated", promise, stream(event("ping"), END)) != []
    assert broken("ping_tolerated", promise, stream(END, PING)) == ["a ping comes after the end"]


PIECES = {"kind": "/type", "unless": ["error"], "pieces": {"of": ["piece"], "at": "/text"}}


def test_pieces_are_the_whole() -> None:
    promise = {**PIECES, "whole": {"of": "end", "at": "/text"}}
    a, b = event("piece", text="a "), event("piece", text="b")
    assert broken("text_adds_up", promise, stream(a, b, event("end", text="a b"))) == []
    for events in ((a, event("end", text="a b")), (b, a, event("end", text="a b"))):
        assert broken("text_adds_up", promise, stream(*events)) != []
    assert broken("text_adds_up", promise, stream(a, event("error"))) == []


def test_pieces_may_part_a_character() -> None:
    promise = {**PIECES, "whole": {"of": "end", "at": "/text"}}
    halves = (event("piece", text="a\ud83d"), event("piece", text="\ude00"))
    assert broken("text_adds_up", promise, stream(*halves, event("end", text="a😀"))) == []
    assert broken("text_adds_up", promise, stream(*halves[:1], event("end", text="a\ud83d"))) == []
    assert broken("text_adds_up", promise, stream(*halves[:1], event("end", text="a😀"))) != []


def test_pieces_are_what_is_kept() -> None:
    whole = {
        "read": "list",
        "with": {"path.talk": "$request.body#/talk", "query.id": "@/id"},
        "items": "/data",
        "id": "/id",
        "is": "@/id",
        "at": "/text",
    }
    seen = stream(event("piece", text="a"), event("end", id=7), sent={"talk": 1})
    kept = exchange(reply={"data": [{"id": 6, "text": "x"}, {"id": 7, "text": "a"}]})
    assert broken("text_adds_up", {**PIECES, "whole": whole}, seen, kept) == []
    for items in ([{"id": 7, "text": ""}], [{"id": 6, "text": "a"}], []):
        lost = exchange(reply={"data": items})
        assert broken("text_adds_up", {**PIECES, "whole": whole}, seen, lost) != [], items
    full = exchange(reply={"data": [{"id": 6, "text": "x"}]})
    assert broken("text_adds_up", {**PIECES, "whole": {**whole, "most": 1}}, seen, full) == []
    assert broken("text_adds_up", {**PIECES, "whole": whole}, seen, None) == []


def test_pieces_are_the_last_that_is_kept() -> None:
    promise = {**PIECES, "whole": {"read": "list", "items": "", "last": True, "at": "/text"}}
    seen = stream(event("piece", text="a"), END)
    assert broken("text_adds_up", promise, seen, exchange(reply=[{"text": "x"}, {"text": "a"}])) == []
    assert broken("text_adds_up", promise, seen, exchange(reply=[{"text": "a"}, {"text": "x"}])) != []


def test_marks_of_a_text() -> None:
    promise = {"marks": [r"\[ID:[0-9]+\]", r"(?s)\[ERROR\] .*\Z"]}
    # A text may quote what looks like a mark: an error's text in an answer, the mark of an answer in an error's.
    quoting = ("A log says [ERROR] disk full.[ID:1]", "Hello[ERROR] no [ID:1] here")
    for text in ("Hello[ID:1]", "[ID:12]", "Hello[ERROR] no\nway", *quoting):
        assert broken("text_ending", promise, exchange(content=text.encode(), kind="text/plain")) == []
    for text in ("", "Hello", "Hello[ID:1]!", "Hello[ID:1][ID:1]", "Hello[ID:]", "[ID:1][ERROR] no", "[ERROR][ID:1]!"):
        assert broken("text_ending", promise, exchange(content=text.encode(), kind="text/plain")) != [], text


def test_streams_where_asked_for() -> None:
    promise = {"asks": "$request.body#/mode", "stream": ["streaming"]}
    assert broken("streaming_honoured", promise, stream(END, sent={"mode": "streaming"})) == []
    assert broken("streaming_honoured", promise, exchange(sent={"mode": "blocking"}, reply={})) == []
    assert broken("streaming_honoured", promise, exchange(sent={}, reply={})) == []
    assert broken("streaming_honoured", promise, stream(END, sent={})) != []
    assert broken("streaming_honoured", promise, exchange(sent={"mode": "streaming"}, reply={})) != []
    assert broken("streaming_honoured", {"stream": True}, exchange(reply={})) != []
    assert broken("streaming_honoured", {"stream": True}, stream(END)) == []


PAGING = {
    "items": "/data",
    "id": "/id",
    "size": {"query": "limit", "default": 3, "most": 5},
    "echoed": {"/limit": {"query": "limit", "default": 3}},
    "sorted": {"by": "/id", "order": "ascending"},
    "total": "/total",
    "more": {"at": "/more", "means": "exact"},
    "next": {"page": "page"},
}


def page(first: int, last: int, *, limit: int = 3, total: int = 5, more: bool = True) -> dict[str, Any]:
    return {"data": [{"id": n} for n in range(first, last + 1)], "limit": limit, "total": total, "more": more}


def listed(url: str, reply: Any) -> Exchange:
    return exchange(url=f"/things{url}", reply=reply)


def test_pages() -> None:
    second = listed("?page=2", page(4, 5, more=False))
    assert broken("paging_honoured", PAGING, listed("", page(1, 3)), second) == []
    assert broken("paging_honoured", PAGING, second, listed("?page=3", page(1, 0, more=False))) == []
    beyond = listed("?page=9", page(1, 0, more=False))
    assert broken("paging_honoured", PAGING, beyond, beyond) == []
    assert broken("paging_honoured", PAGING, beyond, second) != []
    # What was sent is no number: nothing is promised for it.
    assert broken("paging_honoured", PAGING, listed("?limit=x", page(1, 4, limit=7, total=4))) == []


@pytest.mark.parametrize(
    ("url", "reply", "following", "word"),
    [
        ("?limit=2", page(1, 3, limit=2), page(4, 5, limit=2), "asked for were 2"),
        ("", page(1, 3, limit=4), page(4, 5), "/limit is 4"),
        ("", {**page(1, 3), "data": [{"id": 2}, {"id": 1}, {"id": 3}]}, page(4, 5), "expected ascending order"),
        ("", {**page(1, 3), "data": [{"id": 1}, {"id": 1}, {"id": 3}]}, page(4, 5), "there twice"),
        ("", page(1, 2), page(3, 5), "belong on this page"),
        ("", page(1, 3), page(3, 5), "an item of this one"),
        ("", page(1, 3, more=False), page(4, 5, more=False), "and the next page has 2"),
        ("", page(1, 3), page(4, 3), "and the next page has 0"),
        ("", page(1, 3), page(4, 5, total=6), "another one on the next page"),
        ("?limit=4", page(1, 3, limit=4), page(4, 5, limit=4), "and the next page has more"),
        ("", page(2, 4), {**page(1, 1), "total": 5}, "over the end of a page"),
    ],
)
def test_pages_that_are_wrong(url: str, reply: Any, following: Any, word: str) -> None:
    found = broken("paging_honoured", PAGING, listed(url, reply), listed("", following))
    assert any(word in one for one in found), found


def test_items_without_an_id_are_like_no_other() -> None:
    promise = {"items": "/data", "id": "/uuid", "size": {"query": "n", "default": 2}, "next": {"page": "page"}}
    seen = listed("", page(1, 2))
    assert broken("paging_honoured", promise, seen, seen) == []
    assert broken("paging_honoured", promise, listed("", {"data": ["a", "b"]}), listed("", {"data": []})) == []
    isolated = {"read": "list", "items": "/data", "id": "/uuid"}
    assert broken("users_isolated", isolated, seen, seen) == []


def test_a_next_page_that_is_refused() -> None:
    refused = exchange(status=404, reply={})
    assert "is refused" in broken("paging_honoured", PAGING, listed("", page(1, 3)), refused)[0]


def test_cursors() -> None:
    asked: list[FollowUp] = []
    promise = {"items": "/data", "id": "/id", "size": {"query": "limit", "default": 2}}

    def ask(follow_up: FollowUp) -> Exchange:
        asked.append(follow_up)
        return listed("", page(1, 0))

    seen = listed("?limit=2&user=me", page(8, 9))
    assert list(paging_honoured({**promise, "next": {"cursor": "last_id", "id": "/id"}}, seen, ask)) == []
    before = {"cursor": "first_id", "id": "/id", "direction": "before"}
    assert list(paging_honoured({**promise, "next": before}, seen, ask)) == []
    assert list(paging_honoured({**promise, "next": {"offset": "offset"}}, seen, ask)) == []
    assert [one.query for one in asked] == [
        {"limit": "2", "user": "me", "last_id": 9},
        {"limit": "2", "user": "me", "first_id": 8},
        {"limit": "2", "user": "me", "offset": 2},
    ]


def test_pages_that_go_backwards() -> None:
    before = {"cursor": "first_id", "id": "/id", "direction": "before"}
    promise = {
        "items": "/data",
        "id": "/id",
        "size": {"query": "limit", "default": 2},
        "sorted": PAGING["sorted"],
        "next": before,
    }
    assert broken("paging_honoured", promise, listed("", page(8, 9)), listed("", page(6, 7))) == []
    assert broken("paging_honoured", promise, listed("", page(6, 7)), listed("", page(8, 9))) != []


def test_orders_by_choice() -> None:
    ways = {"old": {"by": "/id", "order": "ascending"}, "new": {"by": "/id", "order": "descending"}}
    promise = {"items": "/data", "id": "/id", "sorted": {"query": "sort", "default": "old", "ways": ways}}
    assert broken("paging_honoured", promise, listed("", page(1, 3))) == []
    assert broken("paging_honoured", promise, listed("?sort=old", page(1, 3))) == []
    assert broken("paging_honoured", promise, listed("?sort=new", page(1, 3))) != []


@pytest.mark.parametrize(
    ("values", "fine"),
    [
        ((f"{DAY}Z", f"{DAY}.5Z"), True),
        ((f"{DAY}.5Z", f"{DAY}Z"), False),
        (("2024-01-01T12:00:00+02:00", "2024-01-01T11:00:00Z"), True),
        (("2024-01-01T11:00:00Z", "2024-01-01T12:00:00+02:00"), False),
        # Without a zone nobody knows; what is no date is a text.
        (("2024-01-01T11:00:00Z", "2024-01-01T10:00:00"), True),
        (("2024-13-01T11:00:00Z", "2024-12-01T11:00:00Z"), False),
        (("b", "a"), False),
        ((2, 1.5), False),
        ((2, "1"), True),
        ((None, 1), True),
    ],
)
def test_order_of_values(values: Sequence[Any], fine: bool) -> None:
    promise = {"items": "", "id": "/id", "sorted": {"by": "/at", "order": "ascending"}}
    seen = exchange(reply=[{"id": number, "at": value} for number, value in enumerate(values)])
    assert (broken("paging_honoured", promise, seen) == []) is fine
    turned = {**promise, "sorted": {"by": "/at", "order": "descending"}}
    back = exchange(reply=[{"id": number, "at": value} for number, value in enumerate(values[::-1])])
    assert (broken("paging_honoured", turned, back) == []) is fine


def test_totals_of_a_list_without_pages() -> None:
    promise = {"items": "/data", "id": "/id", "total": "/total"}
    assert broken("paging_honoured", promise, listed("", page(1, 5))) == []
    assert broken("paging_honoured", promise, listed("", page(1, 4))) != []


def test_a_full_page_may_have_more() -> None:
    promise = {**PAGING, "more": {"at": "/more", "means": "full"}}
    following = listed("", page(4, 5))
    assert broken("paging_honoured", promise, listed("", page(1, 3)), following) == []
    assert broken("paging_honoured", promise, listed("", page(1, 3, more=False)), following) != []


def test_filters() -> None:
    promise = {"items": "/data", "query": "word", "in": ["/title", "/text"], "how": "contains"}
    items = {"data": [{"title": "A Tree", "text": None}, {"title": "x", "text": "trees"}]}
    assert broken("filter_honoured", promise, listed("?word=TREE", items)) == []
    assert broken("filter_honoured", promise, listed("?word=", items)) == []
    assert broken("filter_honoured", promise, listed("?word=house", items)) != []
    numbers = {"items": "/data", "value": "$request.path.id", "in": ["/id"], "how": "equals"}
    assert broken("filter_honoured", numbers, exchange("/t/{id}", "/t/7", reply={"data": [{"id": 7}]})) == []
    assert broken("filter_honoured", numbers, exchange("/t/{id}", "/t/7", reply={"data": [{"id": 8}]})) != []
    assert broken("filter_honoured", numbers, exchange("/t/{id}", "/t/7", reply={"data": [{}]})) != []


@pytest.mark.parametrize(
    ("found", "fits", "fits_not"),
    [
        (True, ["true", "True", "1", "yes"], ["false", "FALSE"]),
        (False, ["false", "0"], ["true"]),
        (None, ["null"], ["None", "x"]),
        (1.0, ["1", "1.0"], ["2", "true"]),
        (" a", ["a", " a "], ["A", "b"]),
    ],
)
def test_filters_by_a_value(found: Any, fits: Sequence[str], fits_not: Sequence[str]) -> None:
    promise = {"items": "/data", "query": "q", "in": ["/v"], "how": "equals"}
    for word in fits:
        assert broken("filter_honoured", promise, listed(f"?q={word}", {"data": [{"v": found}]})) == [], word
    for word in fits_not:
        assert broken("filter_honoured", promise, listed(f"?q={word}", {"data": [{"v": found}]})) != [], word


@pytest.mark.parametrize(
    ("how", "found", "fits", "fits_not"),
    [
        ("from", "3", "2", "4"),
        ("until", "3", "4", "2"),
        ("from", f"{DAY}.5Z", f"{DAY}Z", f"{DAY}.6Z"),
        ("from", f"{DAY}Z", "2024-01-01T12:00:00%2B02:00", "2024-01-01T08:00:01-02:00"),
        ("from", f"{DAY}Z", "2024-01-01 10:00:00", "2024-01-01T10:00:01Z"),
        ("until", f"{DAY}.5", "2024-01-01 10:00:00", "2024-01-01 09:59:59"),
        ("until", DAY, "2024-01-01", "2023-12-31"),
        ("until", f"{DAY}Z", "2024-01-01T12:00:00%2B02:00", "2024-01-01T11:59:59%2B02:00"),
    ],
)
def test_filters_by_a_bound(how: str, found: str, fits: str, fits_not: str) -> None:
    promise = {"items": "/data", "query": "at", "in": ["/at"], "how": how}
    assert broken("filter_honoured", promise, listed(f"?at={fits}", {"data": [{"at": found}]})) == []
    assert broken("filter_honoured", promise, listed(f"?at={fits_not}", {"data": [{"at": found}]})) != []


def test_writes_are_echoed() -> None:
    promise = {"members": {"/name": "$request.body#/name", "/id": "$request.path.id"}}
    sent = {"name": "a"}
    assert broken("write_echoed", promise, exchange("/t/{id}", "/t/7", sent, {"name": "a", "id": 7})) == []
    assert broken("write_echoed", promise, exchange("/t/{id}", "/t/7", {"name": None}, {"name": "b", "id": 7})) == []
    assert broken("write_echoed", promise, exchange("/t/{id}", "/t/7", {}, {"name": "b", "id": 7})) == []
    for reply in ({"name": "b", "id": 7}, {"id": 7}, {"name": "a", "id": 8}):
        assert broken("write_echoed", promise, exchange("/t/{id}", "/t/7", sent, reply)) != [], reply


def test_nulls_blanks_and_dropped_characters() -> None:
    promise = {"members": {"/name": "$request.body#/name"}}
    null = exchange(sent={"name": None}, reply={"name": "b"})
    assert broken("write_echoed", promise, null) == []
    assert broken("write_echoed", {**promise, "nulls": True}, null) != []
    blank = exchange(sent={"name": " "}, reply={"name": "b"})
    assert broken("write_echoed", {**promise, "trimmed": True}, blank) == []
    assert broken("write_echoed", promise, blank) != []
    spaced = exchange(sent={"name": " B"}, reply={"name": "b"})
    assert broken("write_echoed", {**promise, "trimmed": True}, spaced) == []
    number = exchange(sent={"name": 1}, reply={"name": "1"})
    assert broken("write_echoed", {**promise, "texts": True}, number) == []
    assert broken("write_echoed", promise, number) != []
    nul = exchange(sent={"name": "a\0b"}, reply={"name": "ab"})
    assert broken("write_echoed", {**promise, "drops": "\0"}, nul) == []
    assert broken("write_echoed", promise, nul) != []
    kept, other = (exchange(sent={"name": "a\0b"}, reply={"name": name}) for name in ("a\0b", "a\0c"))
    assert broken("write_echoed", {**promise, "drops": "\0"}, kept) == []
    assert broken("write_echoed", {**promise, "drops": "\0"}, other) != []


READ = {"read": "getThing", "with": {"path.id": "$response.body#/id"}, "members": {"/name": "$request.body#/name"}}


def test_writes_are_read_back() -> None:
    seen = exchange(sent={"name": "a"}, reply={"id": 7})
    assert broken("write_read_back", READ, seen, exchange(reply={"name": "a"})) == []
    assert broken("write_read_back", READ, seen, exchange(reply={"name": "b"})) != []
    assert broken("write_read_back", READ, seen, exchange(status=404, reply={})) != []
    assert broken("write_read_back", {**READ, "or": [404]}, seen, exchange(status=404, reply={})) == []
    assert broken("write_read_back", READ, seen, None) == []


def test_writes_are_listed() -> None:
    promise = {**READ, "items": "/data", "id": "/id", "is": "$response.body#/id"}
    seen = exchange(sent={"name": "a"}, reply={"id": 7})
    assert broken("write_read_back", promise, seen, exchange(reply={"data": [{"id": 7, "name": "a"}]})) == []
    assert broken("write_read_back", promise, seen, exchange(reply={"data": [{"id": 7, "name": "b"}]})) != []
    absent = exchange(reply={"data": [{"id": 8, "name": "a"}]})
    assert broken("write_read_back", promise, seen, absent) != []
    # A full page may have cut it off.
    assert broken("write_read_back", {**promise, "most": 1}, seen, absent) == []
    assert broken("write_read_back", {**promise, "most": 2}, seen, absent) != []


GONE = {
    "id": "$request.path.id",
    "from": [
        {"read": "getThing", "with": {"path.id": "@id"}, "gives": [404]},
        {"read": "listThings", "items": "/data", "id": "/id"},
    ],
}


def test_deleted_is_gone() -> None:
    seen = exchange("/t/{id}", "/t/7", method="DELETE", status=204, content=b"")
    gone, still = exchange(status=404, reply={}), exchange(reply={"id": 7})
    without, within = exchange(reply={"data": [{"id": 8}]}), exchange(reply={"data": [{"id": 8}, {"id": 7}]})
    assert broken("deleted_is_gone", GONE, seen, gone, without) == []
    assert "and still" in broken("deleted_is_gone", GONE, seen, still, without)[0]
    assert "still listed" in broken("deleted_is_gone", GONE, seen, gone, within)[0]
    refused = exchange(status=400, reply={})
    assert "deleted, 404 is expected, and GET" in broken("deleted_is_gone", GONE, seen, refused, without)[0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_or_broken_server_proves_nothing(status: int) -> None:
    busy = exchange(status=status, reply={"data": [{"id": 7}]})
    deleted = exchange("/t/{id}", "/t/7", method="DELETE", status=204, content=b"")
    assert broken("deleted_is_gone", GONE, deleted, busy, busy) == []
    assert broken("write_read_back", READ, exchange(sent={"name": "a"}, reply={"id": 7}), busy) == []
    isolated = {"read": "getThing", "gives": [404]}
    assert broken("users_isolated", isolated, exchange(reply={"id": 7}), busy) == []
    assert broken("paging_honoured", PAGING, listed("", page(1, 3)), busy) == []
    form = exchange(headers={"content-type": "multipart/form-data; boundary=b"}, body=MULTIPART, reply={"id": 7})
    must = {"part": "file", "steps": [{"call": "use", "must": True}]}
    assert broken("upload_kept", must, form, busy) == []
    fetched = {"part": "file", "steps": [{"call": "use"}], "fetch": "$last.body#/url"}
    assert broken("upload_kept", fetched, form, exchange(reply={"url": f"{BASE}/file"}), busy) == []


def test_nothing_is_gone_without_an_id() -> None:
    for id in ("$request.path.nope", "$request.body#/id", "$request.body#/ids"):
        promise = {"id": id, "from": GONE["from"]}
        assert broken("deleted_is_gone", promise, exchange(sent={"id": None, "ids": [None]}, reply={})) == []


def test_a_batch_is_gone() -> None:
    promise = {"id": "$request.body#/ids", "like": "^[0-9]+$", "from": GONE["from"][:1]}
    seen = exchange(sent={"ids": ["what?", "1", "2", "3"]}, method="DELETE", reply={})
    gone, still = exchange(status=404, reply={}), exchange(reply={})
    assert broken("deleted_is_gone", promise, seen, gone, gone) == []
    assert '"2" was deleted' in broken("deleted_is_gone", promise, seen, gone, still)[0]


MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="user"\r\n\r\nme\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\r\n\x00a\r\n\r\n--b--\r\n'
)


def test_uploads_are_kept() -> None:
    seen = exchange(headers={"content-type": "multipart/form-data; boundary=b"}, body=MULTIPART, reply={"id": 7})
    assert seen.sent == {"user": "me"}
    twice = MULTIPART.replace(b"--b--", MULTIPART)
    said_twice = exchange(headers={"content-type": "multipart/form-data; boundary=b"}, body=twice)
    assert said_twice.sent == {}
    assert said_twice.unclear == {"user", "file"}
    assert exchange(headers={"content-type": "application/x-www-form-urlencoded"}, body=b"a=1&b=&a=2").unclear == {"a"}
    assert seen.unclear == frozenset()
    odd = MULTIPART.replace(b'name="user"', b"name=user")
    assert exchange(headers={"content-type": "multipart/form-data; boundary=b"}, body=odd).parts == {}
    promise = {"part": "file", "steps": [{"call": "getFile", "with": {"path.id": "$response.body#/id"}}]}
    same_bytes = exchange(content=b"\r\n\x00a\r\n", kind="image/png")
    assert broken("upload_kept", promise, seen, same_bytes) == []
    for content in (b"", b"\n\x00a\r\n", b"\r\n\x00a"):
        assert broken("upload_kept", promise, seen, exchange(content=content, kind="image/png")) != []
    assert broken("upload_kept", promise, seen, exchange(status=404, reply={})) == []
    must = {"part": "file", "steps": [{"call": "use", "must": True}, {"call": "getFile"}]}
    assert broken("upload_kept", must, seen, exchange(status=400, reply={})) != []
    assert broken("upload_kept", must, seen, exchange(reply={}), same_bytes) == []
    fetched = {**promise, "fetch": "$last.body#/url"}
    step = exchange(reply={"url": f"{BASE}/file"})
    assert broken("upload_kept", fetched, seen, step, same_bytes) == []
    assert broken("upload_kept", fetched, seen, step, exchange(status=404, reply={})) != []
    # Nothing is fetched from elsewhere: no second answer is there to be had.
    for url in ("http://elsewhere.example/file", "//elsewhere.example/file", "ftp://localhost/file", "http://[", "", 7):
        assert broken("upload_kept", fetched, seen, exchange(reply={"url": url})) == [], url
    # Listed should be an address, and there is none.
    lost = "the upload is not where it should be listed: GET http://localhost/base/things → 200"
    assert broken("upload_kept", fetched, seen, exchange(reply={})) == [lost]


@pytest.mark.parametrize(
    ("told", "whole"),
    [("/files/a", "http://localhost/files/a"), ("a?b=1", f"{BASE}/t/a?b=1"), ("//localhost/a", "http://localhost/a")],
)
def test_uploads_are_fetched_from_relative_addresses(told: str, whole: str) -> None:
    asked: list[FollowUp] = []
    replies = [exchange("/t/{id}", "/t/7", reply={"url": told}), exchange(content=b"other", kind="image/png")]

    def ask(follow_up: FollowUp) -> Exchange:
        asked.append(follow_up)
        return replies.pop(0)

    seen = exchange(headers={"content-type": "multipart/form-data; boundary=b"}, body=MULTIPART, reply={"id": 7})
    promise = {"part": "file", "steps": [{"call": "getFile"}], "fetch": "$last.body#/url"}
    assert "others came back" in next(upload_kept(promise, seen, ask))
    assert asked[-1] == FollowUp(url=whole)


def test_users_are_isolated() -> None:
    promise = {"read": "getThing", "with": {"path.id": "$request.path.id", "query.user": "other"}, "gives": [404]}
    seen = exchange("/t/{id}", "/t/7?user=me", reply={"id": 7})
    assert broken("users_isolated", promise, seen, exchange(status=404, reply={})) == []
    assert "user sees it: GET" in broken("users_isolated", promise, seen, exchange(reply={"id": 7}))[0]
    assert "user is to get 404: GET" in broken("users_isolated", promise, seen, exchange(status=400, reply={}))[0]
    for status in (401, 403):
        assert broken("users_isolated", promise, seen, exchange(status=status, reply={})) == []
    listing = {"read": "listThings", "items": "/data", "id": "/id"}
    mine = exchange(reply={"data": [{"id": 1}]})
    assert broken("users_isolated", listing, mine, exchange(reply={"data": [{"id": 2}]})) == []
    assert broken("users_isolated", listing, mine, exchange(reply={"data": [{"id": 2}, {"id": 1}]})) != []


def test_another_user_signs_in() -> None:
    asked: list[FollowUp] = []
    replies = [exchange(status=409, reply={}), exchange(reply={"token": "t"}), exchange(reply={"data": [{"id": 1}]})]

    def ask(follow_up: FollowUp) -> Exchange:
        asked.append(follow_up)
        return replies.pop(0)

    steps = [{"call": "register", "body": {"name": "o"}, "or": [409]}, {"call": "login", "body": {"name": "o"}}]
    sign_in = {"steps": steps, "header": "$last.body#/token", "prefix": "Bearer "}
    promise = {"read": "listThings", "items": "/data", "id": "/id", "sign_in": sign_in}
    assert list(users_isolated(promise, exchange(reply={"data": [{"id": 1}]}), ask)) != []
    assert [one.operation for one in asked] == ["register", "login", "listThings"]
    assert asked[-1].headers == {"Authorization": "Bearer t"}


def test_frames_as_a_reader_sees_them() -> None:
    found = read_frames(b"\xef\xbb\xbf: hi\r\n\r\nevent: a\r\ndata: 1\r\ndata: 2\r\n\r\ndata\n\nid: 3\n\nrest")
    assert [(one.name, one.data) for one in found.frames] == [("a", "1\n2"), (None, "")]
    assert (found.rest, found.stray) == (b"rest", ())
    assert read_frames(b"what: 1\n\n").stray == ("what",)


@pytest.mark.parametrize("data", ["[" * 100_000 + "]" * 100_000, "9" * 5000])
def test_data_that_cannot_be_read_is_its_own_kind(data: str) -> None:
    (frame,) = read_frames(f"data: {data}\n\n".encode()).frames
    assert frame.value is MISSING and frame.kind("/type") == data


@pytest.mark.parametrize(
    ("content", "kinds", "rest"),
    [
        (b"data: 1\n\n: bye\n", ["message"], b""),
        (b"data: 1\n\n: bye", ["message"], b""),
        (b"data: 1\n\nretry: 1\n", ["message"], b""),
        (b"retry: 1\n\nid: 1\n\n: hi\n\ndata: 1\n\n", ["message"], b""),
        (b"event: ping\n\n", ["ping"], b""),
        (b"data: 1\n\n: bye\ndata: 2\n", ["message"], b"data: 2\n"),
        (b"data: 1\n\nda", ["message"], b"da"),
        (b"data: 1\n\nid: 1\n: bye", ["message"], b"id: 1\n"),
    ],
)
def test_what_is_an_event_and_what_is_left(content: bytes, kinds: Sequence[str], rest: bytes) -> None:
    found = read_frames(content)
    assert [frame.kind("name") for frame in found.frames] == kinds
    assert found.rest == rest


def test_pointers_and_expressions() -> None:
    value = {"a": [{"b/c": 1}, {"~": None}]}
    assert (at(value, "/a/0/b~1c"), at(value, "/a/-1/~0"), at(value, "")) == (1, None, value)
    for odd in ("/--1", "/²", "/-0", "/01", "/1_0", "/" + "9" * 5000):
        assert at([1, 2], odd) is MISSING, odd
    assert at(value, "/a/2") is MISSING and at(value, "/a/x") is MISSING and at(7, "/a") is MISSING
    seen = exchange("/t/{id}", "/t/a%2Fb?q=1&q=2", {"n": 1}, {"m": [2]}, headers={"x-user": "me"})
    assert evaluate("$request.path.id", seen) == "a/b"
    assert evaluate("$request.query.q", seen) == "1"
    assert evaluate("$request.header.X-User", seen) == "me"
    assert evaluate("$response.header.Content-Type", seen) == "application/json"
    assert evaluate({"a": ["$response.body#/m/0", "$request.body"], "b": "$request.query.no", "c": 3}, seen) == {
        "a": [2, {"n": 1}],
        "c": 3,
    }
    assert evaluate("$last.body#/m", seen, seen) == [2] and evaluate("$last.body#/m", seen) is MISSING
    assert seen.base == BASE
    assert path_values("/a/{x}/", "/base/a/7/") == {"x": "7"}


def test_keys_are_as_equal_as_values() -> None:
    values = [
        None,
        False,
        0,
        0.0,
        True,
        1,
        "1",
        "",
        [],
        [True],
        [1],
        [1.0],
        {},
        {"a": 1},
        {"a": True},
        {"a": [1.0]},
        MISSING,
    ]
    for one in values:
        for other in values:
            assert (key(one) == key(other)) is same(one, other), (one, other)


def test_long_replies_are_judged_in_time() -> None:
    """Work that grows with the square of these would take minutes."""
    many = 60_000
    before = time.process_time()
    assert len(read_frames(b"data:\n" * 10 * many + b"\n").frames) == 1
    page_of = {"items": "", "id": "/id", "size": {"query": "n", "default": many}, "next": {"offset": "at"}}
    seen, after = (exchange(reply=[{"id": n} for n in range(first, first + many)]) for first in (0, many))
    assert broken("paging_honoured", page_of, seen, after) == []
    assert broken("users_isolated", {"read": "list", "items": "", "id": "/id"}, seen, after) == []
    calls = [event("call", id=n) for n in range(many)]
    results = [event("result", id=n) for n in reversed(range(many))]
    assert broken("event_order", {**ORDER, "starts": ["call"], "once": ["end"]}, stream(*calls, *results, END)) == []
    assert time.process_time() - before < 30


def test_sameness() -> None:
    assert same(1, 1.0) and same([{"a": 1}], [{"a": 1}]) and not same(True, 1) and not same({"a": 1}, {"a": 1, "b": 2})
    assert same_as_sent("7", 7) and same_as_sent("1.5", 1.5) and not same_as_sent("7", 8) and not same_as_sent("x", 7)
