"""`chat-emulator check`: everything that is wrong with specs and scenarios, told before anybody runs into it.

A scenario is read with all its mistakes, and then what it says is held against the specs of the backends that it is
for: each raw event and each reply on its own, with the spec's own example as the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from emulator.call import Event, Violation
from emulator.contract.document import Operation, problems
from emulator.errors import Broken, Misused, nearest
from emulator.rehearsal import Rehearsal
from emulator.service import Service, scenario_folders, spec_files
from emulator.settings import Settings
from emulator.source import Pointer, Source, read
from emulator.streams.reading import mistakes_in
from emulator.streams.scenario import Line, Scenario
from emulator.streams.scene import Scene
from emulator.streams.shelf import ANY
from emulator.streams.steps import Fail, Respond, Send
from emulator.streams.values import Mistake
from emulator.streams.when import mismatch, unknown
from emulator.streams.words import STEPS

PROMISED = frozenset({"ping"})
"""Steps that every backend plays somehow: one that has no words for a keep-alive makes a pause of it."""


@dataclass(slots=True)
class Checked:
    """How many files were looked at, and what is wrong: `file:line:column: what`, each once."""

    specs: int = 0
    scenarios: int = 0
    findings: list[str] = field(default_factory=list)


def check(settings: Settings) -> Checked:
    """Look at all specs and scenarios that a server with these settings would have."""
    services = {name: Service(name, file, settings) for name, file in spec_files(settings).items()}
    checked = Checked(specs=len(services))
    sound: dict[str, Rehearsal] = {}
    for name, service in services.items():
        try:
            checked.findings += [str(problem) for problem in problems(service.file)]
            service.lookup  # noqa: B018  # opens the behaviour and its routes
            sound[name] = Rehearsal(service, settings)
        except Broken as error:
            checked.findings.append(str(error))
    for folder in scenario_folders(settings):
        for stray in sorted([*folder.rglob("*.yml"), *folder.glob("*/*.json")]):
            checked.findings.append(f"{stray}: a scenario's file ends in .yaml, so this one is not read")
        for file in sorted(folder.rglob("*.yaml")):
            checked.scenarios += 1
            found = [str(finding) for finding in check_file(folder, file, list(services), sound)]
            checked.findings += dict.fromkeys(found)
    return checked


def check_file(folder: Path, file: Path, known: list[str], sound: dict[str, Rehearsal]) -> Iterator[Broken]:
    """What is wrong with one scenario file of a folder. `known` are all backends, `sound` those that can be opened."""
    parts = file.relative_to(folder).parts
    places = [ANY, *known]
    if len(parts) != 2 or parts[0] not in places:
        near = nearest(parts[0], places) if len(parts) == 2 else []
        hint = f"; did you mean {near[0]}/{parts[1]}?" if near else ""
        yield Broken(str(file), f"expected BACKEND/NAME.yaml, BACKEND one of {', '.join(places)}{hint}")
        return
    try:
        source = read(file)
    except Broken as error:
        yield error
        return
    if parts[0] == ANY:
        yield from _File(source, file.stem, [one for one in sound.values() if one.service.backend.chat_text]).any()
    elif parts[0] in sound:
        yield from _File(source, file.stem, [sound[parts[0]]]).own()
    else:
        yield from mistakes_in(source, file.stem)[1]


class _File:
    """One file, and the backends that it is for."""

    def __init__(self, source: Source, name: str, rehearsals: list[Rehearsal]) -> None:
        self._source = source
        self._name = name
        self._rehearsals = rehearsals

    def own(self) -> Iterator[Broken]:
        """What is wrong with one that stands in a backend's folder."""
        service = self._rehearsals[0].service
        backend = service.backend
        operations = service.document.operations
        scenario, found = mistakes_in(self._source, self._name, operations, backend.speaks, backend.chat_text)
        yield from found
        if scenario is not None and not found:
            yield from self._played(scenario)

    def any(self) -> Iterator[Broken]:
        """What is wrong with one that serves every backend that streams."""
        scenario, found = mistakes_in(self._source, self._name)
        yield from found
        if scenario is None or found:
            return
        known = [id for one in self._rehearsals for id in one.service.document.operations]
        if scenario.operation is not None and scenario.operation not in known:
            yield self._broken(("operation",), f"no backend that streams has it: {_near(scenario.operation, known)}")
        elif scenario.operation is not None and scenario.speaks and not self._answers(scenario.operation):
            what = f"{scenario.operation} gives no answer in any backend that these steps could be a part of"
            yield self._broken(("operation",), what)
        for line, _, _ in scenario.every_line():
            mute = [one.service.name for one in self._rehearsals if line.word not in one.service.backend.speaks]
            if mute and line.word in STEPS and line.word not in (*PROMISED, "reply"):
                what = f"{_listed(mute)} cannot say {line.word!r}: it belongs into the folder of a backend that can"
                yield self._broken(line.pointer, what)
        yield from self._played(scenario)

    def _answers(self, operation: str) -> bool:
        return any(operation in one.service.backend.chat_text for one in self._rehearsals)

    def _played(self, scenario: Scenario) -> Iterator[Broken]:
        events: dict[Pointer, _Verdict] = {}
        for place, mistake in dict(_unheard(scenario, self._rehearsals)).items():
            yield self._broken(place, mistake)
        for rehearsal in self._rehearsals:
            for operation in _operations(scenario, rehearsal):
                scene = rehearsal.scene(operation)
                yield from _unfolded(scenario, scene)
                for line, verdict in _verdicts(scenario, scene, rehearsal, operation):
                    events.setdefault(line.pointer, _Verdict(line.word, False)).add(verdict)
        for pointer, verdict in events.items():
            what = verdict.finding()
            if what is not None:
                yield self._broken((*pointer, verdict.word), what)

    def _broken(self, pointer: Pointer, what: str) -> Broken:
        return self._source.broken(pointer, what)


