"""Same seed and same calls, same bytes: two processes that differ in all that must not matter get the same 200 calls.

The calls are drawn from what the specs show, each operation at least once: with ids that earlier replies told,
scenarios, `Prefer`, wrong tokens, wrong paths and broken bodies, over all backends, in sessions of different names.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from example_calls import SERVICES, example_requests

from emulator.contract.document import Operation
from emulator.service import Service

ROOT = Path(__file__).parent.parent
HOST = "emulator.test"
"""Addresses in replies begin with what the client called; the ports of the two processes differ."""
CALLS = 200
SURROUNDINGS = (
    # hash seed, time zone, language, text encoding of files, session
    ("0", "UTC", "C", "1", "one"),
    ("4711", "Pacific/Chatham", "zh_CN.UTF-8", "0", "the-other.one_2"),
)
ID = re.compile(rb'"(\w*?(?:uu)?id)"\s*:\s*"([0-9A-Za-z_-]{8,64})"|\[(MESSAGE_ID):([0-9a-f-]{36})\]')
ADDRESS = re.compile(rb'"http://emulator\.test(/[^"\\]+)"')
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
COMES_AGAIN = 0.7
"""How often an id of an example gives way to one that a reply told."""


@dataclass
class Script:
    """Decides what is called next. Knows of the replies what they told, and draws all else from one seed."""

    rng: random.Random
    told: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)

    def calls(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Backend and arguments of httpx, for ever."""
        all_of_them = [(service, operation) for service in SERVICES.values() for operation in listed(service)]
        self.rng.shuffle(all_of_them)
        for service, operation in all_of_them:
            yield service.name, self.example(service, operation)
        changes = (self.example, self.example, self.scenario, self.scenario, self.prefer, self.refused, self.address)
        while True:
            service = self.rng.choice(list(SERVICES.values()))
            change = self.rng.choice(changes)
            self.made[change.__name__] += 1
            yield service.name, change(service, self.rng.choice(listed(service)))

    def example(self, service: Service, operation: Operation) -> dict[str, Any]:
        """One of the operation's example calls, with ids that are known by now."""
        call = self.rng.choice(list(example_requests(service, operation)))
        if call.get("files"):
            call["headers"]["Content-Type"] = "multipart/form-data; boundary=limit"
        path, _, query = call["url"].partition("?")
        call["url"] = UUID.sub(lambda found: self.known(service.name, "id", found[0]), path) + (query and f"?{query}")
        if "json" in call:
            call["json"] = self.renewed(service.name, "id", call["json"])
        return call

    def scenario(self, service: Service, operation: Operation) -> dict[str, Any]:
        """An operation that answers, in one of its backend's scenarios; now and then one that is not there."""
        asked = self.rng.choice(list(service.backend.chat_text) or [operation.id])
        call = self.example(service, service.document.operations[asked])
        # `echo` says the session's name, which differs; `never-ends` does not.
        names = [name for name in service.scenarios.names() if name not in ("echo", "never-ends")]
        name = self.rng.choice([*names, "no-such-scenario"])
        return with_headers(call, {"X-Emulator-Scenario": name})

    def prefer(self, service: Service, operation: Operation) -> dict[str, Any]:
        """A documented reply."""
        status = self.rng.choice([*operation.responses, "999"])
        return with_headers(self.example(service, operation), {"Prefer": f"code={status}"})

    def refused(self, service: Service, operation: Operation) -> dict[str, Any]:
        """Something wrong with the call."""
        call = self.example(service, operation)
        kind = self.rng.randrange(4)
        if kind == 0:
            return with_headers(call, {"Authorization": "Bearer wrong"})
        if kind == 1:
            return {**call, "url": call["url"].replace("/api", "/nowhere", 1) + "/x"}
        if kind == 2:
            return {**call, "method": self.rng.choice(["PATCH", "TRACE", "OPTIONS", "GET", "DELETE"])}
        bare = {name: value for name, value in call.items() if name not in ("json", "data", "files")}
        body = self.rng.choice([b"{", b"[]", b"null", b'{"query": 1}', b"\xff\xfe", '{"名": []}'.encode()])
        return with_headers({**bare, "content": body}, {"Content-Type": "application/json"})

    def address(self, service: Service, operation: Operation) -> dict[str, Any]:
        """A file, by an address that a reply told."""
        if not self.addresses:
            return self.example(service, operation)
        return {"method": "GET", "url": self.rng.choice(self.addresses), "headers": {}}

    def learn(self, backend: str, body: bytes) -> None:
        """Keep what a reply tells."""
        for name, value, marker, marked in ID.findall(body):
            known = self.told.setdefault((backend, "message_id" if marker else name.decode()), [])
            id = (value or marked).decode()
            if id not in known:
                known.append(id)
        self.addresses += [one.decode() for one in ADDRESS.findall(body) if one.decode() not in self.addresses]

    def known(self, backend: str, name: str, id: str) -> str:
        """An id in place of one; the newer, the likelier."""
        ids = self.told.get((backend, name)) or self.told.get((backend, "id")) or self.told.get((backend, "uuid"))
        if not ids or self.rng.random() > COMES_AGAIN:
            return id
        return ids[max(self.rng.randrange(len(ids)), self.rng.randrange(len(ids)))]

    def renewed(self, backend: str, name: str, value: Any) -> Any:
        """A body with other ids in it."""
        if isinstance(value, dict):
            return {key: self.renewed(backend, key, one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.renewed(backend, name, one) for one in value]
        return self.known(backend, name, value) if isinstance(value, str) and UUID.fullmatch(value) else value


def listed(service: Service) -> list[Operation]:
    """The operations of a service, in an order that is the same everywhere."""
    return sorted(service.document.operations.values(), key=lambda operation: operation.id)


def with_headers(call: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """A call with more headers."""
    return {**call, "headers": {**call["headers"], **headers}}


@dataclass(frozen=True)
class Came:
    """What came of a call: everything but where chunks were cut."""

    status: int | None
    headers: list[tuple[bytes, bytes]]
    body: bytes
    whole: bool


def send(http: httpx.Client, call: dict[str, Any]) -> Came:
    """One call, read to its end or to where it breaks off."""
    status, headers, body = None, [], b""
    try:
        with http.stream(**call) as reply:
            status, headers = reply.status_code, reply.headers.raw
            for piece in reply.iter_raw():
                body += piece
    except httpx.TransportError:
        return Came(status, headers, body, whole=False)
    return Came(status, headers, body, whole=True)


@contextmanager
def serving(folder: Path, surroundings: tuple[str, ...], seed: int = 7) -> Iterator[httpx.Client]:
    """A process that serves, and a client of one session of it."""
    hash_seed, zone, language, utf8, session = surroundings
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))},
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": hash_seed,
        "PYTHONUTF8": utf8,
        "TZ": zone,
        "LANG": language,
    }
    folder.mkdir()
    command = [sys.executable, "-m", "emulator", "serve", "--port", "0", "--speed", "0", "--seed", str(seed)]
    with (folder / "told").open("w") as told:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=told, text=True)
    try:
        assert server.stdout is not None
        ready = server.stdout.readline().split()
        assert ready[:1] == ["ready"], (folder / "told").read_text()
        headers = {"Host": HOST, "X-Emulator-Session": session}
        timeout = httpx.Timeout(30)
        with httpx.Client(base_url=ready[1], headers=headers, timeout=timeout, verify=False) as http:
            yield http
    finally:
        server.terminate()
        server.communicate(timeout=10)


