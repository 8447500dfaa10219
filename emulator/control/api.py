"""The way of a call to the control API: let in, found, judged, done. The same parts as a backend's.

Every refusal is RFC 9457 problem details. There is no CORS here, ever: a preflight is refused like any other method.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.call import Call, Reply, Violation
from emulator.contract.document import Document, Operation, open_document
from emulator.contract.door import Unreadable, read_query
from emulator.contract.lookup import Lookup, Undecodable
from emulator.control.behaviours import BASE, BEHAVIOURS, Ask, Server
from emulator.control.feed import Feed
from emulator.errors import Broken, Misused, nearest
from emulator.replies import problem
from emulator.world.session import check_name
from emulator.world.snapshot import load

if TYPE_CHECKING:
    from emulator.contract.events import Inspector
    from emulator.contract.judge import Judge

log = logging.getLogger("emulator.control")

SPEC = Path(__file__).parent / "openapi.yaml"
DOCUMENTS = {f"{BASE}/openapi.json": "json", f"{BASE}/openapi.yaml": "yaml"}
SNAPSHOT = "putSnapshot"
ANY_SNAPSHOT = b'{"version":1}'
QUICK_BYTES = 128 * 1024
"""A longer body is read in a thread, so that streams under way keep their time."""
MOST_BODY = 512 * 1024
"""Bytes of a body that is no snapshot."""


class Invalid(Misused):
    """A call is not what the document asks for."""

    def __init__(
        self,
        title: str,
        detail: str,
        violations: tuple[Violation, ...],
        available: Iterable[str] = (),
        status: int = 400,
    ) -> None:
        super().__init__(title, detail, available, status)
        self.violations = violations


class Control:
    """The control API of one server. Its parts are opened when first needed."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @cached_property
    def document(self) -> Document:
        """What it promises."""
        return open_document(SPEC)

    @cached_property
    def lookup(self) -> Lookup[Operation]:
        """Its operations by method and path."""
        return Lookup((one.method, BASE + one.path, one) for one in self.document.operations.values())

    @cached_property
    def judge(self) -> Judge:
        """openapi-core is imported here."""
        from emulator.contract.judge import Judge

        return Judge(self.document)

    @cached_property
    def inspector(self) -> Inspector:
        """Checks what it sends."""
        from emulator.contract.events import Inspector

        return Inspector(self.document, self.judge.tools)

    def warm(self) -> None:
        """Open everything that a first call would wait for."""
        for part in ("lookup", "judge"):
            getattr(self, part)

    def stop(self) -> None:
        """End every feed."""
        for feed in self.server.feeds:
            feed.end("stopped")

    def find(self, method: str, path: str) -> tuple[Operation | None, Mapping[str, str]]:
        """Where a call leads; no operation for the document itself. Raises Misused (404, 405, 400)."""
        methods: tuple[str, ...]
        if path in DOCUMENTS:
            methods = ("GET",)
            if method in ("GET", "HEAD"):
                return None, {}
        else:
            try:
                found = self.lookup.find(method, path)
            except Undecodable as error:
                raise Misused("Not a path", "A segment of the path is no UTF-8, or has a NUL.") from error
            if found is None:
                raise Misused("Nothing here", "The control API has no such address.", self._addresses(), 404)
            if found.target is not None:
                return found.target, found.values
            methods = found.methods
        allowed = [*methods, *(["HEAD"] if "GET" in methods else [])]
        raise NotAllowed(method, allowed)

    def _addresses(self) -> list[str]:
        return [BASE + path for path in dict.fromkeys(one.path for one in self.document.operations.values())]

    def most_body(self, operation: Operation) -> int:
        """Bytes that a body may have."""
        return self.server.settings.limits.snapshot_bytes if operation.id == SNAPSHOT else MOST_BODY

    async def answer(self, operation: Operation | None, values: Mapping[str, str], call: Call) -> Reply | Feed:
        """Answer a call that was found. Never raises."""
        if operation is None:
            return self._spec(call)
        try:
            if len(call.body) > QUICK_BYTES:
                ask = await asyncio.to_thread(self.judged, operation, values, call)
            else:
                ask = self.judged(operation, values, call)
            reply = BEHAVIOURS[operation.id](ask)
        except (Misused, Broken) as error:
            reply = refusal(error)
        except Exception:
            log.exception("%s %s could not be answered", call.method, call.path)
            reply = problem(Misused("Our own mistake", "The call could not be answered; the log says why.", (), 500))
        if isinstance(reply, Reply) and self.server.settings.check_replies:
            for breach in self.inspector.reply(operation, reply):
                log.error("breach of the control API's document by %s: %s", operation.id, breach)
        return reply

    def judged(self, operation: Operation, values: Mapping[str, str], call: Call) -> Ask:
        """What the call says. Raises Misused."""
        if "session" in values:
            check_name(values["session"])
        if not operation.parameters and operation.request_body is None and not call.query:
            return Ask(self.server, call, {}, {}, None)
        _check_query(operation, call)
        own = operation.id == SNAPSHOT and call.body
        # What is in a snapshot is judged where it is put back: it may be larger than any schema could look through.
        judgement = self.judge.judge(operation, replace(call, body=ANY_SNAPSHOT) if own else call, values)
        if judgement.violations:
            raise self._invalid(operation, call, judgement.body, judgement.violations)
        if own:
            return Ask(self.server, call, judgement.path, {}, load(call.body, self.server.settings.limits))
        return Ask(self.server, call, judgement.path, judgement.query, judgement.body)

    def _invalid(self, operation: Operation, call: Call, body: Any, violations: tuple[Violation, ...]) -> Misused:
        """The violations in words. The first unknown member gets the nearest name there is."""
        first = violations[0]
        if first.rule == "media_type":
            if not call.body and not call.headers.get("content-type"):
                missing = Violation("body", "", "required", "a body of application/json", "nothing")
                return Invalid("No body", "Expected a body of application/json.", (missing,))
            return Invalid("Not JSON", f"Expected {first.expected}, got {first.got}.", violations, (), 415)
        if any(one.rule == "additionalProperties" and not one.pointer for one in violations):
            known = list(self._members(operation))
            name = next((name for name in body if name not in known), "")
            what = f"There is no member {name[:80]!r} here.{_hint(name, known)}"
            return Invalid("Unknown member", what, violations, known)
        allowed = next(filter(None, (self._allowed(operation, one) for one in violations)), ())
        return Invalid("Not what is documented", str(first), violations, allowed)

    def _members(self, operation: Operation) -> Mapping[str, Any]:
        content = (operation.request_body or {}).get("content", {})
        schema = self.document.resolve(content.get("application/json", {}).get("schema", {}))
        members: Mapping[str, Any] = schema.get("properties", {})
        return members

    def _allowed(self, operation: Operation, violation: Violation) -> list[str]:
        """The values that a parameter or a member may have, where they are counted."""
        if violation.rule != "enum":
            return []
        name = violation.pointer[1:]
        schemas = [one.get("schema") for one in operation.parameters if one["name"] == name]
        schema = self.document.resolve(schemas[0] if schemas else self._members(operation).get(name, {}))
        return [str(one) for one in schema.get("enum", ())]

    def _spec(self, call: Call) -> Reply:
        kind = DOCUMENTS[call.path]
        try:
            body = self.document.renditions.text(read_query(call.query).get("version", ()), kind)
        except Unreadable as error:
            return refusal(Misused("Not a query", f"The query has {error}."))
        except Misused as error:
            return refusal(error)
        return Reply(200, (("Content-Type", f"application/{kind}"),), body)


