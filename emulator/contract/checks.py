"""Checks for schemathesis that hold a server to what its spec promises beyond schemas.

Importing this registers them; schemathesis does so itself with `SCHEMATHESIS_HOOKS=emulator.contract.checks`, or with
`hooks = "emulator.contract.checks"` in its schemathesis.toml. An operation is checked for what its spec promises under
`x-promises` (docs/contract-checks.md), so they serve any spec, not only the bundled ones. Replies are judged in
`emulator.contract.promises`; here is the way in and out of schemathesis.

Follow-up calls go to the address that the call at hand was sent to, with the headers that it was sent with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emulator.contract.promises.exchange import Ask, Exchange, FollowUp
from emulator.contract.promises.kept import (
    deleted_is_gone,
    upload_kept,
    users_isolated,
    write_echoed,
    write_read_back,
)
from emulator.contract.promises.lists import filter_honoured, paging_honoured
from emulator.contract.promises.shapes import KEY, Promise, Unsaid, mistakes, promises
from emulator.contract.promises.streams import (
    event_order,
    ids_constant,
    ping_tolerated,
    streaming_honoured,
    text_adds_up,
    text_ending,
)
from emulator.contract.promises.values import MISSING, evaluate, mentions, same_as_sent

try:
    import schemathesis
    from schemathesis.core.failures import Failure, Severity
except ModuleNotFoundError as error:
    message = "The checks of a contract need schemathesis: pip install 'chat-emulator[contract]'."
    raise ModuleNotFoundError(message, name="schemathesis") from error

if TYPE_CHECKING:
    from schemathesis import Case, CheckContext, HookContext, Response

MOST_CALLS = 8
"""Follow-up calls for one reply and one promise. No promise can ask for more without end."""
STREAMED = frozenset({"event_order", "ids_constant", "ping_tolerated", "text_adds_up"})
"""Checks that read the events of a stream; they say nothing about another reply."""
FOLLOWED = frozenset({"write_read_back", "deleted_is_gone", "upload_kept", "users_isolated"})
"""Checks that judge by follow-ups alone."""
NOT_FORWARDED = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding", "host"})
NAMES = re.compile(r"\{([^}]+)\}")
Holds = Callable[[Mapping[str, Any], Exchange, Ask], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, which is that under `x-promises` and for `--checks`; what it holds; and how."""

    name: str
    sentence: str
    holds: Holds
    key: str = KEY
    """The extension under which a spec promises it."""


CHECKS: tuple[Check, ...] = (
    Check("event_order", "Events come in their order, and exactly one ends the stream.", event_order),
    Check("ids_constant", "Ids are the same in all events of a stream, and those asked for.", ids_constant),
    Check("ping_tolerated", "A ping may come anywhere before the end, and carries nothing.", ping_tolerated),
    Check("text_adds_up", "The pieces of a text are the whole text.", text_adds_up),
    Check("text_ending", "A text without frames ends in exactly one of its marks.", text_ending),
    Check("streaming_honoured", "A stream is sent where one is asked for, and only there.", streaming_honoured),
    Check("paging_honoured", "Lists keep to size, order, cursor and totals.", paging_honoured),
    Check("filter_honoured", "A filtered list has only what was asked for.", filter_honoured),
    Check("write_echoed", "The reply to a write repeats what was written.", write_echoed),
    Check("write_read_back", "What was written is read by the other operations.", write_read_back),
    Check("deleted_is_gone", "What was deleted is in no list and cannot be read.", deleted_is_gone),
    Check("upload_kept", "An upload comes back byte for byte.", upload_kept),
    Check("users_isolated", "Nobody sees what belongs to another user.", users_isolated),
)


