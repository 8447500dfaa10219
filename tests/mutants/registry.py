"""Every mutant there is.

The generic kinds are made from the specs: each goes to every operation that it can be done to. What is changed in a
reply is picked from a reply of the unbroken server, by a counted draw, without a look at what the spec says about it.
The kinds about state are written by hand below, by tables of operations; they do not look at `x-promises` either.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from wrapping import SESSION, Answer, Call, Mutant

from emulator.contract.document import Operation
from emulator.service import Service

SCHEMA = frozenset({"response_schema_conformance"})
STATUS = frozenset({"status_code_conformance"})
TYPE = frozenset({"content_type_conformance"})
NEGATIVE = frozenset({"negative_data_rejection", "missing_required_header"})
POSITIVE = frozenset({"positive_data_acceptance"})
AUTH = frozenset({"ignored_auth", "missing_required_header"})
STATEFUL = frozenset({"use_after_free", "ensure_resource_availability"})

# Where a value was sent or is kept, another one is wrong for that reason, too.
KEPT = frozenset({"write_echoed", "write_read_back", "filter_honoured", "paging_honoured"})

Path = tuple[str | int, ...]
Samples = Mapping[str, list[Answer]]
"""Operation id → replies of the unbroken server to the operation's own examples, successes first."""


# ---- Replies as JSON ----


