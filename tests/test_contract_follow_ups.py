"""Follow-ups of the checks that get no reply: they prove nothing, and what they were for was not judged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis")

ANSWERS = {"200": {"description": "Done."}}
ID = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
READ = {"read": "getNote", "with": {"path.id": "@id"}, "gives": [404]}
GONE = {"said": "It goes.", "id": "$request.path.id", "from": [READ]}
SPEC: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Notes", "version": "1"},
    "paths": {
        "/notes/{id}": {
            "get": {"operationId": "getNote", "parameters": ID, "responses": ANSWERS},
            "delete": {
                "operationId": "deleteNote",
                "parameters": ID,
                "responses": ANSWERS,
                "x-promises": {"deleted_is_gone": GONE},
            },
        }
    },
}


class Notes(BaseHTTPRequestHandler):
    """Deletes nothing, and hangs up on whoever reads, unless told to answer."""

    answers = False

    def do_DELETE(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        if self.answers:
            self.do_DELETE()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Notes)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def judged(base: str) -> bool | None:
    """What the check says of a deletion."""
    from emulator.contract.checks import CHECKS, judge

    (check,) = (one for one in CHECKS if one.name == "deleted_is_gone")
    case = schemathesis.openapi.from_dict(SPEC).find_operation_by_id("deleteNote").Case(path_parameters={"id": "n1"})
    context: Any = SimpleNamespace(internals=SimpleNamespace(transport_kwargs={}))
    return judge(check, context, case.call(base_url=base), case)


def test_a_follow_up_without_a_reply_is_no_finding_and_does_not_count_as_passed(base: str) -> None:
    assert judged(base) is True


def test_a_follow_up_with_one_may_be(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from emulator.contract.checks import NotKept

    monkeypatch.setattr(Notes, "answers", True)
    with pytest.raises(NotKept):
        judged(base)
