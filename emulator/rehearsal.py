"""A scenario played without a server and without a client: an operation is called with its spec's own example, in a
session of its own, and what comes out is looked at.

Serves `check` and `scenarios`. Nothing is waited for, and nothing of a server is touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from emulator.backends import Ask
from emulator.call import Call, Event, Reply, Stream
from emulator.choosing import scene_of
from emulator.contract.document import Document, Operation
from emulator.contract.synthesis import value_for
from emulator.damage import Chunk, Damage, Until
from emulator.errors import Misused, Refused
from emulator.fault import Fault
from emulator.replies import respond
from emulator.service import Service
from emulator.settings import Settings
from emulator.streams.scene import Scene
from emulator.streams.steps import Respond, Step
from emulator.world.seed import Seed
from emulator.world.session import Sessions

NAME, BARE = "rehearsal", "bare"
MULTIPART = "multipart/form-data; boundary=rehearsal"


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing that is sent: when, in seconds of the stream, what, and its exact bytes. A fault has none, and a chunk
    of a damaged answer is no event."""

    at: float
    sent: Event | Fault | None
    bytes: bytes = b""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a call: a whole reply, or the head of a stream with its frames."""

    reply: Reply | Stream
    frames: tuple[Frame, ...] = ()


class Rehearsal:
    """Calls to one backend."""

    def __init__(self, service: Service, settings: Settings | None = None) -> None:
        self.service = service
        self._settings = replace(settings or Settings(), speed=0.0, clock=None)
        self._sessions = Sessions(self._settings)
        self._calls: dict[str, Call | None] = {}
        self._scenes: dict[str, Scene] = {}
        self._streams: dict[str, bool] = {}

    def answering(self) -> list[Operation]:
        """The operations that can play steps, those that stream first."""
        operations = self.service.document.operations
        found = [operations[id] for id in self.service.backend.chat_text if id in operations]
        return sorted(found, key=lambda one: (not self.streams(one), list(operations).index(one.id)))

    def streams(self, operation: Operation) -> bool:
        """Whether the operation's example is answered piece by piece."""
        if operation.id not in self._streams:
            ask = self.ask(operation)
            self._streams[operation.id] = ask is not None and isinstance(self._behave(ask, None), Stream)
        return self._streams[operation.id]

    def ask(self, operation: Operation) -> Ask | None:
        """The operation's example in a new session, let in and judged; None where none of its examples is accepted."""
        call = self._example(operation)
        return None if call is None else self._asked(operation, call)

    def bare(self, operation: Operation) -> Ask:
        """The operation's example, whoever asks: enough for a reply that no behaviour makes."""
        call = next(calls_of(self.service, operation))
        # Nothing happens in it, so that one session serves all: making one takes longest.
        ask = Ask(
            call, self._settings, self._sessions.get(BARE), self.service.backend, self.service.document, operation
        )
        ask.path = dict(_parameters(self.service.document, operation, "path"))
        ask.body = _json(call.body)
        return ask

    def scene(self, operation: Operation) -> Scene:
        """What a scenario can know of the operation's example, as the first call of its session."""
        if operation.id not in self._scenes:
            self._scenes[operation.id] = self._scene(operation)
        return self._scenes[operation.id]

    def _scene(self, operation: Operation) -> Scene:
        ask = self.ask(operation)
        if ask is None:
            ask = self.bare(operation)
            # Nobody has judged it, so that its conversation cannot be looked for.
            ask.backend = replace(ask.backend, chat_text={})
        return scene_of(ask)

    def play(self, operation: Operation, steps: Sequence[Step] | None, faults: Sequence[Fault] = ()) -> Played | None:
        """What `steps` come to as the answer to the operation's example, the body damaged by `faults`; None where that
        is not accepted."""
        ask = self.ask(operation)
        if ask is None:
            return None
        reply = self._behave(ask, None if steps is None else tuple(steps))
        if isinstance(reply, Reply):
            return Played(reply)
        return Played(reply, tuple(_damaged(reply, faults) if faults else _frames(reply)))

    def reply(self, operation: Operation, step: Respond, after: float = 0.0) -> Reply:
        """What a reply of a scenario comes to. Raises Misused for an example that is not documented."""
        return respond(self.service, self.bare(operation), step, after)

    def _example(self, operation: Operation) -> Call | None:
        """The first of the operation's examples that is answered well."""
        if operation.id not in self._calls:
            self._calls[operation.id] = next(
                (call for call in calls_of(self.service, operation) if self._answers(operation, call)), None
            )
        return self._calls[operation.id]

    def _answers(self, operation: Operation, call: Call) -> bool:
        try:
            return self._behave(self._asked(operation, call), None).status < 300
        except (Refused, Misused):
            return False

    def _behave(self, ask: Ask, steps: tuple[Step, ...] | None) -> Reply | Stream:
        assert ask.operation is not None
        ask.script = steps
        try:
            return self.service.backend.behaviours[ask.operation.id](ask)
        except Refused as refused:
            return self.service.backend.refuse(ask, refused, ())

    def _new(self, operation: Operation, call: Call) -> Ask:
        self._sessions.reset(NAME)
        session = self._sessions.get(NAME)
        session.clock.tick()
        return Ask(call, self._settings, session, self.service.backend, self.service.document, operation)

    def _asked(self, operation: Operation, call: Call) -> Ask:
        """Raises Refused for a call that is not let in, or that breaks the contract."""
        if operation.id not in self.service.backend.behaviours:
            raise Refused("unknown_path")
        ask = self._new(operation, call)
        found = self.service.find(call.method, call.path)
        ask.path = {} if found is None else found.values
        ask.caller = self.service.backend.authenticate(ask)
        judged = self.service.judge.judge(operation, call, ask.path)
        if judged.violations:
            raise Refused("invalid")
        ask.path, ask.query, ask.body, ask.parts = judged.path, judged.query, judged.body, judged.parts
        return ask


