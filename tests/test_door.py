"""What JSON and HTTP do not allow is refused at the door with a 4xx that says where, over a real socket, and leaves
nothing behind that could fail later. Source: CONTRACT.md, "Pitfalls in a server", 12 to 16."""

from __future__ import annotations

import http.client
import json
import math
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from conftest import KEYS, Dify
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_dify_operations import OPERATIONS, Ids, good_calls, part

from emulator.contract import door
from emulator.contract.door import Unreadable, media_type, read_json, read_multipart, read_query
from emulator.settings import Limits
from emulator.testing.server import ThreadedServer

DEEP = 100_000


# ---- JSON ----

BAD_JSON: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "line 1 column"),
    "blank": (b"  \n ", "line 2 column 2"),
    "cut": (b'{"question": "a", ', "line 1 column"),
    "two": (b"{} {}", "line 1 column"),
    "nul": (b'{"question": "a\x00"}', "line 1 column"),
    "nul-outside": (b"\x00{}", "line 1 column"),
    "control": (b'{"question": "a\nb"}', "line 1 column"),
    "utf-8": (b'{"question": "\xff"}', "byte 14"),
    "utf-8-cut": (b'{"question": "\xe5\x90', "byte 14"),
    "utf-8-surrogate": (b'{"question": "\xed\xa0\x80"}', "byte 14"),
    "utf-8-overlong": (b'{"question": "\xc0\x80"}', "byte 14"),
    "utf-16": ('{"question": "a"}'.encode("utf-16"), "byte 0"),
    "utf-32": ('{"question": "a"}'.encode("utf-32-le"), "line 1 column"),
    "bom": (b'\xef\xbb\xbf{"question": "a"}', "byte order mark at byte 0"),
    "surrogate": (rb'{"question": "a", "answer": "\ud800"}', "a lone surrogate"),
    "surrogate-low": (rb'{"question": "a", "answer": "\uDC00"}', "a lone surrogate"),
    "surrogates-swapped": (rb'{"question": "a", "answer": "\udc00\ud800"}', "a lone surrogate"),
    "surrogate-key": (rb'{"question": "a", "answer": "b", "\ud83d": 1}', "a lone surrogate"),
    "surrogate-deep": (rb'{"question": "a", "answer": "b", "c": [[{"d": "\ud83dx"}]]}', "a lone surrogate"),
    "1e400": (b'{"question": "a", "answer": 1e400}', "1e400"),
    "-1e400": (b'{"question": "a", "answer": -1e400}', "-1e400"),
    "1e400-unknown": (b'{"question": "a", "answer": "b", "c": [1E+999]}', "1E+999"),
    "NaN": (b'{"question": "a", "answer": NaN}', "NaN"),
    "Infinity": (b'{"question": "a", "answer": Infinity}', "Infinity"),
    "-Infinity": (b'{"question": "a", "answer": "b", "c": -Infinity}', "-Infinity"),
    "twice": (b'{"question": "a", "answer": "b", "question": "c"}', "'question' twice"),
    "twice-escaped": (rb'{"question": "a", "answer": "b", "\u0061nswer": "c"}', "'answer' twice"),
    "twice-deep": (b'{"question": "a", "answer": "b", "c": [{"d": 1, "d": 1}]}', "'d' twice"),
    "deep-arrays": (b"[" * DEEP + b"]" * DEEP, "nesting deeper than 100"),
    "deep-arrays-open": (b"[" * DEEP, "nesting deeper than 100"),
    "deep-objects": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "nesting deeper than 100"),
    "deep-member": (b'{"question": "a", "answer": "b", "c": ' + b"[" * 100 + b"]" * 100 + b"}", "deeper than 100"),
    "digits": (b'{"question": "a", "answer": ' + b"9" * 5000 + b"}", "5000 digits"),
    "digits-negative": (b'{"question": "a", "answer": "b", "c": -' + b"1" * 5000 + b"}", "5000 digits"),
    "hex": (b'{"question": 0x10}', "line 1 column"),
    "octal": (b'{"question": 010}', "line 1 column"),
    "comment": (b'{"question": "a" /* b */}', "line 1 column"),
    "trailing-comma": (b'{"question": "a",}', "line 1 column"),
    "quotes": (b"{'question': 'a'}", "line 1 column"),
}