def leaves(value: Any, here: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Everything in a JSON value that is no object and no filled array; of an array its first item."""
    if isinstance(value, dict) and value:
        for name, member in value.items():
            yield from leaves(member, (*here, name))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*here, 0))
    elif here:
        yield here, value


def objects(value: Any, here: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """All objects in a JSON value; of an array those of its first item."""
    if isinstance(value, dict):
        yield here, value
        for name, member in value.items():
            yield from objects(member, (*here, name))
    elif isinstance(value, list) and value:
        yield from objects(value[0], (*here, 0))


def changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """A JSON value with one place changed; in an array in each item. As it was where the place is not there."""
    if not path:
        return change(value)
    first, *rest = path
    if isinstance(first, int) and isinstance(value, list):
        return [changed(item, tuple(rest), change) for item in value]
    if isinstance(value, dict) and first in value:
        return {**value, first: changed(value[first], tuple(rest), change)}
    return value


def _at(path: Path, change: Callable[[Any], Any], value: Any) -> Any:
    return changed(value, path, change)


def without(path: Path) -> Callable[[Any], Any]:
    """Takes the last member of a path out of the object that it stands in."""

    def change(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: member for name, member in value.items() if name != path[-1]}

    return change


def other_type(value: Any) -> Any:
    """A value of another type."""
    if isinstance(value, bool):
        return "yes"
    if isinstance(value, (int, float)):
        return f"{value} pieces"
    return 7 if isinstance(value, str) else True


def in_json(change: Callable[[Any], Any]) -> Callable[[Call, Answer], Answer]:
    """Changes the body of each success that is JSON."""

    def after(call: Call, answer: Answer) -> Answer:
        value = answer.json()
        return answer.of(change(value)) if answer.succeeded and value is not None else answer

    return after


# ---- Streams ----

Frames = list[bytes]


def in_frames(change: Callable[[Frames], Frames]) -> Callable[[Call, Answer], Answer]:
    """Changes the frames of each stream."""

    def after(call: Call, answer: Answer) -> Answer:
        if answer.media_type != "text/event-stream":
            return answer
        frames = [frame for frame in answer.body.split(b"\n\n") if frame.strip()]
        return replace(answer, body=b"".join(frame + b"\n\n" for frame in change(frames)))

    return after


def in_data(frames: Frames, place: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Frames:
    """The frames with the JSON data of one changed; from the end, those that are no JSON (`[DONE]`) are passed over."""
    while place < 0 and -place < len(frames) and b"{" not in frames[place]:
        place -= 1

    def frame(raw: bytes) -> bytes:
        head, mark, data = raw.partition(b"data: ")
        try:
            value = json.loads(data)
        except ValueError:
            return raw
        return head + mark + json.dumps(change(value), separators=(",", ":")).encode()

    return [frame(raw) if number == place % len(frames) else raw for number, raw in enumerate(frames)]


def changed_id(value: dict[str, Any]) -> dict[str, Any]:
    """The first member that looks like an id is another one."""
    for name in ("message_id", "task_id", "conversation_id", "id"):
        if isinstance(value.get(name), str):
            last = value[name][-1]
            return {**value, name: value[name][:-1] + ("0" if last != "0" else "1")}
    return value


def _with_id(frames: Frames) -> int:
    """The first frame with an id from the middle on, else the last one with an id."""
    found = [
        number for number, frame in enumerate(frames) if re.search(rb'"(message_|task_|conversation_)?id": ?"', frame)
    ]
    return next((number for number in found if number >= _middle(frames)), found[-1] if found else 0)


def _middle(frames: Frames) -> int:
    return len(frames) // 2


def _swap(frames: Frames, one: int, other: int) -> Frames:
    swapped = list(frames)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    return swapped


def _wide(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "surprise": 1}


def _typed(value: dict[str, Any]) -> dict[str, Any]:
    name = next(iter(sorted(value)))
    return {**value, name: other_type(value[name])}


def _narrow(value: dict[str, Any]) -> dict[str, Any]:
    return dict(list(value.items())[:-1])


ORDER = frozenset({"event_order"})
TEXT = frozenset({"text_adds_up"})
STREAM_KINDS: tuple[tuple[str, frozenset[str], frozenset[str], Callable[[Frames], Frames]], ...] = (
    ("end missing", SCHEMA, ORDER, lambda frames: frames[:-1]),
    ("end doubled", SCHEMA, ORDER, lambda frames: [*frames, frames[-1]]),
    ("end not last", SCHEMA, ORDER, lambda frames: _swap(frames, -1, -2)),
    (
        "event missing",
        SCHEMA,
        ORDER | TEXT,
        lambda frames: [*frames[: _middle(frames)], *frames[_middle(frames) + 1 :]],
    ),
    (
        "event doubled",
        SCHEMA,
        ORDER | TEXT,
        lambda frames: [*frames[: _middle(frames)], *frames[_middle(frames) - 1 :]],
    ),
    ("events unordered", SCHEMA, ORDER | TEXT, lambda frames: _swap(frames, 0, _middle(frames))),
    ("event wrong type", SCHEMA, frozenset(), lambda frames: in_data(frames, _middle(frames), _typed)),
    ("event missing field", SCHEMA, frozenset(), lambda frames: in_data(frames, _middle(frames), _narrow)),
    ("event extra field", SCHEMA, frozenset(), lambda frames: in_data(frames, _middle(frames), _wide)),
    (
        "id changes",
        SCHEMA,
        frozenset({"ids_constant"}) | ORDER | TEXT,
        lambda frames: in_data(frames, _with_id(frames), changed_id),
    ),
    ("end wrong type", SCHEMA, frozenset(), lambda frames: in_data(frames, -1, _typed)),
    ("framing: no blank lines", SCHEMA, ORDER, lambda frames: [b"\n".join(frames)]),
    ("framing: no data", SCHEMA, ORDER, lambda frames: [frame.replace(b"data: ", b"") for frame in frames]),
    ("framing: cut off", SCHEMA, ORDER, lambda frames: [*frames[:-1], frames[-1][: len(frames[-1]) // 2]]),
    ("framing: empty", SCHEMA, ORDER, lambda frames: []),
)


def stream_mutants(name: str, operation: Operation) -> Iterator[Mutant]:
    """Those of an operation that can answer with events."""
    for kind, spec, checks, change in STREAM_KINDS:
        yield Mutant(name, operation.id, kind, spec, checks, after=in_frames(change))

    def as_json(call: Call, answer: Answer) -> Answer:
        return answer.header("content-type", "text/plain") if answer.media_type == "text/event-stream" else answer

    yield Mutant(
        name, operation.id, "framing: as text", TYPE | SCHEMA, frozenset({"streaming_honoured"}), after=as_json
    )


# ---- Any operation ----


def generic(name: str, service: Service, samples: Samples) -> Iterator[Mutant]:
    """The kinds that are made from the spec and from replies of the unbroken server."""
    for operation in service.document.operations.values():
        make = _Making(name, service, operation, samples.get(operation.id, []))
        yield from make.status()
        yield from make.errors()
        yield from make.inputs()
        yield from make.auth()
        yield from make.body()
        if operation.streams:
            yield from stream_mutants(name, operation)


@dataclass(frozen=True, slots=True)
class _Making:
    name: str
    service: Service
    operation: Operation
    samples: list[Answer]

    def _mutant(self, kind: str, spec: frozenset[str], **more: Any) -> Mutant:
        return Mutant(self.name, self.operation.id, kind, spec, **more)

    def status(self) -> Iterator[Mutant]:
        def other(call: Call, answer: Answer) -> Answer:
            return replace(answer, status=206) if answer.succeeded else answer

        def fails(call: Call) -> Answer:
            return Answer(500, (("content-type", "text/plain"),), b"Internal Server Error")

        def html(call: Call, answer: Answer) -> Answer:
            return answer.header("content-type", "text/html") if answer.succeeded and answer.body else answer

        yield self._mutant("wrong status", STATUS, after=other)
        yield self._mutant("fails", frozenset({"not_a_server_error"}), before=fails)
        if any(sample.succeeded and sample.body for sample in self.samples):
            yield self._mutant("wrong media type", TYPE, after=html)

    def errors(self) -> Iterator[Mutant]:
        def body(call: Call, answer: Answer) -> Answer:
            return answer.of({"oops": True}) if answer.status >= 400 and answer.json() is not None else answer

        def status(call: Call, answer: Answer) -> Answer:
            return replace(answer, status=418) if answer.status in (400, 404, 422) else answer

        def code(call: Call, answer: Answer) -> Answer:
            value = answer.json()
            if answer.status < 400 or not isinstance(value, dict):
                return answer
            known = [key for key in ("code", "success", "error", "detail") if key in value]
            return answer.of({**value, known[0]: "surprise" if known[0] != "success" else True}) if known else answer

        def any_method(call: Call) -> Answer:
            return Answer(200, (("content-type", "application/json"),), b"{}")

        if {"400", "404", "422"} & self.operation.responses.keys():
            yield self._mutant("wrong error status", STATUS, after=status)
            yield self._mutant("wrong error body", SCHEMA, after=body)
            yield self._mutant("wrong error code", SCHEMA, after=code)
        yield self._mutant("any method", frozenset({"unsupported_method"}), before=any_method, any_method=True)

    def inputs(self) -> Iterator[Mutant]:
        good = next((sample for sample in self.samples if sample.succeeded), None)
        if good is None:
            return
        parameters = [one for one in self.operation.parameters if one["in"] in ("path", "query")]

        def accepts(call: Call, answer: Answer) -> Answer:
            return good if answer.status in (400, 404, 413, 415, 422) else answer

        if self.operation.request_body is not None or parameters:
            yield self._mutant("accepts anything", NEGATIVE, after=accepts)
        if (refusal := self._refusal()) is not None:

            def refuses(call: Call, answer: Answer, refusal: Answer = refusal) -> Answer:
                return refusal if answer.succeeded else answer

            yield self._mutant("refuses what is good", POSITIVE, after=refuses)

    def _refusal(self) -> Answer | None:
        for status in ("422", "400"):
            if status in self.operation.responses:
                found = list(self.service.document.examples(self.operation, status).values())
                content = (("content-type", "application/json"),)
                body = json.dumps(found[0][1]).encode() if found else b"{}"
                return Answer(int(status), content, body)
        return None

    def auth(self) -> Iterator[Mutant]:
        security = self.operation.raw.get("security", self.service.document.raw.get("security"))
        if not security or {} in security:
            return
        right = f"Bearer {self.service.backend.credentials[0].value}"

        def no_auth(call: Call) -> Call:
            return call if call.headers.get("authorization") else call.header("authorization", right)

        def any_token(call: Call) -> Call:
            return call.header("authorization", right) if call.headers.get("authorization") else call

        yield self._mutant("no auth", AUTH, before=no_auth)
        yield self._mutant("any token", AUTH, before=any_token)

    def body(self) -> Iterator[Mutant]:
        sample = next((one.json() for one in self.samples if one.succeeded and one.json() is not None), None)
        if sample is None:
            return

        def draw(kind: str, among: Iterable[Any]) -> Any:
            found = list(among)
            return random.Random(f"{self.name}/{self.operation.id}/{kind}").choice(found) if found else None

        def mutants(kind: str, path: Path, change: Callable[[Any], Any]) -> Mutant:
            detail = "/" + "/".join(map(str, path))
            return self._mutant(kind, SCHEMA, checks=KEPT, after=in_json(change), detail=detail)

        for number in (1, 2):
            found = draw(f"type {number}", leaves(sample))
            if found is not None:
                path = found[0]
                yield mutants(f"wrong type {number}", path, partial(_at, path, other_type))
        place = draw("missing", ((*path, name) for path, value in objects(sample) for name in value))
        if place is not None:
            yield mutants("missing field", place, partial(_at, place[:-1], without(place)))
        wide = draw("extra", objects(sample))
        if wide is not None:
            yield mutants("extra field", wide[0], partial(_at, wide[0], _wide))
        null = draw("null", ((path, value) for path, value in leaves(sample) if value is not None))
        if null is not None:
            yield mutants("null", null[0], partial(_at, null[0], lambda _: None))
        word = draw("value", ((path, value) for path, value in leaves(sample) if _is_word(value)))
        if word is not None:
            yield mutants("wrong value", word[0], partial(_at, word[0], lambda _: "¿?"))

        def cut(call: Call, answer: Answer) -> Answer:
            return replace(answer, body=answer.body[: len(answer.body) // 2]) if answer.succeeded else answer

        yield self._mutant("cut off", SCHEMA, after=cut)


WORD = re.compile(r"[A-Za-z0-9_:.+-]{2,40}")


def _is_word(value: Any) -> bool:
    """Ids, times, and words of a list: what is likely to have a format or an enum."""
    return isinstance(value, str) and WORD.fullmatch(value) is not None


# ---- State, by hand ----


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def to_the_shadow(call: Call) -> Call:
    """The call goes to another session, which began with the same data: it is answered as if all were well, and what
    it does is seen by nobody."""
    return call.header(SESSION, f"{call.headers.get(SESSION, 'default')}-shadow")


def forgotten(call: Call) -> Call:
    """Like `to_the_shadow`, and each call to a session of its own: what is done a second time is answered likewise."""
    return call.header(SESSION, f"{call.headers.get(SESSION, 'default')[:40]}-shadow-{next(FORGOTTEN)}")


FORGOTTEN = itertools.count()


def shadow(backend: str, kind: str, check: Iterable[str], *operations: str) -> Iterator[Mutant]:
    """Writes that are answered and not done."""
    before = forgotten if kind == "deleted still readable" else to_the_shadow
    for operation in operations:
        yield Mutant(backend, operation, kind, STATEFUL, frozenset(check), before=before)


def dropped(backend: str, operation: str, kind: str, check: Iterable[str], *names: str) -> Mutant:
    """Parameters of the query that are ignored."""
    return Mutant(
        backend, operation, f"{kind} ignored", frozenset(), frozenset(check), before=lambda call: call.without(*names)
    )


def set_body(backend: str, operation: str, kind: str, check: Iterable[str], member: str, value: Any) -> Mutant:
    """A member of the body that is taken for something else."""

    def put(body: dict[str, Any]) -> None:
        if member in body and body[member] is not None:
            body[member] = value

    return Mutant(
        backend,
        operation,
        kind,
        frozenset(),
        frozenset(check),
        before=lambda call: call.members(put),
        detail=member,
    )


def drop_body(backend: str, operation: str, kind: str, check: Iterable[str], member: str) -> Mutant:
    """A member of the body that is ignored."""
    return Mutant(
        backend,
        operation,
        kind,
        frozenset(),
        frozenset(check),
        before=lambda call: call.members(lambda body: body.pop(member, None)),
        detail=member,
    )


def replied(
    backend: str,
    operation: str,
    kind: str,
    check: Iterable[str],
    path: Path,
    change: Callable[[Any], Any],
    spec: bool = False,
) -> Mutant:
    """A place in each reply that is another than it should be."""
    after = in_json(lambda value: changed(value, path, change))
    return Mutant(backend, operation, kind, SCHEMA if spec else frozenset(), frozenset(check), after=after)


def another(backend: str, operation: str, pattern: str, id: str) -> Mutant:
    """Whatever is asked for, one thing is answered."""

    def before(call: Call) -> Call:
        return replace(call, path=re.sub(pattern, lambda found: found[1] + id + found[2], call.path))

    checks = frozenset({"write_echoed", "filter_honoured"})
    return Mutant(backend, operation, "another one's answer", frozenset(), checks, before=before)


def as_owner(backend: str, operation: str, who: Callable[[Call], Call]) -> Mutant:
    """Everybody is taken for one user."""
    checks = frozenset({"users_isolated"})
    return Mutant(backend, operation, "other user's data", frozenset(), checks, before=who)


def spoiled_upload(backend: str, operation: str) -> Mutant:
    """The first byte of each file is lost."""

    def before(call: Call) -> Call:
        body = re.sub(rb'(filename="[^"]*".*?\r\n\r\n).(?=.)', lambda found: found[1], call.body, flags=re.DOTALL)
        return replace(call, body=body)

    return Mutant(backend, operation, "upload spoiled", frozenset(), frozenset({"upload_kept"}), before=before)


def lists(
    backend: str,
    operation: str,
    items: Path,
    size: str = "",
    page: str = "",
    total: Path = (),
    more: Path = (),
    echoed: Path = (),
    sort: bool = True,
) -> Iterator[Mutant]:
    """What can be wrong with a list."""
    paging = ("paging_honoured",)
    if size:
        yield dropped(backend, operation, "limit", paging, size)
    if page:
        yield dropped(backend, operation, "page", paging, page)
    if sort:
        yield replied(backend, operation, "order reversed", paging, items, lambda found: found[::-1])
    yield replied(backend, operation, "item doubled", paging, items, lambda found: [*found, *found[-1:]])
    if page:
        yield replied(backend, operation, "item missing", paging, items, lambda found: found[:-1])
    if total:
        yield replied(backend, operation, "total wrong", paging, total, lambda found: found + 3)
    if more:
        yield replied(backend, operation, "has_more wrong", paging, more, lambda found: not found)
    if echoed:
        yield replied(backend, operation, "page size wrong", paging, echoed, lambda found: 17 if found != 17 else 18)


def by_hand() -> Iterator[Mutant]:
    """The kinds about state, for all backends."""
    yield from _dify()
    yield from _deskchat()
    yield from _ruoyi()
    yield from _toolchat()
    yield from _plainchat()


def _dify() -> Iterator[Mutant]:
    b = "dify"
    yield from lists(b, "getConversationsList", ("data",), "limit", "last_id", more=("has_more",), echoed=("limit",))
    yield from lists(b, "getConversationHistory", ("data",), "limit", "first_id", more=("has_more",), echoed=("limit",))
    yield from lists(
        b, "getConversationVariables", ("data",), "limit", "last_id", more=("has_more",), echoed=("limit",)
    )
    yield from lists(b, "getChatAppFeedbacks", ("data",), "limit", "page")
    yield from lists(
        b, "getAnnotationList", ("data",), "limit", "page", total=("total",), more=("has_more",), echoed=("limit",)
    )
    yield dropped(b, "getConversationsList", "sort_by", ("paging_honoured",), "sort_by")
    yield dropped(b, "getAnnotationList", "keyword", ("filter_honoured",), "keyword")
    yield dropped(b, "getConversationVariables", "variable_name", ("filter_honoured",), "variable_name")
    yield from shadow(b, "update ignored", ("write_read_back",), "renameConversation", "updateChatConversationVariable")
    yield from shadow(b, "update ignored", ("write_read_back",), "updateAnnotation", "postChatMessageFeedback")
    yield from shadow(
        b, "write lost", ("write_read_back",), "createAnnotation", "sendChatMessage", "initialAnnotationReplySettings"
    )
    yield from shadow(b, "deleted still readable", ("deleted_is_gone",), "deleteConversation", "deleteAnnotation")
    yield from shadow(b, "upload lost", ("upload_kept",), "uploadChatFile")
    yield spoiled_upload(b, "uploadChatFile")
    echo = ("write_echoed", "write_read_back")
    yield set_body(b, "renameConversation", "written is another", echo, "name", "Another name")
    yield set_body(b, "createAnnotation", "written is another", echo, "question", "Another question")
    yield set_body(b, "createAnnotation", "written is another", echo, "answer", "Another answer")
    yield set_body(b, "updateAnnotation", "written is another", echo, "answer", "Another answer")
    yield set_body(b, "updateChatConversationVariable", "written is another", echo, "value", "another value")
    yield set_body(b, "postChatMessageFeedback", "written is another", echo, "rating", "dislike")
    yield set_body(b, "postChatMessageFeedback", "written is another", echo, "content", "Another text")
    yield set_body(b, "sendChatMessage", "written is another", echo, "query", "Another question")
    yield drop_body(b, "sendChatMessage", "streaming ignored", ("streaming_honoured",), "response_mode")
    streaming = Mutant(
        b,
        "sendChatMessage",
        "blocking ignored",
        frozenset(),
        frozenset({"streaming_honoured"}),
        before=lambda call: call.members(lambda body: body.update(response_mode="streaming")),
    )
    yield streaming
    yield drop_body(b, "sendChatMessage", "conversation ignored", ("write_echoed", "ids_constant"), "conversation_id")
    yield set_body(
        b, "sendChatMessage", "other user's data", ("users_isolated", "write_read_back"), "user", "visitor-7"
    )
    for operation in (
        "getConversationsList",
        "getConversationHistory",
        "getConversationVariables",
        "getSuggestedQuestions",
    ):
        yield as_owner(b, operation, lambda call: call.asking("user", "visitor-7"))
    yield another(b, "getEndUserChat", r"(/end-users/)[^/]+()$", "f1e2d3c4-b5a6-7890-abcd-ef1234567890")
    yield replied(
        b,
        "getInitialAnnotationReplySettingsStatus",
        "another one's answer",
        ("write_echoed",),
        ("job_id",),
        _other_uuid,
    )
    yield replied(b, "updateAnnotation", "another one's answer", ("write_echoed",), ("id",), _other_uuid)
    yield replied(b, "renameConversation", "another one's answer", ("write_echoed",), ("id",), _other_uuid)


def _other_uuid(_: Any) -> str:
    return "00000000-1111-4222-8333-444444444444"


def _deskchat() -> Iterator[Mutant]:
    b, data = "deskchat", ("data", "list")
    for operation in ("listConversations", "listMessages"):
        yield from lists(b, operation, data, "pageSize", "pageNum", ("data", "total"), echoed=("data", "pageSize"))
    yield from lists(b, "searchChats", ("data", "messages"), "pageSize", "pageNum")
    yield from lists(b, "listGroups", ("data",))
    yield dropped(b, "listConversations", "keyword", ("filter_honoured",), "keyword")
    yield dropped(b, "listConversations", "group_id", ("filter_honoured",), "group_id")
    yield dropped(b, "listMessages", "message_type", ("filter_honoured",), "message_type")
    yield Mutant(
        b,
        "searchChats",
        "keyword ignored",
        frozenset(),
        frozenset({"filter_honoured"}),
        before=lambda call: call.asking("keyword", ""),
    )
    yield from shadow(
        b,
        "update ignored",
        ("write_read_back",),
        *("updateConversation", "moveConversation", "moveConversations", "editMessage", "regenerateMessage"),
        *("updateGroup", "updateSettings", "clearConversationMessages"),
    )
    yield from shadow(
        b,
        "write lost",
        ("write_read_back", "text_adds_up"),
        *("createConversation", "sendMessage", "createGroup", "importConversations", "streamMessage"),
    )
    yield from shadow(
        b,
        "deleted still readable",
        ("deleted_is_gone",),
        *("deleteConversation", "deleteConversations", "deleteMessage", "deleteGroup"),
    )
    echo = ("write_echoed", "write_read_back")
    yield set_body(b, "createConversation", "written is another", echo, "title", "Another title")
    yield set_body(b, "createConversation", "written is another", echo, "description", "Another description")
    yield set_body(b, "updateConversation", "written is another", echo, "title", "Another title")
    yield set_body(b, "updateConversation", "written is another", echo, "config", {"other": True})
    yield set_body(b, "sendMessage", "written is another", echo, "content", "Another text")
    yield set_body(b, "sendMessage", "written is another", echo, "message_metadata", {"other": True})
    yield set_body(b, "editMessage", "written is another", echo, "content", "Another text")
    yield set_body(b, "createGroup", "written is another", echo, "color", "#000000")
    yield set_body(b, "createGroup", "written is another", echo, "name", "Another name")
    yield set_body(b, "updateGroup", "written is another", echo, "description", "Another description")
    yield set_body(b, "updateSettings", "written is another", echo, "theme", "another")
    yield set_body(b, "moveConversation", "written is another", echo, "group_id", 1)
    yield set_body(b, "moveConversations", "written is another", echo, "target_group_id", 1)
    yield set_body(b, "streamMessage", "written is another", ("ids_constant",), "content", "Another text")
    first = "5f0c1a52-3d8e-4b67-9a41-2c7e8d915b09"
    yield another(b, "getConversation", r"(/conversations/)[0-9a-f-]{36}()$", first)
    yield replied(b, "updateConversation", "another one's answer", ("write_echoed",), ("data", "uuid"), _other_uuid)
    yield replied(b, "editMessage", "another one's answer", ("write_echoed",), ("data", "message_id"), _other_uuid)
    yield replied(b, "updateGroup", "another one's answer", ("write_echoed",), ("data", "id"), lambda found: found + 1)
    yield replied(
        b, "cancelStream", "another one's answer", ("write_echoed",), ("data", "task_id"), lambda found: f"{found}x"
    )
    yield set_body(b, "exportConversation", "another one's answer", ("write_echoed",), "chat_id", first)
    yield set_body(b, "exportConversations", "another one's answer", ("write_echoed",), "chat_ids", [first])
    yield dropped(b, "getStatistics", "time_range", ("write_echoed",), "time_range")


MESSAGES = "get_chat_messages_api_ai_dify_chats__chat_id__messages_get"
CHATS = "get_user_chats_api_ai_dify_chats_get"


def _ruoyi() -> Iterator[Mutant]:
    b = "ruoyi"
    yield from lists(b, CHATS, (), "limit", "offset")
    yield from lists(b, MESSAGES, (), "limit", "offset")
    yield dropped(b, CHATS, "app_id", ("filter_honoured",), "app_id")
    yield Mutant(
        b,
        CHATS,
        "other user's data",
        frozenset(),
        frozenset({"filter_honoured", "users_isolated"}),
        before=lambda call: call.asking("user_id", "1") if dict(call.query).get("user_id", "").isdigit() else call,
    )
    yield another(b, MESSAGES, r"(/chats/)[0-9]+(/messages)$", "3")
    create = "create_chat_api_ai_dify_chats_post"
    rename = "rename_chat_api_ai_dify_chats__chat_id__title_put"
    send = "send_message_api_ai_dify_chats__chat_id__messages_post"
    save = "save_chat_endpoint_api_ai_deepseek_save_chat_post"
    yield from shadow(b, "write lost", ("write_read_back",), create, send, save)
    yield from shadow(b, "update ignored", ("write_read_back",), rename)
    delete = "delete_chat_api_ai_dify_chats__chat_id__delete"
    yield from shadow(b, "deleted still readable", ("deleted_is_gone",), delete)
    echo = ("write_echoed", "write_read_back")
    yield set_body(b, create, "written is another", echo, "title", "Another title")
    yield set_body(b, rename, "written is another", echo, "title", "Another title")
    yield set_body(b, send, "written is another", echo, "content", "Another text")
    yield set_body(b, save, "written is another", echo, "messages", [{"role": "user", "content": "Another text"}])
    yield drop_body(b, send, "streaming ignored", ("streaming_honoured",), "streaming")
    yield Mutant(
        b,
        send,
        "blocking ignored",
        frozenset(),
        frozenset({"streaming_honoured"}),
        before=lambda call: call.members(lambda body: body.update(streaming=True)),
    )
    chat, stream = "chat_api_ai_dify_chat_post", "chat_stream_api_ai_dify_chat_stream_post"
    yield drop_body(b, chat, "conversation ignored", ("write_echoed",), "conversation_id")
    yield drop_body(b, stream, "conversation ignored", ("ids_constant",), "conversation_id")


def _toolchat() -> Iterator[Mutant]:
    b = "toolchat"
    yield from lists(
        b, "listConversations", ("data", "items"), "page_size", "page", ("data", "total"), echoed=("data", "page_size")
    )
    yield from lists(b, "listMessages", ("data",), "limit")
    yield from lists(b, "listTools", ("data", "tools"), total=("data", "total"), sort=False)
    yield dropped(b, "listConversations", "project_id", ("filter_honoured",), "project_id")
    yield dropped(b, "listTools", "category", ("filter_honoured",), "category")
    yield from shadow(b, "update ignored", ("write_read_back",), "updateConversation")
    yield from shadow(
        b,
        "write lost",
        ("write_read_back", "text_adds_up"),
        *("registerUser", "createConversation", "sendMessage", "streamMessage"),
    )
    yield from shadow(b, "deleted still readable", ("deleted_is_gone",), "deleteConversation", "deleteMessage")
    echo = ("write_echoed", "write_read_back")
    yield set_body(b, "createConversation", "written is another", echo, "title", "Another title")
    yield set_body(b, "createConversation", "written is another", echo, "system_prompt", "Another prompt")
    yield set_body(b, "updateConversation", "written is another", echo, "temperature", 0.125)
    yield set_body(b, "updateConversation", "written is another", echo, "title", "Another title")
    yield set_body(b, "sendMessage", "written is another", echo, "content", "Another text")
    yield set_body(b, "registerUser", "written is another", echo, "password", "another-password")
    yield another(b, "getConversation", r"(/conversations/)conv_[0-9a-f]+()$", "conv_5a1c9e40b7d3")
    yield another(b, "listMessages", r"(/messages/)conv_[0-9a-f]+()$", "conv_5653c1b2f7c7")
    yield another(b, "getTool", r"(/tools/)[a-z_]+()$", "search_web")
    for operation in ("listConversations", "getConversation", "listMessages"):
        yield as_owner(b, operation, _everybody_is_demo)
    yield replied(
        b, "loginUser", "another one's answer", ("write_echoed",), ("data", "user", "username"), lambda _: "somebody"
    )


def _everybody_is_demo(call: Call) -> Call:
    given = call.headers.get("authorization", "")
    # Tokens are still looked at: only who they belong to is not.
    return call.header("authorization", "Bearer emulator-token") if given.startswith("Bearer eyJ") else call


def _plainchat() -> Iterator[Mutant]:
    b = "plainchat"
    yield from lists(b, "listConversations", ("conversations",))
    yield from lists(b, "getConversationHistory", ("data",))
    ending = frozenset({"text_ending"})
    marker = re.compile(rb"\[MESSAGE_ID:[^\]]+\]$")

    def marked(change: Callable[[bytes, bytes], bytes]) -> Callable[[Call, Answer], Answer]:
        def after(call: Call, answer: Answer) -> Answer:
            found = marker.search(answer.body)
            text = answer.body[: found.start()] if found else b""
            return replace(answer, body=change(text, found[0])) if found else answer

        return after

    for kind, change in (
        ("end missing", lambda text, mark: text),
        ("end doubled", lambda text, mark: text + mark + mark),
        ("end not last", lambda text, mark: mark + text + b"!"),
        ("end broken", lambda text, mark: text + b"[MESSAGE_ID]"),
    ):
        yield Mutant(b, "sendChatMessage", kind, SCHEMA, ending, after=marked(change))
    yield from shadow(b, "upload lost", ("upload_kept",), "uploadFiles")
    yield spoiled_upload(b, "uploadFiles")
    yield from shadow(b, "deleted still readable", ("deleted_is_gone",), "deleteConversation")
    yield from shadow(b, "write lost", ("write_read_back",), "registerUser")
    yield Mutant(
        b,
        "listConversations",
        "other user's data",
        frozenset(),
        frozenset({"users_isolated"}),
        before=lambda call: replace(call, path=re.sub(r"(/list/)[^/]+$", r"\1demo", call.path)),
    )
    for operation in ("getConversationHistory", "getNextSuggestions"):
        yield as_owner(b, operation, lambda call: call.asking("username", "abc-123"))
    yield replied(b, "deleteConversation", "another one's answer", ("write_echoed",), ("conversation_id",), _other_uuid)


def registry(services: Mapping[str, Service], samples: Mapping[str, Samples]) -> list[Mutant]:
    """All of them, in a fixed order."""
    found = [mutant for name, service in services.items() for mutant in generic(name, service, samples[name])]
    return [*found, *by_hand()]
