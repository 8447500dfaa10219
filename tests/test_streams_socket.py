"""Streams over real sockets, read byte by byte: when frames leave, how a stream ends, what happens to those who stop,
leave, stall or send oddly.

Times are only held from below (the server may never be early) or against a bound that is generous beyond doubt.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from conftest import KEYS

from emulator.settings import Limits
from emulator.testing.server import ThreadedServer
from emulator.world.journal import Entry

SPEED = 20
SEND_SECONDS = 0.5
LONG = 20.0
"""Seconds that nothing here may take, and by far."""
PING = b"event: ping\n\n"
STREAMS = 200
WORDS = " ".join(f"word{number}" for number in range(200))
HUGE = 11
OWN = {
    "spaced": "- {say: abcdef, size: 1, every: 1500ms}",
    "patient": "- {say: Well, every: 0}\n- wait: 25s\n- {say: '  done. ', size: 100, every: 0}",
    "stuck": "- {say: One moment, every: 0}\n- wait: 600s\n- say: never",
    "endless": f"- say: {WORDS}\n  every: 100ms",
    # More than the buffers of two sockets hold.
    "huge": "\n".join(
        [
            f"- {{say: &text {'x' * 1_000_000}, size: 100000, every: 0}}",
            *HUGE * ["- {say: *text, size: 100000, every: 0}"],
        ]
    ),
    "overdue": "- {say: Early, every: 0}\n- wait: 1300s\n- say: late",
    "raw": '- bytes: "data: {\\n: half a frame"\n- bytes: {base64: /wA=}',
    "cut-while-playing": "- {say: abc, size: 1, every: 1s}\n- fault: disconnect\n- {say: def, size: 1, every: 1s}",
    "cut-at-once": "- fault: disconnect\n- say: nobody hears it",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenarios of these tests alone."""
    own = tmp_path_factory.mktemp("scenarios")
    (own / "dify").mkdir()
    for name, steps in OWN.items():
        (own / "dify" / f"{name}.yaml").write_text(f"steps:\n{steps}\n")
    return own


@pytest.fixture(scope="module")
def instant(folder: Path) -> Iterator[ThreadedServer]:
    """Without waiting, and impatient with those who do not read or send."""
    with ThreadedServer(backends=("dify",), speed=0, scenarios=folder, limits=Limits(send_seconds=SEND_SECONDS)) as one:
        yield one


