"""Steps as timed events, spoken in a dialect that only notes what it is asked to say. Nothing here waits: the player
says when, the test reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.call import Event, Item
from emulator.fault import Fault
from emulator.streams.player import Player, at_once
from emulator.streams.steps import (
    Audio,
    Bytes,
    End,
    Fail,
    File,
    Ping,
    Replace,
    Say,
    Send,
    Step,
    ToolCall,
    ToolResult,
    Wait,
)
from emulator.world.clock import VIRTUAL_START, Clock


class Notes:
    """A turn whose events are the words for what it was asked; `asked` also has what makes no event."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.seconds: list[float] = []

    def _note(self, word: str) -> Iterator[Event]:
        self.asked.append(word)
        yield Event(data=word)

    def begin(self) -> Iterator[Event]:
        self.asked.append("begin")
        yield from ()

    def say(self, delta: str, seconds: float) -> Iterator[Event]:
        self.seconds.append(seconds)
        return self._note(delta)

    def ping(self) -> Iterator[Event]:
        return self._note("PING")

    def event(self, payload: Any) -> Iterator[Event]:
        return self._note(f"event {payload}")

    def tool_call(self, step: ToolCall) -> Iterator[Event]:
        return self._note(f"call {step.name}")

    def tool_result(self, step: ToolResult) -> Iterator[Event]:
        return self._note(f"result {step.result}")

    def file(self, step: File) -> Iterator[Event]:
        return self._note(f"file {step.type}")

    def replace(self, step: Replace) -> Iterator[Event]:
        return self._note(f"replace {step.text}")

    def audio(self, step: Audio) -> Iterator[Event]:
        for piece in ("AUDIO 1", "AUDIO 2"):
            yield from self._note(piece)

    def error(self, step: Fail) -> Iterator[Event]:
        return self._note(f"error {step.code}")

    def end(self, step: End, seconds: float) -> Iterator[Event]:
        self.seconds.append(seconds)
        return self._note(f"end {dict(step.detail)}" if step.detail else "end")

    def stop(self, seconds: float) -> Iterator[Event]:
        self.seconds.append(seconds)
        return self._note("stopped")

    def leave(self) -> None:
        self.asked.append("leave")

    def close(self) -> Iterator[Event]:
        return self._note("close")


class Stage:
    """A player, what it plays to, and how often it said that it was over."""

    def __init__(self, *steps: Step, keep_alive: float | None = None) -> None:
        self.turn = Notes()
        self.clock = Clock("virtual")
        self.over = 0
        self.woken = 0
        self.player = Player(steps, self.turn, self.clock, keep_alive, self._count)
        self.player.on_stop(self._wake)

    def _count(self) -> None:
        self.over += 1

    def _wake(self) -> None:
        self.woken += 1

    def played(self) -> list[Any]:
        """Everything, events as their words."""
        return [shown(item) for item in self.player.play()]

    def until(self, play: Iterator[Item], word: Any) -> None:
        """Play up to and with `word`."""
        for item in play:
            if shown(item) == word:
                return
        raise AssertionError(f"{word!r} never came")


def shown(item: Item) -> Any:
    if isinstance(item, Event):
        return item.data if item.raw is None else item.raw
    return "RESET" if isinstance(item, Fault) else item


def words(items: Sequence[Any]) -> list[Any]:
    return [item for item in items if not isinstance(item, float)]


A = Say("abc", every=0.5, size=1)

