"""plainchat's wire, byte by byte: replies of a fresh session at seed 0 on the virtual clock, as files in
`golden/plainchat/` (status and headers as they were sent, an empty line, the body). An answer's body stands there with
one line for each chunk, as a JSON text, or as Python writes bytes where a chunk ends inside a character: how it is cut
is all that this wire has for a frame.

After a wanted change write them anew and read the difference:

    CHAT_EMULATOR_GOLDEN=write pytest tests/test_plainchat_golden.py && git diff tests/golden

The tests below the first read the files and not the server. They hold by hand what FACTS.md, section 001, says of this
wire, so that a wrong file is noticed even when it was written anew.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

import golden_files
import httpx
import pytest
from plainchat_caller import ANSWERED, MARKER, TO_CONTINUE, TO_DELETE, TO_READ, UNKNOWN, Plain, Told

from emulator.testing.server import ThreadedServer

Ask = Callable[[Plain], Told]
Calls = Callable[[Plain], httpx.Response]
USER = {"username": "abc-123"}


def ask(scenario: str | None, message: str = "What is new?", **members: Any) -> Ask:
    return lambda plain: plain.ask(message, scenario, **members)


def call(method: str, path: str, **arguments: Any) -> Calls:
    return lambda plain: plain.http.request(method, path, headers={"Host": "emulator.test"}, **arguments)


STREAMS: dict[str, Ask] = {
    "default": ask("default"),
    "no-scenario": ask(None, "西湖怎么走？"),
    "continued": ask(None, "And then?", conversation_id=TO_CONTINUE),
    "cut-characters": ask("cut-characters"),
    "single-characters": ask("single-characters"),
    "blank-chunks": ask("blank-chunks"),
    "empty-answer": ask("empty-answer"),
    "ends-without-marker": ask("ends-without-marker"),
    "generated-image": ask("generated-image"),
    "ping-between-deltas": ask("ping-between-deltas"),
    "error-mid-stream": ask("error-mid-stream"),
    "model-unreachable": ask("model-unreachable"),
    "unknown-conversation": ask(None, conversation_id=UNKNOWN),
}
WHOLE: dict[str, Calls] = {
    "list": call("GET", "/api/conversations/list/demo"),
    "history": call("GET", f"/api/conversations/{TO_READ}/history", params=USER),
    "suggestions": call("GET", f"/api/chat/next_suggest/{ANSWERED}", params=USER),
    "deleted": call("DELETE", f"/api/conversations/{TO_DELETE}/delete", params=USER),
    "not-found": call("GET", f"/api/conversations/{UNKNOWN}/history", params=USER),
    "uploaded": call(
        "POST",
        "/api/file/upload",
        data=USER,
        files=[("files", ("a.png", b"1", "image/png")), ("files", ("b.png", b"2", "image/png"))],
    ),
    "lacking": call("POST", "/api/chat", json={"message": "你好"}),
    "wrong-password": call("POST", "/api/user/login", json={"username": "demo", "password": "x"}),
    "unknown-path": call("GET", "/api/chats"),
    "health": call("GET", "/health"),
}
OBSERVED: dict[str, Calls] = {
    "observed-list": WHOLE["list"],
    "observed-history": WHOLE["history"],
    "observed-suggestions": WHOLE["suggestions"],
    "observed-not-found": WHOLE["not-found"],
}
CASES = [*(f"stream-{name}" for name in STREAMS), *WHOLE, *OBSERVED]


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_those_of_the_golden_file(server: ThreadedServer, session_name: str, name: str) -> None:
    with Plain(server, session_name) as caller:
        if name in OBSERVED:
            caller.observe()
        if name.startswith("stream-"):
            sent = written_stream(STREAMS[name.removeprefix("stream-")](caller))
        else:
            sent = golden_files.written((WHOLE | OBSERVED)[name](caller))
    golden_files.hold("plainchat", name, sent)


def test_every_golden_file_is_one_of_a_case() -> None:
    assert golden_files.names("plainchat") == set(CASES)


def written_stream(told: Told) -> bytes:
    """An answer as its file has it."""
    assert told.whole
    head = [str(told.status), *(f"{name}: {value}" for name, value in told.headers), ""]
    return "".join(f"{line}\n" for line in [*head, *(shown(chunk) for chunk in told.chunks)]).encode()


def shown(chunk: bytes) -> str:
    try:
        return json.dumps(chunk.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        return repr(chunk)


# --- what the facts say, held against the files


def head_of(name: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a file."""
    status, headers, body = golden_files.read("plainchat", name)
    return status, dict(headers), body


