"""One session as JSON, and back: seed, speed, profile, clock, armings, and each backend's records, counters and
scenario states. Restoring and repeating the same calls gives the same bytes.

Owns the format (`version: 1`) and its checks. A snapshot is built completely before the session takes it, so one that
is refused changes nothing. The journal and streams under way are no part of it. Records stand in the order of their age,
which is the order of every list and the order in which they leave when the store is full.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, Protocol, cast, get_args, get_type_hints

from emulator.errors import Misused
from emulator.settings import CLOCKS, ClockKind, Limits, Profile
from emulator.times import EARLIEST, LATEST
from emulator.world import armed as armings
from emulator.world.armed import Armed, Arming
from emulator.world.clock import Clock, restored
from emulator.world.given import Given, escaped
from emulator.world.patching import read_profile, read_seed, read_speed, read_states
from emulator.world.seed import Seed
from emulator.world.session import Session, Sessions, Story, World, check_name
from emulator.world.store import Collection, Store

VERSION = 1
TITLE = "Broken snapshot"

MEMBERS = ("version", "seed", "speed", "profile", "clock", "armed", "backends")
CLOCK = ("kind", "epoch", "ahead")
ARMED = ("given", "items")
GIVEN = ("backend", "operation", "scenario", "prefer", "fault", "when", "times")
ARMING = ("id", *GIVEN, "left", "until")
BACKEND = ("records", "evicted", "counters", "story")
RECORD = ("collection", "record")
STORY = ("states", "calls", "plays")

MOST_COUNT = 2**63 - 1
MOST_NAMES = 100_000
"""Counters, calls or plays of one backend."""
MOST_KEY = 2_000
FIRST_MOMENT, LAST_MOMENT = -62_135_596_800.0, 253_402_300_799.0
"""What can be written as a date: the years 1 to 9999. No number of a record may be beyond, whatever it means."""

Ready = Callable[[dict[str, Any]], Arming]
"""Makes an arming of what was given for it (as `POST armed` takes it). Raises Misused."""


class Declares(Protocol):
    """Something that declares the collections of a world."""

    @property
    def declare(self) -> Callable[[World], object]:
        """Declares them."""
        ...


class Served(Protocol):
    """A backend being served."""

    @property
    def backend(self) -> Declares:
        """Its behaviour."""
        ...


def take(session: Session) -> dict[str, Any]:
    """The session as JSON."""
    return {
        "version": VERSION,
        "seed": session.seed,
        "speed": session.speed,
        "profile": session.profile,
        "clock": {"kind": session.clock.kind, "epoch": session.clock.epoch, "ahead": min(session.clock.ahead, LATEST)},
        "armed": {
            "given": session.armed.given,
            "items": [{name: getattr(arming, name) for name in ARMING} for arming in session.armed.items.values()],
        },
        "backends": {
            name: _taken(session.worlds.get(name), session.stories.get(name))
            for name in sorted(session.worlds.keys() | session.stories.keys())
        },
    }


def _taken(world: World | None, story: Story | None) -> dict[str, Any]:
    from msgspec import to_builtins

    story = story or Story()
    return {
        # None: it was not used so far, and will be filled when it is.
        "records": None
        if world is None
        else [{"collection": name, "record": to_builtins(record)} for name, record in world.store.records()],
        "evicted": 0 if world is None else world.store.evicted,
        "counters": {} if world is None else dict(world.seed.counters),
        "story": {"states": dict(story.states), "calls": dict(story.calls), "plays": dict(story.plays)},
    }


def load(text: bytes, limits: Limits) -> Any:
    """The JSON of a snapshot's text. Raises Misused, with status 413 for one beyond `limits.snapshot_bytes`."""
    if len(text) > limits.snapshot_bytes:
        what = f"expected at most {limits.snapshot_bytes} bytes, got {len(text)}"
        raise Misused(TITLE, what, status=413)
    try:
        return json.loads(text, parse_constant=_constant)
    except RecursionError:
        raise Misused(TITLE, "expected JSON, got deep nesting") from None
    except ValueError as error:
        raise Misused(TITLE, f"expected JSON, got {str(error)[:200]}") from None


def _constant(word: str) -> Any:
    raise ValueError(f"{word}, which is no JSON value")


