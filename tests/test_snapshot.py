"""A session as JSON and back: the same calls give the same bytes, and nothing hostile gets in or changes anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_calls import TALKS, Talker, asked, dify, held

from emulator.app import App, create_app
from emulator.errors import Misused
from emulator.jsontext import compact
from emulator.settings import Limits, Settings
from emulator.world import snapshot
from emulator.world.armed import Arming
from emulator.world.session import Session, Sessions, World
from emulator.world.snapshot import Served


def as_json(session: Session) -> Any:
    """What is left of a snapshot after it has been a text."""
    return json.loads(json.dumps(snapshot.take(session), allow_nan=False))


@pytest.fixture(scope="module")
def app() -> App:
    return create_app(speed=0)


@pytest.fixture(scope="module")
def used(app: App) -> Any:
    """A snapshot of a session in which every backend was used."""
    Talker(app, "used").all("before")
    return as_json(app.sessions.get("used"))


# ---- Taken and put back ----


def test_the_same_calls_give_the_same_bytes(app: App, used: Any) -> None:
    talker = Talker(app, "again")
    session = app.sessions.get("again")
    talker.all("elsewhere")
    snapshot.put(session, used, app.services)
    assert as_json(session) == used
    first = talker.all("word")
    after = as_json(session)
    assert after != used
    snapshot.put(session, used, app.services)
    second = talker.all("word")
    assert first == second
    assert all(told.status < 500 for told in first) and len(first) > 50
    assert as_json(session) == after


def test_another_server_goes_on_as_the_first_would(app: App, used: Any) -> None:
    here = app.sessions.get("here")
    snapshot.put(here, used, app.services)
    other = create_app(seed=99, speed=1, profile="observed", clock="1999-12-31")
    snapshot.put(other.sessions.get("there"), snapshot.load(compact(used), Limits()), other.services)
    assert Talker(other, "there").all("word") == Talker(app, "here").all("word")


@pytest.mark.parametrize("name", TALKS)
def test_a_backend_that_was_not_used_is_filled_as_usual(app: App, name: str) -> None:
    session = app.sessions.get(f"partly-{name}")
    talker = Talker(app, session.name)
    expected = [told for _, told in held(TALKS[name]("word"), Talker(app, f"alone-{name}"))]
    app.sessions.get(f"alone-{name}")
    snapshot.put(session, as_json(app.sessions.peek("never-used")), app.services)
    assert session.worlds == {}
    assert [told for _, told in held(TALKS[name]("word"), talker)] == expected


def test_records_keep_their_age(app: App, used: Any) -> None:
    session = app.sessions.get("aged")
    snapshot.put(session, used, app.services)
    origin = app.sessions.get("used")
    for name, world in session.worlds.items():
        wanted = origin.worlds[name].store
        # repr tells 1 from 1.0, which have other bytes.
        assert [repr(one) for one in world.store.records()] == [repr(one) for one in wanted.records()]
        assert (world.store.bytes, len(world.store)) == (wanted.bytes, len(wanted))
        assert world.store is not wanted and world.clock is session.clock


def test_states_counts_and_armings_are_part_of_it(app: App) -> None:
    session = app.sessions.get("told")
    session.patch(states={"dify": {"left": 2, "note": {"a": [1, None]}}}, seed=5, profile="observed", speed=3)
    session.patch(states={"dify": {"left": 2}}, clock="2030-01-01", advance="90s")
    list(held(dify("word"), Talker(app, "told")))
    session.armed.add(
        Arming(session.armed.new_id(), "dify", "sendChatMessage", "long-answer", times=3, left=2, until=9e9)
    )
    session.armed.new_id()
    session.armed.add(Arming(session.armed.new_id(), "ruoyi", fault={"reset": 3}, times=None, left=None))
    taken = as_json(session)
    given_to: list[dict[str, Any]] = []

    def ready(wanted: dict[str, Any]) -> Arming:
        given_to.append(wanted)
        return Arming("new", **wanted, left=wanted["times"], ready=("made", wanted["backend"]))

    other = app.sessions.get("told-other")
    snapshot.put(other, taken, app.services, ready)
    assert as_json(other) == taken
    assert given_to[0] == {
        "backend": "dify",
        "operation": "sendChatMessage",
        "scenario": "long-answer",
        "prefer": None,
        "fault": None,
        "when": None,
        "times": 3,
    }
    first, second = other.armed.items.values()
    assert (first.id, first.left, first.until, first.ready) == ("a1", 2, 9e9, ("made", "dify"))
    assert (second.id, second.left, second.fault) == ("a3", None, {"reset": 3})
    assert other.armed.new_id() == "a4"
    assert (other.seed, other.speed, other.profile) == (5, 3, "observed")
    assert other.stories["dify"].states == {"left": 2, "note": {"a": [1, None]}}
    assert other.stories["dify"].calls["sendChatMessage"] == 5
    assert other.worlds["dify"].story is other.stories["dify"]


def test_armings_need_somebody_who_makes_them_ready(app: App) -> None:
    session = app.sessions.get("unready")
    session.armed.add(Arming(session.armed.new_id(), "dify", scenario="x"))

    def ready(wanted: dict[str, Any]) -> Arming:
        raise Misused("Unknown scenario", "There is no scenario 'x'.", ["y"])

    for make, text in ((None, "can be made ready here"), (ready, "/armed/items/0: There is no scenario 'x'.")):
        with pytest.raises(Misused) as refusal:
            snapshot.put(session, as_json(session), app.services, make)
        assert refusal.value.title == "Broken snapshot" and text in refusal.value.detail
    assert len(session.armed) == 1


def test_streams_under_way_end_in_what_was(app: App, used: Any) -> None:
    session = app.sessions.get("under-way")
    stopped = []
    running: Any = SimpleNamespace(stop=lambda: stopped.append(1))
    world = session.world("dify", app.services["dify"].backend.populate)
    clock = session.clock
    world.running["task"] = (None, running)
    with pytest.raises(Misused):
        snapshot.put(session, {**used, "version": 2}, app.services)
    assert stopped == [] and session.worlds["dify"] is world
    snapshot.put(session, used, app.services)
    assert stopped == [1] and session.worlds["dify"] is not world
    assert session.clock is not clock, "what ends does not move the clock of what begins"
    assert session.shown()["backends"]["dify"]["running"] == 0


def test_the_journal_stays(app: App, used: Any) -> None:
    session = app.sessions.get("journaled")
    Talker(app, "journaled")(asked("dify", "GET", "/v1/info"))
    snapshot.put(session, used, app.services)
    assert [entry.operation for entry in session.journal.entries] == ["getChatAppInfo"]


def test_a_fork_is_a_world_of_its_own(app: App, used: Any) -> None:
    origin = app.sessions.get("origin")
    snapshot.put(origin, used, app.services)
    origin.armed.add(Arming(origin.armed.new_id(), "dify", scenario="x", times=2, left=2))
    origin.patch(states={"dify": {"a": 1}})
    taken = as_json(origin)
    fork = snapshot.fork(app.sessions, "origin", "copy", app.services)
    assert fork is app.sessions.get("copy") and as_json(fork) == taken
    assert (fork.journal.opened, fork.shown()["calls"]) == (0, 0)
    fork.armed.clear()
    first = Talker(app, "copy").all("word")
    fork.patch(states={"dify": {"a": 2}}, advance=1)
    fork.armed.new_id()
    assert as_json(origin) == taken
    origin.armed.clear()
    assert Talker(app, "origin").all("word") == first


def test_a_fork_takes_the_place_of_what_was_there(app: App) -> None:
    old = app.sessions.get("place")
    fork = snapshot.fork(app.sessions, "never-there-at-all", "place", app.services)
    assert app.sessions.get("place") is fork is not old
    assert "never-there-at-all" not in app.sessions.names()
    for source, target in (("a", "a"), ("a", "no/name"), ("no/name", "a")):
        with pytest.raises(Misused):
            snapshot.fork(app.sessions, source, target, app.services)


# ---- Records of every kind ----


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a record."""

    size: int
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Thing:
    """A record with everything that records have."""

    id: int | str
    owner: str
    at: float
    data: bytes
    extra: Mapping[str, Any]
    word: Literal["x", "y"] = "x"
    piece: Piece | None = None
    pieces: tuple[Piece, ...] = ()
    loose: tuple[Mapping[str, Any], ...] = ()
    value: Any = None


