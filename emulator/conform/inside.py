"""What runs in the process of its own that `conform` starts: schemathesis, counted, bounded and told of line by line.

`python -m emulator.conform.inside` reads a job as JSON from stdin and writes a JSON object a line to stdout; what
schemathesis itself prints goes to stderr. Every request of the process passes `Counter`, whoever makes it.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import importlib.util
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import requests
from requests.adapters import HTTPAdapter
from schemathesis import cli
from schemathesis.cli import EventHandler
from schemathesis.config import SchemathesisConfig
from schemathesis.core.errors import NoLinksFound
from schemathesis.core.failures import Failure
from schemathesis.engine import Status, events
from schemathesis.engine.errors import ServerUnavailable
from schemathesis.engine.recorder import Request, ScenarioRecorder
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from emulator.contract.lookup import Lookup, Undecodable

CHECKS = "emulator.contract.checks"
TELL_SECONDS = 0.1
DEEPEST = 200
"""Levels of a reply in JSON. What reads one calls itself for each level, and ends in the middle of one too many."""
MOST_BYTES = 16 * 1024 * 1024
"""Of one reply. A longer one is given up."""
MOST_WAITS = 4
"""A call may take this many times the timeout of a single wait, from its connection to the end of its reply."""
SHOWN_BYTES = 4_000
"""Of a reply in a finding."""
KEPT_BYTES = 100_000
"""Of a request's body in a finding; a longer one is not repeated."""
MOST_STEPS = 12
"""Requests in front of a failing one that a finding keeps."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


# Nobody signs up for an account unless an operation is called that does so.
ALWAYS = {"auth": {"auto-signup": False}}
# An undocumented method may do anything.
READ_ONLY = {"phases": {"coverage": {"unexpected-methods": ["options"]}}}


class Spent(KeyboardInterrupt):
    """No request is left. Schemathesis winds down as at Ctrl-C, and keeps what was found."""


class Withheld(requests.exceptions.RequestException):
    """A request that `--read-only` does not let out."""


class Teller:
    """Writes lines, from several threads. When nobody reads any more, the process ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def __call__(self, **line: Any) -> None:
        """Write one line."""
        data = json.dumps(line, default=str).encode() + b"\n"
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                os._exit(1)


