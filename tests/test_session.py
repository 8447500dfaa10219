"""Sessions are private worlds with names, a clock each, and bounds on how many there are."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.call import Call
from emulator.errors import Misused
from emulator.settings import Limits, Settings
from emulator.world import clock as clocks
from emulator.world import session as sessions_module
from emulator.world.clock import VIRTUAL_START, Clock, iso
from emulator.world.session import Session, Sessions, World, check_name


@pytest.mark.parametrize("name", ["a", "default", "A.b_c-9", "0", "x" * 64, "...", "-"])
def test_names_that_are_taken(name: str) -> None:
    check_name(name)
    assert Sessions(Settings()).get(name).name == name


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "é", "名", "x" * 65, "a\n", "a\x00", "%20", "a:b"])
def test_names_that_are_refused(name: str) -> None:
    sessions = Sessions(Settings())
    for use in (check_name, sessions.get, sessions.reset):
        with pytest.raises(Misused) as refusal:
            use(name)
        assert (refusal.value.title, refusal.value.status) == ("Bad session name", 400)
    assert len(sessions) == 0


def test_first_use_makes_a_session() -> None:
    sessions = Sessions(Settings(seed=7, speed=3, profile="observed"))
    one = sessions.get("a")
    assert sessions.get("a") is one
    assert sessions.get("b") is not one
    assert (one.seed, one.speed, one.profile) == (7, 3, "observed")
    assert [session.name for session in sessions] == ["a", "b"] and len(sessions) == 2


def filled(session: Session, size: int = 0) -> World:
    def populate(world: World) -> None:
        world.data = [size]

    return session.world("dify", populate)


def test_a_world_is_filled_once() -> None:
    session = Sessions(Settings(seed=5)).get("a")
    filled_with: list[World] = []
    world = session.world("dify", filled_with.append)
    assert session.world("dify", filled_with.append) is world
    assert filled_with == [world]
    assert (world.seed.number, world.seed.realm, world.clock) == (5, "dify", session.clock)
    other = session.world("ruoyi", filled_with.append)
    assert other is not world and other.seed.realm == "ruoyi"


def test_a_world_that_cannot_be_filled_is_not_kept() -> None:
    session = Sessions(Settings()).get("a")

    def fail(world: World) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        session.world("dify", fail)
    assert filled(session).data == [0]


def test_a_reset_session_is_made_anew() -> None:
    sessions = Sessions(Settings())
    old = sessions.get("a")
    filled(old)
    old.profile = "observed"
    sessions.reset("a")
    sessions.reset("a")
    sessions.reset("never-there")
    new = sessions.get("a")
    assert new is not old and new.profile == "documented" and len(sessions) == 1
    assert new.world("dify", lambda world: None).data is None


class Running:
    """A stream under way."""

    def __init__(self) -> None:
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1


def start(session: Session) -> Running:
    running: Any = Running()
    filled(session).running["task"] = (None, running)
    found: Running = running
    return found


def test_streams_of_a_reset_session_end() -> None:
    sessions = Sessions(Settings())
    mine, other = start(sessions.get("a")), start(sessions.get("b"))
    sessions.reset("a")
    assert (mine.stopped, other.stopped) == (1, 0)


def test_the_session_unused_for_longest_leaves() -> None:
    sessions = Sessions(Settings(limits=Limits(sessions=3)))
    streams = {name: start(sessions.get(name)) for name in "abc"}
    first = sessions.get("a")
    sessions.get("d")
    assert [session.name for session in sessions] == ["c", "a", "d"]
    assert (len(sessions), sessions.evicted) == (3, 1)
    assert {name: one.stopped for name, one in streams.items()} == {"a": 0, "b": 1, "c": 0}
    assert sessions.get("a") is first
    sessions.get("b")
    sessions.get("e")
    assert [session.name for session in sessions] == ["c", "a", "e"], "those with streams under way stay longer"
    assert sessions.evicted == 3
    assert sessions.evictions == {"count": 3, "bytes": 0, "idle": 0}


def heavy(session: Session) -> None:
    """One entry of a thousand bytes and a body of ten thousand."""
    entry = session.journal.open(0, session.name, "dify", Call("POST", "/", body=b"x" * 10_000))
    session.journal.close(entry)


def test_sessions_that_keep_too_much_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "WEIGH_EVERY", 1)
    sessions = Sessions(Settings(limits=Limits(total_bytes=25_000)))
    for name in "abc":
        heavy(sessions.get(name))
    assert sum(session.bytes for session in sessions) > 25_000
    sessions.get("c")
    assert [session.name for session in sessions] == ["b", "c"]
    assert sessions.evicted == 1


def test_the_session_in_use_is_the_last_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "WEIGH_EVERY", 1)
    sessions = Sessions(Settings(limits=Limits(total_bytes=100)))
    one = sessions.get("a")
    heavy(one)
    sessions.get("b")
    one = sessions.get("a")
    heavy(one)
    assert sessions.get("a") is one, "what a caller is using does not vanish under its hands"


# ---- Clocks ----


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (Settings(), "real"),
        (Settings(speed=0), "virtual"),
        (Settings(speed=0.5), "real"),
        (Settings(speed=0, clock="real"), "real"),
        (Settings(clock="virtual"), "virtual"),
    ],
)
def test_the_clock_of_a_session(settings: Settings, kind: str) -> None:
    assert Sessions(settings).get("a").clock.kind == settings.clock_kind() == kind


def test_a_virtual_clock_moves_by_calls_and_scripts_only() -> None:
    clock = Clock("virtual")
    assert clock.now() == clock.epoch == VIRTUAL_START == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    clock.tick()
    assert clock.now() == VIRTUAL_START + 1
    clock.pass_(2.5)
    assert clock.now() == VIRTUAL_START + 3.5
    assert clock.epoch == VIRTUAL_START
    assert Clock("virtual", 100.0).now() == 100.0


def test_a_real_clock_is_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time()
    assert before <= Clock("real").now() <= time.time()
    wall = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(clocks, "time", SimpleNamespace(time=lambda: wall.now))
    clock = Clock("real")
    clock.tick()
    clock.pass_(60)
    assert (clock.epoch, clock.now()) == (1_000.0, 1_000.0), "it passes by itself"
    wall.now = 1_001.5
    assert (clock.epoch, clock.now()) == (1_000.0, 1_001.5)


@pytest.mark.parametrize(
    ("seconds", "zone", "text"),
    [
        (0, "Z", "1970-01-01T00:00:00Z"),
        (VIRTUAL_START + 0.999, "", "2026-01-01T00:00:00"),
        (951_782_400, "Z", "2000-02-29T00:00:00Z"),
    ],
)
def test_iso(seconds: float, zone: str, text: str) -> None:
    assert iso(seconds, zone) == text
