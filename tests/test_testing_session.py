"""A session as a test holds it: addresses, armings as statements and blocks, calls, counts and order, state. On an
emulator in a thread, and the same through the address of a running one."""

from __future__ import annotations

import gc
import http.client
import json
import re
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import KEYS

import emulator
from emulator.errors import Misused
from emulator.server import Server, listen
from emulator.testing import Arming, Calls, Emulator, EmulatorError, Entry, Session, connect
from emulator.testing import server as threaded
from emulator.testing import session as module
from emulator.testing.server import ThreadedServer
from emulator.world.session import SESSION_NAME


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """One for all tests here."""
    with Emulator(speed=0) as running:
        yield running


@pytest.fixture
def session(running: Emulator, session_name: str) -> Session:
    """A session of this test alone, through the address."""
    return connect(running.url()).session(session_name, seed=1, clock="virtual")


def ask(session: Session, query: str = "Hi", mode: str = "streaming", **changes: Any) -> httpx.Response:
    """A chat message, read to the end."""
    body = {"inputs": {}, "query": query, "user": "abc-123", "response_mode": mode, **changes}
    headers = {"Authorization": f"Bearer {session.api_key('dify')}"}
    return httpx.post(f"{session.url('dify')}/chat-messages", json=body, headers=headers, timeout=20)


def get(session: Session, path: str) -> httpx.Response:
    """A GET of the Dify API."""
    headers = {"Authorization": f"Bearer {session.api_key('dify')}"}
    return httpx.get(f"{session.url('dify')}{path}", params={"user": "abc-123"}, headers=headers, timeout=20)


# ---- addresses and keys

BASES = {
    "dify": ("/dify/v1", "app-emulator"),
    "ruoyi": ("/ruoyi/dev-api", "emulator-token"),
    "plainchat": ("/plainchat", ""),
    "deskchat": ("/deskchat", ""),
    "toolchat": ("/toolchat", "emulator-token"),
}


@pytest.mark.parametrize(("backend", "base", "key"), [(name, *both) for name, both in BASES.items()])
def test_addresses_and_keys(running: Emulator, session: Session, backend: str, base: str, key: str) -> None:
    assert session.url(backend) == f"{running.url()}/_s/{session.name}{base}"
    assert running.url(backend) == f"{running.url()}{base}"
    assert session.api_key(backend) == running.api_key(backend) == key
    with pytest.raises(EmulatorError, match=r"There is no backend 'dfy'; there are .*dify"):
        session.url("dfy")


def test_the_header_leads_to_the_same_session(running: Emulator, session: Session) -> None:
    headers = {"Authorization": f"Bearer {KEYS['chat']}", **session.headers}
    assert httpx.get(f"{running.url('dify')}/info", headers=headers, timeout=20).status_code == 200
    assert session.calls("dify").only.operation == "getChatAppInfo"


# ---- armed


def test_armed_as_a_statement(session: Session) -> None:
    armed = session.arm("dify", prefer="code=429", operation="sendChatMessage", times=2)
    assert isinstance(armed, Arming)
    assert "prefer code=429 for dify sendChatMessage" in repr(armed)
    assert get(session, "/info").status_code == 200
    assert [ask(session).status_code for _ in range(3)] == [429, 429, 200]
    assert [entry.id for entry in armed.calls] == [2, 3]


@pytest.mark.parametrize(
    ("armed", "seen"),
    [
        ({"scenario": "quota-exceeded"}, '"provider_quota_exceeded"'),
        ({"scenario": {"steps": [{"say": "Written out."}]}}, "Written out."),
        (
            {"scenario": {"steps": [{"say": "Only for you."}]}, "when": {"body": {"query": {"contains": "Hi"}}}},
            "Only for",
        ),
        ({"prefer": "code=429, example=rate_limit_error"}, "rate"),
        ({"fault": "malformed"}, None),
        ({"fault": [{"truncate": {"event": 2}}]}, None),
    ],
)
def test_what_can_be_armed(session: Session, armed: dict[str, Any], seen: str | None) -> None:
    with session.arm("dify", **armed) as arming:
        try:
            text = ask(session, mode="blocking" if seen else "streaming").text
        except httpx.TransportError:
            text = ""
    call = arming.calls.only
    assert call.chosen_by == f"armed {arming.id}"
    assert seen is None or seen in text


