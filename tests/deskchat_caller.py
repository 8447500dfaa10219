"""One caller of the deskchat API in one session, and what its tests share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
from session_caller import Received, SessionCaller, receive, session_client

from emulator.testing.server import ThreadedServer

UNKNOWN = "00000000-0000-4000-8000-000000000000"
FIRST = "5f0c1a52-3d8e-4b67-9a41-2c7e8d915b01"
"""The conversation that the spec's examples read and speak in."""
MESSAGES = {n: f"8d2b6e70-91c4-4f3a-b5d8-6a0f3e7c4d{n:02d}" for n in (1, 2, 3)}
"""Messages that the spec's examples change, delete and answer anew."""


def conversation(n: int) -> str:
    """The nth conversation that is there from the start."""
    return f"5f0c1a52-3d8e-4b67-9a41-2c7e8d915b{n:02d}"


@dataclass
class Told(Received):
    """What came of a streamed call."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON events, without comments."""
        return [json.loads(frame.removeprefix(b"data: ")) for frame in self.frames if not frame.startswith(b":")]

    @property
    def kinds(self) -> list[str]:
        """Kinds of events in their order; chunks in a row count once."""
        kinds = [str(event["type"]) for event in self.events]
        return [kind for at, kind in enumerate(kinds) if kind != "chunk" or kinds[at - 1] != "chunk"]

    @property
    def text(self) -> str:
        """The texts of the chunks."""
        return "".join(event["content"] for event in self.events if event["type"] == "chunk")

    def id_of(self, kind: str) -> str:
        """The message that the first event of a kind names."""
        return str(next(event["message_id"] for event in self.events if event["type"] == kind))


class Desk(SessionCaller):
    """A caller of this API."""

    def __init__(self, server: ThreadedServer, session: str, watch: bool = True) -> None:
        super().__init__(server, session, session_client(f"{server.url}/deskchat/chat", session), watch)

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """Any call; `body` is sent as JSON."""
        return self.http.request(method, path, json=body, params=query)

    def data(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The data of a call that succeeds."""
        reply = self.call(method, path, body, **query)
        assert (reply.status_code, reply.json()["code"]) == (200, 200), reply.text
        return reply.json()["data"]

    def start(self, **members: Any) -> str:
        """A new conversation's uuid."""
        return str(self.data("POST", "/conversations", members)["uuid"])

    def say(self, chat_id: str, content: str, **members: Any) -> str:
        """A stored message's uuid."""
        body = {"chat_id": chat_id, "content": content, **members}
        return str(self.data("POST", "/messages", body)["message_id"])

    def history(self, chat_id: str, **query: Any) -> list[dict[str, Any]]:
        """The messages of a conversation."""
        found: list[dict[str, Any]] = self.data("GET", f"/conversations/{chat_id}/messages", **query)["list"]
        return found

    def texts(self, chat_id: str) -> list[tuple[str, str]]:
        """Roles and texts of a conversation's messages."""
        return [(one["role"], one["content"]) for one in self.history(chat_id)]

    def listed(self, **query: Any) -> list[str]:
        """The uuids of the conversation list."""
        return [one["uuid"] for one in self.data("GET", "/conversations/list", **query)["list"]]

    def stream(self, content: str, chat_id: str = FIRST, scenario: str | None = None, **members: Any) -> Told:
        """A streamed message, read to its end or to where it breaks off."""
        body = {"chat_id": chat_id, "content": content, **members}
        headers = {} if scenario is None else {"X-Emulator-Scenario": scenario}
        return receive(Told, self.http.stream("POST", "/messages/stream", json=body, headers=headers))
