"""The way of a call: found, let in, judged, chosen for, behaved, noted down. One function, read from top to bottom.

Nothing here knows HTTP libraries or a particular backend. A refusal by a backend is rendered by that backend, a
misuse of the emulator as problem details; nothing gets out as an exception.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from emulator.backends import Ask
from emulator.call import Call, Event, Reply, Stream, Violation
from emulator.choosing import Choice, choose, settle
from emulator.contract.lookup import Undecodable
from emulator.errors import Broken, Misused, Refused
from emulator.fault import Fault
from emulator.prefer import Preference, read_prefer
from emulator.replies import documented, problem, respond, success
from emulator.service import Route, Service
from emulator.settings import Settings
from emulator.world.journal import Entry
from emulator.world.session import Session, Sessions

log = logging.getLogger("emulator")

SCENARIO_HEADER = "x-emulator-scenario"
MOST_HEADER = 1_000
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, and where it is noted. `inspect` holds one event of a stream against the spec; `faults` are what
    is done to it on its way, and `noise` decides their chances."""

    reply: Reply | Stream
    session: Session | None = None
    entry: Entry | None = None
    inspect: Callable[[Event], list[Violation]] | None = None
    faults: tuple[Fault, ...] = ()
    noise: int = 0


def answer(service: Service, sessions: Sessions, settings: Settings, call: Call, too_large: bool = False) -> Answer:
    """Answer a call to one backend. `too_large` says that its body was beyond the limit and was not read."""
    try:
        session = sessions.get(call.session)
    except Misused as error:
        return Answer(problem(error))
    session.clock.tick()
    entry = session.journal.open(session.clock.now(), session.name, service.name, call)
    ask = Ask(call, settings, session, service.backend, service.document)
    reply = _guarded(service, ask, entry, too_large)
    inspect = None
    if settings.check_replies and ask.operation is not None and entry.verdict == "accepted":
        inspect = _inspection(service, ask, entry, reply)
    reply = _labelled(ask, entry, reply)
    entry.status, entry.reply_headers = reply.status, reply.headers
    if isinstance(reply, Reply):
        entry.reply_body = reply.body
        if not ask.faults:
            session.journal.close(entry)
    noise = _noise(ask) if ask.faults or isinstance(reply, Stream) else 0
    return Answer(reply, session, entry, inspect, tuple(ask.faults), noise)


def _noise(ask: Ask) -> int:
    """What decides chances in this answer: the seed, and how often its operation was called."""
    operation = "" if ask.operation is None else ask.operation.id
    nth = ask.world.story.calls.get(operation, 0)
    return int.from_bytes(ask.world.seed.fixed("faults", f"{operation} {nth}", 8), "big")


def _guarded(service: Service, ask: Ask, entry: Entry, too_large: bool) -> Reply | Stream:
    """The way, with every refusal turned into a reply."""
    violations: tuple[Violation, ...] = ()
    try:
        if too_large:
            raise Refused("too_large")
        return _way(service, ask, entry)
    except Misused as misused:
        entry.verdict = "refused"
        return problem(misused)
    except Broken as broken:
        entry.verdict = "refused"
        return problem(Misused("Broken scenario", str(broken)))
    except _Violated as violated:
        violations = entry.violations = violated.violations
        refused = Refused("invalid")
    except Undecodable:
        refused = Refused("undecodable")
    except Refused as error:
        refused = error
    except Exception:
        log.exception("%s %s could not be answered", ask.call.method, ask.call.path)
        refused = Refused("crashed")
    entry.verdict = "refused"
    ask.faults.clear()
    return ask.backend.refuse(ask, refused, violations)


class _Violated(Exception):
    def __init__(self, violations: tuple[Violation, ...]) -> None:
        super().__init__()
        self.violations = violations


