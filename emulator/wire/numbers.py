"""Ids that are integers, as a database counts its rows: from 1 on, and a number never comes again."""

from __future__ import annotations

from emulator.world.session import World


def next_number(world: World, kind: str) -> int:
    """The next number of a kind. Counted beside the seed's draws, so that a snapshot carries it and a full store cannot
    start it anew."""
    name = f"number\x00{kind}"
    number = world.seed.counters.get(name, 0) + 1
    world.seed.counters[name] = number
    return number