class Counter:
    """Counts requests, and lets none out that is one too many or that may change something in a read-only run."""

    def __init__(self, tell: Teller, job: Mapping[str, Any]) -> None:
        self.sent = 0
        self._tell = tell
        self._most: int = job["budget"]
        self._timeout: float = job["timeout"]
        self._read_only: bool = job["read_only"]
        self._known: Lookup[bool] = Lookup(job["known"])
        self._lock = threading.Lock()
        self._told = 0.0
        self._send = HTTPAdapter.send
        # Of the request that a thread is at.
        self._here = threading.local()

    def install(self) -> None:
        """Stand in the way of every request that this process makes by `requests`."""
        counter, send = self, self._send

        def counted(adapter: HTTPAdapter, request: requests.PreparedRequest, *more: Any, **options: Any) -> Any:
            counter.take(request)
            deadline = counter._here.deadline = Deadline(counter._timeout * MOST_WAITS, request)
            try:
                response = send(adapter, request, *more, **options)
            except OSError:
                deadline.end()
                raise
            counter.bound(response, deadline)
            return response

        connect, answered = HTTPConnection._new_conn, HTTPConnection.getresponse

        def connected(connection: HTTPConnection) -> socket.socket:
            found: socket.socket = connect(connection)
            counter._here.deadline.holds(found)
            return found

        def awaited(connection: HTTPConnection) -> Any:
            # The socket may be that of an earlier call.
            counter._here.deadline.holds(connection.sock)
            return answered(connection)

        HTTPAdapter.send = counted  # type: ignore[method-assign, assignment]
        HTTPConnection._new_conn = connected  # type: ignore[method-assign, assignment]
        HTTPConnection.getresponse = awaited  # type: ignore[method-assign, assignment]

    def take(self, request: requests.PreparedRequest) -> None:
        """Count one. Raises Withheld, or Spent when there is none left."""
        if self._read_only and not self._may_go(str(request.method), str(request.path_url).partition("?")[0]):
            raise Withheld(f"--read-only keeps in {request.method} {request.path_url}", request=request)
        with self._lock:
            if self.sent >= self._most:
                self._tell(kind="spent")
                raise Spent
            self.sent += 1
            if time.monotonic() - self._told >= TELL_SECONDS:
                self._told = time.monotonic()
                self._tell(kind="sent", requests=self.sent)

    def _may_go(self, method: str, path: str) -> bool:
        try:
            found = self._known.find(method, path)
        except Undecodable:
            found = None
        if found is None or found.target is None:
            return method in SAFE
        return found.target

    def bound(self, response: requests.Response, deadline: Deadline) -> None:
        """Give up a reply that is too long, or that comes for too long."""
        raw: Any = response.raw
        request = response.request
        stream, read1 = raw.stream, raw.read1
        nesting = Nesting(response.headers.get("content-type", ""))
        size = 0

        def passed(chunk: bytes) -> bytes:
            nonlocal size
            size += len(chunk)
            if nesting.depth(chunk) > DEEPEST:
                raise requests.exceptions.ContentDecodingError(
                    f"the reply nests deeper than {DEEPEST} levels", request=request
                )
            if size > MOST_BYTES:
                raise requests.exceptions.ContentDecodingError(
                    f"the reply is longer than {MOST_BYTES} bytes", request=request
                )
            return chunk

        def bounded_stream(*given: Any, **named: Any) -> Iterator[bytes]:
            try:
                for chunk in stream(*given, **named):
                    yield passed(chunk)
            except (HTTPError, OSError):
                deadline.end()
                raise
            deadline.end()

        def bounded_read1(*given: Any, **named: Any) -> bytes:
            try:
                chunk = passed(read1(*given, **named))
            except (HTTPError, OSError):
                deadline.end()
                raise
            if not chunk:
                deadline.end()
            return chunk

        raw.stream, raw.read1 = bounded_stream, bounded_read1


class Deadline:
    """Ends a call that takes too long, in whichever part of it. The timeout of a socket is for one wait, and a server
    that sends a byte in each of them keeps its caller for ever."""

    def __init__(self, seconds: float, request: requests.PreparedRequest) -> None:
        self._seconds = seconds
        self._request = request
        self._over = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._hang_up)
        self._timer.daemon = True
        self._timer.start()

    def holds(self, one: socket.socket) -> None:
        """The call goes by this socket."""
        self._sockets.append(one)
        if self._over:
            self._hang_up()

    def _hang_up(self) -> None:
        self._over = True
        for one in self._sockets:
            with contextlib.suppress(OSError):
                # Not that of the class: with TLS it would take the socket from under whoever reads.
                socket.socket.shutdown(one, socket.SHUT_RDWR)

    def end(self) -> None:
        """The call is over. Raises when it seems to be because time was."""
        self._timer.cancel()
        if self._over:
            what = f"the reply did not end within {self._seconds:g} seconds"
            # Not a ReadTimeout: schemathesis reads the seconds out of the words that one of those has.
            raise requests.exceptions.Timeout(what, request=self._request)


class Nesting:
    """How deep the JSON of a reply goes, chunk by chunk. Each line of a stream of events begins anew."""

    def __init__(self, media_type: str) -> None:
        self._lines = "text/event-stream" in media_type
        self._counts = self._lines or "json" in media_type
        self._depth = self._deepest = 0
        self._quoted = False
        self._rest = b""

    def depth(self, chunk: bytes) -> int:
        """The deepest level so far."""
        if not self._counts:
            return 0
        chunk = self._rest + chunk
        self._rest = b"\\" if re.search(rb"(?<!\\)(\\\\)*\\\Z", chunk) else b""
        for found in re.finditer(rb'\\.|["\n\[\]{}]', chunk, re.DOTALL):
            sign = found[0]
            if sign == b'"':
                self._quoted = not self._quoted
            elif sign == b"\n" and self._lines:
                self._depth, self._quoted = 0, False
            elif self._quoted or sign[:1] == b"\\":
                continue
            elif sign in b"[{":
                self._depth += 1
                self._deepest = max(self._deepest, self._depth)
            elif sign in b"]}":
                self._depth -= 1
        return self._deepest


