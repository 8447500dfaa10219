"""What was once broken by hostile input, odd clients or broken files, over the wire; each stays mended."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulator.errors import Broken
from emulator.reload import Reloader
from emulator.settings import Settings
from emulator.testing.server import ThreadedServer

DIFY = {"Authorization": "Bearer app-emulator"}
ASK = {"inputs": {}, "query": "Hi", "user": "u"}


def raw(server: ThreadedServer, *pieces: bytes) -> bytes:
    """The first bytes that come back for these, sent one after the other."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        for piece in pieces:
            sock.sendall(piece)
            time.sleep(0.05)
        return sock.recv(65_536)


def test_many_wrong_items_are_refused_at_once(server: ThreadedServer, session_name: str) -> None:
    headers = {**DIFY, "X-Emulator-Session": session_name}
    reply = httpx.post(
        f"{server.url}/dify/v1/chat-messages", headers=headers, json={**ASK, "files": [{}] * 50_000}, timeout=20
    )
    assert (reply.status_code, reply.json()["message"]) == (400, "Number of files exceeds the maximum limit 10")


@pytest.mark.parametrize("blanks", [20_000, 200_000])
def test_blanks_are_no_trouble_for_a_pattern(server: ThreadedServer, session_name: str, blanks: int) -> None:
    headers = {**DIFY, "X-Emulator-Session": session_name}
    body = {**ASK, "conversation_id": " " * blanks + "x"}
    reply = httpx.post(f"{server.url}/dify/v1/chat-messages", headers=headers, json=body, timeout=20)
    assert reply.json()["message"] == "conversation_id must be a valid UUID"


def test_too_many_values_are_refused(server: ThreadedServer, session_name: str) -> None:
    headers = {**DIFY, "X-Emulator-Session": session_name, "Content-Type": "application/json"}
    body = b'{"inputs":{"a":[' + b"1," * 300_000 + b'1]},"query":"x","user":"u"}'
    reply = httpx.post(f"{server.url}/dify/v1/chat-messages", headers=headers, content=body, timeout=20)
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")
    assert "values" in reply.headers["x-emulator-violation"]


def test_an_offered_upgrade_takes_no_body_away(server: ThreadedServer) -> None:
    """Clients that could do HTTP/2 offer it with any call; the body must not become a request of its own."""
    body = json.dumps(ASK).encode()
    head = b"POST /dify/v1/chat-messages HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    head += b"Authorization: Bearer app-emulator\r\nContent-Type: application/json\r\n"
    head += b"X-Emulator-Session: upgrade\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert raw(server, head + body).startswith(b"HTTP/1.1 200 OK")
    assert raw(server, head[:150], head[150:], body).startswith(b"HTTP/1.1 200 OK")
    smuggled = b"DELETE /_emulator/sessions/default HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = (
        b"POST /dify/v1/info HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n"
    )
    assert b" 204 " not in raw(server, head % len(smuggled) + smuggled)


