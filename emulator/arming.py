"""What is to be armed, as JSON → an Arming. Everything is checked now, so that no call meets a mistake later.

Used by the control API, by whoever puts a snapshot back (`ready`), and by tests in the same process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from emulator.call import Violation
from emulator.choosing import Readied
from emulator.contract.document import Operation
from emulator.durations import shown
from emulator.errors import Broken, Misused, nearest
from emulator.fault import Fault, parse
from emulator.jsontext import compact
from emulator.prefer import read_prefer
from emulator.service import Service
from emulator.streams.reading import scenario_from
from emulator.streams.scenario import Scenario
from emulator.streams.steps import Respond
from emulator.streams.when import check_when
from emulator.world.armed import Arming
from emulator.world.session import Session

MEMBERS = ("backend", "operation", "scenario", "prefer", "fault", "when", "times")
MOST_TIMES = 1_000_000
INLINE = "inline"
REFUSE = "refuse"
FOR = "for"
"""Option of the fault `refuse`: seconds of the session's clock that it lasts."""

Pointer = tuple[str | int, ...]


class Unusable(Misused):
    """What was to be armed has a mistake. `violations` tells where."""

    def __init__(self, title: str, pointer: Pointer, what: str, available: Iterable[str] = ()) -> None:
        where = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)
        super().__init__(title, f"{where}: {what}" if where else what, available)
        self.pointer = pointer
        self.violations = (Violation("body", where, "arming", what, "nothing"),)

    def found_in(self, body: Any) -> None:
        """Tell what stands there in `body`, or at the nearest place above."""
        for part in self.pointer:
            inner = body.get(part) if isinstance(body, dict) else None
            if isinstance(body, list) and isinstance(part, int) and part < len(body):
                inner = body[part]
            if inner is None:
                break
            body = inner
        self.violations = (replace(self.violations[0], got=shown(body)),)


def arm(service: Service, session: Session, body: Mapping[str, Any]) -> Arming:
    """Arm what `body` says for calls to `service` in `session`. Raises Misused (409 where the list is full), and then
    nothing has changed."""
    arming = make(service, body)
    armed, now = session.armed, session.clock.now()
    armed.expire(now)
    seconds = _seconds(arming.ready.faults)
    return armed.add(replace(arming, id=armed.new_id(), until=None if seconds is None else now + seconds))


def ready(services: Mapping[str, Service], given: Mapping[str, Any]) -> Arming:
    """What was given for an arming that was kept as JSON, ready again; it is the caller's to give it its id. Raises
    Misused."""
    name = given.get("backend")
    if not isinstance(name, str) or name not in services:
        asked = str(name)[:80]
        raise Unusable("Unknown backend", ("backend",), f"no backend {asked!r}.{_hint(asked, services)}", services)
    return make(services[name], given)


def make(service: Service, body: Mapping[str, Any]) -> Arming:
    """What a body comes to, without an id, armed nowhere yet. Raises Misused."""
    try:
        return _made(service, body)
    except Unusable as error:
        error.found_in(body)
        raise


def _made(service: Service, body: Mapping[str, Any]) -> Arming:
    given = {name: value for name, value in body.items() if value is not None or name == "times"}
    _only(given)
    operation = _operation(service, given.get("operation"))
    what = [name for name in ("scenario", "prefer") if name in given]
    if len(what) == 2 or not (what or "fault" in given):
        wanted = "expected one of scenario, prefer and fault, or a fault beside one of the other two"
        raise Unusable("Nothing to arm" if not what else "Too much to arm", (), wanted)
    faults = parse(given["fault"], _failing("Unusable fault", "fault")) if "fault" in given else ()
    if "when" in given:
        check_when(given["when"], _failing("Unusable condition", "when"))
    times = _times(given["times"]) if "times" in given else 1 if _seconds(faults) is None else None
    return Arming(
        id="",
        backend=service.name,
        operation=None if operation is None else operation.id,
        scenario=given.get("scenario"),
        prefer=given.get("prefer"),
        fault=given.get("fault"),
        when=given.get("when"),
        times=times,
        left=times,
        ready=Readied(
            scenario=_scenario(service, operation, given["scenario"]) if "scenario" in given else None,
            prefer=_prefer(service, operation, given["prefer"]) if "prefer" in given else None,
            faults=faults,
            when=given.get("when"),
        ),
    )


def _check_codes(service: Service, scenario: Scenario) -> None:
    """Raise Unusable for a reply with an error code that the backend has no words for."""
    codes = service.backend.codes
    for line, _, _ in scenario.every_line():
        for step in line.spoken:
            if isinstance(step, Respond) and codes is not None and step.code is not None and step.code not in codes:
                what = f"{service.name} has no error code {step.code[:80]!r}.{_hint(step.code[:80], codes)}"
                raise Unusable("Unknown code", ("scenario", *line.pointer), what, sorted(codes))


