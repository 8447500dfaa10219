"""However a network cuts a bundled stream, a parser made to the standard reads the same events.

Every point at which the bytes can be cut in two is tried with httpx-sse: decoder of characters, of lines and of events,
as `EventSource.iter_sse` puts them together. Short streams go through a `httpx.Response` each time. For long ones that
would take minutes: there the parser is kept as it is after each frame, and what is cut is the frame, in two chunks that
reach from the frame before it to the frame after it. Same events, and a parser in the same state, to which the rest of
the stream is the same.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from bundled_streams import Taken, label, streaming_operations, take_all
from days import other_names
from httpx_sse import EventSource, ServerSentEvent
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from node_tests import run_node
from plainchat_caller import SERVICE as PLAINCHAT
from plainchat_caller import Plain

from emulator.contract.document import Operation
from emulator.service import Service
from emulator.testing.server import ThreadedServer

SHORT = 1_000
"""Bytes of a stream of which each cut goes through a response of its own."""
LONG = 8_000
"""Bytes of a stream that are cut again with line ends that no backend sends."""
LINE_ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
OPERATIONS = [pytest.param(*one, id=f"{one[0].name}-{one[1].id}") for one in streaming_operations()]

Part = TypeVar("Part")
Fields = tuple[str, str, str, int | None]
"""Name, data, id and retry of an event."""


class Chunks(httpx.SyncByteStream):
    """A body that comes in these chunks, and breaks off after them unless it is whole."""

    def __init__(self, chunks: Sequence[bytes], whole: bool) -> None:
        self.chunks = chunks
        self.whole = whole

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        if not self.whole:
            raise httpx.ReadError("the connection broke")


def fields(event: ServerSentEvent) -> Fields:
    """An event as something that can be compared."""
    return event.event, event.data, event.id, event.retry


def read(chunks: Sequence[bytes], whole: bool) -> list[Fields]:
    """The events of a body that comes in these chunks, by all of httpx and httpx-sse."""
    headers = {"Content-Type": "text/event-stream; charset=utf-8"}
    response = httpx.Response(200, headers=headers, stream=Chunks(chunks, whole))
    events: list[Fields] = []
    try:
        events.extend(map(fields, EventSource(response).iter_sse()))
    except httpx.ReadError:
        assert not whole
    return events


class Parser:
    """What `EventSource.iter_sse` makes of chunks, with a state that can be copied and compared."""

    def __init__(self) -> None:
        self.text = httpx._decoders.TextDecoder()
        self.lines = SSELineDecoder()
        self.events = SSEDecoder()

    def feed(self, chunk: bytes) -> list[Fields]:
        """The events that a chunk completes."""
        text = self.text.decode(chunk)
        # httpx hands on no empty text.
        return self._events(self.lines.decode(text)) if text else []

    def finish(self) -> list[Fields]:
        """The events that the end of the body completes."""
        return self._events(self.lines.flush())

    def _events(self, lines: list[str]) -> list[Fields]:
        return [fields(event) for event in map(self.events.decode, lines) if event is not None]

    def copy(self) -> Parser:
        """Another one in the same state."""
        other = Parser.__new__(Parser)
        other.text = httpx._decoders.TextDecoder()
        other.text.decoder.setstate(self.text.decoder.getstate())
        other.lines = _copied(self.lines)
        other.events = _copied(self.events)
        return other

    def state(self) -> Any:
        """All that what comes next depends on."""
        # A line that has come in part is kept in as many pieces as it came in, which no reader can tell.
        lines = {**vars(self.lines), "buffer": "".join(self.lines.buffer)}
        return self.text.decoder.getstate(), lines, vars(self.events)


def _copied(part: Part) -> Part:
    other = object.__new__(type(part))
    vars(other).update({name: value.copy() if isinstance(value, list) else value for name, value in vars(part).items()})
    return other


@dataclass(frozen=True)
class Stage:
    """A frame, the parser before it, and the events that it completes."""

    frame: bytes
    before: Parser
    events: list[Fields]


def staged(stream: Taken) -> tuple[list[Stage], Parser]:
    """A stream frame by frame, and the parser after the last."""
    parser = Parser()
    stages = []
    for frame in stream.frames:
        before = parser.copy()
        stages.append(Stage(frame, before, parser.feed(frame)))
    return stages, parser


def try_each_cut(stream: Taken) -> int:
    """Cut each frame everywhere; how many cuts were tried."""
    stages, after = staged(stream)
    told = [event for stage in stages for event in stage.events] + (after.copy().finish() if stream.whole else [])
    assert told == read([stream.body], stream.whole), stream.name
    tried = 0
    for at, stage in enumerate(stages):
        near = stages[max(at - 1, 0) : at + 2]
        start, end = near[0].before, stages[at + 2].before.state() if at + 2 < len(stages) else after.state()
        body = b"".join(one.frame for one in near)
        events = [event for one in near for event in one.events]
        first = len(near[0].frame) if at else 0
        for cut in range(first + 1, min(first + len(stage.frame) + 1, len(body))):
            parser = start.copy()
            assert parser.feed(body[:cut]) + parser.feed(body[cut:]) == events, (stream.name, at, cut)
            assert parser.state() == end, (stream.name, at, cut)
            tried += 1
    return tried


@pytest.fixture(scope="module")
def streams(server: ThreadedServer) -> dict[str, list[Taken]]:
    """The streams of each operation."""
    return take_all(server)


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_every_cut_in_two_reads_the_same(
    streams: dict[str, list[Taken]], service: Service, operation: Operation, end: str
) -> None:
    for sent in streams[label(service, operation)]:
        stream = sent if end == "lf" else sent.beginning(LONG).with_line_ends(LINE_ENDS[end])
        tried = try_each_cut(stream)
        assert tried == len(stream.body) - 1, stream.name


@pytest.mark.parametrize("end", LINE_ENDS)
def test_every_cut_of_a_short_stream_through_a_response(streams: dict[str, list[Taken]], end: str) -> None:
    short = [stream for listed in streams.values() for stream in listed if len(stream.body) <= SHORT]
    assert len(short) >= 5
    for sent in short:
        stream = sent.with_line_ends(LINE_ENDS[end])
        events = read([stream.body], stream.whole)
        for at in range(1, len(stream.body)):
            assert read([stream.body[:at], stream.body[at:]], stream.whole) == events, (stream.name, at)


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_line_ends_and_bytes_one_by_one_change_nothing(
    streams: dict[str, list[Taken]], service: Service, operation: Operation
) -> None:
    for sent in streams[label(service, operation)]:
        events = read([sent.with_line_ends(b"\n").body], sent.whole)
        assert events or not sent.whole, sent.name
        for name, end in LINE_ENDS.items():
            stream = sent.with_line_ends(end)
            one_by_one = read([bytes([byte]) for byte in stream.body], stream.whole)
            assert one_by_one == read([stream.body], stream.whole), (sent.name, name)
            # A CR may be the first half of a line end, so the event before it waits for what comes next.
            held = end == b"\r" and not sent.whole and one_by_one == events[:-1]
            assert one_by_one == events or held, (sent.name, name)


@pytest.mark.node
@pytest.mark.timeout(180)
def test_every_cut_in_two_reads_the_same_in_a_browsers_parser(streams: dict[str, list[Taken]], tmp_path: Path) -> None:
    file = tmp_path / "streams.json"
    listed = [
        {"name": one.name, "whole": one.whole, "body": b64encode(one.body).decode()}
        for taken in streams.values()
        for one in taken
    ]
    file.write_text(json.dumps(listed))
    run_node("split-points", CHAT_EMULATOR_STREAMS=str(file))


@pytest.mark.node
def test_every_cut_of_an_answer_without_frames(server: ThreadedServer, session_name: str, tmp_path: Path) -> None:
    listed = []
    with Plain(server, session_name, watch=False) as caller:
        for name in other_names(PLAINCHAT.scenarios):
            told = caller.ask("What is new?", name)
            if told.status == 200:
                chunks = [b64encode(chunk).decode() for chunk in told.chunks]
                listed.append({"name": name, "whole": told.whole, "chunks": chunks})
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(listed))
    run_node("plainchat-split-points", CHAT_EMULATOR_STREAMS=str(file))
