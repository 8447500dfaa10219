"""Deskchat's files: what an export writes an import reads again, and nothing that is sent instead does harm."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from deskchat_caller import FIRST, UNKNOWN, Desk, conversation
from hypothesis import given
from hypothesis import strategies as st

from emulator.backends.deskchat import formats
from emulator.backends.deskchat.records import Conversation, Message
from emulator.settings import Limits, Settings
from emulator.testing.server import ThreadedServer

FORMATS = ("json", "markdown", "txt")
DEEP: Any = []
for _ in range(80):
    DEEP = [DEEP]


@pytest.fixture
def desk(server: ThreadedServer, session_name: str) -> Iterator[Desk]:
    with Desk(server, session_name) as caller:
        yield caller


def bring(desk: Desk, data: bytes | str, **query: Any) -> httpx.Response:
    return desk.http.post("/import", files={"file": ("some.file", data)}, params=query)


def told(one: dict[str, Any], messages: list[dict[str, Any]], format: str) -> Any:
    """What of a conversation survives a format."""
    names = ["role", "content", "created_at"]
    if format == "json":
        names += ["message_type", "message_metadata", "token_count", "character_count"]
    said = [{name: message[name] for name in names} for message in messages]
    kept = {name: one[name] for name in ("title", "description")}
    return kept | (
        {"config": one["config"], "at": (one["created_at"], one["updated_at"])} if format == "json" else {}
    ), said


def seen(desk: Desk, uuid: str, format: str) -> Any:
    return told(desk.data("GET", f"/conversations/{uuid}"), desk.history(uuid, pageSize=100), format)


# --- over a real server


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("many", [True, False])
def test_an_export_can_be_imported(desk: Desk, format: str, many: bool) -> None:
    awkward = desk.start(title="# title", description="> one\n\n# two\\", config={"deep": DEEP, "n": 10**300})
    for text in (
        "",
        "\n",
        "# a\n\\b\n\n",
        "  c\r\n[2026-01-01T00:00:00] user: d",
        "标题: e\n## user 2026-01-01T00:00:00",
    ):
        desk.say(awkward, text)
    ids = [awkward, FIRST, conversation(2)]
    before = [seen(desk, uuid, format) for uuid in ids]
    files = []
    if many:
        body = {"chat_ids": ids, "format": format, "include_system_messages": True}
        files.append(desk.call("POST", "/export/batch", body).content)
    else:
        for uuid in ids:
            body = {"chat_id": uuid, "format": format, "include_system_messages": True}
            files.append(desk.call("POST", "/export", body).content)
    made = []
    for file in files:
        reply = bring(desk, file, group_id=2).json()
        assert reply["message"] == f"成功导入 {len(reply['data']['uuids'])} 个对话"
        assert reply["data"]["imported"] == len(reply["data"]["uuids"])
        made += reply["data"]["uuids"]
    assert [seen(desk, uuid, format) for uuid in made] == before
    assert not set(made) & set(ids)
    assert {desk.data("GET", f"/conversations/{uuid}")["group_id"] for uuid in made} == {2}


def test_system_messages_are_written_when_asked_for(desk: Desk) -> None:
    body = {"chat_id": conversation(2)}
    without = desk.call("POST", "/export", body).json()["messages"]
    whole = desk.call("POST", "/export", {**body, "includeSystemMessages": True}).json()["messages"]
    assert [one["role"] for one in whole] == ["system", *(one["role"] for one in without)]
    assert [one["uuid"] for one in whole] == [one["uuid"] for one in desk.history(conversation(2))]


def test_an_export_is_no_envelope_and_has_a_name(desk: Desk) -> None:
    reply = desk.call("POST", "/export", {"chat_id": FIRST, "format": "markdown"})
    assert reply.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert reply.headers["Content-Disposition"] == f'attachment; filename="conversation_{FIRST}.md"'
    assert reply.text.startswith("# 项目讨论\n")
    reply = desk.call("POST", "/export/batch", {"chat_ids": [FIRST, FIRST]})
    assert [one["uuid"] for one in reply.json()] == [FIRST], "each once"
    assert desk.call("POST", "/export/batch", {"chat_ids": []}).status_code == 422
    assert desk.call("POST", "/export", {"chat_id": FIRST, "format": "pdf"}).status_code == 422


def test_deleted_messages_are_not_written(desk: Desk) -> None:
    desk.data("DELETE", f"/conversations/{FIRST}/messages")
    assert desk.call("POST", "/export", {"chat_id": FIRST}).json()["messages"] == []
    assert desk.call("POST", "/export", {"chat_id": FIRST, "format": "txt"}).text == (
        "标题: 项目讨论\n描述: 关于新项目的讨论\n"
    )


def test_what_a_json_file_leaves_out_gets_defaults(desk: Desk) -> None:
    file = [{}, {"title": None, "messages": [{}, {"role": "system", "content": "s", "uuid": UNKNOWN}], "uuid": FIRST}]
    first, second = bring(desk, json.dumps(file)).json()["data"]["uuids"]
    assert desk.data("GET", f"/conversations/{first}")["title"] == "新对话"
    assert desk.texts(second) == [("user", ""), ("system", "s")]
    assert desk.listed()[:2] == [second, first]
    assert FIRST != second != UNKNOWN


@pytest.mark.parametrize("data", ["\ufeff  \n{}", "[{}]", "\ufeff# t", "标题: t"])
def test_a_file_may_have_been_through_an_editor(desk: Desk, data: str) -> None:
    assert bring(desk, data).json()["data"]["imported"] == 1


@pytest.mark.parametrize("format", ["markdown", "txt"])
def test_an_editor_may_have_rewritten_the_line_ends(desk: Desk, format: str) -> None:
    file = desk.call("POST", "/export", {"chat_id": FIRST, "format": format}).content
    (uuid,) = bring(desk, file.replace(b"\n", b"\r\n")).json()["data"]["uuids"]
    assert seen(desk, uuid, format) == seen(desk, FIRST, format)


def test_a_file_may_be_sent_as_a_plain_field(desk: Desk) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n# t\n\r\n--b--\r\n'
    reply = desk.http.post("/import", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert reply.json()["data"]["imported"] == 1


BROKEN = [
    "",
    "hello",
    '"text"',
    "5",
    "[1]",
    "{",
    "[{}, 1]",
    '{"title": 1}',
    '{"messages": {}}',
    '{"messages": [1]}',
    '{"messages": [{"role": "robot"}]}',
    '{"messages": [{"message_type": "video"}]}',
    '{"messages": [{"content": 1}]}',
    '{"messages": [{"message_metadata": []}]}',
    '{"config": []}',
    '{"created_at": "yesterday"}',
    '{"updated_at": "2026-02-31T00:00:00"}',
    '{"created_at": 5}',
    '{"a": NaN}',
    '{"a": 1, "a": 2}',
    '{"title": "\\ud800"}',
    '{"config": {"a": 1e999}}',
    "[" * 100_000,
    "## user 2026-01-01T00:00:00\n\nx",
    "# t\n\ntext without a heading",
    "# t\n\n## robot 2026-01-01T00:00:00\n\nx",
    "# t\n\n## user 2026-02-31T00:00:00\n\nx",
    "# t\n\n### user",
    "标题: t\nx",
    "标题: t\n  x",
    "标题: t\n描述: a\n描述: b",
    "标题: t\n[2026-01-01T00:00:00] user: a\n描述: b",
    "标题: t\n[2026-01-01T00:00:00] robot: a",
    "标题: t\n[2026-13-01T00:00:00] user: a",
    b"# \xff",
    b"\x00",
    b"\x89PNG\r\n",
]


@pytest.mark.parametrize("data", BROKEN)
def test_a_file_that_no_export_wrote_changes_nothing(desk: Desk, data: bytes | str) -> None:
    before = desk.listed(pageSize=100)
    reply = bring(desk, data)
    assert reply.status_code == 200
    assert reply.json() == {"code": 400, "message": "导入文件格式错误", "data": {"imported": 0, "uuids": []}}
    assert desk.listed(pageSize=100) == before


def test_an_import_needs_a_file_and_a_group_that_is_there(desk: Desk) -> None:
    assert bring(desk, "{}", group_id=99).json() == {"detail": "分组不存在"}
    assert bring(desk, "{}", groupId=3).status_code == 200
    assert bring(desk, "{}", group_id="x").status_code == 422
    reply = desk.http.post("/import", files={"other": ("f", b"{}")})
    missing = {"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": None}
    assert (reply.status_code, reply.json()) == (422, {"detail": [missing]})
    assert desk.http.post("/import", json={}).status_code == 422
    broken = desk.http.post("/import", content=b"x", headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert (broken.status_code, broken.json()) == (400, {"detail": "There was an error parsing the body"})
    assert desk.http.post("/import", content=b"x", headers={"Content-Type": "multipart/form-data"}).status_code == 400


def test_more_than_can_be_kept_is_413(session_name: str) -> None:
    settings = Settings(
        speed=0,
        port=0,
        backends=("deskchat",),
        check_replies=True,
        limits=replace(Limits(), records=200, text_body_bytes=20_000),
    )
    with ThreadedServer(settings) as own, Desk(own, session_name) as desk:
        too_large = {"detail": "Request Entity Too Large"}
        for data in ("[" + "{}," * 100 + "{}]", "# t\n" * 101, "标题: t\n" * 101, "# t\n\n" + "x" * 20_000):
            reply = bring(desk, data)
            assert (reply.status_code, reply.json()) == (413, too_large)
        uuids = bring(desk, "# t\n" * 100).json()["data"]["uuids"]
        assert desk.call("GET", f"/conversations/{uuids[0]}").status_code == 200
        for _ in range(3):
            bring(desk, "# t\n" * 100)
        assert desk.data("GET", "/conversations/list")["total"] <= 200
        assert desk.data("POST", "/conversations", {})["group_id"] == 1


# --- the formats alone

TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.lists(
    st.sampled_from(
        ["", "#", "# ", "## user 2026-01-01T00:00:00", "\\", "> ", "  ", "标题: ", "描述: ", "\r", "\u2028", "x"]
    )
).map("\n".join)
MOMENTS = st.integers(-62135596800, 253402300799).map(float)
METADATA = st.none() | st.dictionaries(TEXT, st.integers() | TEXT | st.none(), max_size=3)
MESSAGES = st.builds(
    Message,
    id=st.just(UNKNOWN),
    number=st.just(1),
    conversation_id=st.just(FIRST),
    role=st.sampled_from(formats.ROLES),
    content=TEXT,
    message_type=st.sampled_from(formats.MESSAGE_TYPES),
    metadata=METADATA,
    tokens=st.just(0),
    created_at=MOMENTS,
    updated_at=MOMENTS,
)
CONVERSATIONS = st.builds(
    Conversation,
    id=st.just(FIRST),
    number=st.just(1),
    title=TEXT,
    description=st.none() | TEXT,
    group_id=st.just(1),
    config=METADATA.map(lambda value: value or {}),
    created_at=MOMENTS,
    updated_at=MOMENTS,
)
WRITTEN = st.lists(st.tuples(CONVERSATIONS, st.lists(MESSAGES, max_size=4)), min_size=1, max_size=3)


@given(WRITTEN)
def test_json_loses_nothing(written: list[tuple[Conversation, list[Message]]]) -> None:
    read = formats.read(formats.write("json", written, many=True), 100)
    assert [(one.title, one.description, one.config, one.created_at, one.updated_at) for one in read] == [
        (one.title, one.description, one.config, one.created_at, one.updated_at) for one, _ in written
    ]
    assert [one.lines for one in read] == [
        [formats.Line(m.role, m.content, m.message_type, m.metadata, m.created_at) for m in messages]
        for _, messages in written
    ]


@pytest.mark.parametrize("format", ["markdown", "txt"])
@given(written=WRITTEN)
def test_texts_keep_everything_that_people_see(format: str, written: list[tuple[Conversation, list[Message]]]) -> None:
    read = formats.read(formats.write(format, written, many=True), 100)
    assert [(one.title, one.description) for one in read] == [
        (formats.LINE_BREAKS.sub(" ", one.title), one.description) for one, _ in written
    ]
    assert [[(one.role, one.content, one.created_at) for one in talk.lines] for talk in read] == [
        [(one.role, one.content, one.created_at) for one in messages] for _, messages in written
    ]


@given(st.binary(max_size=200) | TEXT.map(str.encode) | TEXT.map(lambda text: b"# " + text.encode()))
def test_any_file_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(formats.Unusable):
        assert isinstance(formats.read(data, 1_000), list)