def _way(service: Service, ask: Ask, entry: Entry) -> Reply | Stream:
    call = ask.call
    route = _route(service, ask, entry)
    if route is None:
        return _options(service, call)
    if route.extra is not None:
        return route.extra.behaviour(ask)
    operation = ask.operation = route.operation
    assert operation is not None
    entry.operation = operation.id

    preference = read_prefer(call.headers.get("prefer", ""), operation, service.document)
    named = call.headers.get(SCENARIO_HEADER)
    scenario = None if named is None else service.scenarios.get(named)

    ask.caller = ask.backend.authenticate(ask)

    judgement = service.judge.judge(operation, call, ask.path)
    ask.path, ask.query, ask.body, ask.parts = judgement.path, judgement.query, judgement.body, judgement.parts
    if judgement.violations:
        raise _Violated(judgement.violations)

    choice = choose(service, ask, entry, preference, scenario)
    reply = _behave(service, ask, route, choice)
    settle(ask, entry, choice)
    return reply


def _behave(service: Service, ask: Ask, route: Route, choice: Choice) -> Reply | Stream:
    """What was chosen, or what the operation does of its own accord."""
    assert ask.operation is not None
    if choice.preference is not None:
        return documented(service, ask, choice.preference)
    if choice.unfolded is not None:
        if choice.unfolded.reply is not None:
            return respond(service, ask, choice.unfolded.reply, choice.unfolded.after)
        ask.script = choice.unfolded.steps
    if route.behaviour is not None:
        return route.behaviour(ask)
    return documented(service, ask, Preference(success(ask.operation), None))


def _route(service: Service, ask: Ask, entry: Entry) -> Route | None:
    """The route of a call; None for OPTIONS where the path is known and has none of its own."""
    found = service.find(ask.call.method, ask.call.path)
    if found is None:
        raise Refused("unknown_path")
    if found.target is None:
        if ask.call.method == "OPTIONS":
            return None
        raise Refused("method_not_allowed", message=_allow(found.methods))
    ask.path = found.values
    return found.target


def _allow(methods: tuple[str, ...]) -> str:
    return ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])


def _options(service: Service, call: Call) -> Reply:
    found = service.find("OPTIONS", call.path)
    assert found is not None
    return Reply(200, (("Allow", _allow(found.methods)), *service.backend.headers))


def _labelled(ask: Ask, entry: Entry, reply: Reply | Stream) -> Reply | Stream:
    """The reply with the emulator's own headers."""
    added: list[tuple[str, str]] = []
    if entry.operation is not None:
        added.append(("X-Emulator-Operation", entry.operation))
    if entry.scenario is not None:
        added.append(("X-Emulator-Scenario", _ascii(entry.scenario)))
    if entry.violations:
        added.append(("X-Emulator-Violation", _ascii("; ".join(str(one) for one in entry.violations[:5]))))
    return replace(reply, headers=(*reply.headers, *added)) if added else reply


def _ascii(text: str) -> str:
    flat = CONTROL.sub("?", " ".join(text.split()))
    return flat.encode("ascii", "backslashreplace").decode()[:MOST_HEADER]


def _inspection(
    service: Service, ask: Ask, entry: Entry, reply: Reply | Stream
) -> Callable[[Event], list[Violation]] | None:
    """Hold the reply against the spec now, or give what holds each event of a stream against it."""
    operation = ask.operation
    assert operation is not None
    if isinstance(reply, Reply):
        note_breaches(entry, service.inspector.reply(operation, reply))
        return None
    status = str(reply.status)

    def inspect(event: Event) -> list[Violation]:
        return service.inspector.event(operation, status, event)

    return inspect


def note_breaches(entry: Entry, breaches: list[Violation]) -> None:
    """Journal and log what our own side did against the spec."""
    for breach in breaches:
        entry.breaches.append(breach)
        log.error("breach of the spec by %s%s: %s", entry.operation, _where(entry), breach)


def _where(entry: Entry) -> str:
    scenario = f", scenario {entry.scenario}" if entry.scenario else ""
    if not entry.frames:
        return scenario
    event = entry.frames[-1]["event"]
    name = event.get("event") or event.get("type") if isinstance(event, dict) else None
    return f"{scenario}, event {entry.frame_count}{f' ({name})' if name else ''}"
