"""Whatever is sent to the control API: a clear refusal, never an error of ours, and nothing has happened."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
import pytest
from control_caller import Control
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emulator.control.api import MOST_BODY
from emulator.settings import Limits
from emulator.testing.server import ThreadedServer

JSON = {"Content-Type": "application/json"}
WRITES = [
    ("PATCH", "/sessions/hostile"),
    ("POST", "/sessions/hostile/armed"),
    ("POST", "/sessions/hostile/fork"),
    ("PUT", "/sessions/hostile/snapshot"),
]
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "not UTF-8": b'{"backend": "\xff"}',
    "a byte order mark": b'\xef\xbb\xbf{"seed": 1}',
    "NUL": b"\x00",
    "NUL in a text": b'{"backend": "\\u0000", "seed": "\\u0000"}',
    "a lone surrogate": b'{"backend": "\\ud800", "to": "\\ud800", "seed": 1, "clock": "\\ud800", "version": 1}',
    "a surrogate in a key": b'{"\\udfff": 1}',
    "deep": b'{"scenario":' * 5_000 + b"1" + b"}" * 5_000,
    "deep lists": b"[" * 100_000,
    "deep but allowed": b'{"backend":"dify","fault":' + b"[" * 90 + b"]" * 90 + b"}",
    "huge": b'{"seed": 1e400, "version": 1}',
    "long": b'{"seed": ' + b"9" * 5_000 + b', "times": ' + b"9" * 5_000 + b"}",
    "NaN": b'{"seed": NaN}',
    "twice": b'{"seed": 1, "seed": 2}',
    "a list": b"[]",
    "a text": b'"seed"',
    "a number": b"1",
    "null": b"null",
    "many members": json.dumps({f"m{number}": 1 for number in range(20_000)}).encode(),
    "many faults": json.dumps({"backend": "dify", "fault": ["reset"] * 20_000}).encode(),
    "a long name": json.dumps({"backend": "d" * 100_000, "to": "d" * 100_000, "clock": "1" * 100_000}).encode(),
    "a long prefer": json.dumps({"backend": "dify", "prefer": "code=" + "4" * 1_000_000}).encode()[:MOST_BODY],
    "a slow pattern": json.dumps(
        {"backend": "dify", "fault": "reset", "when": {"body": {"query": {"matches": "(" * 500}}}}
    ).encode(),
    "a form": b"seed=1&backend=dify&fault=reset",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_bodies(control: Control, method: str, path: str, name: str) -> None:
    begun = time.monotonic()
    reply = control.call(method, path, content=BODIES[name], headers=JSON)
    assert 400 <= reply.status_code < 500, reply.text
    assert time.monotonic() - begun < 5
    assert "hostile" not in control.names()


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/jsonp",
        "é",
    ],
)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_what_a_form_could_post_is_refused(control: Control, method: str, path: str, content_type: str) -> None:
    """A page of somebody else can send these types without asking first."""
    body = b'{"seed": 1, "backend": "dify", "fault": "reset", "to": "x", "version": 1}'
    if path.endswith("fork"):
        body = b'{"to": "x"}'
    headers = {"Content-Type": content_type.encode()}
    problem = control.refused(415, method, path, content=body, headers=headers)
    assert problem["violations"][0]["rule"] == "media_type"
    assert "hostile" not in control.names()


def test_preflights_are_refused(control: Control) -> None:
    for method, path in (*WRITES, ("GET", "/health"), ("GET", "/sessions/hostile/journal/live")):
        asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
        control.refused(403, "OPTIONS", path, headers={"Origin": "https://evil.example", **asked})
        control.refused(405, "OPTIONS", path, headers=asked)


@pytest.mark.parametrize("length", [MOST_BODY + 1, 10**12, 10**30])
def test_too_long(control: Control, length: int) -> None:
    head = f"POST /_emulator/sessions/hostile/armed HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    reply = _raw(control.server, head.encode())
    # Beyond 64 bits it is the parser that refuses.
    assert reply.startswith(b"HTTP/1.1 413 " if length < 2**64 else b"HTTP/1.1 400 ")


def test_too_long_in_pieces(control: Control) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(MOST_BODY // 65_536 + 2):
            yield b" " * 65_536

    # It may be let go before it has sent all.
    with contextlib.suppress(httpx.TransportError):
        control.refused(413, "PATCH", "/sessions/hostile", content=pieces(), headers=JSON)
    assert "hostile" not in control.names()


def test_stalls() -> None:
    head = b"PATCH /_emulator/sessions/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with ThreadedServer(backends=("dify",), speed=0, limits=Limits(send_seconds=0.2)) as own:
        for rest in (b"Content-Length: 10\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"):
            reply = _raw(own, head + rest)
            assert reply.startswith(b"HTTP/1.1 408 ") and b"application/problem+json" in reply
        assert _raw(own, b"DELETE" + head[5:] + b"Content-Length: 10\r\n\r\n{").startswith(b"HTTP/1.1 204 ")


def test_who_leaves_in_the_middle(control: Control) -> None:
    head = b"PATCH /_emulator/sessions/hostile HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(_address(control.server)) as sock:
        sock.sendall(head + b"Content-Length: 10\r\n\r\n{")
    control.ok("GET", "/health")
    assert "hostile" not in control.names()


def test_the_guard_comes_before_the_body(control: Control) -> None:
    head = b"PATCH /_emulator/sessions/x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 100000000\r\n\r\n"
    assert _raw(control.server, head).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"Host: localhost\r\nHost: evil.example\r\n",
        b"Host: evil.example\r\nHost: localhost\r\n",
        b"Host: localhost\r\nOrigin: http://localhost\r\nOrigin: https://evil.example\r\n",
        b"Host: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
        b"Host: local\xe9host\r\n",
    ],
)
def test_headers_that_stand_twice_or_not_at_all(control: Control, lines: bytes) -> None:
    reply = _raw(control.server, b"GET /_emulator/health HTTP/1.1\r\n" + lines + b"\r\n")
    assert reply.startswith(b"HTTP/1.1 40")


@pytest.mark.parametrize(
    "path",
    [
        *("//health", "/./health", "/%68ealth/x", "/sessions//journal", "/%00", "/%ff", "/sessions/a%2fb", "/;x"),
        *("/sessions/..%2f..", "?x", "/health/", "/health?x=1", "/" + "a/" * 5_000),
    ],
)
def test_paths(control: Control, path: str) -> None:
    reply = _raw(control.server, f"GET /_emulator{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert reply.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")) and b"application/problem+json" in reply


def test_an_encoded_name_is_a_name(control: Control, session_name: str) -> None:
    """Each segment is decoded on its own; no address of the control API has another spelling beside."""
    encoded = "".join(f"%{ord(letter):02x}" for letter in session_name)
    assert control.ok("GET", f"/sessions/{encoded}")["name"] == session_name
    reply = _raw(control.server, b"GET /%5femulator/health HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 404 ")


# ---- Anything at all ----

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(["dify", "toolchat", "sendChatMessage", "default", "reset", "code=429", "truncate", "x", "90s"])
NAMES = st.sampled_from(
    [
        *("backend", "operation", "scenario", "prefer", "fault", "when", "times", "seed", "speed", "profile", "clock"),
        *("advance", "states", "to", "version", "steps", "say", "body", "nth", "event", "for", "refuse"),
    ]
)
BODY: Any = st.dictionaries(NAMES, WORDS | VALUES | st.dictionaries(NAMES, WORDS | VALUES, max_size=3), max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(WRITES), BODY | VALUES)
@example(("POST", "/sessions/hostile/armed"), {"backend": "dify", "scenario": {"steps": [{"say": "{{ 1/0 }}"}]}})
def test_any_json(control: Control, where: tuple[str, str], body: Any) -> None:
    method, path = where
    text = json.dumps(body).encode()
    reply = control.call(method, path, content=text, headers=JSON)
    control.ok("GET", "/sessions/hostile")
    control.ok("GET", "/sessions/hostile/armed")
    if reply.status_code < 300:
        control.ok("DELETE", "/sessions/hostile")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(WRITES), st.binary(max_size=200))
def test_any_bytes(control: Control, where: tuple[str, str], body: bytes) -> None:
    assert control.call(*where, content=body, headers=JSON).status_code in (400, 415)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=20), st.binary(max_size=20))
def test_any_address(control: Control, path: bytes, query: bytes) -> None:
    quoted = quote_from_bytes(path, safe="")
    if quoted != "live":
        reply = control.call("GET", f"/sessions/hostile/journal/{quoted}?{quote_from_bytes(query, safe='=&')}")
        assert reply.status_code in (200, 400, 404)


def _address(server: ThreadedServer) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return host, int(port)


def _raw(server: ThreadedServer, data: bytes) -> bytes:
    """The first bytes that come back for these."""
    with socket.create_connection(_address(server), timeout=10) as sock:
        sock.sendall(data)
        return sock.recv(65_536)