@dataclass(frozen=True, slots=True)
class Made:
    """A follow-up as it was sent, and the status that came back. Names of headers are in small letters."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    status: int


class NotKept(Failure):
    """A promise that a server does not keep. `what` is wrong, `said` is where the sentence stands, and `after` are the
    follow-ups that showed it, in order."""

    kind_title = "Promise not kept"

    __slots__ = ("after", "check", "said", "sentence", "what")

    def __init__(self, check: Check, promise: Promise, operation: str, what: str, after: tuple[Made, ...] = ()) -> None:
        lines = [check.sentence, what, f"Promised: {promise.said}"]
        lines += [f"Followed up by {one.method} {one.url} → {one.status}" for one in after]
        super().__init__(
            operation=operation,
            title=f"Promise not kept: {check.name}",
            message="\n".join(lines),
            severity=Severity.HIGH,
        )
        self.check = check.name
        self.said = promise.said
        self.sentence = check.sentence
        self.what = what
        self.after = after

    @property
    def _unique_key(self) -> str:
        return f"{self.check}|{self.said}"


def judge(check: Check, context: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """Hold one reply to what its operation promises for one check. True when it promises nothing that applies here,
    or nothing could be judged; raises NotKept for what is not kept."""
    found = promises(case.operation.schema.raw_schema, case.operation.definition.raw, check.name)
    if not found or not 200 <= response.status_code < 300 or response.request.method != case.operation.method.upper():
        return True
    exchange = exchange_of(case, response)
    applied = False
    for promise in found:
        if not applies(check, promise, exchange):
            continue
        ask = _Asking(context, case, exchange)
        for what in check.holds(promise.given, exchange, ask):
            raise NotKept(check, promise, case.operation.label, what, tuple(ask.made))
        # Without any of its follow-ups there was nothing to judge.
        applied = applied or check.name not in FOLLOWED or bool(ask.made)
    return None if applied else True


def applies(check: Check, promise: Promise, exchange: Exchange) -> bool:
    """Whether a promise is about this reply."""
    if check.name in STREAMED and (not exchange.is_stream or exchange.cut_short):
        return False
    # Which of the fields of one name a server takes is its own affair.
    if any(mentions(promise.given, f"$request.body#/{name}") for name in exchange.unclear):
        return False
    for expression, allowed in promise.given.get("when", {}).items():
        value = evaluate(expression, exchange)
        value = None if value is MISSING else value
        if not any(same_as_sent(value, one) for one in allowed):
            return False
    return True


def exchange_of(case: Case[Any], response: Response) -> Exchange:
    """A call of schemathesis' as it was sent."""
    request = response.request
    body = request.body
    return Exchange(
        template=case.operation.path,
        method=str(request.method),
        url=str(request.url),
        headers={name.lower(): _text(value) for name, value in request.headers.items()},
        body=body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else b"",
        status=response.status_code,
        reply_headers={name: values[0] for name, values in response.headers.items() if values},
        content=response.content or b"",
        cut_short=response.stream_cut_short,
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


class _Asking:
    """Sends follow-ups of one call, and keeps what was `made`. Schemathesis is not told of them: it would count them
    among its own cases, and warn of operations that answer 404, which is what some of them are to do."""

    def __init__(self, context: CheckContext, case: Case[Any], exchange: Exchange) -> None:
        self._context = context
        self._case = case
        self._exchange = exchange
        self._calls = 0
        self.made: list[Made] = []

    def __call__(self, follow_up: FollowUp) -> Exchange | None:
        """Send it. None after too many, for an operation that is not there, and when it gets no whole reply: that says
        nothing of the call that it follows, and where it matters the operation's own calls get none either."""
        from requests import RequestException

        self._calls += 1
        if self._calls > MOST_CALLS:
            return None
        try:
            exchange = self._send(follow_up) if follow_up.url is None else self._fetch(follow_up.url)
        except RequestException:
            return None
        if exchange is not None:
            one = exchange
            self.made.append(Made(one.method, one.url, one.headers, one.body, one.status))
        return exchange

    def _send(self, follow_up: FollowUp) -> Exchange | None:
        schema = self._case.operation.schema
        operation = schema.find_operation_by_id(follow_up.operation) if follow_up.operation else self._case.operation
        # A path without its id would be another operation.
        if any(follow_up.path.get(name) in (None, "", MISSING) for name in NAMES.findall(operation.path)):
            return None
        from requests.structures import CaseInsensitiveDict

        sent = {name: value for name, value in self._exchange.headers.items() if name not in NOT_FORWARDED}
        body = {} if follow_up.body is MISSING else {"body": follow_up.body, "media_type": "application/json"}
        probe = operation.Case(path_parameters=dict(follow_up.path), query=dict(follow_up.query), **body)
        settings = dict(self._context.internals.transport_kwargs or {})
        for name in ("params", "cookies", "auth"):
            settings.pop(name, None)
        # Here and not in the case, because the headers of a session win over those of a case.
        settings["headers"] = CaseInsensitiveDict({**sent, **follow_up.headers})
        if operation.app is None:
            settings["base_url"] = self._exchange.base
        return exchange_of(probe, probe.call(**settings))

    def _fetch(self, url: str) -> Exchange | None:
        """GET an address of the same server that it named itself, which is no operation of the spec."""
        if self._case.operation.app is not None:
            return None
        import requests

        settings = dict(self._context.internals.transport_kwargs or {})
        kept = {name: settings[name] for name in ("timeout", "verify", "cert", "proxies") if name in settings}
        response = requests.get(url, **{"timeout": 10, **kept}, allow_redirects=False)
        sent = {name.lower(): _text(value) for name, value in response.request.headers.items()}
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Exchange("/", "GET", url, sent, b"", response.status_code, headers, response.content)


def _register(check: Check) -> None:
    def run(ctx: CheckContext, response: Response, case: Case[Any]) -> bool | None:
        return judge(check, ctx, response, case)

    run.__name__ = check.name
    run.__doc__ = check.sentence
    schemathesis.check(run)


@schemathesis.hook
def after_load_schema(context: HookContext, schema: Any) -> None:
    """Refuse a spec whose promises cannot be understood: a check that silently does not run is worse than none."""
    found = list(mistakes(schema.raw_schema))
    if found:
        raise Unsaid("\n".join(map(str, found)))


for _check in CHECKS:
    _register(_check)
