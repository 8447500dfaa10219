"""What each operation of the Dify API does: one table per sentence of FACTS.md 002, §2 to §11, over a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from conftest import KEYS, Dify

from emulator.backends.dify import audio, files
from emulator.backends.dify.apps import APPS
from emulator.call import Event, Reply
from emulator.service import Service, spec_files
from emulator.settings import Settings
from emulator.testing.server import ThreadedServer
from emulator.world.clock import Clock
from emulator.world.media import picture_png
from emulator.world.session import Session

SERVICE = Service("dify", spec_files(Settings())["dify"], Settings())
OPERATIONS = SERVICE.document.operations
UNKNOWN = "00000000-0000-4000-8000-000000000000"
TASK = "c3800678-a077-43df-a102-53f23ed20b88"
LONG = "Which of the towns along the coast can be reached by train, and which are nicer when it rains?"
PICTURE = picture_png("a test", 32, 32)


# ---- Helpers that other files take from here ----


@dataclass(frozen=True, slots=True)
class Good:
    """One well-formed call and the status it is promised."""

    method: str
    path: str
    status: int
    arguments: dict[str, Any]

    def send(self, caller: Dify, headers: dict[str, str] | None = None) -> httpx.Response:
        return caller.http.request(self.method, self.path, headers=headers, **self.arguments)


@dataclass(frozen=True, slots=True)
class Ids:
    """Things of one app that are there from the start; those of the chat app are the spec's examples."""

    user: str = "visitor-7"
    conversation: str = "2f6e1d0c-8a4b-4c3d-9e5f-60718293a4b5"
    message: str = "3a7f2e1d-9b5c-4d4e-8f60-718293a4b5c6"
    variable: str = "4b803f2e-ac6d-4e5f-9071-8293a4b5c6d7"
    file: str = "a1b2c3d4-5678-90ab-cdef-1234567890ab"
    end_user: str = "f1e2d3c4-b5a6-7890-abcd-ef1234567890"
    annotation: str = "3d9c2b1a-7e64-4f0b-8a55-91c0ffee2d22"
    job: str = "a1b2c3d4-5678-90ab-cdef-1234567890ab"


def good_calls(ids: Ids) -> dict[str, Good]:
    """A well-formed call of every operation."""
    user = {"user": ids.user}
    pair = {"question": "Where is the desk?", "answer": "On the left."}
    switch = {"score_threshold": 0.9, "embedding_provider_name": "openai", "embedding_model_name": "small"}
    picture = {"file": ("photo.png", PICTURE, "image/png")}
    speech = {"file": ("speech.mp3", b"\xff\xfb", "audio/mpeg")}
    variables = f"/conversations/{ids.conversation}/variables"
    return {
        "sendChatMessage": Good(
            "POST", "/chat-messages", 200, {"json": {"inputs": {"city": "Oslo"}, "query": "Hi", **user}}
        ),
        "stopChatMessageGeneration": Good("POST", f"/chat-messages/{TASK}/stop", 200, {"json": user}),
        "getSuggestedQuestions": Good("GET", f"/messages/{ids.message}/suggested", 200, {"params": user}),
        "uploadChatFile": Good("POST", "/files/upload", 201, {"files": picture, "data": user}),
        "previewChatFile": Good("GET", f"/files/{ids.file}/preview", 200, {"params": user}),
        "getEndUserChat": Good("GET", f"/end-users/{ids.end_user}", 200, {}),
        "postChatMessageFeedback": Good(
            "POST", f"/messages/{ids.message}/feedbacks", 200, {"json": {"rating": "like", **user}}
        ),
        "getChatAppFeedbacks": Good("GET", "/app/feedbacks", 200, {}),
        "getConversationsList": Good("GET", "/conversations", 200, {"params": user}),
        "getConversationHistory": Good(
            "GET", "/messages", 200, {"params": {"conversation_id": ids.conversation, **user}}
        ),
        "getConversationVariables": Good("GET", variables, 200, {"params": user}),
        "renameConversation": Good(
            "POST", f"/conversations/{ids.conversation}/name", 200, {"json": {"name": "New", **user}}
        ),
        "updateChatConversationVariable": Good(
            "PUT", f"{variables}/{ids.variable}", 200, {"json": {"value": "light_mode", **user}}
        ),
        "deleteConversation": Good("DELETE", f"/conversations/{ids.conversation}", 204, {"json": user}),
        "audioToText": Good("POST", "/audio-to-text", 200, {"files": speech, "data": user}),
        "textToAudioChat": Good("POST", "/text-to-audio", 200, {"json": {"text": "Good morning.", **user}}),
        "getChatAppInfo": Good("GET", "/info", 200, {}),
        "getChatAppParameters": Good("GET", "/parameters", 200, {}),
        "getChatAppMeta": Good("GET", "/meta", 200, {}),
        "getChatWebAppSettings": Good("GET", "/site", 200, {}),
        "createAnnotation": Good("POST", "/apps/annotations", 201, {"json": pair}),
        "getAnnotationList": Good("GET", "/apps/annotations", 200, {}),
        "updateAnnotation": Good("PUT", f"/apps/annotations/{ids.annotation}", 200, {"json": pair}),
        "deleteAnnotation": Good("DELETE", f"/apps/annotations/{ids.annotation}", 204, {}),
        "initialAnnotationReplySettings": Good("POST", "/apps/annotation-reply/disable", 200, {"json": switch}),
        "getInitialAnnotationReplySettingsStatus": Good(
            "GET", f"/apps/annotation-reply/enable/status/{ids.job}", 200, {}
        ),
    }


def bare(method: str, url: str, **arguments: Any) -> httpx.Response:
    """One call by a client that knows neither key nor session."""
    # Without a TLS context, which takes longer to make than the call itself.
    return httpx.request(method, url, verify=False, timeout=30, **arguments)


def breaches(operation: str, reply: httpx.Response) -> list[str]:
    """How a reply on the wire breaks the spec."""
    inside = Reply(reply.status_code, tuple(reply.headers.items()), reply.content)
    return [str(one) for one in SERVICE.inspector.reply(OPERATIONS[operation], inside)]


def frames(reply: httpx.Response) -> list[dict[str, Any] | str]:
    """The frames of a stream: data as JSON, a ping as its name."""
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.content.endswith(b"\n\n")
    found: list[dict[str, Any] | str] = []
    for frame in reply.content.decode()[:-2].split("\n\n"):
        field, _, value = frame.partition(": ")
        assert "\n" not in frame and field in ("data", "event"), frame
        found.append(json.loads(value) if field == "data" else value)
    return found


def events(reply: httpx.Response) -> list[dict[str, Any]]:
    """The JSON events of a stream."""
    return [frame for frame in frames(reply) if isinstance(frame, dict)]


def part(name: str, data: bytes, filename: str | None = None, mime: str | None = None) -> bytes:
    """One part of a multipart body, without the freedom that a client library takes away."""
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    kind = f"Content-Type: {mime}\r\n" if mime is not None else ""
    return f"--limit\r\nContent-Disposition: {disposition}\r\n{kind}\r\n".encode() + data + b"\r\n"


def send_parts(caller: Dify, path: str, *parts: bytes) -> httpx.Response:
    """POST a multipart body made of these parts."""
    kind = {"Content-Type": "multipart/form-data; boundary=limit"}
    return caller.http.post(path, content=b"".join(parts) + b"--limit--\r\n", headers=kind)


def upload(caller: Dify, name: str, data: bytes, mime: str, user: str | None = None) -> dict[str, Any]:
    """Upload a file as the caller's user."""
    reply = caller.http.post("/files/upload", files={"file": (name, data, mime)}, data={"user": user or caller.user})
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


def refused(reply: httpx.Response, status: int, code: str, message: str | None = None) -> None:
    """The reply is an error in Dify's flat envelope."""
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert list(body) == ["code", "message", "status"]
    assert (reply.status_code, body["code"], body["status"]) == (status, code, status), reply.text
    if message is not None:
        assert body["message"] == message


class Still(Clock):
    """A clock that moves only when a test says so."""

    def tick(self) -> None:
        """Calls take no time."""

    def pass_(self, seconds: float) -> None:
        """Answers neither."""

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.ahead += seconds


Another = Callable[..., Dify]


@pytest.fixture
def another(server: ThreadedServer, session_name: str) -> Iterator[Another]:
    """More callers in the test's session: `another("flow", "mira")`."""
    made: list[Dify] = []

    def make(app: str = "chat", user: str = "abc-123", session: str = session_name) -> Dify:
        made.append(Dify(server, session, KEYS[app], user))
        return made[-1]

    yield make
    for caller in made:
        caller.http.close()
        assert caller.breaches() == []


@pytest.fixture
def session(server: ThreadedServer, session_name: str) -> Session:
    return server.app.sessions.get(session_name)


@pytest.fixture
def still(session: Session) -> Still:
    """The session's clock, standing still."""
    clock = Still("virtual")
    session.clock = clock
    return clock


def ids_of(caller: Dify) -> Ids:
    """What an app other than the chat app has from the start."""
    oldest = caller.get("/conversations", sort_by="created_at").json()["data"][0]["id"]
    messages = caller.get("/messages", conversation_id=oldest).json()["data"]
    variables = caller.get(f"/conversations/{oldest}/variables").json()["data"]
    switch = {"score_threshold": 1, "embedding_provider_name": "a", "embedding_model_name": "b"}
    return Ids(
        user=caller.user,
        conversation=oldest,
        message=messages[0]["id"],
        variable=variables[0]["id"] if variables else UNKNOWN,
        file=next(file["upload_file_id"] for one in messages for file in one["message_files"]),
        end_user=upload(caller, "a.txt", b"a", "text/plain")["created_by"],
        annotation=caller.get("/apps/annotations").json()["data"][0]["id"],
        job=caller.http.post("/apps/annotation-reply/enable", json=switch).json()["job_id"],
    )


# ---- Every operation ----


def test_there_is_a_good_call_for_every_operation() -> None:
    assert set(good_calls(Ids())) == set(OPERATIONS)
    assert len(OPERATIONS) == 26


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_good_call_gets_its_documented_success(dify: Dify, operation: str) -> None:
    good = good_calls(Ids())[operation]
    reply = good.send(dify)
    assert reply.status_code == good.status, reply.text
    assert breaches(operation, reply) == []
    assert reply.headers["X-Emulator-Operation"] == operation
    assert (reply.headers["X-Version"], reply.headers["X-Env"]) == ("1.13.2", "PRODUCTION")
    assert "X-Emulator-Violation" not in reply.headers and "X-Emulator-Scenario" not in reply.headers


# An agent does not answer in one piece, suggests nothing and has no variables.
NOT_OF_AGENTS = {"sendChatMessage", "getSuggestedQuestions", "updateChatConversationVariable"}


@pytest.mark.parametrize("app", ["agent", "flow"])
def test_good_calls_of_the_other_apps(another: Another, app: str) -> None:
    caller = another(app)
    calls = good_calls(ids_of(caller))
    # In order of name, but what deletes comes last.
    for operation in sorted(calls, key=lambda name: (name.startswith("delete"), name)):
        if app == "agent" and operation in NOT_OF_AGENTS:
            continue
        reply = calls[operation].send(caller)
        assert reply.status_code == calls[operation].status, (operation, reply.text)
        assert breaches(operation, reply) == []


