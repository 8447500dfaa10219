"""Answers anew: a call of deskchat that has a model answer without streaming. Source: FACTS.md 003, Messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from days import other_names
from deskchat_caller import FIRST, MESSAGES, Desk

from emulator.service import bundled
from emulator.streams.shelf import Scenarios
from emulator.streams.steps import Fail, Say
from emulator.testing.server import ThreadedServer

SCENARIOS = Scenarios("deskchat", [bundled("scenarios")])
NAMES = [name for name in other_names(SCENARIOS) if SCENARIOS.get(name).operation is None]
HI = "What is new?"


@pytest.fixture
def desk(server: ThreadedServer, session_name: str) -> Iterator[Desk]:
    with Desk(server, session_name) as caller:
        yield caller


def regenerate(desk: Desk, message_id: str, chat_id: str = FIRST, **more: Any) -> httpx.Response:
    body = {"chat_id": chat_id, "message_id": message_id, **more.pop("members", {})}
    return desk.http.post("/messages/regenerate", json=body, **more)


def test_an_answer_gets_another_text(desk: Desk) -> None:
    texts = [desk.history(FIRST)[1]["content"]]
    for _ in range(3):
        data = regenerate(desk, MESSAGES[3], members={"config": {"temperature": 1.2}}).json()["data"]
        answer = desk.history(FIRST)[1]
        assert data == {
            "message_id": MESSAGES[3],
            "new_content": answer["content"],
            "regenerated_at": answer["updated_at"],
        }
        assert answer["uuid"] == MESSAGES[3]
        assert answer["character_count"] == len(answer["content"])
        texts.append(answer["content"])
    assert len(set(texts)) == 4
    assert len(desk.history(FIRST)) == 4


def test_a_question_has_the_answer_behind_it_replaced(desk: Desk) -> None:
    assert regenerate(desk, MESSAGES[1]).json()["data"]["message_id"] == MESSAGES[3]
    assert len(desk.history(FIRST)) == 4


def test_a_question_without_an_answer_gets_one(desk: Desk) -> None:
    chat_id = desk.start()
    question = desk.say(chat_id, HI)
    desk.say(chat_id, "and then?")
    data = regenerate(desk, question, chat_id).json()["data"]
    assert desk.texts(chat_id)[2] == ("assistant", data["new_content"])
    assert desk.history(chat_id)[2]["uuid"] == data["message_id"]
    assert desk.data("GET", f"/conversations/{chat_id}")["message_count"] == 3
    alone = desk.say(chat_id, "another")
    assert regenerate(desk, alone, chat_id).json()["data"]["message_id"] != data["message_id"]


def said(name: str) -> str:
    """All text of a scenario, also what nobody hears."""
    return "".join(step.text for step in SCENARIOS.get(name).steps if isinstance(step, Say))


@pytest.mark.parametrize("name", NAMES)
def test_it_plays_scenarios_without_streaming(desk: Desk, name: str) -> None:
    before = desk.history(FIRST)[1]["content"]
    headers = {"X-Emulator-Scenario": name}
    if name == "disconnect-mid-stream":
        with pytest.raises(httpx.TransportError):
            regenerate(desk, MESSAGES[3], headers=headers)
        assert desk.history(FIRST)[1]["content"] == said(name)
        return
    reply = regenerate(desk, MESSAGES[3], headers=headers)
    assert reply.headers["X-Emulator-Scenario"] == name
    if any(isinstance(step, Fail) for step in SCENARIOS.get(name).steps):
        assert reply.status_code == 500
        assert reply.json() == {"detail": "消息重新生成失败: model is not available"}
        assert desk.history(FIRST)[1]["content"] == before
    else:
        assert reply.json()["data"]["new_content"] == desk.history(FIRST)[1]["content"] == said(name)


def test_it_takes_as_long_as_the_answer(session_name: str) -> None:
    with ThreadedServer(speed=1, backends=("deskchat",)) as own, Desk(own, session_name) as desk:
        begun = time.monotonic()
        regenerate(desk, MESSAGES[3], headers={"X-Emulator-Scenario": "ping-between-deltas"})
        assert time.monotonic() - begun > 0.4
