"""One session's private world, and all the sessions of a server.

A session has its own seed, speed, profile, clock, journal and, for each backend that it has called, its own store.
Sessions never see each other; the ones unused for longest leave when there are too many.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from emulator.call import Performance
from emulator.errors import Misused
from emulator.settings import Profile, Settings
from emulator.world.armed import Armed
from emulator.world.clock import Clock
from emulator.world.journal import Journal
from emulator.world.seed import Seed
from emulator.world.store import Store

SESSION_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
DEFAULT = "default"
WEIGH_EVERY = 32
"""Calls between two looks at how much all sessions keep."""


@dataclass(slots=True)
class Story:
    """How far the scenarios of one backend have come in one session: named `states` with their data, how often each
    operation was called (`calls`, refused ones left out) and each scenario was played (`plays`)."""

    states: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    plays: dict[str, int] = field(default_factory=dict)


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
    """A private world with a name. Made by `Sessions` only."""

    __slots__ = ("_settings", "_worlds", "armed", "clock", "held", "journal", "name", "profile", "seed", "speed")

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self.seed = settings.seed
        self.speed = settings.speed
        self.profile: Profile = settings.profile
        self.clock = Clock(settings.clock_kind())
        self.journal = Journal(settings.limits)
        self.armed = Armed()
        self._worlds: dict[str, World] = {}
        self.held: set[Held] = set()

    def world(self, backend: str, populate: Callable[[World], None]) -> World:
        """This session's world of a backend; at first use it is made and `populate` fills it with the data that are
        there from the start."""
        world = self._worlds.get(backend)
        if world is None:
            world = World(Store(self._settings.limits), Seed(self.seed, backend), self.clock)
            populate(world)
            self._worlds[backend] = world
        return world

    @property
    def bytes(self) -> int:
        """Roughly what it keeps."""
        return self.journal.bytes + sum(world.store.bytes for world in self._worlds.values())

    def stop_all(self) -> None:
        """End every stream under way: the session is going."""
        for world in self._worlds.values():
            for _, performance in list(world.running.values()):
                performance.stop()
        for held in list(self.held):
            held.stop()


class Sessions:
    """The sessions of a server by name. `evicted` counts those that had to leave."""

    __slots__ = ("_calls", "_sessions", "_settings", "evicted")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._calls = 0
        self.evicted = 0

    def get(self, name: str) -> Session:
        """The session with this name, made at first use. Raises Misused for a name that is no session name."""
        session = self._sessions.get(name)
        if session is not None:
            self._sessions.move_to_end(name)
        else:
            check_name(name)
            session = self._sessions[name] = Session(name, self._settings)
            if len(self._sessions) > self._settings.limits.sessions:
                self._evict()
        self._calls += 1
        if self._calls % WEIGH_EVERY == 0:
            self._weigh()
        return session

    def _weigh(self) -> None:
        total = sum(session.bytes for session in self._sessions.values())
        while total > self._settings.limits.total_bytes and len(self._sessions) > 1:
            total -= self._evict().bytes

    def _evict(self) -> Session:
        _, oldest = self._sessions.popitem(last=False)
        oldest.stop_all()
        self.evicted += 1
        return oldest

    def reset(self, name: str) -> None:
        """Back to the seeded state: the session is forgotten, its streams end, and its next use makes it anew."""
        check_name(name)
        session = self._sessions.pop(name, None)
        if session is not None:
            session.stop_all()

    def __iter__(self) -> Any:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)


def check_name(name: str) -> None:
    """Raise Misused unless `name` is 1 to 64 of `A-Za-z0-9._-`."""
    if not SESSION_NAME.fullmatch(name):
        raise Misused("Bad session name", f"A session name is 1 to 64 of A-Za-z0-9._- and not {name[:80]!r}.")
