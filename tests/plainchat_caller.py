"""One caller of the plainchat API in one session, and what its tests share."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from session_caller import SessionCaller, session_client

from emulator.call import Reply
from emulator.service import Service, spec_files
from emulator.settings import Settings
from emulator.testing.server import ThreadedServer

SERVICE = Service("plainchat", spec_files(Settings())["plainchat"], Settings())
OPERATIONS = SERVICE.document.operations
UNKNOWN = "00000000-0000-4000-8000-000000000000"
TO_READ = "e20b6c7f-94d1-4a38-85ef-7b3d1a0c9f62"
TO_CONTINUE = "3f0c8a52-7d1e-4b96-a5c4-2e8f1d0b9a61"
TO_DELETE = "27f8d5a0-1c6b-4e93-9b72-a4d0e3f6c815"
ANSWERED = "6b4e0d93-2f81-4c57-8a1d-9e3c5b7f0a26"
"""What the spec's examples name: conversations and a message of user abc-123."""
MARKER = re.compile(r"\[MESSAGE_ID:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\]")
LONG = 30.0


@dataclass
class Told:
    """What came of a question, as far as it came: the chunks as they were cut on the wire."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    whole: bool = False

    @property
    def text(self) -> str:
        """All of it, markers too."""
        return b"".join(self.chunks).decode()

    @property
    def message_id(self) -> str:
        """The id that the last chunk tells, and nothing else does."""
        found = MARKER.fullmatch(self.chunks[-1].decode())
        assert found is not None, self.chunks[-1]
        return found[1]

    @property
    def said(self) -> str:
        """The answer, for one that ended properly."""
        assert self.whole and self.message_id
        return b"".join(self.chunks[:-1]).decode()


class Plain(SessionCaller):
    """A caller of this API."""

    def __init__(self, server: ThreadedServer, session: str, user: str = "abc-123", watch: bool = True) -> None:
        super().__init__(server, session, session_client(f"{server.url}/plainchat", session), watch)
        self.user = user

    def ask(self, message: str, scenario: str | None = None, **members: Any) -> Told:
        """A question, read to its end or to where it breaks off."""
        with self.open(message, scenario, **members) as wire:
            wire.read()
            return wire.told

    def open(self, message: str, scenario: str | None = None, **members: Any) -> Wire:
        """A question under way, on a connection of its own."""
        body = {"message": message, "username": self.user, **members}
        return Wire(self, body, scenario)

    def listed(self, user: str | None = None) -> list[dict[str, Any]]:
        """A user's conversations."""
        reply = self.http.get(f"/api/conversations/list/{user or self.user}")
        assert reply.status_code == 200, reply.text
        found: list[dict[str, Any]] = reply.json()["conversations"]
        return found

    def history(self, conversation_id: str, user: str | None = None) -> list[dict[str, Any]]:
        """The messages of a conversation."""
        reply = self.read(conversation_id, user)
        assert reply.status_code == 200, reply.text
        found: list[dict[str, Any]] = reply.json()["data"]
        return found

    def read(self, conversation_id: str, user: str | None = None) -> httpx.Response:
        """The history of a conversation, as it comes."""
        return self.http.get(f"/api/conversations/{conversation_id}/history", params={"username": user or self.user})

    def newest(self) -> list[dict[str, Any]]:
        """The messages of the conversation that began last, found as the page does it."""
        return self.history(self.listed()[0]["id"])

    def delete(self, conversation_id: str, user: str | None = None) -> httpx.Response:
        """Delete a conversation."""
        params = {"username": user or self.user}
        return self.http.delete(f"/api/conversations/{conversation_id}/delete", params=params)

    def suggestions(self, message_id: str, user: str | None = None) -> httpx.Response:
        """What could be asked next."""
        return self.http.get(f"/api/chat/next_suggest/{message_id}", params={"username": user or self.user})

    def upload(self, *files: tuple[str, bytes, str]) -> list[str]:
        """Upload files of (name, bytes, type); their ids."""
        sent = [("files", file) for file in files]
        reply = self.http.post("/api/file/upload", files=sent, data={"username": self.user})
        assert reply.status_code == 200, reply.text
        found: list[str] = reply.json()["file_ids"]
        return found


class Wire:
    """One question on a socket of its own, read chunk by chunk. No client library in between puts chunks together."""

    def __init__(self, caller: Plain, body: dict[str, Any], scenario: str | None) -> None:
        request = caller.http.build_request("POST", "/api/chat", json=body)
        head = [
            "POST /plainchat/api/chat HTTP/1.1",
            "Host: emulator.test",
            f"X-Emulator-Session: {caller.session}",
            "Content-Type: application/json",
            f"Content-Length: {len(request.content)}",
            *([] if scenario is None else [f"X-Emulator-Scenario: {scenario}"]),
        ]
        self.told = Told()
        self.sock = socket.create_connection(("127.0.0.1", int(caller.server.url.rsplit(":", 1)[1])), LONG)
        self.sock.sendall("\r\n".join([*head, "", ""]).encode() + request.content)
        self._reader = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self.sock.close()

    def head(self) -> Wire:
        """Read status and headers."""
        self.told.status = int(self._reader.readline().split()[1])
        while (line := self._reader.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, _, value = line.partition(": ")
            self.told.headers.append((name, value))
        return self

    def chunk(self) -> bytes | None:
        """The next chunk, None after the last. Raises OSError when the connection is reset."""
        size = int(self._reader.readline(), 16)
        data = self._reader.read(size)
        assert self._reader.read(2) == b"\r\n"
        if size == 0:
            self.told.whole = True
            return None
        self.told.chunks.append(data)
        return data

    def read(self) -> Told:
        """Read everything that comes."""
        self.head()
        if ("transfer-encoding", "chunked") not in self.told.headers:
            self.told.chunks.append(self._reader.read(int(dict(self.told.headers)["content-length"])))
            self.told.whole = True
            return self.told
        try:
            while self.chunk() is not None:
                pass
        except (OSError, ValueError):
            self.told.whole = False
        return self.told


def breaches(operation: str, reply: httpx.Response) -> list[str]:
    """How a reply breaks the spec."""
    inside = Reply(reply.status_code, tuple(reply.headers.items()), reply.content)
    return [str(one) for one in SERVICE.inspector.reply(OPERATIONS[operation], inside)]


def part(name: str, data: bytes, filename: str | None = None, mime: str | None = None) -> bytes:
    """One part of a multipart body, without the freedom that a client library takes away."""
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    kind = f"Content-Type: {mime}\r\n" if mime is not None else ""
    return f"--limit\r\nContent-Disposition: {disposition}\r\n{kind}\r\n".encode() + data + b"\r\n"


def send_parts(caller: Plain, path: str, *parts: bytes, end: bytes = b"--limit--\r\n") -> httpx.Response:
    """POST a multipart body made of these parts."""
    kind = {"Content-Type": "multipart/form-data; boundary=limit"}
    return caller.http.post(path, content=b"".join(parts) + end, headers=kind)
