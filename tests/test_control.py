"""The control API does what it says, and only for this machine and its own pages."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import KEYS, Dify
from test_dify_operations import bare

from emulator import __version__, create_app
from emulator.app import App
from emulator.backends.dify.differences import DIFFERENCES
from emulator.contract.document import problems
from emulator.control import behaviours
from emulator.control.api import SPEC
from emulator.control.behaviours import BEHAVIOURS
from emulator.errors import Misused
from emulator.fault import FAULTS
from emulator.settings import Settings
from emulator.testing.server import ThreadedServer

PATIENT = "steps:\n  - say: One moment\n  - wait: 40s\n  - say: and here I am.\n"
ADDRESSES = [("GET", "/_emulator/health"), ("GET", "/_emulator/backends"), ("DELETE", "/_emulator/sessions/nobody")]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedServer]:
    """A server of one backend, with a scenario that waits for long."""
    folder: Path = tmp_path_factory.mktemp("scenarios")
    (folder / "any").mkdir()
    (folder / "any" / "patient.yaml").write_text(PATIENT)
    with ThreadedServer(backends=("dify",), scenarios=folder) as running:
        yield running


def is_problem(reply: httpx.Response, status: int) -> dict[str, Any]:
    """RFC 9457, and nothing for other origins."""
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert not [name for name in reply.headers if name.startswith("access-control-")]
    body: dict[str, Any] = reply.json()
    assert body["status"] == status and body["title"] and body["detail"]
    assert [name for name in body if name != "violations"] == ["type", "title", "status", "detail", "available"]
    return body


# ---- What it does ----


def test_health(one: ThreadedServer) -> None:
    name = "health-counts"
    bare("DELETE", f"{one.url}/_emulator/sessions/{name}")
    before = bare("GET", f"{one.url}/_emulator/health").json()
    assert list(before) == ["status", "version", "uptime", "sessions", "evicted", "feeds"]
    assert (before["status"], before["version"]) == ("ok", __version__)
    bare("GET", f"{one.url}/_s/{name}/dify/v1/")
    assert bare("GET", f"{one.url}/_emulator/health").json()["sessions"] == before["sessions"] + 1


def test_backends(one: ThreadedServer) -> None:
    served = bare("GET", f"{one.url}/_emulator/backends").json()
    assert served["faults"] == list(FAULTS)
    (dify,) = served["backends"]
    assert (dify["name"], dify["base"], len(dify["operations"])) == ("dify", "/dify/v1", 26)
    assert dify["chat_operations"] == ["sendChatMessage"]
    assert dify["api_key"] == KEYS["chat"]
    assert [credential["value"] for credential in dify["credentials"]] == list(KEYS.values())
    assert {"default", "long-answer", "quota-exceeded", "patient"} <= set(dify["scenarios"])
    assert [difference["name"] for difference in dify["differences"]] == [difference.name for difference in DIFFERENCES]
    assert all(list(difference) == ["name", "documented", "observed", "source"] for difference in dify["differences"])
    spec = bare("GET", one.url + dify["spec"]).json()
    assert spec["openapi"] == "3.2.0"


def test_specs_may_be_read_from_anywhere(one: ThreadedServer) -> None:
    for kind, media_type in (("json", "application/json"), ("yaml", "application/yaml")):
        reply = bare("GET", f"{one.url}/dify/openapi.{kind}", headers={"Origin": "https://viewer.example"})
        assert reply.headers["content-type"].startswith(media_type)
        assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.content == one.app.services["dify"].file.read_bytes()


@pytest.mark.parametrize("path", ["/dify/openapi.json", "/_s/a/dify/openapi.yaml"])
def test_specs_are_for_reading(one: ThreadedServer, path: str) -> None:
    asked = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "GET"}
    reply = bare("OPTIONS", one.url + path, headers=asked | {"Access-Control-Request-Headers": "x-viewer"})
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "GET" in reply.headers["access-control-allow-methods"].split(", ")
    assert reply.headers["access-control-allow-headers"] == "*"
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        reply = bare(method, one.url + path, headers={"Origin": "https://viewer.example"})
        assert (reply.status_code, reply.headers["content-type"]) == (405, "application/problem+json")
        assert reply.headers["allow"] == "GET, HEAD, OPTIONS"
        assert reply.headers["access-control-allow-origin"] == "*"
    assert bare("HEAD", one.url + path).status_code == 200


def test_the_page_at_the_root(one: ThreadedServer) -> None:
    reply = bare("GET", one.url + "/")
    assert reply.headers["content-type"].startswith("text/html")
    for text in ("app-emulator-flow", f"{one.url}/dify/v1", "long-answer", "/dify/openapi.json"):
        assert text in reply.text


def test_deleting_a_session(one: ThreadedServer) -> None:
    caller = Dify(one, "to-delete")
    before = [conversation["id"] for conversation in caller.get("/conversations").json()["data"]]
    caller.http.request("DELETE", f"/conversations/{before[0]}", json={"user": caller.user})
    assert len(caller.get("/conversations").json()["data"]) == len(before) - 1
    for _ in range(2):
        reply = bare("DELETE", f"{one.url}/_emulator/sessions/to-delete")
        assert (reply.status_code, reply.content) == (204, b"")
    assert [conversation["id"] for conversation in caller.get("/conversations").json()["data"]] == before
    assert len(one.app.sessions.get("to-delete").journal.entries) == 1
    caller.http.close()


@pytest.mark.parametrize("name", ["a%20b", "x" * 65, "%C3%A9", "a:b"])
def test_deleting_what_is_no_session_name(one: ThreadedServer, name: str) -> None:
    assert is_problem(bare("DELETE", f"{one.url}/_emulator/sessions/{name}"), 400)["title"] == "Bad session name"


def test_deleting_a_session_ends_its_streams(one: ThreadedServer) -> None:
    caller = Dify(one, "streaming")
    body = {"user": "u", "inputs": {}, "query": "/scenario patient", "response_mode": "streaming"}
    begun = time.monotonic()
    deleter: threading.Thread | None = None
    lines: list[str] = []
    with caller.http.stream("POST", "/chat-messages", json=body) as reply:
        for line in reply.iter_lines():
            lines.append(line)
            if deleter is None:
                url = f"{one.url}/_emulator/sessions/streaming"
                deleter = threading.Thread(target=bare, args=("DELETE", url))
                deleter.start()
    assert deleter is not None
    deleter.join()
    assert time.monotonic() - begun < 10
    assert json.loads([line for line in lines if line][-1][6:])["event"] == "message_end"
    assert "here I am" not in "".join(lines)
    caller.http.close()


@pytest.mark.parametrize(
    "path", ["/_emulator", "/_emulator/", "/_emulator/nothing", "/_emulator/sessions/", "/_emulator/sessions/a/b/c"]
)
def test_addresses_that_are_not_there(one: ThreadedServer, path: str) -> None:
    problem = is_problem(bare("GET", one.url + path, follow_redirects=False), 404)
    assert "/_emulator/sessions/{session}/armed" in problem["available"]


def test_other_methods(one: ThreadedServer) -> None:
    for method in ("POST", "PUT", "PATCH", "OPTIONS", "DELETE", "TRACE", "PROPFIND"):
        reply = bare(method, f"{one.url}/_emulator/health", headers={"Origin": "https://evil.example"})
        assert is_problem(reply, 403)
        reply = bare(method, f"{one.url}/_emulator/health")
        assert is_problem(reply, 405)["available"] == ["GET", "HEAD"]
        assert reply.headers["allow"] == "GET, HEAD"
    reply = bare("GET", f"{one.url}/_emulator/sessions/a/fork")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


def test_heads(one: ThreadedServer) -> None:
    for path in ("health", "sessions/a", "sessions/a/journal/live", "openapi.json"):
        reply = bare("HEAD", f"{one.url}/_emulator/{path}")
        assert (reply.status_code, reply.content) == (200, b"")


def test_its_own_document(one: ThreadedServer) -> None:
    assert bare("GET", f"{one.url}/_emulator/openapi.json").json()["openapi"] == "3.2.0"
    reply = bare("GET", f"{one.url}/_emulator/openapi.yaml")
    assert (reply.headers["content-type"], reply.content) == ("application/yaml", SPEC.read_bytes())
    assert problems(SPEC) == []
    assert set(BEHAVIOURS) == set(one.app.control.document.operations)
    assert is_problem(bare("POST", f"{one.url}/_emulator/openapi.json"), 405)
    foreign = {"Origin": "https://viewer.example"}
    assert is_problem(bare("GET", f"{one.url}/_emulator/openapi.json", headers=foreign), 403)


def test_the_schema_of_scenario_files(one: ThreadedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behaviours, "bundled", lambda folder: tmp_path / folder)
    assert is_problem(bare("GET", f"{one.url}/_emulator/scenario-schema.json"), 404)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "scenario.schema.json").write_text('{"type": "object"}')
    reply = bare("GET", f"{one.url}/_emulator/scenario-schema.json")
    assert (reply.headers["content-type"], reply.json()) == ("application/schema+json", {"type": "object"})


def test_a_session_in_front_of_the_address_means_nothing(one: ThreadedServer) -> None:
    assert bare("GET", f"{one.url}/_s/front/_emulator/sessions/other").json()["name"] == "other"
    assert "front" not in one.app.sessions.names()
    evil = {"Host": "evil.example"}
    assert is_problem(bare("DELETE", f"{one.url}/_s/front/_emulator/sessions/other", headers=evil), 403)


def test_beside_all_backends() -> None:
    """Where several are served, an address of none of them is the emulator's to refuse."""
    app = create_app(backends=("dify", "toolchat"), speed=0)
    reply = inside(app, "GET", "/v1/info")
    assert is_problem(reply, 404)["available"][0] == "/dify/v1"