@pytest.mark.parametrize(
    ("armed", "sentence"),
    [
        ({}, "expected one of scenario, prefer and fault"),
        ({"scenario": "default", "prefer": "code=429"}, "expected one of scenario, prefer and fault"),
        ({"scenario": "no-such"}, "There is no scenario 'no-such'|no scenario"),
        ({"fault": "rest"}, "^fault: unknown fault .rest.; did you mean .reset.?"),
        ({"fault": "reset", "operation": "sendChatMesage"}, "sendChatMessage"),
        ({"fault": "reset", "times": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_armed_is_one_sentence(session: Session, armed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EmulatorError, match=sentence) as caught:
        session.arm("dify", **armed)
    assert "\n" not in str(caught.value)


def test_a_block_takes_back_what_is_left(session: Session) -> None:
    with session.arm("dify", prefer="code=429", times=None) as armed:
        assert [ask(session).status_code for _ in range(3)] == [429, 429, 429]
    assert ask(session).status_code == 200
    assert len(armed.calls) == 3
    assert armed.disarm() is False


def test_a_block_that_nothing_used_complains(session: Session) -> None:
    with (
        pytest.raises(AssertionError) as caught,
        session.arm("dify", fault={"truncate": {"event": 2}}, operation="renameConversation"),
    ):
        ask(session)
    lines = str(caught.value).splitlines()
    what = 'fault {"truncate": {"event": 2}} for dify renameConversation (a1)'
    assert lines[0] == f"no call has used what was armed for this block: {what}"
    assert lines[1] == "calls to dify: 1:" and lines[2].startswith("  #1 dify sendChatMessage")
    assert lines[3:] == ["  #1 did not: it is for renameConversation"]
    assert session._ask("GET", "/armed") == {"armed": []}


@pytest.mark.parametrize("times", [1, 5, None])
def test_a_block_need_not_be_used_when_it_is_said_so(session: Session, times: int | None) -> None:
    with session.arm("dify", fault="reset", times=times, required=False):
        pass
    with pytest.raises(AssertionError, match="calls to dify: none"), session.arm("dify", fault="reset", times=times):
        pass


@pytest.mark.parametrize("times", [1, 2])
def test_a_block_that_was_used_once_is_content(session: Session, times: int) -> None:
    with session.arm("dify", prefer="code=429", times=times):
        ask(session)
    assert ask(session).status_code == 200


def test_a_block_in_which_the_session_is_reset_is_content(session: Session) -> None:
    with session.arm("dify", prefer="code=429"):
        ask(session)
        session.reset()
    assert session.calls() == []


@pytest.mark.parametrize("go_back", [Session.reset, Session.restore, Session.forget])
@pytest.mark.parametrize("used", [True, False])
def test_a_block_whose_arming_went_with_the_state_is_told_apart(session: Session, go_back: Any, used: bool) -> None:
    def block() -> None:
        with session.arm("dify", prefer="code=429"):
            if used:
                assert ask(session).status_code == 429
            go_back(session)
            get(session, "/info")

    session.snapshot()
    if used:
        block()
    else:
        with pytest.raises(AssertionError, match="no call has used what was armed for this block"):
            block()
    assert session._blocks == []


def test_a_block_whose_arming_the_test_took_back_is_content(session: Session) -> None:
    with session.arm("dify", prefer="code=429") as armed:
        assert armed.disarm()
    with session.arm("dify", prefer="code=429"):
        session.disarm()


def test_a_block_that_a_call_used_which_left_the_journal_is_content(forgetful: Emulator, session_name: str) -> None:
    session = forgetful.session(session_name, seed=1)
    with session.arm("dify", prefer="code=429") as armed:
        ask(session)
        three(session)
    assert armed.calls == [] and armed.calls.dropped == 1


def test_a_block_does_not_wait_for_calls_under_way(session: Session) -> None:
    session.arm("dify", fault={"stall": {"event": 2, "for": "60s"}}, operation="sendChatMessage")
    session.patch(speed=1, clock="real")
    body = {"inputs": {}, "query": "Hi", "user": "abc-123", "response_mode": "streaming"}
    headers = {"Authorization": f"Bearer {KEYS['chat']}"}
    with httpx.stream("POST", f"{session.url('dify')}/chat-messages", json=body, headers=headers) as reply:
        chunks = reply.iter_raw()
        next(chunks)
        begun = time.monotonic()
        with (
            pytest.raises(AssertionError, match=r"#1 dify sendChatMessage .* under way"),
            session.arm("dify", fault="reset", operation="renameConversation"),
        ):
            pass
        assert time.monotonic() - begun < 0.9


def test_what_goes_wrong_in_a_block_is_what_is_told(session: Session) -> None:
    with pytest.raises(RuntimeError, match="from the block"), session.arm("dify", fault="reset"):
        raise RuntimeError("from the block")
    assert session._ask("GET", "/armed") == {"armed": []}


def test_a_fault_with_a_time_of_its_own_lasts_until_then(session: Session) -> None:
    session.arm("dify", fault={"refuse": {"for": "90s"}})
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            get(session, "/info")
    session.patch(advance="2m")
    assert get(session, "/info").status_code == 200


def test_everything_can_be_taken_back(session: Session) -> None:
    session.arm("dify", prefer="code=429", times=None)
    session.arm("toolchat", fault="reset")
    session.disarm()
    assert ask(session).status_code == 200


# ---- calls


def test_an_entry_has_what_was_asked_and_answered(session: Session) -> None:
    session.arm("dify", scenario="error-mid-stream")
    ask(session, "Tell me \u4f60\u597d", inputs={"city": "Hangzhou"})
    call = session.calls("dify", "sendChatMessage").only
    assert isinstance(call, Entry)
    assert (call.backend, call.operation, call.method) == ("dify", "sendChatMessage", "POST")
    assert call.path == "/v1/chat-messages"
    assert call.request.json["query"] == "Tell me \u4f60\u597d"
    assert call.request.headers["Content-Type"] == call.request.headers["content-type"] == "application/json"
    assert call.request.headers["Authorization"] == "\u2026"
    assert (call.status, call.verdict, call.violations) == (200, "accepted", ())
    assert (call.scenario, call.chosen_by) == ("error-mid-stream", "armed a1")
    assert call.reply.headers["X-Emulator-Scenario"] == "error-mid-stream"
    assert len(call.frames) == call.frame_count > 3
    assert call.events[-1]["event"] == call.frames[-1].name == "error"
    assert [frame.at_ms for frame in call.frames] == sorted(frame.at_ms for frame in call.frames)
    assert (call.closed, call.under_way) == ("ended", False)
    assert call.duration_ms is not None and call.duration_ms > 0
    assert call.raw["id"] == call.id == 1


def test_a_reply_that_is_no_stream(session: Session) -> None:
    get(session, "/info")
    call = session.calls().only
    assert (call.frames, call.closed, call.under_way, call.duration_ms) == ((), None, False, None)
    assert call.reply.json["name"]
    with pytest.raises(ValueError, match="this body is no JSON: it is empty"):
        _ = call.request.json


def test_a_refused_call_says_why(session: Session) -> None:
    ask(session, mode="shouting")
    call = session.calls(verdict="refused").only
    assert call.violations[0]["pointer"] == "/response_mode"
    assert call.status == 400 and "refused" in str(call)


def test_a_body_beyond_the_journal_is_only_its_beginning(session: Session) -> None:
    ask(session, "x" * 100_000)
    request = session.calls().only.request
    assert request.truncated and request.bytes > 100_000 > len(request.body)
    with pytest.raises(ValueError, match="only the beginning of this body of"):
        _ = request.json


def test_calls_are_found_by_what_they_are(session: Session) -> None:
    get(session, "/info")
    ask(session)
    session.arm("dify", prefer="code=429")
    ask(session)
    httpx.get(f"{session.url('plainchat')}/health", timeout=20)
    assert len(session.calls()) == 4
    assert len(session.calls("dify")) == 3
    assert len(session.calls("dify", "sendChatMessage")) == 2
    assert session.calls("dify", "sendChatMessage", status=429).only.scenario == "code=429"
    assert session.calls(scenario="code=429") == session.calls(status=429)
    assert session.calls("ruoyi") == []
    with pytest.raises(EmulatorError, match="Did you mean sendChatMessage"):
        session.calls("dify", "sendChatMesage")
    with pytest.raises(EmulatorError, match="Did you mean dify"):
        session.calls("difi")


def test_calls_are_over_when_they_are_read(session: Session) -> None:
    """A client that goes in mid-stream is noted a moment later."""
    for _ in range(20):
        body = {"inputs": {}, "query": "/scenario long-answer", "user": "abc-123", "response_mode": "streaming"}
        headers = {"Authorization": f"Bearer {KEYS['chat']}"}
        session.patch(speed=1000)
        with httpx.stream("POST", f"{session.url('dify')}/chat-messages", json=body, headers=headers) as reply:
            next(reply.iter_raw())
        call = session.calls()[-1]
        assert not call.under_way and call.closed in ("left", "ended")


def test_a_call_under_way_is_waited_for_so_long_and_no_longer(session: Session) -> None:
    session.arm("dify", fault={"stall": {"event": 2, "for": "60s"}})
    session.patch(speed=1, clock="real")
    body = {"inputs": {}, "query": "Hi", "user": "abc-123", "response_mode": "streaming"}
    headers = {"Authorization": f"Bearer {KEYS['chat']}"}
    with httpx.stream("POST", f"{session.url('dify')}/chat-messages", json=body, headers=headers) as reply:
        chunks = reply.iter_raw()
        next(chunks)
        begun = time.monotonic()
        call = session.calls(wait=0).only
        assert call.under_way and call.closed is None and "under way" in repr(call)
        assert time.monotonic() - begun < 0.2
        assert session.calls(wait=0.3).only.under_way
        assert 0.3 <= time.monotonic() - begun < 5


def test_a_whole_reply_that_a_fault_holds_back_is_under_way(session: Session) -> None:
    session.arm("dify", fault={"latency": {"for": "500ms"}})
    session.patch(speed=1, clock="real")
    thread = threading.Thread(target=get, args=(session, "/info"))
    thread.start()
    while not (found := session.calls(wait=0)):
        time.sleep(0.01)
    assert found.only.under_way
    assert not session.calls(wait=10).only.under_way
    thread.join()


def test_no_wait_is_without_end_where_the_clocks_stand_still(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.arm("dify", fault={"stall": {"event": 2, "for": "60s"}})
    session.patch(speed=1, clock="real")
    body = {"inputs": {}, "query": "Hi", "user": "abc-123", "response_mode": "streaming"}
    headers = {"Authorization": f"Bearer {KEYS['chat']}"}
    with httpx.stream("POST", f"{session.url('dify')}/chat-messages", json=body, headers=headers) as reply:
        chunks = reply.iter_raw()
        next(chunks)
        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", lambda: 1.0)
            begun = time.perf_counter()
            assert session.calls(wait=0.2).only.under_way
            with pytest.raises(AssertionError, match="expected exactly 2 calls, got 1:"):
                session.expect(times=2, within=0.2)
            assert 0.4 <= time.perf_counter() - begun < 20


# ---- counts and order


def three(session: Session) -> None:
    get(session, "/info")
    ask(session)
    get(session, "/conversations")


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({}, 3),
        ({"backend": "dify"}, 3),
        ({"backend": "dify", "operation": "sendChatMessage"}, 1),
        ({"backend": "dify", "operation": "sendChatMessage", "times": 1}, 1),
        ({"backend": "dify", "operation": "deleteConversation", "times": 0}, 0),
        ({"at_least": 2}, 3),
        ({"at_least": 3, "at_most": 3}, 3),
        ({"at_most": 5}, 3),
        ({"status": 200, "times": 3}, 3),
        ({"order": ["getChatAppInfo", "getConversationsList"]}, 2),
        ({"backend": "dify", "order": ["getChatAppInfo", "sendChatMessage", "getConversationsList"]}, 3),
    ],
)
def test_expected(session: Session, wanted: dict[str, Any], count: int) -> None:
    three(session)
    found = session.expect(**wanted)
    assert isinstance(found, Calls)
    assert len(found) == count


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"backend": "ruoyi"}, "expected at least 1 call of ruoyi, got none"),
        ({"times": 2}, "expected exactly 2 calls, got 3:"),
        (
            {"backend": "dify", "operation": "sendChatMessage", "times": 2},
            "expected exactly 2 calls of dify sendChatMessage",
        ),
        ({"at_most": 2}, "expected at most 2 calls, got 3:"),
        ({"at_least": 4}, "expected at least 4 calls, got 3:"),
        ({"at_least": 1, "at_most": 2}, "expected 1 to 2 calls, got 3:"),
        (
            {"status": 429, "scenario": "default"},
            "expected at least 1 call with status 429 and scenario default, got none",
        ),
        (
            {"backend": "dify", "order": ["sendChatMessage", "getChatAppInfo"]},
            "expected sendChatMessage, then getChatAppInfo; there was no getChatAppInfo after sendChatMessage",
        ),
        ({"order": ["deleteConversation"]}, "expected deleteConversation; there was no deleteConversation\ncalls: 3:"),
    ],
)
def test_not_as_expected(session: Session, wanted: dict[str, Any], sentence: str) -> None:
    three(session)
    with pytest.raises(AssertionError) as caught:
        session.expect(**wanted, within=0.05)
    told = str(caught.value)
    assert sentence in told
    # What was called instead stands there, too.
    assert "#2 dify sendChatMessage POST /v1/chat-messages \u2192 200" in told