@pytest.mark.parametrize("app", ["chat", "agent", "flow"])
def test_streams_of_every_app_keep_to_the_spec(another: Another, app: str) -> None:
    reply = another(app).stream("Draw a lighthouse", inputs={"city": "Oslo"})
    assert reply.status_code == 200
    assert reply.headers["X-Emulator-Operation"] == "sendChatMessage"
    sent = [Event(data=one) if isinstance(one, dict) else Event(event=one) for one in frames(reply)]
    assert SERVICE.inspector.events(OPERATIONS["sendChatMessage"], "200", sent) == []


def test_welcome_needs_no_key(server: ThreadedServer) -> None:
    reply = bare("GET", f"{server.url}/dify/v1/")
    assert reply.json() == {"welcome": "Dify OpenAPI", "api_version": "v1", "server_version": "1.13.2"}


# ---- §1 encoding ----


def test_ordinary_json_is_escaped_and_ends_in_a_newline(dify: Dify) -> None:
    raw = dify.post("/apps/annotations", question="怎么走？", answer="é\x7f").content
    assert b'"question":"\\u600e\\u4e48\\u8d70\\uff1f","answer":"\\u00e9\\u007f"' in raw
    assert raw.isascii() and raw.endswith(b"}\n") and raw.count(b"\n") == 1


def test_a_blocking_answer_is_escaped_and_has_no_newline(dify: Dify) -> None:
    reply = dify.post("/chat-messages", inputs={}, query="你好")
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.content.isascii() and b"\\u" in reply.content and not reply.content.endswith(b"\n")


def test_a_stream_is_compact_and_not_escaped(dify: Dify) -> None:
    reply = dify.stream("你好")
    for line in filter(None, reply.content.split(b"\n")):
        assert line.startswith(b"data: ")
        assert line[6:] == json.dumps(json.loads(line[6:]), ensure_ascii=False, separators=(",", ":")).encode()
    assert not reply.content.isascii() and b"[DONE]" not in reply.content


# ---- §2 state: names, continuing ----


def conversation(caller: Dify, id: str) -> dict[str, Any]:
    (found,) = [one for one in caller.get("/conversations", limit=100).json()["data"] if one["id"] == id]
    shown: dict[str, Any] = found
    return shown


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("Hi", "Hi"),
        ("x" * 20, "x" * 20),
        ("x" * 21, "x" * 20 + "…"),
        ("去杭州的火车几点出发，从哪个站台上车，要提前多久到呢？", "去杭州的火车几点出发，从哪个站台上车，要…"),
    ],
)
def test_a_new_conversation_is_named_by_its_query(dify: Dify, query: str, name: str) -> None:
    answer = dify.ask(query, auto_generate_name=False)
    found = conversation(dify, answer["conversation_id"])
    assert found["name"] == name
    assert found["status"] == "normal"


@pytest.mark.parametrize("wish", [{}, {"auto_generate_name": True}, {"auto_generate_name": None}])
def test_a_title_comes_a_second_later(dify: Dify, still: Still, wish: dict[str, Any]) -> None:
    id = dify.ask(LONG, **wish)["conversation_id"]
    first = conversation(dify, id)
    assert first["name"] == LONG[:20] + "…"
    still.advance(0.9)
    assert conversation(dify, id)["name"] == first["name"]
    still.advance(0.2)
    titled = conversation(dify, id)
    assert titled["name"] != first["name"] and 0 < len(titled["name"]) <= 78
    assert {**titled, "name": first["name"]} == first, "nothing but the name changes"


def test_no_title_comes_unless_wanted(dify: Dify, still: Still) -> None:
    id = dify.ask(LONG, auto_generate_name=False)["conversation_id"]
    still.advance(3600)
    assert conversation(dify, id)["name"] == LONG[:20] + "…"


def test_a_new_conversation_keeps_inputs_and_fills_the_introduction(another: Another) -> None:
    flow = another("flow")
    answer = flow.ask("Hello", inputs={"city": "Oslo", "shoe_size": 43})
    found = conversation(flow, answer["conversation_id"])
    assert found["inputs"] == {"city": "Oslo", "priority": "normal"}, "unknown keys dropped, defaults taken"
    assert found["introduction"] == "Welcome to the order desk in Oslo. How can I help?"


def test_continuing_moves_updated_at_and_keeps_inputs_on_the_message(another: Another, still: Still) -> None:
    flow = another("flow")
    first = flow.ask("Hello", inputs={"city": "Oslo"}, auto_generate_name=False)
    before = conversation(flow, first["conversation_id"])
    still.advance(60)
    second = flow.ask("And now?", inputs={"city": "Bergen"}, conversation_id=first["conversation_id"])
    assert second["conversation_id"] == first["conversation_id"]
    after = conversation(flow, first["conversation_id"])
    assert after == {**before, "updated_at": before["created_at"] + 60}
    messages = flow.get("/messages", conversation_id=first["conversation_id"]).json()["data"]
    assert [one["inputs"]["city"] for one in messages] == ["Oslo", "Bergen"]
    assert [one["query"] for one in messages] == ["Hello", "And now?"]
    assert [one["answer"] for one in messages] == [first["answer"].strip(), second["answer"].strip()]


@pytest.mark.parametrize("shape", ["{}", " {} ", "UPPER"])
def test_a_conversation_id_may_have_blanks_and_capitals(dify: Dify, shape: str) -> None:
    id = dify.ask("Hello")["conversation_id"]
    sent = id.upper() if shape == "UPPER" else shape.format(id)
    assert dify.ask("More", conversation_id=sent)["conversation_id"] == id


@pytest.mark.parametrize("blank", ["", "   ", None])
def test_a_blank_conversation_id_starts_anew(dify: Dify, blank: str | None) -> None:
    first = dify.ask("Hello")["conversation_id"]
    second = dify.ask("Hello", conversation_id=blank)["conversation_id"]
    assert first != second


@pytest.mark.parametrize("mode", [{}, {"response_mode": None}, {"response_mode": "blocking"}])
def test_anything_but_streaming_answers_in_one_piece(dify: Dify, mode: dict[str, Any]) -> None:
    reply = dify.post("/chat-messages", inputs={}, query="Hello", **mode)
    body = reply.json()
    members = "event task_id id message_id conversation_id mode answer metadata created_at"
    assert list(body) == members.split()
    assert (body["event"], body["mode"]) == ("message", "chat")
    assert body["id"] == body["message_id"]
    assert list(body["metadata"]) == ["annotation_reply", "retriever_resources", "usage"]


def test_usage_is_complete_and_prices_are_text(dify: Dify) -> None:
    usage = dify.ask("Hello")["metadata"]["usage"]
    members = """prompt_tokens prompt_unit_price prompt_price_unit prompt_price completion_tokens completion_unit_price
    completion_price_unit completion_price total_tokens total_price currency latency time_to_first_token
    time_to_generate"""
    assert list(usage) == members.split()
    for name, value in usage.items():
        wanted = str if "price" in name or name == "currency" else int if name.endswith("tokens") else float
        assert type(value) is wanted, name
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["currency"] == "USD"


def test_citations_of_an_app_that_shows_them(dify: Dify, another: Another) -> None:
    (cited,) = dify.ask("Hello")["metadata"]["retriever_resources"]
    members = """position dataset_id dataset_name document_id document_name data_source_type segment_id retriever_from
    score hit_count word_count segment_position index_node_hash content page doc_metadata title files summary"""
    assert list(cited) == members.split()
    assert another("flow").ask("Hello", inputs={"city": "Oslo"})["metadata"]["retriever_resources"] == []


@pytest.mark.parametrize(
    "members",
    [
        {"files": None},
        {"files": []},
        {"conversation_id": ""},
        {"auto_generate_name": None},
        {"retriever_from": "app"},
        {"retriever_from": None},
        {"workflow_id": UNKNOWN},
        {"something": {"else": [1]}},
    ],
    ids=json.dumps,
)
def test_optional_and_unknown_members_are_taken(dify: Dify, members: dict[str, Any]) -> None:
    assert dify.ask("Hello", **members)["answer"]


def test_nul_characters_are_removed_from_a_query(dify: Dify) -> None:
    id = dify.ask("a\x00b\x00")["conversation_id"]
    (message,) = dify.get("/messages", conversation_id=id).json()["data"]
    assert message["query"] == "ab"


def test_the_same_query_gets_the_same_answer_streamed_or_not(dify: Dify) -> None:
    whole = dify.ask("What should I pack?")["answer"]
    streamed = "".join(one["answer"] for one in events(dify.stream("What should I pack?")) if one["event"] == "message")
    assert streamed == whole


# ---- §2 streaming ----


def test_every_event_begins_with_the_same_members(dify: Dify) -> None:
    sent = events(dify.stream("Hello"))
    assert [one["event"] for one in sent] == ["message"] * (len(sent) - 1) + ["message_end"]
    for one in sent:
        assert list(one)[:5] == ["event", "conversation_id", "message_id", "created_at", "task_id"]
        assert one["id"] == one["message_id"]
    for member in ("conversation_id", "message_id", "created_at", "task_id"):
        assert len({one[member] for one in sent}) == 1
    assert all(one["from_variable_selector"] is None for one in sent[:-1])
    assert sent[-1]["files"] is None
    (message,) = dify.get("/messages", conversation_id=sent[0]["conversation_id"]).json()["data"]
    assert message["id"] == sent[0]["message_id"]
    assert message["answer"] == "".join(one["answer"] for one in sent[:-1]).strip()
    assert message["created_at"] == sent[0]["created_at"]


def test_the_rounds_of_an_agent(another: Another) -> None:
    agent = another("agent")
    sent = events(agent.stream("Draw a lighthouse at dusk"))
    order = [one["event"] for one in sent if one["event"] != "agent_message"]
    assert order == ["agent_thought", "agent_thought", "message_file", "agent_thought"] + ["agent_thought"] * 2 + [
        "message_end"
    ]
    thoughts = [one for one in sent if one["event"] == "agent_thought"]
    first, called, observed, opened, closed = thoughts
    assert first["id"] == called["id"] == observed["id"] != opened["id"] == closed["id"]
    assert [one["position"] for one in thoughts] == [1, 1, 1, 2, 2]
    for empty in (first, opened):
        assert [empty[name] for name in ("thought", "observation", "tool", "tool_input")] == [""] * 4
        assert empty["message_files"] == []
    made = next(one for one in sent if one["event"] == "message_file")
    assert (made["belongs_to"], made["type"]) == ("assistant", "image")
    assert called["tool"] == "draw_picture" and "draw_picture" in json.loads(called["tool_input"])
    assert called["observation"] == ""
    assert "draw_picture" in json.loads(observed["observation"])
    assert observed["message_files"] == [made["id"]]
    assert closed["tool"] == ""
    texts = dict.fromkeys((1, 2), "")
    position = 1
    for one in sent:
        position = one.get("position", position)
        texts[position] += one.get("answer", "")
    assert closed["thought"] == texts[2]
    (message,) = agent.get("/messages", conversation_id=sent[0]["conversation_id"]).json()["data"]
    assert message["answer"] == f"{texts[1]}\n{texts[2]}".strip()
    assert [one["tool"] for one in message["agent_thoughts"]] == ["draw_picture", ""]
    assert [one["id"] for one in message["message_files"]] == [made["id"]]
    end = sent[-1]
    assert [one["related_id"] for one in end["files"]] == [made["id"]]
    drawn = bare("GET", made["url"], headers={"X-Emulator-Session": agent.session})
    assert drawn.content.startswith(b"\x89PNG") and drawn.headers["content-type"] == "image/png"
    assert end["files"][0]["size"] == len(drawn.content)


