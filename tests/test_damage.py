"""Faults on answers that nobody sends: which actions come, in which order, at which stream second."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.call import Event, Item
from emulator.damage import MOST_PIECES, Action, Chunk, Damage, Reset, Stall, Truncate, Until, seconds_of
from emulator.fault import CUTS, FAULTS, LAST, Fault, parse
from emulator.streams.sse import encode

EVENTS: list[Item] = [
    Event(data={"n": 0}),
    1.0,
    Event(data={"n": 1, "text": "héé 👋"}),
    2.0,
    Event(data={"n": 2}),
    3.0,
    Event(data={"n": 3}, final=True),
]
FRAMES = [encode(item) for item in EVENTS if isinstance(item, Event)]
BODY = b"".join(FRAMES)
PING = Event(comment="ping")


def fail(pointer: tuple[str | int, ...], what: str) -> Exception:
    return ValueError(what)


def damage(*faults: Any, noise: int = 0) -> Damage:
    return Damage([one for fault in faults for one in parse(fault, fail)], noise, lambda: [PING])


def played(*faults: Any, items: Iterable[Item] = EVENTS, noise: int = 0) -> list[Action]:
    return list(damage(*faults, noise=noise).play(items, encode))


def chunks(actions: Iterable[Action]) -> list[bytes]:
    return [action.data for action in actions if isinstance(action, Chunk)]


def shown(actions: Iterable[Action]) -> list[Any]:
    """Numbers of events, seconds and the names of what cuts."""
    found: list[Any] = []
    for action in actions:
        if isinstance(action, Chunk):
            found.append(FRAMES.index(action.data) if action.data in FRAMES else action.data)
        elif isinstance(action, Until):
            found.append(round(action.at, 6))
        else:
            found.append(type(action).__name__)
    return found


def test_without_faults_everything_is_as_it_was() -> None:
    assert shown(played()) == [0, 1.0, 1, 2.0, 2, 3.0, 3]
    assert [action.ends[0].event for action in played() if isinstance(action, Chunk)] == [
        item for item in EVENTS if isinstance(item, Event)
    ]


@pytest.mark.parametrize(
    ("fault", "actions"),
    [
        ("latency", [0, 1.0, 1, 2.0, 2, 3.0, 3]),
        ({"latency": {"for": "500ms", "event": 2}}, [0, 1.0, 1, 2.0, 2.5, 2, 3.5, 3]),
        ({"latency": {"for": "2s", "event": 0}}, [2.0, 0, 3.0, 1, 4.0, 2, 5.0, 3]),
        ("stall", [0, 1.0, "Stall", 1, 2.0, 2, 3.0, 3]),
        ("truncate", [0, 1.0, 1, 2.0, 2, 3.0, "Truncate", 3]),
        ("reset", [0, 1.0, "Reset", 1, 2.0, 2, 3.0, 3]),
        ({"reset": 0}, ["Reset", 0, 1.0, 1, 2.0, 2, 3.0, 3]),
        ({"reset": {"byte": len(FRAMES[0])}}, [0, "Reset", 1.0, 1, 2.0, 2, 3.0, 3]),
        ({"reset": {"byte": len(BODY)}}, [0, 1.0, 1, 2.0, 2, 3.0, 3, "Reset"]),
        ({"reset": {"byte": 3}}, [b"dat", "Reset", FRAMES[0][3:], 1.0, 1, 2.0, 2, 3.0, 3]),
        ({"reset": 9}, [0, 1.0, 1, 2.0, 2, 3.0, 3]),
        ("drop", [0, 1.0, 2.0, 2, 3.0, 3]),
        ({"drop": "last"}, [0, 1.0, 1, 2.0, 2, 3.0]),
        ("duplicate", [0, 1.0, 1, 1, 2.0, 2, 3.0, 3]),
        ({"duplicate": {"event": 0, "times": 2}}, [0, 0, 0, 1.0, 1, 2.0, 2, 3.0, 3]),
        ("reorder", [0, 1.0, 2.0, 2, 1, 3.0, 3]),
        ({"reorder": 2}, [0, 1.0, 1, 2.0, 3.0, 3, 2]),
        ({"reorder": "last"}, [0, 1.0, 1, 2.0, 2, 3.0, 3]),
        ({"ping_storm": 2}, [0, 1.0, b": ping\n\n", b": ping\n\n", 1, 2.0, 2, 3.0, 3]),
        ({"malformed": 2}, [0, 1.0, 1, 2.0, b'data: {"n":2\n\n', 3.0, 3]),
        ({"coalesce": 2}, [1.0, FRAMES[0] + FRAMES[1], 2.0, 3.0, FRAMES[2] + FRAMES[3]]),
        ({"coalesce": 3}, [1.0, 2.0, b"".join(FRAMES[:3]), 3.0, 3]),
        ({"coalesce": {"events": 9, "event": 1}}, [0, 1.0, 2.0, 3.0, b"".join(FRAMES[1:])]),
        ({"line_end": {"style": "cr", "event": 3}}, [0, 1.0, 1, 2.0, 2, 3.0, b'data: {"n":3}\r\r']),
        (
            "line_end",
            [
                one.replace(b"\n", b"\r\n") if isinstance(one, bytes) else one
                for one in [FRAMES[0], 1.0, FRAMES[1], 2.0, FRAMES[2], 3.0, FRAMES[3]]
            ],
        ),
        ({"slice": {"at": [4, 20, 500]}}, [b"data", FRAMES[0][4:], 1.0, FRAMES[1][:5], FRAMES[1][5:], 2.0, 2, 3.0, 3]),
        ({"slice": {"bytes": 8, "every": "1s", "event": 3}}, [0, 1.0, 1, 2.0, 2, 3.0, b'data: {"', 4.0, b'n":3}\n\n']),
        ({"slice": {"inside": "field", "event": 3}}, [0, 1.0, 1, 2.0, 2, 3.0, b"da", b'ta: {"n":3}\n\n']),
        ("content_type", [0, 1.0, 1, 2.0, 2, 3.0, 3]),
        ("content_length", [0, 1.0, 1, 2.0, 2, 3.0, 3]),
        ("slow_headers", [0, 1.0, 1, 2.0, 2, 3.0, 3]),
        ("refuse", [0, 1.0, 1, 2.0, 2, 3.0, 3]),
    ],
    ids=repr,
)
def test_what_each_does(fault: Any, actions: list[Any]) -> None:
    assert shown(played(fault)) == actions


@pytest.mark.parametrize(
    ("inside", "cut"),
    [
        ("character", [b'data: {"n":1,"text":"h\xc3', b"\xa9\xc3", b"\xa9 \xf0", b'\x9f\x91\x8b"}\n\n']),
        ("field", [b"da", b'ta: {"n":1,"text":"h\xc3\xa9\xc3\xa9 \xf0\x9f\x91\x8b"}\n\n']),
        ("line_end", [FRAMES[1]]),
    ],
)
def test_cuts_inside(inside: str, cut: list[bytes]) -> None:
    event: list[Item] = [Event(data={"n": 1, "text": "héé 👋"})]
    assert chunks(played({"slice": {"inside": inside}}, items=event)) == cut


def test_cuts_between_cr_and_lf() -> None:
    pieces = chunks(played("line_end", {"slice": {"inside": "line_end"}}))
    assert all(piece.endswith(b"\r") for piece in pieces[:1])
    assert pieces[1:3] == [b"\n\r", b"\n"]
    assert b"".join(pieces) == BODY.replace(b"\n", b"\r\n")


def test_faults_take_place_in_the_order_of_the_list() -> None:
    assert shown(played({"duplicate": 0}, {"drop": 0})) == [1.0, 1, 2.0, 2, 3.0, 3]
    assert shown(played({"reorder": 1}, {"reset": 2})) == [0, 1.0, 2.0, "Reset", 2, 1, 3.0, 3]
    assert shown(played({"reset": 2}, {"reorder": 1})) == [0, 1.0, 2.0, 1, "Reset", 2, 3.0, 3]


def test_what_is_held_back_is_sent_before_a_cut() -> None:
    assert shown(played({"coalesce": 9}, {"reset": 2})) == [
        1.0,
        2.0,
        FRAMES[0] + FRAMES[1],
        "Reset",
        3.0,
        FRAMES[2] + FRAMES[3],
    ]


def test_a_slow_line_keeps_its_pace_and_no_more() -> None:
    """Behind a chunk that the line is done with before the next is due, nothing is late."""
    actions = played({"bandwidth": 1_000})
    assert [action.at for action in actions if isinstance(action, Until)] == [1.0, 2.0, 3.0]
    actions = played({"bandwidth": 10})
    sent, at = 0, 0.0
    for action in actions:
        if isinstance(action, Until):
            at = max(at, action.at)
        elif isinstance(action, Chunk):
            assert sent <= at * 10 + 1e-6
            sent += len(action.data)
    assert (sent, chunks(actions)) == (len(BODY), [BODY[i : i + 1] for i in range(len(BODY))])


def test_a_slow_line_from_an_event_on() -> None:
    pieces = shown(played({"bandwidth": {"rate": 20, "event": 3}}))
    assert pieces[:9] == [0, 1.0, 1, 2.0, 2, 3.0, b"da", 3.1, b"ta"]
    assert pieces[-2:] == [3.7, b"\n"]


def test_late_by_chance_within_bounds() -> None:
    (fault,) = parse({"latency": {"for": "2s", "jitter": "500ms"}}, fail)
    drawn = {seconds_of(fault, random.Random(n)) for n in range(50)}
    assert len(drawn) > 40 and all(1.5 <= seconds <= 2.5 for seconds in drawn)


# --- what is told


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("drop", {"applied": True, "at": {"event": 1}}),
        ({"reset": "last"}, {"applied": True, "at": {"event": 3}}),
        ({"reset": {"byte": 3}}, {"applied": True, "at": {"byte": 3}}),
        ({"reset": 9}, {"applied": False, "why": "the answer had 4 events"}),
        ({"reset": {"byte": 999}}, {"applied": False, "why": f"the answer had {len(BODY)} bytes"}),
        ({"slice": {"inside": "line_end"}}, {"applied": False, "why": "no CR LF"}),
        ({"slice": 1_000}, {"applied": False, "why": "nothing that it could act on"}),
        ({"reorder": "last"}, {"applied": False, "why": "nothing that it could act on"}),
        ({"drop": {"chance": 0}}, {"applied": False, "why": "nothing that it could act on"}),
        ("slice", {"applied": True}),
        ("coalesce", {"applied": True}),
        ("bandwidth", {"applied": True}),
    ],
    ids=repr,
)
def test_what_became_of_it(fault: Any, told: dict[str, Any]) -> None:
    one = damage(fault)
    list(one.play(EVENTS, encode))
    assert one.outcomes[0].shown() == told


def test_without_a_keep_alive_there_is_no_storm() -> None:
    one = Damage(parse("ping_storm", fail), 0)
    assert chunks(one.play(EVENTS, encode)) == FRAMES
    assert one.outcomes[0].shown() == {"applied": False, "why": "this backend has no keep-alive"}


def test_behind_a_cut_nothing_strikes() -> None:
    one = damage("reset", {"drop": 2})
    for action in one.play(EVENTS, encode):
        if isinstance(action, Reset):
            one.freeze()
    assert [outcome.applied for outcome in one.outcomes] == [True, False]
    assert one.outcomes[1].why == "the answer was cut before"


# --- whole bodies


JSON = b'{"text":"h\xc3\xa9"}\n'


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        ("latency", [JSON]),
        ({"latency": {"for": 2, "event": 0}}, [2.0, JSON]),
        ("bandwidth", [JSON]),
        ("coalesce", [JSON]),
        ("reorder", [JSON]),
        ("ping_storm", [JSON]),
        ("line_end", [JSON[:-1] + b"\r\n"]),
        ("stall", [JSON[:7], "Stall", JSON[7:]]),
        ("reset", [JSON[:7], "Reset", JSON[7:]]),
        ("truncate", [JSON[:7], "Truncate", JSON[7:]]),
        ({"truncate": "last"}, ["Truncate", JSON]),
        ({"truncate": 1}, [JSON]),
        ({"truncate": {"byte": 3}}, [JSON[:3], "Truncate", JSON[3:]]),
        ("malformed", [JSON[:-2] + b"\n"]),
        ("duplicate", [JSON, JSON]),
        ("drop", []),
        ({"slice": 9}, [JSON[:9], JSON[9:]]),
        ({"slice": {"inside": "character"}}, [JSON[:11], JSON[11:]]),
        ("content_length", [JSON]),
    ],
    ids=repr,
)
def test_a_body_is_the_only_event(fault: Any, sent: list[Any]) -> None:
    assert shown(damage(fault).reply(JSON, json=True)) == sent


def test_text_loses_its_coding() -> None:
    assert chunks(damage("malformed").reply("né}".encode(), json=False)) == ["né}".encode() + b"\xff"]


@pytest.mark.parametrize("name", [name for name, kind in FAULTS.items() if not kind.head and name != "latency"])
def test_an_empty_body_can_only_be_cut(name: str) -> None:
    one = damage(name)
    actions = list(one.reply(b"", json=True))
    assert [type(action) for action in actions] == (
        [{"stall": Stall, "reset": Reset, "truncate": Truncate}[name]] if name in CUTS else []
    )
    assert one.outcomes[0].applied == (name in CUTS)
    assert name in CUTS or one.outcomes[0].why == "the reply has no body"


def test_pieces_are_bounded() -> None:
    body = bytes(MOST_PIECES + 1_000)
    pieces = chunks(damage("slice").reply(body, json=False))
    assert (len(pieces), sum(map(len, pieces))) == (MOST_PIECES + 1, len(body))


# --- among the steps


@pytest.mark.parametrize(
    ("fault", "actions"),
    [
        ("reset", [0, "Reset", 1.0, 1, 2.0, 2, 3.0, 3]),
        ("truncate", [0, "Truncate", 1.0, 1, 2.0, 2, 3.0, 3]),
        ({"stall": "1s"}, [0, "Stall", 1.0, 1, 2.0, 2, 3.0, 3]),
        ({"latency": "500ms"}, [0, 0.5, 1.5, 1, 2.5, 2, 3.5, 3]),
        ("drop", [0, 1.0, 2.0, 2, 3.0, 3]),
        ("duplicate", [0, 1.0, 1, 1, 2.0, 2, 3.0, 3]),
        ("reorder", [0, 1.0, 2.0, 2, 1, 3.0, 3]),
        ({"ping_storm": 1}, [0, 1.0, b": ping\n\n", 1, 2.0, 2, 3.0, 3]),
        ({"coalesce": 2}, [0, 1.0, 2.0, FRAMES[1] + FRAMES[2], 3.0, 3]),
        ({"slice": {"at": [5]}}, [0, 1.0, FRAMES[1][:5], FRAMES[1][5:], 2.0, 2, 3.0, 3]),
        ({"truncate": {"byte": 5}}, [0, 1.0, FRAMES[1][:5], "Truncate", FRAMES[1][5:], 2.0, 2, 3.0, 3]),
        ("refuse", [0, 1.0, 1, 2.0, 2, 3.0, 3]),
    ],
    ids=repr,
)
def test_a_step_strikes_where_it_stands(fault: Any, actions: list[Any]) -> None:
    (one,) = parse(fault, fail)
    assert shown(played(items=[EVENTS[0], one, *EVENTS[1:]])) == actions


def test_several_steps_before_one_event() -> None:
    items: list[Item] = [Fault("duplicate"), Fault("malformed"), *EVENTS]
    assert chunks(played(items=items)) == [b'data: {"n":0\n\n', b'data: {"n":0\n\n', *FRAMES[1:]]
    items = [Fault("reorder"), Fault("drop"), *EVENTS]
    assert chunks(played(items=items)) == FRAMES[1:]
    items = [Fault("reorder"), EVENTS[0], Fault("reorder"), *EVENTS[1:]]
    assert chunks(played(items=items)) == [FRAMES[2], FRAMES[0], FRAMES[1], FRAMES[3]]


def test_many_steps_are_no_burden() -> None:
    items: list[Item] = [item for event in EVENTS for item in [*[Fault("drop")] * 3_000, event]]
    one = damage()
    assert chunks(one.play(items, encode)) == []
    assert len(one.struck) == 100


def test_an_answer_that_is_under_way_goes_on_counting() -> None:
    one = Damage((), 0, events=7, at=4.0)
    items: list[Item] = [Fault("latency", {"for": 1.0}), Event(data=1), 5.0, Fault("drop"), Event(data=2)]
    assert shown(one.play(items, encode)) == [5.0, b"data: 1\n\n", 6.0]
    assert [outcome.event for _, outcome in one.struck] == [None, 8]


# --- what always holds


texts = st.text(max_size=20)
events = st.builds(Event, data=st.dictionaries(texts, texts, max_size=2) | texts, comment=st.none() | texts)


@st.composite
def answers(draw: st.DrawFn) -> list[Item]:
    items: list[Item] = []
    at = 0.0
    for event in draw(st.lists(events, min_size=1, max_size=8)):
        items.append(event)
        at += draw(st.sampled_from([0.0, 0.5, 2.0]))
        items.append(at)
    return [*items, Event(data="end", final=True)]


def bytes_of(items: Iterable[Item]) -> bytes:
    return b"".join(encode(item) for item in items if isinstance(item, Event))


def in_order(actions: Sequence[Action]) -> Iterator[float]:
    return (action.at for action in actions if isinstance(action, Until))


manners = st.lists(
    st.sampled_from(
        [
            "coalesce",
            "slice",
            "bandwidth",
            {"slice": 3},
            {"slice": {"inside": "character"}},
            {"slice": {"at": [1, 5, 40], "every": "1s"}},
            {"coalesce": {"events": 2, "event": 2}},
            {"bandwidth": {"rate": 7, "event": 1}},
            {"latency": {"for": 2, "byte": 9}},
            "latency",
        ]
    ),
    max_size=4,
)


@given(answers(), manners)
def test_how_it_is_cut_and_timed_changes_no_byte(items: list[Item], faults: list[Any]) -> None:
    actions = played(*faults, items=items)
    assert b"".join(chunks(actions)) == bytes_of(items)
    assert [end.event for action in actions if isinstance(action, Chunk) for end in action.ends] == [
        item for item in items if isinstance(item, Event)
    ]
    assert sum(end.size for action in actions if isinstance(action, Chunk) for end in action.ends) == len(
        bytes_of(items)
    )
    waits = [item for item in items if isinstance(item, float)]
    assert max(in_order(actions), default=0.0) >= max(waits, default=0.0)


@given(answers())
def test_no_faults_no_change(items: list[Item]) -> None:
    assert chunks(played(items=items)) == [encode(item) for item in items if isinstance(item, Event)]
    assert list(in_order(played(items=items))) == [item for item in items if isinstance(item, float)]


named = st.sampled_from([name for name, kind in FAULTS.items() if not kind.head])
chances = st.builds(
    lambda name, chance: {name: {"chance": chance}},
    st.sampled_from(["drop", "duplicate", "malformed", "reorder"]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
placed = st.builds(lambda name, event: {name: {"event": event}}, named, st.integers(0, 9) | st.just("last"))


@given(answers(), st.lists(named | chances | placed, max_size=6), st.integers(0, 2**64))
def test_the_same_faults_do_the_same(items: list[Item], faults: list[Any], noise: int) -> None:
    first = played(*faults, items=items, noise=noise)
    assert first == played(*faults, items=items, noise=noise)
    one = damage(*faults, noise=noise)
    body = bytes_of(items)
    assert list(one.reply(body, json=False)) == list(damage(*faults, noise=noise).reply(body, json=False))


@given(answers(), st.lists(named | chances | placed, max_size=6))
def test_what_comes_is_taken_only_when_it_is_needed(items: list[Item], faults: list[Any]) -> None:
    """Each wait is passed on before what comes behind it is made, or a stop could not come in between."""
    waited = 0.0

    def source() -> Iterator[Item]:
        for item in items:
            yield item
            assert not isinstance(item, float) or waited >= item

    for action in damage(*faults).play(source(), encode):
        if isinstance(action, Until):
            waited = max(waited, action.at)


def test_the_terminal_event_is_an_address() -> None:
    assert parse({"drop": "last"}, fail)[0].event == LAST


def test_a_step_may_leave_it_to_chance() -> None:
    items: list[Item] = [item for event in EVENTS for item in (Fault("drop", {"chance": 0.5}), event)]
    kept = {tuple(chunks(played(items=items, noise=noise))) for noise in range(20)}
    assert len(kept) > 5


def test_latencies_add_up_and_the_last_word_on_the_head_counts() -> None:
    one = damage(
        {"latency": 1}, {"latency": {"for": 2, "event": 1}}, {"latency": 3}, {"content_type": "a/b"}, "content_type"
    )
    assert [fault.option("for") for fault, _, _ in one.heads("latency")] == [1.0, 3.0]
    found = one.head("content_type")
    assert found is not None and found[0].option("type") == "text/html"
    assert one.outcomes[3].shown() == {"applied": False, "why": "a later one took its place"}
    assert one.head("refuse") is None
