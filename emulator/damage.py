"""Faults applied: the items of an answer under way, or a whole body, become what is to be done on the wire. Pure.

Owns the order in which faults meet, and nothing that waits or sends. An answer goes through these stages, lazily:

1. faults at events, in the order of the list: malformed, duplicate, reorder, drop and ping_storm change the events;
   those with a place among the events take it
2. line ends
3. faults at bytes, counted in what the earlier stages left
4. coalesce
5. slice
6. time: latency and bandwidth

The actions go on behind a cut, where they tell what would have come; that is not to be sent. The same items, faults and
noise give the same actions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from emulator.call import Event, Item
from emulator.fault import FAULTS, LAST, Fault

MOST_PIECES = 100_000
"""Chunks that one answer is cut into; what follows is left whole."""
MOST_ADDED = 10_000
MOST_ADDED_BYTES = 32 * 1024 * 1024
"""Events, and bytes of them, that all faults of an answer may add to it: they multiply one another."""
SOME_REPLY = '{"text": "一 "}'.encode()
MOST_NOTED = 100
"""Faults among the steps of one answer whose outcome is kept."""
PACE = 0.1
"""Seconds of a slow line that one piece takes."""

LINE_END = re.compile(rb"\r\n|\r|\n")
LINE_ENDS = {"crlf": b"\r\n", "cr": b"\r"}
CUTS_INSIDE: dict[str, tuple[re.Pattern[bytes], int, str]] = {
    "character": (re.compile(rb"[\xc2-\xf4][\x80-\xbf]"), 1, "no character of several bytes"),
    "field": (re.compile(rb"(?:^|(?<=[\r\n]))data:"), 2, "no data field"),
    "line_end": (re.compile(rb"\r\n"), 1, "no CR LF"),
}
"""Where to cut: what to look for, how many bytes into it, and what there was not."""

IN_EVENTS = frozenset({"malformed", "duplicate", "reorder", "drop", "ping_storm"})
"""Faults that change the events."""
PLACES = frozenset({"latency", "stall", "truncate", "reset"})
"""Faults that strike between two events or bytes."""
MANNERS = frozenset({"slice", "coalesce", "line_end", "bandwidth"})
"""Faults that change how everything is sent from a place on."""


@dataclass(slots=True)
class Outcome:
    """What became of one fault: whether it did anything, where first, or why not."""

    applied: bool = False
    event: int | None = None
    byte: int | None = None
    why: str | None = None

    def strike(self, event: int | None = None, byte: int | None = None) -> None:
        """It did something, there."""
        if not self.applied:
            self.applied, self.event, self.byte, self.why = True, event, byte, None

    def shown(self) -> dict[str, Any]:
        """As members of the fault in a journal entry."""
        if not self.applied:
            return {"applied": False, "why": self.why or "nothing that it could act on"}
        at = {word: number for word, number in (("event", self.event), ("byte", self.byte)) if number is not None}
        return {"applied": True, "at": at} if at else {"applied": True}


@dataclass(frozen=True, slots=True)
class Until:
    """Wait until so many stream seconds since the answer began."""

    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An event is whole (or as whole as it gets) with the byte before `at`; `size` bytes of it were sent."""

    at: int
    event: Event | None
    size: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Send these bytes as one chunk. `ends` are the events that end in it; `apart` as in `Event.apart`."""

    data: bytes
    ends: tuple[Ended, ...] = ()
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """Send nothing for so many real seconds, None is for ever."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Truncate:
    """End the body here, properly."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection."""


Action = Until | Chunk | Stall | Truncate | Reset


@dataclass(frozen=True, slots=True)
class _Frame:
    """One event as bytes. `index` counts the undamaged answer's events; None is one that a fault has added."""

    data: bytes
    event: Event | None
    index: int | None
    final: bool


@dataclass(frozen=True, slots=True)
class _Mark:
    """A fault strikes here, or begins here. `rng` is its own."""

    fault: Fault
    outcome: Outcome
    rng: random.Random
    event: int | None = None