def test_an_agent_answers_in_no_other_way_than_streaming(another: Another) -> None:
    agent = another("agent")
    for mode in ({}, {"response_mode": "blocking"}, {"response_mode": None}):
        reply = agent.post("/chat-messages", inputs={}, query="Hi", **mode)
        refused(reply, 400, "invalid_param", "Agent Chat App does not support blocking mode")


def test_an_error_in_mid_stream(dify: Dify) -> None:
    reply = dify.stream("Hello", headers={"X-Emulator-Scenario": "error-mid-stream"})
    assert reply.status_code == 200 and reply.headers["X-Emulator-Scenario"] == "error-mid-stream"
    sent = events(reply)
    last = sent[-1]
    assert [one["event"] for one in sent[:-1]] == ["message"] * (len(sent) - 1) and len(sent) > 1
    assert list(last) == ["event", "conversation_id", "message_id", "created_at", "code", "status", "message"]
    assert (last["event"], last["code"], last["status"]) == ("error", "completion_request_error", 400)
    (message,) = dify.get("/messages", conversation_id=last["conversation_id"]).json()["data"]
    assert (message["status"], message["error"], message["answer"]) == ("error", last["message"], "")


def test_an_error_of_a_blocking_call_is_an_ordinary_one(dify: Dify) -> None:
    reply = dify.post("/chat-messages", inputs={}, query="/scenario quota-exceeded")
    refused(reply, 400, "provider_quota_exceeded")
    newest = dify.get("/conversations").json()["data"][0]["id"]
    (message,) = dify.get("/messages", conversation_id=newest).json()["data"]
    assert (message["status"], message["error"]) == ("error", reply.json()["message"])


def test_a_replaced_answer_is_what_history_keeps(dify: Dify) -> None:
    sent = events(dify.stream("Hello", headers={"X-Emulator-Scenario": "message-replaced"}))
    assert [one["event"] for one in sent[-2:]] == ["message_replace", "message_end"]
    assert sent[-2]["reason"] == ""
    (message,) = dify.get("/messages", conversation_id=sent[0]["conversation_id"]).json()["data"]
    assert message["answer"] == sent[-2]["answer"]


def test_spoken_audio_may_end_after_the_text(another: Another) -> None:
    sent = [
        one["event"] for one in events(another("agent").stream("Hi", headers={"X-Emulator-Scenario": "spoken-answer"}))
    ]
    assert sent[-1] == "tts_message_end" and sent.count("tts_message_end") == 1 and sent.count("message_end") == 1
    after = sent[sent.index("message_end") + 1 : -1]
    assert after and set(after) == {"tts_message"}


# ---- §3 stop, and leaving ----


@pytest.mark.parametrize("task", [TASK, "no-task", "%2F", "任务"])
def test_stopping_an_unknown_task_succeeds(dify: Dify, task: str) -> None:
    assert dify.post(f"/chat-messages/{task}/stop").json() == {"result": "success"}


def read_while(caller: Dify, act: Callable[[dict[str, Any]], object], speed: float = 4.0) -> list[dict[str, Any]]:
    """Stream the long answer, `act` on its first event, and read on."""
    caller.server.app.sessions.get(caller.session).speed = speed
    body = {"user": caller.user, "inputs": {}, "query": "/scenario long-answer", "response_mode": "streaming"}
    seen: list[dict[str, Any]] = []
    with caller.http.stream("POST", "/chat-messages", json=body) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
                if len(seen) == 1:
                    act(seen[0])
    return seen


def test_stopping_ends_the_stream_with_the_part_that_was_said(dify: Dify, another: Another) -> None:
    other = another()
    sent = read_while(dify, lambda first: other.post(f"/chat-messages/{first['task_id']}/stop"))
    said = "".join(one["answer"] for one in sent[:-1])
    assert sent[-1]["event"] == "message_end" and len(sent) < 20
    usage = sent[-1]["metadata"]["usage"]
    assert 0 < usage["completion_tokens"] <= len(said)
    (message,) = dify.get("/messages", conversation_id=sent[0]["conversation_id"]).json()["data"]
    assert (message["status"], message["answer"]) == ("normal", said.strip())


@pytest.mark.parametrize(("app", "user"), [("chat", "somebody-else"), ("flow", "abc-123")])
def test_nobody_else_can_stop_it(dify: Dify, another: Another, app: str, user: str) -> None:
    other = another(app, user)

    def stop(first: dict[str, Any]) -> None:
        assert other.post(f"/chat-messages/{first['task_id']}/stop").json() == {"result": "success"}

    assert len(read_while(dify, stop, speed=30.0)) > 20


# ---- §2 inputs ----


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "city is required in input form"),
        ({"city": ""}, "city is required in input form"),
        ({"city": None}, "city is required in input form"),
        ({"City": "Oslo"}, "city is required in input form"),
        ({"city": 7}, "(type 'text-input') city in input form must be a string"),
        ({"city": "x" * 49}, "city in input form must be less than 48 characters"),
        (
            {"city": "Oslo", "priority": "urgent"},
            "priority in input form must be one of the following: ['low', 'normal', 'high']",
        ),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else None,
)
def test_inputs_that_the_form_refuses(another: Another, inputs: dict[str, Any], message: str) -> None:
    flow = another("flow")
    for mode in ("blocking", "streaming"):
        reply = flow.post("/chat-messages", inputs=inputs, query="Hi", response_mode=mode)
        refused(reply, 400, "invalid_param", message)


@pytest.mark.parametrize(
    ("inputs", "kept"),
    [
        ({"city": "Oslo"}, {"city": "Oslo", "priority": "normal"}),
        ({"city": "x" * 48, "priority": "high"}, {"city": "x" * 48, "priority": "high"}),
        ({"city": "Oslo", "priority": None, "other": 1}, {"city": "Oslo", "priority": "normal"}),
    ],
    ids=["default", "all", "unknown"],
)
def test_inputs_that_the_form_takes(another: Another, inputs: dict[str, Any], kept: dict[str, Any]) -> None:
    flow = another("flow")
    answer = flow.ask("Hi", inputs=inputs)
    assert conversation(flow, answer["conversation_id"])["inputs"] == kept


# ---- §2 files of a query ----


def remote(url: str = "https://example.com/a/photo.png?size=2", type: str = "image") -> dict[str, Any]:
    return {"type": type, "transfer_method": "remote_url", "url": url}


def local(id: str, type: str = "image") -> dict[str, Any]:
    return {"type": type, "transfer_method": "local_file", "upload_file_id": id}


def test_files_of_a_query_are_shown_in_history_and_at_the_end(dify: Dify) -> None:
    kept = upload(dify, "photo.png", PICTURE, "image/png")
    end = events(dify.stream("Look", files=[remote(), local(kept["id"].upper())]))[-1]
    away, here = end["files"]
    assert list(away) == list(here)
    assert (away["transfer_method"], away["remote_url"], away["url"]) == (
        "remote_url",
        remote()["url"],
        remote()["url"],
    )
    assert (here["transfer_method"], here["upload_file_id"], here["filename"]) == (
        "local_file",
        kept["id"],
        "photo.png",
    )
    assert (here["size"], here["mime_type"], here["extension"]) == (len(PICTURE), "image/png", ".png")
    (message,) = dify.get("/messages", conversation_id=end["conversation_id"]).json()["data"]
    first, second = message["message_files"]
    members = "id filename type url mime_type size transfer_method belongs_to upload_file_id"
    assert list(first) == list(second) == members.split()
    assert [first["id"], second["id"]] == [away["related_id"], here["related_id"]]
    assert (first["belongs_to"], second["belongs_to"]) == ("user", "user")
    assert (first["url"], first["upload_file_id"]) == (remote()["url"], None)
    fetched = bare("GET", second["url"], headers={"X-Emulator-Session": dify.session})
    assert fetched.content == PICTURE


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([remote()] * 4, "Number of image files exceeds the maximum limit 3"),
        ([remote(type="document")] * 11, "Number of files exceeds the maximum limit 10"),
        ([{"type": "image", "url": "https://example.com/a.png"}], None),
        ([{"type": "image", "transfer_method": "remote_url"}], None),
        ([{"type": "image", "transfer_method": "local_file"}], None),
        ([{"type": "hologram", "transfer_method": "remote_url", "url": "https://example.com"}], None),
        ([{"type": "image", "transfer_method": "by_mail", "url": "https://example.com"}], None),
        ([1], None),
        ({}, None),
    ],
    ids=["images", "files", "no-method", "no-url", "no-id", "type", "method", "number", "object"],
)
def test_files_that_are_refused(dify: Dify, entries: Any, message: str | None) -> None:
    before = len(dify.get("/conversations", limit=100).json()["data"])
    for mode in ("blocking", "streaming"):
        reply = dify.post("/chat-messages", inputs={}, query="Hi", files=entries, response_mode=mode)
        refused(reply, 400, "invalid_param", message)
    assert len(dify.get("/conversations", limit=100).json()["data"]) == before


def test_as_many_files_as_allowed(dify: Dify) -> None:
    entries = [remote()] * 3 + [remote(type="document")] * 7
    end = events(dify.stream("Look", files=entries))[-1]
    assert len(end["files"]) == 10


def test_an_upload_is_for_its_own_user(dify: Dify, another: Another) -> None:
    kept = upload(dify, "photo.png", PICTURE, "image/png")
    for id in (UNKNOWN, "no-id", kept["id"]):
        caller = another("chat", "somebody-else")
        reply = caller.post("/chat-messages", inputs={}, query="Hi", files=[local(id)])
        refused(reply, 404, "file_not_found")


def test_an_upload_must_be_of_the_type_that_is_named(dify: Dify) -> None:
    kept = upload(dify, "notes.txt", b"notes", "text/plain")
    reply = dify.post("/chat-messages", inputs={}, query="Hi", files=[local(kept["id"])])
    refused(reply, 400, "invalid_param", "File validation failed for file: notes.txt")
    assert dify.ask("Hi", files=[local(kept["id"], "document")])
    assert dify.ask("Hi", files=[local(kept["id"], "custom")])


