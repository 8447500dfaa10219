"""What a scenario can know of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.world.seed import Seed


@dataclass(frozen=True, slots=True)
class Scene:
    """What a scenario can know of the call that it may be chosen for.

    `nth` counts the accepted calls of this operation in this session, `turn` the questions of the conversation, both
    with this one. `plays` tells how often each scenario was played before; `play` is the number of the play at hand,
    which whoever knows the scenario fills in. `seed` is the backend's in this session.
    """

    operation: str
    method: str
    url: str
    headers: Mapping[str, str]
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Any
    nth: int
    turn: int
    plays: Mapping[str, int]
    states: Mapping[str, Any]
    session: str
    seed: Seed
    now: float
    play: int = 1
