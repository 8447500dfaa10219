"""The journal keeps the last calls of a session within bounds, hides secrets, and is not changed by reading."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from conftest import Dify
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dify_operations import Another, another, read_while, send_parts
from test_dify_operations import part as form_part

from emulator.call import Call, Violation
from emulator.settings import Limits
from emulator.testing.server import ThreadedServer
from emulator.world import secrets
from emulator.world.journal import FRAME_BYTES, MOST_FRAMES, SECRET_HEADERS, Entry, Journal

__all__ = ["another"]


def journal(**limits: int) -> Journal:
    return Journal(Limits(**limits))


def note(into: Journal, call: Call | None = None, **members: Any) -> Entry:
    entry = into.open(1.0, "s", "dify", call or Call("GET", "/v1/info"))
    for name, value in members.items():
        setattr(entry, name, value)
    into.close(entry)
    return entry


def test_entries_are_numbered_in_order() -> None:
    kept = journal()
    assert [note(kept).id for _ in range(3)] == [1, 2, 3]
    assert [entry.id for entry in kept.entries] == [1, 2, 3]
    assert kept.dropped == 0


def test_the_oldest_entries_leave() -> None:
    kept = journal(journal_entries=3)
    for _ in range(5):
        note(kept)
    assert [entry.id for entry in kept.entries] == [3, 4, 5]
    assert kept.dropped == 2
    assert kept.bytes == sum(entry.weight for entry in kept.entries)


def test_bodies_are_cut() -> None:
    kept = journal(journal_body_bytes=10)
    body = b"x" * 100
    call = Call("POST", "/v1/x", b"q=1", {"a": "b"}, body, "s", "http://h", "/m")
    entry = note(kept, call, reply_body=body)
    assert (entry.call.body, entry.reply_body) == (b"x" * 10, b"x" * 10)
    assert (call.body, entry.call.query, entry.call.headers, entry.call.mount) == (body, b"q=1", {"a": "b"}, "/m")
    shown = entry.shown()
    assert shown["request"]["body"] == shown["reply"]["body"] == "x" * 10


def test_a_cut_in_a_character_can_be_shown() -> None:
    entry = note(journal(journal_body_bytes=4), Call("POST", "/", body="你好".encode()))
    assert entry.shown()["request"]["body"] == "你\ufffd"


def test_bytes_are_bounded() -> None:
    kept = journal(journal_bytes=12_000, journal_body_bytes=2_000)
    for _ in range(10):
        note(kept, Call("POST", "/", body=b"x" * 2_000), reply_body=b"y" * 2_000)
    assert kept.bytes <= 12_000
    assert (len(kept.entries), kept.dropped) == (2, 8)
    assert kept.bytes == sum(entry.weight for entry in kept.entries)


def test_headers_and_addresses_count() -> None:
    kept = journal(journal_bytes=50_000)
    for call in (
        Call("GET", "/", headers={"x": "y" * 20_000}),
        Call("GET", "/" * 20_000),
        Call("GET", "/", b"q" * 20_000),
    ):
        for _ in range(5):
            note(kept, call)
        assert len(kept.entries) == 2


def test_one_entry_beyond_all_bounds_is_kept() -> None:
    kept = journal(journal_bytes=10)
    note(kept)
    last = note(kept)
    assert list(kept.entries) == [last]


def test_frames_are_bounded_and_counted() -> None:
    kept = journal()
    entry = kept.open(1.0, "s", "dify", Call("POST", "/"))
    for number in range(MOST_FRAMES + 5):
        entry.add_frame(number / 3, 10, {"event": "message"})
    kept.close(entry)
    assert (len(entry.frames), entry.frame_count) == (MOST_FRAMES, MOST_FRAMES + 5)
    assert entry.frames[1] == {"at_ms": 0.333, "bytes": 10, "event": {"event": "message"}}
    assert entry.weight > FRAME_BYTES * MOST_FRAMES


def test_an_entry_that_left_while_its_stream_went_on_weighs_nothing() -> None:
    kept = journal(journal_entries=2)
    stream = kept.open(1.0, "s", "dify", Call("POST", "/"))
    for _ in range(3):
        note(kept)
    stream.add_frame(0, 1, "x")
    kept.close(stream)
    assert kept.bytes == sum(entry.weight for entry in kept.entries)


def test_secrets_are_blacked_out() -> None:
    headers = dict.fromkeys(SECRET_HEADERS, "secret-7") | {"x-other": "open"}
    reply = (("Set-Cookie", "secret-7"), ("X-Other", "open"))
    entry = note(journal(), Call("GET", "/", headers=headers), reply_headers=reply)
    shown = entry.shown()
    assert "secret-7" not in json.dumps(shown)
    assert shown["request"]["headers"] == dict.fromkeys(SECRET_HEADERS, "…") | {"x-other": "open"}
    assert shown["reply"]["headers"] == {"Set-Cookie": "…", "X-Other": "open"}
    assert entry.call.headers["authorization"] == "secret-7", "what is kept is not changed by showing it"


def test_reading_changes_nothing() -> None:
    entry = note(journal(), Call("POST", "/", body=b"{}"))
    entry.add_frame(1, 2, "x")
    shown = entry.shown()
    shown["frames"].clear()
    shown["request"]["headers"]["a"] = "b"
    shown["violations"].append(1)
    assert entry.shown() == entry.shown() != shown
    assert entry.shown()["frames"] == [{"at_ms": 1, "bytes": 2, "event": "x"}]


def test_listeners_hear_of_each_entry_once() -> None:
    kept = journal()
    heard: list[tuple[str, str, int]] = []
    leave = kept.subscribe(lambda what, entry: heard.append(("a", what, entry.id)))
    kept.subscribe(lambda what, entry: heard.append(("b", what, entry.id)), lambda: heard.append(("b", "gone", 0)))
    entry = kept.open(1.0, "s", "dify", Call("GET", "/"))
    assert heard == [("a", "opened", 1), ("b", "opened", 1)]
    kept.close(entry)
    leave()
    leave()
    note(kept)
    kept.leave()
    note(kept)
    assert heard[2:] == [
        ("a", "closed", 1),
        ("b", "closed", 1),
        ("b", "opened", 2),
        ("b", "closed", 2),
        ("b", "gone", 0),
    ]


def test_what_an_entry_shows() -> None:
    violation = Violation("body", "/query", "required", "a value", "nothing")
    entry = note(journal(), violations=(violation,), breaches=[violation], status=400, verdict="refused", closed=None)
    shown = entry.shown()
    members = """id at session backend operation method path query status verdict violations breaches scenario chosen_by
    near_misses fault faults request reply frames frame_count under_way closed duration_ms"""
    assert list(shown) == members.split()
    wanted = {"in": "body", "pointer": "/query", "rule": "required", "expected": "a value", "got": "nothing"}
    assert shown["violations"] == shown["breaches"] == [wanted]
    json.dumps(shown)


# ---- Finding entries ----


def test_entries_can_be_selected() -> None:
    kept = journal()
    for number in range(6):
        note(
            kept,
            operation=["a", "b", None][number % 3],
            status=[200, 400][number % 2],
            scenario=["s", None][number % 2],
            verdict=["accepted", "refused"][number % 2],
        )
    kept.close(kept.open(1.0, "s", "ruoyi", Call("GET", "/")))

    def ids(**wanted: Any) -> list[int]:
        return [entry.id for entry in kept.select(**wanted)]

    assert ids() == [1, 2, 3, 4, 5, 6, 7]
    assert ids(backend="ruoyi") == [7] and ids(backend="nobody") == []
    assert ids(operation="b") == [2, 5]
    assert ids(status=400) == ids(verdict="refused") == [2, 4, 6]
    assert ids(scenario="s", operation="a") == [1]
    assert ids(after=5) == [6, 7] and ids(after=99) == []
    assert ids(limit=2) == [1, 2] and ids(after=2, limit=2) == [3, 4] and ids(limit=0) == []


def test_a_cleared_journal_counts_on() -> None:
    kept = journal(journal_entries=2)
    under_way = kept.open(1.0, "s", "dify", Call("POST", "/"))
    for _ in range(3):
        note(kept)
    kept.clear()
    assert (list(kept.entries), kept.bytes, kept.dropped, kept.opened) == ([], 0, 0, 4)
    kept.close(under_way)
    assert kept.bytes == 0
    assert note(kept).id == 5
    kept.close(under_way)
    assert kept.bytes == sum(entry.weight for entry in kept.entries)


# ---- What is not shown ----

SECRET = "hunter-7"
JSON_BODIES = {
    "a member": ('{"password":"hunter-7","a":1}', '{"password":"…","a":1}'),
    "spaced": ('{ "password" : "hunter-7" , "a": 1 }', '{ "password" : "…" , "a": 1 }'),
    "any case and form": ('{"API-Key":"hunter-7","New_Password":"hunter-7"}', '{"API-Key":"…","New_Password":"…"}'),
    "deep": ('{"a":[{"access_token":"hunter-7"}]}', '{"a":[{"access_token":"…"}]}'),
    "an object": ('{"secret":{"a":"hunter-7}","b":[1]},"c":2}', '{"secret":"…","c":2}'),
    "an array": ('{"refresh_token":["hunter-7]",{"a":1}]}', '{"refresh_token":"…"}'),
    "a number": ('{"password":1234}', '{"password":"…"}'),
    "quotes inside": (r'{"token":"a\"hunter-7\\","b":"c"}', '{"token":"…","b":"c"}'),
    "an escaped name": (r'{"pass\u0077ord":"hunter-7"}', r'{"pass\u0077ord":"…"}'),
    "cut off in the secret": ('{"password":"hunter-7', '{"password":"…"'),
    "cut off in an object": ('{"secret":{"a":"hunter-7","b', '{"secret":"…"'),
    "in frames": ('data: {"token":"hunter-7"}\n\n', 'data: {"token":"…"}\n\n'),
    "null": ('{"token":null,"password":false}', '{"token":null,"password":false}'),
    "counts": (
        '{"tokens":5,"max_tokens":7,"time_to_first_token":0.5}',
        '{"tokens":5,"max_tokens":7,"time_to_first_token":0.5}',
    ),
    "a value, not a name": ('{"kind":"password","a":["token","b"]}', '{"kind":"password","a":["token","b"]}'),
    "a name in a text": (r'{"a":"\"password\": \"x\""}', r'{"a":"\"password\": \"x\""}'),
}


@pytest.mark.parametrize("name", JSON_BODIES)
def test_secrets_in_json(name: str) -> None:
    body, wanted = JSON_BODIES[name]
    entry = note(journal(), Call("POST", "/", body=body.encode()), reply_body=body.encode())
    shown = entry.shown()
    assert shown["request"]["body"] == shown["reply"]["body"] == wanted
    assert entry.call.body == body.encode(), "what is kept is not changed by showing it"


NAMES = st.sampled_from(["password", "Token", "client_secret", "x", "a b", "é", "tokens", "pwd_"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_json_stays_json(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    shown = note(journal(), Call("POST", "/", body=text.encode())).shown()["request"]
    assert shown["encoding"] == "utf-8"
    assert json.loads(shown["body"]) == secrets.value(value)


def test_secrets_in_forms_queries_and_parts() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    entry = note(
        journal(), Call("POST", "/x", b"user=a&api_key=hunter-7&p=1", form, b"username=a&pass%77ord=hunter-7&grant=x")
    )
    shown = entry.shown()
    assert shown["query"] == "user=a&api_key=…&p=1"
    assert shown["request"]["body"] == "username=a&pass%77ord=…&grant=x"
    parts = (
        b'--b\r\nContent-Disposition: form-data; name="password"\r\n\r\nhunter-7\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\x00\xff\r\n--b--\r\n'
    )
    entry = note(journal(), Call("POST", "/x", b"", {"content-type": "multipart/form-data; boundary=b"}, parts))
    shown = entry.shown()
    assert SECRET not in json.dumps(shown) and 'filename="a"' in shown["request"]["body"]


def test_secrets_in_frames_and_violations() -> None:
    bad = Violation("body", "/account/password", "minLength", "at least 9 characters", repr(SECRET))
    entry = note(
        journal(),
        violations=(bad, Violation("body", "/name", "type", "a text", "5")),
        reply_headers=(("X-Emulator-Violation", str(bad)), ("X-Other", "open"), ("X-Other", "too")),
    )
    entry.add_frame(0, 10, {"event": "x", "data": [{"token": SECRET}]})
    entry.add_frame(0, 10, f'data: {{"token": "{SECRET}"}}')
    shown = entry.shown()
    assert SECRET not in json.dumps(shown)
    assert [one["got"] for one in shown["violations"]] == ["…", "5"]
    assert shown["reply"]["headers"] == {"X-Emulator-Violation": "…", "X-Other": "open, too"}


@pytest.mark.parametrize(
    "piece",
    [
        '"',
        '\\"',
        '"token":',
        '"token":{',
        '"token":[]',
        '{"a":',
        "--b\r\n",
        "a: b\r\n",
        'name="',
        '"token":"x\\',
        "&a=",
        "[[",
    ],
)
def test_looking_for_secrets_takes_one_pass(piece: str) -> None:
    body = (piece * 20_000)[:16_384] + "token"
    begun = time.perf_counter()
    for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"):
        secrets.body(body, kind)
    assert time.perf_counter() - begun < 0.5


def test_bodies_say_what_they_are() -> None:
    def shown(body: bytes, **limits: int) -> dict[str, Any]:
        found: dict[str, Any] = note(journal(**limits), Call("POST", "/", body=body), reply_body=body).shown()["reply"]
        return {name: found[name] for name in ("body", "encoding", "bytes", "truncated")}

    assert shown(b"") == {"body": "", "encoding": "utf-8", "bytes": 0, "truncated": False}
    assert shown("né\t\r\n".encode()) == {"body": "né\t\r\n", "encoding": "utf-8", "bytes": 6, "truncated": False}
    assert shown(b"\x89PNG\x00") == {"body": "iVBORwA=", "encoding": "base64", "bytes": 5, "truncated": False}
    assert shown(b"\xff\xfe") == {"body": "//4=", "encoding": "base64", "bytes": 2, "truncated": False}
    assert shown("你好".encode(), journal_body_bytes=4) == {
        "body": "你\ufffd",
        "encoding": "utf-8",
        "bytes": 6,
        "truncated": True,
    }
    assert shown("\ufffd?".encode())["encoding"] == "utf-8"


def test_long_events_are_cut() -> None:
    kept = journal(journal_body_bytes=100)
    entry = kept.open(1.0, "s", "dify", Call("POST", "/"))
    entry.add_frame(0, 10_000, {"answer": "x" * 10_000})
    entry.add_frame(0, 10_000, "y" * 10_000)
    kept.close(entry)
    first, second = [frame["event"] for frame in entry.shown()["frames"]]
    assert first == '{"answer":"' + "x" * 89 + "…" and second == "y" * 100 + "…"
    assert entry.weight < 3_000


def test_a_call_under_way_shows_as_far_as_it_has_come() -> None:
    entry = journal().open(1.0, "s", "dify", Call("POST", "/"))
    assert (entry.shown()["status"], entry.shown()["closed"], entry.shown()["duration_ms"]) == (None, None, None)


# ---- As a server fills it ----


def last(caller: Dify, back: int = 1) -> dict[str, Any]:
    entries = caller.server.app.sessions.get(caller.session).journal.entries
    return entries[-back].shown()


def test_an_accepted_call(dify: Dify) -> None:
    answer = dify.post("/chat-messages", inputs={}, query="Hi")
    shown = last(dify)
    assert (shown["method"], shown["path"], shown["status"]) == ("POST", "/v1/chat-messages", 200)
    assert (shown["backend"], shown["session"], shown["operation"]) == ("dify", dify.session, "sendChatMessage")
    assert (shown["verdict"], shown["violations"], shown["breaches"]) == ("accepted", [], [])
    assert json.loads(shown["request"]["body"])["query"] == "Hi"
    assert shown["reply"]["body"] == answer.text
    assert shown["reply"]["headers"]["X-Emulator-Operation"] == "sendChatMessage"
    assert shown["request"]["headers"]["authorization"] == "…"
    assert shown["frames"] == [] and shown["closed"] is None


@pytest.mark.parametrize(
    ("body", "operation", "pointers"),
    [
        ({}, "sendChatMessage", ["/inputs", "/query", "/user"]),
        ({"query": 1, "inputs": {}, "user": "u"}, "sendChatMessage", ["/query"]),
    ],
)
def test_a_refused_call(dify: Dify, body: dict[str, Any], operation: str, pointers: list[str]) -> None:
    dify.http.post("/chat-messages", json=body)
    shown = last(dify)
    assert (shown["verdict"], shown["status"], shown["operation"]) == ("refused", 400, operation)
    assert sorted(one["pointer"] for one in shown["violations"]) == pointers


def test_calls_that_lead_nowhere(dify: Dify) -> None:
    dify.http.get("/nothing")
    assert (last(dify)["status"], last(dify)["operation"], last(dify)["verdict"]) == (404, None, "refused")
    dify.http.delete("/info")
    assert (last(dify)["status"], last(dify)["operation"]) == (405, None)
    dify.http.get("/info", headers={"Authorization": "Bearer nobody"})
    assert (last(dify)["status"], last(dify)["operation"], last(dify)["violations"]) == (401, "getChatAppInfo", [])
    dify.http.get("/info", headers={"Prefer": "code=418"})
    assert (last(dify)["status"], last(dify)["verdict"]) == (400, "refused")


def test_what_was_chosen(dify: Dify) -> None:
    dify.http.get("/info", headers={"Prefer": "code=401"})
    assert last(dify)["scenario"] == "code=401"
    dify.stream("/scenario error-mid-stream")
    assert last(dify)["scenario"] == "error-mid-stream"
    dify.http.get("/info", headers={"X-Emulator-Scenario": "long-answer"})
    shown = last(dify)
    assert shown["scenario"] is None and "getChatAppInfo" in shown["near_misses"][0]


def test_the_frames_of_a_stream(dify: Dify) -> None:
    reply = dify.stream("Hi")
    shown = last(dify)
    assert sum(frame["bytes"] for frame in shown["frames"]) == len(reply.content)
    assert [frame["event"]["event"] for frame in shown["frames"]][-1] == "message_end"
    assert (shown["closed"], shown["status"]) == ("ended", 200)
    assert shown["duration_ms"] >= shown["frames"][-1]["at_ms"] >= 0
    assert [frame["at_ms"] for frame in shown["frames"]] == sorted(frame["at_ms"] for frame in shown["frames"])


def test_how_a_stream_ended(dify: Dify, another: Another) -> None:
    other = another()
    read_while(dify, lambda first: other.post(f"/chat-messages/{first['task_id']}/stop"))
    assert last(dify, 2)["closed"] == "stopped"
    dify.stream("/scenario error-mid-stream")
    assert last(dify)["closed"] == "ended"


def test_long_bodies_and_uploads_are_cut(server: ThreadedServer, dify: Dify) -> None:
    most = server.app.settings.limits.journal_body_bytes
    dify.ask("long " * 10_000)
    assert len(last(dify)["request"]["body"]) == most
    send_parts(dify, "/files/upload", form_part("file", bytes(100_000), "a.png", "image/png"))
    kept = server.app.sessions.get(dify.session).journal.entries[-1]
    assert len(kept.call.body) == most


def test_the_journal_is_the_sessions_own(dify: Dify, another: Another) -> None:
    other = another(session=f"{dify.session}-b")
    dify.get("/info")
    other.get("/meta")
    assert (last(dify)["operation"], last(other)["operation"]) == ("getChatAppInfo", "getChatAppMeta")


def test_a_password_that_a_refusal_quotes_is_not_shown() -> None:
    body = b'{"detail":[{"input":"username=demo&password=hidden-9","type":"x"}]}'
    entry = note(journal(), Call("POST", "/login", headers={"x-access-token": "hidden-9", "x-plain": "seen"}))
    entry.reply_headers, entry.reply_body = (("Content-Type", "application/json"),), body
    shown = json.dumps(entry.shown())
    assert "hidden-9" not in shown and "username=demo" in shown and "seen" in shown
