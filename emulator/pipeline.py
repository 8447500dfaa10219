"""The way of a call: found, let in, judged, chosen for, behaved, noted down. One function, read from top to bottom.

Nothing here knows HTTP libraries or a particular backend. A refusal by a backend is rendered by that backend, a
misuse of the emulator as problem details; nothing gets out as an exception.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from emulator.backends import Ask
from emulator.call import Call, Event, Reply, Stream, Violation
from emulator.contract.document import EVENT_STREAM, Operation
from emulator.contract.lookup import Undecodable
from emulator.contract.synthesis import body_for, headers_for
from emulator.errors import Broken, Misused, Refused
from emulator.jsontext import compact
from emulator.prefer import Preference, read_prefer
from emulator.service import Route, Service
from emulator.settings import Settings
from emulator.streams.scenario import Scenario, asked_for
from emulator.streams.sse import encode
from emulator.world.journal import Entry
from emulator.world.session import Session, Sessions

log = logging.getLogger("emulator")

SCENARIO_HEADER = "x-emulator-scenario"
MOST_HEADER = 1_000
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, and where it is noted. `inspect` holds one event of a stream against the spec."""

    reply: Reply | Stream
    session: Session | None = None
    entry: Entry | None = None
    inspect: Callable[[Event], list[Violation]] | None = None


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
        session.journal.close(entry)
    return Answer(reply, session, entry, inspect)


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

    if preference is not None:
        entry.scenario, entry.chosen_by = str(preference), "prefer"
        return _documented(service, ask, preference)
    scenario = _choose(service, ask, entry, scenario)
    if scenario is not None:
        ask.script = scenario.steps
    if route.behaviour is not None:
        return route.behaviour(ask)
    return _documented(service, ask, Preference(_success(operation), None))


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


def _choose(service: Service, ask: Ask, entry: Entry, named: Scenario | None) -> Scenario | None:
    """The scenario that this call plays: by header, by chat text, by its own `when`; None for the behaviour."""
    assert ask.operation is not None
    member = ask.backend.chat_text.get(ask.operation.id)
    chosen, by = named, "header"
    if member is None:
        if named is not None:
            entry.near_misses = (f"{named.name}: {ask.operation.id} cannot play a scenario",)
        return None
    if chosen is None:
        name = asked_for(_said(ask.body.get(member) if isinstance(ask.body, dict) else None))
        if name is not None:
            chosen, by = service.scenarios.get(name), "text"
    if chosen is None:
        chosen, by = service.scenarios.matching(ask.operation.id, ask.call.headers, ask.body), "when"
    if chosen is not None and chosen.operation not in (None, ask.operation.id):
        entry.near_misses = (f"{chosen.name}: it is for {chosen.operation}",)
        return None
    if chosen is not None:
        entry.scenario, entry.chosen_by = chosen.name, by
    return chosen


def _said(value: Any) -> str:
    """The person's text in a body's member: the text itself, or the last that a user said in a list of messages."""
    if isinstance(value, list):
        said = [one.get("content") for one in value if isinstance(one, dict) and one.get("role") == "user"]
        value = said[-1] if said else None
    return value if isinstance(value, str) else ""


def _success(operation: Operation) -> str:
    """The documented status that a well-formed call gets: the first success, else what stands for all."""
    wanted = sorted(
        operation.responses, key=lambda status: (status[:1] != "2", status == "default", not status.isdigit())
    )
    return wanted[0]


def _number(status: str) -> int:
    """A documented status as a number: `2XX` and `default` stand for their first."""
    return int(status) if status.isdigit() else int(status[0]) * 100 if status[0].isdigit() else 200


def _documented(service: Service, ask: Ask, preference: Preference) -> Reply:
    """A documented reply, from its example or its schema."""
    assert ask.operation is not None
    status = preference.status
    rng = ask.world.seed.rng("documented", f"{ask.operation.id} {status}")
    headers = (*ask.backend.headers, *headers_for(service.document, ask.operation, status, rng, ask.backend.headers))
    if preference.example is not None:
        media_type, value = service.document.examples(ask.operation, status)[preference.example]
    else:
        found, value = body_for(service.document, ask.operation, status, rng)
        if found is None:
            return Reply(_number(status), headers)
        media_type = found
    if media_type == EVENT_STREAM and isinstance(value, list):
        body = b"".join(encode(Event(**frame)) for frame in value)
    else:
        body = value.encode() if isinstance(value, str) and "json" not in media_type else compact(value)
    shown = f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
    return Reply(_number(status), (("Content-Type", shown), *headers), body)


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


def problem(error: Misused) -> Reply:
    """The emulator speaking: RFC 9457 problem details."""
    body: dict[str, Any] = {"type": "about:blank", "title": error.title, "status": error.status}
    body |= {"detail": error.detail, "available": list(error.available)}
    # What went wrong can echo a client's text, and that may be no UTF-8.
    return Reply(error.status, (("Content-Type", "application/problem+json"),), compact(_utf8(body)))


def _utf8(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _utf8(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_utf8(member) for member in value]
    return value