def test_an_app_without_uploads_ignores_files(another: Another, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(APPS, KEYS["chat"], replace(APPS[KEYS["chat"]], images=0))
    end = events(another().stream("Hi", files=[local(UNKNOWN)]))[-1]
    assert end["files"] is None


# ---- §2 order of checks ----


@pytest.mark.parametrize(
    ("app", "body", "status", "code", "message"),
    [
        ("chat", b"{", 400, "bad_request", None),
        ("chat", {"query": 5}, 400, "invalid_param", "Arg user must be provided."),
        ("agent", {"query": 5, "inputs": {}, "user": "u"}, 400, "invalid_param", None),
        (
            "agent",
            {"query": "", "inputs": {}, "user": "u", "conversation_id": UNKNOWN},
            400,
            "invalid_param",
            "Agent Chat App does not support blocking mode",
        ),
        (
            "agent",
            {"query": "Hi", "inputs": {}, "user": "u", "conversation_id": UNKNOWN},
            400,
            "invalid_param",
            "Agent Chat App does not support blocking mode",
        ),
        (
            "flow",
            {"query": "", "inputs": {}, "user": "u", "conversation_id": UNKNOWN},
            400,
            "invalid_param",
            "query is required",
        ),
        (
            "flow",
            {"query": "Hi", "inputs": {}, "user": "u", "conversation_id": UNKNOWN, "files": [local(UNKNOWN)]},
            404,
            "not_found",
            "Conversation Not Exists.",
        ),
        ("flow", {"query": "Hi", "inputs": {}, "user": "u", "files": [local(UNKNOWN)]}, 404, "file_not_found", None),
        ("flow", {"query": "Hi", "inputs": {}, "user": "u"}, 400, "invalid_param", "city is required in input form"),
    ],
    ids=["json", "user", "body", "agent-query", "agent-conversation", "query", "conversation", "files", "inputs"],
)
def test_the_order_of_checks(
    another: Another, app: str, body: Any, status: int, code: str, message: str | None
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = another(app).http.post("/chat-messages", content=content, headers={"Content-Type": "application/json"})
    refused(reply, status, code, message)


# ---- §4 suggested questions ----


def test_suggested_questions(dify: Dify) -> None:
    message = dify.ask("Which bus goes to the harbour?")["message_id"]
    body = dify.get(f"/messages/{message}/suggested").json()
    assert list(body) == ["result", "data"] and body["result"] == "success"
    assert len(body["data"]) == 3 and all(isinstance(one, str) and one for one in body["data"])
    assert dify.get(f"/messages/{message.upper()}/suggested").json() == body


# ---- §5 files ----


def test_an_upload(dify: Dify) -> None:
    kept = upload(dify, "Photo.of.ME.PNG", PICTURE, "image/png; v=1")
    members = """id name size extension mime_type created_by created_at preview_url source_url original_url user_id
    tenant_id conversation_id file_key"""
    assert list(kept) == members.split()
    assert (kept["name"], kept["extension"], kept["size"]) == ("Photo.of.ME.PNG", "png", len(PICTURE))
    assert kept["mime_type"] == "image/png; v=1"
    assert [kept[name] for name in ("preview_url", "original_url", "conversation_id")] == [None] * 3
    assert kept["user_id"] == kept["created_by"] and kept["tenant_id"] and kept["file_key"]
    assert kept["source_url"] is None


@pytest.mark.parametrize(
    ("name", "extension"), [("README", ""), (".png", "png"), ("a.", ""), ("a.tar.GZ", "gz"), ("图.jpg", "jpg")]
)
def test_the_extension_of_an_upload(dify: Dify, name: str, extension: str) -> None:
    kept = upload(dify, name, b"x", "image/png")
    assert (kept["name"], kept["extension"]) == (name, extension)


@pytest.mark.parametrize(
    "extension",
    [
        "jpg",
        "jpeg",
        "png",
        "webp",
        "gif",
        "svg",
        "mp4",
        "mov",
        "mpeg",
        "webm",
        "mp3",
        "m4a",
        "wav",
        "amr",
        "mpga",
        "pdf",
        "exe",
        "PNG",
        "Mp3",
        "",
    ],
)
def test_the_limit_of_an_upload(dify: Dify, monkeypatch: pytest.MonkeyPatch, extension: str) -> None:
    limits = dict.fromkeys(["jpg", "jpeg", "png", "webp", "gif", "svg"], 10)
    limits |= dict.fromkeys(["mp4", "mov", "mpeg", "webm"], 100)
    limits |= dict.fromkeys(["mp3", "m4a", "wav", "amr", "mpga"], 50)
    assert files.MB == 1024 * 1024
    monkeypatch.setattr(files, "MB", 100)  # A small megabyte, so that this is quick.
    limit = limits.get(extension.lower(), 15) * 100
    name = f"file.{extension}" if extension else "file"
    assert upload(dify, name, b"x" * limit, "application/x-any")["size"] == limit
    over = dify.http.post("/files/upload", files={"file": (name, b"x" * (limit + 1), "application/x-any")})
    refused(over, 413, "file_too_large", "File size exceeded.")


def test_a_real_megabyte_counts(dify: Dify) -> None:
    most = 10 * 1024 * 1024
    assert upload(dify, "a.png", b"x" * most, "image/png")["size"] == most
    refused(
        dify.http.post("/files/upload", files={"file": ("a.png", b"x" * (most + 1), "image/png")}),
        413,
        "file_too_large",
    )


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ([], 400, "no_file_uploaded"),
        ([part("user", b"abc-123")], 400, "no_file_uploaded"),
        ([part("file", b"x")], 400, "no_file_uploaded"),
        ([part("file", b"x", None, "image/png")], 400, "no_file_uploaded"),
        ([part("picture", b"x", "a.png", "image/png")], 400, "no_file_uploaded"),
        ([part("file", b"x", "a.png"), part("more", b"x", "b.png")], 400, "too_many_files"),
        ([part("file", b"x", "a.png")], 415, "unsupported_file_type"),
        ([part("file", b"x", "")], 415, "unsupported_file_type"),
        ([part("file", b"x", "", "image/png")], 400, "filename_not_exists_error"),
        ([part("file", b"x" * 2000, "a/b.png", "image/png")], 400, "invalid_param"),
        ([part("file", b"x", "a/b.png", "image/png")], 400, "invalid_param"),
        ([part("file", b"x", "a\\\\b.png", "image/png")], 400, "invalid_param"),
        ([part("file", b"x" * 2000, "a.png", "image/png")], 413, "file_too_large"),
    ],
    ids=[
        "nothing",
        "user",
        "no-filename",
        "no-filename-mime",
        "other-name",
        "two",
        "no-mime",
        "no-mime-no-name",
        "empty-name",
        "slash-large",
        "slash",
        "backslash",
        "large",
    ],
)
def test_uploads_that_are_refused_in_the_order_of_checks(
    dify: Dify, monkeypatch: pytest.MonkeyPatch, parts: list[bytes], status: int, code: str
) -> None:
    monkeypatch.setattr(files, "MB", 100)
    reply = send_parts(dify, "/files/upload", *parts)
    refused(reply, status, code, "Filename contains invalid characters" if code == "invalid_param" else None)


def test_of_two_parts_of_one_name_the_first_is_taken(dify: Dify) -> None:
    one, two = part("file", b"first", "a.txt", "text/plain"), part("file", b"second one", "b.txt", "text/plain")
    kept = send_parts(dify, "/files/upload", one, two).json()
    assert (kept["name"], kept["size"]) == ("a.txt", 5)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", None])
def test_what_is_no_form_has_no_file(dify: Dify, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    refused(dify.http.post("/files/upload", content=b"{}", headers=headers), 400, "no_file_uploaded")


@pytest.mark.parametrize("length", [199, 200, 201, 1000])
@pytest.mark.parametrize("ending", ["", ".png", ".x" + "y" * 150])
def test_a_long_name_is_cut(dify: Dify, length: int, ending: str) -> None:
    name = "n" * (length - len(ending)) + ending
    kept = upload(dify, name, b"x", "image/png")
    assert len(kept["name"]) == min(length, 200)
    if length <= 200:
        assert kept["name"] == name
    elif ending == ".png":
        assert kept["name"].endswith(".png") and kept["extension"] == "png"


def used(caller: Dify, name: str, data: bytes, mime: str) -> str:
    """Upload a file and use it in a message."""
    kept = upload(caller, name, data, mime)
    caller.ask("Look", files=[local(kept["id"], "custom")])
    id: str = kept["id"]
    return id


def test_a_file_is_there_once_a_message_uses_it(dify: Dify, another: Another) -> None:
    kept = upload(dify, "photo.png", PICTURE, "image/png")
    refused(dify.get(f"/files/{kept['id']}/preview"), 404, "file_not_found", "File not found in message context")
    refused(dify.get(f"/files/{UNKNOWN}/preview"), 404, "file_not_found")
    dify.ask("Look", files=[local(kept["id"])])
    reply = dify.get(f"/files/{kept['id'].upper()}/preview")
    assert reply.content == PICTURE
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["content-length"] == str(len(PICTURE))
    assert reply.headers["cache-control"] == "public, max-age=3600"
    assert "content-disposition" not in reply.headers and "accept-ranges" not in reply.headers
    assert dify.http.get(f"/files/{kept['id']}/preview").content == PICTURE, "nobody in particular asks"
    refused(another("chat", "somebody-else").get(f"/files/{kept['id']}/preview"), 404, "file_not_found")
    refused(another("flow").get(f"/files/{kept['id']}/preview"), 403, "file_access_denied")


@pytest.mark.parametrize("value", ["true", "True", "1"])
def test_a_file_for_saving(dify: Dify, value: str) -> None:
    id = used(dify, "图 1.png", PICTURE, "image/png")
    reply = dify.get(f"/files/{id}/preview", as_attachment=value)
    assert reply.content == PICTURE
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"] == "attachment; filename*=UTF-8''%E5%9B%BE%201.png"


@pytest.mark.parametrize("value", ["false", "0"])
def test_a_file_not_for_saving(dify: Dify, value: str) -> None:
    id = used(dify, "a.png", PICTURE, "image/png")
    assert dify.get(f"/files/{id}/preview", as_attachment=value).headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("name", "mime"),
    [("a.html", "text/plain"), ("a.htm", "text/plain"), ("a.txt", "text/html"), ("a", "text/html; charset=utf-8")],
)
def test_html_is_never_shown(dify: Dify, name: str, mime: str) -> None:
    id = used(dify, name, b"<script>", mime)
    reply = dify.get(f"/files/{id}/preview")
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "mime", "ranges"),
    [("a.mp3", "audio/mpeg", True), ("a.mp4", "video/mp4", True), ("a.pdf", "application/pdf", False)],
)
def test_audio_and_video_accept_ranges(dify: Dify, name: str, mime: str, ranges: bool) -> None:
    id = used(dify, name, b"x", mime)
    reply = dify.get(f"/files/{id}/preview")
    assert reply.headers.get("accept-ranges") == ("bytes" if ranges else None)
    assert reply.headers["content-type"] == mime


def test_signed_addresses_need_no_key(server: ThreadedServer, session_name: str, another: Another) -> None:
    caller = another()
    caller.http.base_url = httpx.URL(f"{server.url}/_s/{session_name}/dify/v1/")
    del caller.http.headers["X-Emulator-Session"]
    id = used(caller, "photo.png", PICTURE, "image/png")
    newest = caller.get("/conversations").json()["data"][0]["id"]
    (message,) = caller.get("/messages", conversation_id=newest).json()["data"]
    url = message["message_files"][0]["url"]
    assert url.startswith(f"{server.url}/_s/{session_name}/dify/files/{id}/file-preview?timestamp=")
    assert all(name in httpx.URL(url).params for name in ("timestamp", "nonce", "sign"))
    reply = bare("GET", url)
    assert (reply.status_code, reply.content) == (200, PICTURE)
    wrong = url[:-1] + ("0" if url[-1] != "0" else "1")
    for bad in (wrong, url.partition("?")[0]):
        refused(bare("GET", bad), 403, "forbidden")


