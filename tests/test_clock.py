"""A session's clock is virtual or real, can be set and moved ahead, and streams under way come along."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from session_calls import Asked, Talker, asked
from test_player import A, Stage, shown

from emulator.app import create_app
from emulator.call import Call, Event, Stream
from emulator.durations import duration
from emulator.errors import Misused
from emulator.pipeline import answer
from emulator.settings import Settings, read_clock
from emulator.streams.player import Player
from emulator.streams.steps import Say, Wait
from emulator.times import EARLIEST, LATEST, moment
from emulator.world.clock import VIRTUAL_START, Clock
from emulator.world.session import Sessions

APP = create_app(speed=0, seed=3)


# ---- Texts ----


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T00:00:00Z", VIRTUAL_START),
        ("2026-01-01", VIRTUAL_START),
        ("2026-01-01T00:00", VIRTUAL_START),
        ("2026-01-01T02:00:00.5+02:00", VIRTUAL_START + 0.5),
        ("1971-01-01T00:00:00Z", EARLIEST),
        ("9999-01-01T00:00:00Z", LATEST),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert moment(text) == seconds
    assert read_clock(text) == ("virtual", seconds)
    assert Sessions(Settings(clock=text)).get("a").clock.now() == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sun",
        "Virtual",
        "2026",
        "2026-13-01",
        "2026-02-30",
        "2026-01-01T25:00Z",
        "2026-01-01 00:00:00",
        "1970-12-31T23:59:59Z",
        "9999-01-01T00:00:01Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "２026-01-01",
        "2026-W01-1",
        "2026-01-01T00:00:00Z\n",
    ],
)
def test_texts_that_are_no_clock(text: str) -> None:
    with pytest.raises(Misused, match="Expected virtual, real or an ISO 8601 time"):
        Settings(clock=text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("90s", 90), ("1.5m", 90), ("24h", 86_400), ("7d", 604_800), ("0s", 0)]
)
def test_spans(text: str, seconds: float) -> None:
    assert duration(text, 1e9) == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "-1s", "1e3s", "1w", "９s", "1" * 20 + "s"])
def test_texts_that_are_no_span(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        duration(text, 1e9)


# ---- Clocks ----


def test_a_clock_can_be_set_and_moved_ahead() -> None:
    clock = Clock("virtual")
    clock.advance(90)
    clock.tick()
    assert clock.now() == VIRTUAL_START + 91
    assert clock.shown() == {"kind": "virtual", "now": "2026-01-01T00:01:31Z"}
    other = clock.copy()
    other.advance(1)
    assert other.now() - clock.now() == 1 and other.epoch == clock.epoch
    clock.rewind()
    assert clock.now() == VIRTUAL_START
    clock.set("virtual", 5e8)
    assert clock.now() == clock.epoch == 5e8


def test_a_real_clock_gets_ahead_of_the_wall_clock() -> None:
    clock = Clock("real")
    clock.advance(3600)
    begun = datetime.now(UTC).timestamp()
    assert begun + 3599 < clock.now() < begun + 3605
    clock.rewind()
    assert clock.epoch > begun + 3599, "real time cannot go back"
    clock.set("real")
    assert clock.now() < begun + 5


def test_no_clock_goes_beyond_what_can_be_written() -> None:
    clock = Clock("virtual", LATEST)
    clock.tick()
    clock.pass_(1e300)
    assert clock.now() == LATEST
    assert clock.shown()["now"] == "9999-01-01T00:00:00Z"


@pytest.mark.parametrize("clock", ["1971-01-01", "9998-12-31T23:59:00Z"])
def test_every_backend_lives_at_the_ends_of_time(clock: str) -> None:
    app = create_app(speed=0, clock=clock)
    talker = Talker(app, "a")
    assert all(told.status < 500 for told in talker.all("word"))
    if clock.startswith("9998"):
        app.sessions.get("a").clock.advance(1e6)
        assert app.sessions.get("a").clock.now() == LATEST
        assert all(told.status < 500 for told in talker.all("last"))


# ---- Streams under way ----


def played_to(play: Iterator[Any], until: float) -> list[Any]:
    """What comes until the player wants to wait beyond `until`; its last item is that wait."""
    items = []
    for item in play:
        items.append(shown(item))
        if isinstance(item, float) and item > until:
            break
    return items


def test_a_stream_comes_along_and_moves_the_clock_once() -> None:
    stage = Stage(Wait(25), A, keep_alive=10)
    skipped: list[float] = []
    stage.player.on_advance(skipped.append)
    play = stage.player.play()
    assert next(play) == 10.0
    stage.clock.advance(25)
    stage.player.advance(25)
    assert skipped == [25]
    assert played_to(play, 25.0) == ["PING", 20.0, "PING", 25.0, "a", 25.5]
    assert stage.clock.now() == VIRTUAL_START + 25, "not once more by the stream"
    assert [shown(item) for item in play] == ["b", 26.0, "c", 26.5, "end", "close"]
    assert stage.clock.now() == VIRTUAL_START + 26.5


def test_in_the_middle_of_a_wait_only_the_rest_is_waited_for() -> None:
    stage = Stage(Wait(10))
    play = stage.player.play()
    next(play)
    stage.clock.advance(4)
    stage.player.advance(4)
    list(play)
    assert stage.clock.now() == VIRTUAL_START + 10


def test_time_beyond_the_end_of_a_stream_is_not_taken_back() -> None:
    stage = Stage(Wait(10))
    play = stage.player.play()
    next(play)
    stage.clock.advance(1000)
    stage.player.advance(1000)
    list(play)
    assert stage.clock.now() == VIRTUAL_START + 1000
    stage.player.advance(5)
    assert stage.clock.now() == VIRTUAL_START + 1000


def test_an_answer_that_is_too_long_ends_as_if_it_had_been_waited_for() -> None:
    stage = Stage(Say("abc", every=30, size=1))
    stage.player._longest = 40
    play = stage.player.play()
    assert [shown(next(play)), shown(next(play))] == ["a", 30.0]
    stage.clock.advance(100)
    stage.player.advance(100)
    assert [shown(item) for item in play] == ["b", 40.0, "stopped", "close"]
    assert stage.clock.now() == VIRTUAL_START + 100


def test_several_advances_add_up() -> None:
    stage = Stage(Wait(10), Wait(10))
    play = stage.player.play()
    next(play)
    for _ in range(3):
        stage.clock.advance(5)
        stage.player.advance(5)
    list(play)
    assert stage.clock.now() == VIRTUAL_START + 20


class Reader:
    """Plays streams as the edge does, by a time of its own instead of the loop's."""

    def __init__(self, talker: Talker, speed: float = 1.0) -> None:
        self.talker = talker
        self.now = 0.0
        self.speed = speed
        self.came: list[tuple[float, str]] = []
        self._waiting: list[tuple[float, int, dict[str, Any]]] = []

    def begin(self, call: Asked) -> None:
        """A streamed call; what comes at once is there when it returns."""
        made = Call(call.method, call.path, call.query.encode(), call.headers, call.body, self.talker.session)
        app = self.talker.app
        reply = answer(app.services[call.backend], app.sessions, app.settings, made).reply
        assert isinstance(reply, Stream), reply
        stream: dict[str, Any] = {"reply": reply, "play": reply.performance.play(), "begun": self.now}

        def skip(seconds: float) -> None:
            stream["begun"] -= seconds

        reply.performance.on_advance(skip)
        self._go_on(stream)

    def _go_on(self, stream: dict[str, Any]) -> None:
        for item in stream["play"]:
            if isinstance(item, float):
                stream["until"] = item
                heapq.heappush(self._waiting, (stream["begun"] + item, id(stream), stream))
                return
            if isinstance(item, Event):
                self.came.append((self.now, stream["reply"].encode(item).decode()))

    def wait(self, seconds: float = 0.0) -> str:
        """Time passes; what came meanwhile."""
        seen = len(self.came)
        end = self.now + seconds
        while True:
            due = [(stream["begun"] + stream["until"], key, stream) for _, key, stream in self._waiting]
            due = [one for one in due if one[0] <= end]
            if not due:
                break
            at, key, stream = min(due, key=lambda one: one[:2])
            self._waiting = [one for one in self._waiting if one[1] != key]
            self.now = max(self.now, at)
            self._go_on(stream)
        self.now = end
        return "".join(frame for _, frame in self.came[seen:])


