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
from emulator.world.armed import MOST_ARMED, MOST_BYTES, Armed, Arming
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

    def advance(self, seconds: float) -> None:
        """See `Performance.advance`."""


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


# ---- Changing ----


def used(**settings: Any) -> Session:
    session = Sessions(Settings(speed=0, **settings)).get("a")
    filled(session).seed.counters["x"] = 1
    session.stories["dify"].plays["p"] = 1
    return session


def test_members_can_be_changed() -> None:
    session = used()
    session.patch(speed=2, profile="observed", clock="2030-06-01T12:00:00Z", advance="90s")
    assert (session.speed, session.profile, session.seed) == (2.0, "observed", 0)
    assert session.clock.shown() == {"kind": "virtual", "now": "2030-06-01T12:01:30Z"}
    assert session.worlds["dify"].clock is session.clock
    session.patch()
    session.patch(clock="real")
    assert session.clock.kind == "real"
    session.patch(clock="virtual")
    assert session.clock.now() == VIRTUAL_START


def test_a_seed_begins_anew() -> None:
    session = used()
    stream = start(session)
    old, clock = session.worlds["dify"], session.clock
    session.armed.add(Arming(session.armed.new_id(), "dify"))
    heavy(session)
    session.patch(advance="1h", speed=3, profile="observed")
    session.patch(seed=0)
    assert stream.stopped == 1
    assert session.worlds == {} and session.stories == {}
    assert session.clock.now() == VIRTUAL_START and session.clock is not clock, "what ends has its own time"
    assert (len(session.armed), session.journal.opened) == (1, 1)
    assert (session.speed, session.profile) == (3, "observed")
    new = filled(session)
    assert new is not old and new.seed.counters == {} and new.clock is session.clock
    session.patch(seed=-5)
    assert filled(session).seed.number == session.seed == -5


def test_states_are_added_and_dropped() -> None:
    session = used()
    session.patch(states={"dify": {"a": 1, "b": {"c": [None]}}, "ruoyi": {"left": 3}})
    session.patch(states={"dify": {"a": None, "d": False}})
    assert session.worlds["dify"].story.states == {"b": {"c": [None]}, "d": False}
    assert session.world("ruoyi", lambda world: None).story.states == {"left": 3}
    assert session.shown()["backends"]["ruoyi"]["states"] == {"left": 3}


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        (
            {"sed": 1},
            "/sed: expected one of seed, speed, profile, clock, advance, states, got the unknown member 'sed';",
        ),
        ({"seed": "1"}, "/seed: expected a whole number from -9223372036854775808 to 18446744073709551615, got '1'"),
        ({"seed": 1.0}, "/seed: expected a whole number"),
        ({"seed": True}, "/seed: expected a whole number"),
        ({"seed": 2**64}, "/seed: expected a whole number"),
        ({"seed": 10**5000}, "got a very long number"),
        ({"seed": None}, "got null"),
        ({"speed": -1}, "/speed: expected 0, or a number from 0.001 to 1000000, got -1"),
        ({"speed": 0.0001}, "/speed: expected 0, or"),
        ({"speed": 10**400}, "/speed: expected 0, or"),
        ({"speed": float("nan")}, "/speed: expected 0, or"),
        ({"speed": float("inf")}, "/speed: expected 0, or"),
        ({"speed": False}, "got false"),
        ({"speed": "fast"}, "got 'fast'"),
        (
            {"profile": "observd"},
            "expected one of documented, observed, got 'observd'; did you mean 'observed'?",
        ),
        ({"profile": ["observed"]}, "got an array of 1"),
        ({"clock": "tomorrow"}, "/clock: expected virtual, real or an ISO 8601 time"),
        ({"clock": 5}, "/clock: expected virtual, real or an ISO 8601 time from 1971 to 9998 such as"),
        ({"advance": "-90s"}, "/advance: expected a duration such as 90s, 1.5m or 24h, or seconds"),
        ({"advance": -1}, "/advance: expected a duration"),
        ({"advance": 1e300}, "/advance: expected a duration"),
        ({"advance": float("nan")}, "/advance: expected a duration"),
        ({"advance": 10**400}, "/advance: expected a duration"),
        ({"advance": "999999999999999d"}, "/advance: expected a duration"),
        ({"clock": "9998-12-31", "advance": "2d"}, "/advance: expected a duration"),
        ({"states": []}, "/states: expected an object, got an array of 0"),
        ({"states": {"dify": 1}}, "/states/dify: expected an object, got 1"),
        ({"states": {"defy": {}}}, "/states/defy: expected one of dify, ruoyi, got the unknown member 'defy'; did you"),
        ({"states": {"dify": {"a": float("nan")}}}, "/states/dify/a: expected a finite number"),
        ({"states": {"dify": {"a": "\ud800"}}}, "/states/dify/a: expected Unicode text"),
        ({"states": {"dify": {"a" * 300: 1}}}, "a name of at most 200 characters, got 300"),
        ({"states": {"dify": {"a": "x" * 70_000}}}, "/states/dify: expected at most 65536 bytes"),
        ({"states": {"dify": {str(n): 1 for n in range(1_001)}}}, "/states/dify: expected at most 1000 states"),
    ],
)
def test_a_wrong_member_changes_nothing(members: dict[str, Any], detail: str) -> None:
    session = used()
    stream = start(session)
    before, worlds, clock = session.shown(), session.worlds, session.clock
    good = {"seed": 9, "speed": 5, "profile": "observed", "clock": "real", "advance": 1, "states": {"dify": {"a": 1}}}
    with pytest.raises(Misused) as refusal:
        session.patch(["dify", "ruoyi"], **{**good, **members})
    assert detail in refusal.value.detail
    assert (refusal.value.title, refusal.value.status) == ("Bad change", 400)
    assert session.shown() == before and session.worlds is worlds and session.clock is clock
    assert stream.stopped == 0


