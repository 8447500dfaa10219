"""Deskchat's pages, search, time ranges, settings, titles and statistics, over a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from deskchat_caller import FIRST, Desk, conversation
from hypothesis import given
from hypothesis import strategies as st

from emulator.backends.deskchat import times
from emulator.backends.deskchat.counting import parts_of
from emulator.testing.server import ThreadedServer

LARGE = 10**399


@pytest.fixture
def desk(server: ThreadedServer, session_name: str) -> Iterator[Desk]:
    with Desk(server, session_name) as caller:
        yield caller


# --- pages


def test_pages_join_to_the_whole_list(desk: Desk) -> None:
    whole = desk.listed(pageSize=100)
    pages = [desk.data("GET", "/conversations/list", pageNum=n, pageSize=4) for n in (1, 2, 3, 4)]
    assert [one["uuid"] for page in pages for one in page["list"]] == whole
    assert [len(page["list"]) for page in pages] == [4, 4, 1, 0]
    assert [(page["total"], page["pageNum"], page["pageSize"]) for page in pages] == [(9, n, 4) for n in (1, 2, 3, 4)]


def test_a_page_far_beyond_the_end_is_empty(desk: Desk) -> None:
    page = desk.data("GET", "/conversations/list", pageNum=LARGE)
    assert page == {"list": [], "total": 9, "pageNum": LARGE, "pageSize": 20}
    assert desk.history(FIRST, pageNum=LARGE) == []
    assert desk.data("GET", "/search", keyword="", pageNum=LARGE) == {"conversations": [], "messages": []}


@pytest.mark.parametrize("query", [{"pageSize": 0}, {"pageSize": 101}, {"pageNum": 0}, {"pageNum": "1_0"}])
def test_pages_have_bounds(desk: Desk, query: dict[str, Any]) -> None:
    for path in ("/conversations/list", f"/conversations/{FIRST}/messages", "/search?keyword="):
        assert desk.http.get(path, params={"keyword": "", **query}).status_code == 422


def test_messages_come_oldest_first_in_pages_of_fifty(desk: Desk) -> None:
    chat_id = desk.start()
    ids = [desk.say(chat_id, f"message {n}") for n in range(60)]
    assert [one["uuid"] for one in desk.history(chat_id)] == ids[:50]
    assert [one["uuid"] for one in desk.history(chat_id, pageNum=2)] == ids[50:]
    assert [one["uuid"] for one in desk.history(chat_id, pageNum=3, pageSize=7)] == ids[14:21]


def test_what_changes_moves_to_the_top(desk: Desk) -> None:
    for n, change in (
        (2, lambda uuid: desk.data("PUT", f"/conversations/{uuid}", {"title": "t"})),
        (3, lambda uuid: desk.say(uuid, "x")),
        (4, lambda uuid: desk.data("DELETE", f"/conversations/{uuid}/messages")),
        (5, lambda uuid: desk.data("PUT", f"/conversations/{uuid}/move", {"group_id": 1})),
        (6, lambda uuid: desk.stream("x", uuid)),
    ):
        change(conversation(n))
        assert desk.listed()[0] == conversation(n)


# --- filters and search


def test_the_list_is_filtered_by_keyword_group_and_time(desk: Desk) -> None:
    uuid = desk.start(title="Straße", description="The Plan", group_id=2)
    assert desk.listed(keyword="STRASSE") == desk.listed(keyword="the plan") == [uuid]
    assert desk.listed(keyword="the plan", group_id=1) == []
    assert uuid in desk.listed(group_id=2)
    assert desk.listed(group_id=99) == desk.listed(group_id=LARGE) == desk.listed(group_id=-1) == []
    assert desk.listed(keyword="") == desk.listed(model_id="anything") == desk.listed()
    created = desk.data("GET", f"/conversations/{uuid}")["created_at"]
    assert desk.listed(begin_time=created) == desk.listed(begin_time=created.replace("T", " ")) == [uuid]
    assert uuid in desk.listed(end_time=created)
    assert desk.listed(begin_time="2026-01-01") == [uuid]
    assert uuid not in desk.listed(end_time="2025-12-31", pageSize=100)
    assert len(desk.listed(beginTime="2025-12-01", endTime="2025-12-31")) == 9


@pytest.mark.parametrize("bound", ["2026-02-31", "9999-12-31 23:59:59", "0000-01-01"])
def test_a_bound_may_be_a_day_that_no_month_has(desk: Desk, bound: str) -> None:
    assert set(desk.listed(begin_time=bound)) | set(desk.listed(end_time=bound)) == set(desk.listed())


@pytest.mark.parametrize("bound", ["", "yesterday", "2026-13-01", "2026-01-01T25:00:00", "2026-01-01T00:00:00Z"])
def test_another_bound_is_refused(desk: Desk, bound: str) -> None:
    assert desk.call("GET", "/conversations/list", begin_time=bound).status_code == 422


def test_search_finds_titles_descriptions_and_messages_newest_first(desk: Desk) -> None:
    one = desk.start(title="about Lighthouses")
    two = desk.start(description="a lighthouse, too", group_id=2)
    ids = [desk.say(one, "LIGHTHOUSE"), desk.say(two, "no"), desk.say(two, "two lighthouses")]
    found = desk.data("GET", "/search", keyword="lighthouse")
    assert [talk["uuid"] for talk in found["conversations"]] == [two, one]
    assert [message["uuid"] for message in found["messages"]] == [ids[2], ids[0]]
    numbers = {uuid: desk.data("GET", f"/conversations/{uuid}")["id"] for uuid in (one, two)}
    assert [message["conversation_id"] for message in found["messages"]] == [numbers[two], numbers[one]]
    second = desk.data("GET", "/search", keyword="lighthouse", pageNum=2, pageSize=1)
    assert [len(second["conversations"]), len(second["messages"])] == [1, 1]
    assert second["conversations"][0]["uuid"] == one
    assert second["messages"][0]["uuid"] == ids[0]
    grouped = desk.data("GET", "/search", keyword="lighthouse", group_id=2)
    assert [len(grouped["conversations"]), len(grouped["messages"])] == [1, 1]
    assert desk.data("GET", "/search", keyword="lighthouse", end_time="2025-12-31") == {
        "conversations": [],
        "messages": [],
    }


@pytest.mark.parametrize(
    ("kind", "parts"), [("all", (True, True)), ("chat", (True, False)), ("message", (False, True)), ("x", (False,) * 2)]
)
def test_search_looks_where_it_is_told(desk: Desk, kind: str, parts: tuple[bool, bool]) -> None:
    found = desk.data("GET", "/search", keyword="项目", type=kind)
    assert (bool(found["conversations"]), bool(found["messages"])) == parts


def test_the_empty_keyword_is_in_everything(desk: Desk) -> None:
    found = desk.data("GET", "/search", keyword="", pageSize=100)
    assert len(found["conversations"]) == 9
    assert len(found["messages"]) == sum(
        one["message_count"] for one in desk.data("GET", "/conversations/list")["list"]
    )
    assert desk.call("GET", "/search").status_code == 422


# --- settings, titles


def test_settings_are_replaced_member_by_member(desk: Desk) -> None:
    defaults = {"preferences": {}, "default_config": {}, "auto_save": True, "theme": "light"}
    assert desk.data("GET", "/settings") == defaults
    changed = desk.data("PUT", "/settings", {"preferences": {"language": "zh-CN", "n": LARGE}, "auto_save": False})
    assert changed == {**defaults, "preferences": {"language": "zh-CN", "n": LARGE}, "auto_save": False}
    assert desk.data("PUT", "/settings", {"preferences": {"font_size": 14}, "theme": None, "unknown": 1}) == {
        **changed,
        "preferences": {"font_size": 14},
    }
    assert desk.data("PUT", "/settings", dict.fromkeys(defaults)) == desk.data("GET", "/settings")


@pytest.mark.parametrize(
    ("content", "longest", "title"),
    [
        ("你好，请帮我分析一下这个项目的可行性", None, "你好，请帮我分析一下这个项目的可行性"),
        ("Please   help me to plan a week in the mountains", 11, "Please help..."),
        ("  a\t\n b ", None, "a b"),
        ("x" * 50, None, "x" * 50),
        ("x" * 51, None, "x" * 50 + "..."),
        ("", None, ""),
        (" \n ", 1, ""),
        ("ab", 1, "a..."),
        ("ab", 2.0, "ab"),
        ("ab", 2147483647, "ab"),
    ],
)
def test_a_title_is_the_start_of_the_text(desk: Desk, content: str, longest: float | None, title: str) -> None:
    body = {"content": content} if longest is None else {"content": content, "max_length": longest}
    assert desk.call("POST", "/utils/generate-title", body).json() == {
        "code": 200,
        "message": "标题生成成功",
        "data": {"title": title},
    }


@pytest.mark.parametrize("longest", [0, -1, 2147483648, None, "5"])
def test_the_longest_title_has_bounds(desk: Desk, longest: Any) -> None:
    assert desk.call("POST", "/utils/generate-title", {"content": "x", "max_length": longest}).status_code == 422


# --- statistics


@pytest.mark.parametrize("kind", ["day", "week", "month", "year"])
@pytest.mark.parametrize("group_id", [None, 1, 2, 99, LARGE])
def test_statistics_add_up(desk: Desk, kind: str, group_id: int | None) -> None:
    chat_id = desk.start(group_id=2)
    desk.say(chat_id, "四个汉字")
    desk.stream("x", chat_id)
    desk.data("DELETE", f"/conversations/{conversation(9)}")
    query = {"time_range": kind} if group_id is None else {"time_range": kind, "group_id": group_id}
    counts = desk.data("GET", "/statistics", **query)
    talks = list(desk.data("GET", "/conversations/list", pageSize=100)["list"])
    if group_id is not None:
        talks = [one for one in talks if one["group_id"] == group_id]
    messages = [one for talk in talks for one in desk.history(talk["uuid"], pageSize=100)]
    within = [one for one in messages if counts["begin_time"] <= one["created_at"]]
    assert counts["total_conversations"] == sum(counts["begin_time"] <= one["created_at"] for one in talks)
    assert counts["total_messages"] == len(within)
    for role in ("user", "assistant", "system"):
        assert counts[f"{role}_messages"] == sum(one["role"] == role for one in within)
    assert counts["total_tokens"] == sum(one["token_count"] for one in within)
    assert counts["total_characters"] == sum(one["character_count"] for one in within)
    for part in (counts["groups"], counts["trend"]):
        assert sum(one["conversations"] for one in part) == counts["total_conversations"]
        assert sum(one["messages"] for one in part) == counts["total_messages"]
    assert all(one["conversations"] or one["messages"] for one in counts["groups"])
    assert len(counts["trend"]) == {"day": 24, "week": 7, "month": 30, "year": 12}[kind]
    assert counts["trend"][0]["begin_time"] == counts["begin_time"]
    if group_id in (None, 2):
        assert counts["total_messages"] >= 3


def test_a_range_ends_now_and_has_the_parts_of_its_kind() -> None:
    now = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    begins = {kind: [times.shown(one) for one in parts_of(kind, now)] for kind in ("day", "week", "month", "year")}
    assert begins["day"][0] == "2026-03-31T00:00:00"
    assert begins["day"][-1] == "2026-03-31T23:00:00"
    assert begins["week"] == [f"2026-03-{day}T00:00:00" for day in range(25, 32)]
    assert (begins["month"][0], begins["month"][-1]) == ("2026-03-02T00:00:00", "2026-03-31T00:00:00")
    assert begins["year"] == [
        *(f"2025-{month:02d}-01T00:00:00" for month in range(4, 13)),
        *(f"2026-{month:02d}-01T00:00:00" for month in range(1, 4)),
    ]


@given(st.integers(-62135596800, 253402300799))
def test_a_moment_reads_as_it_was_written(seconds: int) -> None:
    text = times.shown(seconds)
    assert len(text) == 19
    assert times.read(text) == seconds
    assert times.read(text + ".000001") == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize(
    "text",
    ["", "2026-01-01", "2026-02-31T00:00:00", "0000-01-01T00:00:00", "2026-01-01T24:00:00", "٢026-01-01T00:00:00"],
)
def test_another_text_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are not shown to anyone
        times.read(text)
