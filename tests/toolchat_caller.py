"""One caller of the toolchat API in one session, and what its tests share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
from session_caller import Received, SessionCaller, receive, session_client

from emulator.call import Violation
from emulator.contract.values import checker
from emulator.service import Service, spec_files
from emulator.settings import Settings
from emulator.testing.server import ThreadedServer

SERVICE = Service("toolchat", spec_files(Settings())["toolchat"], Settings())
OPERATIONS = SERVICE.document.operations
SCHEMAS = SERVICE.document.raw["components"]["schemas"]

DEMO, GUEST = "emulator-token", "emulator-token-guest"
FIRST = "conv_5a1c9e40b7d2"
"""The conversation that the spec's examples read and speak in."""
TO_UPDATE, TO_DELETE = "conv_5a1c9e40b7d3", "conv_5a1c9e40b7d4"
MESSAGE_TO_DELETE = "msg_1f8d25c07b94"
UNKNOWN = "conv_000000000000"
EVENT_SCHEMAS = {
    "text": "TextEvent",
    "tool_call": "ToolCallEvent",
    "tool_result": "ToolResultEvent",
    "done": "DoneEvent",
    "error": "ErrorEvent",
}


def breaks(schema: str, value: Any) -> list[Violation]:
    """How a value breaks a schema of the spec."""
    components = SERVICE.document.raw["components"]
    return checker({"$ref": f"#/components/schemas/{schema}", "components": components})(value)


@dataclass
class Told(Received):
    """What came of a streamed call."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events' data, without comments. Each has its kind in both places."""
        found = []
        for frame in self.frames:
            if frame.startswith(b":"):
                continue
            first, second = frame.split(b"\n")
            data = json.loads(second.removeprefix(b"data: "))
            assert first == b"event: " + data["type"].encode()
            found.append(data)
        return found

    @property
    def kinds(self) -> list[str]:
        """Kinds of events in their order; texts in a row count once."""
        kinds = [str(event["type"]) for event in self.events]
        return [kind for at, kind in enumerate(kinds) if kind != "text" or at == 0 or kinds[at - 1] != "text"]

    @property
    def text(self) -> str:
        """The texts, put together."""
        return "".join(event["content"] for event in self.events if event["type"] == "text")

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tool calls with their results, as a history shows them."""
        results = {one["id"]: one["result"] for one in self.events if one["type"] == "tool_result"}
        return [
            {"id": one["id"], "name": one["name"], "arguments": one["arguments"], "result": results.get(one["id"])}
            for one in self.events
            if one["type"] == "tool_call"
        ]


class Chat(SessionCaller):
    """A caller of this API."""

    def __init__(self, server: ThreadedServer, session: str, token: str | None = DEMO) -> None:
        super().__init__(server, session, session_client(f"{server.url}/toolchat/api", session, token))

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """Any call; `body` is sent as JSON."""
        return self.http.request(method, path, json=body, params=query or None)

    def ok(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The data of a call that succeeds, None where there is none."""
        reply = self.call(method, path, body, **query)
        assert reply.status_code == 200, reply.text
        assert reply.json()["success"] is True
        return reply.json().get("data")

    def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        """Status and detail of a call that is refused."""
        reply = self.call(method, path, body, **query)
        shown = reply.json()
        assert shown["success"] is False and shown["message"]
        return reply.status_code, shown["detail"]

    def login(self, username: str, password: str) -> str:
        """A token."""
        data = self.ok("POST", "/auth/login", {"username": username, "password": password})
        return str(data["access_token"])

    def start(self, **members: Any) -> str:
        """A new conversation's id."""
        return str(self.ok("POST", "/conversations/", members)["id"])

    def listed(self, **query: Any) -> list[str]:
        """The ids of the conversation list."""
        return [one["id"] for one in self.ok("GET", "/conversations/", **query)["items"]]

    def history(self, conversation: str = FIRST, **query: Any) -> list[dict[str, Any]]:
        """The messages of a conversation."""
        found: list[dict[str, Any]] = self.ok("GET", f"/messages/{conversation}", **query)
        return found

    def send(self, content: str, conversation: str = FIRST, scenario: str | None = None, **members: Any) -> Any:
        """A message and its answer, whole."""
        headers = {} if scenario is None else {"X-Emulator-Scenario": scenario}
        body = {"conversation_id": conversation, "content": content, **members}
        reply = self.http.post("/messages/", json=body, headers=headers)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    def stream(self, content: str, conversation: str = FIRST, scenario: str | None = None, **members: Any) -> Told:
        """A streamed answer, read to its end or to where it breaks off."""
        body = {"conversation_id": conversation, "content": content, **members}
        headers = {} if scenario is None else {"X-Emulator-Scenario": scenario}
        return receive(Told, self.http.stream("POST", "/messages/stream", json=body, headers=headers))
