"""Runs mutants against schemathesis, in one process with their server.

Owns what counts as a kill: a check that the mutant names fails in the operation that it names, and the same check does
not fail there on the unbroken server with the same calls.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from example_calls import bodies_of, call_example
from wrapping import Answer, Mutant, Wrapped

from emulator.app import App, create_app
from emulator.contract.document import Operation
from emulator.server import listen, make_server
from emulator.service import Service

ROOT = Path(__file__).parent.parent.parent
PHASES = ["examples", "coverage", "fuzzing"]
START_SECONDS = 10.0
STATEFUL = frozenset({"use_after_free", "ensure_resource_availability"})
"""Checks that need calls of several operations in a row; mutants are run without that phase."""
Found = frozenset[tuple[str, str]]
"""Failed checks: (check, label of the operation)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one mutant. `spec` and `checks` are the failed checks that it names; `others` all that failed."""

    mutant: str
    backend: str
    kind: str
    spec: tuple[str, ...]
    checks: tuple[str, ...]
    others: tuple[str, ...]
    cases: int
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was found."""
        return bool(self.spec or self.checks)


class Server:
    """The emulator behind a `Wrapped`, in a thread."""

    def __init__(self, backend: str) -> None:
        app: App = create_app(backends=(backend,), speed=0, port=0)
        self.wrapped = Wrapped(app)
        self.service: Service = app.services[backend]
        self._socket = listen("127.0.0.1", 0)
        self._server = make_server(self.wrapped)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}"

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Answers within the block."""
        # schemathesis tries whether the server takes requests that are none.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.005)
        try:
            yield self
        finally:
            self._server.should_exit = True
            self._thread.join(START_SECONDS)
            self._socket.close()


def samples(server: Server) -> dict[str, list[Answer]]:
    """Operation id → the unbroken server's replies to its examples, successes first."""
    found: dict[str, list[Answer]] = {}
    service = server.service
    for operation in service.document.operations.values():
        answers = []
        for number in range(len(bodies_of(service.document, operation))):
            session = f"sample-{operation.id}"[:60] + str(number)
            reply = call_example(server, service, operation, session, number)
            headers = tuple((name.lower(), value) for name, value in reply.headers.items())
            answers.append(Answer(reply.status_code, headers, reply.content))
        found[operation.id] = sorted(answers, key=lambda answer: answer.status)
    return found


class Running:
    """schemathesis against one server, mutant after mutant.

    The unbroken server is called first, for so many `sound_seeds` from `seed` on: what fails there kills no mutant.
    """

    def __init__(self, server: Server, seed: int, examples: int, sound_seeds: int = 1) -> None:
        self._server = server
        self._seed = seed
        self._examples = examples
        self._sound_seeds = sound_seeds
        self._count = 0
        self._sound: dict[str, Found] = {}

    def verdict(self, mutant: Mutant) -> Verdict:
        """Run one mutant."""
        started = time.monotonic()
        operation = self._server.service.document.operations[mutant.operation]
        known = self._failures_of_the_sound(operation)
        label = _label(operation)
        # The first check that counts is enough. Those of the specs come first, so that both rates are told.
        wanted = mutant.spec - STATEFUL or mutant.checks
        stop_at = frozenset((check, label) for check in wanted)
        found, cases = self._failures(operation, mutant, stop_at)
        if found and not found & stop_at:
            # Another check was first, and schemathesis leaves it at that.
            found, cases = self._failures(operation, mutant, stop_at, to_the_end=True)
        here = {check for check, where in found - known if where == label}
        return Verdict(
            mutant.name,
            mutant.backend,
            mutant.kind,
            tuple(sorted(here & mutant.spec)),
            tuple(sorted(here & mutant.checks)),
            tuple(sorted(f"{check} in {where}" for check, where in found - known)),
            cases,
            time.monotonic() - started,
        )

    def _failures_of_the_sound(self, operation: Operation) -> Found:
        """What fails on the unbroken server, which should be nothing."""
        if operation.id not in self._sound:
            seeds = range(self._seed, self._seed + self._sound_seeds)
            found = [self._failures(operation, None, frozenset(), seed=seed)[0] for seed in seeds]
            self._sound[operation.id] = frozenset().union(*found)
        return self._sound[operation.id]

    def sound(self) -> dict[str, Found]:
        """What failed on the unbroken server, by operation; only what did."""
        return {id: found for id, found in self._sound.items() if found}

    def _failures(
        self,
        operation: Operation,
        mutant: Mutant | None,
        stop_at: Found,
        *,
        seed: int | None = None,
        to_the_end: bool = False,
    ) -> tuple[Found, int]:
        from schemathesis import engine
        from schemathesis.engine import Status
        from schemathesis.engine.events import NonFatalError, ScenarioFinished

        self._count += 1
        self._server.wrapped.session = f"mutant-{self._count}"
        self._server.wrapped.mutant = mutant
        found: set[tuple[str, str]] = set()
        cases = 0
        events = engine.from_schema(self._schema(operation, seed or self._seed, to_the_end)).execute()
        try:
            for event in events:
                if isinstance(event, NonFatalError):
                    found.add(("error", f"{_label(operation)}: {event.value!r}"))
                if not isinstance(event, ScenarioFinished):
                    continue
                cases += len(event.recorder.cases)
                for checks in event.recorder.checks.values():
                    for check in checks:
                        if check.status == Status.FAILURE and check.failure_info is not None:
                            found.add((check.name, check.failure_info.failure.operation or _label(operation)))
                if found & stop_at:
                    events.stop()
        finally:
            self._server.wrapped.mutant = None
            for name in (self._server.wrapped.session, f"{self._server.wrapped.session}-shadow"):
                httpx.delete(f"{self._server.url}/_emulator/sessions/{name}", verify=False)
            self._server.wrapped.session = ""
        return frozenset(found), cases

    def _schema(self, operation: Operation, seed: int, to_the_end: bool) -> Any:
        import schemathesis
        from schemathesis.config import SchemathesisConfig
        from schemathesis.filters import FilterSet

        config = SchemathesisConfig.from_path(ROOT / "emulator/contract/schemathesis.toml")
        config.update(seed=seed, max_failures=None)
        service = self._server.service
        headers = {}
        schemes = service.document.raw.get("components", {}).get("securitySchemes", {})
        if any(scheme.get("scheme") == "bearer" for scheme in schemes.values()):
            headers = {"Authorization": f"Bearer {service.backend.credentials[0].value}"}
        base = f"{self._server.url}/{service.name}{service.bases()[0]}"
        config.projects.override.update(headers=headers, base_url=base, continue_on_failure=to_the_end)
        config.projects.override.phases.update(phases=PHASES)
        config.projects.override.generation.update(max_examples=self._examples, database="none", no_shrink=True)
        schema = schemathesis.openapi.from_dict(copy.deepcopy(dict(service.document.raw)), config=config)
        # `include` would add to the filters that the settings of single operations have put there, which take in all.
        schema.filter_set = FilterSet()
        schema.filter_set.include(operation_id=operation.id)
        return schema


def _label(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"
