"""Asking over real sockets: how an answer is cut into chunks, how it ends, and what the history keeps of it. Source:
FACTS.md 001, POST /api/chat."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from days import DAYS
from plainchat_caller import ANSWERED, LONG, MARKER, OPERATIONS, SERVICE, TO_CONTINUE, TO_DELETE, UNKNOWN, Plain

from emulator.fault import Fault
from emulator.service import bundled
from emulator.streams.reading import load
from emulator.streams.steps import Bytes, Fail, File, Say, Send
from emulator.testing.server import ThreadedServer
from emulator.world.media import picture_png

SCENARIOS = sorted(
    (file.parent.name, file.stem)
    for part in ("any", "plainchat")
    for file in (bundled("scenarios") / part).iterdir()
    if file.stem not in DAYS
)
CUT = "三张票一共 45 €，明天在 Café 门口见 👋"
PROMISED = re.compile(SERVICE.document.raw["components"]["schemas"]["ChatText"]["pattern"])
"""What the spec says of the whole text."""
SAYS: dict[type, Callable[[Any], bytes]] = {
    Say: lambda step: bytes(step.text, "utf-8"),
    Bytes: lambda step: bytes(step.data),
    Send: lambda step: bytes(step.event, "utf-8"),
}
"""What the steps of bundled scenarios add to the text."""
OWN = {
    "blanks": '- {say: "\\n \\n", size: 1}\n- say: one\n- say: "\\n"\n- event: two\n- {say: " \\uFEFF", size: 1}',
    "blanks-and-failure": '- say: " "\n- error',
    "raw": (
        "- event: plain \n- event: {a: [1, é]}\n- event: '[ERROR] told by hand'\n"
        "- bytes: '[MESSAGE_ID:told by hand]'\n- bytes: ' ends'"
    ),
    "reason-of-many-lines": '- error: {message: "one\\ntwo\\r\\n  three"}',
    "reason-of-blanks": '- error: {message: "  \\n "}',
    "known-code": "- error: provider_quota_exceeded",
    "unknown-code": "- error: weather_was_bad",
    "half-a-character": "- say: Well\n- bytes: {base64: 5Q==}",
    "after-the-end": "- say: This is kept.\n- end\n- say: This is not.\n- end",
    "after-an-error": "- say: lost\n- error\n- say: not even heard",
    "cannot-be-said": (
        "- ping\n- tool_call: {name: clock}\n- tool_result: noon\n- replace: nothing\n- audio: nothing\n"
        "- file: {type: document, text: nothing}\n- say: All the same."
    ),
    "two-pictures": "- file: {text: a}\n- say: Two.\n- file: {text: b, name: b.png}",
    "failed-picture": "- file: {text: a}\n- error",
    "slow": "- say: abcdefghij\n  size: 1\n  every: 1s",
    "cut-at-once": "- fault: disconnect\n- say: nobody hears it",
    "patient": "- say: First.\n- wait: 1000s\n- say: Last.",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenarios of these tests alone."""
    folder = tmp_path_factory.mktemp("scenarios")
    (folder / "plainchat").mkdir()
    for name, steps in OWN.items():
        (folder / "plainchat" / f"{name}.yaml").write_text(f"steps:\n{steps}\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def instant(own: Path) -> Iterator[ThreadedServer]:
    with ThreadedServer(backends=("plainchat",), speed=0, scenarios=own, check_replies=True) as running:
        yield running


@pytest.fixture(scope="module")
def paced(own: Path) -> Iterator[ThreadedServer]:
    """Ten times as fast as written, on the wall clock."""
    with ThreadedServer(backends=("plainchat",), speed=10, scenarios=own) as running:
        yield running


@pytest.fixture
def plain(instant: ThreadedServer, session_name: str) -> Iterator[Plain]:
    with Plain(instant, session_name) as caller:
        yield caller


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- chunks and markers


def test_an_answer_is_pieces_of_plain_text_and_one_marker(plain: Plain) -> None:
    told = plain.ask("How do I reset my password?")
    assert told.status == 200
    assert told.headers == [
        ("content-type", "text/plain; charset=utf-8"),
        ("x-emulator-operation", "sendChatMessage"),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "X-Emulator-Operation, X-Emulator-Scenario, X-Emulator-Violation"),
        ("transfer-encoding", "chunked"),
    ]
    assert len(told.chunks) > 10
    assert MARKER.fullmatch(told.chunks[-1].decode())
    assert not any(b"[MESSAGE_ID" in chunk for chunk in told.chunks[:-1])
    assert PROMISED.search(told.text)
    for chunk in told.chunks:
        chunk.decode()


