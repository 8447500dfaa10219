"""One session's private world, and all the sessions of a server.

A session has its own seed, speed, profile, clock, journal and, for each backend that it has called, its own store.
Sessions never see each other; the ones unused for longest leave when there are too many, or after a day.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from emulator.call import Performance
from emulator.errors import Misused
from emulator.settings import Profile, Settings
from emulator.world.armed import Armed
from emulator.world.clock import Clock
from emulator.world.journal import Journal
from emulator.world.patching import MOST_STATES, check_members
from emulator.world.seed import Seed
from emulator.world.store import Store

SESSION_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
DEFAULT = "default"
MOST_PLAYS = 10_000
"""Scenarios whose plays are counted in one session and backend."""
WEIGH_EVERY = 32
"""Calls between two looks at how much all sessions keep."""


@dataclass(slots=True)
class Story:
    """How far the scenarios of one backend have come in one session: named `states` with their data, how often each
    operation was called (`calls`, refused ones left out) and each scenario was played (`plays`). Scenarios that come
    inline make both lists as long as they like, so that of too many names the oldest leave."""

    states: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    plays: dict[str, int] = field(default_factory=dict)

    def played(self, name: str, becomes: Mapping[str, Any]) -> None:
        """A scenario was played, and these states are so now."""
        self.plays[name] = self.plays.get(name, 0) + 1
        self.states |= becomes
        for names, most in ((self.plays, MOST_PLAYS), (self.states, MOST_STATES)):
            while len(names) > most:
                del names[next(iter(names))]


@dataclass(slots=True)
class World:
    """What one session keeps for one backend: records, randomness, time, and the streams under way.

    `running` maps a task id to its owner and its performance, as long as it is under way; `data` is the backend's
    own view of the store, if it keeps one.
    """

    store: Store
    seed: Seed
    clock: Clock
    running: dict[str, tuple[Any, Performance]] = field(default_factory=dict)
    data: Any = None
    story: Story = field(default_factory=Story)


class Held(Protocol):
    """A whole reply that is not sent yet."""

    def stop(self) -> None:
        """The session is going: it is sent at once."""

    def skip(self, seconds: float) -> None:
        """The session's time was moved ahead."""


class Session:
    """A private world with a name. Made by `Sessions` only. `used` is the monotonic time of its last use, `stories` are
    those of all backends that have one, whether or not their world was made."""

    __slots__ = (
        "armed",
        "clock",
        "held",
        "journal",
        "name",
        "profile",
        "seed",
        "settings",
        "speed",
        "stories",
        "used",
        "worlds",
    )

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.seed = settings.seed
        self.speed = float(settings.speed)
        self.profile: Profile = settings.profile
        self.clock = Clock(settings.clock_kind(), settings.clock_start())
        self.journal = Journal(settings.limits)
        self.armed = Armed()
        self.stories: dict[str, Story] = {}
        self.worlds: dict[str, World] = {}
        self.used = time.monotonic()
        self.held: set[Held] = set()

    def world(self, backend: str, populate: Callable[[World], None]) -> World:
        """This session's world of a backend; at first use it is made and `populate` fills it with the data that are
        there from the start."""
        world = self.worlds.get(backend)
        if world is None:
            story = self.stories.setdefault(backend, Story())
            world = World(Store(self.settings.limits), Seed(self.seed, backend), self.clock, story=story)
            populate(world)
            self.worlds[backend] = world
        return world

    def patch(self, backends: Collection[str] | None = None, /, **members: Any) -> None:
        """Change some of `seed`, `speed`, `profile`, `clock`, `advance` and `states`, given as JSON values. All are
        looked at before any is taken; raises Misused for the first that is wrong. `backends` are the names that
        `states` may have, None for any.

        `seed` begins anew, also with the seed there was: records, scenario states and counts go, streams end, and a
        virtual clock goes back to where it began, so that the same calls give the same bytes; journal and armings
        stay. `speed` holds for streams under way, too, and leaves the clock as it is. `clock` is `virtual` (from
        2026-01-01), `real` or an ISO 8601 time at which a virtual clock starts; it may lie before what was, and new
        records then look older than those there. `advance` is a span such as `90s`, or seconds. `states` is
        backend → name → value, where null drops the name. They take effect in this order."""
        checked = check_members(members, self.clock, backends)
        self.profile = checked.get("profile", self.profile)
        if "seed" in checked:
            self.reseed(checked["seed"])
        if "speed" in checked:
            self.speed = checked["speed"]
            # By no time at all: who waits reckons anew how long.
            self._advance_streams(0.0)
        if "clock" in checked:
            self.clock.set(*checked["clock"])
        if "advance" in checked:
            self.advance(checked["advance"])
        for backend, states in checked.get("states", {}).items():
            story = self.stories.setdefault(backend, Story())
            story.states = {name: value for name, value in (story.states | states).items() if value is not None}

    def reseed(self, seed: int) -> None:
        """Begin anew with this seed; see `patch`."""
        self.stop_all()
        self.seed = seed
        self.worlds, self.stories = {}, {}
        # Streams that are being stopped keep the clock they had.
        self.clock = self.clock.copy()
        self.clock.rewind()

    def advance(self, seconds: float) -> None:
        """Move the clock ahead, and with it every stream under way: what is due by then comes at once."""
        self.clock.advance(seconds)
        self._advance_streams(seconds)

    def _advance_streams(self, seconds: float) -> None:
        for performance in self._running():
            performance.advance(seconds)
        for held in list(self.held):
            held.skip(seconds)

    def become(
        self,
        seed: int,
        speed: float,
        profile: Profile,
        clock: Clock,
        armed: Armed,
        worlds: dict[str, World],
        stories: dict[str, Story],
    ) -> None:
        """Take another state. Streams under way end in the old one; the journal stays."""
        self.stop_all()
        self.seed, self.speed, self.profile = seed, speed, profile
        self.clock, self.armed, self.worlds, self.stories = clock, armed, worlds, stories

    def shown(self) -> dict[str, Any]:
        """The session as JSON."""
        return {
            "name": self.name,
            "seed": self.seed,
            "speed": self.speed,
            "profile": self.profile,
            "clock": self.clock.shown(),
            "calls": self.journal.opened,
            "armed": len(self.armed),
            "journal": {
                "entries": len(self.journal.entries),
                "dropped": self.journal.dropped,
                "bytes": self.journal.bytes,
            },
            "bytes": self.bytes,
            "backends": {name: self._shown_backend(name) for name in sorted(self.worlds.keys() | self.stories.keys())},
        }

    def _shown_backend(self, name: str) -> dict[str, Any]:
        world = self.worlds.get(name)
        story = self.stories.get(name) or Story()
        return {
            "records": len(world.store) if world is not None else 0,
            "bytes": world.store.bytes if world is not None else 0,
            "evicted": world.store.evicted if world is not None else 0,
            "states": dict(story.states),
            "running": len(world.running) if world is not None else 0,
        }

    @property
    def bytes(self) -> int:
        """Roughly what it keeps."""
        return self.journal.bytes + self.armed.bytes + sum(world.store.bytes for world in self.worlds.values())

    @property
    def idle(self) -> float:
        """Real seconds since it was last used; none while a stream is under way."""
        return 0.0 if self.busy else time.monotonic() - self.used

    @property
    def busy(self) -> bool:
        """Whether a stream is under way."""
        return any(world.running for world in self.worlds.values())

    def _running(self) -> list[Performance]:
        return [performance for world in self.worlds.values() for _, performance in world.running.values()]

    def stop_all(self) -> None:
        """End every stream under way: what it plays in is going."""
        for performance in self._running():
            performance.stop()
        for held in list(self.held):
            held.stop()

    def leave(self) -> None:
        """The session is going: streams end, and whoever follows its journal hears of it."""
        self.stop_all()
        self.journal.leave()