ORDERS: dict[str, tuple[tuple[Step, ...], list[Any]]] = {
    "deltas, each followed by its pause": ((A,), ["a", 0.5, "b", 1.0, "c", 1.5, "end", "close"]),
    "deltas as a model cuts them": ((Say("Hi there.", every=0),), ["Hi", " there", ".", "end", "close"]),
    "pieces of a size, the last one shorter": ((Say("abcde", every=0, size=2),), ["ab", "cd", "e", "end", "close"]),
    "no text": ((Say(""),), ["end", "close"]),
    "nothing at all": ((), ["end", "close"]),
    "waits add up": ((Wait(1), Ping(), Wait(0.25)), [1.0, "PING", 1.25, "end", "close"]),
    "no wait": ((Wait(0), Ping()), ["PING", "end", "close"]),
    "a raw event and bytes": ((Send({"a": 1}), Bytes(b"\xff")), ["event {'a': 1}", b"\xff", "end", "close"]),
    "a round of an agent": (
        (ToolCall("f"), File(), ToolResult(3), Replace("x")),
        ["call f", "file image", "result 3", "replace x", "end", "close"],
    ),
    "audio in paced pieces": ((Audio("x", every=0.5),), ["AUDIO 1", 0.5, "AUDIO 2", 1.0, "end", "close"]),
    "an end of its own, with what follows it": (
        (End({"annotation": 0}), Audio("x", every=0)),
        ["end {'annotation': 0}", "AUDIO 1", "AUDIO 2", "close"],
    ),
    "an error is the last thing said": ((Wait(1), Fail("bad"), A), [1.0, "error bad", "close"]),
    "after a reset the answer goes on": (
        (Say("a", every=0.5), Fault("reset"), Say("b", every=0.5)),
        ["a", 0.5, "RESET", "b", 1.0, "end", "close"],
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_it_plays(name: str) -> None:
    steps, expected = ORDERS[name]
    stage = Stage(*steps)
    assert stage.played() == expected
    assert stage.turn.asked[0] == "begin"
    assert stage.over == 1
    assert stage.player.closed == ("cut" if "RESET" in expected else "ended")


def test_times_are_counted_from_the_beginning_and_told_to_the_turn() -> None:
    stage = Stage(Wait(2), A, End())
    stage.played()
    assert stage.turn.seconds == [2.0, 2.5, 3.0, 3.5]
    assert stage.player.seconds == 3.5


def test_the_clock_of_the_session_moves_with_scripted_time() -> None:
    stage = Stage(Wait(2), A)
    stage.played()
    assert stage.clock.now() == VIRTUAL_START + 3.5


def test_the_clock_has_moved_when_an_event_comes_and_not_before() -> None:
    stage = Stage(Wait(2), Ping())
    play = stage.player.play()
    assert next(play) == 2.0
    assert stage.clock.now() == VIRTUAL_START
    assert shown(next(play)) == "PING"
    assert stage.clock.now() == VIRTUAL_START + 2


PINGS: dict[str, tuple[tuple[Step, ...], list[Any]]] = {
    "25 s have two": ((Wait(25),), [10.0, "PING", 20.0, "PING", 25.0, "end", "close"]),
    "less than 10 s have none": ((Wait(9.75),), [9.75, "end", "close"]),
    "10 s have one, at their end": ((Wait(10),), [10.0, "PING", "end", "close"]),
    "short waits add up to one": (
        (Wait(6), Say("a", every=0), Wait(6)),
        [6.0, "a", 10.0, "PING", 12.0, "end", "close"],
    ),
    "one comes between deltas, whatever was said meanwhile": (
        (Say("abc", every=4, size=1),),
        ["a", 4.0, "b", 8.0, "c", 10.0, "PING", 12.0, "end", "close"],
    ),
    "a scripted one is one more": ((Wait(5), Ping(), Wait(5)), [5.0, "PING", 10.0, "PING", "end", "close"]),
    "audio after the end has its own": (
        (End(), Audio("x", every=6)),
        ["end", "AUDIO 1", 6.0, "AUDIO 2", 10.0, "PING", 12.0, "close"],
    ),
}


@pytest.mark.parametrize("name", PINGS)
def test_keep_alive_comes_whenever_another_ten_seconds_have_passed(name: str) -> None:
    steps, expected = PINGS[name]
    assert Stage(*steps, keep_alive=10).played() == expected


def test_without_keep_alive_there_is_none() -> None:
    assert Stage(Wait(100)).played() == [100.0, "end", "close"]


QUARTERS = st.integers(0, 200).map(lambda number: number / 4)
"""Seconds that add up exactly."""


@settings(max_examples=100, deadline=None)
@given(st.lists(QUARTERS, max_size=12))
def test_pings_and_time_for_any_waits(waits: list[float]) -> None:
    stage = Stage(*(Wait(seconds) for seconds in waits), keep_alive=10)
    played = stage.played()
    total = sum(waits)
    assert played.count("PING") == total // 10
    times = [item for item in played if isinstance(item, float)]
    assert times == sorted(set(times))
    assert stage.player.seconds == total
    assert [played[at - 1] for at, item in enumerate(played) if item == "PING"] == [
        10.0 * (number + 1) for number in range(int(total // 10))
    ]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.none() | st.integers(1, 70))
def test_deltas_join_to_the_text(text: str, size: int | None) -> None:
    played = Stage(Say(text, every=0, size=size)).played()
    assert played[-2:] == ["end", "close"]
    assert "".join(played[:-2]) == text
    assert "" not in played


def test_a_stop_ends_it_with_the_part_that_was_produced() -> None:
    stage = Stage(A, Ping())
    play = stage.player.play()
    stage.until(play, "b")
    stage.player.stop()
    rest = words([shown(item) for item in play])
    assert rest == ["stopped", "close"]
    assert stage.player.closed == "stopped"
    assert (stage.over, stage.woken) == (1, 1)


def test_a_stop_wakes_a_wait_and_no_ping_follows() -> None:
    stage = Stage(Wait(25), Say("never"), keep_alive=10)
    play = stage.player.play()
    assert next(play) == 10.0
    stage.player.stop()
    assert words([shown(item) for item in play]) == ["stopped", "close"]
    assert stage.woken == 1


def test_time_that_a_stop_saved_is_not_counted() -> None:
    stage = Stage(Wait(2), Wait(600))
    play = stage.player.play()
    stage.until(play, 602.0)
    stage.player.stop()
    assert words([shown(item) for item in play]) == ["stopped", "close"]
    assert stage.turn.seconds == [2.0]
    assert stage.clock.now() == VIRTUAL_START + 2


def test_a_stop_before_the_first_event_leaves_at_most_one_piece() -> None:
    stage = Stage(A)
    stage.player.stop()
    assert words(stage.played()) == ["a", "stopped", "close"]


def test_a_stop_after_the_proper_end_only_leaves_out_what_would_follow() -> None:
    stage = Stage(A, End(), Audio("x", every=1), Audio("y", every=1))
    play = stage.player.play()
    stage.until(play, "AUDIO 1")
    stage.player.stop()
    assert words([shown(item) for item in play]) == ["close"]


def test_a_stop_when_all_is_over_does_nothing() -> None:
    stage = Stage(A)
    stage.played()
    stage.player.stop()
    assert stage.player.closed == "ended"
    assert (stage.over, stage.woken) == (1, 0)


def test_two_stops_are_one() -> None:
    stage = Stage(A)
    play = stage.player.play()
    stage.until(play, "a")
    stage.player.stop()
    stage.player.stop()
    assert words([shown(item) for item in play]) == ["stopped", "close"]
    assert stage.over == 1


def test_a_stop_during_the_last_words_does_not_say_them_twice() -> None:
    stage = Stage(A)
    play = stage.player.play()
    stage.until(play, "end")
    stage.player.stop()
    assert words([shown(item) for item in play]) == ["close"]
    assert stage.player.closed == "ended"


@pytest.mark.parametrize("word", ["a", 0.5, "b", "c", 1.5])
def test_who_leaves_ends_it_without_a_word(word: Any) -> None:
    stage = Stage(A)
    play = stage.player.play()
    stage.until(play, word)
    stage.player.leave()
    assert stage.turn.asked[-1] == "leave"
    assert "end" not in stage.turn.asked and "close" not in stage.turn.asked
    assert list(play) == []
    assert stage.player.closed == "left"
    assert stage.over == 1


def test_who_leaves_before_it_begins_is_noted_as_well() -> None:
    stage = Stage(A)
    stage.player.leave()
    assert stage.turn.asked == ["leave"]
    assert (stage.player.closed, stage.over) == ("left", 1)


def test_leaving_when_all_is_over_does_nothing() -> None:
    stage = Stage(A)
    stage.played()
    stage.player.leave()
    assert "leave" not in stage.turn.asked
    assert (stage.player.closed, stage.over) == ("ended", 1)


def test_leaving_twice_is_leaving_once() -> None:
    stage = Stage(A)
    play = stage.player.play()
    next(play)
    stage.player.leave()
    stage.player.leave()
    assert stage.turn.asked.count("leave") == 1
    assert stage.over == 1


def test_after_a_reset_and_a_stop_it_ends_with_what_was_produced() -> None:
    stage = Stage(Say("a", every=1), Fault("reset"), A)
    play = stage.player.play()
    stage.until(play, "RESET")
    stage.player.stop()
    assert words([shown(item) for item in play]) == ["stopped", "close"]


@pytest.mark.parametrize(
    ("steps", "cut", "seconds"),
    [
        ((Wait(2), A), False, 3.5),
        ((Say("a", every=1), Fault("reset"), Say("b", every=1)), True, 2.0),
        ((A, Fail()), False, 1.5),
    ],
)
def test_an_answer_that_does_not_stream_is_played_at_once(steps: tuple[Step, ...], cut: bool, seconds: float) -> None:
    stage = Stage(*steps)
    assert [fault.name for fault in at_once(stage.player)] == ["reset"] * cut
    assert stage.player.seconds == seconds
    assert stage.over == 1


def test_steps_are_values() -> None:
    """What a scenario holds serves many calls: playing it changes nothing."""
    steps: tuple[Step, ...] = (A, Wait(1), Audio("x"), End({"annotation": 1}))
    copies = tuple(replace(step) for step in steps)
    first, second = Stage(*steps).played(), Stage(*steps).played()
    assert first == second
    assert steps == copies
