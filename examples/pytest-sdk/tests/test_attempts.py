"""What the client tries again, how often, and what it does not."""

from __future__ import annotations

import pytest

from chatline import Chat, Refused, TooMany
from emulator.testing import Session


def test_too_many_calls_once(chat: Chat, chat_emulator: Session, slept: list[float]) -> None:
    with chat_emulator.arm("dify", prefer="code=429, example=rate_limit_error"):
        assert chat.ask("Hi").text
    first, second = chat_emulator.expect("dify", "sendChatMessage", times=2)
    assert (first.status, second.status) == (429, 200)
    assert first.request.json == second.request.json
    assert slept == [1.0]


def test_it_comes_back_when_it_is_told_to(chat: Chat, chat_emulator: Session, slept: list[float]) -> None:
    chat_emulator.arm("dify", scenario="rate-limited")
    assert chat.ask("Hi").text
    assert slept == [20.0]


def test_two_failures_and_then_success(chat: Chat, chat_emulator: Session, slept: list[float]) -> None:
    chat_emulator.arm("dify", scenario="fails-twice", times=None)
    assert chat.ask("Hi").text
    assert [call.status for call in chat_emulator.calls("dify", "sendChatMessage")][-1] == 200
    assert len(slept) == 2


def test_a_connection_that_does_not_open(chat: Chat, chat_emulator: Session, slept: list[float]) -> None:
    with chat_emulator.arm("dify", fault="refuse"):
        assert chat.ask("Hi").text
    chat_emulator.expect("dify", "sendChatMessage", times=2)
    assert slept == [1.0]


def test_it_gives_up(chat: Chat, chat_emulator: Session, slept: list[float]) -> None:
    chat_emulator.arm("dify", prefer="code=429", times=None)
    with pytest.raises(TooMany) as gave_up:
        chat.ask("Hi")
    assert gave_up.value.status == 429
    chat_emulator.expect("dify", "sendChatMessage", times=3, status=429)
    assert slept == [1.0, 2.0]


@pytest.mark.parametrize(
    ("prefer", "code"),
    [
        ("code=400, example=invalid_param", "invalid_param"),
        ("code=401, example=unknown_key", "unauthorized"),
        ("code=404, example=conversation_not_exists", "not_found"),
    ],
)
def test_what_will_not_get_better(
    chat: Chat, chat_emulator: Session, slept: list[float], prefer: str, code: str
) -> None:
    chat_emulator.arm("dify", prefer=prefer)
    with pytest.raises(Refused) as refused:
        chat.ask("Hi")
    assert refused.value.code == code and not isinstance(refused.value, TooMany)
    chat_emulator.expect("dify", "sendChatMessage", times=1)
    assert slept == []


def test_a_page_of_a_proxy_is_no_json(chat: Chat, chat_emulator: Session) -> None:
    chat_emulator.arm("dify", scenario="proxy-page", times=None)
    with pytest.raises(Refused) as refused:
        chat.ask("Hi")
    assert refused.value.code == "unknown"


def test_a_key_that_is_wrong(chat_emulator: Session) -> None:
    with Chat(chat_emulator.url("dify"), "app-wrong", "abc-123") as chat, pytest.raises(Refused) as refused:
        chat.ask("Hi")
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")
    assert chat_emulator.calls(verdict="refused").only.status == 401