def main() -> int:
    """Do the job on stdin; returns the exit code."""
    job = json.load(sys.stdin)
    tell = Teller(os.dup(1))
    os.dup2(2, 1)
    counter = Counter(tell, job)
    counter.install()
    # A thread that ends with an error takes the rest of its phase with it, and schemathesis says nothing of that.
    threading.excepthook = lambda ended: tell(kind="fatal", what=f"{ended.exc_type.__name__}: {ended.exc_value}")
    if importlib.util.find_spec(CHECKS) is not None:
        module = importlib.import_module(CHECKS)
        tell(kind="checks", sentences={one.name: one.sentence for one in module.CHECKS})
    try:
        if not _reachable(job, tell):
            return 1
        lighten()
        rule(ALWAYS)
        if job["read_only"]:
            rule(READ_ONLY)
        Reporter.tell = tell
        cli.handler()(Reporter)
        arguments = [*job["arguments"], *(part for item in job["headers"] for part in ("--header", item))]
        sys.argv = ["schemathesis", *job["arguments"]]
        cli.schemathesis.main(args=arguments, standalone_mode=False)
    except KeyboardInterrupt:
        tell(kind="interrupted")
    except SystemExit:
        pass
    except Exception as error:
        tell(kind="fatal", what=f"{type(error).__name__}: {error}")
    finally:
        tell(kind="end", requests=counter.sent)
    return 0


def lighten() -> None:
    """Keep no whole replies in what failed: each failure of a schema would have its own until the scenario is over."""
    record = ScenarioRecorder.record_check_failure

    def recorded(recorder: ScenarioRecorder, *, failure: Failure, **more: Any) -> None:
        if len(getattr(failure, "_raw_message", "")) > KEPT_BYTES:
            for name in ("message", "_validation_message", "_raw_message"):
                setattr(failure, name, getattr(failure, name)[:KEPT_BYTES])
            failure.instance = None  # type: ignore[attr-defined]
        record(recorder, failure=failure, **more)

    ScenarioRecorder.record_check_failure = recorded  # type: ignore[method-assign, assignment]


def rule(settings: Mapping[str, Any]) -> None:
    """Put settings over those of the file that schemathesis reads, and over what its projects say of the same."""
    read = SchemathesisConfig.from_dict.__func__  # type: ignore[attr-defined]

    def ruled(kind: type[SchemathesisConfig], /, data: dict[str, Any], **more: Any) -> SchemathesisConfig:
        _put(data, settings)
        projects = data.get("project")
        for one in projects if isinstance(projects, list) else ():
            _put(one, settings, add=False)
        found: SchemathesisConfig = read(kind, data, **more)
        return found

    SchemathesisConfig.from_dict = classmethod(ruled)  # type: ignore[method-assign, assignment]


def _put(data: Any, settings: Mapping[str, Any], *, add: bool = True) -> None:
    """Put settings into a table, and with `add` into those that are not there yet. What is none is refused later."""
    if not isinstance(data, dict):
        return
    for name, value in settings.items():
        if not isinstance(value, dict):
            data[name] = value
        elif add or name in data:
            _put(data.setdefault(name, {}), value, add=add)


