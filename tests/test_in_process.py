"""Without a socket: which transports hand an answer over as it comes, and what becomes of a connection that is cut.
The table in docs/in-process.md says the same, and its snippets are run."""

from __future__ import annotations

import asyncio
import json
import re
import time
import unittest
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from asgiref.testing import ApplicationCommunicator

from emulator import Emulator, create_app

TEXT = (Path(__file__).parent.parent / "docs" / "in-process.md").read_text("utf-8")
BASE = "http://127.0.0.1"
HEADERS = {"Authorization": "Bearer app-emulator"}
SCENARIO = {"steps": [{"say": "One."}, {"wait": "600ms"}, {"say": "Two."}, {"wait": "600ms"}, {"say": "Three."}]}
CUT = {"steps": [{"say": "One."}, {"wait": "200ms"}, {"say": "Two."}, {"fault": "reset"}]}
LEAST, MOST = 0.6, 0.3
"""Seconds that lie between the first and the last piece: at least where it streams, at most where it does not."""


def body(query: str = "Hi") -> dict[str, Any]:
    return {"inputs": {}, "query": query, "user": "abc-123", "response_mode": "streaming"}


@dataclass
class Heard:
    """When pieces came (monotonic seconds), all of them together, and how the answer broke off."""

    times: list[float] = field(default_factory=list)
    data: bytes = b""
    broke: str | None = None

    def add(self, piece: bytes) -> None:
        if piece:
            self.times.append(time.monotonic())
            self.data += piece


async def by_asgi_transport(app: Any, heard: Heard) -> None:
    transport = httpx.ASGITransport(app)
    async with (
        httpx.AsyncClient(transport=transport, base_url=BASE) as client,
        client.stream("POST", "/dify/v1/chat-messages", json=body(), headers=HEADERS) as reply,
    ):
        async for piece in reply.aiter_raw():
            heard.add(piece)


async def by_test_client(app: Any, heard: Heard) -> None:
    with warnings.catch_warnings():
        # It would rather have another HTTP library than the one that everybody has.
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    def work() -> None:
        with (
            TestClient(app, base_url=BASE) as client,
            client.stream("POST", "/dify/v1/chat-messages", json=body(), headers=HEADERS) as reply,
        ):
            for piece in reply.iter_raw():
                heard.add(piece)

    await asyncio.to_thread(work)


async def by_communicator(app: Any, heard: Heard) -> None:
    data = json.dumps(body()).encode()
    headers = [
        (b"host", b"127.0.0.1"),
        (b"authorization", b"Bearer app-emulator"),
        (b"content-type", b"application/json"),
    ]
    path = "/dify/v1/chat-messages"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    communicator: Any = ApplicationCommunicator
    one = communicator(app, {**scope, "headers": [*headers, (b"content-length", b"%d" % len(data))]})
    await one.send_input({"type": "http.request", "body": data})
    assert (await one.receive_output(20))["status"] == 200
    while (message := await one.receive_output(20)).get("more_body"):
        heard.add(message["body"])
    await one.wait()


async def by_thread(app: Any, heard: Heard) -> None:
    def work() -> None:
        with Emulator(backends=("dify",), clock="virtual") as emulator:
            emulator.arm("dify", scenario=app.scenario)
            url = f"{emulator.url('dify')}/chat-messages"
            with httpx.stream("POST", url, json=body(), headers=HEADERS) as reply:
                for piece in reply.iter_raw():
                    heard.add(piece)

    await asyncio.to_thread(work)


Way = Callable[[Any, Heard], Awaitable[None]]
WAYS: dict[str, tuple[Way, bool, str]] = {
    "`httpx.ASGITransport`": (by_asgi_transport, False, "ConnectionResetError"),
    "`starlette.testclient.TestClient`": (by_test_client, True, "ConnectionResetError"),
    "`asgiref.testing.ApplicationCommunicator`": (by_communicator, True, "ConnectionResetError"),
    "`emulator.Emulator`": (by_thread, True, "ReadError"),
}
"""How it is written in the table → a call, whether it streams, what a cut connection looks like."""