@dataclass(slots=True)
class _Verdict:
    """What was found of one step: whether it says that it violates, where it was held against a spec, what is wrong."""

    word: str
    violates: bool
    held: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    useless: dict[str, str] = field(default_factory=dict)

    def add(self, other: _Verdict) -> None:
        """The same step on one more operation."""
        self.violates = other.violates
        self.held += other.held
        self.wrong |= other.wrong
        self.useless |= other.useless

    def finding(self) -> str | None:
        """What is to be told of it."""
        if self.useless:
            return "; ".join(dict.fromkeys(self.useless.values()))
        if self.violates and self.held and not self.wrong:
            return f"violates: true, but it breaks nothing in the spec of {_listed(self.held)}"
        if self.wrong and not self.violates:
            (where, what), more = next(iter(self.wrong.items())), len(self.wrong) - 1
            also = f" (and {more} more)" if more else ""
            return f"it breaks the spec of {where}{also}: {what}; if that is on purpose, add violates: true"
        return None


def _operations(scenario: Scenario, rehearsal: Rehearsal) -> list[Operation]:
    """The operations of a backend that a scenario is for: the one that it names, else those that give answers, or all
    where it has no steps of an answer."""
    operations = rehearsal.service.document.operations
    if scenario.operation is not None:
        return [operations[scenario.operation]] if scenario.operation in operations else []
    return rehearsal.answering() if scenario.speaks else list(operations.values())


