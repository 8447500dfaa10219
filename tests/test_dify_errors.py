"""Every error of the Dify API, asked for by name and provoked for real, and both sides of every difference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import KEYS, Dify
from test_dify_operations import (
    LONG,
    OPERATIONS,
    PICTURE,
    SERVICE,
    UNKNOWN,
    Ids,
    bare,
    breaches,
    frames,
    good_calls,
    local,
    part,
    refused,
    send_parts,
    upload,
)

from emulator.backends.dify import files
from emulator.backends.dify.apps import APPS
from emulator.backends.dify.differences import DIFFERENCES
from emulator.testing.server import ThreadedServer
from emulator.world import prose

GOOD = good_calls(Ids())
WITH_JSON = sorted(
    name
    for name, one in OPERATIONS.items()
    if one.request_body is not None and "application/json" in one.request_body["content"]
)
UNREADABLE = "The browser (or proxy) sent a request that this server could not understand."
NOT_JSON = "Did not attempt to load JSON data because the request Content-Type was not 'application/json'."
NO_PATH = (
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling and "
    "try again."
)


# ---- Documented errors by name ----


def documented(operation: str) -> list[tuple[str, str, Any]]:
    """Status, name and value of each documented error of an operation."""
    document = SERVICE.document
    return [
        (status, name, value)
        for status in OPERATIONS[operation].responses
        if int(status) >= 400
        for name, (_, value) in document.examples(OPERATIONS[operation], status).items()
    ]


def test_every_documented_error_has_an_example() -> None:
    for operation, one in OPERATIONS.items():
        named = {status for status, _, _ in documented(operation)}
        assert named == {status for status in one.responses if int(status) >= 400}, operation


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_documented_error_by_name(dify: Dify, operation: str) -> None:
    errors = documented(operation)
    assert errors
    for status, name, value in errors:
        chosen = f"code={status}, example={name}"
        reply = GOOD[operation].send(dify, {"Prefer": chosen})
        assert (reply.status_code, reply.json()) == (int(status), value)
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["X-Emulator-Scenario"] == chosen
        assert reply.headers["X-Emulator-Operation"] == operation
        assert breaches(operation, reply) == []


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_documented_success_by_code(dify: Dify, operation: str) -> None:
    reply = GOOD[operation].send(dify, {"Prefer": f"code={GOOD[operation].status}"})
    assert reply.status_code == GOOD[operation].status
    assert reply.headers["X-Emulator-Scenario"] == f"code={GOOD[operation].status}"
    assert breaches(operation, reply) == []


def test_what_is_chosen_does_not_happen(dify: Dify) -> None:
    before = dify.get("/conversations", limit=100).json()
    GOOD["sendChatMessage"].send(dify, {"Prefer": "code=200"})
    GOOD["deleteConversation"].send(dify, {"Prefer": "code=204"})
    assert dify.get("/conversations", limit=100).json() == before
    assert GOOD["deleteConversation"].send(dify).status_code == 204


@pytest.mark.parametrize(
    ("prefer", "status", "code"),
    [
        ("code=429", 429, "too_many_requests"),
        ("example=rate_limit_error", 429, "rate_limit_error"),
        ("code=429,example=rate_limit_error", 429, "rate_limit_error"),
        ('code="429"; example="rate_limit_error"', 429, "rate_limit_error"),
        ("Code=429, respond-async", 429, "too_many_requests"),
        ("example=app_unavailable, wait=10", 400, "app_unavailable"),
    ],
)
def test_ways_to_say_it(dify: Dify, prefer: str, status: int, code: str) -> None:
    reply = GOOD["sendChatMessage"].send(dify, {"Prefer": prefer})
    assert (reply.status_code, reply.json()["code"]) == (status, code)


@pytest.mark.parametrize("prefer", ["return=minimal", "respond-async, wait=10", "", "handling=strict"])
def test_other_preferences_are_left_alone(dify: Dify, prefer: str) -> None:
    reply = GOOD["getChatAppInfo"].send(dify, {"Prefer": prefer})
    assert reply.status_code == 200 and "X-Emulator-Scenario" not in reply.headers


def problem(reply: httpx.Response, title: str) -> list[str]:
    """The emulator speaks; returns the names there are."""
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    assert (body["title"], body["status"], body["type"]) == (title, 400, "about:blank")
    assert body["detail"]
    available: list[str] = body["available"]
    return available


@pytest.mark.parametrize("prefer", ["code=", "code", "example=", "code=429, example"])
def test_a_malformed_prefer(dify: Dify, prefer: str) -> None:
    problem(GOOD["sendChatMessage"].send(dify, {"Prefer": prefer}), "Malformed Prefer")


@pytest.mark.parametrize(
    "prefer", ["code=418", "code=abc", "code=4XX", "code=default", "code=418, example=invalid_param"]
)
def test_an_undocumented_status(dify: Dify, prefer: str) -> None:
    available = problem(GOOD["sendChatMessage"].send(dify, {"Prefer": prefer}), "Undocumented status")
    assert available == list(OPERATIONS["sendChatMessage"].responses)


def test_an_unknown_example(dify: Dify) -> None:
    reply = GOOD["sendChatMessage"].send(dify, {"Prefer": "code=429, example=rate_limit_eror"})
    assert problem(reply, "Unknown example") == ["too_many_requests", "rate_limit_error"]
    assert "rate_limit_error" in reply.json()["detail"]
    reply = GOOD["getChatAppInfo"].send(dify, {"Prefer": "example=nothing"})
    assert {"appInfo", "unknown_key", "app_not_exists"} <= set(problem(reply, "Unknown example"))


def test_an_unknown_scenario(dify: Dify) -> None:
    for reply in (
        dify.stream("Hi", headers={"X-Emulator-Scenario": "long-anser"}),
        dify.post("/chat-messages", inputs={}, query="/scenario long-anser"),
    ):
        available = problem(reply, "Unknown scenario")
        assert "long-answer" in available and "quota-exceeded" in available
        assert "long-answer" in reply.json()["detail"]
    assert "default" in problem(dify.post("/chat-messages", inputs={}, query="/scenario"), "Unknown scenario")


def test_the_order_of_judgement(dify: Dify) -> None:
    """Emulator headers, then the key, then the body, then what was chosen."""
    url, wrong = "/chat-messages", {"Authorization": "Bearer nobody"}
    problem(dify.http.post(url, json={}, headers={**wrong, "Prefer": "code=1"}), "Undocumented status")
    problem(dify.http.post(url, json={}, headers={**wrong, "X-Emulator-Scenario": "nothing"}), "Unknown scenario")
    refused(dify.http.post(url, json={}, headers={**wrong, "Prefer": "code=429"}), 401, "unauthorized")
    refused(dify.http.post(url, json={}, headers={"Prefer": "code=429"}), 400, "invalid_param")
    refused(dify.post(url, inputs={}, query="/scenario error-mid-stream"), 400, "completion_request_error")
    reply = dify.http.post(
        url, json={"query": "/scenario x", "inputs": {}, "user": "u"}, headers={"Prefer": "code=429"}
    )
    assert (reply.status_code, reply.json()["code"]) == (429, "too_many_requests")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "名"])
def test_a_bad_session_name(server: ThreadedServer, name: str) -> None:
    headers = {"Authorization": f"Bearer {KEYS['chat']}"}
    reply = bare("GET", f"{server.url}/dify/v1/info", headers={**headers, "X-Emulator-Session": name.encode()})
    problem(reply, "Bad session name")
    if "/" not in name:
        problem(bare("GET", f"{server.url}/_s/{name}/dify/v1/info", headers=headers), "Bad session name")


# ---- 401 ----

MISSING = "Authorization header must be provided and start with 'Bearer'"
SCHEME = "Authorization scheme must be 'Bearer'"
INVALID = "Access token is invalid"
UNAUTHORIZED = {
    None: MISSING,
    "": MISSING,
    "Bearer": MISSING,
    "app-emulator": MISSING,
    "Basic YTpi": SCHEME,
    "Token app-emulator": SCHEME,
    "Bearer nobody": INVALID,
    "Bearer APP-EMULATOR": INVALID,
    "Bearer app-emulator x": INVALID,
    "bearer nobody": INVALID,
}


@pytest.mark.parametrize("given", UNAUTHORIZED, ids=str)
def test_without_a_key(server: ThreadedServer, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    reply = bare("GET", f"{server.url}/dify/v1/info", headers=headers)
    refused(reply, 401, "unauthorized", UNAUTHORIZED[given])
    assert reply.headers["www-authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_case_of_the_scheme_does_not_matter(server: ThreadedServer, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} app-emulator"}
    assert bare("GET", f"{server.url}/dify/v1/info", headers=headers).status_code == 200


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_the_key_comes_before_everything_else(dify: Dify, operation: str) -> None:
    good = GOOD[operation]
    for headers in ({"Authorization": "Bearer nobody"}, {"Authorization": "Bearer nobody", "Content-Type": "text/x"}):
        reply = dify.http.request(good.method, good.path, content=b"{", params={"limit": "x"}, headers=headers)
        refused(reply, 401, "unauthorized", INVALID)
        assert reply.headers["www-authenticate"] == 'Bearer realm="api"'
        assert reply.headers["X-Emulator-Operation"] == operation
        assert breaches(operation, reply) == []


# ---- Bodies ----


@pytest.mark.parametrize("operation", WITH_JSON)
def test_bodies_that_are_no_json_object(dify: Dify, operation: str) -> None:
    good = GOOD[operation]

    def send(content: bytes, kind: str | None = "application/json") -> httpx.Response:
        headers = {} if kind is None else {"Content-Type": kind}
        return dify.http.request(good.method, good.path, content=content, headers=headers)

    for broken in (b"{", b"{'a': 1}", b"\xff", b'{"a":1}x'):
        refused(send(broken), 400, "bad_request", UNREADABLE)
    for value in (b"[]", b"1", b'"text"', b"null", b"true"):
        refused(send(value), 400, "invalid_param")
    whole = json.dumps(good.arguments["json"]).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", None):
        refused(send(whole, kind), 415, "unsupported_media_type", NOT_JSON)
    if operation != "deleteConversation":  # Its body may be left out.
        refused(send(b""), 400, "bad_request", UNREADABLE)
        refused(send(b"", None), 415, "unsupported_media_type", NOT_JSON)
    assert send(whole, "Application/JSON; charset=utf-8").status_code == good.status


NEEDS_USER = ["sendChatMessage", "stopChatMessageGeneration", "postChatMessageFeedback", "getSuggestedQuestions"]


@pytest.mark.parametrize("operation", NEEDS_USER)
def test_the_user_is_asked_for_before_the_rest(dify: Dify, operation: str) -> None:
    good = GOOD[operation]
    for user in ({}, {"user": ""}):
        if operation == "getSuggestedQuestions":
            reply = dify.http.get(good.path, params=user)
        else:
            reply = dify.http.post(good.path, json={"query": 1, "rating": "love", **user})
        refused(reply, 400, "invalid_param", "Arg user must be provided.")
    if operation != "getSuggestedQuestions":
        refused(dify.http.post(good.path, json={"user": None}), 400, "invalid_param", "Arg user must be provided.")


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("query", "", "query is required"),
        ("query", None, None),
        ("query", 5, None),
        ("inputs", None, None),
        ("inputs", [], None),
        ("inputs", "x", None),
        ("conversation_id", "nothing", "conversation_id must be a valid UUID"),
        ("conversation_id", UNKNOWN.replace("-", ""), "conversation_id must be a valid UUID"),
        ("conversation_id", 5, None),
        ("response_mode", "fast", None),
        ("auto_generate_name", "yes", None),
        ("files", "x", None),
    ],
)
def test_members_of_a_query_that_are_wrong(dify: Dify, member: str, value: Any, message: str | None) -> None:
    reply = dify.post("/chat-messages", {"inputs": {}, "query": "Hi", member: value})
    refused(reply, 400, "invalid_param")
    if message is None:
        # The text names the place, as the framework's own does.
        assert f"\n{member}\n" in reply.json()["message"]
    else:
        assert message in reply.json()["message"]
    assert f"/{member}" in reply.headers["X-Emulator-Violation"]


@pytest.mark.parametrize("missing", ["query", "inputs"])
def test_members_of_a_query_that_are_missing(dify: Dify, missing: str) -> None:
    body = {name: value for name, value in {"inputs": {}, "query": "Hi"}.items() if name != missing}
    reply = dify.post("/chat-messages", body)
    refused(reply, 400, "invalid_param")
    text = reply.json()["message"]
    assert text.startswith("1 validation error for ") and f"\n{missing}\n" in text


# ---- Ids ----

CONVERSATION = ("not_found", "Conversation Not Exists.")
MESSAGE = ("not_found", "Message Not Exists.")
ANNOTATION = ("not_found", "Annotation not found.")


def test_the_table_of_ids_has_every_id_in_a_path() -> None:
    assert {name for name, one in OPERATIONS.items() if "_id}" in one.path} == {
        *UNKNOWN_IDS,
        "stopChatMessageGeneration",
        "getInitialAnnotationReplySettingsStatus",
    }


IDS_THERE = Ids()
UNKNOWN_IDS: dict[str, tuple[str, str, str | None]] = {
    "getSuggestedQuestions": (IDS_THERE.message, *MESSAGE),
    "postChatMessageFeedback": (IDS_THERE.message, *MESSAGE),
    "getConversationVariables": (IDS_THERE.conversation, *CONVERSATION),
    "renameConversation": (IDS_THERE.conversation, *CONVERSATION),
    "updateChatConversationVariable": (IDS_THERE.conversation, *CONVERSATION),
    "deleteConversation": (IDS_THERE.conversation, *CONVERSATION),
    "previewChatFile": (IDS_THERE.file, "file_not_found", None),
    "getEndUserChat": (IDS_THERE.end_user, "end_user_not_found", "End user not found."),
    "updateAnnotation": (IDS_THERE.annotation, *ANNOTATION),
    "deleteAnnotation": (IDS_THERE.annotation, *ANNOTATION),
}
MALFORMED = ["nothing", "1", UNKNOWN.replace("-", ""), f"{UNKNOWN}0", "%7B%7D", "..%2F..", "名"]


@pytest.mark.parametrize("operation", UNKNOWN_IDS)
def test_ids_that_name_nothing(dify: Dify, operation: str) -> None:
    there, code, message = UNKNOWN_IDS[operation]
    good = GOOD[operation]
    for id in (UNKNOWN, *MALFORMED):
        reply = dify.http.request(good.method, good.path.replace(there, id), **good.arguments)
        refused(reply, 404, code, message)
        assert reply.headers["X-Emulator-Operation"] == operation
        assert breaches(operation, reply) == []


def test_a_variable_that_is_not_there(dify: Dify) -> None:
    good = GOOD["updateChatConversationVariable"]
    for id in (UNKNOWN, *MALFORMED):
        reply = dify.http.put(good.path.replace(IDS_THERE.variable, id), **good.arguments)
        refused(reply, 404, "not_found", "Conversation Variable Not Exists.")


def test_a_job_that_is_not_there(dify: Dify) -> None:
    good = GOOD["getInitialAnnotationReplySettingsStatus"]
    for id in (UNKNOWN, *MALFORMED):
        reply = dify.http.get(good.path.replace(IDS_THERE.job, id))
        refused(reply, 400, "invalid_param", "The job does not exist.")


# ---- Paths and methods ----

NO_PATHS = (
    *("/nothing", "/v2", "/info/", "/Info", "//info", "/conversations//name", "/conversations/", "/messages/x"),
    *("/chat-messages/x/y/z", "/completion-messages", "/workflows/run", "/apps/annotation-reply", "/files/x"),
    "/%69nf%6F/x",
)


@pytest.mark.parametrize("path", NO_PATHS)
def test_an_unknown_path(server: ThreadedServer, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        reply = bare(method, f"{server.url}/dify/v1{path}")
        refused(reply, 404, "not_found", NO_PATH)
        assert reply.headers["X-Version"] == "1.13.2"
        assert reply.headers["access-control-allow-origin"] == "*"
        assert "X-Emulator-Operation" not in reply.headers


@pytest.mark.parametrize("path", ["/dify", "/dify/", "/dify/v1", "/dify/v2/info", "/dify/info"])
def test_beside_the_base(server: ThreadedServer, path: str) -> None:
    refused(bare("GET", server.url + path), 404, "not_found")


def test_an_escaped_path_is_the_same_path(dify: Dify) -> None:
    assert dify.http.get("/%69nf%6F").json() == dify.http.get("/info").json()


BY_PATH: dict[str, set[str]] = {}
for _one in OPERATIONS.values():
    BY_PATH.setdefault(_one.path, set()).add(_one.method)


@pytest.mark.parametrize("template", sorted(BY_PATH))
def test_other_methods_of_a_path(dify: Dify, template: str) -> None:
    path = template.replace("{action}", "enable").replace("{", "").replace("}", "")
    has = BY_PATH[template] | {"OPTIONS"} | ({"HEAD"} if "GET" in BY_PATH[template] else set())
    for method in sorted({"GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "TRACE"} - has):
        reply = dify.http.request(method, path, headers={"Origin": "https://example.com"})
        assert reply.status_code == 405
        assert {one.strip() for one in reply.headers["allow"].split(",")} == has
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        if method != "HEAD":
            refused(reply, 405, "method_not_allowed", "The method is not allowed for the requested URL.")
    options = bare("OPTIONS", f"{dify.base}{path}")
    assert (options.status_code, options.content) == (200, b"")
    assert {one.strip() for one in options.headers["allow"].split(",")} == has


def test_every_reply_names_version_and_deployment(dify: Dify) -> None:
    for reply in (
        dify.http.get("/info"),
        dify.http.get("/nothing"),
        dify.http.put("/info"),
        dify.http.options("/info"),
        bare("GET", f"{dify.base}/info"),
        dify.stream("Hi"),
        dify.http.get(""),
    ):
        assert (reply.headers["X-Version"], reply.headers["X-Env"]) == ("1.13.2", "PRODUCTION"), reply.request.url


def test_head_is_get_without_a_body(dify: Dify) -> None:
    head, get = dify.http.head("/info"), dify.http.get("/info")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


# ---- CORS ----

ORIGIN = {"Origin": "https://page.example"}
PREFLIGHT = {**ORIGIN, "Access-Control-Request-Method": "POST"}


def test_cors_without_and_with_an_origin(dify: Dify) -> None:
    for reply in (
        dify.http.get("/info"),
        bare("GET", f"{dify.base}/info"),
        dify.http.get("/nothing"),
        dify.stream("Hi"),
    ):
        assert reply.headers["access-control-allow-origin"] == "*"
        assert "vary" not in reply.headers and "access-control-allow-credentials" not in reply.headers
    for reply in (dify.http.get("/info", headers=ORIGIN), bare("GET", f"{dify.base}/info", headers=ORIGIN)):
        assert reply.headers["access-control-allow-origin"] == "https://page.example"
        assert reply.headers["vary"] == "Origin"
        exposed = {one.strip() for one in reply.headers["access-control-expose-headers"].split(",")}
        assert {"X-Env", "X-Trace-Id", "X-Version"} <= exposed
        assert {"X-Emulator-Operation", "X-Emulator-Scenario", "X-Emulator-Violation"} <= exposed
        assert "access-control-allow-credentials" not in reply.headers
        assert "access-control-allow-methods" not in reply.headers


@pytest.mark.parametrize("template", sorted(BY_PATH))
def test_preflight_needs_no_key(server: ThreadedServer, template: str) -> None:
    path = template.replace("{", "").replace("}", "")
    asked = "content-type, Authorization, x-app-code, X-App-Passport, x-emulator-session, X-Emulator-Scenario, Prefer"
    asked += ", X-Other"
    reply = bare(
        "OPTIONS", f"{server.url}/dify/v1{path}", headers={**PREFLIGHT, "Access-Control-Request-Headers": asked}
    )
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["access-control-allow-origin"] == "https://page.example"
    assert reply.headers["access-control-allow-methods"] == "DELETE, GET, OPTIONS, PATCH, POST, PUT"
    allowed = [one.strip().lower() for one in reply.headers["access-control-allow-headers"].split(",")]
    assert allowed == [one.strip().lower() for one in asked.split(",")][:-1]


def test_preflight_that_asks_for_no_headers(server: ThreadedServer) -> None:
    reply = bare("OPTIONS", f"{server.url}/dify/v1/info", headers=PREFLIGHT)
    assert "access-control-allow-headers" not in reply.headers


# ---- Settings ----

BUSY = "operation: sendChatMessage\nsteps:\n  - error: {status: 429, code: too_many_requests}\n"


@pytest.fixture(scope="module")
def special(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedServer]:
    """One backend, a key of its own, few origins and a scenario of its own."""
    folder: Path = tmp_path_factory.mktemp("scenarios")
    (folder / "dify").mkdir()
    (folder / "dify" / "busy.yaml").write_text(BUSY)
    keys = {"dify": {"app-of-my-own": KEYS["flow"]}}
    origins = ("https://page.example", "http://localhost:3000")
    with ThreadedServer(backends=("dify",), speed=0, keys=keys, origins=origins, scenarios=folder) as running:
        yield running


def test_a_key_from_the_settings(special: ThreadedServer) -> None:
    def info(key: str) -> httpx.Response:
        return bare("GET", f"{special.url}/dify/v1/info", headers={"Authorization": f"Bearer {key}"})

    assert info("app-of-my-own").json() == info(KEYS["flow"]).json()
    refused(info("app-of-nobody"), 401, "unauthorized", INVALID)


def test_a_single_backend_answers_at_its_documented_place(special: ThreadedServer) -> None:
    headers = {"Authorization": f"Bearer {KEYS['chat']}"}
    inside, outside = (bare("GET", f"{special.url}{base}/v1/info", headers=headers) for base in ("/dify", ""))
    assert inside.content == outside.content and inside.status_code == 200
    prefixed = bare("GET", f"{special.url}/_s/other/v1/info", headers=headers)
    assert prefixed.status_code == 200


def test_other_origins_are_not_let_in(special: ThreadedServer) -> None:
    url = f"{special.url}/dify/v1/info"
    for origin in ("https://page.example", "http://localhost:3000"):
        reply = bare("GET", url, headers={"Origin": origin})
        assert reply.headers["access-control-allow-origin"] == origin
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "https://page.example.evil"}):
        for reply in (bare("GET", url, headers=headers), bare("OPTIONS", url, headers={**PREFLIGHT, **headers})):
            assert not [name for name in reply.headers if name.startswith("access-control-")]


# ---- Both sides of every difference ----


class Probe:
    """What a difference is looked at with: a caller, and the means to make the backend fail."""

    def __init__(self, caller: Dify, patch: pytest.MonkeyPatch) -> None:
        self.caller = caller
        self.patch = patch

    def other(self, app: str) -> Dify:
        self.caller.http.headers["Authorization"] = f"Bearer {KEYS[app]}"
        return self.caller


def said(reply: httpx.Response) -> tuple[int, str, str]:
    body = reply.json()
    assert reply.status_code == body["status"]
    return body["status"], body["code"], body["message"]


def internal_error(probe: Probe) -> Any:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("on purpose")

    message = probe.caller.ask("Hi")["message_id"]
    probe.patch.setattr(prose, "follow_ups", fail)
    return said(probe.caller.get(f"/messages/{message}/suggested"))


def no_object(probe: Probe) -> Any:
    return said(probe.caller.http.post("/apps/annotations", json=[]))


def not_there(probe: Probe) -> Any:
    replies = [probe.caller.get("/nothing"), probe.caller.get("/end-users/nothing"), probe.caller.get("/info/")]
    assert {reply.status_code for reply in replies} == {404}
    assert all(("<h1>Not Found</h1>" in reply.text) == ("html" in reply.headers["content-type"]) for reply in replies)
    return {reply.headers["content-type"] for reply in replies}


def hint(probe: Probe) -> Any:
    caller = probe.caller
    gone = {"user": caller.user, "conversation_id": UNKNOWN, "query": "Hi", "inputs": {}, "name": "a"}
    replies = [
        caller.http.post("/chat-messages", json=gone),
        caller.get("/messages", conversation_id=UNKNOWN),
        caller.get("/conversations", last_id=UNKNOWN),
        caller.get(f"/conversations/{UNKNOWN}/variables"),
        caller.http.post(f"/conversations/{UNKNOWN}/name", json=gone),
        caller.http.post(f"/messages/{UNKNOWN}/feedbacks", json=gone),
        caller.http.request("DELETE", f"/conversations/{UNKNOWN}", json=gone),
    ]
    assert {said(reply)[:2] for reply in replies} == {(404, "not_found")}
    start = " You have requested this URI [/v1/chat-messages] but did you mean /v1/chat-messages"
    assert said(replies[0])[2].removeprefix("Conversation Not Exists.")[: len(start)] in ("", start)
    return [" You have requested this URI [" in said(reply)[2] for reply in replies]


def too_many(probe: Probe) -> Any:
    status, code, message = said(probe.caller.post("/chat-messages", inputs={}, query="/scenario busy"))
    return status, code, message.rpartition(" for ")[0] or message, message.endswith(" is 10.")


def too_large(probe: Probe) -> Any:
    probe.patch.setattr(files, "MB", 1)
    return said(probe.caller.http.post("/files/upload", files={"file": ("a.png", PICTURE, "image/png")}))


def ids(probe: Probe) -> Any:
    answer = probe.caller.ask("Hi")
    return answer["id"] == answer["message_id"]


def ping(probe: Probe) -> Any:
    reply = probe.caller.stream("Hi", headers={"X-Emulator-Scenario": "ping-between-deltas"})
    assert "ping" in frames(reply)
    return reply.content.count(b"\n\nevent: ping\n\n")


def unknown_task(probe: Probe) -> Any:
    return probe.caller.post(f"/chat-messages/{UNKNOWN}/stop").json()


def addresses(probe: Probe) -> Any:
    kept = upload(probe.caller, "a.png", PICTURE, "image/png")
    if kept["source_url"] is not None:
        assert bare("GET", kept["source_url"], headers={"X-Emulator-Session": probe.caller.session}).content == PICTURE
    return [kept[name] is None for name in ("source_url", "user_id", "file_key", "tenant_id")]


def attached(probe: Probe) -> Any:
    foreign = upload(probe.caller, "a.png", PICTURE, "image/png", user="mira")["id"]
    sent = [{"inputs": {}, "query": "Hi", "files": [local(id)]} for id in ("nothing", UNKNOWN, foreign)]
    replies = [probe.caller.post("/chat-messages", body) for body in sent]
    probe.caller.post("/chat-messages", {**sent[2], "user": "mira"}).raise_for_status()
    replies.append(probe.caller.get(f"/files/{foreign}/preview"))
    return [reply.status_code if reply.status_code == 200 else said(reply) for reply in replies]


def person(probe: Probe) -> dict[str, Any]:
    id = upload(probe.caller, "a.png", PICTURE, "image/png")["created_by"]
    found: dict[str, Any] = probe.caller.get(f"/end-users/{id}").json()
    return found


def rated(probe: Probe) -> Any:
    message = probe.caller.ask("Hi")["message_id"]
    probe.caller.post(f"/messages/{message}/feedbacks", rating="like")
    one = probe.caller.get("/app/feedbacks").json()["data"][0]
    assert one["message_id"] == message
    return shape(one["created_at"]), shape(one["updated_at"])


def shape(time: str) -> str:
    return "".join("0" if character.isdigit() else character for character in time)


def order(probe: Probe) -> Any:
    id = probe.caller.ask("first")["conversation_id"]
    probe.caller.ask("second", conversation_id=id)
    return [one["query"] for one in probe.caller.get("/messages", conversation_id=id).json()["data"]]


def parent(probe: Probe) -> Any:
    id = probe.caller.ask("first")["conversation_id"]
    return probe.caller.get("/messages", conversation_id=id).json()["data"][0]["parent_message_id"]


def bare_delete(probe: Probe) -> Any:
    probe.caller.user = "DEFAULT-USER"
    id = probe.caller.ask("Hi")["conversation_id"]
    reply = probe.caller.http.delete(f"/conversations/{id}")
    return reply.status_code if reply.status_code == 204 else said(reply)


def mismatch(probe: Probe) -> Any:
    flow = probe.other("flow")
    id = flow.ask("Hi", inputs={"city": "Oslo"})["conversation_id"]
    name = {one["name"]: one["id"] for one in flow.get(f"/conversations/{id}/variables").json()["data"]}
    path = f"/conversations/{id}/variables/{name['customer_name']}"
    return said(flow.http.put(path, json={"value": 1, "user": flow.user}))


def no_audio(probe: Probe) -> Any:
    return said(send_parts(probe.caller, "/audio-to-text", part("user", b"abc-123")))


def audio_kinds(probe: Probe) -> Any:
    kinds = ["mp3", "mp4", "mpeg", "mpga", "m4a", "wav", "webm", "amr"]
    replies = {
        kind: probe.caller.http.post("/audio-to-text", files={"file": ("a", b"x", f"audio/{kind}")}) for kind in kinds
    }
    return " ".join(kind for kind in kinds if replies[kind].status_code == 200)


def no_site(probe: Probe) -> Any:
    bare = replace(APPS[KEYS["chat"]], site=False)
    probe.patch.setitem(APPS, KEYS["chat"], bare)
    return said(probe.caller.get("/site"))


def no_annotation(probe: Probe) -> Any:
    return said(probe.caller.http.delete(f"/apps/annotations/{UNKNOWN}"))


def other_action(probe: Probe) -> Any:
    good = GOOD["initialAnnotationReplySettings"]
    return said(probe.caller.http.post("/apps/annotation-reply/toggle", **good.arguments))[:2]


WERKZEUG_500 = (
    "The server encountered an internal error and was unable to complete your request. Either the server is "
    "overloaded or there is an error in the application."
)
WERKZEUG_403 = (
    "You don't have the permission to access the requested resource. It is either read-protected or not readable by "
    "the server."
)
MISMATCH = "expected string, got integer."
MISMATCH_OBSERVED = "Type mismatch: variable 'customer_name' expects string, but got integer type"
NO_FILE = (404, "file_not_found", "The requested file was not found.")
BAD_ACTION = (400, "invalid_param")
AUDIO = "mp3 mp4 mpeg mpga m4a wav webm amr"

SIDES: dict[str, tuple[Callable[[Probe], Any], Any, Any]] = {
    "internal_error_text": (
        internal_error,
        (500, "internal_server_error", "Internal server error."),
        (500, "internal_server_error", WERKZEUG_500),
    ),
    "body_no_object": (lambda probe: no_object(probe)[:2], (400, "invalid_param"), (500, "unknown")),
    "html_not_found": (not_there, {"application/json"}, {"text/html; charset=utf-8"}),
    "not_found_hint": (hint, [False] * 7, [True] * 4 + [False] * 3),
    "too_many_requests": (
        too_many,
        (429, "too_many_requests", "Too many requests. Please try again later.", False),
        (
            400,
            "invalid_param",
            "Too many requests. Please try again later. The current maximum concurrent requests allowed",
            True,
        ),
    ),
    "too_large_text": (
        too_large,
        (413, "file_too_large", "File size exceeded."),
        (413, "file_too_large", "File size exceeded. {message}"),
    ),
    "message_id": (ids, True, True),
    "ping_frame": (ping, 1, 1),
    "stop_unknown_task": (unknown_task, {"result": "success"}, {"result": "success"}),
    "upload_addresses": (addresses, [True, False, False, False], [False, True, True, False]),
    "attached_upload": (
        attached,
        [NO_FILE] * 4,
        [
            (400, "invalid_param", "Invalid upload file id format"),
            (400, "invalid_param", "Invalid upload file"),
            200,
            200,
        ],
    ),
    "end_user_type": (lambda probe: person(probe)["type"], "service_api", "service-api"),
    "end_user_times": (
        lambda probe: [shape(person(probe)[name]) for name in ("created_at", "updated_at")],
        ["0000-00-00T00:00:00Z"] * 2,
        ["0000-00-00T00:00:00"] * 2,
    ),
    "feedback_times": (rated, ("0000-00-00T00:00:00Z",) * 2, ("0000-00-00T00:00:00",) * 2),
    "history_order": (order, ["first", "second"], ["first", "second"]),
    "parent_message": (parent, None, "00000000-0000-0000-0000-000000000000"),
    "delete_needs_body": (bare_delete, 204, (415, "unsupported_media_type", NOT_JSON)),
    "variable_mismatch_text": (
        mismatch,
        (400, "bad_request", f"Value type mismatch: {MISMATCH}"),
        (400, "bad_request", MISMATCH_OBSERVED),
    ),
    "audio_missing": (
        no_audio,
        (400, "no_audio_uploaded", "Please upload your audio."),
        (400, "bad_request_key_error", UNREADABLE),
    ),
    "audio_types": (audio_kinds, AUDIO, "mp3 mpga m4a wav amr"),
    "site_missing_text": (no_site, (403, "forbidden", "Forbidden."), (403, "forbidden", WERKZEUG_403)),
    "annotation_missing_text": (
        no_annotation,
        (404, "not_found", "Annotation not found."),
        (404, "not_found", "Annotation not found"),
    ),
    "annotation_action": (other_action, BAD_ACTION, (500, "internal_server_error")),
}


def test_every_difference_has_a_test() -> None:
    assert set(SIDES) == {one.name for one in DIFFERENCES}


@pytest.mark.parametrize("profile", ["documented", "observed"])
@pytest.mark.parametrize("name", [one.name for one in DIFFERENCES])
def test_a_side_of_a_difference(
    special: ThreadedServer, session_name: str, monkeypatch: pytest.MonkeyPatch, name: str, profile: str
) -> None:
    probe, *sides = SIDES[name]
    special.app.sessions.get(session_name).profile = profile  # type: ignore[assignment]  # one of the two
    caller = Dify(special, session_name)
    try:
        assert probe(Probe(caller, monkeypatch)) == sides[profile == "observed"]
    finally:
        caller.http.close()


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: str(one.name))
def test_a_difference_says_where_it_is_from(difference: Any) -> None:
    assert difference.source.startswith("FACTS.md 002 §")
    documented, observed = SIDES[difference.name][1:]
    assert (documented == observed) == difference.observed.startswith("the same")


def test_audio_beyond_the_limit_has_its_observed_text(
    special: ThreadedServer, session_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.backends.dify.audio.MB", 1)
    special.app.sessions.get(session_name).profile = "observed"
    caller = Dify(special, session_name)
    reply = caller.http.post("/audio-to-text", files={"file": ("a.mp3", b"x" * 31, "audio/mp3")})
    refused(reply, 413, "audio_too_large", "Audio size larger than 30 mb")
    caller.http.close()


def test_a_long_query_is_no_error(dify: Dify) -> None:
    assert dify.ask(LONG * 1000)["answer"]
