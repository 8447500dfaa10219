"""What the tests share: one server a run, one session a test, and a client that knows both."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from control_caller import Control

import emulator
from emulator.testing.server import ThreadedServer

INSTALLED = os.environ.get("CHAT_EMULATOR_INSTALLED")
"""Where the package has to come from, in the run that tries what the wheel installs."""
KEYS = {"chat": "app-emulator", "agent": "app-emulator-agent", "flow": "app-emulator-flow"}


def pytest_report_header() -> str:
    return f"emulator: {Path(emulator.__file__).parent}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run of the installed package in which a module of it came from anywhere else."""
    if INSTALLED is None:
        return
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "emulator"]
    files = [Path(module.__file__).resolve() for module in modules if module.__file__]
    elsewhere = [str(file) for file in files if not file.is_relative_to(Path(INSTALLED).resolve())]
    if elsewhere:
        raise pytest.UsageError(f"not from the installed package: {', '.join(elsewhere)}")


@pytest.fixture(scope="session")
def server() -> Iterator[ThreadedServer]:
    """Every backend, without waiting, each reply and event held against its spec."""
    with ThreadedServer(speed=0, check_replies=True) as running:
        yield running


@pytest.fixture
def session_name(request: pytest.FixtureRequest) -> str:
    """A session of this test alone."""
    safe = "".join(c if c.isalnum() else "-" for c in request.node.name)[:48]
    return f"{safe}-{abs(hash(request.node.nodeid)) % 10**6}"


class Dify:
    """One caller of the Dify API in one session."""

    def __init__(self, server: ThreadedServer, session: str, key: str = KEYS["chat"], user: str = "abc-123") -> None:
        self.server = server
        self.session = session
        self.user = user
        self.base = f"{server.url}/dify/v1"
        self.http = httpx.Client(
            base_url=self.base,
            headers={"Authorization": f"Bearer {key}", "X-Emulator-Session": session},
            timeout=30,
            # Making a TLS context costs more than most tests.
            verify=False,
        )

    def get(self, path: str, **query: Any) -> httpx.Response:
        """GET with the user in the query."""
        return self.http.get(path, params={"user": self.user, **query})

    def post(self, path: str, body: dict[str, Any] | None = None, **members: Any) -> httpx.Response:
        """POST JSON with the user in the body."""
        return self.http.post(path, json={"user": self.user, **(body or {}), **members})

    def ask(self, query: str, **members: Any) -> dict[str, Any]:
        """A blocking chat message."""
        reply = self.post("/chat-messages", inputs=members.pop("inputs", {}), query=query, **members)
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def stream(self, query: str, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
        """A streamed chat message, read to its end."""
        body = {"user": self.user, "inputs": {}, "query": query, "response_mode": "streaming", **members}
        return self.http.post("/chat-messages", json=body, headers=headers)

    def breaches(self) -> list[Any]:
        """What the server sent against its own spec in this session."""
        journal = self.server.app.sessions.get(self.session).journal
        return [(entry.operation, str(breach)) for entry in journal.entries for breach in entry.breaches]


@pytest.fixture
def dify(server: ThreadedServer, session_name: str) -> Iterator[Dify]:
    """The chat app, user abc-123. After the test nothing may have gone out against the spec."""
    caller = Dify(server, session_name)
    yield caller
    caller.http.close()
    assert caller.breaches() == []


@pytest.fixture(scope="session")
def control(server: ThreadedServer) -> Iterator[Control]:
    """The control API of the server of every backend."""
    caller = Control(server)
    yield caller
    caller.http.close()
