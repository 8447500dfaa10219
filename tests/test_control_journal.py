"""The journal over the control API: filtered, by entry, and cleared."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Dify
from control_caller import Control


@pytest.fixture
def called(control: Control, dify: Dify) -> Dify:
    """A session with five calls: ids 1 to 5."""
    dify.get("/info")
    dify.post("/chat-messages", inputs={}, query="Hi")
    dify.post("/chat-messages", inputs={})
    control.arm(dify.session, prefer="code=429")
    dify.post("/chat-messages", inputs={}, query="Hi")
    dify.http.get(dify.server.url + "/plainchat/health")
    return dify


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"backend": "dify"}, [1, 2, 3, 4]),
        ({"backend": "plainchat"}, [5]),
        ({"backend": "ruoyi"}, []),
        ({"operation": "sendChatMessage"}, [2, 3, 4]),
        ({"operation": "sendChatMessage", "status": 429}, [4]),
        ({"status": 200}, [1, 2, 5]),
        ({"verdict": "refused"}, [3]),
        ({"verdict": "accepted", "backend": "dify"}, [1, 2, 4]),
        ({"scenario": "code=429"}, [4]),
        ({"scenario": "default"}, []),
        ({"after": 3}, [4, 5]),
        ({"after": 5}, []),
        ({"limit": 2}, [1, 2]),
        ({"after": 1, "limit": 2, "operation": "sendChatMessage"}, [2, 3]),
    ],
)
def test_filters(control: Control, called: Dify, query: dict[str, Any], ids: list[int]) -> None:
    found = control.ok("GET", f"/sessions/{called.session}/journal", params=query)
    assert [entry["id"] for entry in found["entries"]] == ids
    assert found["dropped"] == 0


def test_an_entry(control: Control, called: Dify) -> None:
    path = f"/sessions/{called.session}/journal"
    for entry in control.ok("GET", path)["entries"]:
        assert control.ok("GET", f"{path}/{entry['id']}") == entry
    control.refused(404, "GET", f"{path}/6")
    for id in ("0", "-1", "x", "1.0", "9" * 30, "%31x"):
        control.refused(400, "GET", f"{path}/{id}")


def test_secrets_are_not_shown(control: Control, called: Dify) -> None:
    text = control.call("GET", f"/sessions/{called.session}/journal").text
    assert "app-emulator" not in text


def test_clearing(control: Control, called: Dify) -> None:
    path = f"/sessions/{called.session}/journal"
    control.ok("DELETE", path)
    assert control.ok("GET", path) == {"entries": [], "dropped": 0}
    called.get("/info")
    assert [entry["id"] for entry in control.entries(called.session)] == [6]


@pytest.mark.parametrize(
    ("query", "words", "available"),
    [
        ("backend=dfy", "Did you mean dify?", "dify"),
        ("backend=DIFY", "matches", ""),
        ("operation=sendChatMesage", "sendChatMessage", "sendChatMessage"),
        ("backend=toolchat&operation=sendChatMessage", "no operation", ""),
        ("status=ok", "an integer", ""),
        ("status=99", "at least 100", ""),
        ("verdict=acepted", "accepted", "accepted"),
        ("after=-1", "at least 0", ""),
        ("limit=0", "at least 1", ""),
        ("limit=1&limit=2", "one value", ""),
        ("limit=", "", ""),
        ("opreation=x", "Did you mean operation?", "operation"),
        ("%ff=x", "UTF-8", ""),
        ("status=%00", "NUL", ""),
        ("status=" + "9" * 5000, "", ""),
        ("after=1e3", "an integer", ""),
        ("after=%D9%A3", "an integer", ""),
    ],
)
def test_filters_that_are_refused(control: Control, session_name: str, query: str, words: str, available: str) -> None:
    problem = control.refused(400, "GET", f"/sessions/{session_name}/journal?{query}")
    assert words in problem["detail"]
    assert not available or available in problem["available"]
    assert problem.get("violations", [{"in": "query"}])[0]["in"] == "query"


def test_filters_do_not_clear(control: Control, called: Dify) -> None:
    control.refused(400, "DELETE", f"/sessions/{called.session}/journal?backend=plainchat")
    assert len(control.entries(called.session)) == 5
