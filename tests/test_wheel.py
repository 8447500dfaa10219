"""The timer of all streams, on a loop whose time the test moves: nothing here waits, so nothing here is early or late
by accident."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.streams.wheel import TICK, Wheel

ROUNDING = 1e-9


class Timer:
    """What `call_at` gives back."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as the wheel uses."""

    def __init__(self) -> None:
        self._real = asyncio.new_event_loop()
        self._timers: list[tuple[float, int, Callable[[], None], Timer]] = []
        self._count = itertools.count()
        self.now = 1000.0
        self.woken = 0

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[Any]:
        return self._real.create_future()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer()
        heapq.heappush(self._timers, (when, next(self._count), callback, timer))
        return timer

    @property
    def armed(self) -> list[float]:
        """When timers that nobody cancelled are due."""
        return sorted(when for when, _, _, timer in self._timers if not timer.cancelled)

    def go(self, to: float) -> None:
        """Let time pass, timer by timer."""
        while self._timers and self._timers[0][0] <= to:
            when, _, callback, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self.now = max(self.now, when)
                self.woken += 1
                callback()
        self.now = max(self.now, to)

    def close(self) -> None:
        self._real.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def wheel_on(loop: Loop) -> Wheel:
    return Wheel(cast(asyncio.AbstractEventLoop, loop))


def test_a_wait_is_over_at_its_deadline_and_not_before(loop: Loop) -> None:
    future = wheel_on(loop).until(1001.0)
    loop.go(1000.999)
    assert not future.done()
    loop.go(1001.0 + TICK + ROUNDING)
    assert future.done()


def test_deadlines_of_one_slot_share_a_wake_up(loop: Loop) -> None:
    wheel = wheel_on(loop)
    slot = (int(1001.0 / TICK) + 0.5) * TICK
    futures = [wheel.until(slot + part * TICK / 10) for part in range(5)]
    assert len(loop.armed) == 1
    loop.go(1002.0)
    assert all(future.done() for future in futures)
    assert loop.woken == 1


def test_an_earlier_deadline_moves_the_timer_forward_and_the_later_one_is_kept(loop: Loop) -> None:
    wheel = wheel_on(loop)
    late, early = wheel.until(1005.0), wheel.until(1001.0)
    assert len(loop.armed) == 1 and loop.armed[0] < 1001.0 + 2 * TICK
    loop.go(1001.1)
    assert early.done() and not late.done()
    assert len(loop.armed) == 1
    loop.go(1005.1)
    assert late.done()


def test_a_later_deadline_leaves_the_timer_alone(loop: Loop) -> None:
    wheel = wheel_on(loop)
    wheel.until(1001.0)
    before = loop.armed
    wheel.until(1009.0)
    assert loop.armed == before


def test_a_past_deadline_is_due_at_once(loop: Loop) -> None:
    wheel = wheel_on(loop)
    future, waiting = wheel.until(990.0), wheel.until(1003.0)
    loop.go(loop.now)
    assert future.done() and not waiting.done()
    loop.go(1003.0 + TICK + ROUNDING)
    assert waiting.done()


def test_a_deadline_of_now_takes_no_longer_than_a_slot(loop: Loop) -> None:
    future = wheel_on(loop).until(loop.now)
    loop.go(loop.now + TICK + ROUNDING)
    assert future.done()


def test_who_wakes_earlier_or_gives_up_disturbs_nobody(loop: Loop) -> None:
    wheel = wheel_on(loop)
    cancelled, woken, patient = (wheel.until(1001.0) for _ in range(3))
    cancelled.cancel()
    woken.set_result(None)
    loop.go(1001.1)
    assert cancelled.cancelled() and patient.done()


def test_a_wheel_at_rest_has_no_timer_and_can_be_used_again(loop: Loop) -> None:
    wheel = wheel_on(loop)
    for at in (1001.0, 1002.0, 1003.0):
        future = wheel.until(at)
        loop.go(at + 0.5)
        assert future.done()
        assert loop.armed == []


def test_late_timers_wake_everybody_who_is_due_at_once(loop: Loop) -> None:
    """A loop that was busy comes late: one turn is enough for all that have become due meanwhile."""
    wheel = wheel_on(loop)
    futures = [wheel.until(1001.0 + number) for number in range(5)]
    loop.now = 1010.0
    loop.go(1010.0)
    assert all(future.done() for future in futures)
    assert loop.woken == 1


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 0.05), st.floats(-0.01, 0.1), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_every_wait_ends_within_a_slot_of_its_deadline(waits: list[tuple[float, float, bool]]) -> None:
    """Waits that begin at different times; some are given up."""
    loop = Loop()
    try:
        wheel = wheel_on(loop)
        watched: list[tuple[float, asyncio.Future[None]]] = []
        for pause, ahead, give_up in waits:
            loop.go(loop.now + pause)
            future = wheel.until(loop.now + ahead)
            if give_up:
                future.cancel()
            else:
                watched.append((loop.now + ahead, future))
            assert len(loop.armed) <= 1
        for deadline, future in sorted(watched, key=lambda one: one[0]):
            before = deadline - ROUNDING
            if loop.now < before:
                loop.go(before)
                assert not future.done()
            loop.go(max(deadline, loop.now) + TICK + ROUNDING)
            assert future.done()
    finally:
        loop.close()


def test_on_a_real_loop_a_thousand_waits_end_in_the_order_of_their_deadlines() -> None:
    ended: list[tuple[float, float]] = []

    async def wait(wheel: Wheel, deadline: float) -> None:
        await wheel.until(deadline)
        ended.append((deadline, asyncio.get_running_loop().time()))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        wheel = Wheel(loop)
        begun = loop.time()
        await asyncio.gather(*(wait(wheel, begun + (number * 37 % 1000) / 20_000) for number in range(1000)))

    asyncio.run(main())
    assert len(ended) == 1000
    assert all(at >= deadline - ROUNDING for deadline, at in ended)
    slots = [int(deadline / TICK) for deadline, _ in ended]
    assert slots == sorted(slots)