@dataclass(frozen=True, slots=True)
class _Gap:
    """A pause between two pieces."""

    seconds: float


_Unit = float | _Frame | _Mark
_Sent = float | Chunk | _Mark | _Gap


@dataclass(slots=True)
class _Counts:
    events: int = 0
    bytes: int = 0
    pieces: int = 0
    added: int = 0
    added_bytes: int = 0

    def add(self, size: int) -> bool:
        """Whether one more event may come that nobody said."""
        self.added += 1
        self.added_bytes += size
        return self.added <= MOST_ADDED and self.added_bytes <= MOST_ADDED_BYTES


def can_strike_reply(faults: Iterable[Fault]) -> bool:
    """Whether any of the faults could do something to a whole JSON reply, whatever chance says."""
    if any(FAULTS[fault.name].head or fault.name == "latency" or fault.byte is not None for fault in faults):
        return True
    damage = Damage((replace(fault, options={**fault.options, "chance": None}) for fault in faults), 0)
    for _ in damage.reply(SOME_REPLY, json=True):
        pass
    return any(outcome.applied for outcome in damage.outcomes)


class Damage:
    """The faults of one answer, to be played once.

    `noise` decides all chances; `ping` gives the dialect's keep-alives; `events` and `at` are how many events and
    stream seconds of the answer went by before. `outcomes` tell afterwards what became of each of `faults`,
    `struck` of those that were among the steps.
    """

    def __init__(
        self,
        faults: Iterable[Fault],
        noise: int,
        ping: Callable[[], Iterable[Event]] = tuple,
        events: int = 0,
        at: float = 0.0,
    ) -> None:
        self.faults = tuple(faults)
        self.outcomes = [Outcome() for _ in self.faults]
        self.struck: list[tuple[Fault, Outcome]] = []
        self._noise = noise
        self._ping = ping
        self._counts = _Counts(events)
        self._at = at
        self._encode: Callable[[Event], bytes] = _raw
        self._steps = 0
        self._noted = True

    # ---- what can be asked for

    def play(self, items: Iterable[Item], encode: Callable[[Event], bytes]) -> Iterator[Action]:
        """The actions of an answer under way. Takes an item only when it needs it, and leaves `items` open."""
        self._encode = encode
        marks = [self._mark(number) for number in range(len(self.faults))]
        units = self._frames(items)
        begin: list[_Mark] = []
        at_bytes: list[_Mark] = []
        for mark in marks:
            name = mark.fault.name
            if name in IN_EVENTS:
                units = _in_events(units, mark, _Pick(mark), self._pings, self._counts)
            elif mark.fault.byte is not None:
                at_bytes.append(mark)
            elif name in MANNERS and mark.fault.event is None:
                begin.append(mark)
            elif (name in MANNERS or name in PLACES) and not (name == "latency" and mark.fault.event is None):
                units = _placed(units, mark)
        yield from self._sent(_first(begin, units), at_bytes)
        self._explain()

    def reply(self, body: bytes, json: bool) -> Iterator[Action]:
        """The actions of a whole body, which is event 0 and the last one. `json` says that it is JSON."""
        marks = [self._mark(number) for number in range(len(self.faults))]
        event = Event(data={} if json else None, raw=body, final=True)
        units: Iterator[_Unit] = iter([_Frame(body, event, 0, True)] if body else [])
        begin: list[_Mark] = []
        at_bytes: list[_Mark] = []
        for mark in marks:
            name, fault = mark.fault.name, mark.fault
            if name in IN_EVENTS:
                units = _in_events(units, mark, _Pick(mark), tuple, self._counts)
            elif name == "latency" and fault.event is None and fault.byte is None:
                continue
            elif name in PLACES and fault.event is None and fault.byte is None:
                at_bytes.append(replace(mark, fault=replace(fault, byte=len(body) // 2)))
            elif fault.byte is not None:
                at_bytes.append(mark)
            elif fault.event is None:
                begin.append(mark)
            else:
                units = _placed(units, mark)
        self._counts.events = 1 if body else 0
        yield from self._sent(_first(begin, units), at_bytes)
        self._explain()
        for mark in marks:
            if not body:
                mark.outcome.why = "the reply has no body"
            elif mark.fault.name in ("ping_storm", "coalesce", "reorder"):
                mark.outcome.why = "the reply is no stream of events"

    def heads(self, name: str) -> list[tuple[Fault, Outcome, random.Random]]:
        """The faults of a kind that is about the head: those in FAULTS, and `latency` without a place."""
        return [
            (fault, self.outcomes[number], self._mark(number).rng)
            for number, fault in enumerate(self.faults)
            if fault.name == name and fault.event is None and fault.byte is None
        ]

    def head(self, name: str) -> tuple[Fault, Outcome, random.Random] | None:
        """The last fault of such a kind, which counts where there can be only one."""
        found = self.heads(name)
        for _, outcome, _ in found[:-1]:
            outcome.why = "a later one took its place"
        return found[-1] if found else None

    def freeze(self) -> None:
        """The wire was cut: what has not struck by now does not strike any more."""
        for outcome in [*self.outcomes, *(outcome for _, outcome in self.struck)]:
            if not outcome.applied and outcome.why is None:
                outcome.why = "the answer was cut before"
        frozen = [replace(outcome) for outcome in self.outcomes]
        self.struck = [(fault, replace(outcome)) for fault, outcome in self.struck]
        self._noted = False
        self.outcomes = frozen

    # ---- the stages

    def _mark(self, number: int) -> _Mark:
        fault = self.faults[number]
        return _Mark(fault, self.outcomes[number], random.Random(f"{self._noise} {number} {fault.name}"))

    def _step(self, fault: Fault) -> _Mark:
        """The mark of a fault among the steps."""
        outcome = Outcome()
        self._steps += 1
        if self._noted and len(self.struck) < MOST_NOTED:
            self.struck.append((fault, outcome))
        return _Mark(fault, outcome, random.Random(f"{self._noise} step {self._steps} {fault.name}"))

    def _pings(self) -> list[_Frame]:
        return [_Frame(self._encode(event), event, None, False) for event in self._ping()]

    def _frames(self, items: Iterable[Item]) -> Iterator[_Unit]:
        """Items as units. A fault among the steps marks its place, or strikes the next event."""
        waiting: list[_Mark] = []
        held: list[_Frame] = []
        for item in items:
            if isinstance(item, Event):
                frame = _Frame(self._encode(item), item, self._counts.events, item.final)
                self._counts.events += 1
                frames, later = self._hit(frame, waiting) if waiting else ([frame], [])
                waiting = []
                yield from frames
                if not later:
                    yield from held
                held = [*held, *later] if later else []
            elif isinstance(item, Fault):
                if item.name in IN_EVENTS:
                    waiting.append(self._step(item))
                elif not FAULTS[item.name].head:
                    yield from held
                    held = []
                    yield self._step(item)
            else:
                yield item
        yield from held

    def _hit(self, frame: _Frame, marks: list[_Mark]) -> tuple[list[_Frame], list[_Frame]]:
        """What faults among the steps make of the event behind them: what comes now, what after the next event."""
        frames, later = [frame], False
        for mark in marks[-MOST_NOTED:]:
            chance = mark.fault.options.get("chance")
            if chance is not None and mark.rng.random() >= chance:
                continue
            if mark.fault.name != "reorder":
                frames = [
                    one for old in frames for one in _changed(old, mark.fault, mark.outcome, self._pings, self._counts)
                ]
            elif not frame.final:
                mark.outcome.strike(frame.index)
                later = True
        return ([], frames) if later else (frames, [])

    def _sent(self, units: Iterator[_Unit], at_bytes: list[_Mark]) -> Iterator[Action]:
        sent = _cut_at_bytes(_line_ended(units), at_bytes, self._counts)
        return _timed(_sliced(_coalesced(sent), self._counts), self._counts, self._at)

    def _explain(self) -> None:
        for number, fault in enumerate(self.faults):
            outcome = self.outcomes[number]
            if outcome.applied or outcome.why is not None:
                continue
            if fault.event is not None and fault.event >= self._counts.events:
                outcome.why = f"the answer had {self._counts.events} events"
            elif fault.byte is not None and fault.byte >= self._counts.bytes:
                outcome.why = f"the answer had {self._counts.bytes} bytes"
            elif fault.name == "ping_storm":
                outcome.why = "this backend has no keep-alive"


def _raw(event: Event) -> bytes:
    return event.raw or b""


def _first(marks: list[_Mark], units: Iterator[_Unit]) -> Iterator[_Unit]:
    yield from marks
    yield from units


@dataclass(slots=True)
class _Pick:
    """Which events a fault strikes: each by chance, the one with its number, else the second (or the only one)."""

    mark: _Mark

    def __call__(self, frame: _Frame) -> bool:
        fault, index = self.mark.fault, frame.index
        if index is None:
            return False
        chance = fault.options.get("chance")
        if fault.event is not None:
            hit = frame.final if fault.event == LAST else index == fault.event
        elif chance is not None:
            hit = True
        else:
            hit = index == 1 or (index == 0 and frame.final)
        return hit and (chance is None or self.mark.rng.random() < chance)


def _in_events(
    units: Iterator[_Unit],
    mark: _Mark,
    hit: Callable[[_Frame], bool],
    pings: Callable[[], Iterable[_Frame]],
    counts: _Counts,
) -> Iterator[_Unit]:
    """Stage 1: a fault that changes the events that it hits."""
    fault, outcome = mark.fault, mark.outcome
    held: _Frame | None = None
    for unit in units:
        if not isinstance(unit, _Frame):
            if held is not None and isinstance(unit, _Mark):
                yield held
                held = None
            yield unit
        elif held is not None:
            outcome.strike(held.index)
            yield unit
            yield held
            held = None
        elif not hit(unit):
            yield unit
        elif fault.name == "reorder":
            if unit.final:
                # It has no successor.
                yield unit
            else:
                held = unit
        else:
            yield from _changed(unit, fault, outcome, pings, counts)
    if held is not None:
        yield held


def _changed(
    frame: _Frame, fault: Fault, outcome: Outcome, pings: Callable[[], Iterable[_Frame]], counts: _Counts
) -> Iterator[_Frame]:
    match fault.name:
        case "drop":
            outcome.strike(frame.index)
        case "duplicate":
            outcome.strike(frame.index)
            yield frame
            for _ in range(fault.option("times")):
                if not counts.add(len(frame.data)):
                    break
                yield frame
        case "malformed":
            damaged = _malformed(frame)
            if damaged != frame.data:
                outcome.strike(frame.index)
            yield replace(frame, data=damaged)
        case "ping_storm":
            one = list(pings())
            if one:
                outcome.strike(frame.index)
                for _ in range(fault.option("count")):
                    if not counts.add(sum(len(ping.data) for ping in one)):
                        break
                    yield from one
            yield frame


def _malformed(frame: _Frame) -> bytes:
    """JSON loses its last bracket, all else gets a byte that UTF-8 does not have."""
    data = frame.data
    body = data.rstrip(b"\r\n")
    value = frame.event.data if frame.event is not None else None
    if body[-1:] in (b"}", b"]") and not isinstance(value, str | None):
        return body[:-1] + data[len(body) :]
    return body + b"\xff" + data[len(body) :] if data else data


def _placed(units: Iterator[_Unit], mark: _Mark) -> Iterator[_Unit]:
    """Stage 1: a fault with a place among the events goes there. Without one, stall and reset come after the first
    event (or at the end of a shorter answer), truncate before the terminal one."""
    event = mark.fault.event
    bare = event is None
    if bare:
        event = LAST if mark.fault.name == "truncate" else 1
    done = False
    for unit in units:
        if (
            not done
            and isinstance(unit, _Frame)
            and unit.index is not None
            and (unit.final if event == LAST else unit.index == event)
        ):
            done = True
            yield replace(mark, event=unit.index)
        yield unit
    if bare and not done and mark.fault.name != "truncate":
        yield mark


def _line_ended(units: Iterator[_Unit]) -> Iterator[_Unit]:
    """Stage 2."""
    mark: _Mark | None = None
    for unit in units:
        if isinstance(unit, _Mark) and unit.fault.name == "line_end":
            mark = unit
        elif isinstance(unit, _Frame) and mark is not None:
            data = LINE_END.sub(LINE_ENDS[mark.fault.option("style")], unit.data)
            if data != unit.data:
                mark.outcome.strike(unit.index)
            yield replace(unit, data=data)
        else:
            yield unit
    if mark is not None and not mark.outcome.applied:
        mark.outcome.why = "no line end"


def _byte(waiting: tuple[int, _Mark]) -> int:
    return waiting[0]


def _cut_at_bytes(units: Iterator[_Unit], marks: list[_Mark], counts: _Counts) -> Iterator[_Sent]:
    """Stage 3: frames become chunks, and marks come between their bytes."""
    waiting = sorted(((mark.fault.byte or 0, mark) for mark in marks), key=_byte)
    for unit in units:
        if isinstance(unit, _Mark):
            if unit.fault.byte is not None:
                # Among the steps it counts from where it stands.
                waiting = sorted([*waiting, (counts.bytes + unit.fault.byte, unit)], key=_byte)
            else:
                yield unit
        elif isinstance(unit, _Frame):
            data, sent = unit.data, 0
            apart = unit.event is not None and unit.event.apart
            while waiting and waiting[0][0] <= counts.bytes + len(data):
                place, mark = waiting.pop(0)
                size = place - counts.bytes
                if size:
                    sent += size
                    counts.bytes += size
                    # An event that is cut off here was sent as far as this.
                    whole = mark.fault.cuts or size == len(data)
                    yield Chunk(data[:size], (Ended(size, unit.event, sent),) if whole else (), apart)
                    data, apart = data[size:], False
                mark.outcome.byte = counts.bytes
                yield mark
            if data or not sent:
                counts.bytes += len(data)
                yield Chunk(data, (Ended(len(data), unit.event, sent + len(data)),), apart)
        else:
            yield unit
    for place, mark in waiting:
        if place == counts.bytes:
            mark.outcome.byte = place
            yield mark


def _coalesced(units: Iterator[_Sent]) -> Iterator[_Sent]:
    """Stage 4."""
    mark: _Mark | None = None
    held: list[Chunk] = []
    for unit in units:
        if isinstance(unit, Chunk) and mark is not None:
            held.append(unit)
            whole = sum(len(one.ends) for one in held)
            if whole >= mark.fault.option("events") or any(
                end.event is not None and end.event.final for end in unit.ends
            ):
                yield _merged(held, mark)
                held = []
            continue
        if isinstance(unit, _Mark):
            if held and mark is not None:
                yield _merged(held, mark)
                held = []
            if unit.fault.name == "coalesce":
                mark = unit
                continue
        yield unit
    if held and mark is not None:
        yield _merged(held, mark)


def _merged(chunks: list[Chunk], mark: _Mark) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    mark.outcome.strike()
    ends: list[Ended] = []
    offset = 0
    for chunk in chunks:
        ends += [replace(end, at=end.at + offset) for end in chunk.ends]
        offset += len(chunk.data)
    return Chunk(b"".join(chunk.data for chunk in chunks), tuple(ends), chunks[0].apart)


def _sliced(units: Iterator[_Sent], counts: _Counts) -> Iterator[_Sent]:
    """Stage 5."""
    mark: _Mark | None = None
    offset = 0
    for unit in units:
        if isinstance(unit, _Mark) and unit.fault.name == "slice":
            mark, offset = unit, 0
        elif isinstance(unit, Chunk) and mark is not None:
            places = _places(mark.fault, unit.data, offset)
            offset += len(unit.data)
            if places:
                mark.outcome.strike()
            every = mark.fault.option("every")
            first = True
            for piece in _pieces(unit, places, counts):
                if not first and every:
                    yield _Gap(every)
                yield piece
                first = False
        else:
            yield unit
    if mark is not None and not mark.outcome.applied and mark.fault.options.get("inside") is not None:
        mark.outcome.why = CUTS_INSIDE[mark.fault.option("inside")][2]


def _places(fault: Fault, data: bytes, offset: int) -> Iterable[int]:
    """Where to cut data that begins at `offset`: positions inside it, rising."""
    inside, at = fault.options.get("inside"), fault.options.get("at")
    if inside is not None:
        pattern, within, _ = CUTS_INSIDE[inside]
        return [found.start() + within for found in pattern.finditer(data)]
    if at is not None:
        return [place - offset for place in at if 0 < place - offset < len(data)]
    size = fault.option("bytes")
    return range(size, len(data), size)


def _pieces(chunk: Chunk, places: Iterable[int], counts: _Counts) -> Iterator[Chunk]:
    cuts = list(islice(places, MOST_PIECES - counts.pieces))
    counts.pieces += len(cuts)
    begin, ended = 0, 0
    for place in (*cuts, len(chunk.data)):
        behind = ended
        while behind < len(chunk.ends) and chunk.ends[behind].at <= place:
            behind += 1
        ends = tuple(replace(end, at=end.at - begin) for end in chunk.ends[ended:behind])
        yield Chunk(chunk.data[begin:place], ends, chunk.apart and begin == 0)
        begin, ended = place, behind


@dataclass(slots=True)
class _Time:
    """Stream seconds: when the next chunk is `due`, from when on the line is `free`, by how much all is late."""

    due: float
    free: float = 0.0
    lag: float = 0.0
    rate: int | None = None
    outcome: Outcome = field(default_factory=Outcome)


def _timed(units: Iterator[_Sent], counts: _Counts, at: float) -> Iterator[Action]:
    """Stage 6."""
    time = _Time(at)
    for unit in units:
        if isinstance(unit, Chunk):
            yield from _paced(unit, time, counts)
        elif isinstance(unit, _Gap):
            time.free = max(time.due, time.free) + unit.seconds
        elif isinstance(unit, _Mark):
            yield from _struck(unit, time)
        else:
            time.due = unit + time.lag
            yield Until(time.due)


def _paced(chunk: Chunk, time: _Time, counts: _Counts) -> Iterator[Action]:
    pieces: Iterable[Chunk] = (chunk,)
    if time.rate is not None:
        time.outcome.strike()
        size = max(1, int(time.rate * PACE))
        pieces = _pieces(chunk, range(size, len(chunk.data), size), counts)
    for piece in pieces:
        if time.free > time.due:
            yield Until(time.free)
        yield piece
        if time.rate is not None:
            time.free = max(time.due, time.free) + len(piece.data) / time.rate


def _struck(mark: _Mark, time: _Time) -> Iterator[Action]:
    outcome = mark.outcome
    match mark.fault.name:
        case "latency":
            late = seconds_of(mark.fault, mark.rng)
            time.free = max(time.due, time.free) + late
            time.lag += late
            time.due += late
            outcome.strike(mark.event, outcome.byte)
            yield Until(time.free)
        case "bandwidth":
            time.rate, time.outcome = mark.fault.option("rate"), outcome
        case "stall":
            outcome.strike(mark.event, outcome.byte)
            yield Stall(mark.fault.option("for"))
        case "truncate":
            outcome.strike(mark.event, outcome.byte)
            yield Truncate()
        case "reset":
            outcome.strike(mark.event, outcome.byte)
            yield Reset()


def seconds_of(latency: Fault, rng: random.Random) -> float:
    """How much later a `latency` makes it, in stream seconds."""
    seconds: float = latency.option("for")
    jitter: float = latency.option("jitter")
    return max(0.0, seconds + rng.uniform(-jitter, jitter)) if jitter else seconds