# ---- §6 end users ----


def test_an_end_user(dify: Dify, another: Another) -> None:
    id = upload(dify, "a.txt", b"a", "text/plain", user="mira")["created_by"]
    found = dify.get(f"/end-users/{id}", user="ignored").json()
    members = "id tenant_id app_id type external_user_id name is_anonymous session_id created_at updated_at"
    assert list(found) == members.split()
    assert (found["id"], found["type"], found["name"], found["is_anonymous"]) == (id, "service_api", None, False)
    assert (found["external_user_id"], found["session_id"]) == ("mira", "mira")
    assert found["created_at"].endswith("Z") and found["created_at"].startswith("2026-01-01T00:00:")
    assert dify.get(f"/end-users/{id.upper()}").json() == found
    refused(another("flow").get(f"/end-users/{id}"), 404, "end_user_not_found", "End user not found.")


@pytest.mark.parametrize("data", [{}, {"user": ""}])
def test_the_shared_end_user(dify: Dify, data: dict[str, str]) -> None:
    kept = dify.http.post("/files/upload", files={"file": ("a.txt", b"a", "text/plain")}, data=data).json()
    found = dify.get(f"/end-users/{kept['created_by']}").json()
    assert (found["is_anonymous"], found["session_id"]) == (True, "DEFAULT-USER")


def test_whoever_has_no_name_shares_conversations(dify: Dify, another: Another) -> None:
    shared = another("chat", "DEFAULT-USER")
    id = shared.ask("Hello")["conversation_id"]
    for query in ({}, {"user": ""}):
        listed = dify.http.get("/conversations", params=query).json()["data"]
        assert [one["id"] for one in listed] == [id]
    assert dify.http.get("/messages", params={"conversation_id": id}).json()["data"]
    assert dify.http.post(f"/conversations/{id}/name", json={"name": "Ours"}).json()["name"] == "Ours"
    assert dify.http.delete(f"/conversations/{id}").status_code == 204


# ---- §7 feedback ----


def rating(caller: Dify, conversation_id: str) -> Any:
    return caller.get("/messages", conversation_id=conversation_id).json()["data"][-1]["feedback"]


def test_a_rating_is_overwritten_and_taken_back(dify: Dify, still: Still) -> None:
    answer = dify.ask("Hello")
    path, conversation_id = f"/messages/{answer['message_id']}/feedbacks", answer["conversation_id"]
    assert rating(dify, conversation_id) is None
    still.advance(10)
    assert dify.post(path, rating="like", content="Good").json() == {"result": "success"}
    assert rating(dify, conversation_id) == {"rating": "like"}
    still.advance(10)
    assert dify.post(path, rating="dislike").json() == {"result": "success"}
    newest = dify.get("/app/feedbacks").json()["data"][0]
    assert (newest["rating"], newest["content"]) == ("dislike", None), "content is overwritten, too"
    assert (newest["created_at"], newest["updated_at"]) == ("2026-01-01T00:00:10Z", "2026-01-01T00:00:20Z")
    assert dify.post(path, rating=None).json() == {"result": "success"}
    assert rating(dify, conversation_id) is None
    refused(dify.post(path, rating=None), 400, "invalid_param", "rating cannot be None when feedback not exists")
    refused(dify.post(path), 400, "invalid_param", "rating cannot be None when feedback not exists")


@pytest.mark.parametrize("wrong", ["love", "", 1, True, ["like"]])
def test_other_ratings_are_refused(dify: Dify, wrong: Any) -> None:
    answer = dify.ask("Hello")
    refused(dify.post(f"/messages/{answer['message_id']}/feedbacks", rating=wrong), 400, "invalid_param")


def test_the_feedback_of_an_app(dify: Dify, another: Another, still: Still) -> None:
    callers = [dify, another("chat", "mira"), another("chat", "noor")]
    answers = [caller.ask("Hello") for caller in callers]
    for caller, answer in zip(callers, answers, strict=True):
        still.advance(5)
        caller.post(
            f"/messages/{answer['message_id']}/feedbacks", rating="like", content=caller.user
        ).raise_for_status()
    body = dify.get("/app/feedbacks").json()
    assert list(body) == ["data"]
    members = """id app_id conversation_id message_id rating content from_source from_end_user_id from_account_id
    created_at updated_at"""
    assert all(list(one) == members.split() for one in body["data"])
    assert [one["content"] for one in body["data"][:3]] == ["noor", "mira", "abc-123"], "newest first"
    newest = body["data"][0]
    assert (newest["message_id"], newest["conversation_id"]) == (
        answers[2]["message_id"],
        answers[2]["conversation_id"],
    )
    assert (newest["from_source"], newest["from_account_id"]) == ("user", None)
    assert dify.get(f"/end-users/{newest['from_end_user_id']}").json()["session_id"] == "noor"
    assert body["data"] == sorted(body["data"], key=lambda one: one["created_at"], reverse=True)
    pages = [dify.get("/app/feedbacks", page=page, limit=2).json()["data"] for page in range(1, 20)]
    assert [one for page in pages for one in page] == body["data"]
    assert dify.get("/app/feedbacks", page=10_000).json() == {"data": []}
    assert another("flow").get("/app/feedbacks").json()["data"][0] not in body["data"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": 101}, 200),
        ({"limit": 102}, 400),
        ({"limit": 0}, 400),
        ({"page": 0}, 400),
        ({"page": -1}, 400),
        ({"page": "x"}, 400),
    ],
)
def test_bounds_of_the_feedback_list(dify: Dify, query: dict[str, Any], status: int) -> None:
    reply = dify.get("/app/feedbacks", **query)
    assert reply.status_code == status
    if status == 400:
        refused(reply, 400, "invalid_param")


def test_seeded_feedback_has_both_sources(dify: Dify, another: Another) -> None:
    sources = {
        one["from_source"] for app in KEYS for one in another(app).get("/app/feedbacks", limit=100).json()["data"]
    }
    assert sources <= {"user", "admin"} and "user" in sources


# ---- §8 conversations ----


@pytest.fixture
def five(another: Another, still: Still) -> tuple[Dify, dict[str, str]]:
    """A user with five conversations, used again in the order d, a, c: name → id."""
    caller = another("chat", "pager")
    ids = {}
    for name in "abcde":
        still.advance(10)
        ids[name] = caller.ask(name, auto_generate_name=False)["conversation_id"]
    for name in "dac":
        still.advance(10)
        caller.ask("more", conversation_id=ids[name])
    return caller, ids


ORDERS = {"created_at": "abcde", "-created_at": "edcba", "updated_at": "bedac", "-updated_at": "cadeb"}


@pytest.mark.parametrize("sort_by", sorted(ORDERS))
@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6])
def test_conversations_page_by_page(five: tuple[Dify, dict[str, str]], sort_by: str, limit: int) -> None:
    caller, ids = five
    seen = ""
    last: dict[str, str] = {}
    for _ in range(6):
        body = caller.get("/conversations", sort_by=sort_by, limit=limit, **last).json()
        assert list(body) == ["limit", "has_more", "data"] and body["limit"] == limit
        seen += "".join(one["name"] for one in body["data"])
        assert len(body["data"]) <= limit
        assert body["has_more"] == (len(seen) < 5), "has_more is exact"
        if not body["has_more"]:
            break
        last = {"last_id": body["data"][-1]["id"]}
    assert seen == ORDERS[sort_by]
    if seen:
        beyond = caller.get("/conversations", sort_by=sort_by, last_id=ids[seen[-1]]).json()
        assert beyond == {"limit": 20, "has_more": False, "data": []}


def test_conversations_are_listed_by_last_use(five: tuple[Dify, dict[str, str]]) -> None:
    caller, _ = five
    body = caller.get("/conversations", first_id="ignored", pinned="true", last_id=" ").json()
    assert "".join(one["name"] for one in body["data"]) == ORDERS["-updated_at"]
    assert body["limit"] == 20
    members = ["id", "name", "inputs", "status", "introduction", "created_at", "updated_at"]
    assert all(list(one) == members for one in body["data"])


def test_a_cursor_is_found_whatever_its_case(five: tuple[Dify, dict[str, str]]) -> None:
    caller, ids = five
    body = caller.get("/conversations", sort_by="created_at", last_id=f" {ids['c'].upper()} ").json()
    assert "".join(one["name"] for one in body["data"]) == "de"


def test_a_deleted_conversation_is_no_cursor(five: tuple[Dify, dict[str, str]]) -> None:
    caller, ids = five
    caller.http.request("DELETE", f"/conversations/{ids['c']}", json={"user": caller.user})
    refused(caller.get("/conversations", last_id=ids["c"]), 404, "not_found", "Last Conversation Not Exists.")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": -1},
        {"limit": "x"},
        {"sort_by": "name"},
        {"sort_by": ""},
        {"last_id": "x"},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("path", ["/conversations", "/messages"])
def test_lists_refuse_what_is_out_of_range(dify: Dify, path: str, query: dict[str, Any]) -> None:
    if path == "/messages":
        if "sort_by" in query:
            return
        query = {"first_id" if name == "last_id" else name: value for name, value in query.items()}
        query["conversation_id"] = ""
    refused(dify.get(path, **query), 400, "invalid_param")


def test_foreign_and_unknown_cursors(dify: Dify, another: Another) -> None:
    foreign = another("chat", "mira").ask("Hello")["conversation_id"]
    for id in (UNKNOWN, foreign):
        refused(dify.get("/conversations", last_id=id), 404, "not_found", "Last Conversation Not Exists.")


def test_history_page_by_page(dify: Dify) -> None:
    id = ""
    for number in range(5):
        id = dify.ask(f"question {number}", conversation_id=id)["conversation_id"]

    def page(**query: Any) -> tuple[str, bool, Any]:
        body = dify.get("/messages", conversation_id=id, **query).json()
        assert list(body) == ["limit", "has_more", "data"] and body["limit"] == query["limit"]
        first = body["data"][0]["id"] if body["data"] else None
        return "".join(one["query"][-1] for one in body["data"]), body["has_more"], first

    for limit, pages in {1: "4 3 2 1 0", 2: "34 12 0", 3: "234 01", 5: "01234", 20: "01234"}.items():
        query: dict[str, Any] = {"limit": limit}
        for n, wanted in enumerate(pages.split(), 1):
            names, more, first = page(**query)
            assert (names, more) == (wanted, n < len(pages.split()))
            query["first_id"] = first.upper()
        assert page(**query) == ("", False, None)


def test_a_message_of_the_history(dify: Dify) -> None:
    answer = dify.ask("Hello")
    (message,) = dify.get("/messages", conversation_id=answer["conversation_id"]).json()["data"]
    members = """id conversation_id parent_message_id inputs query answer feedback retriever_resources created_at
    agent_thoughts message_files status error extra_contents"""
    assert list(message) == members.split()
    assert message["parent_message_id"] is None
    assert (message["status"], message["error"], message["extra_contents"]) == ("normal", None, [])
    assert message["feedback"] is None and message["agent_thoughts"] == [] and message["message_files"] == []
    (cited,) = message["retriever_resources"]
    (sent,) = answer["metadata"]["retriever_resources"]
    assert cited == {**sent, "id": cited["id"], "message_id": message["id"], "created_at": message["created_at"]}