@pytest.mark.parametrize(
    "wanted",
    [
        {"times": 1, "at_least": 1},
        {"times": 1, "at_most": 1},
        {"order": ["sendChatMessage"], "times": 1},
        {"order": ["sendChatMessage"], "operation": "sendChatMessage"},
        {"order": "sendChatMessage"},
        {"order": 3},
        {"order": {"sendChatMessage"}},
        {"order": ["sendChatMessage", None]},
        {"times": "2"},
        {"times": True},
        {"at_least": 1.5},
        {"at_most": [1]},
    ],
)
def test_what_cannot_be_expected(session: Session, wanted: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^expect: "):
        session.expect(**wanted)


@pytest.mark.parametrize(
    "wanted", [{"times": -1}, {"at_least": -1}, {"at_most": -1}, {"at_least": 2, "at_most": 1}, {"order": []}]
)
def test_what_can_never_be_as_expected(session: Session, wanted: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^expect: "):
        session.expect(**wanted)


def test_an_order_of_what_is_no_operation(session: Session) -> None:
    with pytest.raises(EmulatorError, match="There is no operation 'sendMesage' of dify"):
        session.expect("dify", order=["sendMesage"])


def test_calls_that_are_still_to_come_are_waited_for(session: Session) -> None:
    def later() -> None:
        for _ in range(2):
            time.sleep(0.1)
            get(session, "/info")

    thread = threading.Thread(target=later)
    thread.start()
    assert len(session.expect("dify", "getChatAppInfo", times=2, within=20)) == 2
    thread.join()


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Emulator]:
    """One whose journals have three entries."""
    limits = replace(emulator.Settings().limits, journal_entries=3)
    with Emulator(emulator.Settings(port=0, speed=0, backends=("dify",), limits=limits)) as running:
        yield running


def test_no_answer_is_made_up_of_a_journal_that_has_lost_calls(forgetful: Emulator, session_name: str) -> None:
    session = forgetful.session(session_name, seed=1)
    three(session)
    assert session.expect("dify", times=3).dropped == 0
    get(session, "/info")
    found = session.expect("dify", at_least=3)
    assert found.dropped == found[1:].dropped == 1
    assert "3:\n  \u2026 the journal no longer has the first call\n  #2 dify" in str(found)
    assert "the journal no longer has the first call" in repr(found)
    assert session.expect("dify", order=["sendChatMessage", "getChatAppInfo"]).dropped == 1
    get(session, "/info")
    lost = "the journal no longer has the first 2 calls"
    untold: list[dict[str, Any]] = [{"times": 3}, {"at_most": 9}, {"operation": "deleteConversation", "times": 0}]
    for wanted in untold:
        with pytest.raises(AssertionError, match=f"^expected .*, which cannot be told: {lost}\n"):
            session.expect("dify", **wanted)
    wrong: list[dict[str, Any]] = [{"order": ["sendChatMessage"] * 2}, {"at_least": 4}, {"times": 1}]
    for wanted in (*wrong, {"operation": "deleteConversation"}):
        with pytest.raises(AssertionError, match=rf"^expected [^\n]*\n(.*\n)*.*{lost}|got none \({lost}\)"):
            session.expect("dify", **wanted, within=0.05)
    with pytest.raises(AssertionError, match=f"cannot be told, got 1:\n.*{lost}"):
        _ = session.calls("dify", "getConversationsList").only


# ---- state


def test_a_snapshot_is_gone_back_to(session: Session) -> None:
    with pytest.raises(EmulatorError, match="take a snapshot"):
        session.restore()
    taken = session.snapshot()
    first = ask(session, mode="blocking").json()
    session.restore()
    assert ask(session, mode="blocking").json() == first
    session.snapshot()
    session.restore(json.loads(json.dumps(taken)))
    assert ask(session, mode="blocking").json() == first


def test_a_reset_goes_back_to_how_it_began(session: Session) -> None:
    first = ask(session, mode="blocking").json()
    session.patch(seed=77, profile="observed")
    session.arm("dify", fault="reset")
    assert session.seed == 77
    session.reset()
    assert session.seed == 1 and session.calls() == []
    assert ask(session, mode="blocking").json() == first


def test_a_change_that_cannot_be(session: Session) -> None:
    with pytest.raises(EmulatorError, match=r"^advance: expected text that matches"):
        session.patch(advance="soon")


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"speed": float("nan")}, "speed: expected what JSON can say, got another float."),
        ({"speed": float("inf"), "seed": 3}, "speed: expected what JSON can say, got another float."),
        ({"seed": 3, "states": {"dify": {"a": {1}}}}, "states: expected what JSON can say, got another dict."),
        ({"seed": 10**5000}, "seed: expected what JSON can say, got another int."),
        ({"speed": True}, "speed: expected "),
        ({"profile": None}, "profile: expected "),
    ],
)
def test_a_change_that_cannot_be_names_its_member(session: Session, members: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EmulatorError) as caught:
        session.patch(**members)
    assert str(caught.value).startswith(sentence)
    with pytest.raises(EmulatorError, match=r"^the body: expected an object, got an array"):
        session._ask("PATCH", "", [])
    with pytest.raises(TypeError, match="patch: name what to change"):
        session.patch()