class Sessions:
    """The sessions of a server by name, the one unused for longest first. `evictions` counts those that had to leave,
    by what there was too much of: sessions (`count`), `bytes`, or time without use (`idle`)."""

    __slots__ = ("_calls", "_sessions", "_settings", "evictions")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._calls = 0
        self.evictions = {"count": 0, "bytes": 0, "idle": 0}

    @property
    def evicted(self) -> int:
        """How many had to leave."""
        return sum(self.evictions.values())

    def get(self, name: str) -> Session:
        """The session with this name, made at first use. Raises Misused for a name that is no session name."""
        self._leave_idle()
        session = self._sessions.get(name)
        if session is not None:
            self._sessions.move_to_end(name)
            session.used = time.monotonic()
        else:
            check_name(name)
            session = self._sessions[name] = Session(name, self._settings)
            self._bound()
        self._calls += 1
        if self._calls % WEIGH_EVERY == 0:
            self._weigh()
        return session

    def peek(self, name: str) -> Session:
        """The session with this name as it is; one that was never used reads as a fresh one, and is not made. Does not
        count as use. Raises Misused for a name that is no session name."""
        self._leave_idle()
        session = self._sessions.get(name)
        if session is None:
            check_name(name)
            session = Session(name, self._settings)
        return session

    def names(self) -> list[str]:
        """Names of the sessions there are, the one unused for longest first. Does not count as use."""
        self._leave_idle()
        return list(self._sessions)

    def put(self, session: Session) -> None:
        """Keep a session that was made elsewhere, in place of the one with its name."""
        self.reset(session.name)
        self._sessions[session.name] = session
        self._bound()

    def fresh(self, name: str) -> Session:
        """A new session that is not kept. Raises Misused for a name that is no session name."""
        check_name(name)
        return Session(name, self._settings)

    def _bound(self) -> None:
        while len(self._sessions) > self._settings.limits.sessions and self._evict("count") is not None:
            pass

    def _weigh(self) -> None:
        total = sum(session.bytes for session in self._sessions.values())
        while total > self._settings.limits.total_bytes:
            gone = self._evict("bytes")
            if gone is None:
                break
            total -= gone.bytes

    def _evict(self, why: str) -> Session | None:
        """The one unused for longest leaves, if another can one without streams under way; never the one in use."""
        others = list(self._sessions.values())[:-1]
        chosen = next((one for one in others if not one.busy), others[0] if others else None)
        if chosen is not None:
            self._drop(chosen, why)
        return chosen

    def _leave_idle(self) -> None:
        limit = self._settings.limits.idle_seconds
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if time.monotonic() - oldest.used <= limit:
                break
            if oldest.busy:
                # As long as somebody reads it is in use.
                oldest.used = time.monotonic()
                self._sessions.move_to_end(oldest.name)
            else:
                self._drop(oldest, "idle")

    def _drop(self, session: Session, why: str) -> None:
        del self._sessions[session.name]
        session.leave()
        self.evictions[why] += 1

    def reset(self, name: str) -> None:
        """Back to the seeded state: the session is forgotten, its streams end, and its next use makes it anew."""
        check_name(name)
        session = self._sessions.pop(name, None)
        if session is not None:
            session.leave()

    def __iter__(self) -> Any:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)


def check_name(name: str) -> None:
    """Raise Misused unless `name` is 1 to 64 of `A-Za-z0-9._-`."""
    if not SESSION_NAME.fullmatch(name):
        raise Misused("Bad session name", f"A session name is 1 to 64 of A-Za-z0-9._- and not {name[:80]!r}.")