def _only(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in MEMBERS:
            raise Unusable("Unknown member", (name,), f"there is no such member.{_hint(name, MEMBERS)}", MEMBERS)


def _hint(name: str, names: Iterable[str]) -> str:
    near = nearest(name, names)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _operation(service: Service, id: Any) -> Operation | None:
    if id is None:
        return None
    if not isinstance(id, str) or id not in service.document.operations:
        raise _unknown_operation(service, ("operation",), str(id))
    return service.document.operations[id]


def _unknown_operation(service: Service, pointer: Pointer, name: str) -> Unusable:
    known = service.document.operations
    what = f"{service.name} has no operation {name[:80]!r}.{_hint(name[:80], known)}"
    return Unusable("Unknown operation", pointer, what, known)


def _times(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_TIMES:
        what = f"expected null or 1 to {MOST_TIMES}, got {ascii(value)[:40]}"
        raise Unusable("Unusable number of times", ("times",), what)
    return value


def _seconds(faults: tuple[Fault, ...]) -> float | None:
    """How long connections are to be refused: then the arming ends with that time."""
    lasting = [fault.options[FOR] for fault in faults if fault.name == REFUSE and fault.options.get(FOR) is not None]
    return float(max(lasting)) if lasting else None


def _failing(title: str, member: str) -> Any:
    def fail(pointer: Pointer, what: str) -> Exception:
        return Unusable(title, (member, *pointer), what)

    return fail


def _scenario(service: Service, operation: Operation | None, value: Any) -> Scenario | str:
    """A scenario by name stays one: a file that changes until then is played as it is then."""
    backend, at = service.backend, ("scenario",)
    if isinstance(value, str):
        try:
            scenario = service.scenarios.get(value)
        except Broken as error:
            raise Misused("Broken scenario", str(error)) from error
    else:
        if not isinstance(value, dict):
            raise Unusable("Unusable scenario", at, "expected a scenario's name, or a mapping with its steps")
        # By what it says: how often it was played is counted by name, also after a snapshot was put back.
        name = f"{INLINE}-{sha256(compact(value)).hexdigest()[:8]}"
        fail = _failing("Unusable scenario", "scenario")
        operations = service.document.operations
        scenario = scenario_from(value, name, operations, backend.speaks, fail, backend.chat_text)
        _check_codes(service, scenario)
    if scenario.operation is not None and scenario.operation not in service.document.operations:
        raise _unknown_operation(service, ("scenario", "operation"), scenario.operation)
    playing = backend.chat_text if must_answer(scenario) else service.document.operations
    if not playing:
        raise Unusable("Nobody can play it", at, f"no operation of {service.name} gives an answer to play it in")
    if operation is not None:
        _check_played(operation.id, scenario, playing)
    elif scenario.operation is not None and scenario.operation not in playing:
        what = f"{scenario.operation}, which it is for, gives no answer to play it in"
        raise Unusable("Nobody can play it", at, what, playing)
    return value if isinstance(value, str) else scenario


def _check_played(operation: str, scenario: Scenario, playing: Collection[str]) -> None:
    if scenario.operation not in (None, operation):
        what = f"it is for {scenario.operation} and not for {operation}"
        raise Unusable("Nobody can play it", ("scenario",), what, [str(scenario.operation)])
    if operation not in playing:
        what = f"{operation} gives no answer that it could be played in"
        raise Unusable("Nobody can play it", ("scenario",), what, playing)


def must_answer(scenario: Scenario) -> bool:
    """Whether only an operation that gives an answer step by step can play it, whatever it comes to."""
    return scenario.lines is not None and all(line.word != "reply" for line, _, _ in scenario.every_line())


def _prefer(service: Service, operation: Operation | None, value: Any) -> str:
    if not isinstance(value, str):
        raise Unusable("Malformed Prefer", ("prefer",), "expected a text such as code=429, example=NAME")
    refused: list[Misused] = []
    for one in [operation] if operation is not None else service.document.operations.values():
        try:
            if read_prefer(value, one, service.document) is None:
                raise Unusable("Malformed Prefer", ("prefer",), "expected code=STATUS, example=NAME or both")
        except Unusable:
            raise
        except Misused as error:
            refused.append(error)
        else:
            return value
    if operation is not None or refused[0].title == "Malformed Prefer":
        raise refused[0]
    available = sorted({name for error in refused for name in error.available})
    wanted = value.rpartition("=")[2].strip(' "')
    what = f"No operation of {service.name} documents {value[:80]!r}.{_hint(wanted, available)}"
    raise Misused("Undocumented reply", what, available)