# ---- Whom it answers ----


def test_hosts_of_this_machine(one: ThreadedServer) -> None:
    port = one.url.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", "127.0.0.1", f"localhost:{port}", "LocalHost", f"[::1]:{port}", "[::1]"):
        assert bare("GET", f"{one.url}/_emulator/health", headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "evil.localhost"),
        *("", "127.0.0.1:80@evil.example", "evil.example#127.0.0.1", "0.0.0.0", "192.168.1.7:8787", "[::2]", "[::1"),
        *("::1.evil.example", "127.0.0.1 evil", "a" * 500, "127.0.0.2", "2130706433"),
    ],
)
@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_other_hosts_are_refused(one: ThreadedServer, method: str, path: str, host: str) -> None:
    """DNS rebinding: a page's own name leads here."""
    reply = bare(method, one.url + path, headers={"Host": host})
    assert is_problem(reply, 403)["title"] == "Not a loopback host"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1",
        "http://localhost:1",
        "http://127.0.0.1.evil.example",
        "file://",
        "",
    ],
)
@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_pages_of_others_are_refused(one: ThreadedServer, method: str, path: str, origin: str) -> None:
    reply = bare(method, one.url + path, headers={"Origin": origin})
    assert is_problem(reply, 403)["title"] == "Not the same origin"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_browsers_tell_of_other_sites(one: ThreadedServer, method: str, path: str, site: str) -> None:
    reply = bare(method, one.url + path, headers={"Sec-Fetch-Site": site})
    assert is_problem(reply, 403)["title"] == "Not the same origin"