@dataclass
class Armed:
    """The application with a scenario armed, for those who call it, and the scenario, for the one who serves it."""

    app: Any
    scenario: dict[str, Any]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def called(way: Way, scenario: dict[str, Any]) -> Heard:
    """What one of them hears of a scenario."""
    app = create_app(backends=("dify",), speed=1, clock="virtual")
    app.warm()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        armed = await client.post("/_emulator/sessions/default/armed", json={"backend": "dify", "scenario": scenario})
        assert armed.status_code == 201, armed.text
    heard = Heard()
    try:
        await way(Armed(app, scenario), heard)
    except (OSError, httpx.TransportError) as error:
        heard.broke = type(error).__name__
    return heard


@pytest.mark.parametrize("name", WAYS)
def test_what_streams(name: str) -> None:
    way, streams, _ = WAYS[name]
    heard = asyncio.run(called(way, SCENARIO))
    assert heard.broke is None and b'"event":"message_end"' in heard.data
    spread = heard.times[-1] - heard.times[0]
    assert spread >= LEAST if streams else spread <= MOST, heard.times


@pytest.mark.parametrize("name", WAYS)
def test_a_connection_that_is_cut(name: str) -> None:
    way, streams, error = WAYS[name]
    heard = asyncio.run(called(way, CUT))
    assert heard.broke == error
    assert (b'"event":"message"' in heard.data) is streams and b"message_end" not in heard.data


def test_the_table_says_the_same() -> None:
    rows = re.findall(r"^\| (`[\w.]+`)[^|]*\| (\w+)[^|]*\| `(\w+)`", TEXT, re.MULTILINE)
    words = {True: "yes", False: "no"}
    assert {name: (streams, error) for name, streams, error in rows} == {
        name: (words[streams], error) for name, (_, streams, error) in WAYS.items()
    }


# ---- the snippets

BLOCKS: dict[str, str] = dict(re.findall(r"^<!-- (\S+) -->\n```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


def test_every_snippet_has_its_test() -> None:
    assert len(re.findall(r"^```python$", TEXT, re.MULTILINE)) == len(BLOCKS)
    tests = {name.removeprefix("test_snippet_") for name in globals() if name.startswith("test_snippet_")}
    assert {name.replace("-", "_") for name in BLOCKS} == tests


def ran(name: str, **given: Any) -> dict[str, Any]:
    """The names that a snippet has made."""
    space: dict[str, Any] = {"__name__": "snippet", **given}
    exec(compile(BLOCKS[name], name, "exec", dont_inherit=True), space)
    return space


def test_snippet_block(capsys: pytest.CaptureFixture[str]) -> None:
    ran("block")
    assert capsys.readouterr().out == "sendChatMessage 429\n"


def test_snippet_unittest() -> None:
    space = ran("unittest")
    case = space["ChatTest"]
    case.__module__ = "snippet"
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    result = suite.run(unittest.TestResult())
    assert result.testsRun == 2 and result.wasSuccessful(), result.failures + result.errors


def test_snippet_behave() -> None:
    space = ran("behave")
    context = SimpleNamespace()
    space["before_all"](context)
    space["before_scenario"](context, SimpleNamespace(name="The quota runs out"))
    assert context.chat.calls() == [] and "The-quota-runs-out" in context.chat.url("dify")
    space["after_all"](context)


def test_snippet_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    ran("notebook")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/dify/v1\n", capsys.readouterr().out)


def test_snippet_asgi() -> None:
    space = ran("asgi")
    assert asyncio.run(space["name_of_the_app"]()) == "Travel Desk"


def test_snippet_mount() -> None:
    space = ran("mount")

    async def main() -> int:
        transport = httpx.ASGITransport(space["app"])
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            reply = await client.get("/emulator/_s/mine/dify/v1/info", headers=HEADERS)
            return reply.status_code

    assert asyncio.run(main()) == 200


def test_snippet_communicator() -> None:
    space = ran("communicator")
    events: list[Any] = []

    async def main() -> None:
        application = create_app(backends=("dify",), speed=0)
        events.extend([data async for data in space["frames"](application, body())])

    asyncio.run(main())
    assert events[-1].startswith(b'data: {"event":"message_end"')
