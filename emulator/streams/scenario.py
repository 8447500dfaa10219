"""A scenario: what an answer can be made to do, and what that comes to for one call.

Plain values; `reading` makes them from files and JSON, `shelf` keeps those of a server. Unfolding looks at one call and
changes nothing: whoever plays what came out sets the states and counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emulator.fault import Fault
from emulator.source import Pointer
from emulator.streams.scene import Scene
from emulator.streams.steps import Respond, Say, Step, Wait
from emulator.streams.values import Mistake, Names
from emulator.streams.when import mismatch

COMMAND = re.compile(r"\s*/scenario(?:\s+(\S+)|\s*$)")
MOST_STEPS = 10_000
"""Steps that a scenario may come to, and rounds that its repeats may take."""


@dataclass(frozen=True, slots=True)
class Unfolded:
    """What a scenario comes to for one call. `steps` is None where the behaviour's own are played; `reply` is sent
    instead of any answer, after `after` seconds; `becomes` are states to set when it is played."""

    steps: tuple[Step, ...] | None = None
    reply: Respond | None = None
    after: float = 0.0
    faults: tuple[Fault, ...] = ()
    becomes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        """Whether only an operation that gives an answer step by step can play it."""
        return self.steps is not None


Spoken = tuple[Step | Respond, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One step as it is written. It comes to `spoken` in every call, or to what `make` makes for one."""

    pointer: Pointer
    word: str
    spoken: Spoken = ()
    make: Callable[[Names], Spoken] | None = None

    def speak(self, names: Names) -> Spoken:
        """What it comes to in one call. Raises Mistake for a value that does not fit where it stands."""
        return self.spoken if self.make is None else self.make(names)


@dataclass(frozen=True, slots=True)
class Repeat:
    """`lines` several times over. `times` is None where `count` works it out for each call."""

    pointer: Pointer
    times: int | None
    lines: tuple[Piece, ...]
    count: Callable[[Names], int] | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """One way of a choice: what must hold (None for the way that is left), what it does."""

    pointer: Pointer
    when: Mapping[str, Any] | None
    lines: tuple[Piece, ...]
    becomes: Mapping[str, Any] = field(default_factory=dict)
    faults: Callable[[Names], tuple[Fault, ...]] | tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Choose:
    """The first of some ways whose condition is met; none where none is."""

    pointer: Pointer
    branches: tuple[Branch, ...]


Piece = Line | Repeat | Choose


@dataclass(frozen=True, slots=True)
class Scenario:
    """One script of what an answer can be made to do. `lines` is None for one that leaves the answer to the behaviour
    and damages it. `ttft` is how long the first text is waited for where it does not say so itself. `fail` makes the
    error of a place in it and of what is wrong there."""

    name: str
    description: str
    lines: tuple[Piece, ...] | None
    operation: str | None = None
    when: Mapping[str, Any] | None = None
    requires: Mapping[str, Any] | None = None
    becomes: Mapping[str, Any] = field(default_factory=dict)
    faults: Callable[[Names], tuple[Fault, ...]] | tuple[Fault, ...] = ()
    ttft: float = 0.0
    file: str = ""
    fail: Callable[[Pointer, str], Exception] = field(default=Mistake, compare=False, repr=False)
    _same: list[Unfolded] = field(default_factory=list, compare=False, repr=False)

    @property
    def automatic(self) -> bool:
        """Whether it says of itself which calls it is for."""
        return self.when is not None or self.requires is not None

    @property
    def speaks(self) -> bool:
        """Whether it has steps that only an operation can play which gives an answer step by step."""
        return any(line.word not in ("reply", "wait") for line, _, _ in self.every_line())

    @property
    def steps(self) -> tuple[Step | Respond, ...]:
        """Its top-level steps that are the same in every call."""
        return tuple(step for line in self.lines or () if isinstance(line, Line) for step in line.spoken)

    def unmet(self, scene: Scene) -> str | None:
        """Why it is not for this call, in words; None where it is."""
        scene = self._at(scene)
        missed = mismatch(self.when, scene) if self.when else None
        if missed is None and self.requires:
            missed = mismatch({"state": self.requires}, scene)
        return missed

    def unfold(self, scene: Scene) -> Unfolded:
        """What it comes to for one call. Raises what `fail` makes of a value that does not fit where it stands."""
        if self._same:
            return self._same[0]
        scene = self._at(scene)
        try:
            unfolded, same = _Unfolding(self, scene).unfolded()
        except Mistake as mistake:
            raise self.fail(mistake.pointer, mistake.what) from mistake
        if same:
            self._same.append(unfolded)
        return unfolded

    def names(self, scene: Scene) -> Names:
        """What its expressions can name in one call."""
        return Names(self._at(scene), self.name)

    def every_line(self) -> Iterator[tuple[Line, int, tuple[Branch, ...]]]:
        """Each line wherever it stands, with the number of repeats and the branches that it stands in."""
        return _every_line(self.lines or (), 0, ())

    def _at(self, scene: Scene) -> Scene:
        return replace(scene, play=scene.plays.get(self.name, 0) + 1)