def test_its_own_page_is_let_in(one: ThreadedServer) -> None:
    for headers in ({"Origin": one.url}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert bare("GET", f"{one.url}/_emulator/health", headers=headers).status_code == 200


def test_what_is_refused_does_not_happen(one: ThreadedServer) -> None:
    one.app.sessions.get("stays")
    bare("DELETE", f"{one.url}/_emulator/sessions/stays", headers={"Origin": "https://evil.example"})
    assert "stays" in [session.name for session in one.app.sessions]


def test_it_never_speaks_to_other_origins(one: ThreadedServer) -> None:
    for method, path in ADDRESSES:
        for headers in (
            {},
            {"Origin": one.url},
            {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"},
        ):
            for way in (method, "OPTIONS"):
                reply = bare(way, one.url + path, headers=headers)
                assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_backends_are_not_guarded(one: ThreadedServer) -> None:
    headers = {"Host": "emulator.test", "Origin": "https://page.example", "Authorization": f"Bearer {KEYS['chat']}"}
    assert bare("GET", f"{one.url}/dify/v1/info", headers=headers).status_code == 200


# ---- Beyond loopback: nothing is bound here, calls stay inside the process ----


def inside(app: App, method: str, path: str, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        # Bytes, for headers that are no ASCII.
        raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://emulator.test") as client:
            return await client.request(method, path, headers=raw)

    return asyncio.run(send())


@pytest.fixture(scope="module")
def wide() -> App:
    return create_app(Settings(backends=("dify",), host="0.0.0.0", speed=0))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_no_token(host: str) -> None:
    assert create_app(backends=("dify",), host=host).token is None


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_beyond_loopback_a_token_is_needed(wide: App, method: str, path: str) -> None:
    assert wide.token is not None and len(wide.token) >= 24
    wrong = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nobody",
        wide.token,
        f"Basic {wide.token}",
        f"Bearer {wide.token}x",
        "Bearer \xe9",
    ]
    for authorization in wrong:
        reply = inside(wide, method, path, Authorization=authorization)
        assert is_problem(reply, 401)["title"] == "Token needed"
    assert is_problem(inside(wide, method, path), 401)
    reply = inside(wide, method, path, Authorization=f"Bearer {wide.token}")
    assert reply.status_code == (204 if method == "DELETE" else 200)
    assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_no_token_is_like_another() -> None:
    made = [create_app(backends=("dify",), host="0.0.0.0").token for _ in range(3)]
    assert len(set(made)) == 3


def test_a_token_of_ones_own() -> None:
    given = create_app(backends=("dify",), host="0.0.0.0", token="a-token.of_mine~1+/==", speed=0)
    assert inside(given, "GET", "/_emulator/health", Authorization="Bearer a-token.of_mine~1+/==").status_code == 200
    assert is_problem(inside(given, "GET", "/_emulator/health", Authorization="Bearer a-token.of_mine"), 401)
    assert create_app(backends=("dify",), token="a-token-of-mine").token is None, "this machine needs none"


@pytest.mark.parametrize("token", ["", "short12", "has a blank", "line\nend12", "tökenized", "12345678\n", "x" * 201])
def test_no_token_of_ones_own(token: str) -> None:
    with pytest.raises(Misused, match="Expected a token") as refused:
        Settings(token=token)
    assert not token or token not in f"{refused.value} {refused.value.detail}", "it may be somebody's secret"


def test_settings_do_not_show_their_token() -> None:
    assert "a-secret-token" not in repr(Settings(token="a-secret-token"))


def test_backends_need_no_token(wide: App) -> None:
    reply = inside(wide, "GET", "/dify/v1/info", Authorization=f"Bearer {KEYS['chat']}")
    assert reply.status_code == 200