def test_the_marker_names_the_message_that_can_be_asked_about(plain: Plain) -> None:
    told = plain.ask("How do I reset my password?")
    reply = plain.suggestions(told.message_id)
    assert reply.status_code == 200
    assert len(reply.json()["data"]) == 3


@pytest.mark.parametrize("scenario", SCENARIOS, ids="/".join)
def test_every_scenario_is_spoken_and_remembered(plain: Plain, scenario: tuple[str, str]) -> None:
    folder, name = scenario
    steps = load(bundled("scenarios") / folder / f"{name}.yaml").steps
    told = plain.ask("请帮我看一下", scenario=name)
    assert told.status == 200
    assert dict(told.headers)["x-emulator-scenario"] == name
    (message,) = plain.newest()
    assert message["query"] == "请帮我看一下"
    text = b"".join(SAYS[type(step)](step) for step in steps if type(step) in SAYS).decode()
    if any(isinstance(step, Fail) for step in steps):
        assert told.whole
        assert b"".join(told.chunks[:-1]).decode() == text
        assert told.chunks[-1].startswith("[ERROR] AI服务异常: ".encode())
        assert PROMISED.search(told.text)
        assert message["answer"] == ""
        return
    assert message["answer"] == text.strip()
    if any(isinstance(step, Fault) for step in steps):
        assert not told.whole
        assert text.startswith(told.text) and told.text != text
    elif name == "ends-without-marker":
        assert told.whole and told.text == text
        assert not PROMISED.search(told.text)
    else:
        assert told.said == text
        assert PROMISED.search(told.text)
    drawn = [step for step in steps if isinstance(step, File)]
    assert [file["belongs_to"] for file in message["message_files"]] == ["assistant"] * len(drawn)


def test_chunks_may_end_inside_characters_and_the_history_has_the_text(plain: Plain) -> None:
    told = plain.ask("How much?", scenario="cut-characters")
    assert told.said == CUT
    broken = 0
    for chunk in told.chunks[:-1]:
        try:
            chunk.decode()
        except UnicodeDecodeError:
            broken += 1
    assert broken == len(told.chunks) - 1 == 8
    assert plain.newest()[0]["answer"] == CUT


def test_what_the_model_did_not_say_is_no_chunk(plain: Plain) -> None:
    told = plain.ask("Anything?", scenario="empty-answer")
    assert len(told.chunks) == 1
    assert told.said == ""


def test_a_long_answer_comes_in_many_pieces(plain: Plain) -> None:
    told = plain.ask("Tell me more", scenario="long-answer")
    assert len(told.chunks) > 100
    assert len(told.said) >= 600


def test_a_scenario_can_be_asked_for_in_the_text(plain: Plain) -> None:
    told = plain.ask("/scenario error-mid-stream")
    assert told.chunks[-1] == "[ERROR] AI服务异常: The model did not answer.".encode()
    assert plain.newest()[0]["query"] == "/scenario error-mid-stream"


