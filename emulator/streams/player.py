"""Steps become timed events. Owns the time of one stream, its keep-alives, its early end; knows no bytes.

A `Turn` is a backend's side of one answer: it words each step as events and keeps what the store needs. The player
calls it in order and says when each event is due. Whoever plays (the edge for a stream, a behaviour for a blocking
answer) waits as told; nothing here sleeps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count, repeat
from typing import Any, Protocol

from emulator.call import Closed, Event, Item
from emulator.fault import Fault
from emulator.streams.steps import (
    Audio,
    Bytes,
    End,
    Fail,
    File,
    Ping,
    Replace,
    Say,
    Send,
    Step,
    ToolCall,
    ToolResult,
    Wait,
)
from emulator.world.clock import Clock
from emulator.world.prose import deltas

Events = Iterable[Event]


class Turn(Protocol):
    """One answer under way in one backend. Each method words one thing as events and may change the store.

    `begin` comes first; exactly one of `end`, `error`, `stop` and `leave` finishes the answer, and `close` comes after
    all but `leave`. `seconds` are stream seconds since the beginning.
    """

    def begin(self) -> Events: ...
    def say(self, delta: str, seconds: float) -> Events: ...
    def ping(self) -> Events: ...
    def event(self, payload: Any) -> Events: ...
    def tool_call(self, step: ToolCall) -> Events: ...
    def tool_result(self, step: ToolResult) -> Events: ...
    def file(self, step: File) -> Events: ...
    def replace(self, step: Replace) -> Events: ...
    def audio(self, step: Audio) -> Events: ...
    def error(self, step: Fail) -> Events: ...
    def end(self, step: End, seconds: float) -> Events: ...
    def stop(self, seconds: float) -> Events: ...
    def leave(self) -> None: ...
    def close(self) -> Events: ...


class Player:
    """Plays `steps` as `turn`. `keep_alive` is the number of stream seconds between keep-alives, None for none.

    `finished` is called once, when the answer is over in whichever way. After `longest` stream seconds it is stopped.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        turn: Turn,
        clock: Clock,
        keep_alive: float | None = None,
        finished: Callable[[], None] = lambda: None,
        longest: float | None = None,
    ) -> None:
        self._steps = steps
        self._turn = turn
        self._clock = clock
        self._keep_alive = keep_alive
        self._next_ping = keep_alive or 0.0
        self._finished = finished
        self._longest = longest
        self._at = 0.0
        self._stopped = False
        self._ended = False
        self._over = False
        self._credit = 0.0
        self._wake: Callable[[], None] = lambda: None
        self._skip: Callable[[float], None] = lambda seconds: None
        self._played: Iterator[Item] | None = None
        self.closed: Closed = "ended"

    @property
    def seconds(self) -> float:
        """How far the answer has come, in stream seconds."""
        return self._at

    def play(self) -> Iterator[Item]:
        """See `Performance.play`. Can be played once."""
        self._played = self._play()
        return self._played

    def stop(self) -> None:
        """See `Performance.stop`."""
        if not self._over:
            self._stopped = True
            self._wake()

    def on_stop(self, wake: Callable[[], None]) -> None:
        """See `Performance.on_stop`."""
        self._wake = wake

    def advance(self, seconds: float) -> None:
        """See `Performance.advance`."""
        if not self._over:
            self._credit += seconds
            self._skip(seconds)

    def on_advance(self, skip: Callable[[float], None]) -> None:
        """See `Performance.on_advance`."""
        self._skip = skip

    def ping(self) -> Events:
        """See `Performance.ping`."""
        return self._turn.ping()

    def leave(self) -> None:
        """See `Performance.leave`."""
        if self._over:
            return
        self.closed = "left"
        self._finish()
        self._turn.leave()
        if self._played is not None:
            close = getattr(self._played, "close", None)
            if close is not None:
                close()

    def _play(self) -> Iterator[Item]:
        try:
            yield from self._turn.begin()
            for step in self._steps:
                yield from self._perform(step)
                if self._over:
                    return
                if self._stopped:
                    self.closed = "stopped"
                    yield from self._last(self._turn.stop(self._at) if not self._ended else ())
                    return
            yield from self._last(self._turn.end(End(), self._at) if not self._ended else ())
        except Exception:
            self.closed = "cut"
            raise
        finally:
            self._finish()

    def _perform(self, step: Step) -> Iterator[Item]:
        turn = self._turn
        match step:
            case Say():
                yield from self._say(step)
            case Wait(seconds):
                yield from self._wait(seconds)
            case Ping():
                yield from turn.ping()
            case Send(event):
                yield from turn.event(event)
            case Bytes(data):
                yield Event(raw=data)
            case ToolCall() | ToolResult() | File() | Replace():
                yield from self._made(step)
            case Audio():
                yield from self._paced(((event,) for event in turn.audio(step)), repeat(step.every))
            case Fault():
                if step.cuts:
                    self.closed = "cut"
                yield step
            case Fail():
                yield from self._last(turn.error(step))
            case End():
                self._ended = True
                yield from _closing(turn.end(step, self._at))

    def _made(self, step: ToolCall | ToolResult | File | Replace) -> Events:
        match step:
            case ToolCall():
                return self._turn.tool_call(step)
            case ToolResult():
                return self._turn.tool_result(step)
            case File():
                return self._turn.file(step)
            case Replace():
                return self._turn.replace(step)

    def _say(self, step: Say) -> Iterator[Item]:
        if step.first:
            yield from self._wait(step.first)
            if self._stopped:
                return
        yield from self._paced((self._turn.say(delta, self._at) for delta in _cut(step)), _distances(step))

    def _paced(self, pieces: Iterable[Events], distances: Iterator[float]) -> Iterator[Item]:
        for events in pieces:
            yield from events
            yield from self._wait(next(distances))
            if self._stopped:
                return

    def _wait(self, seconds: float) -> Iterator[Item]:
        until = self._at + seconds
        while self._keep_alive and self._next_ping <= until:
            yield from self._reach(self._next_ping)
            if self._stopped:
                return
            self._next_ping += self._keep_alive
            yield from self._turn.ping()
        if until > self._at:
            yield from self._reach(until)

    def _reach(self, at: float) -> Iterator[float]:
        overdue = self._longest is not None and at > self._longest
        if self._longest is not None:
            at = min(at, self._longest)
        yield at
        if self._stopped:
            # Nobody waited to the end of it.
            return
        passed = at - self._at
        known = min(self._credit, passed)
        self._credit -= known
        self._clock.pass_(passed - known)
        self._at = at
        self._stopped = overdue

    def _last(self, events: Events) -> Iterator[Event]:
        self._over = True
        ended = list(events)
        yield from _closing([*ended, *self._turn.close()])

    def _finish(self) -> None:
        self._over = True
        self._finished()
        self._finished = lambda: None


def at_once(player: Player) -> list[Fault]:
    """Play everything without waiting, for an answer that does not stream; returns the faults on the way. The seconds
    it would have taken are in `player.seconds`."""
    return [item for item in player.play() if isinstance(item, Fault)]


def _closing(events: Events) -> list[Event]:
    """Events of which the last ends the answer."""
    found = list(events)
    return [*found[:-1], replace(found[-1], final=True)] if found else found


def _distances(step: Say) -> Iterator[float]:
    """Seconds behind each piece of a text."""
    if not step.jitter:
        return repeat(step.every)
    rng = random.Random(step.noise)
    return (max(0.0, step.every + rng.uniform(-step.jitter, step.jitter)) for _ in count())


def _cut(step: Say) -> list[str]:
    if step.size is None:
        return deltas(step.text)
    return [step.text[i : i + step.size] for i in range(0, len(step.text), step.size)]