def test_a_thought_of_the_history(another: Another) -> None:
    agent = another("agent")
    conversation_id = events(agent.stream("What is 17 * 23?"))[0]["conversation_id"]
    (message,) = agent.get("/messages", conversation_id=conversation_id).json()["data"]
    members = "id chain_id message_id position thought tool tool_labels tool_input created_at observation files"
    assert all(list(one) == members.split() for one in message["agent_thoughts"])
    assert [one["position"] for one in message["agent_thoughts"]] == [1, 2]
    assert "391" in message["agent_thoughts"][0]["observation"]


def test_a_blank_conversation_has_an_empty_history(dify: Dify) -> None:
    for blank in ("", "  "):
        assert dify.get("/messages", conversation_id=blank).json() == {"limit": 20, "has_more": False, "data": []}


def test_histories_that_are_refused(dify: Dify, another: Another) -> None:
    own, foreign = dify.ask("Hello"), another("chat", "mira").ask("Hello")
    refused(dify.get("/messages"), 400, "invalid_param")
    refused(dify.get("/messages", conversation_id="nothing"), 400, "invalid_param")
    for id in (UNKNOWN, foreign["conversation_id"]):
        refused(dify.get("/messages", conversation_id=id), 404, "not_found", "Conversation Not Exists.")
    for first in (UNKNOWN, foreign["message_id"]):
        reply = dify.get("/messages", conversation_id=own["conversation_id"], first_id=first)
        refused(reply, 404, "not_found", "First Message Not Exists.")


# ---- §8 rename, delete ----


def test_renaming_by_hand(dify: Dify, still: Still) -> None:
    id = dify.ask(LONG)["conversation_id"]
    before = conversation(dify, id)
    still.advance(30)
    reply = dify.post(f"/conversations/{id}/name", name="  My trip  ", auto_generate=False)
    assert reply.json() == {**before, "name": "  My trip  ", "updated_at": before["updated_at"] + 30}
    still.advance(30)
    assert conversation(dify, id) == reply.json()


def test_renaming_by_model(dify: Dify, still: Still) -> None:
    id = dify.ask(LONG, auto_generate_name=False)["conversation_id"]
    still.advance(30)
    dify.ask("Something else entirely about penguins", conversation_id=id)
    before = conversation(dify, id)
    still.advance(30)
    reply = dify.post(f"/conversations/{id}/name", name="ignored", auto_generate=True)
    title = reply.json()["name"]
    assert reply.json() == {**before, "name": title}, "updated_at is not touched"
    assert title not in (before["name"], "ignored", "") and "penguin" not in title.lower()
    for name in (None, ""):
        assert dify.post(f"/conversations/{id}/name", name=name, auto_generate=True).json()["name"] == title


@pytest.mark.parametrize(
    "body",
    [{}, {"name": None}, {"name": ""}, {"name": "  \t"}, {"auto_generate": False}, {"name": "", "auto_generate": None}],
    ids=json.dumps,
)
def test_a_name_is_needed(dify: Dify, body: dict[str, Any]) -> None:
    id = dify.ask("Hello")["conversation_id"]
    reply = dify.post(f"/conversations/{id}/name", body)
    refused(reply, 400, "invalid_param")
    assert "name is required when auto_generate is false" in reply.json()["message"]


def test_a_deleted_conversation_is_gone_everywhere(another: Another) -> None:
    flow = another("flow")
    kept = upload(flow, "photo.png", PICTURE, "image/png")
    answer = flow.ask("Hello", inputs={"city": "Oslo"}, files=[local(kept["id"])])
    id, message = answer["conversation_id"], answer["message_id"]
    flow.post(f"/messages/{message}/feedbacks", rating="like").raise_for_status()
    variable = flow.get(f"/conversations/{id}/variables").json()["data"][0]["id"]
    assert flow.get(f"/files/{kept['id']}/preview").status_code == 200
    reply = flow.http.request("DELETE", f"/conversations/{id}", json={"user": flow.user})
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["content-type"] == "application/json"
    assert id not in [one["id"] for one in flow.get("/conversations", limit=100).json()["data"]]
    assert message not in [one["message_id"] for one in flow.get("/app/feedbacks", limit=100).json()["data"]]
    missing = "Conversation Not Exists."
    refused(flow.get("/messages", conversation_id=id), 404, "not_found", missing)
    refused(flow.get(f"/conversations/{id}/variables"), 404, "not_found", missing)
    refused(
        flow.http.put(f"/conversations/{id}/variables/{variable}", json={"value": "", "user": flow.user}),
        404,
        "not_found",
        missing,
    )
    refused(flow.post(f"/conversations/{id}/name", name="a"), 404, "not_found", missing)
    refused(
        flow.post("/chat-messages", query="a", inputs={"city": "Oslo"}, conversation_id=id), 404, "not_found", missing
    )
    refused(flow.post(f"/messages/{message}/feedbacks", rating="like"), 404, "not_found", "Message Not Exists.")
    refused(flow.get(f"/messages/{message}/suggested"), 404, "not_found", "Message Not Exists.")
    refused(flow.get(f"/files/{kept['id']}/preview"), 404, "file_not_found")
    assert flow.post("/text-to-audio", message_id=message).content.strip() == b"null"
    again = flow.http.request("DELETE", f"/conversations/{id}", json={"user": flow.user})
    refused(again, 404, "not_found", missing)


# ---- §8 variables ----

FRESH = {
    "customer_name": ("string", ""),
    "order_count": ("number", "0"),
    "discount": ("number", "0.05"),
    "is_member": ("boolean", "false"),
    "address": ("object", '{"city":"","street":""}'),
    "wishes": ("array[string]", "[]"),
}


@pytest.fixture
def flow(another: Another) -> Dify:
    return another("flow")


@pytest.fixture
def talk(flow: Dify) -> str:
    """A new conversation of the flow app."""
    id: str = flow.ask("Hello", inputs={"city": "Oslo"})["conversation_id"]
    return id


def variables(caller: Dify, id: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.get(f"/conversations/{id}/variables", **query).json()["data"]
    return found


def test_variables_are_rendered_as_text(flow: Dify, talk: str) -> None:
    found = variables(flow, talk)
    assert {one["name"]: (one["value_type"], one["value"]) for one in found} == FRESH
    members = ["id", "name", "value_type", "value", "description", "created_at", "updated_at"]
    assert all(list(one) == members for one in found)


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 100])
def test_variables_page_by_page(flow: Dify, talk: str, limit: int) -> None:
    whole = [one["name"] for one in variables(flow, talk)]
    seen: list[str] = []
    last: dict[str, str] = {}
    while True:
        body = flow.get(f"/conversations/{talk}/variables", limit=limit, **last).json()
        assert list(body) == ["limit", "has_more", "data"] and body["limit"] == limit
        seen += [one["name"] for one in body["data"]]
        assert body["has_more"] == (len(seen) < 6)
        if not body["has_more"]:
            break
        last = {"last_id": body["data"][-1]["id"]}
    assert seen == whole == list(FRESH)
    refused(flow.get(f"/conversations/{talk}/variables", last_id=UNKNOWN), 400, "invalid_param", "")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("customer_name", "customer_name"),
        ("ORDER", "order_count"),
        ("_", "customer_name order_count is_member"),
        ("S", "customer_name discount is_member address wishes"),
        ("nothing.here", ""),
    ],
)
def test_variables_by_name(flow: Dify, talk: str, name: str, found: str) -> None:
    assert [one["name"] for one in variables(flow, talk, variable_name=name)] == found.split()


@pytest.mark.parametrize("name", ["", "a b", "a--b", "xp_a", "sp_a", "a'b", "名", "x" * 256, "a/b"])
def test_names_that_are_refused(flow: Dify, talk: str, name: str) -> None:
    refused(flow.get(f"/conversations/{talk}/variables", variable_name=name), 400, "invalid_param")


def test_names_at_their_bounds(flow: Dify, talk: str) -> None:
    assert variables(flow, talk, variable_name="x" * 255) == []
    assert [one["name"] for one in variables(flow, talk, variable_name="m")] == ["customer_name", "is_member"]


@pytest.mark.parametrize("limit", [0, 101, "x"])
def test_bounds_of_the_variable_list(flow: Dify, talk: str, limit: Any) -> None:
    refused(flow.get(f"/conversations/{talk}/variables", limit=limit), 400, "invalid_param")


@pytest.mark.parametrize("app", ["chat", "agent"])
def test_other_apps_have_no_variables(another: Another, app: str) -> None:
    caller = another(app)
    for one in caller.get("/conversations").json()["data"]:
        body = caller.get(f"/conversations/{one['id']}/variables").json()
        assert body == {"limit": 20, "has_more": False, "data": []}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("customer_name", "名字 ü", "名字 ü"),
        ("order_count", 3, "3"),
        ("order_count", 10**30, "1" + "0" * 30),
        ("discount", 0.5, "0.5"),
        ("discount", 2, "2"),
        ("is_member", True, "true"),
        ("address", {"city": "Oslo"}, '{"city":"Oslo"}'),
        ("wishes", ["a", "ü"], '["a","ü"]'),
        ("wishes", [], "[]"),
    ],
)
def test_a_variable_is_changed(flow: Dify, talk: str, name: str, value: Any, shown: str) -> None:
    (before,) = [one for one in variables(flow, talk) if one["name"] == name]
    reply = flow.http.put(
        f"/conversations/{talk}/variables/{before['id'].upper()}", json={"value": value, "user": flow.user}
    )
    assert reply.status_code == 200, reply.text
    assert {**reply.json(), "updated_at": 0} == {**before, "value": shown, "updated_at": 0}
    assert reply.json()["updated_at"] > before["updated_at"]
    assert [one for one in variables(flow, talk) if one["name"] == name] == [reply.json()]


@pytest.mark.parametrize(
    ("name", "value", "expected", "got"),
    [
        ("customer_name", 1, "string", "integer"),
        ("customer_name", None, "string", "none"),
        ("order_count", "1", "integer", "string"),
        ("order_count", 1.5, "integer", "number"),
        ("order_count", True, "integer", "boolean"),
        ("discount", "1", "float", "string"),
        ("discount", False, "float", "boolean"),
        ("is_member", 1, "boolean", "integer"),
        ("address", [], "object", None),
        ("wishes", ["a", 1], "array[string]", None),
        ("wishes", "a", "array[string]", "string"),
        ("wishes", {}, "array[string]", "object"),
    ],
)
def test_a_value_of_another_type_is_refused(
    flow: Dify, talk: str, name: str, value: Any, expected: str, got: str | None
) -> None:
    (before,) = [one for one in variables(flow, talk) if one["name"] == name]
    reply = flow.http.put(f"/conversations/{talk}/variables/{before['id']}", json={"value": value, "user": flow.user})
    refused(reply, 400, "bad_request")
    assert reply.json()["message"].startswith(f"Value type mismatch: expected {expected}, got {got or ''}")
    assert [one for one in variables(flow, talk) if one["name"] == name] == [before]