# --- failures


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("error-mid-stream", "The model did not answer."),
        ("model-unreachable", "Connection refused"),
        ("reason-of-many-lines", "one two three"),
        ("reason-of-blanks", "The model did not answer."),
        ("known-code", "The model's quota has been used up."),
        ("unknown-code", "weather_was_bad"),
        ("after-an-error", "The model did not answer."),
        ("failed-picture", "The model did not answer."),
    ],
)
def test_a_failure_is_one_last_chunk_with_a_reason_in_one_line(plain: Plain, scenario: str, reason: str) -> None:
    told = plain.ask("Well?", scenario=scenario)
    assert told.whole
    assert told.chunks[-1] == f"[ERROR] AI服务异常: {reason}".encode()
    assert sum(b"[ERROR]" in chunk for chunk in told.chunks) == 1
    assert b"MESSAGE_ID" not in b"".join(told.chunks)
    assert plain.newest() == [
        {"query": "Well?", "answer": "", "message_files": [], "created_at": "2026-01-01T00:00:01Z"}
    ]


@pytest.mark.parametrize("id", [UNKNOWN, "no id at all", " ", "会话", "\x00", "x" * 100_000, TO_CONTINUE.upper()])
def test_an_unknown_conversation_fails_in_the_text(plain: Plain, id: str) -> None:
    before = plain.listed()
    told = plain.ask("Hello", conversation_id=id)
    assert (told.status, told.whole) == (200, True)
    assert told.chunks == ["[ERROR] AI服务异常: Conversation Not Exists.".encode()]
    assert plain.listed() == before


def test_conversations_of_others_and_deleted_ones_are_unknown(plain: Plain) -> None:
    plain.user = "mira"
    assert plain.ask("Hello", conversation_id=TO_CONTINUE).text.startswith("[ERROR]")
    plain.user = "abc-123"
    assert plain.delete(TO_DELETE).status_code == 200
    assert plain.ask("Hello", conversation_id=TO_DELETE).text.startswith("[ERROR]")
    assert plain.ask("Hello", conversation_id=TO_CONTINUE).said


def test_files_that_the_user_did_not_upload_fail_in_the_text(plain: Plain) -> None:
    before = plain.listed()
    mine = plain.upload(("a.png", picture_png("a", 8, 8), "image/png"))
    for ids in ([UNKNOWN], [*mine, ""], ["x"]):
        told = plain.ask("What is this?", file_ids=ids)
        assert told.chunks == ["[ERROR] AI服务异常: The requested file was not found.".encode()]
    plain.user = "mira"
    assert plain.ask("What is this?", file_ids=mine).text.startswith("[ERROR]")
    assert plain.listed() == []
    plain.user = "abc-123"
    assert plain.listed() == before


def test_what_is_refused_wins_over_a_scenario(plain: Plain) -> None:
    told = plain.ask("Hello", scenario="default", conversation_id=UNKNOWN)
    assert told.chunks == ["[ERROR] AI服务异常: Conversation Not Exists.".encode()]


# --- conversations and files


@pytest.mark.parametrize("members", [{}, {"conversation_id": None}, {"conversation_id": ""}, {"file_ids": []}])
def test_no_conversation_id_starts_one_that_is_first_in_the_list(plain: Plain, members: dict[str, Any]) -> None:
    before = plain.listed()
    told = plain.ask("  What is a good name for a cat?\n", **members)
    after = plain.listed()
    assert after[1:] == before
    assert "cat" in after[0]["name"]
    assert after[0]["id"] not in told.text
    assert plain.history(after[0]["id"]) == [
        {
            "query": "What is a good name for a cat?",
            "answer": told.said.strip(),
            "message_files": [],
            "created_at": after[0]["created_at"],
        }
    ]


def test_continuing_adds_to_the_history_and_keeps_the_place_in_the_list(plain: Plain) -> None:
    before = plain.listed()
    earlier = plain.history(TO_CONTINUE)
    first = plain.ask("And then?", conversation_id=TO_CONTINUE).said
    second = plain.ask("And then?", conversation_id=TO_CONTINUE).said
    assert [one["answer"] for one in plain.history(TO_CONTINUE)[len(earlier) :]] == [first.strip(), second.strip()]
    assert first != second
    after = plain.listed()
    assert [one["id"] for one in after] == [one["id"] for one in before]
    old, new = ({one["id"]: one for one in some}[TO_CONTINUE] for some in (before, after))
    assert new["updated_at"] > old["updated_at"]
    assert {**new, "updated_at": ""} == {**old, "updated_at": ""}