def ask(query: str, **members: Any) -> Asked:
    body = {"user": "u", "inputs": {}, "query": query, "response_mode": "streaming", **members}
    return asked("dify", "POST", "/v1/chat-messages", body)


def test_pings_come_due_when_the_clock_is_moved_ahead() -> None:
    session = APP.sessions.get("pings")
    reader = Reader(Talker(APP, "pings"))
    reader.begin(ask("/scenario long-answer"))
    assert "ping" not in reader.wait()
    before = session.clock.now()
    (task,) = session.worlds["dify"].running.values()
    assert isinstance(task[1], Player)
    session.patch(advance="600s")
    rest = reader.wait()
    assert "message_end" in rest and session.worlds["dify"].running == {}
    assert session.clock.now() == before + 600


def test_streams_of_every_world_come_along() -> None:
    session = APP.sessions.get("both")
    reader = Reader(Talker(APP, "both"))
    reader.begin(ask("/scenario long-answer"))
    talk = {"content": "/scenario long-answer", "chat_id": talk_of(reader.talker)}
    reader.begin(asked("deskchat", "POST", "/chat/messages/stream", talk))
    assert [one["running"] for one in session.shown()["backends"].values()] == [1, 1]
    before = session.clock.now()
    session.advance(600)
    reader.wait()
    assert [one["running"] for one in session.shown()["backends"].values()] == [0, 0]
    assert session.clock.now() == before + 600