@pytest.fixture(scope="module")
def paced(folder: Path) -> Iterator[ThreadedServer]:
    """Twenty times as fast as written, on the wall clock."""
    with ThreadedServer(backends=("dify",), speed=SPEED, scenarios=folder) as one:
        yield one


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """For what happens beside the streams."""
    with httpx.Client(timeout=30) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_went_wrong(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does is no error of the server."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


@dataclass
class Wire:
    """One connection of our own. Everything it reads it can be asked for again."""

    server: ThreadedServer
    session: str
    receive_buffer: int | None = None
    held: bytes = b""
    sock: socket.socket = field(init=False)

    def __enter__(self) -> Self:
        self.sock = socket.socket()
        if self.receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self.sock.settimeout(LONG)
        self.sock.connect(("127.0.0.1", int(self.server.url.rsplit(":", 1)[1])))
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def head(self, method: str, path: str, *lines: str, version: str = "1.1", user_key: str = KEYS["chat"]) -> bytes:
        """The head of a request."""
        own = (f"Authorization: Bearer {user_key}", f"X-Emulator-Session: {self.session}", "Host: emulator.test")
        return "\r\n".join([f"{method} /dify/v1{path} HTTP/{version}", *own, *lines, "", ""]).encode()

    def chat(self, scenario: str | None = None, *lines: str, mode: str = "streaming", version: str = "1.1") -> bytes:
        """A whole chat request."""
        body = chat_body(mode)
        chosen = () if scenario is None else (f"X-Emulator-Scenario: {scenario}",)
        typed = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        return self.head("POST", "/chat-messages", *chosen, *typed, *lines, version=version) + body

    def send(self, data: bytes) -> Self:
        self.sock.sendall(data)
        return self

    def more(self) -> None:
        """Hold what comes next. Raises EOFError at the end of the connection, OSError when it is reset."""
        piece = self.sock.recv(65536)
        if not piece:
            raise EOFError
        self.held += piece

    def all(self) -> None:
        """Hold everything. Raises EOFError or OSError when there is no more, so it always does."""
        while True:
            self.more()

    def until(self, end: bytes) -> bytes:
        """What comes up to and with `end`."""
        while end not in self.held:
            self.more()
        found, self.held = self.held.split(end, 1)
        return found + end

    def exactly(self, size: int) -> bytes:
        while len(self.held) < size:
            self.more()
        found, self.held = self.held[:size], self.held[size:]
        return found

    def answer_head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of what comes next."""
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)

    def chunk(self) -> bytes:
        """One chunk of a chunked body; b"" is the last."""
        size = int(self.until(b"\r\n"), 16)
        data = self.exactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    def chunks(self) -> Iterator[bytes]:
        """Chunks to the proper end."""
        while data := self.chunk():
            yield data

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """A whole answer."""
        status, headers = self.answer_head()
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, b"".join(self.chunks())
        return status, headers, self.exactly(int(headers.get("content-length", 0)))

    def stream(self) -> list[bytes]:
        """The frames of a stream that ends properly."""
        status, headers = self.answer_head()
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        return list(self.chunks())

    def is_silent(self) -> bool:
        """Nothing more has come by now."""
        self.sock.settimeout(0.05)
        try:
            self.more()
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(LONG)
        return False


def chat_body(mode: str, query: str = "What is new?", user: str = "abc-123") -> bytes:
    return json.dumps({"inputs": {}, "query": query, "user": user, "response_mode": mode}).encode()


def event_of(frame: bytes) -> dict[str, Any]:
    assert frame.startswith(b"data: {") and frame.endswith(b"}\n\n"), frame
    event: dict[str, Any] = json.loads(frame[6:])
    return event


def kinds(frames: list[bytes]) -> list[str]:
    return ["ping" if frame == PING else event_of(frame)["event"] for frame in frames]


def text_of(frames: list[bytes]) -> str:
    events = [event_of(frame) for frame in frames if frame != PING]
    return "".join(event["answer"] for event in events if event["event"] == "message")


@dataclass
class Beside:
    """What can be seen and done beside a stream, in its session."""

    http: httpx.Client
    server: ThreadedServer
    session: str

    def call(self, method: str, path: str, key: str = KEYS["chat"], **members: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", "X-Emulator-Session": self.session}
        return self.http.request(method, f"{self.server.url}/dify/v1{path}", headers=headers, **members)

    def stop(self, task_id: str, user: str = "abc-123", key: str = KEYS["chat"]) -> None:
        reply = self.call("POST", f"/chat-messages/{task_id}/stop", key, json={"user": user})
        assert (reply.status_code, reply.json()) == (200, {"result": "success"})

    def message(self, id: str) -> dict[str, Any]:
        """A message as its conversation's history shows it."""
        conversations = self.call("GET", "/conversations", params={"user": "abc-123", "limit": 100}).json()["data"]
        for conversation in conversations:
            query = {"user": "abc-123", "conversation_id": conversation["id"]}
            for message in self.call("GET", "/messages", params=query).json()["data"]:
                if message["id"] == id:
                    found: dict[str, Any] = message
                    return found
        raise AssertionError(f"no message {id}")

    def entry(self, operation: str = "sendChatMessage") -> Entry:
        """The last journal entry of an operation."""
        entries: list[Entry] = list(self.server.app.sessions.get(self.session).journal.entries)
        return next(entry for entry in reversed(entries) if entry.operation == operation)

    def running(self) -> list[str]:
        """Tasks under way."""
        service = self.server.app.services["dify"]
        return list(self.server.app.sessions.get(self.session).world("dify", service.backend.populate).running)


def eventually(true: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def beside_instant(http: httpx.Client, instant: ThreadedServer, session_name: str) -> Beside:
    return Beside(http, instant, session_name)


@pytest.fixture
def beside_paced(http: httpx.Client, paced: ThreadedServer, session_name: str) -> Beside:
    return Beside(http, paced, session_name)


# --- time and framing


def test_frames_leave_one_by_one_and_never_early(paced: ThreadedServer, session_name: str) -> None:
    with Wire(paced, session_name) as wire:
        sent = time.monotonic()
        wire.send(wire.chat("spaced")).answer_head()
        came = [(time.monotonic() - sent, frame) for frame in wire.chunks()]
    frames = [frame for _, frame in came]
    assert [event_of(frame).get("answer") for frame in frames] == [*"abcdef", None]
    assert kinds(frames)[-1] == "message_end"
    assert all(at >= number * 1.5 / SPEED - 0.003 for number, (at, _) in enumerate(came))


@pytest.mark.parametrize("speed", [0, 5])
def test_a_session_has_its_own_speed(paced: ThreadedServer, session_name: str, speed: int) -> None:
    paced.app.sessions.get(session_name).speed = speed
    with Wire(paced, session_name) as wire:
        begun = time.monotonic()
        wire.send(wire.chat("default")).stream()
        took = time.monotonic() - begun
    # The scenario takes 1.66 s.
    assert took >= (1.66 / speed - 0.003 if speed else 0)


def test_at_speed_0_nothing_waits(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        begun = time.monotonic()
        frames = wire.send(wire.chat("stuck")).stream()
        assert time.monotonic() - begun < LONG
    assert text_of(frames) == "One momentnever"
    assert frames.count(PING) == 60


def test_a_wait_of_25_s_has_two_pings_at_once_at_speed_0(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        frames = wire.send(wire.chat("patient")).stream()
    assert kinds(frames) == ["message", "ping", "ping", "message", "message_end"]
    assert event_of(frames[-1])["metadata"]["usage"]["latency"] == 25.0


def test_pings_come_after_each_ten_seconds_of_stream_time(paced: ThreadedServer, session_name: str) -> None:
    with Wire(paced, session_name) as wire:
        sent = time.monotonic()
        wire.send(wire.chat("patient")).answer_head()
        came = [(time.monotonic() - sent, frame) for frame in wire.chunks()]
    pings = [at for at, frame in came if frame == PING]
    assert len(pings) == 2
    assert pings[0] >= 10 / SPEED - 0.003 and pings[1] >= 20 / SPEED - 0.003
    assert came[-1][0] >= 25 / SPEED - 0.003


def test_a_stream_ends_like_any_chunked_body_and_with_nothing_else(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        wire.send(wire.chat("default")).answer_head()
        while b"\r\n0\r\n" not in wire.held:
            wire.more()
        assert wire.held.endswith(b"}\n\n\r\n0\r\n\r\n")
        assert b"[DONE]" not in wire.held
        assert wire.is_silent()


@pytest.mark.parametrize("scenario", ["default", "error-mid-stream", "quota-exceeded", "spoken-answer"])
def test_after_its_end_a_stream_says_no_more(
    instant: ThreadedServer, beside_instant: Beside, session_name: str, scenario: str
) -> None:
    with Wire(instant, session_name) as wire:
        frames = wire.send(wire.chat(scenario)).stream()
        assert wire.is_silent()
    told = kinds(frames)
    last = {"default": "message_end", "spoken-answer": "tts_message_end"}.get(scenario, "error")
    assert told[-1] == last
    assert told.count("error") == (last == "error")
    assert told.count("message_end") == (last != "error")
    eventually(lambda: beside_instant.entry().closed == "ended")
    assert beside_instant.entry().frame_count == len(frames)
    assert beside_instant.running() == []


def test_bytes_of_a_scenario_go_out_as_they_are(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        first, second, end = wire.send(wire.chat("raw")).stream()
    assert (first, second) == (b"data: {\n: half a frame", b"\xff\x00")
    assert kinds([end]) == ["message_end"]


def test_an_answer_ends_after_1200_seconds_as_if_it_was_stopped(
    instant: ThreadedServer, beside_instant: Beside, session_name: str
) -> None:
    """FACTS.md 002 §2: overall limit 1200 s."""
    with Wire(instant, session_name) as wire:
        frames = wire.send(wire.chat("overdue")).stream()
    assert kinds(frames)[0] == "message" and kinds(frames)[-1] == "message_end"
    assert text_of(frames) == "Early"
    assert event_of(frames[-1])["metadata"]["usage"]["latency"] == 1200.0
    assert beside_instant.message(event_of(frames[0])["message_id"])["answer"] == "Early"


def test_two_hundred_streams_at_once_all_end(paced: ThreadedServer, session_name: str) -> None:
    port = int(paced.url.rsplit(":", 1)[1])
    request = Wire(paced, session_name).chat("default", "Connection: close")

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def all_of_them() -> list[bytes]:
        return await asyncio.gather(*(one() for _ in range(STREAMS)))

    answers = asyncio.run(asyncio.wait_for(all_of_them(), 30))
    bodies = [answer.split(b"\r\n\r\n", 1)[1] for answer in answers]
    assert all(answer.startswith(b"HTTP/1.1 200 OK\r\n") for answer in answers)
    assert all(body.endswith(b"}\n\n\r\n0\r\n\r\n") for body in bodies)
    assert all(body.count(b'"event":"message_end"') == 1 and b'"event":"error"' not in body for body in bodies)
    assert len({body.count(b'"event":"message"') for body in bodies}) == 1
    assert len({event_of(body.split(b"\r\n", 2)[1])["task_id"] for body in bodies}) == STREAMS


# --- faults


def read_until_broken(wire: Wire) -> list[bytes]:
    """The frames that came before the connection broke."""
    status, _ = wire.answer_head()
    assert status == 200
    frames: list[bytes] = []
    with pytest.raises((ConnectionResetError, EOFError)):
        frames.extend(wire.chunks())
    assert wire.held == b"", "half a chunk"
    return frames


@pytest.mark.parametrize(
    ("scenario", "heard", "whole"),
    [
        (
            "disconnect-mid-stream",
            "The answer begins as usual and then",
            "The answer begins as usual and then goes on where nobody can hear it any more.",
        ),
        ("cut-while-playing", "abc", "abcdef"),
        ("cut-at-once", "", "nobody hears it"),
    ],
)
@pytest.mark.parametrize("kind", ["instant", "paced"])
def test_a_disconnect_breaks_the_wire_and_not_the_store(
    request: pytest.FixtureRequest, session_name: str, kind: str, scenario: str, heard: str, whole: str
) -> None:
    server: ThreadedServer = request.getfixturevalue(kind)
    beside: Beside = request.getfixturevalue(f"beside_{kind}")
    with Wire(server, session_name) as wire:
        frames = read_until_broken(wire.send(wire.chat(scenario)))
    assert set(kinds(frames)) <= {"message"}
    assert text_of(frames) == heard
    eventually(lambda: beside.entry().closed == "cut")
    newest = beside.call("GET", "/conversations", params={"user": "abc-123", "sort_by": "-created_at", "limit": 1})
    query = {"user": "abc-123", "conversation_id": newest.json()["data"][0]["id"]}
    (message,) = beside.call("GET", "/messages", params=query).json()["data"]
    assert (message["answer"], message["status"], message["error"]) == (whole, "normal", None)


def test_a_disconnect_is_a_reset(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        wire.send(wire.chat("disconnect-mid-stream"))
        with pytest.raises(ConnectionResetError):
            wire.all()


def test_a_disconnect_cuts_a_reply_that_does_not_stream(
    instant: ThreadedServer, beside_instant: Beside, session_name: str
) -> None:
    with Wire(instant, session_name) as wire:
        status, headers = wire.send(wire.chat("disconnect-mid-stream", mode="blocking")).answer_head()
        assert (status, headers["x-emulator-scenario"]) == (200, "disconnect-mid-stream")
        with pytest.raises((ConnectionResetError, EOFError)):
            wire.all()
        assert 0 < len(wire.held) < int(headers["content-length"])
        id = wire.held.split(b'"message_id":"')[1][:36].decode()
    message = beside_instant.message(id)
    assert message["answer"] == "The answer begins as usual and then goes on where nobody can hear it any more."


# --- stopping


def begun(wire: Wire, scenario: str) -> tuple[bytes, str]:
    """A stream under way: its first frame and its task."""
    wire.send(wire.chat(scenario)).answer_head()
    first = wire.chunk()
    return first, event_of(first)["task_id"]


@pytest.fixture
def unhurried(paced: ThreadedServer, session_name: str) -> None:
    """This test's session takes stream time as it is: too long to be waited for."""
    paced.app.sessions.get(session_name).speed = 1


@pytest.mark.usefixtures("unhurried")
def test_a_stop_ends_it_properly_with_the_part_that_was_produced(
    paced: ThreadedServer, beside_paced: Beside, session_name: str
) -> None:
    with Wire(paced, session_name) as wire:
        start = time.monotonic()
        first, task_id = begun(wire, "endless")
        frames = [first, wire.chunk(), wire.chunk()]
        beside_paced.stop(task_id)
        frames += wire.chunks()
        assert time.monotonic() - start < LONG / 2
        assert wire.is_silent()
    assert set(kinds(frames[:-1])) == {"message"} and kinds(frames)[-1] == "message_end"
    assert 3 <= len(frames) - 1 < 150
    usage = event_of(frames[-1])["metadata"]["usage"]
    assert 0 < usage["completion_tokens"] < 300 and usage["total_tokens"] > usage["completion_tokens"]
    message = beside_paced.message(event_of(first)["message_id"])
    assert (message["answer"], message["status"], message["error"]) == (text_of(frames).strip(), "normal", None)
    assert WORDS.startswith(message["answer"]) and len(message["answer"]) < len(WORDS)
    eventually(lambda: beside_paced.entry().closed == "stopped")
    assert beside_paced.running() == []


@pytest.mark.usefixtures("unhurried")
def test_a_stop_wakes_an_answer_that_waits(paced: ThreadedServer, beside_paced: Beside, session_name: str) -> None:
    with Wire(paced, session_name) as wire:
        start = time.monotonic()
        first, task_id = begun(wire, "stuck")
        wire.chunk()
        beside_paced.stop(task_id)
        (end,) = wire.chunks()
        took = time.monotonic() - start
    assert took < LONG / 2
    # It waited a moment of its ten minutes, so it did not take longer than it took.
    assert event_of(end)["metadata"]["usage"]["latency"] <= took
    assert beside_paced.message(event_of(first)["message_id"])["answer"] == "One moment"


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(
    ("user", "key"), [("somebody-else", KEYS["chat"]), ("abc-123", KEYS["agent"]), ("abc-123", KEYS["flow"])]
)
def test_nobody_else_can_stop_it(
    paced: ThreadedServer, beside_paced: Beside, session_name: str, user: str, key: str
) -> None:
    with Wire(paced, session_name) as wire:
        first, task_id = begun(wire, "endless")
        beside_paced.stop(task_id, user, key)
        frames = [first, *(wire.chunk() for _ in range(5))]
        assert kinds(frames) == ["message"] * 6
        assert beside_paced.running() == [task_id]
        beside_paced.stop(task_id)
        frames += wire.chunks()
    assert kinds(frames)[-1] == "message_end"


@pytest.mark.usefixtures("unhurried")
def test_a_session_does_not_stop_another_sessions_answer(
    http: httpx.Client, paced: ThreadedServer, beside_paced: Beside, session_name: str
) -> None:
    with Wire(paced, session_name) as wire:
        _, task_id = begun(wire, "endless")
        Beside(http, paced, f"{session_name}-2").stop(task_id)
        assert kinds([wire.chunk() for _ in range(3)]) == ["message"] * 3
        beside_paced.stop(task_id)
        assert kinds(list(wire.chunks()))[-1] == "message_end"


@pytest.mark.parametrize("task_id", ["00000000-0000-4000-8000-000000000000", "anything", "a%20b"])
def test_stopping_what_is_not_there_is_a_success(beside_paced: Beside, task_id: str) -> None:
    beside_paced.stop(task_id)


def test_stopping_what_is_over_changes_nothing(
    instant: ThreadedServer, beside_instant: Beside, session_name: str
) -> None:
    with Wire(instant, session_name) as wire:
        frames = wire.send(wire.chat("default")).stream()
        before = beside_instant.message(event_of(frames[0])["message_id"])
        beside_instant.stop(event_of(frames[0])["task_id"])
        assert wire.is_silent()
    assert beside_instant.message(before["id"]) == before
    assert beside_instant.entry().closed == "ended"


# --- leaving


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("scenario", ["endless", "stuck"])
@pytest.mark.parametrize("rudely", [False, True])
def test_who_leaves_in_mid_stream_leaves_an_empty_answer(
    paced: ThreadedServer, beside_paced: Beside, session_name: str, scenario: str, rudely: bool
) -> None:
    """FACTS.md 002 §2 State: the final write does not happen."""
    with Wire(paced, session_name) as wire:
        first, task_id = begun(wire, scenario)
        id = event_of(first)["message_id"]
        assert beside_paced.running() == [task_id]
        assert beside_paced.message(id)["answer"] == ""
        if rudely:
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: beside_paced.running() == [])
    eventually(lambda: beside_paced.entry().closed == "left")
    message = beside_paced.message(id)
    assert (message["answer"], message["status"], message["error"]) == ("", "normal", None)
    beside_paced.stop(task_id)
    assert beside_paced.message(id) == message


def test_who_does_not_read_is_let_go_and_holds_up_nobody(
    instant: ThreadedServer, beside_instant: Beside, session_name: str
) -> None:
    with Wire(instant, session_name, receive_buffer=4096) as wire:
        start = time.monotonic()
        wire.send(wire.chat("huge")).answer_head()
        while beside_instant.running():
            # The others are served meanwhile.
            assert beside_instant.call("GET", "/info").status_code == 200
            assert time.monotonic() - start < LONG
            time.sleep(0.02)
        assert time.monotonic() - start >= SEND_SECONDS
        with pytest.raises((ConnectionResetError, EOFError)):
            wire.all()
        assert not wire.held.endswith(b"0\r\n\r\n")
    eventually(lambda: beside_instant.entry().closed == "left")
    newest = beside_instant.call("GET", "/conversations", params={"user": "abc-123", "limit": 1}).json()["data"][0]
    query = {"user": "abc-123", "conversation_id": newest["id"]}
    (message,) = beside_instant.call("GET", "/messages", params=query).json()["data"]
    assert (message["answer"], message["status"]) == ("", "normal")


def test_who_reads_slowly_gets_everything(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name, receive_buffer=4096) as wire:
        wire.send(wire.chat("huge")).answer_head()
        frames = []
        for frame in wire.chunks():
            frames.append(frame)
            time.sleep(0.001)
    assert len(text_of(frames)) == 12_000_000
    assert kinds(frames)[-1] == "message_end"


# --- one connection, many calls


def test_a_connection_serves_on_after_a_stream(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        for scenario in ("default", "error-mid-stream", "ping-between-deltas"):
            assert kinds(wire.send(wire.chat(scenario)).stream())[-1] in ("message_end", "error")
            status, _, body = wire.send(wire.head("GET", "/info")).answer()
            assert (status, json.loads(body)["name"]) == (200, "Travel Desk")
        status, headers, body = wire.send(wire.chat("default", mode="blocking")).answer()
        assert (status, len(body)) == (200, int(headers["content-length"]))


def test_a_connection_serves_on_after_a_reply_without_a_body(instant: ThreadedServer, session_name: str) -> None:
    body = b'{"user": "abc-123"}'
    typed = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    with Wire(instant, session_name) as wire:
        path = "/conversations/6f1f3f0e-5d0a-4c53-9d8e-2b7a41c0de11"
        wire.send(wire.head("DELETE", path, *typed) + body)
        status, headers = wire.answer_head()
        assert status == 204 and "content-length" not in headers and "transfer-encoding" not in headers
        assert wire.send(wire.head("DELETE", path, *typed) + body).answer()[0] == 404
        assert wire.send(wire.head("GET", "/info")).answer()[0] == 200


def test_who_wants_the_connection_closed_gets_it_closed(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        wire.send(wire.chat("default", "Connection: close")).stream()
        with pytest.raises(EOFError):
            wire.more()


def test_head_is_get_without_a_body(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        _, headers, body = wire.send(wire.head("GET", "/parameters")).answer()
        assert len(body) == int(headers["content-length"]) > 0
        assert wire.send(wire.head("HEAD", "/parameters")).answer_head() == (200, headers)
        assert wire.is_silent()
        # The connection is in step: the next answer is the next call's.
        assert json.loads(wire.send(wire.head("GET", "/meta")).answer()[2]) == {"tool_icons": {}}


def test_head_of_what_cannot_be_read_is_refused_without_a_body(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        status, headers = wire.send(wire.head("HEAD", "/chat-messages")).answer_head()
        assert status == 405 and set(headers["allow"].split(", ")) == {"POST", "OPTIONS"}
        assert wire.is_silent()
        assert wire.send(wire.head("GET", "/meta")).answer()[0] == 200


# --- odd senders


def test_a_request_that_comes_byte_by_byte(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in wire.chat("default"):
            wire.send(bytes([byte]))
        assert kinds(wire.stream())[-1] == "message_end"


def test_a_request_whose_body_comes_later(instant: ThreadedServer, session_name: str) -> None:
    body = chat_body("streaming")
    with Wire(instant, session_name) as wire:
        typed = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        wire.send(wire.head("POST", "/chat-messages", *typed))
        for half in (body[:20], body[20:]):
            time.sleep(SEND_SECONDS / 4)
            wire.send(half)
        assert kinds(wire.stream())[-1] == "message_end"


def test_who_asks_first_is_told_to_continue(instant: ThreadedServer, session_name: str) -> None:
    body = chat_body("streaming")
    typed = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Expect: 100-continue")
    with Wire(instant, session_name) as wire:
        wire.send(wire.head("POST", "/chat-messages", *typed))
        assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert kinds(wire.send(body).stream())[-1] == "message_end"


def test_who_asks_first_for_too_much_is_refused_at_once(instant: ThreadedServer, session_name: str) -> None:
    typed = ("Content-Type: application/json", "Content-Length: 99999999999", "Expect: 100-continue")
    with Wire(instant, session_name) as wire:
        status, headers, body = wire.send(wire.head("POST", "/chat-messages", *typed)).answer()
        assert (status, headers["connection"], json.loads(body)["status"]) == (413, "close", 413)
        with pytest.raises((EOFError, ConnectionResetError)):
            wire.more()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_chunked_request(instant: ThreadedServer, session_name: str, size: int) -> None:
    body = chat_body("streaming", "西湖怎么走？")
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunked = b"".join(b"%x;note=x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    typed = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    with Wire(instant, session_name) as wire:
        wire.send(wire.head("POST", "/chat-messages", *typed) + chunked + b"0\r\nX-Trailer: 1\r\n\r\n")
        frames = wire.stream()
        assert "西湖怎么走" in text_of(frames)
        assert wire.send(wire.head("GET", "/info")).answer()[0] == 200


def test_calls_that_do_not_wait_for_answers_are_answered_in_order(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        wire.send(
            wire.chat("default")
            + wire.head("GET", "/info")
            + wire.chat("quota-exceeded", mode="blocking")
            + wire.head("GET", "/meta")
            + wire.chat("ping-between-deltas")
        )
        assert kinds(wire.stream())[-1] == "message_end"
        assert json.loads(wire.answer()[2])["name"] == "Travel Desk"
        assert wire.answer()[0] == 400
        assert json.loads(wire.answer()[2]) == {"tool_icons": {}}
        assert "ping" in kinds(wire.stream())
        assert wire.is_silent()


@pytest.mark.parametrize(
    "lines",
    [
        ("cOnTeNt-TyPe: application/json",),
        ("Content-Type:application/json",),
        ("Content-Type:   application/json   ",),
        ("Content-Type: Application/JSON; charset=UTF-8",),
        ("Content-Type: application/json", "X-Long: " + "x" * 30_000),
    ],
)
def test_headers_may_be_written_in_many_ways(
    instant: ThreadedServer, session_name: str, lines: tuple[str, ...]
) -> None:
    body = chat_body("blocking")
    with Wire(instant, session_name) as wire:
        wire.send(wire.head("POST", "/chat-messages", *lines, f"content-length: {len(body)}") + body)
        assert wire.answer()[0] == 200


def test_a_client_of_http_1_0_is_answered_and_let_go(instant: ThreadedServer, session_name: str) -> None:
    with Wire(instant, session_name) as wire:
        status, headers, body = wire.send(wire.chat("default", mode="blocking", version="1.0")).answer()
        assert (status, headers["connection"]) == (200, "close")
        assert json.loads(body)["event"] == "message"
        with pytest.raises(EOFError):
            wire.more()


@pytest.mark.parametrize(
    "request_head",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /dify/v1/chat-messages HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /dify/v1/chat-messages HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /dify/v1/chat-messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_harms_nobody(
    instant: ThreadedServer, beside_instant: Beside, session_name: str, request_head: bytes
) -> None:
    with Wire(instant, session_name) as wire:
        assert wire.send(request_head).answer()[0] == 400
        with pytest.raises((EOFError, ConnectionResetError)):
            wire.more()
    assert beside_instant.call("GET", "/info").status_code == 200


def test_who_goes_away_in_mid_request_is_forgotten(
    instant: ThreadedServer, beside_instant: Beside, session_name: str
) -> None:
    request = Wire(instant, session_name).chat("default")
    for size in (10, 60, len(request) - 5):
        with Wire(instant, session_name) as wire:
            wire.send(request[:size])
    assert beside_instant.call("GET", "/info").status_code == 200
    entries = instant.app.sessions.get(session_name).journal.entries
    assert [entry.operation for entry in entries] == ["getChatAppInfo"]


@pytest.mark.parametrize("chunked", [False, True])
def test_who_stalls_in_mid_request_is_let_go_and_it_is_no_error_of_ours(
    instant: ThreadedServer, beside_instant: Beside, session_name: str, chunked: bool
) -> None:
    """The same patience as with those who do not read."""
    with Wire(instant, session_name) as wire:
        if chunked:
            typed = ("Content-Type: application/json", "Transfer-Encoding: chunked")
            wire.send(wire.head("POST", "/chat-messages", *typed) + b"1\r\n{\r\n")
        else:
            wire.send(wire.chat("default")[:-5])
        with pytest.raises((ConnectionResetError, EOFError)):
            wire.all()
    assert wire.held == b"" or wire.held.startswith(b"HTTP/1.1 408 ")
    assert beside_instant.call("GET", "/info").status_code == 200
