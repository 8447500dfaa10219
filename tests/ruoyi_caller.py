"""One caller of the ruoyi API in one session, and what its tests share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
from session_caller import Received, SessionCaller, receive, session_client

from emulator.call import Event, Violation
from emulator.service import Service, spec_files
from emulator.settings import Settings
from emulator.testing.server import ThreadedServer

SERVICE = Service("ruoyi", spec_files(Settings())["ruoyi"], Settings())
OPERATIONS = SERVICE.document.operations

DIFY, DEEPSEEK = "/api/ai/dify", "/api/ai/deepseek"
ASK, ASK_STREAM = "chat_api_ai_dify_chat_post", "chat_stream_api_ai_dify_chat_stream_post"
SEND = "send_message_api_ai_dify_chats__chat_id__messages_post"
COMPLETE_STREAM = "chat_stream_endpoint_api_ai_deepseek_chat_stream_post"
DONE = "[DONE]"
APOLOGY = "抱歉，处理您的请求时出现错误。"
QUESTION = "How do I pack for a week by train?"


@dataclass
class Told(Received):
    """What came of a streamed call."""

    @property
    def events(self) -> list[Any]:
        """The data of the frames, comments left out; the end mark is a text."""
        texts = [frame.removeprefix(b"data: ").decode() for frame in self.frames if not frame.startswith(b":")]
        return [text if text == DONE else json.loads(text) for text in texts]

    @property
    def kinds(self) -> list[str]:
        """Dify's kinds of events in their order, those that repeat at once only once."""
        kinds = [str(event["event"]) for event in self.events]
        return [kind for at, kind in enumerate(kinds) if at == 0 or kinds[at - 1] != kind]

    @property
    def answer(self) -> str:
        """The pieces that Dify's frames hold, put together."""
        return "".join(one["answer"] for one in self.events if one["event"] in ("message", "agent_message"))

    @property
    def deltas(self) -> list[dict[str, Any]]:
        """What DeepSeek's chunks add."""
        return [
            event["choices"][0]["delta"] for event in self.events if isinstance(event, dict) and event.get("choices")
        ]

    def added(self, member: str) -> str:
        """`content` or `reasoning_content` of all chunks, put together."""
        return "".join(delta.get(member) or "" for delta in self.deltas)

    def breaches(self, operation: str) -> list[Violation]:
        """How the frames break the spec. That a stream ends once is what the order of its kinds says."""
        events = [Event(data=event) for event in self.events]
        return [one for event in events for one in SERVICE.inspector.event(OPERATIONS[operation], "200", event)]


class Caller(SessionCaller):
    """A caller of this API."""

    def __init__(
        self, server: ThreadedServer, session: str, token: str | None = "emulator-token", base: str = "/dev-api"
    ) -> None:
        super().__init__(server, session, session_client(f"{server.url}/ruoyi{base}", session, token))

    def call(
        self, method: str, path: str, body: Any = None, scenario: str | None = None, **query: Any
    ) -> httpx.Response:
        """Any call; `body` is sent as JSON."""
        headers = {} if scenario is None else {"X-Emulator-Scenario": scenario}
        return self.http.request(method, path, json=body, params=query or None, headers=headers)

    def ok(self, method: str, path: str, body: Any = None, scenario: str | None = None, **query: Any) -> Any:
        """The JSON of a call that succeeds."""
        reply = self.call(method, path, body, scenario, **query)
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"] == "application/json"
        return reply.json()

    def refused(self, method: str, path: str, body: Any = None, scenario: str | None = None, **query: Any) -> Any:
        """Status and body of a call that is refused."""
        reply = self.call(method, path, body, scenario, **query)
        assert reply.headers["content-type"] == "application/json"
        return reply.status_code, reply.json()

    def login(self, username: str, password: str = "admin123") -> str:
        """A token."""
        reply = self.http.post("/login", data={"username": username, "password": password})
        return str(reply.json()["token"])

    def start(self, title: str = "Trips", user_id: int = 1) -> int:
        """A new chat's number."""
        return int(self.ok("POST", f"{DIFY}/chats", {"app_id": 1, "user_id": user_id, "title": title})["id"])

    def chats(self, user_id: int = 1, **query: Any) -> list[dict[str, Any]]:
        """The chat list."""
        found: list[dict[str, Any]] = self.ok("GET", f"{DIFY}/chats", user_id=user_id, **query)
        return found

    def history(self, chat: int, **query: Any) -> list[dict[str, Any]]:
        """A chat's messages."""
        found: list[dict[str, Any]] = self.ok("GET", f"{DIFY}/chats/{chat}/messages", **query)
        return found

    def ask(self, query: str = QUESTION, scenario: str | None = None, **members: Any) -> dict[str, Any]:
        """A question outside any chat, with its whole answer."""
        found: dict[str, Any] = self.ok("POST", f"{DIFY}/chat", {"app_id": 1, "query": query, **members}, scenario)
        return found

    def send(self, chat: int, content: str = QUESTION, scenario: str | None = None) -> dict[str, Any]:
        """A message of a chat, with its whole answer."""
        found: dict[str, Any] = self.ok("POST", f"{DIFY}/chats/{chat}/messages", {"content": content}, scenario)
        return found

    def complete(self, content: str = QUESTION, path: str = "chat", **members: Any) -> dict[str, Any]:
        """DeepSeek's completion, out of its envelope."""
        body = {"messages": [{"role": "user", "content": content}], **members}
        envelope = self.ok("POST", f"{DEEPSEEK}/{path}", body, provider_id=1)
        assert list(envelope) == ["code", "msg", "data", "success", "time"]
        assert (envelope["code"], envelope["msg"], envelope["success"]) == (200, "操作成功", True)
        found: dict[str, Any] = envelope["data"]
        return found

    def stream(self, path: str, body: Any, scenario: str | None = None, **query: Any) -> Told:
        """A streamed answer, read to its end or to where it breaks off."""
        headers = {} if scenario is None else {"X-Emulator-Scenario": scenario}
        return receive(Told, self.http.stream("POST", path, json=body, headers=headers, params=query or None))

    def ask_stream(self, query: str = QUESTION, scenario: str | None = None, **members: Any) -> Told:
        """A question outside any chat, its answer streamed."""
        return self.stream(f"{DIFY}/chat/stream", {"app_id": 1, "query": query, **members}, scenario)

    def send_stream(self, chat: int, content: str = QUESTION, scenario: str | None = None) -> Told:
        """A message of a chat, its answer streamed."""
        return self.stream(f"{DIFY}/chats/{chat}/messages", {"content": content, "streaming": True}, scenario)

    def complete_stream(self, content: str = QUESTION, scenario: str | None = None, **members: Any) -> Told:
        """DeepSeek's answer, streamed."""
        body = {"messages": [{"role": "user", "content": content}], **members}
        return self.stream(f"{DEEPSEEK}/chat/stream", body, scenario, provider_id=1)