def _frames(stream: Stream) -> Iterator[Frame]:
    at = 0.0
    for item in stream.performance.play():
        if isinstance(item, Event):
            yield Frame(at, item, stream.encode(item))
        elif isinstance(item, Fault):
            yield Frame(at, item)
        else:
            at = item


def _damaged(stream: Stream, faults: Sequence[Fault]) -> Iterator[Frame]:
    """The chunks of a damaged answer, up to where it is cut."""
    at = 0.0
    performance = stream.performance
    for action in Damage(faults, 0, performance.ping).play(performance.play(), stream.encode):
        match action:
            case Until():
                at = action.at
            case Chunk():
                yield Frame(at, None, action.data)
            case _:
                yield Frame(at, Fault(type(action).__name__.lower()))
                return


def calls_of(service: Service, operation: Operation) -> Iterator[Call]:
    """A call for each body that the operation's examples show, with the examples of its parameters and the first of
    the backend's credentials."""
    document = service.document
    path = operation.path
    for name, value in _parameters(document, operation, "path"):
        path = path.replace("{" + name + "}", quote(str(value), safe=""))
    query = urlencode({name: str(value) for name, value in _parameters(document, operation, "query")})
    headers = {name.lower(): str(value) for name, value in _parameters(document, operation, "header")}
    headers["host"] = "127.0.0.1"
    for credential in service.backend.credentials[:1]:
        headers["authorization"] = f"Bearer {credential.value}"
    for media_type, body in _bodies(document, operation):
        own = headers | ({"content-type": media_type} if media_type else {})
        yield Call(operation.method, service.bases()[0] + path, query.encode(), own, body, NAME)


def _parameters(document: Document, operation: Operation, place: str) -> Iterator[tuple[str, Any]]:
    """Name and example of the parameters in a place, as far as they have one or must be there."""
    for parameter in operation.parameters:
        if parameter.get("in") != place:
            continue
        if "example" in parameter:
            yield parameter["name"], parameter["example"]
        elif parameter.get("examples"):
            yield parameter["name"], document.resolve(next(iter(parameter["examples"].values()))).get("value")
        elif parameter.get("required"):
            yield parameter["name"], value_for(document, parameter.get("schema", {}), Seed(0, NAME).rng("parameter"))


def _bodies(document: Document, operation: Operation) -> Iterator[tuple[str | None, bytes]]:
    content: Mapping[str, Any] = (operation.request_body or {}).get("content", {})
    for media_type, media in content.items():
        if media_type != "application/json":
            continue
        values = [document.resolve(example).get("value") for example in (media.get("examples") or {}).values()]
        values += [media["example"]] if "example" in media else []
        for value in values or [value_for(document, media.get("schema", {}), Seed(0, NAME).rng("body"))]:
            yield media_type, json.dumps(value).encode()
        return
    yield (MULTIPART if any("multipart" in one for one in content) else None), b""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None