def still_answers(caller: Dify) -> None:
    """Every list of the store can be read."""
    for path in ("/conversations", "/apps/annotations", "/app/feedbacks", "/parameters"):
        assert caller.get(path).status_code == 200
    newest = caller.get("/conversations").json()["data"][0]["id"]
    assert caller.get("/messages", conversation_id=newest).status_code == 200


@pytest.mark.parametrize("name", BAD_JSON)
def test_bodies_that_are_no_json(dify: Dify, name: str) -> None:
    body, where = BAD_JSON[name]
    for path in ("/apps/annotations", "/chat-messages"):
        reply = dify.http.post(path, content=body, headers={"Content-Type": "application/json"})
        assert (reply.status_code, reply.json()["code"], reply.json()["status"]) == (400, "bad_request", 400)
        assert where in reply.headers["X-Emulator-Violation"]
    with pytest.raises(Unreadable) as refusal:
        read_json(body)
    assert where in str(refusal.value)
    still_answers(dify)


ODD_JSON: dict[str, tuple[bytes, Any]] = {
    "pair": (rb'"\ud83d\ude00"', "😀"),
    "nul": (rb'"\u0000"', "\x00"),
    "noncharacter": (rb'"\uffff"', "\uffff"),
    "line-separator": ('"\u2028"'.encode(), "\u2028"),
    "escaped-backslash": (rb'"\\ud800"', r"\ud800"),
    "digits": (b"1" * 400, int("1" * 400)),
    "long-float": (b"0." + b"1" * 5000, float("0." + "1" * 5000)),
    "tiny": (b"1e-400", 0.0),
    "largest": (b"1.7976931348623157e308", 1.7976931348623157e308),
    "minus-zero": (b"-0.0", -0.0),
    "depth": (b"[" * 100 + b"]" * 100, json.loads("[" * 100 + "]" * 100)),
    "braces-in-text": (b'"' + b"[{" * 5000 + b'"', "[{" * 5000),
    "quotes-in-text": (b'["' + b'\\"[' * 5000 + b'"]', ['"[' * 5000]),
    "many-but-flat": (b"[" + b"[]," * 500 + b"[]]", [[]] * 501),
    "white-space": (b"\t\r\n 1 \n", 1),
}


@pytest.mark.parametrize("name", ODD_JSON)
def test_odd_json_is_json(dify: Dify, name: str) -> None:
    body, value = ODD_JSON[name]
    assert read_json(body) == value
    whole = b'{"question": "a", "answer": "b", "c": ' + body + b"}"
    if name == "depth":  # One level is the body's own.
        whole = whole.replace(b"[[", b"[", 1).replace(b"]]", b"]", 1)
    reply = dify.http.post("/apps/annotations", content=whole, headers={"Content-Type": "application/json"})
    assert reply.status_code == 201


@pytest.mark.parametrize(
    "value",
    [10**399, -(10**399), 2**64, 1e308, -0.0, "\x00\x7f\u2028😀", [[]] * 50, {"": {"": None}}],
    ids=lambda value: repr(value)[:12],
)
def test_whatever_is_stored_can_be_sent_again(dify: Dify, value: Any) -> None:
    ids = Ids()
    path = f"/conversations/{ids.conversation}/variables"
    reply = dify.http.put(f"{path}/{ids.variable}", json={"value": value, "user": ids.user})
    assert reply.status_code == 200
    shown = dify.http.get(path, params={"user": ids.user}).json()["data"][0]["value"]
    assert shown == reply.json()["value"]
    assert (shown if isinstance(value, str) else json.loads(shown)) == value


JSON_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | JSON_TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(JSON_TEXT, inner, max_size=4), max_leaves=20
)
STRICTER = ("byte order mark", "surrogate", "twice", "out of range", "deeper", "digits", "no JSON value")


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=150)
def test_read_json_reads_what_is_written(value: Any, ascii: bool, indent: int | None) -> None:
    assert same(read_json(json.dumps(value, ensure_ascii=ascii, indent=indent).encode()), value)