def test_a_fork_goes_on_alone(session: Session, session_name: str) -> None:
    ask(session)
    other = session.fork(f"f-{session_name}"[:64])
    ask(other)
    listed = [len(get(one, "/conversations").json()["data"]) for one in (session, other)]
    assert listed[1] == listed[0] + 1


def test_another_session_begins_anew_only_when_told_how(session: Session) -> None:
    get(session, "/info")
    again = session.session(session.name)
    assert len(again.calls()) == 1
    assert session.session(session.name, seed=9).calls() == []
    assert again.seed == 9


@pytest.mark.parametrize("name", ["\u00fc", "a b", "a/b", "", "x" * 65, "a\n", "a?b", "%20", 3, None])
def test_a_name_that_no_session_can_have(session: Session, name: Any) -> None:
    for use in (session.session, session.fork):
        with pytest.raises(EmulatorError, match=r"^A session name is 1 to 64 of A-Za-z0-9\._- and not .*\.$"):
            use(name)
    assert module.NAME == SESSION_NAME


def test_a_report_is_of_bounded_length(session: Session) -> None:
    for number in range(30):
        ask(session, f"{number} " + "word " * 3000, "blocking")
    told = session.report()
    assert "30 calls, the last 20:" in told and len(told) <= module.MOST_REPORT + 10
    assert session.url() in told


