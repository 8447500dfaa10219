"""Replies that no behaviour makes: documented ones by status and example, what a scenario answers with, and the
emulator's own problem details."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from emulator.backends import Ask
from emulator.call import Event, Headers, Reply, Violation
from emulator.contract.document import EVENT_STREAM, Operation
from emulator.contract.synthesis import body_for, headers_for
from emulator.errors import Misused, Refused, nearest
from emulator.jsontext import compact
from emulator.prefer import Preference
from emulator.service import Service
from emulator.streams.sse import encode
from emulator.streams.steps import Respond

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


def success(operation: Operation) -> str:
    """The documented status that a well-formed call gets: the first success, else what stands for all."""
    wanted = sorted(
        operation.responses, key=lambda status: (status[:1] != "2", status == "default", not status.isdigit())
    )
    return wanted[0]


def _number(status: str) -> int:
    """A documented status as a number: `2XX` and `default` stand for their first."""
    return int(status) if status.isdigit() else int(status[0]) * 100 if status[0].isdigit() else 200


def documented(service: Service, ask: Ask, preference: Preference) -> Reply:
    """A documented reply, from its example or its schema."""
    assert ask.operation is not None
    status = preference.status
    rng = ask.world.seed.rng("documented", f"{ask.operation.id} {status}")
    headers = (*ask.backend.headers, *headers_for(service.document, ask.operation, status, rng, ask.backend.headers))
    if preference.example is not None:
        media_type, value = service.document.examples(ask.operation, status)[preference.example]
    else:
        found, value = body_for(service.document, ask.operation, status, rng)
        if found is None:
            return Reply(_number(status), headers)
        media_type = found
    if media_type == EVENT_STREAM and isinstance(value, list):
        body = b"".join(encode(Event(**frame)) for frame in value)
    else:
        body = value.encode() if isinstance(value, str) and "json" not in media_type else compact(value)
    shown = f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
    return Reply(_number(status), (("Content-Type", shown), *headers), body)


def respond(service: Service, ask: Ask, step: Respond, after: float) -> Reply:
    """What a scenario answers with instead of an answer. Raises Misused for a code or an example that is not there."""
    assert ask.operation is not None
    status = str(step.status)
    if step.has_body:
        reply = _with_body(ask.operation, step)
    elif step.code is not None or step.message is not None:
        if step.code is not None and ask.backend.codes is not None:
            # What is invalid is worded by how it is, and here nothing is.
            _check_name("code", step.code, ask.backend.codes - {"invalid"}, ask.backend.name)
        reply = ask.backend.refuse(ask, Refused(step.code or "crashed", step.message, step.status), ())
    elif status in ask.operation.responses:
        if step.example is not None:
            _check_name("example", step.example, service.document.examples(ask.operation, status), ask.operation.id)
        reply = documented(service, ask, Preference(status, step.example))
    else:
        # Nobody has promised this status: it is what something in front of the backend would say.
        reply = Reply(step.status, (("Content-Type", TEXT),), _phrase(step.status).encode())
    own = {name.lower() for name in step.headers}
    kept = tuple((name, value) for name, value in reply.headers if name.lower() not in own)
    return replace(reply, status=step.status, headers=(*kept, *step.headers.items()), after=after)


def _check_name(kind: str, name: str, names: Collection[str], owner: str) -> None:
    if name not in names:
        near = nearest(name, names)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise Misused(f"Unknown {kind}", f"{owner} has no {kind} {name[:80]!r}.{hint}", sorted(names))


def _with_body(operation: Operation, step: Respond) -> Reply:
    content = operation.responses.get(str(step.status), {}).get("content") or {}
    if isinstance(step.body, str):
        kind = next((name for name in content if name.startswith("text/")), "text/plain")
        headers: Headers = (("Content-Type", f"{kind}; charset=utf-8"),)
        return Reply(step.status, headers, step.body.encode())
    kind = next((name for name in content if "json" in name), JSON)
    return Reply(step.status, (("Content-Type", kind),), compact(step.body))


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def problem(error: Misused, violations: Sequence[Violation] = ()) -> Reply:
    """The emulator speaking: RFC 9457 problem details, and in which places the call breaks the contract."""
    body: dict[str, Any] = {"type": "about:blank", "title": error.title, "status": error.status}
    body |= {"detail": error.detail, "available": list(error.available)}
    if violations:
        body["violations"] = [one.shown() for one in violations]
    # What went wrong can echo a client's text, and that may be no UTF-8.
    return Reply(error.status, (("Content-Type", "application/problem+json"),), compact(_utf8(body)))


def _utf8(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _utf8(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_utf8(member) for member in value]
    return value