TOKENS = """{ } [ ] , : "a" "b" "" 1 -1 0 1.5 1e5 1e999 -0 01 NaN Infinity true false null \\ " \\ud800 \\ude00 \\u00e9
é 😀 x"""
SNIPPETS = st.sampled_from([*TOKENS.split(), " ", "\n", "\t", "\x00", "\ufeff"])
JSON_LIKE = st.lists(SNIPPETS, max_size=12).map("".join)


@given(st.one_of(st.binary(max_size=30), JSON_LIKE.map(str.encode), VALUES.map(json.dumps).map(str.encode)))
@settings(max_examples=500)
@example(b'{"a":1,"a":2}')
@example(b"\xef\xbb\xbf1")
def test_read_json_agrees_with_json_loads(body: bytes) -> None:
    """Wherever it accepts, it is what `json.loads` makes of the text; where only it refuses, it says why."""
    why = ""
    value = None
    try:
        value = read_json(body)
    except Unreadable as refusal:
        why = str(refusal)
    try:
        wanted = json.loads(body.decode("utf-8"))
    except ValueError:
        assert why
    else:
        assert same(value, wanted) if not why else any(word in why for word in STRICTER)


# ---- Queries ----

BAD_QUERIES: dict[str, tuple[str, str, str]] = {
    "1_0": ("/conversations", "limit=1_0", "/limit"),
    "blank": ("/conversations", "limit=%205", "/limit"),
    "plus-is-blank": ("/conversations", "limit=+5", "/limit"),
    "plus": ("/conversations", "limit=%2B5", "/limit"),
    "arabic": ("/conversations", "limit=%D9%A3", "/limit"),
    "full-width": ("/conversations", "limit=%EF%BC%95", "/limit"),
    "superscript": ("/conversations", "limit=%C2%B2", "/limit"),
    "float": ("/conversations", "limit=5.0", "/limit"),
    "exponent": ("/conversations", "limit=1e1", "/limit"),
    "hex": ("/conversations", "limit=0x5", "/limit"),
    "newline": ("/conversations", "limit=5%0A", "/limit"),
    "empty": ("/conversations", "limit=", "/limit"),
    "nameless": ("/conversations", "limit", "/limit"),
    "digits": ("/conversations", "limit=" + "5" * 5000, "/limit"),
    "twice": ("/conversations", "limit=5&limit=5", "/limit"),
    "twice-mixed": ("/conversations", "limit=5&li%6Dit=6", "/limit"),
    "user-twice": ("/conversations", "user=a&user=b", "/user"),
    "cursor-twice": ("/conversations", "last_id=&last_id=", "/last_id"),
    "page": ("/app/feedbacks", "page=1_0", "/page"),
    "page-digits": ("/apps/annotations", "page=" + "1" * 401, "/page"),
    "boolean": (f"/files/{Ids().file}/preview", "as_attachment=yes", "/as_attachment"),
    "boolean-2": (f"/files/{Ids().file}/preview", "as_attachment=2", "/as_attachment"),
    "boolean-empty": (f"/files/{Ids().file}/preview", "as_attachment=", "/as_attachment"),
    "nul": ("/conversations", "user=a%00", "query"),
    "nul-name": ("/conversations", "%00=a", "query"),
    "utf-8": ("/conversations", "user=%FF", "query"),
    "utf-8-cut": ("/apps/annotations", "keyword=%E5%90", "query"),
    "surrogate": ("/apps/annotations", "keyword=%ED%A0%80", "query"),
    "unknown-utf-8": ("/info", "whatever=%FF", "query"),
}