def test_variables_that_cannot_be_changed(flow: Dify, talk: str, another: Another) -> None:
    id = variables(flow, talk)[0]["id"]
    other = flow.ask("Hello", inputs={"city": "Oslo"})["conversation_id"]

    def put(caller: Dify, conversation_id: str, variable: str, **body: Any) -> httpx.Response:
        return caller.http.put(
            f"/conversations/{conversation_id}/variables/{variable}", json={"user": caller.user, **body}
        )

    refused(put(flow, talk, id), 400, "invalid_param")
    refused(put(flow, talk, UNKNOWN, value=""), 404, "not_found", "Conversation Variable Not Exists.")
    refused(put(flow, other, id, value=""), 404, "not_found", "Conversation Variable Not Exists.")
    refused(put(flow, UNKNOWN, id, value=""), 404, "not_found", "Conversation Not Exists.")
    refused(put(another("flow", "mira"), talk, id, value=""), 404, "not_found", "Conversation Not Exists.")


# ---- §9 audio ----


@pytest.mark.parametrize(
    "kind", ["mp3", "mp4", "mpeg", "mpga", "m4a", "wav", "webm", "amr", "MPEG", "webm; codecs=opus"]
)
def test_speech_to_text(dify: Dify, kind: str) -> None:
    data = {"file": ("speech.bin", b"said", f"audio/{kind}")}
    body = dify.http.post("/audio-to-text", files=data).json()
    assert list(body) == ["text"] and body["text"]
    assert dify.http.post("/audio-to-text", files=data, data={"user": "mira"}).json() == body, (
        "the same speech, the same text"
    )


@pytest.mark.parametrize("mime", ["image/png", "audio/ogg", "audio", "application/octet-stream", "text/mp3"])
def test_what_is_no_speech(dify: Dify, mime: str) -> None:
    reply = dify.http.post("/audio-to-text", files={"file": ("a.mp3", b"x", mime)})
    refused(reply, 415, "unsupported_audio_type", "Audio type not allowed.")


@pytest.mark.parametrize(
    "parts", [[], [part("user", b"a")], [part("file", b"x")], [part("audio", b"x", "a.mp3", "audio/mp3")]]
)
def test_no_speech_at_all(dify: Dify, parts: list[bytes]) -> None:
    refused(send_parts(dify, "/audio-to-text", *parts), 400, "no_audio_uploaded", "Please upload your audio.")


def test_the_limit_of_speech(dify: Dify, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (audio.LARGEST_MB, files.MB) == (30, 1024 * 1024)
    monkeypatch.setattr(audio, "MB", 100)
    for size, status in ((3000, 200), (3001, 413)):
        reply = dify.http.post("/audio-to-text", files={"file": ("a.mp3", b"x" * size, "audio/mp3")})
        assert reply.status_code == status
    refused(reply, 413, "audio_too_large", "Audio size exceeded.")


def test_text_to_speech(dify: Dify) -> None:
    reply = dify.post("/text-to-audio", text="Good morning", streaming=False, voice="alloy")
    assert reply.headers["content-type"] == "audio/mpeg"
    assert reply.content.startswith(b"\xff\xfb") and len(reply.content) % 144 == 0
    assert dify.post("/text-to-audio", text="Good morning", streaming=True, voice="alloy").content == reply.content
    assert dify.http.post("/text-to-audio", json={"text": "Good morning"}).status_code == 200


def test_a_message_is_spoken_rather_than_the_text(dify: Dify, another: Another) -> None:
    message = dify.ask("Hello")["message_id"]
    spoken = dify.post("/text-to-audio", message_id=message)
    assert spoken.headers["content-type"] == "audio/mpeg"
    both = another("chat", "somebody-else").post("/text-to-audio", message_id=message.upper(), text="Something else")
    assert both.content == spoken.content
    assert dify.post("/text-to-audio", text="Something else").content != spoken.content


def test_a_message_with_nothing_to_say(dify: Dify) -> None:
    failed = events(dify.stream("Hello", headers={"X-Emulator-Scenario": "error-mid-stream"}))[0]["message_id"]
    for message in (UNKNOWN, failed):
        reply = dify.post("/text-to-audio", message_id=message, text="Something else")
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        assert reply.json() is None


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": None}, {"message_id": None}, {"text": None, "message_id": None}], ids=json.dumps
)
def test_nothing_to_speak(dify: Dify, body: dict[str, Any]) -> None:
    refused(dify.post("/text-to-audio", body), 400, "invalid_param", "Text is required")


def test_features_that_are_off(another: Another, monkeypatch: pytest.MonkeyPatch) -> None:
    off = replace(APPS[KEYS["chat"]], hears=False, speaks=False, suggests=False)
    monkeypatch.setitem(APPS, KEYS["chat"], off)
    caller = another()
    speech = {"file": ("a.mp3", b"x", "audio/mp3")}
    refused(caller.http.post("/audio-to-text", files=speech), 400, "invalid_param", "Speech to text is not enabled")
    refused(caller.post("/text-to-audio", text="Hi"), 400, "invalid_param", "TTS is not enabled")
    assert caller.post("/text-to-audio", text="Hi", voice="alloy").headers["content-type"] == "audio/mpeg"
    message = caller.ask("Hi")["message_id"]
    refused(caller.get(f"/messages/{message}/suggested"), 400, "bad_request", "Suggested Questions Is Disabled.")
    shown = caller.get("/parameters").json()
    for feature in ("speech_to_text", "text_to_speech", "suggested_questions_after_answer"):
        assert shown[feature] == {"enabled": False}


# ---- §10 the app ----


@pytest.mark.parametrize(("app", "mode"), [("chat", "chat"), ("agent", "agent-chat"), ("flow", "advanced-chat")])
def test_the_app(another: Another, app: str, mode: str) -> None:
    caller = another(app)
    info = caller.get("/info").json()
    assert list(info) == ["name", "description", "tags", "mode", "author_name"]
    assert info["mode"] == mode and info["tags"]
    icons = caller.get("/meta").json()
    assert list(icons) == ["tool_icons"] and (icons["tool_icons"] == {}) == (app != "agent")
    site = caller.get("/site").json()
    members = """title chat_color_theme chat_color_theme_inverted icon_type icon icon_background description copyright
    privacy_policy custom_disclaimer default_language show_workflow_steps use_icon_as_answer_icon icon_url"""
    assert list(site) == members.split()
    assert site["title"] == info["name"]


@pytest.mark.parametrize("app", sorted(KEYS))
def test_parameters(another: Another, app: str) -> None:
    shown = another(app).get("/parameters").json()
    members = """opening_statement suggested_questions suggested_questions_after_answer speech_to_text text_to_speech
    retriever_resource annotation_reply more_like_this user_input_form sensitive_word_avoidance file_upload
    system_parameters"""
    assert list(shown) == members.split() and len(shown) == 12
    assert shown["more_like_this"] == {"enabled": False}
    assert shown["sensitive_word_avoidance"] == {"enabled": False, "type": "", "configs": []}
    assert shown["annotation_reply"] == {"enabled": False}
    assert shown["system_parameters"] == {
        "image_file_size_limit": 10,
        "video_file_size_limit": 100,
        "audio_file_size_limit": 50,
        "file_size_limit": 15,
        "workflow_file_upload_limit": 10,
    }
    image = shown["file_upload"]["image"]
    assert image == {
        "enabled": True,
        "number_limits": 3,
        "detail": "high",
        "transfer_methods": ["remote_url", "local_file"],
    }
    assert shown["retriever_resource"] == {"enabled": app == "chat"}
    assert shown["suggested_questions_after_answer"] == {"enabled": app != "agent"}
    assert shown["speech_to_text"] == {"enabled": True}
    assert shown["text_to_speech"]["enabled"] is True and shown["text_to_speech"]["autoPlay"] == "disabled"
    form = {
        "chat": [
            {"text-input": {"label": "City", "variable": "city", "required": False, "default": "", "max_length": 48}}
        ],
        "agent": [],
        "flow": [
            {"text-input": {"label": "City", "variable": "city", "required": True, "default": "", "max_length": 48}},
            {
                "select": {
                    "label": "Priority",
                    "variable": "priority",
                    "required": False,
                    "default": "normal",
                    "options": ["low", "normal", "high"],
                }
            },
        ],
    }
    assert shown["user_input_form"] == form[app]


@pytest.mark.parametrize("path", ["/info", "/parameters", "/meta", "/site", "/app/feedbacks", "/apps/annotations"])
def test_an_extra_user_is_ignored(dify: Dify, path: str) -> None:
    headers = {"Content-Type": "application/json"}  # Clients send it on GET, too.
    assert dify.http.get(path, headers=headers).content == dify.http.get(path, params={"user": "mira"}).content


# ---- §11 annotations ----


def annotate(caller: Dify, question: str, answer: str = "So.") -> dict[str, Any]:
    reply = caller.http.post("/apps/annotations", json={"question": question, "answer": answer})
    assert reply.status_code == 201
    made: dict[str, Any] = reply.json()
    return made


def test_an_annotation_from_birth_to_death(dify: Dify, another: Another) -> None:
    made = annotate(dify, "Where?", "There.")
    assert list(made) == ["id", "question", "answer", "hit_count", "created_at"]
    assert (made["question"], made["answer"], made["hit_count"]) == ("Where?", "There.", 0)
    assert dify.get("/apps/annotations").json()["data"][0] == made
    path = f"/apps/annotations/{made['id']}"
    refused(
        another("flow").http.put(path, json={"question": "a", "answer": "b"}), 404, "not_found", "Annotation not found."
    )
    refused(another("flow").http.delete(path), 404, "not_found", "Annotation not found.")
    changed = dify.http.put(path.replace(made["id"], made["id"].upper()), json={"question": "When?", "answer": "Now."})
    assert changed.json() == {**made, "question": "When?", "answer": "Now."}
    gone = dify.http.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    for reply in (dify.http.delete(path), dify.http.put(path, json={"question": "a", "answer": "b"})):
        refused(reply, 404, "not_found", "Annotation not found.")
    assert made["id"] not in [one["id"] for one in dify.get("/apps/annotations").json()["data"]]


@pytest.mark.parametrize(
    "body",
    [{}, {"question": "a"}, {"answer": "a"}, {"question": None, "answer": "a"}, {"question": 1, "answer": "a"}],
    ids=json.dumps,
)
def test_an_annotation_needs_both(dify: Dify, body: dict[str, Any]) -> None:
    refused(dify.http.post("/apps/annotations", json=body), 400, "invalid_param")
    refused(dify.http.put(f"/apps/annotations/{Ids().annotation}", json=body), 400, "invalid_param")


def test_annotations_page_by_page(dify: Dify) -> None:
    there = dify.get("/apps/annotations").json()["total"]
    for number in range(7):
        annotate(dify, f"Question {number}")
    total = there + 7
    whole = dify.get("/apps/annotations").json()
    assert list(whole) == ["data", "has_more", "limit", "total", "page"]
    assert (whole["has_more"], whole["limit"], whole["total"], whole["page"]) == (False, 20, total, 1)
    assert [one["question"] for one in whole["data"][:7]] == [f"Question {n}" for n in range(6, -1, -1)], "newest first"
    seen = []
    for page in range(1, total + 2):
        body = dify.get("/apps/annotations", page=page, limit=3).json()
        assert body["has_more"] == (len(body["data"]) == 3), "true on every full page, the last one too"
        assert (body["limit"], body["total"], body["page"]) == (3, total, page)
        seen += body["data"]
    assert seen == whole["data"]
    exact = dify.get("/apps/annotations", limit=total).json()
    assert (len(exact["data"]), exact["has_more"]) == (total, True)