def test_a_head_is_bounded(server: ThreadedServer) -> None:
    head = b"GET /dify/v1/ HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 70_000
    assert raw(server, head).startswith(b"HTTP/1.1 431 ")
    assert raw(server, b"\x16\x03\x01 no request\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_long_numbers_in_a_question(server: ThreadedServer, session_name: str) -> None:
    headers = {"Authorization": "Bearer app-emulator-agent", "X-Emulator-Session": session_name}
    body = {**ASK, "query": "1" * 4_301 + " + 2", "response_mode": "streaming"}
    reply = httpx.post(f"{server.url}/dify/v1/chat-messages", headers=headers, json=body)
    assert reply.status_code == 200
    assert reply.text.rstrip().splitlines()[-1].startswith('data: {"event":"message_end"')


def test_prices_of_nothing_are_plain_decimals(server: ThreadedServer, session_name: str, tmp_path: Path) -> None:
    (tmp_path / "dify").mkdir()
    (tmp_path / "dify/silent.yaml").write_text("steps:\n  - wait: 1s\n")
    with ThreadedServer(speed=0, backends=("dify",), scenarios=tmp_path) as own:
        headers = {**DIFY, "X-Emulator-Scenario": "silent"}
        usage = httpx.post(f"{own.url}/v1/chat-messages", headers=headers, json=ASK).json()["metadata"]["usage"]
    assert usage["completion_price"] == "0.0000000"


def test_files_are_for_who_uploaded_them(server: ThreadedServer, session_name: str) -> None:
    headers = {**DIFY, "X-Emulator-Session": session_name}
    base = f"{server.url}/dify/v1"
    picture = {"file": ("a.png", b"\x89PNG", "image/png")}
    id = httpx.post(f"{base}/files/upload", headers=headers, files=picture, data={"user": "u"}).json()["id"]
    local = [{"type": "image", "transfer_method": "local_file", "upload_file_id": id}]
    assert httpx.post(f"{base}/chat-messages", headers=headers, json={**ASK, "files": local}).status_code == 200
    for user, status in (("u", 200), ("somebody", 404)):
        assert httpx.get(f"{base}/files/{id}/preview", headers=headers, params={"user": user}).status_code == status


# --- files of a user's own

SPEC = """openapi: 3.1.0
info: {title: Own, version: "1"}
servers: [{url: /own}]
paths:
  /hello:
    get:
      operationId: sayHello
      responses:
        RESPONSES
"""
OK = "{description: Hello., content: {application/json: {schema: {const: hi}}}}"


@pytest.mark.parametrize(
    ("responses", "status"),
    [(f"default: {OK}", 200), (f"'2XX': {OK}", 200), (f"'404': {OK}\n        '201': {OK}", 201)],
)
def test_an_own_spec_may_name_its_statuses_as_it_likes(tmp_path: Path, responses: str, status: int) -> None:
    (tmp_path / "own.yaml").write_text(SPEC.replace("RESPONSES", responses))
    with ThreadedServer(speed=0, backends=("own",), specs=tmp_path) as server:
        reply = httpx.get(f"{server.url}/own/hello")
    assert (reply.status_code, reply.json()) == (status, "hi")


@pytest.mark.parametrize("code", ["def broken(:", "import nothing_like_it", "raise SystemExit", "x = 1"])
def test_a_broken_module_of_ones_own_is_told_at_start(tmp_path: Path, code: str) -> None:
    (tmp_path / "dify.py").write_text(code)
    with pytest.raises(Broken, match=r"dify\.py"):
        ThreadedServer(speed=0, backends=("dify",), modules=tmp_path)


def test_a_module_that_names_no_operation_is_told_at_start(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SPEC.replace("RESPONSES", f"'200': {OK}"))
    (tmp_path / "own.py").write_text(
        "from emulator.backends import Backend\n"
        "BACKEND = Backend(name='own', title='Own', behaviours={'sayHallo': None}, authenticate=None, refuse=None,"
        " populate=None)\n"
    )
    with pytest.raises(Broken, match="did you mean 'sayHello'"):
        ThreadedServer(speed=0, backends=("own",), specs=tmp_path, modules=tmp_path)


def test_files_that_break_while_it_runs_break_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "dify").mkdir()
    told: list[str] = []
    with ThreadedServer(Settings(port=0, speed=0, backends=("dify",), scenarios=tmp_path)) as server:
        reloader = Reloader(server.app.services.values(), told.append)
        (tmp_path / "dify/new.yaml").write_text("steps: [oops")
        (tmp_path / "dify/.#lock.yaml").symlink_to("nowhere")
        (tmp_path / "dify/folder.yaml").mkdir()
        reloader.look()
        assert len(told) == 1 and "new.yaml" in told[0]
        assert httpx.post(f"{server.url}/v1/chat-messages", headers=DIFY, json=ASK).status_code == 200
        (tmp_path / "dify/new.yaml").write_text("steps:\n  - say: healed\n")
        reloader.look()
        headers = {**DIFY, "X-Emulator-Scenario": "new"}
        assert httpx.post(f"{server.url}/v1/chat-messages", headers=headers, json=ASK).json()["answer"] == "healed"


# --- the other backends


