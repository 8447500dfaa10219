"""Clients as they are published, unmodified: dify-client from PyPI and from npm, the parsers httpx-sse and
eventsource-parser. Those that cannot add a header have their session in the address."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests
from conftest import KEYS, Dify
from days import DAYS, other_names
from dify_client import ChatClient, CompletionClient, DifyClient
from httpx_sse import ServerSentEvent, connect_sse
from node_tests import run_node

from emulator.service import bundled
from emulator.streams.shelf import Scenarios
from emulator.testing.server import ThreadedServer

NAMES = other_names(Scenarios("dify", [bundled("scenarios")]))
USER = "abc-123"
PICTURE = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
UNKNOWN = "00000000-0000-4000-8000-000000000000"
TRIED = {
    DifyClient: {"file_upload", "get_application_parameters", "message_feedback"},
    ChatClient: {
        "create_chat_message",
        "get_conversation_messages",
        "get_conversations",
        "rename_conversation",
    },
    CompletionClient: {"create_completion_message"},
}

Make = Callable[..., Any]


@pytest.fixture
def base(server: ThreadedServer, session_name: str) -> Iterator[str]:
    """Where this test's session answers. After the test nothing may have gone out against the spec."""
    yield f"{server.url}/_s/{session_name}/dify/v1"
    entries = server.app.sessions.get(session_name).journal.entries
    assert entries, "the session in the address was not used"
    assert [str(breach) for entry in entries for breach in entry.breaches] == []


@pytest.fixture
def make(base: str) -> Make:
    """Makes a client of the given class; only its documented `base_url` is set."""

    def client(kind: Any, key: str = KEYS["chat"]) -> Any:
        made = kind(key)
        made.base_url = base
        return made

    return client


@pytest.fixture
def chat(make: Make) -> Any:
    return make(ChatClient)


def refused(reply: requests.Response) -> tuple[int, str, str]:
    """Status, code and text of an error body."""
    assert reply.headers["Content-Type"] == "application/json"
    body = reply.json()
    assert list(body) == ["code", "message", "status"] and body["status"] == reply.status_code
    return body["status"], body["code"], body["message"]


def told(reply: requests.Response) -> list[dict[str, Any]]:
    """A stream, read as the client's own documentation reads it."""
    events = []
    with reply:
        reply.raise_for_status()
        lines: Iterator[Any] = reply.iter_lines(decode_unicode=True)
        for line in lines:
            text = line.split("data:", 1)[-1]
            if text.strip():
                events.append(json.loads(text.strip()))
    return events


# --- PyPI dify-client