@pytest.mark.parametrize("name", BAD_QUERIES)
def test_queries_that_are_refused(dify: Dify, name: str) -> None:
    path, query, where = BAD_QUERIES[name]
    reply = dify.http.get(f"{path}?{query}")
    if name == "unknown-utf-8":  # Nothing is asked of it where no query is documented; it may be ignored.
        assert reply.status_code in (200, 400)
        return
    assert (reply.status_code, reply.json()["code"], reply.json()["status"]) == (400, "invalid_param", 400)
    assert where in reply.headers["X-Emulator-Violation"]
    still_answers(dify)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/conversations", "limit=100"),
        ("/conversations", "limit=007"),
        ("/conversations", "&&limit=5&"),
        ("/conversations", "%6Cimit=%35"),
        ("/conversations", "user="),
        ("/conversations", "user=%F0%9F%98%80"),
        ("/conversations", "other=1&other=2"),
        ("/apps/annotations", "page=" + "9" * 400),
        ("/apps/annotations", "page=-" + "9" * 300 + "&limit=-" + "9" * 300),
        ("/apps/annotations", "limit=" + "9" * 300),
        ("/apps/annotations", "keyword=" + "x" * 50_000),
        ("/apps/annotations", "keyword=%"),
        ("/apps/annotations", "keyword=%ZZ"),
    ],
    ids=lambda value: value[:30],
)
def test_odd_queries_that_are_fine(dify: Dify, path: str, query: str) -> None:
    assert dify.http.get(f"{path}?{query}").status_code == 200


QUERY_TEXT = st.text(st.sampled_from("ab=&+%2026CE9F0;/?é x"), max_size=30)
QUERY_BYTES = st.one_of(QUERY_TEXT.map(str.encode), st.binary(max_size=20))


@given(QUERY_BYTES)
@settings(max_examples=400)
@example(b"a=1&a=2&b")
@example(b"%00=%FF")
def test_read_query_agrees_with_urllib(query: bytes) -> None:
    ascii = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in query)
    reference: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(ascii, keep_blank_values=True, errors="strict"):
            reference.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        with pytest.raises(Unreadable):
            read_query(query)
        return
    if any("\x00" in text for name, values in reference.items() for text in (name, *values)):
        with pytest.raises(Unreadable, match="NUL"):
            read_query(query)
        return
    assert read_query(query) == reference


# ---- Paths, over a socket: clients normalise them ----


