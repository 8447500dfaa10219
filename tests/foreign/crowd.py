"""Tests of a repository that is not this one, many of them at a time, each sure that it is alone.

Not collected here: tests/test_foreign.py runs some of them from the checkout, scripts/foreign.py all of them from the
wheel. CROWD says how many; each leaves a line with what it was given in the folder `told`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import requests

from emulator.testing import Session

COUNT = int(os.environ.get("CROWD", "400"))
TOLD = Path(__file__).parent / "told"


@pytest.mark.parametrize("number", range(COUNT))
def test_alone(chat_emulator: Session, number: int) -> None:
    url, key = chat_emulator.url("dify"), {"Authorization": f"Bearer {chat_emulator.api_key('dify')}"}
    assert chat_emulator.calls() == []

    def listed() -> set[str]:
        reply = requests.get(f"{url}/conversations?user=abc-123&limit=100", headers=key, timeout=60)
        return {one["id"] for one in reply.json()["data"]}

    before = listed()
    for turn in range(2):
        body = {"inputs": {}, "query": f"test {number}, turn {turn}", "user": "abc-123", "response_mode": "streaming"}
        reply = requests.post(f"{url}/chat-messages", json=body, headers=key, timeout=60)
        events = [json.loads(line[5:]) for line in reply.text.splitlines() if line.startswith("data:")]
        assert events[-1]["event"] == "message_end"
    added = listed() - before
    assert len(before) >= 3 and len(added) == 2

    # What one arms strikes nobody else: every third is kept out, the others are not.
    kept_out = number % 3 == 0
    if kept_out:
        chat_emulator.arm("dify", prefer="code=403", operation="getChatAppInfo", times=None)
    statuses = [requests.get(f"{url}/info", headers=key, timeout=60).status_code for _ in range(3)]
    assert statuses == [403 if kept_out else 200] * 3

    asked = [call.request.json["query"] for call in chat_emulator.expect("dify", "sendChatMessage", times=2)]
    assert asked == [f"test {number}, turn 0", f"test {number}, turn 1"]
    assert len(chat_emulator.calls()) == 7
    chat_emulator.expect("dify", order=["getConversationsList", "sendChatMessage", "getChatAppInfo"])

    told = {
        "number": number,
        "name": chat_emulator.name,
        "seed": chat_emulator.seed,
        "server": url.partition("/_s/")[0],
        "ids": sorted(added),
    }
    TOLD.mkdir(exist_ok=True)
    (TOLD / f"{number}.json").write_text(json.dumps(told), "utf-8")