def talk_of(talker: Talker) -> str:
    listed = talker(asked("deskchat", "GET", "/chat/conversations/list")).json["data"]["list"]
    uuid: str = listed[0]["uuid"]
    return uuid


def test_the_end_of_a_stream_says_the_same_however_time_passed() -> None:
    bodies = []
    for name in ("waited", "moved"):
        reader = Reader(Talker(APP, name))
        reader.begin(ask("/scenario long-answer"))
        if name == "moved":
            APP.sessions.get(name).advance(3600)
            reader.wait()
            APP.sessions.get(name).clock.ahead -= 3600
        else:
            reader.wait(3600)
        bodies.append([frame for _, frame in reader.came])
    waited, moved = ([frame for frame in body if "message_end" not in frame] for body in bodies)
    assert waited == moved


# ---- What waits for a time ----


def test_jobs_finish() -> None:
    talker = Talker(APP, "jobs")
    job = {"score_threshold": 0.5, "embedding_provider_name": "x", "embedding_model_name": "y"}
    id = talker(asked("dify", "POST", "/v1/apps/annotation-reply/enable", job)).json["job_id"]
    status = asked("dify", "GET", f"/v1/apps/annotation-reply/enable/status/{id}")
    assert talker(status).json["job_status"] == "waiting"
    APP.sessions.get("jobs").patch(advance="2s")
    assert talker(status).json["job_status"] == "completed"
    APP.sessions.get("jobs").patch(advance="11m")
    assert talker(status).status == 400, "its result is kept for a while only"


def test_tokens_expire() -> None:
    talker = Talker(APP, "tokens")
    session = APP.sessions.get("tokens")
    login = asked("toolchat", "POST", "/api/auth/login", {"username": "demo", "password": "demo-password"})
    token = talker(login).json["data"]["access_token"]
    me = asked("toolchat", "GET", "/api/auth/me", token=token)
    form = {"content-type": "application/x-www-form-urlencoded"}
    reply = talker(Asked("ruoyi", "POST", "/dev-api/login", b"username=admin&password=admin123", form))
    chats = asked("ruoyi", "GET", "/dev-api/api/ai/dify/chats", token=reply.json["token"], user_id=1)
    assert [talker(me).status, talker(chats).status] == [200, 200]
    session.patch(advance="23h")
    assert talker(me).status == 200
    session.patch(advance="1h")
    assert [talker(me).status, talker(chats).status] == [401, 401]
    session.patch(clock="2026-01-01T01:00:00Z")
    assert talker(me).status == 200, "before its end it is good again"


def test_a_conversation_is_named_after_a_second() -> None:
    app = create_app(speed=0, clock="2026-01-01")
    talker, session = Talker(app, "named"), app.sessions.get("named")
    reply = talker(ask("Where do storks spend the winter, and why?"))
    id = json.loads(reply.body.decode().split("\n\n")[0].removeprefix("data: "))["conversation_id"]
    conversation: Any = session.worlds["dify"].store.collections["conversations"].get(id)
    session.clock.set("virtual", conversation.named_at - 2)

    def name() -> str:
        # Each call takes a second.
        (shown,) = [
            one for one in talker(asked("dify", "GET", "/v1/conversations", user="u")).json["data"] if one["id"] == id
        ]
        found: str = shown["name"]
        return found

    before = name()
    session.patch(advance="1s")
    assert before != name() == conversation.title
