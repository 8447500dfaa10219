"""The live journal over a real socket: order, coming back, readers that are slow or leave, resets and the end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from conftest import KEYS, Dify
from control_caller import Control
from httpx_sse import ServerSentEvent, connect_sse
from session_caller import until

from emulator.call import Event
from emulator.control import feed as feeds
from emulator.testing.server import ThreadedServer


@contextmanager
def reading(control: Control, session: str, query: str = "", **headers: str) -> Iterator[Iterator[ServerSentEvent]]:
    """The events of a session's live journal; subscribed when the block begins."""
    path = f"/sessions/{session}/journal/live{query}"
    with connect_sse(control.http, "GET", path, headers=headers) as source:
        assert source.response.status_code == 200
        yield source.iter_sse()


def ids(events: Iterator[ServerSentEvent], count: int) -> list[int]:
    """The ids of the next entries, each held against the document."""
    found: list[int] = []
    while len(found) < count:
        event = next(events)
        if event.event == "entry":
            assert event.id == str(event.json()["id"])
            found.append(event.json()["id"])
    return found


def is_valid(control: Control, event: ServerSentEvent) -> bool:
    operation = control.server.app.control.document.operations["watchJournal"]
    inside = Event(event.json(), event.event, event.id if event.event == "entry" else None)
    return control.server.app.control.inspector.event(operation, "200", inside) == []


def test_calls_come_in_order(control: Control, dify: Dify) -> None:
    dify.get("/info")
    with reading(control, dify.session) as events:
        for _ in range(5):
            dify.get("/info")
        assert ids(events, 5) == [2, 3, 4, 5, 6]
    until(lambda: control.ok("GET", "/health")["feeds"] == 0)


def test_an_entry_is_as_in_the_journal(control: Control, dify: Dify) -> None:
    with reading(control, dify.session) as events:
        dify.get("/info")
        event = next(events)
        assert event.event == "entry" and is_valid(control, event)
        assert event.json() == control.ok("GET", f"/sessions/{dify.session}/journal/1")


def test_a_stream_is_told_at_both_ends(control: Control, dify: Dify) -> None:
    control.ok("PATCH", f"/sessions/{dify.session}", json={"speed": 20})
    with reading(control, dify.session) as events:
        dify.stream("/scenario long-answer")
        first, second = next(events), next(events)
        assert (first.event, first.json()["operation"], first.json()["closed"]) == ("open", "sendChatMessage", None)
        assert (second.event, second.json()["id"], second.json()["closed"]) == ("entry", first.json()["id"], "ended")
        assert is_valid(control, first) and is_valid(control, second)


def test_coming_back(control: Control, dify: Dify) -> None:
    for _ in range(4):
        dify.get("/info")
    with reading(control, dify.session, "?after=2") as events:
        dify.get("/info")
        assert ids(events, 3) == [3, 4, 5]
    with reading(control, dify.session, "?after=0", **{"Last-Event-ID": "4"}) as events:
        assert ids(events, 1) == [5]
    with reading(control, dify.session, "?after=99") as events:
        dify.get("/info")
        assert ids(events, 1) == [6]


def test_a_session_never_used_is_watched(control: Control, dify: Dify) -> None:
    with reading(control, dify.session) as events:
        dify.get("/info")
        assert ids(events, 1) == [1]


@pytest.mark.parametrize("way", ["reset", "evicted"])
def test_a_reset_ends_it(control: Control, dify: Dify, way: str) -> None:
    with reading(control, dify.session) as events:
        dify.get("/info")
        assert ids(events, 1) == [1]
        if way == "reset":
            control.ok("DELETE", f"/sessions/{dify.session}")
        else:
            sessions = dify.server.app.sessions
            loop = dify.server._server.loop
            assert loop is not None
            loop.call_soon_threadsafe(lambda: sessions._drop(sessions.peek(dify.session), "count"))
        last = next(events)
        assert (last.event, last.json()["reason"]) == ("end", "reset")
        assert is_valid(control, last)
        assert list(events) == []
    until(lambda: control.ok("GET", "/health")["feeds"] == 0)


