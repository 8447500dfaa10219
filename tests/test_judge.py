"""The judge says what is wrong and where, never raises, and accepts what openapi-core itself accepts."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from test_dify_operations import OPERATIONS, SERVICE, UNKNOWN, Ids, good_calls
from werkzeug.datastructures import Headers, ImmutableMultiDict

from emulator.call import Call, Violation
from emulator.contract.document import Operation
from emulator.contract.judge import Judgement

DOCUMENT = SERVICE.document
JUDGE = SERVICE.judge
BASE = "/v1"


def call_of(operation: str, **changes: Any) -> Call:
    """A well-formed call of an operation, with other arguments for the request if wanted."""
    good = good_calls(Ids())[operation]
    request = httpx.Request(good.method, f"http://test{BASE}{good.path}", **{**good.arguments, **changes})
    return Call(
        method=request.method,
        path=request.url.raw_path.decode().partition("?")[0],
        query=request.url.query,
        headers=dict(request.headers),
        body=request.read(),
    )


def judge(operation: str, call: Call, **path: str) -> Judgement:
    found = SERVICE.find(call.method, call.path)
    assert found is not None
    return JUDGE.judge(OPERATIONS[operation], call, {**found.values, **path})


def only(judgement: Judgement) -> Violation:
    (violation,) = judgement.violations
    return violation


def schema_of(thing: Mapping[str, Any]) -> dict[str, Any]:
    resolved: dict[str, Any] = DOCUMENT.resolve(thing)
    return resolved


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_good_calls_are_accepted(operation: str) -> None:
    assert judge(operation, call_of(operation)).violations == ()


# ---- Every parameter ----

PARAMETERS = [
    (operation.id, str(parameter["name"]), str(parameter["in"]), dict(parameter))
    for operation in OPERATIONS.values()
    for parameter in operation.parameters
]


def bad_texts(schema: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Texts that a parameter of this schema refuses: text, broken rule, what was expected."""
    kind = schema.get("type")
    if kind == "integer":
        for text in ("x", "", "1.0", "1_0", " 1", "٣", "+1", "0x1", "1e1", "true", "9" * 401):
            yield text, "type", "an integer"
    if kind == "boolean":
        for text in ("yes", "on", "", "2", "truefalse", "y"):
            yield text, "type", "true or false"
    if "minimum" in schema:
        yield str(schema["minimum"] - 1), "minimum", f"at least {schema['minimum']}"
    if "maximum" in schema:
        yield str(schema["maximum"] + 1), "maximum", f"at most {schema['maximum']}"
    if "enum" in schema:
        yield "nothing", "enum", "one of " + ", ".join(repr(one) for one in schema["enum"])
    if "minLength" in schema:
        yield "", "minLength", f"at least {schema['minLength']} character"
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1), "maxLength", f"at most {schema['maxLength']} characters"
    if schema.get("format") == "uuid":
        for text in ("nothing", UNKNOWN[:-1], UNKNOWN.replace("-", "")):
            yield text, "format", "the format uuid"
    if schema.get("pattern", "").startswith("^ *("):
        yield "nothing", "pattern", "text that matches"
    if "not" in schema:
        yield "a--b", "not", ""


def good_texts(schema: Mapping[str, Any]) -> Iterable[str]:
    for bound in ("minimum", "maximum"):
        if bound in schema:
            yield str(schema[bound])
    yield from schema.get("enum", ())
    if schema.get("type") == "boolean":
        yield from ("true", "false", "1", "0", "True", "FALSE")
    if schema.get("maxLength"):
        yield "x" * schema["maxLength"]
    if schema.get("format") == "uuid":
        yield from (UNKNOWN, UNKNOWN.upper())


def with_parameter(operation: str, name: str, place: str, text: str) -> Judgement:
    if place == "path":
        return judge(operation, call_of(operation), **{name: text})
    call = call_of(operation)
    given = dict(httpx.QueryParams(call.query.decode()))
    return judge(operation, call_of(operation, params={**given, name: text}))


def test_the_spec_has_parameters_in_path_and_query_only() -> None:
    assert {place for _, _, place, _ in PARAMETERS} == {"path", "query"}


