"""openapi-core, as our judge runs it, and schemathesis read the specs alike.

schemathesis makes calls from each spec, well-formed ones and spoilt ones (its phases coverage and fuzzing), and sends
them to a server that only judges: 200 for what the judge accepts, 422 for what it refuses. Then its own checks say
where the two disagree, with all that schemathesis knows about calls that only look spoilt (a number that is text on
the wire). No behaviour takes part, and no override of schemathesis.toml.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from emulator.call import Call
from emulator.contract.document import Operation
from emulator.contract.lookup import Undecodable
from emulator.service import Service, spec_files
from emulator.settings import Settings

pytestmark = pytest.mark.contract

SEED = 1
EXAMPLES = 25
SETTINGS = Settings()
BACKENDS = sorted(spec_files(SETTINGS))

AGREED: Mapping[tuple[str, str, str, str], str] = {
    ("plainchat", "uploadFiles", "negative_data_rejection", "in body - files: Incorrect type"): (
        "A file part without a filename. Whether a part of a form is a file only its headers say, which no schema of"
        " OpenAPI describes, so the judge takes any bytes. The behaviour refuses it in the words of its backend (422)."
    ),
}
"""Disagreements that are known: backend, operation, check of schemathesis, end of its message, and the reason."""


class Verdicts:
    """What was judged: how often each operation was accepted and refused."""

    def __init__(self, backend: str) -> None:
        self.service = Service(backend, spec_files(SETTINGS)[backend], SETTINGS)
        self.given: Counter[tuple[str, int]] = Counter()

    def judge(self, call: Call) -> int:
        """The status for a call."""
        try:
            found = self.service.find(call.method, call.path)
        except Undecodable:
            return 404
        if found is None or found.target is None or found.target.operation is None:
            return 404 if found is None else 405
        operation = found.target.operation
        if self._secured(operation) and "authorization" not in call.headers:
            return 401
        violations = self.service.judge.judge(operation, call, found.values).violations
        status = 422 if violations else 200
        self.given[operation.id, status] += 1
        return status

    def _secured(self, operation: Operation) -> bool:
        return bool(operation.raw.get("security", self.service.document.raw.get("security")))


class Handler(BaseHTTPRequestHandler):
    """Asks the verdicts of its server. The paths that come in are raw."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    verdicts: Verdicts

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""

    def answer(self) -> None:
        """One call, one status."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.verdicts.judge(Call(self.command, path, query.encode("latin-1"), headers, body))
        self.wfile.write(f"HTTP/1.1 {status} Judged\r\nContent-Length: 0\r\n\r\n".encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = answer  # noqa: N815


@pytest.fixture
def judging(backend: str) -> Iterator[tuple[str, Verdicts]]:
    """The address of a server that judges by the backend's spec, and what it has judged."""
    verdicts = Verdicts(backend)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"verdicts": verdicts}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{verdicts.service.document.base}", verdicts
    server.shutdown()
    server.server_close()
    thread.join()


def settings_for(url: str) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "base-url": url,
            # Any will do: with one, schemathesis does not try to register and log in first.
            "headers": {"Authorization": "Bearer any"},
            "cache": {"enabled": False},
            "generation": {"max-examples": EXAMPLES, "database": "none"},
            "phases": {"stateful": {"enabled": False}, "coverage": {"unexpected-methods": []}},
            "checks": {
                "enabled": False,
                "positive_data_acceptance": {"enabled": True},
                "negative_data_rejection": {"enabled": True},
            },
        }
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_judge_and_schemathesis_agree(backend: str, judging: tuple[str, Verdicts]) -> None:
    url, verdicts = judging
    document = verdicts.service.document
    ids = {f"{operation.method} {operation.path}": operation.id for operation in document.operations.values()}
    schema = schemathesis.openapi.from_path(str(document.file), config=settings_for(url))

    disagreed = []
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.NonFatalError | events.FatalError), event
        if not isinstance(event, events.ScenarioFinished):
            continue
        called = ids[str(event.recorder.label)]
        for case, checks in event.recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    message = check.failure_info.failure.message
                    sent = event.recorder.interactions[case].request
                    if not known(backend, called, check.name, message):
                        disagreed.append((called, check.name, message, sent.uri, sent.body))
    assert disagreed == []

    for operation in document.operations.values():
        assert verdicts.given[operation.id, 200], f"{operation.id}: nothing was accepted"
        if operation.request_body is not None:
            assert verdicts.given[operation.id, 422], f"{operation.id}: nothing was refused"


def known(backend: str, operation: str, check: str, message: str) -> bool:
    """Whether the disagreement stands in the table."""
    return any(key[:3] == (backend, operation, check) and message.endswith(key[3]) for key in AGREED)
