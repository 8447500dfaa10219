"""Every fault on every stream, and on a plain reply of every backend, over real sockets: the client sees exactly that,
the server goes on, and store and journal have the whole answer.

What would have been sent comes from a twin: a session of the same seed that makes the same call without a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import httpx
import pytest
from example_calls import BEARERS
from raw_wire import LONG, QUIET, REPLIES, STREAMS, Asked, Seen, Wire

from emulator import create_app
from emulator.choosing import Readied
from emulator.fault import FAULTS, parse
from emulator.settings import Limits
from emulator.testing.server import ThreadedServer
from emulator.world.armed import Arming
from emulator.world.journal import Entry
from emulator.world.session import World

PINGS = {"dify": b"event: ping\n\n", "plainchat": b""}
COMMENT = b": ping\n\n"
NUMBERS = count()


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedServer]:
    """Every backend, without waiting, each event held against its spec."""
    with ThreadedServer(speed=0, check_replies=True) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_went_wrong(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is done to an answer is no error of the server."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


def arm(app: Any, session: str, backend: str, fault: Any, operation: str | None = None) -> None:
    def fail(pointer: tuple[str | int, ...], what: str) -> Exception:
        return ValueError(f"{pointer}: {what}")

    armed = app.sessions.get(session).armed
    armed.add(Arming(armed.new_id(), backend, operation, fault=fault, ready=Readied(faults=parse(fault, fail))))


def a_session() -> str:
    return f"wire-{next(NUMBERS)}"


def entry_of(server: ThreadedServer, session: str, operation: str) -> Entry:
    """The entry of a call, once it is closed."""
    deadline = time.monotonic() + LONG
    while True:
        entries = [one for one in server.app.sessions.get(session).journal.entries if one.operation == operation]
        if entries and (entries[-1].weight or time.monotonic() > deadline):
            assert entries[-1].weight
            return entries[-1]
        time.sleep(0.005)


def world_of(server: ThreadedServer, session: str, backend: str) -> World:
    def no_data(world: World) -> None:
        raise AssertionError("the world has been made before")

    return server.app.sessions.get(session).world(backend, no_data)


def stored(server: ThreadedServer, session: str, backend: str) -> Any:
    """All that a session keeps of a backend."""
    collections = world_of(server, session, backend).store._collections
    return {name: list(records) for name, records in collections.items()}


_TWINS: dict[str, tuple[Seen, Any]] = {}


def twin(server: ThreadedServer, key: str, asked: Asked) -> tuple[Seen, Any]:
    """What comes, and what is kept, without a fault."""
    if key not in _TWINS:
        session = a_session()
        with Wire(server) as wire:
            seen = wire.ask(asked, session)
        assert (seen.status, seen.ended) == (200, "proper")
        entry_of(server, session, asked.operation)
        _TWINS[key] = seen, stored(server, session, asked.backend)
    return _TWINS[key]


# --- streams


def lines(data: bytes, end: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", end, data)


def broken(chunk: bytes) -> bytes:
    text = chunk.rstrip(b"\n")
    return (text[:-1] if text[-1:] in (b"}", b"]") else text + b"\xff") + chunk[len(text) :]


def triples(chunks: list[bytes]) -> list[bytes]:
    return [b"".join(chunks[i : i + 3]) for i in range(0, len(chunks), 3)]


def bytewise(chunks: list[bytes]) -> list[bytes]:
    body = b"".join(chunks)
    return [body[i : i + 1] for i in range(len(body))]


def narrow(chunks: list[bytes]) -> list[bytes]:
    return [chunk[i : i + 102] for chunk in chunks for i in range(0, len(chunk), 102)]


EXPECTED: Mapping[str, Callable[[list[bytes]], list[bytes]]] = {
    "latency": lambda sent: sent,
    "bandwidth": narrow,
    "slice": bytewise,
    "coalesce": triples,
    "line_end": lambda sent: [lines(one, b"\r\n") for one in sent],
    "stall": lambda sent: sent[:1],
    "truncate": lambda sent: sent[:-1],
    "reset": lambda sent: sent[:1],
    "malformed": lambda sent: [sent[0], broken(sent[1]), *sent[2:]],
    "duplicate": lambda sent: [*sent[:2], *sent[1:]],
    "reorder": lambda sent: [sent[0], sent[2], sent[1], *sent[3:]],
    "drop": lambda sent: [sent[0], *sent[2:]],
    "content_type": lambda sent: sent,
    "content_length": lambda sent: [b"".join(sent)],
    "slow_headers": lambda sent: sent,
    "refuse": lambda sent: [],
}
ENDED = {"stall": "silent", "reset": "reset", "refuse": "reset", "content_length": "short"}
INVISIBLE = {"latency", "bandwidth", "content_type", "slow_headers"}
"""Not to be seen in the body, in no time."""
CUT = {"stall", "truncate", "reset", "refuse", "content_length"}


def test_every_backend_streams_and_replies() -> None:
    assert {asked.backend for asked in STREAMS.values()} == set(REPLIES) == {*BEARERS, "plainchat", "deskchat"}


@pytest.mark.parametrize("name", list(FAULTS))
@pytest.mark.parametrize("key", list(STREAMS))
def test_a_fault_in_a_stream(server: ThreadedServer, key: str, name: str) -> None:
    asked, session = STREAMS[key], a_session()
    whole, kept = twin(server, key, asked)
    assert len(whole.chunks) > 3
    sent = expected(asked.backend, name, whole.chunks)
    arm(server.app, session, asked.backend, name)
    with Wire(server) as wire:
        seen = wire.ask(asked, session, quiet_after=1 if name == "stall" else None)

    assert (seen.chunks, seen.ended) == (sent, ENDED.get(name, "proper"))
    if name != "refuse":
        kind = "text/html" if name == "content_type" else whole.headers["content-type"]
        assert (seen.status, seen.headers["content-type"]) == (200, kind)
    if name == "content_length":
        assert int(seen.headers["content-length"]) == len(whole.body) + 1

    entry = entry_of(server, session, asked.operation)
    applied = name in EXPECTED and (sent != whole.chunks or name in INVISIBLE)
    assert entry.shown()["fault"] == name
    (fault,) = entry.faults
    applied = applied or (name == "ping_storm" and asked.backend != "plainchat")
    assert (fault["source"], fault["applied"], "why" in fault) == ("armed a1", applied, not applied)
    assert entry.closed == ("cut" if name in CUT else "ended")
    assert sum(frame["bytes"] for frame in entry.frames) == len(b"".join(sent))
    assert entry.breaches == []
    assert stored(server, session, asked.backend) == kept
    assert_healthy(server, asked.backend, session)


def expected(backend: str, name: str, chunks: list[bytes]) -> list[bytes]:
    if name == "ping_storm":
        ping = PINGS.get(backend, COMMENT)
        return [chunks[0], *[ping] * (50 if ping else 0), *chunks[1:]]
    return EXPECTED[name](chunks)


def assert_healthy(server: ThreadedServer, backend: str, session: str) -> None:
    """The next call is answered, on a new connection and again on the same."""
    with Wire(server) as wire:
        for _ in range(2):
            seen = wire.ask(REPLIES[backend], session)
            assert (seen.status, seen.ended) == (200, "proper")


# --- plain replies


def half(body: bytes) -> bytes:
    return body[: len(body) // 2]


REPLIED: Mapping[str, tuple[Callable[[bytes], bytes], str, bool]] = {
    "latency": (lambda body: body, "proper", True),
    "bandwidth": (lambda body: body, "proper", True),
    "slice": (lambda body: body, "proper", True),
    "coalesce": (lambda body: body, "proper", False),
    "line_end": (lambda body: lines(body, b"\r\n"), "proper", False),
    "stall": (half, "silent", True),
    "truncate": (half, "proper", True),
    "reset": (half, "reset", True),
    "malformed": (broken, "proper", True),
    "duplicate": (lambda body: body + body, "proper", True),
    "reorder": (lambda body: body, "proper", False),
    "drop": (lambda body: b"", "proper", True),
    "ping_storm": (lambda body: body, "proper", False),
    "content_type": (lambda body: body, "proper", True),
    "content_length": (lambda body: body, "short", True),
    "slow_headers": (lambda body: body, "proper", True),
    "refuse": (lambda body: b"", "reset", True),
}
"""What comes, how it ends, and whether the fault could do anything."""


@pytest.mark.parametrize("name", list(FAULTS))
@pytest.mark.parametrize("backend", list(REPLIES))
def test_a_fault_in_a_plain_reply(server: ThreadedServer, backend: str, name: str) -> None:
    asked, session = REPLIES[backend], a_session()
    whole, kept = twin(server, backend, asked)
    damaged, ended, applied = REPLIED[name]
    arm(server.app, session, backend, name, asked.operation)
    with Wire(server) as wire:
        seen = wire.ask(asked, session, quiet_after=0 if ended == "silent" else None)
    assert (seen.body, seen.ended) == (damaged(whole.body), ended)
    # One backend ends its JSON with a line end.
    applied = applied or seen.body != whole.body
    if name == "content_type":
        assert seen.headers["content-type"] == "text/html"
    entry = entry_of(server, session, asked.operation)
    (fault,) = entry.faults
    assert (fault["name"], fault["applied"], "why" in fault) == (name, applied, not applied)
    assert entry.closed == ("cut" if name in CUT else None)
    assert entry.reply_body == whole.body[: entry.kept_bytes]
    assert stored(server, session, backend) == kept
    assert_healthy(server, backend, session)


# --- other forms, other clients


DIFY = STREAMS["dify-sendChatMessage"]
DESK = STREAMS["deskchat-streamMessage"]


def damaged(server: ThreadedServer, fault: Any, asked: Asked = DIFY, **how: Any) -> tuple[Seen, Entry]:
    session = a_session()
    arm(server.app, session, asked.backend, fault)
    with Wire(server) as wire:
        seen = wire.ask(asked, session, **how)
    return seen, entry_of(server, session, asked.operation)


def test_faults_meet_in_one_answer(server: ThreadedServer) -> None:
    whole, _ = twin(server, "dify-sendChatMessage", DIFY)
    fault = [{"drop": "last"}, {"duplicate": 0}, {"line_end": "cr"}, {"coalesce": 2}, {"truncate": {"byte": 700}}]
    seen, entry = damaged(server, fault)
    events = [lines(one, b"\r") for one in [whole.chunks[0], *whole.chunks[:-1]]]
    assert seen.body == b"".join(events)[:700]
    assert seen.chunks[0] == b"".join(events[:2])
    assert [one["applied"] for one in entry.faults] == [False, True, True, True, True]
    assert entry.faults[0]["why"] == "the answer was cut before"
    assert entry.faults[4]["at"] == {"byte": 700}
    assert sum(frame["bytes"] for frame in entry.frames) == 700
    assert entry.shown()["fault"] == "drop, duplicate, line_end, coalesce, truncate"


@pytest.mark.parametrize("by", [5, -5, -1_000_000])
@pytest.mark.parametrize("asked", [DIFY, REPLIES["dify"]], ids=["stream", "reply"])
def test_a_wrong_length_is_followed_by_the_end_of_the_connection(server: ThreadedServer, asked: Asked, by: int) -> None:
    key = "dify-sendChatMessage" if asked is DIFY else "dify"
    whole, _ = twin(server, key, asked)
    session = a_session()
    arm(server.app, session, "dify", {"content_length": by})
    with Wire(server) as wire:
        seen = wire.ask(asked, session)
        promised = max(0, len(whole.body) + by)
        assert int(seen.headers["content-length"]) == promised
        assert seen.headers["connection"] == "close"
        assert seen.body + wire.rest() == whole.body
    assert entry_of(server, session, asked.operation).closed == "cut"


def test_an_old_client_gets_no_chunks(server: ThreadedServer) -> None:
    whole, _ = twin(server, "dify-sendChatMessage", DIFY)
    session = a_session()
    arm(server.app, session, "dify", "slow_headers")
    with Wire(server) as wire:
        wire.sock.sendall(DIFY.request(session, "1.0"))
        head, _, body = wire.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == whole.body


@pytest.mark.parametrize("name", list(FAULTS))
def test_head_has_no_body_whatever_is_done_to_it(server: ThreadedServer, name: str) -> None:
    asked, session = REPLIES["dify"], a_session()
    arm(server.app, session, "dify", name)
    with Wire(server) as wire:
        seen = wire.ask(asked, session, method="HEAD")
        assert seen.status == (0 if name == "refuse" else 200)
        if name in ("reset", "refuse", "content_length", "slow_headers", "stall"):
            assert wire.held == b""
        else:
            assert wire.ask(asked, a_session()).status == 200
    assert_healthy(server, "dify", session)


def test_a_kept_connection_goes_on_after_faults_within_http(server: ThreadedServer) -> None:
    session = a_session()
    with Wire(server) as wire:
        for name in ("slice", "truncate", "malformed", "line_end", "drop"):
            arm(server.app, session, "dify", name)
            assert wire.ask(DIFY, session).ended == "proper"
            arm(server.app, session, "dify", name)
            assert wire.ask(REPLIES["dify"], session).ended == "proper"


def test_who_leaves_a_damaged_answer_ends_it(server: ThreadedServer) -> None:
    session = a_session()
    arm(server.app, session, "dify", {"stall": {"byte": 10}})
    with Wire(server) as wire:
        seen = wire.ask(DIFY, session, quiet_after=1)
        assert (len(seen.body), seen.ended) == (10, "silent")
        assert not server.app.sessions.get(session).journal.entries[-1].weight
    assert entry_of(server, session, DIFY.operation).closed == "cut"


@pytest.mark.parametrize("chance", ["drop", "duplicate", "malformed", "reorder"])
def test_chances_replay(server: ThreadedServer, chance: str) -> None:
    faults = [{chance: {"chance": 0.4}}, {"slice": 7}]
    first, again = (damaged(server, faults, DESK)[0] for _ in range(2))
    assert first.chunks == again.chunks
    assert first.body != twin(server, "deskchat-streamMessage", DESK)[0].body


def test_each_call_has_its_own_chances(server: ThreadedServer) -> None:
    session = a_session()
    hit = []
    for _ in range(4):
        arm(server.app, session, "dify", {"drop": {"chance": 0.5}})
        with Wire(server) as wire:
            wire.ask(DIFY, session)
        hit.append(tuple(frame["event"]["event"] for frame in entry_of(server, session, DIFY.operation).frames))
    assert len(set(hit)) > 1


# --- time


SPEED = 10


@pytest.fixture(scope="module")
def paced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedServer]:
    """Ten times as fast as written, on the wall clock."""
    with ThreadedServer(speed=SPEED, backends=("dify",)) as running:
        yield running


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        ({"latency": "5s"}, 0.5),
        ({"latency": {"for": "5s", "event": 2}}, 0.5),
        ({"slow_headers": "500ms"}, 0.4),
        ({"bandwidth": 3000}, 0.5),
        ({"slice": {"bytes": 100, "every": "50ms"}}, 0.5),
        ({"stall": {"for": "500ms"}}, 0.5),
    ],
    ids=str,
)
def test_it_takes_its_time(paced: ThreadedServer, fault: Any, least: float) -> None:
    began = time.monotonic()
    seen, entry = damaged(paced, fault)
    assert time.monotonic() - began >= least
    assert (seen.ended, entry.closed) == ("proper", "ended")
    assert entry.faults[0]["applied"]


@pytest.mark.parametrize("fault", [{"latency": "5s"}, {"slow_headers": "300ms"}, {"bandwidth": 100}], ids=str)
def test_a_plain_reply_takes_its_time(paced: ThreadedServer, fault: Any) -> None:
    began = time.monotonic()
    seen, _ = damaged(paced, fault, REPLIES["dify"])
    assert time.monotonic() - began >= 0.15
    assert (seen.status, seen.ended) == (200, "proper")


def on_the_loop(server: ThreadedServer, act: Callable[[], object]) -> None:
    loop = server._server.loop
    assert loop is not None
    loop.call_soon_threadsafe(act)


def running(server: ThreadedServer, session: str) -> list[Any]:
    return [one for _, one in world_of(server, session, "dify").running.values()]


@pytest.mark.parametrize("fault", [{"stall": None}, {"latency": {"for": "1h", "event": 1}}], ids=str)
def test_a_stop_ends_a_stall(paced: ThreadedServer, fault: Any) -> None:
    session = a_session()
    arm(paced.app, session, "dify", fault)
    with Wire(paced) as wire:
        wire.sock.sendall(DIFY.request(session))
        while b"data:" not in wire.held:
            wire._more()
        on_the_loop(paced, paced.app.sessions.get(session).stop_all)
        while not wire.held.endswith(b"\r\n0\r\n\r\n"):
            wire._more()
    assert entry_of(paced, session, DIFY.operation).closed == "stopped"


@pytest.mark.parametrize("fault", ["stall", {"slow_headers": "1h"}, {"latency": "1h"}, {"bandwidth": 1}], ids=str)
@pytest.mark.parametrize("asked", [DIFY, REPLIES["dify"]], ids=["stream", "reply"])
def test_a_session_that_goes_ends_what_waits(paced: ThreadedServer, asked: Asked, fault: Any) -> None:
    session = a_session()
    arm(paced.app, session, "dify", fault)
    with Wire(paced) as wire:
        wire.sock.sendall(asked.request(session))
        while not (world := paced.app.sessions.get(session)).journal.entries:
            time.sleep(0.005)
        time.sleep(0.05)
        entry = world.journal.entries[-1]
        on_the_loop(paced, lambda: paced.app.sessions.reset(session))
        deadline = time.monotonic() + LONG
        while not entry.weight and time.monotonic() < deadline:
            time.sleep(0.005)
    assert entry.weight


def test_a_server_that_ends_lets_go_of_stalls() -> None:
    server = ThreadedServer(speed=1, backends=("dify",)).start()
    arm(server.app, "a", "dify", "stall")
    arm(server.app, "b", "dify", "stall")
    with Wire(server) as one, Wire(server) as other:
        one.sock.sendall(DIFY.request("a"))
        other.sock.sendall(REPLIES["dify"].request("b"))
        one._more()
        other._more()
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 5
    assert not server._thread.is_alive()


def test_a_stall_has_its_bound() -> None:
    with ThreadedServer(speed=0, backends=("dify",), limits=Limits(stall_seconds=0.1)) as server:
        for fault in ("stall", {"stall": "1h"}):
            for asked in (DIFY, REPLIES["dify"]):
                seen, entry = damaged(server, fault, asked)
                assert (seen.ended, entry.closed) == ("short", "cut")


def test_time_moved_ahead_brings_what_is_due(paced: ThreadedServer) -> None:
    session = a_session()
    arm(paced.app, session, "dify", {"latency": {"for": "1h", "event": 1}})
    with Wire(paced) as wire:
        wire.sock.sendall(DIFY.request(session))
        while b"data:" not in wire.held:
            wire._more()
        time.sleep(0.05)
        on_the_loop(paced, lambda: [one.advance(4_000) for one in running(paced, session)])
        while not wire.held.endswith(b"\r\n0\r\n\r\n"):
            wire._more()
    assert entry_of(paced, session, DIFY.operation).closed == "ended"


def test_time_moved_ahead_brings_a_late_reply(paced: ThreadedServer) -> None:
    session = a_session()
    arm(paced.app, session, "dify", {"latency": "1h"})
    with Wire(paced) as wire:
        wire.sock.sendall(REPLIES["dify"].request(session))
        while not (held := paced.app.sessions.get(session).held):
            time.sleep(0.005)
        time.sleep(0.05)
        (one,) = held
        on_the_loop(paced, lambda: one.skip(4_000))
        while b"}" not in wire.held:
            wire._more()


def test_a_change_of_speed_is_no_jump(paced: ThreadedServer) -> None:
    """Half an hour of stream time stays half an hour at another speed, and is nothing at speed 0."""
    session = a_session()
    arm(paced.app, session, "dify", {"latency": {"for": "30m", "event": 1}})
    one = paced.app.sessions.get(session)
    with Wire(paced) as wire:
        wire.sock.sendall(DIFY.request(session))
        while b"data:" not in wire.held:
            wire._more()

        def change(speed: float) -> None:
            one.speed = speed
            for performance in running(paced, session):
                performance.advance(0)

        on_the_loop(paced, lambda: change(20))
        wire.held = b""
        wire.sock.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            wire._more()
        wire.sock.settimeout(LONG)
        on_the_loop(paced, lambda: change(0))
        while not wire.held.endswith(b"\r\n0\r\n\r\n"):
            wire._more()


@pytest.mark.parametrize("also", ["latency", "slow_headers"])
def test_who_does_not_read_is_let_go(also: str) -> None:
    with ThreadedServer(speed=0, backends=("dify",), limits=Limits(send_seconds=0.3)) as server:
        session = a_session()
        # Far more than the buffers of two sockets hold.
        arm(
            server.app,
            session,
            "dify",
            [{"duplicate": {"chance": 1, "times": 100}}, {"ping_storm": 10_000}] * 2 + [also],
        )
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.connect(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
            sock.sendall(DIFY.request(session))
            entry = entry_of(server, session, DIFY.operation)
        assert entry.closed == "left"
        assert_healthy(server, "dify", session)


# --- in process


def in_process(fault: Any, asked: Asked) -> httpx.Response:
    app = create_app(backends=("dify",), speed=0)
    arm(app, "default", "dify", fault)

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://emulator.test") as client:
            return await client.request(
                asked.method, asked.path, headers=dict(asked.headers), content=asked.body, timeout=LONG
            )

    try:
        return asyncio.run(call())
    finally:
        (entry,) = app.sessions.get("default").journal.entries
        assert entry.weight and entry.faults[0]["applied"]


@pytest.mark.parametrize("asked", [DIFY, REPLIES["dify"]], ids=["stream", "reply"])
def test_without_a_connection_the_nearest_thing_happens(asked: Asked) -> None:
    whole = in_process("latency", asked)
    assert whole.status_code == 200
    for name in ("reset", "refuse"):
        with pytest.raises(ConnectionResetError):
            in_process(name, asked)
    length = in_process("content_length", asked).headers["content-length"]
    assert int(length) == len(whole.content) + 1
    assert in_process("slow_headers", asked).content == whole.content


# --- among the steps


def test_the_bundled_disconnect_is_told_as_a_fault(server: ThreadedServer) -> None:
    session = a_session()
    asked = replace(DIFY, headers={**DIFY.headers, "X-Emulator-Scenario": "disconnect-mid-stream"})
    with Wire(server) as wire:
        seen = wire.ask(asked, session)
    entry = entry_of(server, session, asked.operation)
    assert (seen.ended, entry.closed, entry.shown()["fault"]) == ("reset", "cut", "reset")
    assert entry.faults == ({"name": "reset", "source": "scenario disconnect-mid-stream", "applied": True},)
    assert len(entry.frames) == len(seen.chunks)


@pytest.mark.parametrize("fault", ["refuse", "reset", "slow_headers", {"content_length": 5}], ids=str)
def test_a_call_behind_a_damaged_one_leaves_no_error(server: ThreadedServer, fault: Any) -> None:
    """Two calls in one write: the first ends the connection, the second has nobody to answer to."""
    asked, session = REPLIES["dify"], a_session()
    arm(server.app, session, "dify", fault)
    with Wire(server) as wire:
        wire.sock.sendall(asked.request(session) * 2)
        with contextlib.suppress(ConnectionResetError):
            wire.rest()
    assert entry_of(server, session, asked.operation).closed == ("cut" if fault != "slow_headers" else None)
    with Wire(server) as wire:
        assert wire.ask(asked, session).status == 200
