"""Every operation of every spec, called with its own examples: a documented success, and a reply the spec accepts."""

from __future__ import annotations

import pytest
from example_calls import SERVICES, bodies_of, call_example, every_operation

from emulator.call import Reply
from emulator.contract.document import Operation
from emulator.service import Service
from emulator.testing.server import ThreadedServer

COUNTS = {"dify": 26, "ruoyi": 12, "plainchat": 8, "deskchat": 28, "toolchat": 16}


def test_exactly_the_documented_operations() -> None:
    assert {name: len(service.document.operations) for name, service in SERVICES.items()} == COUNTS


def test_each_has_a_behaviour() -> None:
    for service in SERVICES.values():
        assert set(service.backend.behaviours) == set(service.document.operations), service.name


@pytest.mark.parametrize(("service", "operation"), list(every_operation()))
def test_it_answers_its_example(server: ThreadedServer, service: Service, operation: Operation) -> None:
    session = f"every-{service.name}-{operation.id}"[:64]
    # Examples of one body belong to several people; the path's example is the thing of one of them.
    replies = [
        call_example(server, service, operation, session, number)
        for number in range(len(bodies_of(service.document, operation)))
    ]
    reply = next((one for one in replies if one.is_success), replies[0])
    assert 200 <= reply.status_code < 300, (reply.status_code, reply.text)
    assert str(reply.status_code) in operation.responses
    assert reply.headers["x-emulator-operation"] == operation.id
    whole = Reply(reply.status_code, tuple(reply.headers.items()), reply.content)
    if "text/event-stream" not in reply.headers.get("content-type", ""):
        assert service.inspector.reply(operation, whole) == []
    entries = server.app.sessions.get(session).journal.entries
    assert [(entry.operation, str(breach)) for entry in entries for breach in entry.breaches] == []