def declare(world: World) -> object:
    """As a backend does it."""
    things = world.store.collection("things", Thing, owner=lambda one: one.owner)
    world.store.collection("others", Thing)
    return things


SERVED: Mapping[str, Served] = {"own": SimpleNamespace(backend=SimpleNamespace(declare=declare))}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MOMENTS = st.integers(-(10**9), 10**10) | st.floats(-1e9, 1e10)
PIECES = st.builds(Piece, st.integers(), MOMENTS)
THINGS = st.builds(
    Thing,
    id=st.integers(0, 9) | st.sampled_from("abcdef"),
    owner=st.sampled_from("xyz"),
    at=MOMENTS,
    data=st.binary(max_size=20),
    extra=st.dictionaries(TEXT, JSON, max_size=3),
    word=st.sampled_from(["x", "y"]),
    piece=st.none() | PIECES,
    pieces=st.lists(PIECES, max_size=3).map(tuple),
    loose=st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2).map(tuple),
    value=JSON,
)


def own_session(**limits: int) -> Session:
    return Sessions(Settings(speed=0, limits=Limits(**limits))).get("own")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["things", "others"]), THINGS), max_size=8), st.dictionaries(TEXT, JSON))
def test_whatever_is_kept_comes_back(puts: list[tuple[str, Thing]], states: dict[str, Any]) -> None:
    session = own_session(records=5)
    world = session.world("own", lambda world: setattr(world, "data", declare(world)))
    for name, thing in puts:
        world.store.collections[name].put(thing)
    session.stories["own"].states |= states
    text = compact(snapshot.take(session))
    other = own_session(records=5)
    snapshot.put(other, snapshot.load(text, Limits()), SERVED)
    assert compact(snapshot.take(other)) == text
    store = other.worlds["own"].store
    assert [repr(one) for one in store.records()] == [repr(one) for one in world.store.records()]
    assert store.evicted == world.store.evicted
    for owner in "xyz":
        assert store.collections["things"].where("owner", owner) == world.store.collections["things"].where(
            "owner", owner
        )


