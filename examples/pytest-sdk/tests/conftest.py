"""A client for each test, in the test's own session of the emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chatline import Chat
from emulator.testing import Session

OPERATION = "sendChatMessage"


@pytest.fixture
def slept() -> list[float]:
    """The pauses that the client has asked for; none of them is waited."""
    return []


@pytest.fixture
def chat(chat_emulator: Session, slept: list[float]) -> Iterator[Chat]:
    """The client under test."""
    url, key = chat_emulator.url("dify"), chat_emulator.api_key("dify")
    with Chat(url, key, "abc-123", sleep=slept.append) as chat:
        yield chat