@pytest.mark.parametrize(
    ("operation", "name", "place", "parameter"), PARAMETERS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_parameter(operation: str, name: str, place: str, parameter: dict[str, Any]) -> None:
    schema = schema_of(parameter["schema"])
    for text, rule, expected in bad_texts(schema):
        violation = only(with_parameter(operation, name, place, text))
        assert (violation.place, violation.pointer, violation.rule) == (place, f"/{name}", rule), text
        assert violation.expected.startswith(expected)
        assert violation.got
        assert str(violation) == f"{place}/{name}: expected {violation.expected}, got {violation.got}"
    for text in good_texts(schema):
        assert with_parameter(operation, name, place, text).violations == (), text
    if place == "query":
        rest = {
            key: value for key, value in httpx.QueryParams(call_of(operation).query.decode()).items() if key != name
        }
        without = judge(operation, call_of(operation, params=rest))
        if parameter.get("required"):
            assert only(without) == Violation("query", f"/{name}", "required", "a value", "nothing")
        else:
            assert without.violations == ()
            assert without.query.get(name) == schema.get("default")
        twice = judge(operation, call_of(operation, params=[*rest.items(), (name, "a"), (name, "a")]))
        assert only(twice) == Violation("query", f"/{name}", "type", "one value", "2 values")


@pytest.mark.parametrize(
    ("operation", "query", "wanted"),
    [
        ("getConversationsList", "", {"limit": 20, "sort_by": "-updated_at"}),
        ("getConversationsList", "limit=7&user=", {"limit": 7, "sort_by": "-updated_at", "user": ""}),
        ("getConversationsList", "limit=007&other=1", {"limit": 7, "sort_by": "-updated_at"}),
        ("getConversationHistory", "conversation_id=", {"conversation_id": "", "limit": 20}),
        ("getChatAppFeedbacks", "", {"page": 1, "limit": 20}),
        ("getAnnotationList", "page=-3", {"page": -3, "limit": 20}),
        ("previewChatFile", "", {"as_attachment": False}),
        ("previewChatFile", "as_attachment=True", {"as_attachment": True}),
        ("previewChatFile", "as_attachment=0", {"as_attachment": False}),
    ],
)
def test_values_are_cast_and_defaults_filled_in(operation: str, query: str, wanted: dict[str, Any]) -> None:
    path = call_of(operation).path
    judgement = judge(operation, Call("GET", path, query.encode()))
    assert judgement.violations == ()
    assert dict(judgement.query) == wanted
    assert all(type(value) is type(wanted[name]) for name, value in judgement.query.items())


def test_path_values_are_given_as_they_came() -> None:
    judgement = judge("getEndUserChat", call_of("getEndUserChat"), end_user_id=UNKNOWN.upper())
    assert dict(judgement.path) == {"end_user_id": UNKNOWN.upper()}


def test_a_query_that_cannot_be_read() -> None:
    violation = only(judge("getChatAppFeedbacks", Call("GET", "/v1/app/feedbacks", b"limit=5&a=%FF")))
    assert (violation.place, violation.pointer, violation.rule) == ("query", "", "decode")


# ---- Every member of every body ----

BODIES = {
    operation.id: schema_of(operation.request_body["content"]["application/json"]["schema"])
    for operation in OPERATIONS.values()
    if operation.request_body is not None and "application/json" in operation.request_body["content"]
}
MEMBERS = [(operation, name) for operation, schema in BODIES.items() for name in schema["properties"]]
OF_TYPE: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "object": {"a": 1},
    "array": [1],
    "null": None,
}
WORDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
GOT = {
    "text": "'text'",
    "1": "1",
    "1.5": "1.5",
    "True": "True",
    "{'a': 1}": "an object",
    "[1]": "an array of 1",
    "None": "null",
}


def test_every_json_body_is_covered() -> None:
    assert len(BODIES) == 10
    assert len(MEMBERS) > 25