def _reachable(job: Mapping[str, Any], tell: Teller) -> bool:
    """Whether something answers at the address: asked by up to three operations that need nothing but the headers."""
    headers = dict(item.split(":", 1) for item in job["headers"])
    headers = {name: value.strip() for name, value in headers.items()}
    missing = []
    for path in job["asked_first"] or [None]:
        url = job["url"] if path is None else job["url"] + path
        try:
            with requests.Session() as session:
                reply = session.get(url, headers=headers, timeout=job["timeout"], allow_redirects=False, stream=True)
                reply.close()
        except (requests.RequestException, OSError) as error:
            tell(kind="unreachable", what=_reason(error), url=url)
            return False
        if reply.is_redirect:
            tell(kind="elsewhere", url=url, location=reply.headers.get("location", ""))
            return False
        if path is None or reply.status_code != 404:
            return True
        missing.append(url)
    if len(missing) > 1:
        tell(kind="nothing", urls=missing)
        return False
    return True


def _reason(error: BaseException) -> str:
    """What kept a connection from being made, without the layers of libraries around it."""
    if isinstance(error, requests.exceptions.SSLError):
        found = re.search(r"(certificate verify failed[^(')]*|[A-Z0-9_]{6,}|wrong version number)", str(error))
        return f"TLS: {found[1].strip() if found else error}"
    if isinstance(error, requests.exceptions.Timeout):
        return str(error) if str(error).startswith("the reply") else "no answer in time"
    said = re.search(r"\[Errno -?\d+\] ([^'\")]+)", str(error))
    return said[1] if said else str(error).rpartition("(")[2].strip("')\" ") or type(error).__name__


class Reporter(EventHandler[Any]):
    """Told by schemathesis of its run, tells it on."""

    tell: ClassVar[Teller]

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self._seen: list[tuple[str, Failure]] = []

    def handle_event(self, ctx: Any, event: events.EngineEvent) -> None:
        """One thing happened."""
        tell = self.tell
        if isinstance(event, events.ScenarioStarted):
            tell(kind="scenario", phase=event.phase.value, operation=event.label)
        elif isinstance(event, events.ScenarioFinished):
            tell(kind="tally", **_tally(event.recorder))
            self._failures(event)
        elif isinstance(event, events.NonFatalError):
            self._error(event)
        elif isinstance(event, events.FatalError):
            tell(kind="fatal", what=str(event.exception))
        elif isinstance(event, events.EngineFinished):
            for failure in event.failures:
                tell(kind="finding", **_failure("after_run", failure), phase="", steps=[], reply=None)
            tell(kind="finished")

    def shutdown(self, ctx: Any) -> None:
        """The run is over."""
        self.tell(kind="warnings", warnings=ctx.summary().warnings.as_labels())

    def _error(self, event: events.NonFatalError) -> None:
        if isinstance(event.value, NoLinksFound):
            self.tell(kind="unlinked")
            return
        silent = isinstance(event.value, (requests.RequestException, ServerUnavailable))
        self.tell(
            kind="error",
            operation=event.label,
            what=_words(event),
            phase=event.phase.value if event.phase else "",
            silent=silent,
            steps=_steps(event.value),
        )

    def _failures(self, event: events.ScenarioFinished) -> None:
        """Tell each failure once, shown by the shortest request that has it."""
        found: list[tuple[str, Failure, dict[str, Any]]] = []
        for id, checks in event.recorder.checks.items():
            for check in checks:
                failure = check.failure_info.failure if check.failure_info is not None else None
                if failure is None or (check.name, failure) in self._seen:
                    continue
                exchange = _exchange(event.recorder, id, failure)
                same = next((at for at, one in enumerate(found) if one[:2] == (check.name, failure)), None)
                if same is None:
                    found.append((check.name, failure, exchange))
                elif _length(exchange) < _length(found[same][2]):
                    found[same] = (check.name, failure, exchange)
        for name, failure, exchange in found:
            self._seen.append((name, failure))
            self.tell(kind="finding", phase=event.phase.value, **_failure(name, failure), **exchange)


