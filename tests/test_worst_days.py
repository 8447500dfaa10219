"""The bad days of docs/scenarios.md, each on every operation that streams, as its file says: what the client sees over
a bare socket, what the journal says of it, and that the history has the whole answer all the same."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import httpx
import pytest
from days import DAYS
from example_calls import SERVICES
from raw_wire import LONG, REPLIES, STREAMS, Asked, Seen, Wire

from emulator.streams.steps import Say
from emulator.testing.server import ThreadedServer
from emulator.world.journal import Entry

DOCS = Path(__file__).parent.parent / "docs" / "scenarios.md"
NUMBERS = count()
UNKEPT = {"chat_stream_endpoint_api_ai_deepseek_chat_stream_post", "chat_stream_api_ai_dify_chat_stream_post"}
"""Streams that no history keeps."""
ASCII = {"deskchat"}
"""Backends whose wire has no character of more than one byte."""
UNFRAMED = {"plainchat"}
"""Backends whose wire has neither lines nor keep-alives."""


@dataclass(frozen=True)
class Day:
    """What a scenario comes to: statuses of calls one after the other, how the last one ends, which fault the journal
    names, where it can strike, and what else is to be seen."""

    statuses: tuple[int, ...] = (200,)
    ended: str = "proper"
    fault: str | None = None
    nowhere: frozenset[str] = frozenset()
    also: Callable[[Seen], bool] = lambda seen: True


def split_inside(seen: Seen) -> bool:
    """Whether a chunk ends inside a character of a body that is whole."""
    seen.body.decode()
    return any(chunk[-1] >= 0x80 and not _decodes(chunk) for chunk in seen.chunks)


def _decodes(chunk: bytes) -> bool:
    try:
        chunk.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_html(seen: Seen) -> bool:
    return seen.headers["content-type"] == "text/html"


ANYWHERE: Mapping[str, Day] = {
    "rate-limited": Day((429,), also=lambda seen: seen.headers["retry-after"] == "20"),
    "unavailable": Day((503,), also=lambda seen: seen.headers["retry-after"] == "120"),
    "fails-twice": Day((503, 503, 200)),
    "flaky": Day((200, 200, 503), also=lambda seen: seen.headers["retry-after"] == "0"),
    "proxy-page": Day((502,), also=lambda seen: b"<h1>502" in seen.body and is_html(seen)),
    "slow-first-token": Day(),
    "uneven-pace": Day(also=lambda seen: len(seen.chunks) > 20),
    "never-ends": Day(ended="silent", fault="stall"),
    "ends-early": Day(fault="truncate"),
    "no-last-event": Day(fault="drop"),
    "byte-by-byte": Day(fault="slice", also=lambda seen: {len(chunk) for chunk in seen.chunks} == {1}),
    "split-characters": Day(fault="slice", nowhere=frozenset(ASCII), also=split_inside),
    "in-lumps": Day(fault="coalesce", also=lambda seen: len(seen.chunks) < 8),
    "crlf": Day(fault="line_end", nowhere=frozenset(UNFRAMED), also=lambda seen: b"\r\n\r\n" in seen.body),
    "broken-json": Day(fault="malformed"),
    "said-twice": Day(fault="duplicate"),
    "out-of-order": Day(fault="reorder"),
    "missing-piece": Day(fault="drop"),
    "ping-storm": Day(
        fault="ping_storm",
        nowhere=frozenset(UNFRAMED),
        also=lambda seen: seen.body.count(b"ping\n\n") == 200,
    ),
    "wrong-type": Day(fault="content_type", also=is_html),
    "wrong-length": Day(ended="short", fault="content_length"),
    "slow-network": Day(fault="latency, bandwidth"),
    "slow-headers": Day(fault="slow_headers"),
    "refused": Day((0,), ended="reset", fault="refuse"),
    "echo": Day(),
    "disconnect-mid-stream": Day(ended="reset", fault="reset"),
    "error-mid-stream": Day(),
}
"""Days that every backend can have."""
ELSEWHERE = {
    "quota-exceeded",
    "three-answers-a-day",
    "token-expires",
    "second-turn-fails",
    "message-replaced",
    "tool-error",
    "agent-tool-call",
}
"""Days of one backend, which have tests of their own, here or beside that backend."""


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedServer]:
    with ThreadedServer(speed=0) as running:
        yield running


def a_session() -> str:
    return f"day-{next(NUMBERS)}"


def asking(asked: Asked, scenario: str) -> Asked:
    return replace(asked, headers={**asked.headers, "X-Emulator-Scenario": scenario})


def entry_of(server: ThreadedServer, session: str) -> Entry:
    """The entry of the last call, once it is closed."""
    deadline = time.monotonic() + LONG
    while not (entries := server.app.sessions.get(session).journal.entries) or not entries[-1].weight:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return entries[-1]


def said(scenario: str, backend: str) -> str:
    steps = SERVICES[backend].scenarios.get(scenario).steps
    return "".join(step.text for step in steps if isinstance(step, Say)).strip()


def test_the_docs_name_every_day_and_no_other() -> None:
    told = set(re.findall(r"`([a-z]+(?:-[a-z]+)+|echo|refused|unavailable|flaky|crlf)`", DOCS.read_text("utf-8")))
    assert {*ANYWHERE, *ELSEWHERE, *DAYS} <= told
    assert {*ANYWHERE, *ELSEWHERE} >= DAYS
    assert all(name in SERVICES[backend].scenarios.names() for name in ANYWHERE for backend in SERVICES)


@pytest.mark.parametrize("scenario", list(ANYWHERE))
@pytest.mark.parametrize("key", list(STREAMS))
def test_a_day_on_a_stream(server: ThreadedServer, key: str, scenario: str) -> None:
    day, asked, session = ANYWHERE[scenario], STREAMS[key], a_session()
    statuses = []
    for _ in day.statuses:
        with Wire(server) as wire:
            seen = wire.ask(asking(asked, scenario), session, quiet_after=1 if day.ended == "silent" else None)
        statuses.append(seen.status)
        entry = entry_of(server, session)
    assert (tuple(statuses), seen.ended) == (day.statuses, day.ended)
    assert (entry.scenario, entry.chosen_by) == (scenario, "header")
    assert entry.shown()["fault"] == day.fault
    if asked.backend not in day.nowhere:
        assert day.also(seen)
        assert all(fault["applied"] for fault in entry.faults), entry.faults
    if entry.faults:
        assert {fault["source"] for fault in entry.faults} == {f"scenario {scenario}"}
    if day.fault is not None and said(scenario, asked.backend) and asked.operation not in UNKEPT:
        world = server.app.sessions.get(session).worlds[asked.backend]
        kept = [repr(record) for records in world.store._collections.values() for record in records]
        assert any(repr(said(scenario, asked.backend))[1:-1] in one for one in kept)


ON_REPLIES = (
    *("rate-limited", "unavailable", "fails-twice", "flaky"),
    *("proxy-page", "wrong-type", "wrong-length", "refused"),
)


@pytest.mark.parametrize("scenario", ON_REPLIES)
@pytest.mark.parametrize("backend", list(REPLIES))
def test_a_day_on_a_plain_reply(server: ThreadedServer, backend: str, scenario: str) -> None:
    day, session = ANYWHERE[scenario], a_session()
    for status in day.statuses:
        with Wire(server) as wire:
            seen = wire.ask(asking(REPLIES[backend], scenario), session)
        assert seen.status == status
    assert seen.ended == day.ended and day.also(seen)
    assert entry_of(server, session).shown()["fault"] == day.fault


PINGED = {"dify": 2, "ruoyi": 2}
"""Keep-alives in 25 seconds, where there are any."""


def test_pings_come_while_the_first_word_is_waited_for(server: ThreadedServer) -> None:
    for key, asked in STREAMS.items():
        with Wire(server) as wire:
            seen = wire.ask(asking(asked, "slow-first-token"), a_session())
        assert seen.body.count(b"ping\n\n") == PINGED.get(asked.backend, 0), key


def test_three_answers_a_day(server: ThreadedServer) -> None:
    session, asked = a_session(), asking(STREAMS["dify-sendChatMessage"], "three-answers-a-day")
    seen = []
    for _ in range(5):
        with Wire(server) as wire:
            seen.append(wire.ask(asked, session))
    assert [one.status for one in seen] == [200, 200, 200, 400, 400]
    assert b"provider_quota_exceeded" in seen[3].body
    story = server.app.sessions.get(session).worlds["dify"].story
    assert story.states == {"answers": 3}
    story.states["answers"] = 0
    with Wire(server) as wire:
        assert wire.ask(asked, session).status == 200


def test_a_token_expires(server: ThreadedServer) -> None:
    session = a_session()
    calls = [
        STREAMS["toolchat-streamMessage"],
        REPLIES["toolchat"],
        REPLIES["toolchat"],
        STREAMS["toolchat-streamMessage"],
    ]
    statuses = []
    for asked in calls:
        with Wire(server) as wire:
            statuses.append(wire.ask(asking(asked, "token-expires"), session).status)
    assert statuses == [200, 200, 401, 401]


def test_the_second_turn_fails(server: ThreadedServer) -> None:
    session = a_session()
    headers = {"X-Emulator-Session": session, "X-Emulator-Scenario": "second-turn-fails"}
    with httpx.Client(base_url=f"{server.url}/deskchat/chat", headers=headers, verify=False) as client:
        chat_id = client.post("/conversations", json={"title": "New"}).json()["data"]["uuid"]
        kinds = []
        for _ in range(2):
            body = client.post("/messages/stream", json={"chat_id": chat_id, "content": "Hi"}).text
            kinds.append(re.findall(r'"type": "(complete|error)"', body))
    assert kinds == [["complete"], ["error"]]