def exchange(server: ThreadedServer, data: bytes, *more: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send exact bytes on a connection of their own; status, headers and body of what comes back."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        try:
            sock.sendall(data)
            for piece in more:
                sock.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused before everything was sent; the answer may be there all the same.
        reply = http.client.HTTPResponse(sock)
        reply.begin()
        return reply.status, reply.headers, reply.read()


HEAD = b"Host: 127.0.0.1\r\nAuthorization: Bearer app-emulator\r\nConnection: close\r\n"


def request(target: bytes, method: bytes = b"GET", headers: bytes = b"", body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return method + b" " + target + b" HTTP/1.1\r\n" + HEAD + headers + length + b"\r\n" + body


BAD_PATHS: dict[str, tuple[bytes, int, str | None]] = {
    "nul": (b"/dify/v1/messages/%00/suggested?user=a", 400, "bad_request"),
    "utf-8": (b"/dify/v1/messages/%FF/suggested?user=a", 400, "bad_request"),
    "utf-8-cut": (b"/dify/v1/conversations/%E5%90/variables", 400, "bad_request"),
    "surrogate": (b"/dify/v1/end-users/%ED%A0%80", 400, "bad_request"),
    "utf-8-unknown": (b"/dify/v1/%FF", 400, "bad_request"),
    "slash": (b"/dify/v1/end-users/a%2Fb", 404, "end_user_not_found"),
    "slash-and-id": (b"/dify/v1/end-users%2F" + Ids().end_user.encode(), 404, "not_found"),
    "slash-in-literal": (b"/dify/v1%2Finfo", 404, "not_found"),
    "empty": (b"/dify/v1/end-users/", 404, "not_found"),
    "empty-inside": (b"/dify/v1/conversations//variables", 404, "not_found"),
    "empty-first": (b"/dify//v1/info", 404, "not_found"),
    "dots": (b"/dify/v1/../v1/info", 404, "not_found"),
    "escaped-dots": (b"/dify/v1/%2E%2E/info", 404, "not_found"),
    "percent": (b"/dify/v1/end-users/%", 404, "end_user_not_found"),
    "half-percent": (b"/dify/v1/end-users/%4", 404, "end_user_not_found"),
    "no-hex": (b"/dify/v1/end-users/%zz", 404, "end_user_not_found"),
    "blank": (b"/dify/v1/end-users/%20", 404, "end_user_not_found"),
    "semicolon": (b"/dify/v1/info;v=1", 404, "not_found"),
    "long": (b"/dify/v1/end-users/" + b"a" * 60_000, 404, "end_user_not_found"),
    "many": (b"/dify/v1" + b"/a" * 20_000, 404, "not_found"),
    "high-bytes": (b"/dify/v1/end-users/\xff\xfe", 400, None),
    "high-utf-8": ("/dify/v1/end-users/é".encode(), 400, None),
}


@pytest.mark.parametrize("name", BAD_PATHS)
def test_paths_that_are_refused(server: ThreadedServer, dify: Dify, name: str) -> None:
    target, status, code = BAD_PATHS[name]
    got, headers, body = exchange(server, request(target))
    if code is None:  # No address has such bytes: whether HTTP or the backend says so is not ours.
        assert 400 <= got < 500
    else:
        assert (got, json.loads(body)["code"], headers["Content-Type"]) == (status, code, "application/json")
    still_answers(dify)


def test_a_segment_is_decoded_once(server: ThreadedServer) -> None:
    ids = Ids()
    escaped = "".join(f"%{ord(character):02X}" for character in ids.end_user)
    assert exchange(server, request(f"/dify/v1/end-users/{escaped}".encode()))[0] == 200
    twice = escaped.replace("%", "%25")
    assert exchange(server, request(f"/dify/v1/end-users/{twice}".encode()))[0] == 404


@pytest.mark.parametrize(
    "target", [b"*", b"http://elsewhere/dify/v1/info", b"//dify/v1/info", b"?", b"/dify/v1/info#a", b"dify/v1/info"]
)
def test_targets_of_other_forms(server: ThreadedServer, dify: Dify, target: bytes) -> None:
    status, _, _ = exchange(server, request(target, b"OPTIONS" if target == b"*" else b"GET"))
    assert status < 500
    still_answers(dify)


# ---- Headers ----


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        (b"X-Long: " + b"a" * 60_000 + b"\r\n", {200, 400, 431}),
        (b"".join(b"X-%d: a\r\n" % n for n in range(2_000)), {200, 400, 431}),
        (b"X-" + b"a" * 60_000 + b": b\r\n", {200, 400, 431}),
        (b"X-Bytes: \xff\xfe\r\n", {200, 400}),
        (b"X-Nul: a\x00b\r\n", {400}),
        (b"No colon\r\n", {400}),
        (b"Content-Length: -1\r\n", {400}),
        (b"Content-Length: 1_0\r\n", {400}),
        (b"Content-Length: \xb2\r\n", {400}),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n", {400}),
        (b"Transfer-Encoding: nothing\r\n", {400, 501}),
        (b"X-Emulator-Session: \xe5\x90\x8d\r\n", {400}),
        (b"X-Emulator-Session: " + b"a" * 60_000 + b"\r\n", {400, 431}),
        (b"X-Emulator-Scenario: " + b"\xff" * 1000 + b"\r\n", {400}),
        (b"Prefer: code=" + b"\xff" * 1000 + b"\r\n", {400}),
        (b"Prefer: " + b"code=1," * 5_000 + b"\r\n", {400, 431}),
        (b"Origin: \xff\r\n", {200, 400}),
        (b"Accept: */*;q=\xff\r\n", {200, 400}),
    ],
    ids=lambda value: value[:28].decode("latin-1").strip() if isinstance(value, bytes) else None,
)
def test_headers_of_all_kinds(server: ThreadedServer, dify: Dify, headers: bytes, statuses: set[int]) -> None:
    status, _, _ = exchange(server, request(b"/dify/v1/info", headers=headers))
    assert status in statuses
    still_answers(dify)


@pytest.mark.parametrize("key", [b"Bearer \xff\xff", b"Bearer " + b"a" * 60_000, b"\xe5\x90\x8d", b"Bearer \t"])
def test_keys_of_all_kinds(server: ThreadedServer, key: bytes) -> None:
    data = b"GET /dify/v1/info HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: " + key + b"\r\n\r\n"
    status, _, body = exchange(server, data)
    assert (status, json.loads(body)["code"]) == (401, "unauthorized")