@pytest.mark.parametrize("kind", TRIED, ids=lambda kind: kind.__name__)
def test_every_method_of_the_client_is_tried_here(kind: type) -> None:
    own = {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
    assert own == TRIED[DifyClient] | TRIED[kind]


def test_application_parameters(make: Make) -> None:
    reply = make(DifyClient).get_application_parameters(USER)
    assert reply.status_code == 200
    assert len(reply.json()) == 12
    assert reply.json()["file_upload"]["image"]["enabled"] is True


def test_a_wrong_key(make: Make) -> None:
    reply = make(DifyClient, "app-wrong").get_application_parameters(USER)
    assert refused(reply) == (401, "unauthorized", "Access token is invalid")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_chat_in_one_piece_and_how_it_goes_on(chat: Any) -> None:
    first = chat.create_chat_message(inputs={"city": "Hangzhou"}, query="What should I pack?", user=USER).json()
    assert first["id"] == first["message_id"] and first["answer"]
    second = chat.create_chat_message({}, "还有什么？", USER, "blocking", first["conversation_id"]).json()
    assert second["conversation_id"] == first["conversation_id"]
    page = chat.get_conversation_messages(USER, first["conversation_id"]).json()
    assert [(one["query"], one["answer"]) for one in page["data"]] == [
        ("What should I pack?", first["answer"]),
        ("还有什么？", second["answer"]),
    ]
    assert page["data"][0]["inputs"] == {"city": "Hangzhou"}


def test_a_chat_as_a_stream(chat: Any) -> None:
    reply = chat.create_chat_message({}, "西湖怎么走？", USER, response_mode="streaming")
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    *deltas, end = told(reply)
    assert {event["event"] for event in deltas} == {"message"} and end["event"] == "message_end"
    answer = "".join(event["answer"] for event in deltas)
    (message,) = chat.get_conversation_messages(USER, end["conversation_id"]).json()["data"]
    assert (message["id"], message["answer"]) == (end["message_id"], answer)


def test_a_chat_with_an_agent(make: Make) -> None:
    agent = make(ChatClient, KEYS["agent"])
    events = told(agent.create_chat_message({}, "Draw a lighthouse.", USER, "streaming"))
    assert {"agent_thought", "agent_message", "message_file", "message_end"} == {event["event"] for event in events}
    (file,) = [event for event in events if event["event"] == "message_file"]
    # The session is in the address, so the file's address works as it stands.
    assert requests.get(file["url"], timeout=30).content.startswith(b"\x89PNG")
    assert refused(agent.create_chat_message({}, "Hello", USER))[:2] == (400, "invalid_param")


def test_a_chat_with_a_flow_that_asks_for_inputs(make: Make) -> None:
    flow = make(ChatClient, KEYS["flow"])
    missing = refused(flow.create_chat_message({}, "Hello", USER))
    assert missing == (400, "invalid_param", "city is required in input form")
    assert flow.create_chat_message({"city": "Hangzhou"}, "Hello", USER).status_code == 200


def test_a_chat_that_fails(chat: Any) -> None:
    events = told(chat.create_chat_message({}, "/scenario quota-exceeded", USER, "streaming"))
    assert (events[-1]["event"], events[-1]["code"]) == ("error", "provider_quota_exceeded")
    blocking = chat.create_chat_message({}, "/scenario quota-exceeded", USER)
    assert refused(blocking)[:2] == (400, "provider_quota_exceeded")


def test_a_chat_whose_connection_breaks(chat: Any) -> None:
    reply = chat.create_chat_message({}, "/scenario disconnect-mid-stream", USER, "streaming")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        told(reply)


def test_a_chat_in_a_conversation_that_is_not_there(chat: Any) -> None:
    for mode in ("blocking", "streaming"):
        reply = chat.create_chat_message({}, "Hello", USER, mode, UNKNOWN)
        assert refused(reply) == (404, "not_found", "Conversation Not Exists.")


def test_conversations_page_by_page(chat: Any) -> None:
    whole = chat.get_conversations(USER).json()
    assert (whole["limit"], whole["has_more"]) == (20, False) and len(whole["data"]) >= 3
    found: list[dict[str, Any]] = []
    more = True
    while more:
        last_id = found[-1]["id"] if found else None
        page = chat.get_conversations(USER, last_id=last_id, limit=2, pinned=True).json()
        found, more = found + page["data"], page["has_more"]
    assert found == whole["data"]


def test_messages_page_by_page(chat: Any) -> None:
    conversation = chat.create_chat_message({}, "One", USER).json()["conversation_id"]
    for query in ("Two", "Three"):
        chat.create_chat_message({}, query, USER, conversation_id=conversation)
    page = chat.get_conversation_messages(USER, conversation, limit=2).json()
    assert ([one["query"] for one in page["data"]], page["has_more"]) == (["Two", "Three"], True)
    page = chat.get_conversation_messages(USER, conversation, first_id=page["data"][0]["id"], limit=2).json()
    assert ([one["query"] for one in page["data"]], page["has_more"]) == (["One"], False)
    assert refused(chat.get_conversation_messages(USER))[:2] == (400, "invalid_param")


def test_a_conversation_is_renamed(chat: Any) -> None:
    conversation = chat.create_chat_message({}, "Hello", USER).json()["conversation_id"]
    assert chat.rename_conversation(conversation, "西湖", USER).json()["name"] == "西湖"
    assert chat.get_conversations(USER, limit=1).json()["data"][0]["name"] == "西湖"
    assert refused(chat.rename_conversation(UNKNOWN, "x", USER))[:2] == (404, "not_found")


def test_feedback_is_given_and_taken_back(chat: Any) -> None:
    message = chat.create_chat_message({}, "Hello", USER).json()
    for rating in ("like", "dislike", None):
        reply = chat.message_feedback(message["message_id"], rating, USER)
        assert (reply.status_code, reply.json()) == (200, {"result": "success"})
        (shown,) = chat.get_conversation_messages(USER, message["conversation_id"]).json()["data"]
        assert shown["feedback"] == (rating and {"rating": rating})
    assert refused(chat.message_feedback(UNKNOWN, "like", USER)) == (404, "not_found", "Message Not Exists.")


def test_a_file_is_uploaded_and_used(chat: Any) -> None:
    reply = chat.file_upload(USER, {"file": ("lake.png", PICTURE, "image/png")})
    assert reply.status_code == 201
    file = reply.json()
    assert (file["name"], file["size"], file["mime_type"]) == ("lake.png", len(PICTURE), "image/png")
    used = [{"type": "image", "transfer_method": "local_file", "upload_file_id": file["id"]}]
    message = chat.create_chat_message({}, "What is this?", USER, files=used).json()
    (shown,) = chat.get_conversation_messages(USER, message["conversation_id"]).json()["data"]
    assert shown["message_files"][0]["upload_file_id"] == file["id"]
    assert refused(chat.file_upload(USER, {"other": ("a.txt", b"x", "text/plain")}))[:2] == (400, "no_file_uploaded")


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
def test_a_completion_is_of_another_kind_of_app(make: Make, mode: str) -> None:
    with make(CompletionClient).create_completion_message({"query": "Hi"}, mode, USER) as reply:
        assert refused(reply)[:2] == (404, "not_found")


# --- httpx-sse


def heard(dify: Dify, scenario: str) -> list[ServerSentEvent]:
    """The events of a scenario, to their end or to where they break off."""
    body = {"inputs": {}, "query": "Hi", "user": USER, "response_mode": "streaming"}
    headers = {"X-Emulator-Scenario": scenario}
    found: list[ServerSentEvent] = []
    with connect_sse(dify.http, "POST", "/chat-messages", json=body, headers=headers) as source:
        try:
            found.extend(source.iter_sse())
        except httpx.ReadError:
            assert scenario == "disconnect-mid-stream"
    assert found
    return found


@pytest.mark.parametrize("scenario", NAMES)
def test_httpx_sse_reads_every_stream(dify: Dify, scenario: str) -> None:
    events = heard(dify, scenario)
    pings = [sse for sse in events if sse.event == "ping"]
    assert all(sse.data == "" for sse in pings)
    assert len(pings) == (scenario == "ping-between-deltas")
    told = [sse for sse in events if sse.event != "ping"]
    assert all((sse.event, sse.id, sse.retry) == ("message", "", None) for sse in told)
    assert all(isinstance(sse.json()["event"], str) for sse in told)


# --- Node


@pytest.mark.node
@pytest.mark.parametrize("file", ["dify-client", "eventsource-parser", "event-readers"])
def test_with_node(server: ThreadedServer, session_name: str, file: str) -> None:
    run_node(file, CHAT_EMULATOR_URL=f"{server.url}/_s/{session_name}", CHAT_EMULATOR_DAYS=",".join(DAYS))
    entries = server.app.sessions.get(session_name).journal.entries
    assert entries and [str(breach) for entry in entries for breach in entry.breaches] == []
