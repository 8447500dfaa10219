"""What can be changed in a session, and what each member may be. Owns the bounds; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from emulator.durations import duration
from emulator.errors import Misused
from emulator.jsontext import compact
from emulator.settings import CLOCK_WORDS, PROFILES, read_clock
from emulator.times import LATEST
from emulator.world.clock import Clock, iso
from emulator.world.given import Given

MEMBERS = ("seed", "speed", "profile", "clock", "advance", "states")
LEAST_SEED, MOST_SEED = -(2**63), 2**64 - 1
LEAST_SPEED, MOST_SPEED = 0.001, 1_000_000.0
MOST_STATES = 1_000
MOST_NAME = 200
MOST_STATE_BYTES = 64 * 1024
"""Bytes of the states that one change gives one backend."""


def check_members(members: Mapping[str, Any], clock: Clock, backends: Collection[str] | None) -> dict[str, Any]:
    """The members of a change as a session takes them. Raises Misused for the first that is wrong."""
    given = Given("Bad change", dict(members)).members(MEMBERS, optional=True)
    checked = {name: READERS[name](one) for name, one in given.items() if name in READERS}
    if "advance" in given:
        checked["advance"] = _advance(given["advance"], _planned(checked, clock))
    if "states" in given:
        checked["states"] = _states(given["states"], backends)
    return checked


def read_seed(given: Given) -> int:
    """A seed."""
    return given.whole(LEAST_SEED, MOST_SEED)


def read_speed(given: Given) -> float:
    """A speed: a number from 0.001 to 1000000, or 0."""
    value = given.value
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        return 0.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not LEAST_SPEED <= value <= MOST_SPEED:
        given.refuse("0, or a number from 0.001 to 1000000")
    return float(value)


def read_profile(given: Given) -> str:
    """A profile."""
    return given.one_of(PROFILES)


def _clock(given: Given) -> tuple[str, float | None]:
    try:
        return read_clock(given.value if isinstance(given.value, str) else "")
    except Misused:
        given.refuse(CLOCK_WORDS)


READERS: Mapping[str, Callable[[Given], Any]] = {
    "seed": read_seed,
    "speed": read_speed,
    "profile": read_profile,
    "clock": _clock,
}


def _planned(checked: Mapping[str, Any], clock: Clock) -> float:
    """What the clock will show when it is to be moved ahead."""
    planned = clock.copy()
    if "seed" in checked:
        planned.rewind()
    if "clock" in checked:
        planned.set(*checked["clock"])
    return planned.now()


def _advance(given: Given, now: float) -> float:
    try:
        return duration(given.value, max(0.0, LATEST - now))
    except ValueError:
        given.refuse(f"a duration such as 90s, 1.5m or 24h, or seconds, up to {iso(LATEST)}")


def _states(given: Given, backends: Collection[str] | None) -> dict[str, dict[str, Any]]:
    found = given.members(sorted(backends), optional=True) if backends is not None else given.items()
    if len(found) > MOST_STATES:
        given.refuse(f"at most {MOST_STATES} backends", str(len(found)))
    return {backend: read_states(one) for backend, one in found.items()}


def read_states(given: Given) -> dict[str, Any]:
    """The states of one backend: name → any JSON."""
    states = given.items()
    if len(states) > MOST_STATES:
        given.refuse(f"at most {MOST_STATES} states", str(len(states)))
    for name, one in states.items():
        if len(name) > MOST_NAME:
            one.refuse(f"a name of at most {MOST_NAME} characters", str(len(name)))
    given.json()
    size = len(compact(given.value))
    if size > MOST_STATE_BYTES:
        given.refuse(f"at most {MOST_STATE_BYTES} bytes", str(size))
    return dict(given.value)