def _tally(recorder: Any) -> dict[str, Any]:
    """Calls, the statuses of those by the documented method, streams cut short, and checks passed and failed, by
    operation."""
    calls: dict[str, int] = {}
    statuses: dict[str, dict[int, int]] = {}
    cut: dict[str, int] = {}
    checks: dict[str, dict[str, list[int]]] = {}
    for id, node in recorder.cases.items():
        operation = node.value.operation.label
        interaction = recorder.interactions.get(id)
        if interaction is not None:
            calls[operation] = calls.get(operation, 0) + 1
            if interaction.response is not None and interaction.request.method == node.value.operation.method.upper():
                counted = statuses.setdefault(operation, {})
                counted[interaction.response.status_code] = counted.get(interaction.response.status_code, 0) + 1
            if interaction.response is not None and interaction.response.stream_cut_short:
                cut[operation] = cut.get(operation, 0) + 1
        for check in recorder.checks.get(id, ()):
            counts = checks.setdefault(operation, {}).setdefault(check.name, [0, 0])
            counts[check.status is not Status.SUCCESS] += 1
    return {"calls": calls, "statuses": statuses, "cut": cut, "checks": checks}


def _steps(error: Exception) -> list[dict[str, Any]]:
    """The request that an error of the network is about."""
    request = getattr(error, "request", None)
    return [_request(Request.from_prepared_request(request))] if isinstance(request, requests.PreparedRequest) else []


def _words(event: events.NonFatalError) -> str:
    if isinstance(event.value, requests.RequestException):
        return f"{type(event.value).__name__}: {_reason(event.value)}"
    return f"{event.info.title}: {event.info.message}"


def _failure(name: str, failure: Failure) -> dict[str, Any]:
    found: dict[str, Any] = {
        "check": name,
        "operation": failure.operation or "",
        "title": failure.title,
        "message": failure.message,
    }
    for attribute in ("schema_path", "instance_path", "sentence", "said", "what", "validation_message"):
        if hasattr(failure, attribute):
            value = getattr(failure, attribute)
            found[attribute] = list(value) if attribute.endswith("_path") else value
    found["after"] = [
        _step(one.method, one.url, dict(one.headers), one.body) | {"status": one.status}
        for one in getattr(failure, "after", ())
    ]
    return found


def _exchange(recorder: Any, id: str, failure: Failure) -> dict[str, Any]:
    """The requests that lead to a failure, the failing one last, and the reply to it."""
    last = failure.case_id or id
    chain = [case.id for case in recorder.iter_chain_cases(case_id=last, related_case_ids=failure.related_case_ids())]
    chain = [one for one in chain if one != last][-MOST_STEPS:]
    steps = [_request(recorder.interactions[one].request) for one in [*chain, last] if one in recorder.interactions]
    interaction = recorder.interactions.get(last)
    reply = interaction.response if interaction is not None else None
    if reply is None:
        return {"steps": steps, "reply": None}
    content: bytes = reply.content or b""
    return {
        "steps": steps,
        "reply": {
            "status": reply.status_code,
            "type": (reply.headers.get("content-type") or [""])[0],
            "body": content[:SHOWN_BYTES].decode("utf-8", "replace"),
            "size": len(content),
        },
    }


def _length(exchange: dict[str, Any]) -> tuple[int, int]:
    """What there is to read before one sees it."""
    steps = exchange["steps"]
    return len(steps), sum(len(step["url"]) + step["size"] + len(str(step["headers"])) for step in steps)


def _request(request: Any) -> dict[str, Any]:
    headers = {name: _text(values[0]) for name, values in request.headers.items()}
    return _step(request.method, request.uri, headers, request.body)


def _step(method: str, url: str, headers: dict[str, str], body: bytes | None) -> dict[str, Any]:
    return {
        "method": method,
        "url": url,
        "headers": headers,
        "body": base64.b64encode(body).decode() if body is not None and len(body) <= KEPT_BYTES else None,
        "size": len(body) if body is not None else 0,
    }


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


if __name__ == "__main__":
    sys.exit(main())
