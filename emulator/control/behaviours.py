"""What each operation of the control API does, by operationId. Knows no HTTP library.

A behaviour takes what was judged and returns a Reply or a Feed, or raises Misused. To read a session never makes one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from emulator import __version__
from emulator.arming import arm, ready
from emulator.call import Call, Headers, Reply
from emulator.control.feed import MOST_FEEDS, Feed
from emulator.errors import Misused, nearest
from emulator.fault import FAULTS
from emulator.jsontext import compact
from emulator.service import Service, bundled
from emulator.settings import Settings
from emulator.world import snapshot
from emulator.world.journal import Entry
from emulator.world.session import Session, Sessions, check_name

BASE = "/_emulator"
SCHEMA = "scenario.schema.json"


@dataclass(slots=True)
class Server:
    """What the control API controls. `feeds` are the readers of journals there are."""

    services: Mapping[str, Service]
    sessions: Sessions
    settings: Settings
    feeds: list[Feed] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Ask:
    """One call, judged."""

    server: Server
    call: Call
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Any

    @property
    def name(self) -> str:
        """The session's name."""
        return str(self.path["session"])

    @property
    def session(self) -> Session:
        """The session to look at; a fresh one that is not kept if there is none."""
        return self.server.sessions.peek(self.name)

    @property
    def known(self) -> Session | None:
        """The session, if there is one."""
        return self.session if self.name in self.server.sessions.names() else None

    @contextmanager
    def changing(self) -> Iterator[Session]:
        """The session to change. One that there was not is kept when all went well: what is refused makes none, and
        makes none leave."""
        sessions, known = self.server.sessions, self.known
        if known is not None:
            yield sessions.get(self.name)
        else:
            session = self.session
            yield session
            sessions.put(session)


Behaviour = Callable[[Ask], Reply | Feed]

NOTHING = Reply(204)


def _json(value: Any, status: int = 200, headers: Headers = ()) -> Reply:
    return Reply(status, (("Content-Type", "application/json"), *headers), compact(value))


def _health(ask: Ask) -> Reply:
    server = ask.server
    return _json(
        {
            "status": "ok",
            "version": __version__,
            "uptime": round(time.monotonic() - server.started, 3),
            "sessions": len(server.sessions),
            "evicted": server.sessions.evicted,
            "feeds": len(server.feeds),
        }
    )


def _backends(ask: Ask) -> Reply:
    services = ask.server.services.values()
    return _json({"backends": [describe(service) for service in services], "faults": list(FAULTS)})


def describe(service: Service) -> dict[str, object]:
    """One backend as the control API shows it."""
    backend = service.backend
    return {
        "name": service.name,
        "title": backend.title,
        "base": f"/{service.name}{service.bases()[0]}",
        "spec": f"/{service.name}/openapi.json",
        "operations": list(service.document.operations),
        "chat_operations": list(backend.chat_text),
        "api_key": service.api_key,
        "credentials": [{"value": one.value, "what": one.what} for one in backend.credentials],
        "scenarios": service.scenarios.names(),
        "differences": [
            {"name": one.name, "documented": one.documented, "observed": one.observed, "source": one.source}
            for one in backend.differences
        ],
    }


def _schema(ask: Ask) -> Reply:
    try:
        text = (bundled("scenarios") / SCHEMA).read_bytes()
    except OSError as error:
        raise Misused("No schema here", "The JSON Schema of scenario files is not installed.", (), 404) from error
    return Reply(200, (("Content-Type", "application/schema+json"),), text)


# ---- Sessions ----


def _list_sessions(ask: Ask) -> Reply:
    sessions = ask.server.sessions
    return _json({"sessions": [session.shown() for session in sessions], "evicted": sessions.evicted})


def _show_session(ask: Ask) -> Reply:
    return _json(ask.session.shown())


def _patch_session(ask: Ask) -> Reply:
    backends = list(ask.server.services)
    with ask.changing() as session:
        session.patch(backends, **ask.body)
    return _json(session.shown())


def _reset_session(ask: Ask) -> Reply:
    ask.server.sessions.reset(ask.name)
    return NOTHING


def _take_snapshot(ask: Ask) -> Reply:
    return _json(snapshot.take(ask.session))


def _put_snapshot(ask: Ask) -> Reply:
    services = ask.server.services
    with ask.changing() as session:
        snapshot.put(session, ask.body, services, lambda given: ready(services, given))
    return NOTHING


def _fork_session(ask: Ask) -> Reply:
    sessions, to = ask.server.sessions, ask.body["to"]
    check_name(to)
    if to == ask.name:
        raise Misused("The same session", "A session cannot be forked to itself; name another one.", (), 409)
    if to in sessions.names():
        what = f"The session {to!r} is in use; delete it first, or name another one."
        raise Misused("Session in use", what, (), 409)
    snapshot.fork(sessions, ask.name, to, ask.server.services)
    return _json(sessions.peek(to).shown(), 201, (("Location", f"{BASE}/sessions/{to}"),))