def test_files_of_a_question_are_the_users_pictures(plain: Plain) -> None:
    ids = plain.upload(("a.png", picture_png("a", 8, 8), "image/png"), ("b.txt", b"text", "text/plain"))
    told = plain.ask("What is on these?", file_ids=[ids[1], ids[0], ids[1]], scenario="generated-image")
    assert told.whole
    (message,) = plain.newest()
    files = message["message_files"]
    assert [(file["id"], file["type"], file["belongs_to"]) for file in files[:2]] == [
        (ids[1], "image", "user"),
        (ids[0], "image", "user"),
    ]
    assert files[2]["belongs_to"] == "assistant"
    drawn = plain.http.get(files[2]["url"])
    assert drawn.content == picture_png("a lighthouse at dusk")
    assert drawn.headers["content-type"] == "image/png"


def test_pictures_that_are_drawn_keep_their_order(plain: Plain) -> None:
    assert plain.ask("Draw", scenario="two-pictures").said == "Two."
    files = plain.newest()[0]["message_files"]
    assert [plain.http.get(file["url"]).content for file in files] == [picture_png("a"), picture_png("b")]


# --- steps of the dialect


def test_raw_chunks_are_sent_as_they_stand_and_markers_among_them_are_not_remembered(plain: Plain) -> None:
    told = plain.ask("Well?", scenario="raw")
    assert told.chunks[:-1] == [
        b"plain",
        '{"a":[1,"é"]}'.encode(),
        b"[ERROR] told by hand",
        b"[MESSAGE_ID:told by hand]",
        b" ends",
    ]
    assert plain.newest()[0]["answer"] == 'plain{"a":[1,"é"]} ends'


def test_blanks_come_with_what_follows_them(plain: Plain) -> None:
    told = plain.ask("Well?", scenario="blanks")
    assert [chunk.decode() for chunk in told.chunks[:-1]] == ["\n \none", "\n", "two", " \ufeff"]
    assert plain.newest()[0]["answer"] == "one\ntwo \ufeff"
    told = plain.ask("Well?", scenario="blanks-and-failure")
    assert [chunk.decode() for chunk in told.chunks] == [" ", "[ERROR] AI服务异常: The model did not answer."]


def test_half_a_character_at_the_end_is_remembered_as_a_reader_shows_it(plain: Plain) -> None:
    told = plain.ask("Well?", scenario="half-a-character")
    assert b"".join(told.chunks[:-1]) == b"Well\xe5"
    assert plain.newest()[0]["answer"] == "Well\ufffd"


def test_nothing_is_remembered_after_the_end(plain: Plain) -> None:
    told = plain.ask("Well?", scenario="after-the-end")
    assert sum(MARKER.fullmatch(chunk.decode()) is not None for chunk in told.chunks) == 1
    assert plain.newest()[0]["answer"] == "This is kept."


def test_what_the_dialect_cannot_say_makes_no_byte(plain: Plain) -> None:
    assert plain.ask("Well?", scenario="cannot-be-said").said == "All the same."
    assert plain.newest()[0]["message_files"] == []
    assert plain.ask("Well?", scenario="ping-between-deltas").said.count("ping") == 0


# --- time, leaving, deleting, resetting


def test_chunks_leave_at_their_time(paced: ThreadedServer, session_name: str) -> None:
    with Plain(paced, session_name) as caller, caller.open("Well?", scenario="slow") as wire:
        begun = time.monotonic()
        wire.head()
        times = []
        while wire.chunk() is not None:
            times.append(time.monotonic() - begun)
        assert len(times) == 11
        # The first at once, each other a tenth of a second later; never early.
        assert all(at >= 0.1 * number - 0.02 for number, at in enumerate(times))