def _every_line(
    lines: tuple[Piece, ...], depth: int, branches: tuple[Branch, ...]
) -> Iterator[tuple[Line, int, tuple[Branch, ...]]]:
    for line in lines:
        match line:
            case Line():
                yield line, depth, branches
            case Repeat():
                yield from _every_line(line.lines, depth + 1, branches)
            case Choose():
                for branch in line.branches:
                    yield from _every_line(branch.lines, depth, (*branches, branch))


class _Unfolding:
    """One scenario on its way to one call."""

    def __init__(self, scenario: Scenario, scene: Scene) -> None:
        self._scenario = scenario
        self._scene = scene
        self._names = Names(scene, scenario.name)
        self._spoken: list[tuple[Step | Respond, Pointer]] = []
        self._rounds = 0
        self._becomes: dict[str, Any] = {}
        self._faults: list[Fault] = []
        self._same = True

    def unfolded(self) -> tuple[Unfolded, bool]:
        """What it comes to, and whether it comes to the same in every call."""
        self._take(self._scenario.becomes, self._scenario.faults)
        if self._scenario.lines is not None:
            self._play(self._scenario.lines, self._names)
        replies = [(step, pointer) for step, pointer in self._spoken if isinstance(step, Respond)]
        if replies:
            return self._replied(*replies[0]), self._same
        steps = tuple(self._paced())
        # A way that says nothing leaves the answer to the behaviour.
        return Unfolded(steps or None, None, 0.0, tuple(self._faults), self._becomes), self._same

    def _replied(self, reply: Respond, pointer: Pointer) -> Unfolded:
        after = 0.0
        for step, place in self._spoken:
            if isinstance(step, Wait):
                after += step.seconds
            elif place != pointer or step is not reply:
                raise Mistake(place, BESIDE_REPLY)
        return Unfolded(None, reply, after, tuple(self._faults), self._becomes)

    def _paced(self) -> Iterator[Step]:
        ttft = self._scenario.ttft
        for number, (step, _) in enumerate(self._spoken):
            assert not isinstance(step, Respond)
            if isinstance(step, Say):
                yield replace(step, first=step.first or ttft, noise=self._noise(number) if step.jitter else 0)
                ttft = 0.0
            else:
                yield step

    def _noise(self, number: int) -> int:
        """What the distances between the pieces of a text are drawn from."""
        self._same = False
        key = f"{self._scenario.name}\x00{self._scene.play}\x00{number}"
        return int.from_bytes(self._scene.seed.fixed("jitter", key, 8), "big")

    def _take(
        self, becomes: Mapping[str, Any], faults: Callable[[Names], tuple[Fault, ...]] | tuple[Fault, ...]
    ) -> None:
        if becomes:
            self._same = False
            self._becomes |= self._names.filled(becomes)
        if callable(faults):
            self._same = False
            faults = faults(self._names)
        self._faults += faults

    def _play(self, lines: tuple[Piece, ...], names: Names) -> None:
        for line in lines:
            match line:
                case Line():
                    self._speak(line, names)
                case Repeat():
                    self._repeat(line, names)
                case Choose():
                    self._choose(line, names)

    def _speak(self, line: Line, names: Names) -> None:
        self._same = self._same and line.make is None
        self._spoken += [(step, line.pointer) for step in line.speak(names)]
        if len(self._spoken) > MOST_STEPS:
            raise Mistake(line.pointer, f"it comes to more than {MOST_STEPS} steps")

    def _repeat(self, repeat: Repeat, names: Names) -> None:
        if repeat.times is None:
            self._same = False
        times = repeat.times if repeat.count is None else repeat.count(names)
        for index in range(times or 0):
            self._rounds += 1
            if self._rounds > MOST_STEPS:
                raise Mistake(repeat.pointer, f"it comes to more than {MOST_STEPS} rounds")
            self._play(repeat.lines, names.inside(index))

    def _choose(self, choice: Choose, names: Names) -> None:
        self._same = False
        for branch in choice.branches:
            if branch.when is None or mismatch(branch.when, self._scene) is None:
                self._take(branch.becomes, branch.faults)
                self._play(branch.lines, names)
                return


BESIDE_REPLY = "a reply is the whole answer: nothing but waits before it may stand beside it"


def asked_for(text: str) -> str | None:
    """The name in a chat text that begins with `/scenario NAME` ("" when the name is missing), else None."""
    found = COMMAND.match(text)
    return None if found is None else found.group(1) or ""