# ---- an emulator that is not there


def test_it_is_told_that_it_does_not_run() -> None:
    idle = emulator.Emulator()
    assert repr(idle) == "<Session default of no emulator yet>"
    with pytest.raises(EmulatorError, match="This emulator does not run"):
        idle.url("dify")
    idle.stop()
    assert idle.report().startswith("This emulator does not run")


def test_it_is_told_that_it_has_gone(session_name: str) -> None:
    with emulator.Emulator(backends=("dify",)) as running:
        session = running.session(session_name, seed=3)
        session.url("dify")
        address = running.url()
    sentence = f"No emulator answers at {address}: connection refused."
    for use in (
        session.calls,
        session.snapshot,
        session.reset,
        session.expect,
        lambda: session.arm("dify", fault="reset"),
    ):
        with pytest.raises(EmulatorError) as caught:
            use()
        assert str(caught.value) == sentence and caught.value.__suppress_context__
    assert session.report() == sentence


def test_start_and_stop_by_hand_and_again() -> None:
    running = emulator.Emulator(backends=("dify",), seed=4)
    for _ in range(2):
        assert running.start() is running
        assert running.seed == 4 and running.url("dify").endswith("/dify/v1")
        with pytest.raises(EmulatorError, match="runs already"):
            running.start()
        running.stop()
        # Another one may listen there by now.
        assert repr(running) == "<Session default of no emulator yet>"
        with pytest.raises(EmulatorError, match="This emulator does not run"):
            running.url()
    assert not [thread for thread in threading.enumerate() if thread.name == "chat-emulator" and not thread.daemon]


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmulatorError) as caught:
            emulator.Emulator(port=port).start()
    what = f"The emulator cannot listen on 127.0.0.1:{port}: address already in use; port 0 takes a free one."
    assert str(caught.value) == what