def test_what_leaves_next_is_the_same() -> None:
    session = own_session(records=3)
    world = session.world("own", declare_only)
    for number, name in enumerate(("things", "others", "things")):
        world.store.collections[name].put(thing(number))
    world.store.collections["things"].put(thing(0, owner="new"))
    other = own_session(records=3)
    snapshot.put(other, as_json(session), SERVED)
    for one in (session, other):
        one.worlds["own"].store.collections["others"].put(thing(9))
    left = [[record.id for _, record in one.worlds["own"].store.records()] for one in (session, other)]
    assert left == [[1, 2, 9]] * 2


def declare_only(world: World) -> None:
    declare(world)


def thing(id: Any, **members: Any) -> Thing:
    return Thing(**{"id": id, "owner": "x", "at": 0.0, "data": b"", "extra": {}, **members})


# ---- Hostile ones ----


def whole(*records: Thing, **members: Any) -> Any:
    """A snapshot with these records."""
    session = own_session()
    session.world("own", declare_only)
    for record in records:
        session.worlds["own"].store.collections["things"].put(record)
    return {**as_json(session), **members}


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def changed(path: str, value: Any) -> Any:
    """A good snapshot of one record with another value somewhere; `...` takes the member out."""
    data = whole(thing(1, piece=Piece(1), pieces=(Piece(2), Piece(3))))
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")[1:]]
    holder = data
    for step in way:
        holder = holder[step]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return data