def test_a_new_seed_does_not(control: Control, dify: Dify) -> None:
    with reading(control, dify.session) as events:
        control.ok("PATCH", f"/sessions/{dify.session}", json={"seed": 3})
        dify.get("/info")
        assert ids(events, 1) == [1]


def test_who_leaves_leaves_nothing_behind(control: Control, dify: Dify) -> None:
    with reading(control, dify.session):
        journal = dify.server.app.sessions.peek(dify.session).journal
        assert len(journal._listeners) == 1
    until(lambda: journal._listeners == [] and control.server.app.control.server.feeds == [])


def test_a_slow_reader_is_ended(control: Control, dify: Dify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_WAITING", 3)
    body = {"inputs": {}, "query": "x" * 15_000}
    with reading(control, dify.session) as events:
        # The system's buffers take some hundred entries before the server notices.
        for _ in range(800):
            dify.post("/chat-messages", body)
            if any(feed._over == "slow" for feed in control.server.app.control.server.feeds):
                break
        found = list(events)
    assert (found[-1].event, found[-1].json()["reason"]) == ("end", "slow")
    seen = [event.json()["id"] for event in found[:-1] if event.event == "entry"]
    assert seen == list(range(1, len(seen) + 1))
    with reading(control, dify.session, f"?after={seen[-1]}") as events:
        assert ids(events, 1) == [seen[-1] + 1]


def test_readers_are_bounded(control: Control, session_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: control.ok("GET", "/health")["feeds"] == 0)
    monkeypatch.setattr("emulator.control.behaviours.MOST_FEEDS", 1)
    with reading(control, session_name):
        problem = control.refused(429, "GET", f"/sessions/{session_name}-2/journal/live")
        assert problem["title"] == "Too many readers"
        assert f"{session_name}-2" not in control.names()
    until(lambda: control.ok("GET", "/health")["feeds"] == 0)
    with reading(control, session_name):
        pass
    until(lambda: control.ok("GET", "/health")["feeds"] == 0)


def test_it_is_kept_alive(control: Control, session_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEEP_ALIVE_SECONDS", 0.05)
    with control.http.stream("GET", f"/sessions/{session_name}/journal/live") as reply:
        pieces = reply.iter_raw()
        assert next(pieces) + next(pieces) == b":\n\n:\n\n"


def test_the_end_of_the_server_ends_it() -> None:
    with ThreadedServer(backends=("dify",), speed=0) as own:
        control = Control(own)
        found: list[Any] = []

        def read() -> None:
            with reading(control, "x") as events:
                found.extend(event.json() for event in events)

        reader = threading.Thread(target=read)
        reader.start()
        until(lambda: own.app.control.server.feeds)
    reader.join(10)
    assert [one["reason"] for one in found] == ["stopped"]
    control.http.close()


def test_sessions_are_told_apart(control: Control, dify: Dify) -> None:
    with reading(control, f"{dify.session}-2") as events:
        dify.get("/info")
        headers = {"X-Emulator-Session": f"{dify.session}-2", "Authorization": f"Bearer {KEYS['chat']}"}
        httpx.get(f"{dify.base}/info", headers=headers)
        assert json.loads(next(events).data)["session"] == f"{dify.session}-2"


@pytest.mark.parametrize("headers", [{"Last-Event-ID": "x"}, {"Last-Event-ID": "-1"}, {"Last-Event-ID": "9" * 40}])
def test_what_is_no_id(control: Control, session_name: str, headers: dict[str, str]) -> None:
    problem = control.refused(400, "GET", f"/sessions/{session_name}/journal/live", headers=headers)
    assert problem["violations"][0]["pointer"] == "/Last-Event-ID"
    assert session_name not in control.names()