@pytest.mark.parametrize(
    ("host", "why"), [("no-such-host.invalid", "[^;]+"), ("\u4f60" * 70, "no host can have this name")], ids=["a", "b"]
)
def test_a_host_that_is_none(host: str, why: str) -> None:
    with pytest.raises(EmulatorError, match=rf"^The emulator cannot listen on {host}:0: {why}\.$"):
        emulator.Emulator(host=host, backends=("plainchat",)).start()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"port": 99_999}, "Expected a port from 0 to 65535, got 99999."),
        ({"port": -1}, "Expected a port from 0 to 65535, got -1."),
        ({"port": "x"}, "Expected a port from 0 to 65535, got 'x'."),
        ({"port": True}, "Expected a port from 0 to 65535, got True."),
        ({"seed": "x"}, "Expected an integer as seed, got 'x'."),
        ({"seed": 1.5}, "Expected an integer as seed, got 1.5."),
        ({"speed": "1"}, "Expected 0 or a speed from 0.001 to 1000000, got '1'."),
        ({"speed": -1}, "Expected 0 or a speed from 0.001 to 1000000, got -1."),
        ({"speed": float("nan")}, "Expected 0 or a speed from 0.001 to 1000000, got nan."),
        ({"speed": float("inf")}, "Expected 0 or a speed from 0.001 to 1000000, got inf."),
        ({"speed": 1e-9}, "Expected 0 or a speed from 0.001 to 1000000, got 1e-09."),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Misused, match=f"^{re.escape(sentence)}$"):
        emulator.Emulator(**settings)