class NotAllowed(Misused):
    """A path that is there, but not with this method. `available` are those it has."""

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        super().__init__("Method not allowed", f"This address does not answer {method[:20]}.", allowed, 405)


def refusal(error: Misused | Broken) -> Reply:
    """A refusal as problem details, with the violations there are."""
    if isinstance(error, Broken):
        error = Misused("Broken file", str(error))
    reply = problem(error, getattr(error, "violations", ()))
    if isinstance(error, NotAllowed):
        reply = replace(reply, headers=(*reply.headers, ("Allow", ", ".join(error.available))))
    return reply


def _check_query(operation: Operation, call: Call) -> None:
    """Raise Misused for a query parameter that there is not: a filter with a slip in its name filters nothing."""
    known = [one["name"] for one in operation.parameters if one["in"] == "query"]
    try:
        given = read_query(call.query)
    except Unreadable:
        # The judge says it better.
        return
    for name in given:
        if name not in known:
            violation = Violation("query", f"/{name}", "additionalProperties", "no such parameter", "one")
            what = f"There is no query parameter {name[:80]!r} here.{_hint(name, known)}"
            raise Invalid("Unknown parameter", what, (violation,), known)


def _hint(name: str, names: Iterable[str]) -> str:
    near = nearest(name[:200], names)
    return f" Did you mean {' or '.join(near)}?" if near else ""