RECORD = "/backends/own/records/0"
HOSTILE: dict[str, tuple[Any, str]] = {
    "no object": ([], "the whole: expected an object, got an array of 0"),
    "null": (None, "the whole: expected an object, got null"),
    "empty": ({}, "the whole: expected a member 'version', got none"),
    "another version": (changed("/version", 2), "/version: expected the version 1, got 2"),
    "another kind of version": (changed("/version", True), "/version: expected a whole number from 1 to 1, got true"),
    "one more member": (changed("/sed", 1), "/sed: expected one of version, seed"),
    "no seed": (changed("/seed", ...), "the whole: expected a member 'seed', got none"),
    "a long seed": (changed("/seed", 2**64), "/seed: expected a whole number from -9223372036854775808 to"),
    "a slow speed": (changed("/speed", -1), "/speed: expected 0, or a number from 0.001 to 1000000, got -1"),
    "a wrong profile": (changed("/profile", "observd"), "got 'observd'; did you mean 'observed'?"),
    "a wrong clock": (changed("/clock/kind", "sun"), "/clock/kind: expected one of virtual, real, got 'sun'"),
    "a time that nobody can write": (changed("/clock/epoch", 1e300), "/clock/epoch: expected a number from"),
    "not a number": (changed("/clock/ahead", float("nan")), "/clock/ahead: expected a finite number, got nan"),
    "without end": (changed("/clock/ahead", float("inf")), "/clock/ahead: expected a finite number, got inf"),
    "an unknown backend": (changed("/backends/owm", {}), "the unknown member 'owm'; did you mean 'own'?"),
    "an unknown collection": (changed(f"{RECORD}/collection", "thing"), "did you mean 'things'?"),
    "no records": (changed("/backends/own/records", {}), "/backends/own/records: expected an array, got an object"),
    "no record": (changed(f"{RECORD}/record", 3), f"{RECORD}/record: expected object, got int"),
    "a missing member": (
        changed(f"{RECORD}/record/value", ...),
        f"{RECORD}/record: expected a member 'value', got none",
    ),
    "a needed member": (
        changed(f"{RECORD}/record/owner", ...),
        f"{RECORD}/record: object missing required field owner",
    ),
    "one too many": (changed(f"{RECORD}/record/ownr", 1), f"{RECORD}/record/ownr: expected one of id, owner"),
    "a wrong type": (changed(f"{RECORD}/record/owner", 5), f"{RECORD}/record/owner: expected str, got int"),
    "a wrong word": (changed(f"{RECORD}/record/word", "z"), f"{RECORD}/record/word: invalid enum value 'z'"),
    "no base64": (changed(f"{RECORD}/record/data", "*"), f"{RECORD}/record/data: invalid base64 encoded string"),
    "a wrong type inside": (
        changed(f"{RECORD}/record/pieces/1/size", "2"),
        f"{RECORD}/record/pieces/1/size: expected int, got str",
    ),
    "one too many inside": (
        changed(f"{RECORD}/record/pieces/1/sise", 2),
        f"{RECORD}/record/pieces/1/sise: expected one of size, at, got the unknown member 'sise'; did you mean 'size'?",
    ),
    "a missing one inside": (
        changed(f"{RECORD}/record/piece/at", ...),
        f"{RECORD}/record/piece: expected a member 'at', got none",
    ),
    "a moment that nobody can write": (
        changed(f"{RECORD}/record/at", 1e15),
        f"{RECORD}/record/at: expected a number from",
    ),
    "the same before dates": (changed(f"{RECORD}/record/piece/at", -1e15), "/record/piece/at: expected a number from"),
    "half a character": (
        changed(f"{RECORD}/record/value", {"a": ["\ud800"]}),
        f"{RECORD}/record/value/a/0: expected Unicode text, got a lone surrogate",
    ),
    "half a character in a name": (changed(f"{RECORD}/record/value", {"\udfff": 1}), "got a lone surrogate"),
    "a number without end inside": (changed(f"{RECORD}/record/value", [1e999]), "/value/0: expected a finite number"),
    "a very long number": (changed(f"{RECORD}/record/value", 10**500), "expected a number of at most 400 digits"),
    "too deep": (changed(f"{RECORD}/record/value", nested(200)), "expected nothing nested deeper than 110, got more"),
    "far too deep": (changed(f"{RECORD}/record/value", nested(100_000)), "nothing nested deeper"),
    "no JSON at all": (changed(f"{RECORD}/record/value", {1, 2}), "expected a JSON value, got set"),
    "names that are numbers": (changed(f"{RECORD}/record/value", {1: 2}), "expected names that are texts, got 1"),
    "a negative count": (changed("/backends/own/counters", {"a": -1}), "/backends/own/counters/a: expected a whole"),
    "a fraction of a count": (changed("/backends/own/evicted", 1.5), "/backends/own/evicted: expected a whole number"),
    "a long name": (
        changed("/backends/own/story/calls", {"a" * 3_000: 1}),
        "expected a name of at most 2000 characters",
    ),
    "many states": (
        changed("/backends/own/story/states", {str(number): 0 for number in range(2_000)}),
        "/backends/own/story/states: expected at most 1000 states, got 2000",
    ),
    "large states": (changed("/backends/own/story/states", {"a": "x" * 100_000}), "expected at most 65536 bytes, got"),
    "no armings": (changed("/armed/items", None), "/armed/items: expected an array, got null"),
    "an arming without anything": (changed("/armed/items", [{}]), "/armed/items/0: expected a member 'id', got none"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_is_refused_and_changes_nothing(name: str) -> None:
    data, text = HOSTILE[name]
    session = own_session()
    session.world("own", declare_only).store.collections["things"].put(thing("kept"))
    worlds, clock, before = session.worlds, session.clock, as_json(session)
    with pytest.raises(Misused) as refusal:
        snapshot.put(session, data, SERVED)
    assert text in refusal.value.detail
    assert (refusal.value.title, refusal.value.status) == ("Broken snapshot", 400)
    assert len(refusal.value.detail) < 1_000
    assert session.worlds is worlds and session.clock is clock and as_json(session) == before


def test_an_id_stands_once_in_its_collection() -> None:
    data = whole(thing(1), thing(2))
    records = data["backends"]["own"]["records"]
    records.append({"collection": "others", "record": records[0]["record"]})
    snapshot.put(own_session(), data, SERVED)
    records.append(deepcopy(records[1]))
    with pytest.raises(Misused, match=r"^/backends/own/records/3/record/id: expected an id that stands once"):
        snapshot.put(own_session(), data, SERVED)


def arming(**members: Any) -> dict[str, Any]:
    return {**dict.fromkeys(snapshot.ARMING), "id": "a1", "backend": "own", "times": 1, "left": 1, **members}


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([arming(), arming()], "/armed/items/1/id: expected an id that stands once, got 'a1' again"),
        ([arming(id="x")], "/armed/items/0/id: expected an id such as a1, got 'x'"),
        ([arming(id="a3")], "/armed/items/0/id: expected one of the 2 ids that were given, got 'a3'"),
        ([arming(backend="dify")], "/armed/items/0/backend: expected one of own, got 'dify'"),
        ([arming(left=2)], "/armed/items/0/left: expected at most the 1 times, got 2"),
        ([arming(left=None)], "/armed/items/0/left: expected at most the 1 times, got null"),
        ([arming(times=0)], "/armed/items/0/times: expected a whole number"),
        ([arming(until="x")], "/armed/items/0/until: expected a number"),
        ([arming(operation=1)], "/armed/items/0/operation: expected a text, got 1"),
        ([arming()] * 1_001, "/armed/items: expected at most 1000 items, got 1001"),
    ],
)
def test_armings_that_are_wrong(items: list[Any], text: str) -> None:
    session = own_session()
    with pytest.raises(Misused) as refusal:
        snapshot.put(session, whole(armed={"given": 2, "items": items}), SERVED, ready_as_given)
    assert text in refusal.value.detail and len(session.armed) == 0