def _unheard(scenario: Scenario, rehearsals: list[Rehearsal]) -> Iterator[tuple[Pointer, str]]:
    """Steps that one of the operations cannot say although its backend can, and misspelt codes of failures."""
    known = {code for one in rehearsals for code in one.service.backend.failures}
    for rehearsal in rehearsals:
        backend = rehearsal.service.backend
        for line, _, _ in scenario.every_line():
            deaf = [one.id for one in _operations(scenario, rehearsal) if line.word in backend.mute.get(one.id, ())]
            if deaf:
                yield (*line.pointer, line.word), f"{_listed(deaf)} cannot say {line.word!r}; name another operation"
            for step in line.spoken:
                if isinstance(step, Fail) and step.code is not None and step.code not in known:
                    near = nearest(step.code, backend.failures)
                    if near:
                        what = f"{backend.name} has no failure {step.code!r}; did you mean {' or '.join(near)}?"
                        yield (*line.pointer, line.word), what


def _unfolded(scenario: Scenario, scene: Scene) -> Iterator[Broken]:
    """A value that cannot be worked out, if the scenario is for this call at all."""
    if scenario.unmet(scene) is not None:
        return
    try:
        scenario.unfold(scene)
    except Broken as error:
        yield Broken(
            error.file, f"{error.what} (with the spec's example of {scene.operation})", error.line, error.column
        )


def _verdicts(
    scenario: Scenario, scene: Scene, rehearsal: Rehearsal, operation: Operation
) -> Iterator[tuple[Line, _Verdict]]:
    """What each raw event and each reply comes to on one operation."""
    for line, depth, branches in scenario.every_line():
        if line.word not in ("event", "reply"):
            continue
        if line.make is not None and any(one.when and mismatch(one.when, scene) is not None for one in branches):
            # Its values are for other calls than this one.
            continue
        names = scenario.names(scene)
        for _ in range(depth):
            names = names.inside(0)
        try:
            (step,) = line.speak(names)
        except Mistake:
            # Told where it is played, if this call plays it.
            continue
        if isinstance(step, Send):
            yield line, _held_event(step, rehearsal, operation)
        elif isinstance(step, Respond):
            yield line, _held_reply(step, rehearsal, operation)


def _held_event(step: Send, rehearsal: Rehearsal, operation: Operation) -> _Verdict:
    """A raw event, sent alone by the backend's own turn, held against the schema of its events."""
    verdict = _Verdict("event", step.violates)
    if not rehearsal.streams(operation):
        return verdict
    where = f"{rehearsal.service.name}'s {operation.id}"
    try:
        played = rehearsal.play(operation, (step,))
    except Exception as error:  # whatever is in an event, the rest of the files is looked at
        verdict.wrong[where] = f"it cannot be sent: {type(error).__name__}: {error}"
        return verdict
    assert played is not None
    inspector, status = rehearsal.service.inspector, str(played.reply.status)
    verdict.held.append(where)
    for frame in played.frames:
        broken = inspector.event(operation, status, frame.sent) if isinstance(frame.sent, Event) else []
        if broken:
            verdict.wrong.setdefault(where, _told(broken))
    return verdict


def _held_reply(step: Respond, rehearsal: Rehearsal, operation: Operation) -> _Verdict:
    """A reply, held against the documented ones of the operation."""
    verdict = _Verdict("reply", step.violates)
    where = f"{rehearsal.service.name}'s {operation.id}"
    try:
        reply = rehearsal.reply(operation, step)
    except Misused as error:
        verdict.useless[where] = error.detail + f" There are: {', '.join(error.available[:40])}."
        return verdict
    verdict.held.append(where)
    broken = rehearsal.service.inspector.reply(operation, reply)
    if broken:
        verdict.wrong[where] = _told(broken)
    return verdict


def _told(violations: Iterable[Violation]) -> str:
    listed = [str(one) for one in violations]
    told = "; ".join(listed[:3])
    return told if len(told) <= 400 else told[:400] + "…"


def _near(name: str, known: list[str]) -> str:
    near = nearest(name, known)
    return unknown("operation", name, near) if near else f"unknown operation {name!r}"


def _listed(names: Iterable[str]) -> str:
    *first, last = dict.fromkeys(names)
    return f"{', '.join(first)} and {last}" if first else last