def test_names_that_are_members_of_python_are_only_names() -> None:
    with pytest.raises(Misused, match="/self: expected one of seed"):
        used().patch(None, self=1, backends=2)


def test_streams_under_way_hear_of_time_and_speed() -> None:
    session = used()
    advanced: list[float] = []
    running: Any = SimpleNamespace(advance=advanced.append)
    filled(session).running["task"] = (None, running)
    session.patch(advance="2.5s")
    session.patch(speed=4)
    assert advanced == [2.5, 0.0]


def test_what_a_session_shows() -> None:
    session = used(seed=7)
    start(session)
    heavy(session)
    session.armed.add(Arming(session.armed.new_id(), "dify", scenario="x"))
    assert session.shown() == {
        "name": "a",
        "seed": 7,
        "speed": 0.0,
        "profile": "documented",
        "clock": {"kind": "virtual", "now": "2026-01-01T00:00:00Z"},
        "calls": 1,
        "armed": 1,
        "journal": {"entries": 1, "dropped": 0, "bytes": session.journal.bytes},
        "bytes": session.journal.bytes + session.armed.bytes,
        "backends": {"dify": {"records": 0, "bytes": 0, "evicted": 0, "states": {}, "running": 1}},
    }
    assert session.armed.bytes > 0


# ---- Looking, and leaving ----


def test_looking_makes_no_session_and_is_no_use() -> None:
    sessions = Sessions(Settings(limits=Limits(sessions=2)))
    assert sessions.peek("never").shown()["calls"] == 0
    assert len(sessions) == 0 and sessions.names() == []
    kept = sessions.get("a")
    sessions.get("b")
    assert sessions.peek("a") is kept and sessions.names() == ["a", "b"]
    sessions.get("c")
    assert sessions.names() == ["b", "c"], "looking at a did not make it younger"
    with pytest.raises(Misused):
        sessions.peek("no/name")


def test_a_session_that_nobody_uses_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(sessions_module, "time", SimpleNamespace(monotonic=lambda: wall.now))
    sessions = Sessions(Settings(limits=Limits(idle_seconds=60)))
    gone: list[str] = []
    old = sessions.get("old")
    old.journal.subscribe(lambda what, entry: None, lambda: gone.append("old"))
    busy = sessions.get("busy")
    stream = start(busy)
    wall.now += 40
    sessions.get("young")
    assert old.idle == 40 and busy.idle == 0
    wall.now += 30
    assert sessions.names() == ["young", "busy"]
    assert sessions.evictions == {"count": 0, "bytes": 0, "idle": 1} and gone == ["old"]
    assert sessions.get("old") is not old
    busy.worlds["dify"].running.clear()
    wall.now += 61
    assert sessions.peek("busy") is not busy, "it is a fresh one by now"
    assert sessions.names() == [] and stream.stopped == 0


def test_one_with_streams_leaves_when_all_have() -> None:
    sessions = Sessions(Settings(limits=Limits(sessions=2)))
    streams = [start(sessions.get(name)) for name in "ab"]
    sessions.get("c")
    assert sessions.names() == ["b", "c"] and [one.stopped for one in streams] == [1, 0]


def test_armings_are_bounded() -> None:
    armed = Armed()
    for _ in range(MOST_ARMED):
        armed.add(Arming(armed.new_id(), "dify"))
    with pytest.raises(Misused) as refusal:
        armed.add(Arming(armed.new_id(), "dify"))
    assert (refusal.value.title, refusal.value.status, len(armed)) == ("Too much armed", 409, MOST_ARMED)
    assert armed.remove("a5") and not armed.remove("a5") and not armed.remove("x")
    armed.add(Arming(armed.new_id(), "dify"))
    armed.clear()
    assert (len(armed), armed.bytes) == (0, 0)
    with pytest.raises(Misused):
        armed.add(Arming(armed.new_id(), "dify", scenario="x" * MOST_BYTES))
    assert armed.add(Arming(armed.new_id(), "dify")).id == "a1004"


def test_armings_are_spent_and_end_by_the_clock() -> None:
    armed = Armed()
    two, ends, stays = (
        armed.add(Arming(armed.new_id(), "dify", times=2, left=2)),
        armed.add(Arming(armed.new_id(), "dify", until=100.0)),
        armed.add(Arming(armed.new_id(), "dify", times=None, left=None)),
    )
    copy = armed.copy()
    armed.expire(99.9)
    assert len(armed) == 3
    armed.expire(100.0)
    for _ in range(2):
        armed.spend(two)
        armed.spend(stays)
    assert list(armed.items) == [stays.id]
    assert list(copy.items) == [two.id, ends.id, stays.id] and copy.items[two.id].left == 2