def put(session: Session, data: Any, services: Mapping[str, Served], ready: Ready | None = None) -> None:
    """Give the session the state that `data` (JSON, as `take` gives it) has. Streams under way end first; the journal
    stays. `services` are the backends being served, by name; `ready` makes armings ready again, and without it a
    snapshot may have none. Raises Misused with a JSON pointer, and then nothing has changed."""
    whole = Given(TITLE, data)
    if isinstance(data, dict) and "version" in data and data["version"] != VERSION:
        whole.at("version").refuse(f"the version {VERSION}")
    given = whole.members(MEMBERS)
    given["version"].whole(VERSION, VERSION)
    whole.json()
    seed, speed = read_seed(given["seed"]), read_speed(given["speed"])
    profile = cast(Profile, read_profile(given["profile"]))
    clock = _clock(given["clock"])
    armed = _armed(given["armed"], ready, services)
    worlds: dict[str, World] = {}
    stories: dict[str, Story] = {}
    for name, one in given["backends"].members(sorted(services), optional=True).items():
        members = one.members(BACKEND)
        stories[name] = _story(members["story"])
        world = World(Store(session.settings.limits), Seed(seed, name), clock, story=stories[name])
        if _filled(world, members, services[name], session.settings.limits):
            worlds[name] = world
    session.become(seed, speed, profile, clock, armed, worlds, stories)


def fork(sessions: Sessions, source: str, target: str, services: Mapping[str, Served]) -> Session:
    """A copy of one session under another name, in place of what that name had. What is done in one is not seen in the
    other. The copy has an empty journal and no streams under way. Raises Misused for a bad name, or the same one."""
    check_name(target)
    if source == target:
        raise Misused("Bad fork", f"/to: expected another name than {source!r}, got the same")
    origin = sessions.peek(source)
    copy = sessions.fresh(target)
    clock = origin.clock.copy()
    stories = {
        name: Story(dict(story.states), dict(story.calls), dict(story.plays)) for name, story in origin.stories.items()
    }
    worlds = {}
    for name, world in origin.worlds.items():
        seed = Seed(origin.seed, name, dict(world.seed.counters))
        worlds[name] = World(world.store.copy(), seed, clock, story=stories.setdefault(name, Story()))
        if name in services:
            services[name].backend.declare(worlds[name])
    copy.become(origin.seed, origin.speed, origin.profile, clock, origin.armed.copy(), worlds, stories)
    sessions.put(copy)
    return copy


def _clock(given: Given) -> Clock:
    members = given.members(CLOCK)
    kind = cast(ClockKind, members["kind"].one_of(CLOCKS))
    return restored(kind, members["epoch"].number(EARLIEST, LATEST), members["ahead"].number(0, LATEST))


def _armed(given: Given, ready: Ready | None, services: Mapping[str, Served]) -> Armed:
    members = given.members(ARMED)
    count = members["given"].whole(0, MOST_COUNT)
    found: dict[str, Arming] = {}
    for one in members["items"].list(armings.MOST_ARMED):
        arming = _arming(one, ready, services)
        if arming.id in found:
            one.at("id").refuse("an id that stands once", f"{arming.id!r} again")
        if int(arming.id[1:]) > count:
            one.at("id").refuse(f"one of the {count} ids that were given")
        found[arming.id] = arming
    return armings.restored(count, found.values())


def _arming(given: Given, ready: Ready | None, services: Mapping[str, Served]) -> Arming:
    members = given.members(ARMING)
    id = members["id"].text()
    if not re.fullmatch(r"a[1-9][0-9]{0,17}", id):
        members["id"].refuse("an id such as a1")
    members["backend"].one_of(sorted(services))
    for name in ("operation", "prefer"):
        if members[name].value is not None:
            members[name].text()
    times, left = (None if members[name].value is None else members[name].whole(1, MOST_COUNT) for name in TIMES)
    if (times is None) != (left is None) or (times is not None and left is not None and left > times):
        members["left"].refuse(f"at most the {times} times")
    if ready is None:
        given.refuse("no arming, since none can be made ready here", "one")
    try:
        arming = ready({name: given.value[name] for name in GIVEN})
    except Misused as error:
        raise Misused(TITLE, f"{given.pointer}: {error.detail}", error.available) from error
    until = members["until"].value
    return replace(
        arming, id=id, times=times, left=left, until=None if until is None else members["until"].number(0, LAST_MOMENT)
    )


