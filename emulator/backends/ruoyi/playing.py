"""Answers on their way: as a stream, or at once as a whole reply. The same for Dify's apps and for DeepSeek."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from emulator.backends import Ask
from emulator.backends.ruoyi.wire import EVENTS, encode
from emulator.call import Reply, Stream
from emulator.streams.player import Player, Turn, at_once
from emulator.streams.steps import Step

KEEP_ALIVE = 10.0
"""Seconds between two keep-alives, as Dify has it."""


def streamed(ask: Ask, turn: Turn, steps: Sequence[Step], task_id: str) -> Stream:
    """The answer as it comes. It is under way, by its id, as long as it is played."""
    running = ask.world.running

    def finished() -> None:
        running.pop(task_id, None)

    player = Player(steps, turn, ask.world.clock, KEEP_ALIVE, finished)
    running[task_id] = (ask.caller.id, player)
    return Stream(200, EVENTS, player, encode)


def whole(ask: Ask, turn: Turn, steps: Sequence[Step], shown: Callable[[], Reply]) -> Reply:
    """What `shown` makes of the answer when it is over, sent after the time it takes."""
    player = Player(steps, turn, ask.world.clock)
    ask.faults += at_once(player)
    return replace(shown(), after=player.seconds)