@pytest.mark.parametrize("port", [99_999, "x"])
def test_no_socket_stays_open_where_none_can_listen(port: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((OverflowError, TypeError)):
            listen("127.0.0.1", port)
        gc.collect()


def test_a_server_that_cannot_be_called_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    before = threading.active_count()
    with pytest.raises(EmulatorError, match=r"cannot be called: RuntimeError: no network\.$"):
        emulator.Emulator(backends=("dify",)).start()
    assert threading.active_count() <= before


def test_a_server_that_does_not_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def give_up(self: Server, sockets: object = None) -> None:
        self.should_exit = True

    monkeypatch.setattr(Server, "startup", give_up)
    with pytest.raises(EmulatorError, match=r"^The emulator did not start; its log says why\.$"):
        emulator.Emulator(backends=("dify",)).start()


def test_a_server_that_never_comes_up_where_the_clocks_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(Server, "run", lambda self, sockets: released.wait(30))
    monkeypatch.setattr(threaded, "START_SECONDS", 0.1)
    server = ThreadedServer(backends=("dify",))
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: 1.0)
        with pytest.raises(RuntimeError, match="did not start"):
            server.start()
    released.set()
    server.stop()


def test_settings_may_be_misspelt_and_folders_be_texts(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^there is no setting 'sped'; did you mean speed\?$"):
        emulator.Emulator(sped=0)
    (tmp_path / "any").mkdir()
    (tmp_path / "any" / "own-day.yaml").write_text("description: A day.\nsteps: [say: Mine.]\n", "utf-8")
    with emulator.Emulator(scenarios=str(tmp_path), backends=("plainchat",), speed=0) as running:
        running.arm("plainchat", scenario="own-day")


def test_completion_shows_what_there_is() -> None:
    assert set(dir(emulator)) == set(emulator.__all__)


def test_settings_or_their_members() -> None:
    with pytest.raises(TypeError, match="not both"):
        emulator.Emulator(emulator.Settings(), speed=0)
    with emulator.Emulator(emulator.Settings(port=0, speed=0, backends=("dify",))) as running:
        assert running._ask("GET", "")["speed"] == 0


def test_one_beyond_loopback_knows_its_own_token() -> None:
    with emulator.Emulator(host="0.0.0.0", backends=("dify",), seed=6) as running:
        assert running.url().startswith("http://127.0.0.1:")
        assert running.seed == 6
        with pytest.raises(EmulatorError, match="asks for its token"):
            connect(running.url())


def test_the_token_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadedServer(host="0.0.0.0", backends=("dify",)) as server:
        assert server.app.token is not None
        monkeypatch.setenv("CHAT_EMULATOR_TOKEN", server.app.token)
        assert connect(server.url).seed == 0
        assert connect(server.url, server.app.token).seed == 0
        with pytest.raises(EmulatorError, match="asks for its token"):
            connect(server.url, "wrong-token")
        monkeypatch.setenv("CHAT_EMULATOR_TOKEN", f" {server.app.token}\r\n")
        assert connect(server.url).seed == 0


@pytest.mark.parametrize("token", ["my-secret\nX-Other: 1", "my-secret\u20ac", "my secret", "secret", "secret" * 100])
def test_a_token_that_can_be_none_is_not_shown(running: Emulator, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    what = "^Expected 8 to 200 letters, digits and . _ ~ \\+ / - as {}, got something else.$"
    with pytest.raises(EmulatorError, match=what.format("the argument token")):
        connect(running.url(), token)
    monkeypatch.setenv("CHAT_EMULATOR_TOKEN", token)
    with pytest.raises(EmulatorError, match=what.format("CHAT_EMULATOR_TOKEN")):
        connect(running.url())


@pytest.mark.parametrize(
    "url", ["localhost:8787", "ftp://localhost", "http://", "http://host:port", "http://[::1", "x"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(EmulatorError, match=r"^Expected an address such as http://127\.0\.0\.1:8787, got '.*'\.$"):
        connect(url)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET /_emulator/health gave 200 and no JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "its /_emulator/health is not ours"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}", "GET /_emulator/health gave 404"),
        (b"SSH-2.0-x\r\n", "its answer is no HTTP"),
    ],
)
def test_something_else_answers(answer: bytes, why: str) -> None:
    def serve() -> None:
        client, _ = listening.accept()
        with client:
            client.recv(4096)
            client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(EmulatorError, match=f"is no chat-emulator: {why}"):
            connect(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()


def test_an_emulator_that_fails_is_no_stranger() -> None:
    ours, crashed = b'{"status": "ok"}', b"Internal Server Error"

    def serve() -> None:
        for status, body in ((200, ours), (500, crashed)):
            client, _ = listening.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        session = connect(url)
        with pytest.raises(EmulatorError) as caught:
            session.calls()
        assert str(caught.value) == f"The emulator at {url} failed (500); its log says why."
        thread.join()


def test_an_address_may_have_a_path_and_a_slash_at_the_end() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from emulator.server import make_server

    application = Starlette(routes=[Mount("/there/below", emulator.create_app(speed=0))])
    listening = listen("127.0.0.1", 0)
    server = make_server(application)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/there/below"
    try:
        session = connect(f"{url}/").session("below", seed=1)
        assert session.url("dify") == f"{url}/_s/below/dify/v1"
        headers = {"Authorization": "Bearer app-emulator-agent"}
        body = {"inputs": {}, "query": "Draw a lighthouse.", "user": "abc-123", "response_mode": "streaming"}
        httpx.post(f"{session.url('dify')}/chat-messages", json=body, headers=headers, timeout=20)
        file = next(event for event in session.calls().only.events if event["event"] == "message_file")
        assert file["url"].startswith(f"{url}/_s/below/dify/files/")
        assert httpx.get(file["url"], timeout=20).content.startswith(b"\x89PNG")
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def test_no_proxy_is_asked(running: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert connect(running.url()).seed == 0


def test_many_threads_share_a_session(session: Session) -> None:
    def work() -> None:
        connection = http.client.HTTPConnection(session.url().split("/")[2])
        for _ in range(10):
            connection.request(
                "GET", f"/_s/{session.name}/dify/v1/info", headers={"Authorization": "Bearer app-emulator"}
            )
            connection.getresponse().read()
            session.calls(wait=0)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.expect("dify", "getChatAppInfo", times=40)