def test_a_client_that_leaves_finds_no_answer(paced: ThreadedServer, session_name: str) -> None:
    with Plain(paced, session_name) as caller:
        with caller.open("Well?", scenario="patient") as wire:
            wire.head()
            assert wire.chunk() == b"First"
        journal = paced.app.sessions.get(session_name).journal
        wait_for(lambda: any(entry.closed == "left" for entry in journal.entries))
        (message,) = caller.newest()
        assert (message["query"], message["answer"]) == ("Well?", "")
        world = paced.app.sessions.get(session_name).world("plainchat", SERVICE.backend.populate)
        assert world.running == {}


def test_a_disconnect_damages_the_wire_and_not_the_store(plain: Plain) -> None:
    told = plain.ask("Well?", scenario="cut-at-once")
    assert (told.whole, told.chunks) == (False, [])
    assert plain.newest()[0]["answer"] == "nobody hears it"


def test_a_conversation_that_is_deleted_meanwhile_stays_deleted(paced: ThreadedServer, session_name: str) -> None:
    with Plain(paced, session_name) as caller, caller.open("Well?", scenario="slow") as wire:
        wire.head()
        assert wire.chunk() == b"a"
        id = caller.listed()[0]["id"]
        assert caller.history(id)[0]["answer"] == "", "it is stored when it has ended"
        assert caller.delete(id).status_code == 200
        while wire.chunk() is not None:
            pass
        assert wire.told.said == "abcdefghij"
        assert caller.read(id).status_code == 404
        assert caller.suggestions(wire.told.message_id).status_code == 404


def test_a_session_that_is_reset_ends_its_answers_properly(paced: ThreadedServer, session_name: str) -> None:
    with Plain(paced, session_name) as caller, caller.open("Well?", scenario="patient") as wire:
        wire.head()
        assert wire.chunk() == b"First"
        assert caller.http.delete(f"{paced.url}/_emulator/sessions/{session_name}").status_code in (200, 204)
        while wire.chunk() is not None:
            pass
        assert wire.told.whole and MARKER.fullmatch(wire.told.chunks[-1].decode())


# --- determinism


def test_the_same_question_gets_the_same_answer_whoever_asks(plain: Plain) -> None:
    answers = set()
    for user in ("abc-123", "demo", "mira"):
        plain.user = user
        answers.add(plain.ask("How do I water a cactus?").said)
    assert len(answers) == 1


def test_equal_sessions_send_equal_bytes(instant: ThreadedServer, session_name: str) -> None:
    sent = []
    for number in range(2):
        with Plain(instant, f"{session_name[:50]}.{number}") as caller:
            told = [
                caller.ask("Hello"),
                caller.ask("怎么给仙人掌浇水？"),
                caller.ask("And?", conversation_id=TO_CONTINUE),
            ]
            sent.append([*[one.chunks for one in told], caller.listed(), caller.history(TO_CONTINUE)])
    assert sent[0] == sent[1]


def test_another_seed_gives_another_answer() -> None:
    said = set()
    for seed in (1, 2):
        with ThreadedServer(backends=("plainchat",), speed=0, seed=seed) as running, Plain(running, "one") as caller:
            said.add(caller.ask("How do I learn to swim?").said)
            assert caller.suggestions(ANSWERED).status_code == 200, "what the examples name is there at any seed"
    assert len(said) == 2


def test_the_documented_place_answers_too(instant: ThreadedServer, session_name: str) -> None:
    with Plain(instant, session_name) as caller:
        reply = caller.http.get(f"{instant.url}/api/conversations/list/demo")
        assert len(reply.json()["conversations"]) >= 3


def test_no_operation_is_forgotten() -> None:
    assert len(OPERATIONS) == 8
    assert set(SERVICE.backend.behaviours) == set(OPERATIONS)