def ready_as_given(wanted: dict[str, Any]) -> Arming:
    return Arming("", **wanted, left=1)


def test_records_are_bounded() -> None:
    data = whole(*(thing(number, data=bytes(400)) for number in range(5)))
    for limits, text in (
        ({"records": 4}, "/backends/own/records: expected at most 4 items, got 5"),
        ({"bytes": 2_000}, "/backends/own/records/3: expected records of at most 2000 bytes together, got more"),
    ):
        session = own_session(**limits)
        with pytest.raises(Misused) as refusal:
            snapshot.put(session, data, SERVED)
        assert text in refusal.value.detail and session.worlds == {}


@pytest.mark.parametrize(
    ("text", "detail", "status"),
    [
        (b"", "expected JSON, got", 400),
        (b"{", "expected JSON, got", 400),
        (b"\xff\xfe\x00", "expected JSON, got", 400),
        (b"[" * 100_000, "expected JSON, got deep nesting", 400),
        (b"[NaN]", "expected JSON, got NaN, which is no JSON value", 400),
        (b"[" + b"9" * 5_000 + b"]", "expected JSON, got", 400),
        (b" " * 300_000 + b"1", "expected at most 200000 bytes, got 300001", 413),
    ],
)
def test_texts_that_are_none(text: bytes, detail: str, status: int) -> None:
    with pytest.raises(Misused) as refusal:
        snapshot.load(text, Limits(snapshot_bytes=200_000))
    assert refusal.value.detail.startswith(detail) and refusal.value.status == status


ANYTHING: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 2**70, -1e300, 10**399, "", "x", "\x00", [], {}, [[]], {"a": None}, 253402300799]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.randoms(use_true_random=False), ANYTHING | st.just(...)), min_size=1, max_size=3))
def test_whatever_is_changed_in_one(app: App, used: Any, changes: list[tuple[Any, Any]]) -> None:
    data = json.loads(json.dumps(used))
    for rng, value in changes:
        change_somewhere(rng, data, value)
    session = app.sessions.get("changed")
    before = as_json(session)
    try:
        snapshot.put(session, data, app.services)
    except Misused as refusal:
        told: Misused | None = refusal
    else:
        told = None
    if told is not None:
        assert told.title == "Broken snapshot" and told.detail.startswith(("/", "the whole"))
        assert as_json(session) == before
        return
    talker = Talker(app, "changed")
    for path in ("/v1/conversations?user=u", "/v1/apps/annotations", "/v1/app/feedbacks"):
        name, _, query = path.partition("?")
        call = asked("dify", "GET", name, **dict([query.split("=")] if query else []))
        assert talker(call).status < 500


def change_somewhere(rng: Any, data: Any, value: Any) -> None:
    """Another value at some place; `...` takes what is there out."""
    holder: Any = None
    key: Any = None
    while isinstance(data, dict | list) and data and (holder is None or rng.random() < 0.9):
        holder = data
        key = rng.choice(list(data)) if isinstance(data, dict) else rng.randrange(len(data))
        data = holder[key]
    if value is ...:
        del holder[key]
    else:
        holder[key] = value
