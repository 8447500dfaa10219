"""One timer for all streams of a loop: deadlines that fall into the same few milliseconds wake together.

A relative sleep per event drifts and costs a timer each; here every wait is an absolute deadline.
"""

from __future__ import annotations

import asyncio
import heapq

TICK = 0.002
"""Seconds that a deadline may be late so that neighbours share one wake-up."""


class Wheel:
    """Waits of all streams on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[asyncio.Future[None]]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0

    def until(self, deadline: float) -> asyncio.Future[None]:
        """A future that is done at `deadline` (the loop's time). Cancel it, or set its result, to wake earlier."""
        future: asyncio.Future[None] = self._loop.create_future()
        slot = int(deadline / TICK) + 1
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [future]
            heapq.heappush(self._order, slot)
            if self._timer is None or slot < self._armed:
                self._arm(slot)
        else:
            waiting.append(future)
        return future

    def _arm(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = slot
        self._timer = self._loop.call_at(slot * TICK, self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = int(self._loop.time() / TICK)
        while self._order and self._order[0] <= max(now, self._armed):
            for future in self._slots.pop(heapq.heappop(self._order)):
                if not future.done():
                    future.set_result(None)
        if self._order:
            self._arm(self._order[0])