def chunks(name: str) -> list[bytes]:
    """The chunks of an answer's file."""
    lines = head_of(f"stream-{name}")[2].decode().split("\n")
    assert lines.pop() == ""
    return [ast.literal_eval(line) if line.startswith("b") else json.loads(line).encode() for line in lines]


@pytest.mark.parametrize("name", STREAMS)
def test_an_answer_is_plain_text_with_status_200(name: str) -> None:
    status, headers, _ = head_of(f"stream-{name}")
    assert status == 200
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["transfer-encoding"] == "chunked"
    assert headers["access-control-allow-origin"] == "*"
    assert set(headers) - {"x-emulator-scenario"} == {
        "content-type",
        "transfer-encoding",
        "access-control-allow-origin",
        "access-control-expose-headers",
        "x-emulator-operation",
    }


@pytest.mark.parametrize("name", STREAMS)
def test_markers_are_chunks_of_their_own_at_the_very_end(name: str) -> None:
    *said, last = chunks(name)
    assert not any(b"[ERROR]" in chunk or b"[MESSAGE_ID:" in chunk for chunk in said)
    assert b"data:" not in b"".join(said), "no framing"
    failed = {
        "error-mid-stream": "The model did not answer.",
        "model-unreachable": "Connection refused",
        "unknown-conversation": "Conversation Not Exists.",
    }
    if name in failed:
        assert last == f"[ERROR] AI服务异常: {failed[name]}".encode()
    elif name != "ends-without-marker":
        assert MARKER.fullmatch(last.decode())


def test_nothing_comes_before_a_marker_when_nothing_was_said() -> None:
    assert len(chunks("empty-answer")) == len(chunks("model-unreachable")) == len(chunks("unknown-conversation")) == 1


def test_pieces_join_to_the_text_without_separators() -> None:
    assert b"".join(chunks("default")[:-1]).decode() == (
        "Sure, happy to help. Here is a short answer that arrives piece by piece, the way a model writes it, so that "
        "you can watch your page fill up."
    )
    assert b"".join(chunks("single-characters")[:-1]).decode() == "Two things:\n\n1. 先备份\n2. then update."
    assert all(len(chunk.decode().lstrip()) == 1 for chunk in chunks("single-characters")[:-1])


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "blank-chunks"])
def test_no_chunk_is_nothing_but_blanks(name: str) -> None:
    assert all(chunk.strip() for chunk in chunks(name)), "the reader of seed 001 throws such chunks away"


def test_a_pause_leaves_no_byte() -> None:
    assert b"".join(chunks("ping-between-deltas")[:-1]).decode() == (
        "One moment, I am looking that up … and here is what I found: everything is in order."
    )


def test_chunks_end_inside_characters_of_every_length() -> None:
    said = chunks("cut-characters")[:-1]
    assert b"".join(said).decode() == "三张票一共 45 €，明天在 Café 门口见 👋"
    ends = {first_byte_of_the_cut_character(b"".join(said[: number + 1])) for number in range(len(said) - 1)}
    assert ends >= {0xC3, 0xE2, 0xF0}, "of two, three and four bytes"


def first_byte_of_the_cut_character(text: bytes) -> int:
    with pytest.raises(UnicodeDecodeError) as caught:
        text.decode()
    return text[caught.value.start]


@pytest.mark.parametrize("name", [*WHOLE, *OBSERVED])
def test_json_is_compact_and_not_escaped(name: str) -> None:
    _, headers, body = head_of(name)
    assert headers["content-type"] == "application/json"
    assert body == json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()


def test_both_bodies() -> None:
    for name in ("history", "suggestions"):
        documented, observed = json.loads(head_of(name)[2]), json.loads(head_of(f"observed-{name}")[2])
        assert list(documented) == ["data"]
        assert isinstance(observed, list) and len(observed) == len(documented["data"])
    assert json.loads(head_of("suggestions")[2])["data"] == json.loads(head_of("observed-suggestions")[2])
    assert head_of("not-found")[0] == 404 and head_of("observed-not-found")[0] == 500
