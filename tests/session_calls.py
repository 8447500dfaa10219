"""Talks with each backend as lists of calls, whoever makes them, and their replies byte for byte: what a session
answers is compared with what another one does, or with the same one later."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from emulator.app import App
from emulator.call import Call, Event, Reply
from emulator.pipeline import answer

BOUNDARY = "cut-here"
PICTURE = b"\x89PNG\r\n\x1a\n\x00\xff" + bytes(range(256))
TOKENS = {"dify": "app-emulator", "ruoyi": "emulator-token", "toolchat": "emulator-token"}


@dataclass(frozen=True)
class Asked:
    """One call. `path` is below the backend's mount."""

    backend: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""


@dataclass(frozen=True)
class Told:
    """A whole reply as it leaves; streams are read to their end."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


Talk = Generator[Asked, Told, None]
"""Gives a call, takes its reply."""


def asked(backend: str, method: str, path: str, body: Any = None, token: str | None = None, **query: Any) -> Asked:
    """A call with a JSON body."""
    headers = _authorised(backend, token)
    data = b""
    if body is not None:
        headers["content-type"] = "application/json"
        data = json.dumps(body).encode()
    return Asked(backend, method, path, data, headers, urlencode(query))


def upload(backend: str, path: str, user: tuple[str, str], name: str = "file") -> Asked:
    """A call with a picture and somebody's name."""
    picture = f'name="{name}"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'.encode() + PICTURE
    pieces = [picture, f'name="{user[0]}"\r\n\r\n{user[1]}'.encode()]
    start = f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode()
    data = b"".join(start + piece + b"\r\n" for piece in pieces) + f"--{BOUNDARY}--\r\n".encode()
    headers = {**_authorised(backend, None), "content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    return Asked(backend, "POST", path, data, headers)


def _authorised(backend: str, token: str | None) -> dict[str, str]:
    token = token or TOKENS.get(backend)
    return {} if token is None else {"authorization": f"Bearer {token}"}


def dify(word: str) -> Talk:
    """Questions, streams, an upload, ratings, a job and its annotation."""

    def call(method: str, path: str, body: Any = None, **query: Any) -> Asked:
        return asked("dify", method, f"/v1{path}", body, **query)

    def ask(query: str, mode: str, **members: Any) -> Asked:
        body = {"user": "u", "inputs": {}, "query": query, "response_mode": mode, **members}
        return call("POST", "/chat-messages", body)

    first = (yield ask(f"你好 {word}", "blocking")).json
    yield ask("And then?", "streaming", conversation_id=first["conversation_id"])
    yield ask("/scenario agent-tool-call", "streaming")
    file = (yield upload("dify", "/v1/files/upload", ("user", "u"))).json["id"]
    picture = {"type": "image", "transfer_method": "local_file", "upload_file_id": file}
    yield ask("See", "blocking", files=[picture])
    yield call("GET", f"/files/{file}/preview")
    yield call("POST", f"/messages/{first['message_id']}/feedbacks", {"user": "u", "rating": "like"})
    yield call("POST", "/apps/annotations", {"question": word, "answer": "A"})
    job = {"score_threshold": 0.5, "embedding_provider_name": "x", "embedding_model_name": "y"}
    started = (yield call("POST", "/apps/annotation-reply/enable", job)).json["job_id"]
    yield call("GET", f"/apps/annotation-reply/enable/status/{started}")
    yield ask(word, "streaming")
    for user in ("u", "abc-123"):
        yield call("GET", "/conversations", user=user)
    yield call("GET", "/messages", user="u", conversation_id=first["conversation_id"])
    yield call("GET", "/app/feedbacks")
    yield call("GET", "/apps/annotations", page=1, limit=20)
    yield call("POST", "/text-to-audio", {"user": "u", "text": word})


def ruoyi(word: str) -> Talk:
    """A login, and with its token chats, streams of each kind, and the history."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    login = yield Asked("ruoyi", "POST", "/dev-api/login", b"username=admin&password=admin123", form)
    token = login.json["token"]

    def call(method: str, path: str, body: Any = None, **query: Any) -> Asked:
        return asked("ruoyi", method, f"/dev-api/api/ai{path}", body, token, **query)

    chat = (yield call("POST", "/dify/chats", {"app_id": 1, "user_id": 1, "title": word})).json["id"]
    yield call("POST", f"/dify/chats/{chat}/messages", {"content": word})
    yield call("POST", "/dify/chat/stream", {"app_id": 1, "query": word})
    yield call("POST", "/deepseek/chat/stream", {"messages": [{"role": "user", "content": word}]}, provider_id=1)
    yield call("POST", "/deepseek/chat", {"messages": [{"role": "user", "content": word}]}, provider_id=1)
    yield call("GET", "/dify/chats", user_id=1)
    yield call("GET", f"/dify/chats/{chat}/messages")


def plainchat(word: str) -> Talk:
    """An account, an upload, talk and its history."""

    def call(method: str, path: str, body: Any = None) -> Asked:
        return asked("plainchat", method, f"/api{path}", body)

    form = {"content-type": "application/x-www-form-urlencoded"}
    account = f"username={word}&password=long-enough".encode()
    for path in ("register", "login"):
        yield Asked("plainchat", "POST", f"/api/user/{path}", account, form)
    yield upload("plainchat", "/api/file/upload", ("username", word), "files")
    yield call("POST", "/chat", {"username": word, "message": f"Hello 你好 {word}"})
    yield call("GET", f"/conversations/list/{word}")


def deskchat(word: str) -> Talk:
    """Groups, conversations that move between them, a stream, statistics."""

    def call(method: str, path: str, body: Any = None, **query: Any) -> Asked:
        return asked("deskchat", method, f"/chat{path}", body, **query)

    group = (yield call("POST", "/groups", {"name": word})).json["data"]["id"]
    replies = []
    for title in "abc":
        reply = yield call("POST", "/conversations", {"title": title})
        replies.append(reply.json["data"])
    made = [one["uuid"] for one in replies]
    for uuid in (made[2], made[0]):
        yield call("PUT", f"/conversations/{uuid}/move", {"group_id": group})
    yield call("POST", "/messages/stream", {"chat_id": made[1], "content": word})
    yield call("POST", "/messages", {"chat_id": made[1], "content": "你好"})
    yield call("GET", "/conversations/list", group_id=group, pageSize=100)
    yield call("GET", "/search", keyword=word)
    yield call("GET", f"/conversations/{made[1]}/messages", pageSize=100)
    yield call("GET", "/statistics")
    yield call("DELETE", f"/groups/{group}")
    yield call("GET", "/conversations/list", group_id=1, pageSize=100)


def toolchat(word: str) -> Talk:
    """An account, its token, talk with tools, and the token handed back."""

    def call(method: str, path: str, body: Any = None, token: str | None = None, **query: Any) -> Asked:
        return asked("toolchat", method, f"/api{path}", body, token, **query)

    account = {"username": word, "password": "long-enough"}
    yield call("POST", "/auth/register", {**account, "email": f"{word}@example.com"})
    token = (yield call("POST", "/auth/login", account)).json["data"]["access_token"]
    made = yield call("POST", "/conversations/", {"title": word, "temperature": 1}, token)
    talk = made.json["data"]["id"]
    for path, content in (("/messages/stream", "What is 12 * 7?"), ("/messages/", word)):
        yield call("POST", path, {"conversation_id": talk, "content": content}, token)
    yield call("GET", f"/messages/{talk}", None, token)
    yield call("GET", "/conversations/", None, token)
    yield call("POST", "/auth/logout", None, token)
    yield call("GET", "/auth/me", None, token)


TALKS: dict[str, Callable[[str], Talk]] = {one.__name__: one for one in (dify, ruoyi, plainchat, deskchat, toolchat)}


def held(talk: Talk, send: Callable[[Asked], Told]) -> Iterator[tuple[Asked, Told]]:
    """The talk, call by call, as it is held."""
    try:
        call = next(talk)
        while True:
            told = send(call)
            yield call, told
            call = talk.send(told)
    except StopIteration:
        return


class Talker:
    """Makes calls in one session, straight into the pipeline: no socket, no waiting."""

    def __init__(self, app: App, session: str) -> None:
        self.app = app
        self.session = session

    def __call__(self, call: Asked) -> Told:
        service = self.app.services[call.backend]
        made = Call(call.method, call.path, call.query.encode(), call.headers, call.body, self.session)
        reply = answer(service, self.app.sessions, self.app.settings, made).reply
        if isinstance(reply, Reply):
            return Told(reply.status, reply.headers, reply.body)
        frames = [reply.encode(item) for item in reply.performance.play() if isinstance(item, Event)]
        return Told(reply.status, reply.headers, b"".join(frames))

    def all(self, word: str) -> list[Told]:
        """Every talk, one after the other."""
        return [told for talk in TALKS.values() for _, told in held(talk(word), self)]
