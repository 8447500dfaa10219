"""Every documented status and every documented example of all operations can be asked for by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from example_calls import SERVICES, bodies_of, call_example, every_operation

from emulator.call import Reply
from emulator.contract.document import EVENT_STREAM, Operation
from emulator.service import Service
from emulator.testing.server import ThreadedServer


def every_reply() -> Iterator[Any]:
    """Each operation with each status and each example that it documents."""
    for service in SERVICES.values():
        for operation in service.document.operations.values():
            for status in operation.responses:
                yield pytest.param(service, operation, status, None, id=f"{service.name}-{operation.id}-{status}")
                for name in service.document.examples(operation, status):
                    yield pytest.param(
                        service, operation, status, name, id=f"{service.name}-{operation.id}-{status}-{name}"
                    )


def ask(server: ThreadedServer, service: Service, operation: Operation, prefer: str) -> httpx.Response:
    """The operation's own example, with a preference; the first body that is let in."""
    session = f"prefer-{service.name}"
    for number in range(len(bodies_of(service.document, operation))):
        reply = call_example(server, service, operation, session, number, Prefer=prefer)
        if "x-emulator-scenario" in reply.headers:
            return reply
    return reply


@pytest.mark.parametrize(("service", "operation", "status", "example"), list(every_reply()))
def test_each_can_be_had(
    server: ThreadedServer, service: Service, operation: Operation, status: str, example: str | None
) -> None:
    assert status.isdigit(), "a range of statuses has no one reply to ask for"
    prefer = f"code={status}" if example is None else f"code={status}, example={example}"
    reply = ask(server, service, operation, prefer)
    assert (reply.status_code, reply.headers["x-emulator-scenario"]) == (int(status), prefer)
    whole = Reply(reply.status_code, tuple(reply.headers.items()), reply.content)
    if EVENT_STREAM not in reply.headers.get("content-type", ""):
        assert service.inspector.reply(operation, whole) == []
    if example is not None:
        media_type, value = service.document.examples(operation, status)[example]
        if "json" in media_type:
            assert reply.json() == value
        elif isinstance(value, str):
            assert reply.text == value


@pytest.mark.parametrize(("service", "operation"), list(every_operation()))
def test_what_is_not_documented_lists_what_is(server: ThreadedServer, service: Service, operation: Operation) -> None:
    reply = ask(server, service, operation, "code=418")
    assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")
    assert reply.json()["available"] == list(operation.responses)
    assert ask(server, service, operation, "example=no-such-example").status_code == 400