def test_an_imported_time_poisons_no_list(server: ThreadedServer, session_name: str) -> None:
    base, headers = f"{server.url}/deskchat/chat", {"X-Emulator-Session": session_name}
    content = b'{"title":"Late","updated_at":"9999-12-31T23:59:59.999999"}'
    assert httpx.post(f"{base}/import", headers=headers, files={"file": ("a.json", content)}).json()["code"] == 200
    for path in ("/conversations/list", "/groups", "/search?keyword=Late"):
        assert httpx.get(base + path, headers=headers).status_code == 200, path


def test_a_conversation_is_exported_once_however_it_is_spelt(server: ThreadedServer, session_name: str) -> None:
    base, headers = f"{server.url}/deskchat/chat", {"X-Emulator-Session": session_name}
    uuid = httpx.post(f"{base}/conversations", headers=headers, json={}).json()["data"]["uuid"]
    body = {"chat_ids": [uuid, uuid.upper(), uuid.capitalize()], "format": "json"}
    assert len(httpx.post(f"{base}/export/batch", headers=headers, json=body).json()) == 1


def test_a_question_is_answered_anew_in_one_place(server: ThreadedServer, session_name: str) -> None:
    base, headers = f"{server.url}/deskchat/chat", {"X-Emulator-Session": session_name}
    uuid = httpx.post(f"{base}/conversations", headers=headers, json={}).json()["data"]["uuid"]
    sent = [
        httpx.post(f"{base}/messages", headers=headers, json={"chat_id": uuid, "content": text}).json()["data"]
        for text in ("one", "two")
    ]
    for _ in range(3):
        body = {"chat_id": uuid, "message_id": sent[0]["message_id"]}
        assert httpx.post(f"{base}/messages/regenerate", headers=headers, json=body).status_code == 200
    listed = httpx.get(f"{base}/conversations/{uuid}/messages", headers=headers).json()["data"]
    assert [one["role"] for one in listed["list"]] == ["user", "user", "assistant"]


def test_the_second_turn_of_a_tool_call_is_taken(server: ThreadedServer, session_name: str) -> None:
    headers = {"Authorization": "Bearer emulator-token", "X-Emulator-Session": session_name}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function"}]},
        {"role": "tool", "content": "rain", "tool_call_id": "call_1"},
    ]
    url = f"{server.url}/ruoyi/dev-api/api/ai/deepseek/chat?provider_id=1"
    reply = httpx.post(url, headers=headers, json={"model": "deepseek-chat", "messages": messages})
    assert reply.json()["data"]["choices"][0]["message"]["content"]


def test_the_framework_words_booleans_and_choices(server: ThreadedServer, session_name: str) -> None:
    base, headers = f"{server.url}/deskchat/chat", {"X-Emulator-Session": session_name}
    (item,) = httpx.get(f"{base}/groups?include_chats=bogus", headers=headers).json()["detail"]
    assert item["type"] == "bool_parsing"
    uuid = httpx.post(f"{base}/conversations", headers=headers, json={}).json()["data"]["uuid"]
    body = {"chat_id": uuid, "content": "x", "message_type": None}
    detail = httpx.post(f"{base}/messages", headers=headers, json=body).json()["detail"]
    assert [one["type"] for one in detail] == ["literal_error"]


def test_who_leaves_while_a_reset_is_under_way_takes_nothing_from_the_store(server: ThreadedServer) -> None:
    """A fault damages the wire only, however soon the client closes its end."""
    body = json.dumps({**ASK, "response_mode": "streaming"}).encode()
    head = b"POST /_s/leaver/dify/v1/chat-messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer app-emulator\r\n"
    head += b"Content-Type: application/json\r\nX-Emulator-Scenario: disconnect-mid-stream\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        received = b""
        while b'"answer":" then"' not in received:
            received += sock.recv(65_536)
    entry = server.app.sessions.get("leaver").journal.entries[-1]
    deadline = time.monotonic() + 10
    while entry.duration_ms is None and time.monotonic() < deadline:
        time.sleep(0.01)
    base, headers = f"{server.url}/_s/leaver/dify/v1", DIFY
    id = httpx.get(f"{base}/conversations?user=u", headers=headers).json()["data"][0]["id"]
    (message,) = httpx.get(f"{base}/messages?user=u&conversation_id={id}", headers=headers).json()["data"]
    assert (entry.closed, message["answer"].endswith("hear it any more.")) == ("cut", True)
