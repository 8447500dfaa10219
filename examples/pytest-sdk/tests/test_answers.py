"""Answers as they should be, and as bad days make them."""

from __future__ import annotations

import pytest

from chatline import Answer, Broken, Chat, Failed
from emulator.testing import Session


def test_an_answer(chat: Chat, chat_emulator: Session) -> None:
    answer = chat.ask("What should I pack for the coast?")
    assert answer.text and answer.usage["total_tokens"] > 0
    call = chat_emulator.calls("dify").only
    assert call.request.json["response_mode"] == "streaming"
    assert answer.text == "".join(event.get("answer", "") for event in call.events)


def test_pieces_come_one_by_one_and_the_whole_at_the_end(chat: Chat) -> None:
    *pieces, whole = chat.stream("Tell me about the coast.")
    assert len(pieces) > 3 and isinstance(whole, Answer)
    assert "".join(str(piece) for piece in pieces) == whole.text


def test_a_conversation_goes_on(chat: Chat, chat_emulator: Session) -> None:
    first = chat.ask("What should I pack?")
    second = chat.ask("And for rain?", first.conversation)
    assert second.conversation == first.conversation and second.message != first.message
    assert chat.conversations()[0]["id"] == first.conversation
    # The list was read page by page, to its end.
    pages = chat_emulator.expect("dify", "getConversationsList", at_least=2)
    assert not pages[-1].reply.json["has_more"]


HARMLESS = [
    "byte-by-byte",
    "split-characters",
    "crlf",
    "in-lumps",
    "ping-between-deltas",
    "slow-network",
    "uneven-pace",
]


@pytest.mark.parametrize("scenario", HARMLESS)
def test_how_the_bytes_come_makes_no_difference(chat: Chat, chat_emulator: Session, scenario: str) -> None:
    with chat_emulator.arm("dify", scenario=scenario):
        answer = chat.ask("Tell me about 西湖.")
    call = chat_emulator.calls("dify").only
    said = [event for event in call.events if isinstance(event, dict) and event.get("event") == "message"]
    assert call.scenario == scenario
    assert answer.text == "".join(event["answer"] for event in said) and "\ufffd" not in answer.text


def test_moderation_replaces_what_was_said(chat: Chat, chat_emulator: Session) -> None:
    chat_emulator.arm("dify", scenario="message-replaced")
    *pieces, whole = chat.stream("Hi")
    assert isinstance(whole, Answer) and whole.text != "".join(str(piece) for piece in pieces)


def test_a_model_that_fails_in_mid_answer(chat: Chat, chat_emulator: Session) -> None:
    with chat_emulator.arm("dify", scenario="quota-exceeded"), pytest.raises(Failed) as failed:
        chat.ask("Hi")
    assert failed.value.code == "provider_quota_exceeded" and failed.value.text
    chat_emulator.expect("dify", "sendChatMessage", times=1)


@pytest.mark.parametrize("scenario", ["disconnect-mid-stream", "ends-early", "broken-json", "no-last-event"])
def test_an_answer_that_breaks_off_is_not_asked_for_again(
    chat: Chat, chat_emulator: Session, slept: list[float], scenario: str
) -> None:
    with chat_emulator.arm("dify", scenario=scenario), pytest.raises(Broken) as broken:
        chat.ask("Hi")
    assert broken.value.text
    chat_emulator.expect("dify", "sendChatMessage", times=1)
    assert slept == []
    # The service has kept the whole of it.
    assert chat.conversations()


@pytest.mark.chat_emulator(speed=1)
def test_who_leaves_the_loop_closes_the_connection(chat: Chat, chat_emulator: Session) -> None:
    chat_emulator.arm("dify", scenario="long-answer")
    pieces = chat.stream("Hi")
    next(pieces)
    pieces.close()
    assert chat_emulator.calls("dify").only.closed == "left"