def test_a_text_on_the_wire_cannot_break_a_header(dify: Dify) -> None:
    """What a violation shows of a call stays in one line of ASCII."""
    for value in ("a\r\nX-Evil: 1", "\x00\x7f", "名" * 500, "\u2028"):
        reply = dify.post("/chat-messages", inputs={}, query="Hi", response_mode=value)
        assert reply.status_code == 400
        shown = reply.headers["X-Emulator-Violation"]
        assert shown.isascii() and shown.isprintable() and len(shown) <= 1000
        assert "X-Evil" not in reply.headers


@pytest.mark.parametrize(
    "noise", [b"\x00" * 100, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_http(server: ThreadedServer, dify: Dify, noise: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(noise)
        sock.shutdown(socket.SHUT_WR)
        answer = sock.recv(1000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    still_answers(dify)


# ---- Multipart ----

FORM = "multipart/form-data; boundary=limit"
FILE = part("file", b"x", "a.png", "image/png")
END = b"--limit--\r\n"
BAD_FORMS: dict[str, tuple[str, bytes, str]] = {
    "empty": (FORM, b"", "no_file_uploaded"),
    "only-the-end": (FORM, END, "no_file_uploaded"),
    "no-boundary": ("multipart/form-data", FILE + END, "bad_request"),
    "empty-boundary": ("multipart/form-data; boundary=", FILE + END, "bad_request"),
    "other-boundary": ("multipart/form-data; boundary=other", FILE + END, "bad_request"),
    "cut-in-data": (FORM, FILE[:-3], "bad_request"),
    "cut-in-headers": (FORM, FILE[:30], "bad_request"),
    "cut-before-end": (FORM, FILE, "bad_request"),
    "cut-in-boundary": (FORM, b"--lim", "bad_request"),
    "too-many-parts": (FORM, part("a", b"") * 1001 + END, "bad_request"),
    "no-name": (FORM, b"--limit\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END, "bad_request"),
    "no-headers": (FORM, b"--limit\r\n\r\nx\r\n" + END, "bad_request"),
    "no-disposition": (FORM, b"--limit\r\nContent-Type: image/png\r\n\r\nx\r\n" + END, "bad_request"),
    "bad-header": (FORM, b"--limit\r\nContent Disposition: x\r\n\r\nx\r\n" + END, "bad_request"),
    "no-multipart-at-all": (FORM, b'{"file": "a"}', "bad_request"),
    "bytes": (FORM, bytes(range(256)), "bad_request"),
    "long-boundary": ("multipart/form-data; boundary=" + "b" * 5_000, FILE + END, "bad_request"),
    "json-in-a-form": ("multipart/form-data; boundary=limit; boundary=other", b"{}", "bad_request"),
}


@pytest.mark.parametrize("name", BAD_FORMS)
def test_forms_that_are_refused(dify: Dify, name: str) -> None:
    kind, body, code = BAD_FORMS[name]
    for path, nothing in (("/files/upload", "no_file_uploaded"), ("/audio-to-text", "no_audio_uploaded")):
        reply = dify.http.post(path, content=body, headers={"Content-Type": kind})
        wanted = nothing if code == "no_file_uploaded" else code
        assert (reply.status_code, reply.json()["code"]) == (400, wanted), reply.text
        assert "body" in reply.headers["X-Emulator-Violation"]
    still_answers(dify)


ODD_FORMS: dict[str, tuple[str, bytes]] = {
    "preamble": (FORM, b"hello\r\n" + FILE + END),
    "epilogue": (FORM, FILE + END + b"bye"),
    "no-final-newline": (FORM, FILE + END[:-2]),
    "quoted-boundary": ('multipart/form-data; boundary="limit"', FILE + END),
    "case": ("Multipart/Form-Data; BOUNDARY=limit", FILE + END),
    "a-thousand-parts": (FORM, part("a", b"") * 999 + FILE + END),
    "boundary-in-data": (FORM, part("file", b"--limit", "a.png", "image/png") + END),
    "nul-in-name": (FORM, part("file", b"x", "a\x00.png", "image/png") + END),
    "bytes-in-name": (FORM, FILE.replace(b"a.png", b"\xff\xfe.png") + END),
    "nul-in-user": (FORM, part("user", b"a\x00b") + FILE + END),
    "bytes-in-user": (FORM, part("user", b"\xff") + FILE + END),
    "user-as-file": (FORM, part("user", b"x", "") + FILE + END),
    "users": (FORM, part("user", b"a") + part("user", b"b") + FILE + END),
    "odd-type": (FORM, part("file", b"x", "a.png", "\x01 é\x7f;;") + END),
    "html-name": (FORM, part("file", b"x", "<a>'.png", "image/png") + END),
}


@pytest.mark.parametrize("name", ODD_FORMS)
def test_odd_forms_leave_nothing_that_fails_later(dify: Dify, name: str) -> None:
    kind, body = ODD_FORMS[name]
    reply = dify.http.post("/files/upload", content=body, headers={"Content-Type": kind})
    assert reply.status_code in (201, 400)
    if reply.status_code == 201:
        kept = reply.json()
        person = dify.get(f"/end-users/{kept['created_by']}")
        assert person.status_code == 200
        user = person.json()["session_id"]
        sent = {"type": "custom", "transfer_method": "local_file", "upload_file_id": kept["id"]}
        body_json = {"inputs": {}, "query": "Look", "files": [sent], "user": user}
        assert dify.http.post("/chat-messages", json=body_json).status_code == 200
        for query in ({}, {"as_attachment": "true"}):
            assert dify.http.get(f"/files/{kept['id']}/preview", params=query).status_code == 200
    still_answers(dify)


def test_parts_as_they_came() -> None:
    body = part("a", b"1\r\n2") + part("f", b"", "", "") + part("f", b"\x00", "x y.png", "image/png; a=b") + END
    one, two, three = read_multipart(body, FORM)
    assert (one.name, one.data, one.filename, one.content_type) == ("a", b"1\r\n2", None, None)
    assert (two.name, two.data, two.filename) == ("f", b"", "")
    assert (three.name, three.data, three.filename, three.content_type) == ("f", b"\x00", "x y.png", "image/png; a=b")


PIECES = st.sampled_from(
    [
        *(b"--limit", b"--limit--", b"limit", b"--", b"\r\n", b"\r\n\r\n", b"\n", b": ", b"x", b"\x00", b"\xff", b'"'),
        *(b'Content-Disposition: form-data; name="a"', b"; filename=x", b"filename*=UTF-8''%ff", b"Content-Type: a/b"),
    ]
)


@given(
    st.one_of(st.lists(PIECES, max_size=14).map(b"".join), st.binary(max_size=60)),
    st.sampled_from(
        [FORM, "multipart/form-data", "multipart/form-data; boundary=\xff", 'multipart/x; boundary="', ";", ""]
    )
    | st.text(st.characters(max_codepoint=255), max_size=30).map("multipart/form-data; boundary=".__add__),
)
@settings(max_examples=400)
def test_read_multipart_never_fails_in_another_way(body: bytes, kind: str) -> None:
    try:
        parts = read_multipart(body, kind)
    except Unreadable:
        return
    assert all(one.data in body for one in parts)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("application/json", "application/json"), (" Text/HTML ; charset=x", "text/html"), ("", ""), (";", "")],
)
def test_media_type(given: str, wanted: str) -> None:
    assert media_type(given) == wanted


# ---- Size ----


@pytest.fixture(scope="module")
def small() -> Iterator[ThreadedServer]:
    """A server that takes little."""
    limits = Limits(body_bytes=2_000, text_body_bytes=1_000)
    with ThreadedServer(backends=("dify",), speed=0, limits=limits) as running:
        yield running


JSON_TYPE = b"Content-Type: application/json\r\n"
FORM_TYPE = b"Content-Type: multipart/form-data; boundary=limit\r\n"


def annotation(size: int) -> bytes:
    """A JSON body of exactly so many bytes."""
    start, end = b'{"question": "a", "answer": "', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def chunked(body: bytes, size: int = 100) -> list[bytes]:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return [*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


def test_a_body_up_to_the_limit(small: ThreadedServer) -> None:
    body = annotation(1_000)
    assert exchange(small, request(b"/v1/apps/annotations", b"POST", JSON_TYPE, body))[0] == 201
    head = request(b"/v1/apps/annotations", b"POST", JSON_TYPE + b"Transfer-Encoding: chunked\r\n")
    assert exchange(small, head, *chunked(body))[0] == 201


@pytest.mark.parametrize(
    ("path", "kind", "size", "code"),
    [
        (b"/v1/apps/annotations", JSON_TYPE, 1_001, "request_entity_too_large"),
        (b"/v1/chat-messages", JSON_TYPE, 50_000, "request_entity_too_large"),
        (b"/v1/nothing", JSON_TYPE, 1_001, "request_entity_too_large"),
        (b"/v1/apps/annotations", b"", 1_001, "request_entity_too_large"),
        (b"/v1/files/upload", FORM_TYPE, 2_001, "file_too_large"),
        (b"/v1/audio-to-text", FORM_TYPE, 2_001, "audio_too_large"),
    ],
)
@pytest.mark.parametrize("way", ["length", "chunks"])
def test_a_body_beyond_the_limit(
    small: ThreadedServer, path: bytes, kind: bytes, size: int, code: str, way: str
) -> None:
    if way == "length":
        got, headers, body = exchange(small, request(path, b"POST", kind, annotation(size)))
    else:
        head = request(path, b"POST", kind + b"Transfer-Encoding: chunked\r\n")
        got, headers, body = exchange(small, head, *chunked(annotation(size)))
    error = json.loads(body)
    assert (got, error["status"], error["code"]) == (413, 413, code)
    assert headers["Connection"] == "close"
    assert exchange(small, request(b"/v1/conversations"))[0] == 200


@pytest.mark.parametrize("length", [b"1001", b"9" * 19, b"9" * 15])
def test_a_length_is_believed_before_the_body_comes(small: ThreadedServer, length: bytes) -> None:
    head = request(b"/v1/apps/annotations", b"POST", JSON_TYPE + b"Content-Length: " + length + b"\r\n")
    assert exchange(small, head)[0] == 413


def test_a_client_that_leaves_while_it_sends(small: ThreadedServer) -> None:
    host, port = small.url.removeprefix("http://").split(":")
    for head in (b"Content-Length: 500\r\n", b"Transfer-Encoding: chunked\r\n"):
        with socket.create_connection((host, int(port)), timeout=20) as sock:
            sock.sendall(request(b"/v1/apps/annotations", b"POST", JSON_TYPE + head) + b"5\r\n{")
    before = json.loads(exchange(small, request(b"/v1/apps/annotations"))[2])["total"]
    assert exchange(small, request(b"/v1/apps/annotations"))[0] == 200
    assert before == json.loads(exchange(small, request(b"/v1/apps/annotations"))[2])["total"]


# ---- Everything at once ----


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_no_operation_fails_at_odd_bodies(dify: Dify, operation: str) -> None:
    good = good_calls(Ids())[operation]
    headers = {"Content-Type": "application/json"}
    odd: list[Any] = [None, True, 0, -1, 1.5, "", "a\x00", "😀", [], [None], {}, {"": ""}, 10**30, "x" * 5000]
    for value in odd:
        body = dict.fromkeys(good.arguments.get("json", {"user": 1, "file": 2}), value)
        reply = dify.http.request(good.method, good.path, content=json.dumps(body).encode(), headers=headers)
        assert reply.status_code < 500, (value, reply.text)
    for member in good.arguments.get("json", {}):
        for value in odd:
            body = {**good.arguments["json"], member: value}
            reply = dify.http.request(good.method, good.path, content=json.dumps(body).encode(), headers=headers)
            assert reply.status_code < 500, (member, value, reply.text)
    still_answers(dify)


def test_bounds_of_the_door() -> None:
    assert (door.MOST_DEPTH, door.MOST_DIGITS, door.MOST_PARTS) == (100, 400, 1_000)
    assert KEYS["chat"] == "app-emulator"