def bad_values(schema: Mapping[str, Any]) -> Iterable[tuple[Any, str, str]]:
    """Values that a member of this schema refuses: value, broken rule, what was expected."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if kinds:
        words = " or ".join(WORDS[kind] for kind in kinds)
        for kind, value in OF_TYPE.items():
            if kind not in kinds and not (kind == "integer" and "number" in kinds):
                yield value, "type", words
    if "enum" in schema:
        yield "nothing", "enum", "one of "
    if "minLength" in schema:
        yield "", "minLength", f"at least {schema['minLength']} character"
    if "minimum" in schema:
        yield schema["minimum"] - 0.1, "minimum", f"at least {schema['minimum']}"
    if "maximum" in schema:
        yield schema["maximum"] + 0.1, "maximum", f"at most {schema['maximum']}"
    if schema.get("format") == "uuid":
        yield "nothing", "format", "the format uuid"
    if "pattern" in schema:
        yield "no\x00thing", "pattern", "text that matches"
    if "maxItems" in schema:
        one = {"type": "document", "transfer_method": "remote_url", "url": "https://example.com"}
        yield [one] * (schema["maxItems"] + 1), "maxItems", f"at most {schema['maxItems']} items"


def body_of(operation: str) -> dict[str, Any]:
    found: dict[str, Any] = good_calls(Ids())[operation].arguments["json"]
    return found


@pytest.mark.parametrize(("operation", "name"), MEMBERS)
def test_a_member_of_a_body(operation: str, name: str) -> None:
    schema = schema_of(BODIES[operation]["properties"][name])
    body = body_of(operation)
    for value, rule, expected in bad_values(schema):
        judgement = judge(operation, call_of(operation, json={**body, name: value}))
        found = {one.rule: one for one in judgement.violations if one.pointer == f"/{name}"}
        assert {one.place for one in judgement.violations} == {"body"}
        assert rule in found, (value, judgement.violations)
        assert found[rule].expected.startswith(expected)
        if rule == "type":
            assert found[rule].got == GOT[str(value)]
    without = judge(operation, call_of(operation, json={key: value for key, value in body.items() if key != name}))
    if name in BODIES[operation].get("required", ()):
        assert only(without) == Violation("body", f"/{name}", "required", "a value", "nothing")
    elif not (name == "name" or (operation == "textToAudioChat" and name == "text")):  # One of two is needed there.
        assert without.violations == ()
        assert without.body.get(name) == schema.get("default")


def test_defaults_of_a_body() -> None:
    body = judge("sendChatMessage", call_of("sendChatMessage")).body
    assert (body["auto_generate_name"], body["retriever_from"]) == (True, "dev")
    assert "files" not in body and "response_mode" not in body
    null = judge(
        "sendChatMessage", call_of("sendChatMessage", json={**body_of("sendChatMessage"), "auto_generate_name": None})
    )
    assert null.body["auto_generate_name"] is None, "null is kept, a behaviour decides what it means"
    assert (
        judge("postChatMessageFeedback", call_of("postChatMessageFeedback", json={"user": "a"})).body["rating"] is None
    )


@pytest.mark.parametrize(
    ("files", "pointer", "rule", "expected", "got"),
    [
        (["x"], "/files/0", "oneOf", "one of several forms", "'x'"),
        ([{"type": "image", "transfer_method": "remote_url"}], "/files/0/url", "required", "a value", "nothing"),
        (
            [{"type": "image", "transfer_method": "local_file", "upload_file_id": ""}],
            "/files/0/upload_file_id",
            "minLength",
            "at least 1 character",
            "''",
        ),
        (
            [{"type": "document", "transfer_method": "remote_url", "url": "https://a"}] * 2
            + [{"type": "document", "transfer_method": "remote_url", "url": "ftp://a"}],
            "/files/2/url",
            "pattern",
            "text that matches ^https?://[^\\x00-\\x20]+$",
            "'ftp://a'",
        ),
    ],
    ids=["no-object", "no-url", "no-id", "third"],
)
def test_of_a_choice_the_branch_that_came_nearest(files: Any, pointer: str, rule: str, expected: str, got: str) -> None:
    judgement = judge(
        "sendChatMessage", call_of("sendChatMessage", json={**body_of("sendChatMessage"), "files": files})
    )
    violation = only(judgement)
    assert violation.pointer.startswith("/files/")
    if rule != "required":
        assert (violation.pointer, violation.rule) == (pointer, rule)
        assert (violation.expected, violation.got) == (expected, got)


def test_several_mistakes_are_several_violations() -> None:
    judgement = judge("sendChatMessage", call_of("sendChatMessage", json={"query": "", "user": 1}))
    found = {(one.pointer, one.rule) for one in judgement.violations}
    assert found == {("/inputs", "required"), ("/query", "minLength"), ("/user", "type")}


def test_pointers_are_escaped() -> None:
    violation = Violation("body", "/a~1b/c~0d/0", "type", "a string", "1")
    assert str(violation) == "body/a~1b/c~0d/0: expected a string, got 1"


# ---- Media types ----


@pytest.mark.parametrize("operation", sorted(set(BODIES) - {"deleteConversation"}))
@pytest.mark.parametrize(
    "kind", ["text/plain", "", "application/xml", "json", "application/jsonx", "multipart/form-data"]
)
def test_other_media_types(operation: str, kind: str) -> None:
    call = call_of(operation)
    headers = {**call.headers, "content-type": kind}
    violation = only(judge(operation, Call(call.method, call.path, call.query, headers, call.body)))
    assert (violation.place, violation.pointer, violation.rule) == ("body", "", "media_type")
    assert violation.expected == "Content-Type application/json"
    assert violation.got == (repr(kind) if kind else "none")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "application/hal+json",
        " application/json ;a=b",
    ],
)
def test_media_types_that_are_json(kind: str) -> None:
    call = call_of("createAnnotation")
    assert (
        judge("createAnnotation", Call(call.method, call.path, b"", {"content-type": kind}, call.body)).violations == ()
    )


def test_a_body_that_may_be_left_out() -> None:
    path = call_of("deleteConversation").path
    judgement = judge("deleteConversation", Call("DELETE", path))
    assert (judgement.violations, judgement.body) == ((), None)
    wrong = judge("deleteConversation", Call("DELETE", path, b"", {"content-type": "text/plain"}, b"x"))
    assert only(wrong).rule == "media_type"


def test_a_form() -> None:
    judgement = judge("uploadChatFile", call_of("uploadChatFile"))
    assert judgement.violations == ()
    assert [(one.name, one.filename, one.content_type) for one in judgement.parts] == [
        ("user", None, None),
        ("file", "photo.png", "image/png"),
    ]
    assert judgement.body["user"] == "visitor-7"
    assert judgement.body["file"].startswith(b"\x89PNG")
    empty = judge("uploadChatFile", call_of("uploadChatFile", files={"other": ("a", b"b", "c/d")}))
    assert only(empty) == Violation("body", "/file", "required", "a value", "nothing")


# ---- Whatever comes ----

ANY_TEXT = st.text(st.characters(max_codepoint=255), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(
    [
        "application/json",
        "multipart/form-data; boundary=limit",
        "multipart/form-data",
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "a/b; =",
    ]
)


@given(
    st.sampled_from(sorted(OPERATIONS)),
    st.one_of(st.binary(max_size=60), JSON.map(json.dumps).map(str.encode)),
    st.one_of(
        st.binary(max_size=40),
        st.dictionaries(st.sampled_from(["limit", "user", "page", "sort_by", "x"]), ANY_TEXT)
        .map(urlencode)
        .map(str.encode),
    ),
    st.one_of(TYPES, ANY_TEXT),
    st.text(max_size=12),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example("uploadChatFile", b"", b"", "multipart/form-data; boundary=limit", "")
@example("uploadChatFile", b"x", b"", "multipart/form-data; boundary=" + "b" * 500, "")
@example("sendChatMessage", b"\xff", b"%FF", "application/json", "\x00")
def test_the_judge_never_raises(operation: str, body: bytes, query: bytes, kind: str, value: str) -> None:
    one = OPERATIONS[operation]
    values = {str(parameter["name"]): value for parameter in one.parameters if parameter["in"] == "path"}
    call = Call(one.method, "/", query, {"content-type": kind, "authorization": value}, body)
    judgement = JUDGE.judge(one, call, values)
    for violation in judgement.violations:
        assert violation.rule != "judge", violation
        assert violation.expected and violation.got
        assert str(violation).startswith(violation.place)


@given(st.sampled_from(sorted(BODIES)), st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_judge_never_raises_at_a_body_that_is_nearly_right(operation: str, data: st.DataObject) -> None:
    body = dict(body_of(operation))
    names = [*BODIES[operation]["properties"], "other"]
    for name in data.draw(st.lists(st.sampled_from(names), max_size=3)):
        body[name] = data.draw(JSON)
    text = json.dumps(body).encode()
    judgement = judge(
        operation, call_of(operation, json=None, content=text, headers={"Content-Type": "application/json"})
    )
    assert all(one.rule != "judge" for one in judgement.violations)


# ---- Beside openapi-core itself ----


class Plain:
    """A call as openapi-core asks for it."""

    def __init__(self, operation: Operation, call: Call) -> None:
        query = httpx.QueryParams(call.query.decode()).multi_items()
        headers = Headers({**call.headers, "Authorization": "Bearer app-emulator"})
        self.parameters = RequestParameters(query=ImmutableMultiDict(query), header=headers)
        self.host_url = "http://test"
        self.path = f"/dify{call.path}"
        self.method = operation.method.lower()
        self.body = call.body or None
        self.content_type = call.headers.get("content-type", "")


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    OPENAPI = OpenAPI.from_dict(DOCUMENT.view)


def plain_accepts(operation: str, call: Call) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            OPENAPI.validate_request(Plain(OPERATIONS[operation], call))
        except OpenAPIError:
            return False
    return True


STRICTER: Mapping[str, str] = {
    "type": "texts that Python's casts take (`1_0`, ` 5`, `yes`), and a single value sent several times",
    "json": "JSON that Python reads and no other side may: NaN, numbers out of range, duplicate keys",
    "decode": "NUL characters in a query",
}
"""Rules of ours with which the judge may refuse what openapi-core accepts, and what for."""


def texts_for(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    known = [*good_texts(schema), *(text for text, _, _ in bad_texts(schema))]
    return st.one_of(
        st.sampled_from([*known, "x"]), st.integers(-5, 120).map(str), st.just(UNKNOWN), st.text("ab-_ %é", max_size=4)
    )


def values_for(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    near = [value for value, _, _ in bad_values(schema)]
    near += [UNKNOWN, "", " ", None, "streaming", "like", 0, 1, True, [], {}, "text"]
    file = st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["image", "document", "hologram", 1]),
            "transfer_method": st.sampled_from(["remote_url", "local_file", "by_mail", None]),
            "url": st.sampled_from(["https://example.com/a.png", "x", ""]),
            "upload_file_id": st.sampled_from([UNKNOWN, "", 1]),
        },
    )
    return st.one_of(st.sampled_from(near), st.lists(file, max_size=5), JSON)


@st.composite
def random_calls(draw: st.DrawFn) -> tuple[str, Call]:
    operation = draw(st.sampled_from(COMPARED))
    one = OPERATIONS[operation]
    changes: dict[str, Any] = {}
    call = call_of(operation)
    query = httpx.QueryParams(call.query.decode()).multi_items()
    for parameter in one.parameters:
        if parameter["in"] == "query" and draw(st.booleans()):
            name = str(parameter["name"])
            query = [pair for pair in query if pair[0] != name]
            if draw(st.integers(0, 5)):
                query.append((name, draw(texts_for(schema_of(parameter["schema"])))))
    changes["params"] = query
    if operation in BODIES:
        body = dict(body_of(operation))
        for name in draw(
            st.lists(st.sampled_from([*BODIES[operation]["properties"], "other"]), max_size=3, unique=True)
        ):
            if draw(st.integers(0, 4)):
                body[name] = draw(values_for(schema_of(BODIES[operation]["properties"].get(name, {}))))
            else:
                body.pop(name, None)
        changes["json"] = None
        changes["content"] = json.dumps(body).encode()
        changes["headers"] = {"Content-Type": draw(st.sampled_from(["application/json"] * 5 + ["text/plain"]))}
    return operation, call_of(operation, **changes)


COMPARED = sorted(set(OPERATIONS) - {"uploadChatFile", "audioToText"})
"""All but the forms, which openapi-core reads with a parser of its own."""


@given(random_calls())
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_judge_accepts_what_openapi_core_accepts(drawn: tuple[str, Call]) -> None:
    operation, call = drawn
    judgement = judge(operation, call)
    if plain_accepts(operation, call):
        assert {one.rule for one in judgement.violations} <= set(STRICTER), judgement.violations
    else:
        assert judgement.violations


@pytest.mark.parametrize(
    ("operation", "query", "rule"),
    [
        ("getConversationsList", "limit=1_0", "type"),
        ("getConversationsList", "limit=%205", "type"),
        ("getConversationsList", "limit=%D9%A3", "type"),
        ("getConversationsList", "limit=5&limit=6", "type"),
        ("previewChatFile", "as_attachment=yes", "type"),
        ("getAnnotationList", "page=%2B1", "type"),
    ],
)
def test_where_the_judge_is_stricter_about_queries(operation: str, query: str, rule: str) -> None:
    call = Call("GET", call_of(operation).path, query.encode())
    assert plain_accepts(operation, call)
    assert only(judge(operation, call)).rule == rule
    assert rule in STRICTER


@pytest.mark.parametrize(
    "body",
    [
        b'{"question": "a", "answer": "b", "c": NaN}',
        b'{"question": "a", "answer": "b", "answer": "c"}',
        b'{"question": "a", "answer": "b", "c": 1e400}',
    ],
)
def test_where_the_judge_is_stricter_about_json(body: bytes) -> None:
    call = Call("POST", "/v1/apps/annotations", b"", {"content-type": "application/json"}, body)
    assert plain_accepts("createAnnotation", call)
    assert only(judge("createAnnotation", call)).rule == "json"


@pytest.mark.parametrize("operation", COMPARED)
def test_both_accept_good_calls(operation: str) -> None:
    assert plain_accepts(operation, call_of(operation))
