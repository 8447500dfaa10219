"""Two hundred sessions at once on one server: each gets the bytes it would get alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

from session_calls import TALKS, Asked, Told, held

from emulator.testing.server import ThreadedServer

SESSIONS = 200
THREADS = 6
PLANS = 16
MOVING = frozenset({"date", "server"})
"""Headers that the transport adds."""


@dataclass(frozen=True)
class Plan:
    """What one session does: with which seed, which talks, about what."""

    seed: int
    talks: tuple[str, ...]
    word: str


def plan(number: int) -> Plan:
    rng = random.Random(number)
    return Plan(number % 5, tuple(rng.sample(list(TALKS), 2)), f"word{number % 3}")


class Caller:
    """One connection, used for many sessions."""

    def __init__(self, server: ThreadedServer) -> None:
        address = urlsplit(server.url)
        self._connection = HTTPConnection(address.hostname or "", address.port, timeout=30)

    def call(self, session: str, call: Asked) -> Told:
        target = f"/{call.backend}{call.path}" + (f"?{call.query}" if call.query else "")
        headers = {**call.headers, "X-Emulator-Session": session}
        self._connection.request(call.method, target, call.body or None, headers)
        reply = self._connection.getresponse()
        body = reply.read()
        kept = tuple((name, value) for name, value in reply.getheaders() if name.lower() not in MOVING)
        return Told(reply.status, kept, body)

    def close(self) -> None:
        self._connection.close()


def steps(caller: Caller, session: str, what: Plan) -> Iterator[Told]:
    """The session's replies, one call at a time."""
    for name in what.talks:
        for _, told in held(TALKS[name](what.word), lambda call: caller.call(session, call)):
            yield told


def many(server: ThreadedServer, sessions: dict[str, Plan], order: random.Random) -> dict[str, list[Told]]:
    """All these sessions at once on one connection, whose turn it is being left to chance."""
    caller = Caller(server)
    under_way = {name: steps(caller, name, what) for name, what in sessions.items()}
    got: dict[str, list[Told]] = {name: [] for name in sessions}
    while under_way:
        name = order.choice(list(under_way))
        told = next(under_way[name], None)
        if told is None:
            del under_way[name]
        else:
            got[name].append(told)
    caller.close()
    return got


def test_each_gets_what_it_would_get_alone() -> None:
    with ThreadedServer(speed=0) as server:
        alone = {number: plan(number) for number in range(PLANS)}
        crowd = {f"crowd-{number}": plan(number % PLANS) for number in range(SESSIONS)}
        for name, what in [*((f"alone-{number}", one) for number, one in alone.items()), *crowd.items()]:
            server.app.sessions.get(name).patch(seed=what.seed)
        caller = Caller(server)
        wanted = {what: list(steps(caller, f"alone-{number}", what)) for number, what in alone.items()}
        caller.close()
        parts = [dict(list(crowd.items())[thread::THREADS]) for thread in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            results = list(pool.map(many, [server] * THREADS, parts, map(random.Random, range(THREADS))))
        assert len(server.app.sessions) == SESSIONS + PLANS and server.app.sessions.evicted == 0
    assert len({tuple(told) for told in wanted.values()}) == PLANS, "the plans differ"
    assert all(told.status < 500 for one in wanted.values() for told in one)
    got = {name: told for result in results for name, told in result.items()}
    assert len(got) == SESSIONS
    wrong = [name for name, what in crowd.items() if got[name] != wanted[what]]
    assert wrong == []
