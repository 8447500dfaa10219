"""Adding a backend touches nothing else: one spec, one module and one scenario folder of the same stem, here in a
temporary folder, and it is served like the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from httpx_sse import EventSource

from emulator.settings import Settings
from emulator.testing.server import ThreadedServer

SPEC = """
openapi: 3.2.0
info: {title: Echo, version: '1'}
servers: [{url: /echo/api}]
paths:
  /say:
    post:
      operationId: say
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [text], properties: {text: {type: string, minLength: 1}}}
      responses:
        '200':
          description: The text, piece by piece.
          content:
            text/event-stream:
              itemSchema: {type: object, required: [data], properties: {data: {type: string}}}
        '400': {description: It does not fit., content: {application/json: {schema: {type: object}}}}
  /said:
    get:
      operationId: listSaid
      responses:
        '200':
          description: All that was said.
          content: {application/json: {schema: {type: array, items: {type: string}}}}
  /weather:
    get:
      operationId: getWeather
      responses:
        '200':
          description: No behaviour serves this one.
          content:
            application/json:
              schema: {type: object, required: [sky], properties: {sky: {type: string, enum: [clear, grey]}}}
"""

MODULE = '''
"""A backend that says everything back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from emulator.backends import Ask, Backend
from emulator.call import Event, Reply, Stream, Violation
from emulator.errors import Refused
from emulator.jsontext import compact
from emulator.streams.player import Player
from emulator.streams.sse import encode
from emulator.streams.steps import End, Fail, Say
from emulator.world.session import World

JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Said:
    id: str
    text: str


class EchoTurn:
    def __init__(self, ask: Ask) -> None:
        self.ask, self.text = ask, ""

    def begin(self) -> Iterator[Event]:
        yield from ()

    def say(self, delta: str, seconds: float) -> Iterator[Event]:
        self.text += delta
        yield Event(data=delta)

    def ping(self) -> Iterator[Event]:
        yield Event(comment="ping")

    def error(self, step: Fail) -> Iterator[Event]:
        yield Event(event="error", data=step.message or "failed")

    def end(self, step: End, seconds: float) -> Iterator[Event]:
        said = self.ask.world.store.collection("said", Said)
        said.put(Said(self.ask.world.seed.uuid("said"), self.text))
        yield Event(event="done", data="")

    def stop(self, seconds: float) -> Iterator[Event]:
        return self.end(End(), seconds)

    def leave(self) -> None:
        pass

    def close(self) -> Iterator[Event]:
        yield from ()


def say(ask: Ask) -> Stream:
    steps = ask.script or (Say(ask.body["text"]),)
    return Stream(200, (("Content-Type", "text/event-stream"),), Player(steps, EchoTurn(ask), ask.world.clock), encode)


def list_said(ask: Ask) -> Reply:
    return Reply(200, JSON, compact([one.text for one in ask.world.store.collection("said", Said)]))


def refuse(ask: Ask, error: Refused, violations: tuple[Violation, ...]) -> Reply:
    status = {"unknown_path": 404, "method_not_allowed": 405, "too_large": 413, "crashed": 500}.get(error.code, 400)
    return Reply(status, JSON, compact({"echo": [str(one) for one in violations] or error.code}))


def populate(world: World) -> None:
    world.store.collection("said", Said).put(Said("first", "Hello from the start"))


BACKEND = Backend(
    name="echo",
    title="Echo",
    behaviours={"say": say, "listSaid": list_said},
    authenticate=lambda ask: None,
    refuse=refuse,
    populate=populate,
    chat_text={"say": "text"},
    speaks=frozenset({"say", "wait", "ping", "error", "fault", "end", "bytes"}),
)
'''

SCENARIO = """
description: It says something of its own.
steps:
  - say: nothing to echo
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("own")
    for name in ("specs", "modules", "scenarios/echo"):
        (folder / name).mkdir(parents=True)
    (folder / "specs/echo.yaml").write_text(SPEC)
    (folder / "modules/echo.py").write_text(MODULE)
    (folder / "scenarios/echo/own-words.yaml").write_text(SCENARIO)
    settings = Settings(
        port=0,
        speed=0,
        check_replies=True,
        specs=folder / "specs",
        modules=folder / "modules",
        scenarios=folder / "scenarios",
    )
    with ThreadedServer(settings) as server:
        yield f"{server.url}/echo/api"


def stream(url: str, text: str) -> list[tuple[str, str]]:
    with httpx.Client() as client, client.stream("POST", f"{url}/say", json={"text": text}) as reply:
        assert reply.status_code == 200, reply.read()
        return [(event.event, event.data) for event in EventSource(reply).iter_sse()]


def test_it_streams_and_keeps_state(echo: str) -> None:
    events = stream(echo, "one two")
    assert "".join(data for name, data in events if name == "message") == "one two"
    assert events[-1] == ("done", "")
    assert httpx.get(f"{echo}/said").json() == ["Hello from the start", "one two"]


def test_it_plays_its_own_and_the_common_scenarios(echo: str) -> None:
    text = [data for name, data in stream(echo, "/scenario own-words") if name == "message"]
    assert "".join(text) == "nothing to echo"
    assert stream(echo, "/scenario error-mid-stream")[-1] == ("error", "failed")


def test_it_refuses_in_its_own_words(echo: str) -> None:
    reply = httpx.post(f"{echo}/say", json={"text": ""})
    assert reply.status_code == 400
    assert reply.json() == {"echo": ["body/text: expected at least 1 character, got ''"]}
    assert httpx.get(f"{echo}/nothing").status_code == 404


def test_an_operation_without_behaviour_is_served_from_its_schema(echo: str) -> None:
    assert httpx.get(f"{echo}/weather").json() == {"sky": "clear"}


def test_it_stands_beside_the_others(echo: str) -> None:
    listed = httpx.get(echo.replace("/echo/api", "/_emulator/backends")).json()["backends"]
    assert {"echo", "dify"} <= {backend["name"] for backend in listed}
    assert httpx.get(echo.replace("/api", "/openapi.json")).json()["info"]["title"] == "Echo"
