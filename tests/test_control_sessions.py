"""Sessions over the control API: read, changed, reset, kept and forked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Dify
from control_caller import Control

from emulator.settings import Limits
from emulator.testing.server import ThreadedServer

NAMES = ["a%20b", "x" * 65, "%C3%A9", "a:b", "%00", "%ff", "a%2Fb", "%ED%A0%80", "%2E%2E"]


def test_reading_makes_no_session(control: Control, session_name: str) -> None:
    fresh = control.ok("GET", f"/sessions/{session_name}")
    assert (fresh["name"], fresh["calls"], fresh["seed"]) == (session_name, 0, 0)
    for path in ("/journal", "/armed", "/snapshot"):
        control.ok("GET", f"/sessions/{session_name}{path}")
    for path in ("/journal/1", "/armed/a1"):
        control.refused(404, "GET", f"/sessions/{session_name}{path}")
    for path in ("", "/journal", "/armed"):
        control.ok("DELETE", f"/sessions/{session_name}{path}")
    control.refused(404, "DELETE", f"/sessions/{session_name}/armed/a1")
    assert session_name not in control.names()


def test_a_used_session_is_listed(control: Control, dify: Dify) -> None:
    dify.get("/info")
    assert dify.session in control.names()
    shown = control.ok("GET", f"/sessions/{dify.session}")
    assert (shown["calls"], shown["journal"]["entries"]) == (1, 1)


def test_to_look_is_no_use(control: Control, dify: Dify) -> None:
    """The session unused for longest leaves first; to look at it must not change that."""
    dify.get("/info")
    control.ok("PATCH", f"/sessions/{dify.session}-2", json={"speed": 0})
    before = control.names()
    control.ok("GET", f"/sessions/{dify.session}/journal")
    assert control.names() == before


def test_patch(control: Control, dify: Dify) -> None:
    name = f"/sessions/{dify.session}"
    body = {"seed": 7, "speed": 0.5, "profile": "observed", "clock": "2027-05-06T07:08:09Z"}
    shown = control.ok("PATCH", name, json=body)
    assert (shown["seed"], shown["speed"], shown["profile"]) == (7, 0.5, "observed")
    assert shown["clock"] == {"kind": "virtual", "now": "2027-05-06T07:08:09Z"}
    assert control.ok("PATCH", name, json={"advance": "90s"})["clock"]["now"] == "2027-05-06T07:09:39Z"
    shown = control.ok("PATCH", name, json={"states": {"dify": {"left": 3, "who": {"name": "x"}}}})
    assert shown["backends"]["dify"]["states"] == {"left": 3, "who": {"name": "x"}}
    shown = control.ok("PATCH", name, json={"states": {"dify": {"left": None}}})
    assert shown["backends"]["dify"]["states"] == {"who": {"name": "x"}}


@pytest.mark.parametrize(
    ("body", "words", "available"),
    [
        ({"sped": 1}, "speed", ["seed", "speed", "profile", "clock", "advance", "states"]),
        ({"profile": "observd"}, "documented", ["documented", "observed"]),
        ({"seed": 1.5}, "integer", []),
        ({"seed": True}, "integer", []),
        ({"seed": 2**70}, "at most", []),
        ({"speed": -1}, "", []),
        ({"speed": 1e9}, "", []),
        ({"speed": "fast"}, "number", []),
        ({"clock": "yesterday"}, "ISO", None),
        ({"clock": "99999-01-01"}, "ISO", None),
        ({"clock": 5}, "string", []),
        ({"advance": "soon"}, "text that matches", []),
        ({"advance": "9999999999d"}, "duration", []),
        ({"advance": -1}, "at least 0", []),
        ({"states": {"dfy": {}}}, "dify", None),
        ({"states": {"dify": 5}}, "object", []),
        ({}, "", []),
        ([], "object", []),
        (None, "Expected a body", []),
    ],
)
def test_patches_that_are_refused(
    control: Control, session_name: str, body: Any, words: str, available: list[str] | None
) -> None:
    """Together with what is right: nothing of it is taken, and no session is made."""
    if isinstance(body, dict) and body and "seed" not in body:
        body = {"seed": 9, **body}
    problem = control.refused(400, "PATCH", f"/sessions/{session_name}", json=body)
    assert words in problem["detail"]
    if available is not None:
        assert problem["available"] == available
    assert session_name not in control.names()
    control.ok("PATCH", f"/sessions/{session_name}", json={"seed": 3})
    control.refused(400, "PATCH", f"/sessions/{session_name}", json=body)
    assert control.ok("GET", f"/sessions/{session_name}")["seed"] == 3


def test_a_refused_member_has_its_place(control: Control, session_name: str) -> None:
    problem = control.refused(400, "PATCH", f"/sessions/{session_name}", json={"seed": "1", "speed": "2"})
    assert [(one["in"], one["pointer"], one["rule"]) for one in problem["violations"]] == [
        ("body", "/seed", "type"),
        ("body", "/speed", "type"),
    ]
    problem = control.refused(400, "PATCH", f"/sessions/{session_name}", json={"sped": 2})
    assert "Did you mean speed" in problem["detail"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        *(
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("GET", "/journal"),
            ("GET", "/journal/live"),
            ("POST", "/armed"),
        ),
        *(("GET", "/snapshot"), ("PUT", "/snapshot"), ("POST", "/fork"), ("DELETE", "/armed"), ("GET", "/armed/a1")),
    ],
)
def test_bad_names(control: Control, method: str, rest: str, name: str) -> None:
    before = control.names()
    body = {"backend": "dify", "fault": "reset", "to": "x", "version": 1, "seed": 1}
    arguments = {"json": body} if method in ("PATCH", "POST", "PUT") else {}
    control.refused(400, method, f"/sessions/{name}{rest}", **arguments)
    assert control.names() == before


def test_reset(control: Control, dify: Dify) -> None:
    control.ok("PATCH", f"/sessions/{dify.session}", json={"seed": 5, "profile": "observed"})
    control.arm(dify.session, fault="reset", operation="sendChatMessage")
    dify.get("/info")
    control.ok("DELETE", f"/sessions/{dify.session}")
    assert dify.session not in control.names()
    shown = control.ok("GET", f"/sessions/{dify.session}")
    assert (shown["seed"], shown["profile"], shown["calls"], shown["armed"]) == (0, "documented", 0, 0)


def test_snapshot_and_back(control: Control, dify: Dify) -> None:
    path = f"/sessions/{dify.session}"
    control.ok("PATCH", path, json={"seed": 5})
    kept = control.ok("GET", f"{path}/snapshot")
    assert kept["version"] == 1
    control.ok("PATCH", path, json={"seed": 6})
    assert control.ok("PUT", f"{path}/snapshot", json=kept) is None
    assert control.ok("GET", path)["seed"] == 5
    control.ok("PUT", f"{path}-new/snapshot", json=kept)
    assert control.ok("GET", f"{path}-new")["seed"] == 5


@pytest.mark.parametrize("body", [{}, {"version": 2}, {"version": 1, "nothing": 1}, [], "1", {"version": "1"}, None])
def test_snapshots_that_are_refused(control: Control, session_name: str, body: Any) -> None:
    path = f"/sessions/{session_name}"
    control.refused(400, "PUT", f"{path}/snapshot", json=body)
    assert session_name not in control.names()
    control.ok("PATCH", path, json={"seed": 5})
    control.refused(400, "PUT", f"{path}/snapshot", json=body)
    assert control.ok("GET", path)["seed"] == 5


def test_a_long_snapshot_is_read_beside_the_loop_and_refused(control: Control, session_name: str) -> None:
    body = json.dumps({"version": 1, "x": ["a" * 1000] * 1000}).encode()
    headers = {"Content-Type": "application/json"}
    control.refused(400, "PUT", f"/sessions/{session_name}/snapshot", content=body, headers=headers)
    control.refused(413, "PATCH", f"/sessions/{session_name}", content=body, headers=headers)


def test_fork(control: Control, dify: Dify) -> None:
    path, to = f"/sessions/{dify.session}", f"{dify.session}-to"
    control.ok("PATCH", path, json={"seed": 5})
    reply = control.call("POST", f"{path}/fork", json={"to": to})
    assert (reply.status_code, reply.headers["location"]) == (201, f"/_emulator/sessions/{to}")
    assert (reply.json()["name"], reply.json()["seed"]) == (to, 5)
    control.ok("PATCH", f"/sessions/{to}", json={"seed": 6})
    assert control.ok("GET", path)["seed"] == 5


@pytest.mark.parametrize("body", [{}, {"to": "a b"}, {"to": ""}, {"to": 5}, {"to": ".."}, {"to": "x", "from": "y"}])
def test_forks_that_are_refused(control: Control, session_name: str, body: Any) -> None:
    control.refused(400, "POST", f"/sessions/{session_name}/fork", json=body)


def test_a_session_is_not_forked_to_itself(control: Control, session_name: str) -> None:
    control.refused(409, "POST", f"/sessions/{session_name}/fork", json={"to": session_name})
    assert session_name not in control.names()


def test_what_is_refused_makes_nobody_leave() -> None:
    with ThreadedServer(backends=("dify",), speed=0, limits=Limits(sessions=1)) as own:
        control = Control(own)
        control.ok("PATCH", "/sessions/stays", json={"seed": 1})
        control.refused(400, "PATCH", "/sessions/other", json={"clock": "never"})
        control.refused(400, "PUT", "/sessions/other/snapshot", json={"version": 1})
        control.refused(400, "POST", "/sessions/other/armed", json={"backend": "dify", "scenario": "none"})
        assert control.names() == ["stays"]
        control.arm("other", fault="reset")
        assert control.names() == ["other"]
        assert control.ok("GET", "/health")["evicted"] == 1
        control.http.close()