# ---- Journal ----


def _journal(ask: Ask) -> Reply:
    services, query = ask.server.services, ask.query
    backend, operation = query.get("backend"), query.get("operation")
    chosen = list(services) if backend is None else [_service_of(ask, [backend])]
    if operation is not None:
        known = [id for name in chosen for id in services[name].document.operations]
        if operation not in known:
            raise _unknown("operation", operation, known)
    journal = ask.session.journal
    entries = journal.select(**{name: query.get(name) for name in FILTERS})
    return _json({"entries": [entry.shown() for entry in entries], "dropped": journal.dropped})


FILTERS = ("backend", "operation", "status", "scenario", "verdict", "after", "limit")


def _clear_journal(ask: Ask) -> Reply:
    if ask.known is not None:
        ask.known.journal.clear()
    return NOTHING


def _entry(ask: Ask) -> Reply:
    id: int = ask.path["id"]
    found: list[Entry] = ask.session.journal.select(after=id - 1, limit=1)
    if not found or found[0].id != id:
        raise Misused("No such entry", f"The journal of {ask.name!r} has no entry {id}.", (), 404)
    return _json(found[0].shown())


def _watch(ask: Ask) -> Reply | Feed:
    server = ask.server
    if len(server.feeds) >= MOST_FEEDS:
        raise Misused("Too many readers", f"At most {MOST_FEEDS} readers watch journals at a time.", (), 429)
    # A browser that comes back asks for the same address again, and says in the header how far it came.
    last = ask.call.headers.get("last-event-id")
    after = int(last) if last else ask.query.get("after")
    # To watch is to use: what a session that nobody keeps will do, nobody could tell.
    session = server.sessions.get(ask.name)
    if ask.call.method == "HEAD":
        return Reply(200, (("Content-Type", "text/event-stream"),))
    return Feed(session.journal, after)


# ---- Armed ----


def _armed(ask: Ask) -> Reply:
    session = ask.session
    session.armed.expire(session.clock.now())
    return _json({"armed": [one.shown() for one in session.armed.items.values()]})


def _arm(ask: Ask) -> Reply:
    service = ask.server.services[_service_of(ask, [ask.body["backend"]])]
    with ask.changing() as session:
        arming = arm(service, session, ask.body)
    return _json(arming.shown(), 201, (("Location", f"{BASE}/sessions/{ask.name}/armed/{arming.id}"),))


def _disarm_all(ask: Ask) -> Reply:
    if ask.known is not None:
        ask.known.armed.clear()
    return NOTHING


def _show_arming(ask: Ask) -> Reply:
    session, id = ask.session, ask.path["id"]
    session.armed.expire(session.clock.now())
    if id not in session.armed.items:
        raise _no_arming(ask, id)
    return _json(session.armed.items[id].shown())


def _disarm(ask: Ask) -> Reply:
    id = ask.path["id"]
    if not ask.session.armed.remove(id):
        raise _no_arming(ask, id)
    return NOTHING


def _no_arming(ask: Ask, id: str) -> Misused:
    armed = list(ask.session.armed.items)
    return Misused(
        "Nothing armed", f"In {ask.name!r} nothing is armed as {id[:80]!r}; it may be spent.", armed[:50], 404
    )


# ---- Names ----


def _service_of(ask: Ask, names: Iterable[str]) -> str:
    """The first of the names. Raises Misused unless all are backends served here."""
    for name in names:
        if name not in ask.server.services:
            raise _unknown("backend", name, ask.server.services)
    return next(iter(names), "")


def _unknown(what: str, name: str, names: Iterable[str]) -> Misused:
    near = nearest(name, names)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return Misused(f"Unknown {what}", f"There is no {what} {name[:80]!r}.{hint}", names)


BEHAVIOURS: Mapping[str, Behaviour] = {
    "getHealth": _health,
    "listBackends": _backends,
    "getScenarioSchema": _schema,
    "listSessions": _list_sessions,
    "getSession": _show_session,
    "patchSession": _patch_session,
    "resetSession": _reset_session,
    "takeSnapshot": _take_snapshot,
    "putSnapshot": _put_snapshot,
    "forkSession": _fork_session,
    "getJournal": _journal,
    "clearJournal": _clear_journal,
    "watchJournal": _watch,
    "getEntry": _entry,
    "listArmed": _armed,
    "arm": _arm,
    "disarmAll": _disarm_all,
    "getArming": _show_arming,
    "disarm": _disarm,
}