def test_at_most_a_hundred_annotations_a_page(dify: Dify) -> None:
    for number in range(101):
        annotate(dify, f"Question {number}")
    for limit, more in ((100, True), (150, False)):
        body = dify.get("/apps/annotations", limit=limit).json()
        assert (len(body["data"]), body["has_more"], body["limit"]) == (100, more, limit)


@pytest.mark.parametrize(
    ("keyword", "found"),
    [
        ("zebra", ["b", "a"]),
        ("ZEBRA", ["b", "a"]),
        ("stripes", ["b"]),
        ("斑马", ["c"]),
        ("", None),
        ("%", []),
        ("nothing like it", []),
    ],
)
def test_annotations_by_keyword(dify: Dify, keyword: str, found: list[str] | None) -> None:
    made = {
        annotate(dify, "What is a Zebra?")["id"]: "a",
        annotate(dify, "And this?", "A zeBRA with stripes")["id"]: "b",
        annotate(dify, "什么是斑马？")["id"]: "c",
    }
    body = dify.get("/apps/annotations", keyword=keyword).json()
    if found is None:
        assert body["total"] > 3
    else:
        assert [made[one["id"]] for one in body["data"]] == found
        assert body["total"] == len(found)


SWITCH = {"score_threshold": 0.8, "embedding_provider_name": "openai", "embedding_model_name": "small"}


def test_the_job_that_switches_annotation_reply(dify: Dify, still: Still) -> None:
    still.advance(60)
    for action, wanted in (("enable", True), ("disable", False)):
        other = "disable" if action == "enable" else "enable"
        started = dify.http.post(f"/apps/annotation-reply/{action}", json=SWITCH).json()
        assert list(started) == ["job_id", "job_status"] and started["job_status"] == "waiting"
        path = f"/apps/annotation-reply/{action}/status/{started['job_id']}"
        assert dify.get(path).json() == {**started, "error_msg": ""}
        again = dify.http.post(f"/apps/annotation-reply/{action}", json=SWITCH).json()
        assert again == {"job_id": started["job_id"], "job_status": "processing"}
        assert dify.get("/parameters").json()["annotation_reply"] == {"enabled": not wanted}
        still.advance(10)
        assert dify.get(path).json() == {"job_id": started["job_id"], "job_status": "completed", "error_msg": ""}
        assert dify.get("/parameters").json()["annotation_reply"] == {"enabled": wanted}
        for wrong in (path.replace(action, other), path.replace(started["job_id"], UNKNOWN)):
            refused(dify.get(wrong), 400, "invalid_param", "The job does not exist.")
        still.advance(580)
        assert dify.get(path).status_code == 200
        still.advance(30)
        refused(dify.get(path), 400, "invalid_param", "The job does not exist.")
        next_job = dify.http.post(f"/apps/annotation-reply/{action}", json=SWITCH).json()
        assert next_job["job_id"] != started["job_id"] and next_job["job_status"] == "waiting"
        still.advance(10)


@pytest.mark.parametrize("app", sorted(KEYS))
def test_the_first_call_of_a_session_may_switch(another: Another, app: str) -> None:
    started = another(app).http.post("/apps/annotation-reply/enable", json=SWITCH).json()
    assert started["job_status"] == "waiting"


@pytest.mark.parametrize("missing", sorted(SWITCH))
@pytest.mark.parametrize("action", ["enable", "disable"])
def test_all_settings_are_needed_to_switch(dify: Dify, action: str, missing: str) -> None:
    body = {name: value for name, value in SWITCH.items() if name != missing}
    refused(dify.http.post(f"/apps/annotation-reply/{action}", json=body), 400, "invalid_param")
    refused(dify.http.post(f"/apps/annotation-reply/{action}", json={**body, missing: []}), 400, "invalid_param")


def test_another_action(dify: Dify) -> None:
    refused(dify.http.post("/apps/annotation-reply/toggle", json=SWITCH), 400, "invalid_param")
    refused(dify.get(f"/apps/annotation-reply/toggle/status/{UNKNOWN}"), 400, "invalid_param")


def test_jobs_are_the_apps_own(dify: Dify, flow: Dify, still: Still) -> None:
    still.advance(60)
    job = dify.http.post("/apps/annotation-reply/enable", json=SWITCH).json()["job_id"]
    refused(flow.get(f"/apps/annotation-reply/enable/status/{job}"), 400, "invalid_param", "The job does not exist.")
    still.advance(60)
    assert flow.get("/parameters").json()["annotation_reply"] == {"enabled": False}


def test_a_query_is_answered_from_an_annotation(dify: Dify, still: Still) -> None:
    still.advance(60)
    made = annotate(dify, "Where is the lost property office?", "第三 floor, next to the lift.")
    question = "where is the lost property office"
    assert dify.ask(question)["metadata"]["annotation_reply"] is None, "not while it is off"
    dify.http.post("/apps/annotation-reply/enable", json=SWITCH).raise_for_status()
    still.advance(60)
    sent = events(dify.stream(question))
    assert [one["event"] for one in sent] == ["message"] * len(made["answer"]) + ["message_end"]
    assert [one["answer"] for one in sent[:-1]] == list(made["answer"]), "one character an event"
    metadata = sent[-1]["metadata"]
    assert metadata["annotation_reply"]["id"] == made["id"]
    assert list(metadata["annotation_reply"]["account"]) == ["id", "name"]
    usage = metadata["usage"]
    assert {usage[name] for name in usage if name.endswith("tokens")} == {0}
    assert {usage[name] for name in usage if "price" in name} == {"0.0"}
    assert usage["currency"] == "USD"
    assert dify.get("/apps/annotations").json()["data"][0]["hit_count"] == 1
    blocking = dify.ask(question)
    assert blocking["answer"] == made["answer"] and blocking["metadata"]["annotation_reply"]["id"] == made["id"]
    assert dify.get("/apps/annotations").json()["data"][0]["hit_count"] == 2
    assert dify.ask("Is there an elevator for bicycles?")["metadata"]["annotation_reply"] is None
    assert dify.get("/apps/annotations").json()["data"][0]["hit_count"] == 2
    dify.http.post("/apps/annotation-reply/disable", json=SWITCH).raise_for_status()
    still.advance(60)
    assert dify.ask(question)["metadata"]["annotation_reply"] is None


def test_the_closest_annotation_must_be_close_enough(dify: Dify, still: Still) -> None:
    still.advance(60)
    annotate(dify, "How much is a ticket to the island?")
    dify.http.post("/apps/annotation-reply/enable", json={**SWITCH, "score_threshold": 1}).raise_for_status()
    still.advance(60)
    assert dify.ask("How much is a ticket to the islands?")["metadata"]["annotation_reply"] is None
    assert dify.ask("how much is a TICKET to the island?")["metadata"]["annotation_reply"] is not None


# ---- Who sees what ----


@pytest.mark.parametrize(("app", "user"), [("chat", "somebody-else"), ("flow", "abc-123")])
def test_users_and_apps_do_not_see_each_other(dify: Dify, another: Another, app: str, user: str) -> None:
    answer = dify.ask("A secret")
    id, message = answer["conversation_id"], answer["message_id"]
    other = another(app, user)
    gone = (404, "not_found", "Conversation Not Exists.")
    refused(other.post("/chat-messages", query="a", inputs={"city": "Oslo"}, conversation_id=id), *gone)
    refused(other.get("/messages", conversation_id=id), *gone)
    refused(other.get(f"/conversations/{id}/variables"), *gone)
    refused(other.post(f"/conversations/{id}/name", name="Mine"), *gone)
    refused(other.http.request("DELETE", f"/conversations/{id}", json={"user": user}), *gone)
    refused(other.post(f"/messages/{message}/feedbacks", rating="like"), 404, "not_found", "Message Not Exists.")
    refused(other.get(f"/messages/{message}/suggested"), 404, "not_found", "Message Not Exists.")
    assert id not in [one["id"] for one in other.get("/conversations", limit=100).json()["data"]]
    assert conversation(dify, id)["id"] == id


def test_a_user_of_a_name_is_another_one_in_another_app(dify: Dify, another: Another) -> None:
    ids = {upload(another(app), "a.txt", b"a", "text/plain")["created_by"] for app in KEYS}
    assert len(ids) == 3


@pytest.mark.parametrize("app", sorted(KEYS))
def test_every_list_of_a_newcomer_has_three_entries(another: Another, app: str) -> None:
    caller = another(app)
    for path in ("/conversations", "/app/feedbacks", "/apps/annotations"):
        assert len(caller.get(path).json()["data"]) >= 3, path
    newest = caller.get("/conversations").json()["data"]
    assert any(len(caller.get("/messages", conversation_id=one["id"]).json()["data"]) >= 3 for one in newest)


def test_sessions_do_not_see_each_other(
    server: ThreadedServer, dify: Dify, another: Another, session_name: str
) -> None:
    other = another(session=f"{session_name}-b")
    before = other.get("/conversations").content
    id = dify.ask("Hello")["conversation_id"]
    assert other.get("/conversations").content == before
    refused(other.get("/messages", conversation_id=id), 404, "not_found")
    prefixed = {"Authorization": f"Bearer {KEYS['chat']}"}
    base = f"{server.url}/_s/{session_name}/dify/v1"
    seen = bare("GET", f"{base}/conversations?user=abc-123", headers=prefixed)
    assert seen.json()["data"][0]["id"] == id, "the prefix names the same session as the header"
    both = bare(
        "GET", f"{base}/conversations?user=abc-123", headers={**prefixed, "X-Emulator-Session": f"{session_name}-b"}
    )
    assert both.json()["data"][0]["id"] == id, "the prefix wins"


def play(caller: Dify) -> list[bytes]:
    """Some calls of every kind, as bytes."""
    replies = [
        caller.get("/conversations"),
        caller.post("/chat-messages", inputs={}, query="What should I pack?"),
        caller.stream("Draw a lighthouse"),
        caller.http.post("/files/upload", files={"file": ("a.png", PICTURE, "image/png")}),
        caller.http.post("/apps/annotations", json={"question": "a", "answer": "b"}),
    ]
    newest = caller.get("/conversations").json()["data"][0]["id"]
    replies.append(caller.http.request("DELETE", f"/conversations/{newest}", json={"user": caller.user}))
    replies += [caller.get("/conversations"), caller.get("/app/feedbacks"), caller.post("/text-to-audio", text="Hi")]
    return [reply.content for reply in replies]


def test_deleting_a_session_brings_the_same_bytes_again(
    server: ThreadedServer, dify: Dify, another: Another, session_name: str
) -> None:
    first = play(dify)
    second = play(dify)
    assert first != second
    reply = bare("DELETE", f"{server.url}/_emulator/sessions/{session_name}")
    assert (reply.status_code, reply.content) == (204, b"")
    assert play(dify) == first
    assert play(another(session="Some.other_name-7")) == first, "the session's name does not matter"
    bare("DELETE", f"{server.url}/_emulator/sessions/Some.other_name-7")