def test_two_processes_answer_200_calls_alike(tmp_path: Path) -> None:
    script = Script(random.Random(2))
    played: list[tuple[str, dict[str, Any], Came]] = []
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(serving(tmp_path / str(number), surroundings))
            for number, surroundings in enumerate(SURROUNDINGS)
        )
        for backend, call in islice(script.calls(), CALLS):
            came = send(one, call)
            assert send(other, call) == came, (len(played), backend, call)
            script.learn(backend, came.body)
            played.append((backend, call, came))
        # Once more in a session that comes late to a process that has seen all this.
        one.headers["X-Emulator-Session"] = "late"
        for number, (backend, call, came) in enumerate(played):
            assert send(one, call) == came, (number, backend, call)
    backends = Counter(backend for backend, _, _ in played)
    statuses = Counter(came.status for _, _, came in played)
    streams = [came for _, _, came in played if (b"transfer-encoding", b"chunked") in came.headers]
    assert set(backends) == set(SERVICES) and min(backends.values()) >= 20, backends
    assert (
        set(script.made) == {"example", "scenario", "prefer", "refused", "address"} and min(script.made.values()) >= 5
    )
    assert set(statuses) >= {200, 400, 401, 404} and len(statuses) >= 7 and statuses[200] >= CALLS / 2, statuses
    assert len(streams) >= 20 and not all(came.whole for came in streams)


def test_another_seed_answers_otherwise(tmp_path: Path) -> None:
    """Else the test above would hold for a server that ignores its seed."""
    script = Script(random.Random(2))
    calls = [script.example(service, operation) for service in SERVICES.values() for operation in listed(service)]
    with ExitStack() as stack:
        one, other = (stack.enter_context(serving(tmp_path / str(seed), SURROUNDINGS[0], seed)) for seed in (7, 8))
        differ = Counter(call["url"].split("/")[1] for call in calls if send(one, call) != send(other, call))
    assert set(differ) == set(SERVICES) and sum(differ.values()) >= 20, differ
