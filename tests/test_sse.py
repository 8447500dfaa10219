"""Events as bytes. What is encoded here is read back by the decoder of httpx-sse, an implementation of its own."""

import json
from typing import Any

import pytest
from httpx_sse import ServerSentEvent
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.call import Event
from emulator.jsontext import compact, spaced_ascii
from emulator.streams.sse import encode

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=4)
EVENTS = st.builds(
    Event,
    data=st.none() | TEXTS | OBJECTS,
    event=st.none() | WORDS,
    id=st.none() | WORDS,
    retry=st.none() | st.integers(0, 10**9),
    comment=st.none() | TEXTS,
)


def read(data: bytes, sizes: list[int] | None = None) -> list[ServerSentEvent]:
    """What a client reads when `data` comes in pieces of these sizes."""
    lines, events = SSELineDecoder(), SSEDecoder()
    text, found, at = data.decode(), [], 0
    for size in [*(sizes or []), len(text)]:
        piece, at = text[at : at + size], at + size
        found += [event for line in lines.decode(piece) if (event := events.decode(line)) is not None]
    assert lines.flush() == []
    return found


def ends_as_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


EXACT = {
    "an object": (Event(data={"a": 1, "b": [None, True]}), b'data: {"a":1,"b":[null,true]}\n\n'),
    "Chinese as it is": (Event(data={"answer": "你好"}), 'data: {"answer":"你好"}\n\n'.encode()),
    "a list": (Event(data=[]), b"data: []\n\n"),
    "false": (Event(data=False), b"data: false\n\n"),
    "zero": (Event(data=0), b"data: 0\n\n"),
    "text": (Event(data="[DONE]"), b"data: [DONE]\n\n"),
    "empty text": (Event(data=""), b"data: \n\n"),
    "text of two lines": (Event(data="one\ntwo"), b"data: one\ndata: two\n\n"),
    "text that ends a line": (Event(data="one\n"), b"data: one\ndata: \n\n"),
    "text that begins with a blank": (Event(data=" one"), b"data:  one\n\n"),
    "an event without data, Dify's keep-alive": (Event(event="ping"), b"event: ping\n\n"),
    "a comment": (Event(comment="ping"), b": ping\n\n"),
    "an empty comment": (Event(comment=""), b":\n\n"),
    "a comment of three lines": (Event(comment="one\n\nthree"), b": one\n:\n: three\n\n"),
    "every field, in order": (
        Event(data={}, event="text", id="7", retry=1500, comment="why"),
        b": why\nevent: text\nid: 7\nretry: 1500\ndata: {}\n\n",
    ),
    "nothing": (Event(), b"\n"),
    "raw bytes, whatever else there is": (Event(raw=b"\xff", data={}, event="x"), b"\xff"),
    "no raw bytes": (Event(raw=b"", data={}), b""),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_frame_is_exactly(name: str) -> None:
    event, expected = EXACT[name]
    assert encode(event) == expected


def test_json_is_written_in_the_style_of_the_backend() -> None:
    assert encode(Event(data={"a": "é"}), spaced_ascii) == b'data: {"a": "\\u00e9"}\n\n'


def test_text_is_sent_as_it_is_and_not_in_the_style_of_json() -> None:
    assert encode(Event(data="é, x"), spaced_ascii) == "data: é, x\n\n".encode()


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_every_kind_of_line_end_begins_a_line(end: str) -> None:
    """The standard ends a line at CR as well: what follows one would be lost, or read as another field."""
    assert encode(Event(data=f"one{end}id: two")) == b"data: one\ndata: id: two\n\n"
    assert encode(Event(comment=f"one{end}data: two")) == b": one\n: data: two\n\n"


@settings(max_examples=100, deadline=None)
@given(EVENTS)
def test_a_client_reads_what_was_encoded(event: Event) -> None:
    found = read(encode(event))
    if event.data is None and event.event is None and event.id is None and event.retry is None:
        assert found == []
        return
    (sse,) = found
    assert sse.event == (event.event or "message")
    assert sse.id == (event.id or "")
    assert sse.retry == event.retry
    if isinstance(event.data, str):
        assert sse.data == ends_as_newlines(event.data)
    elif event.data is not None:
        assert same(json.loads(sse.data), event.data)
    else:
        assert sse.data == ""


@settings(max_examples=100, deadline=None)
@given(st.lists(st.builds(Event, data=OBJECTS, comment=st.none() | TEXTS), max_size=4), st.lists(st.integers(1, 9)))
def test_a_stream_is_read_alike_in_whatever_pieces_it_comes(events: list[Event], sizes: list[int]) -> None:
    found = read(b"".join(encode(event) for event in events), sizes)
    assert len(found) == len(events)
    assert all(same(sse.json(), event.data) for sse, event in zip(found, events, strict=True))


@settings(max_examples=100, deadline=None)
@given(EVENTS)
def test_a_frame_ends_in_its_only_blank_line(event: Event) -> None:
    frame = encode(event)
    assert frame.endswith(b"\n")
    assert b"\n\n" not in frame[:-1]
    assert b"\r" not in frame


@settings(max_examples=100, deadline=None)
@given(OBJECTS)
def test_json_is_one_line(value: dict[str, Any]) -> None:
    assert encode(Event(data=value)) == b"data: " + compact(value) + b"\n\n"
    assert compact(value).count(b"\n") == 0


def same(one: Any, other: Any) -> bool:
    """Equal as JSON, and in the order of its members."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)