TIMES = ("times", "left")


def _story(given: Given) -> Story:
    members = given.members(STORY)
    return Story(read_states(members["states"]), _counts(members["calls"]), _counts(members["plays"]))


def _counts(given: Given) -> dict[str, int]:
    items = given.items()
    if len(items) > MOST_NAMES:
        given.refuse(f"at most {MOST_NAMES} names", str(len(items)))
    for name, one in items.items():
        if len(name) > MOST_KEY:
            one.refuse(f"a name of at most {MOST_KEY} characters", str(len(name)))
    return {name: one.whole(0, MOST_COUNT) for name, one in items.items()}


# ---- Records ----


def _filled(world: World, members: Mapping[str, Given], service: Served, limits: Limits) -> bool:
    """Fill a world with what a snapshot has; False when the backend was not used when it was taken."""
    evicted = members["evicted"].whole(0, MOST_COUNT)
    world.seed.counters.update(_counts(members["counters"]))
    if members["records"].value is None:
        return False
    records = members["records"].list(limits.records)
    service.backend.declare(world)
    collections = world.store.collections
    for given in records:
        parts = given.members(RECORD)
        collection = collections[parts["collection"].one_of(tuple(collections))]
        record = _record(parts["record"], collection)
        if collection.get(record.id) is not None:
            parts["record"].at("id").refuse("an id that stands once in its collection", f"{record.id!r} again")
        try:
            collection.put(record)
        except Exception as error:  # whatever a backend's own index makes of a value
            parts["record"].refuse("a record that can be kept", f"{type(error).__name__}: {error}")
        if world.store.evicted:
            given.refuse(f"records of at most {limits.bytes} bytes together", "more")
    world.store.evicted = evicted
    return True


def _record(given: Given, collection: Collection[Any]) -> Any:
    import msgspec

    try:
        record = msgspec.convert(given.value, collection.kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        what = what.replace("`", "")
        what = what[:1].lower() + what[1:]
        raise Misused(TITLE, f"{given.pointer}{_pointer(path)}: {what}") from None
    _check(given, record)
    return record


PATH = re.compile(r"\.(\w+)|\[(\d+)\]|\[(\.\.\.)\]")


def _pointer(path: str) -> str:
    """msgspec's `$.files[0].size` as `/files/0/size`; it does not tell which member of a mapping it means."""
    return "".join(f"/{escaped(found[1] or found[2] or '*')}" for found in PATH.finditer(path))


@dataclass(frozen=True, slots=True)
class Shape:
    """What has to be looked at in a dataclass beyond its types: all `names`, those that are `numbers`, and those that
    hold `nested` dataclasses."""

    names: frozenset[str]
    numbers: tuple[str, ...]
    nested: tuple[str, ...]


@cache
def _shape(kind: Any) -> Shape:
    hints = {name: set(_parts(hint)) for name, hint in get_type_hints(kind).items()}
    names = [field.name for field in fields(kind)]
    return Shape(
        frozenset(names),
        tuple(name for name in names if float in hints[name]),
        tuple(name for name in names if any(is_dataclass(part) for part in hints[name])),
    )


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _check(given: Given, value: Any) -> None:
    """What msgspec lets pass: members that are left out or unknown, numbers that are no moments; and whole numbers that
    it made floats stay whole, since they have other bytes."""
    shape = _shape(type(value))
    if given.value.keys() != shape.names:
        given.members([field.name for field in fields(value)])
    for name in shape.numbers:
        number = given.value[name]
        if type(number) is int:
            object.__setattr__(value, name, number)
        if isinstance(number, float | int) and not FIRST_MOMENT <= number <= LAST_MOMENT:
            given.at(name).refuse(f"a number from {FIRST_MOMENT:.0f} to {LAST_MOMENT:.0f}")
    for name in shape.nested:
        inner = getattr(value, name)
        if is_dataclass(inner):
            _check(given.at(name), inner)
        elif isinstance(inner, tuple | list):
            for number, item in enumerate(inner):
                if is_dataclass(item):
                    _check(given.at(name).at(number), item)
