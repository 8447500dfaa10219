"""Placeholder: all that a session keeps as one JSON object, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emulator.errors import Misused
from emulator.world.armed import Arming
from emulator.world.session import Session, Sessions, World

Ready = Callable[[Arming], Any]


def take(session: Session) -> dict[str, Any]:
    """All that the session keeps."""
    armed = [one.shown() for one in session.armed.items.values()]
    return {"version": 1, "seed": session.seed, "speed": session.speed, "profile": session.profile, "armed": armed}


def put(
    session: Session, data: Mapping[str, Any], declares: Mapping[str, Callable[[World], object]], ready: Ready
) -> None:
    """Put it back. Raises Misused, and then nothing has changed."""
    if set(data) != {"version", "seed", "speed", "profile", "armed"} or data["version"] != 1:
        raise Misused("Not a snapshot", "Expected what GET snapshot gave.")
    session.patch(seed=data["seed"], speed=data["speed"], profile=data["profile"])


def fork(sessions: Sessions, from_name: str, to_name: str) -> Session:
    """A session that goes on from where another stands."""
    old, new = sessions.peek(from_name), sessions.fresh(to_name)
    new.patch(seed=old.seed, speed=old.speed, profile=old.profile)
    sessions.put(new)
    return new
