"""The time of one answer on its way: stream seconds held against the loop's clock, whatever happens meanwhile.

Owns waiting. A session may change its speed or move its time ahead, somebody may stop the answer, its client may leave:
each ends or shortens the wait under way. Knows no bytes and no HTTP.
"""

from __future__ import annotations

import asyncio

from emulator.streams.wheel import Wheel
from emulator.world.session import Session

_WHEELS: dict[asyncio.AbstractEventLoop, Wheel] = {}


def _wheel() -> Wheel:
    loop = asyncio.get_running_loop()
    wheel = _WHEELS.get(loop)
    if wheel is None:
        for old in [one for one in _WHEELS if one.is_closed()]:
            del _WHEELS[old]
        wheel = _WHEELS[loop] = Wheel(loop)
    return wheel


class Timeline:
    """Stream seconds of one answer. They pass at the session's speed, from `begin` on. `reached` is the one that was
    last waited for; whoever has no need to wait at speed 0 sets it."""

    __slots__ = (
        "_again",
        "_anchor",
        "_loop",
        "_session",
        "_speed",
        "_stream",
        "_waiting",
        "left",
        "reached",
        "stopped",
    )

    def __init__(self, session: Session | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._waiting: asyncio.Future[None] | None = None
        self._again = False
        self.left = False
        self.stopped = False
        self.begin()

    def begin(self) -> None:
        """Second 0 is now."""
        # The loop's time and the stream's at one moment, since when the speed has been the same.
        self._anchor, self._stream = self._loop.time(), 0.0
        self.reached = 0.0
        self._speed = self.speed

    @property
    def speed(self) -> float:
        """Stream seconds in a second; 0 where nothing waits."""
        return 1.0 if self._session is None else self._session.speed

    async def until(self, at: float) -> None:
        """Wait for a stream second. Returns at once at speed 0, once the answer was stopped or its client has left."""
        while not self.stopped and not self.left:
            if self.speed != self._speed:
                self._change(self.speed)
            if self._speed <= 0:
                break
            deadline = self._anchor + (at - self._stream) / self._speed
            if deadline <= self._loop.time():
                await asyncio.sleep(0)
                break
            self._again = False
            self._waiting = _wheel().until(deadline)
            await self._waiting
            self._waiting = None
            if not self._again:
                break
        self.reached = at

    async def rest(self, deadline: float) -> None:
        """Wait for a time of the loop, at any speed, unless the client leaves."""
        while not self.left and self._loop.time() < deadline:
            self._waiting = _wheel().until(deadline)
            await self._waiting
            self._waiting = None

    async def stall(self, seconds: float | None, most: float) -> bool:
        """Wait for real seconds at any speed, `most` where they are None or more; a stop ends it. Whether the answer
        may go on then."""
        over = False

        def end() -> None:
            nonlocal over
            over = True
            self._wake()

        # A timer that can be taken back: the wheel would keep its slot for as long as this might have lasted. Whether
        # it is over is not asked of the clock, since timers may be early by a little.
        timer = self._loop.call_later(most if seconds is None else min(seconds, most), end)
        try:
            while not over and not self.stopped and not self.left:
                self._waiting = self._loop.create_future()
                await self._waiting
        finally:
            timer.cancel()
            self._waiting = None
        return not self.left and (self.stopped or (seconds is not None and seconds <= most))

    def stop(self) -> None:
        """The answer was stopped: nothing waits any more."""
        self.stopped = True
        self._wake()

    def leave(self) -> None:
        """The client has gone."""
        self.left = True
        self._wake()

    def skip(self, seconds: float) -> None:
        """So many stream seconds have passed by decree; 0 after a change of speed."""
        if self._speed != self.speed:
            self._change(self.speed)
        self._stream += seconds
        self._again = True
        self._wake()

    def _change(self, speed: float) -> None:
        now = self._loop.time()
        # Without a speed it is where it was waited for.
        passed = self._stream + (now - self._anchor) * self._speed if self._speed > 0 else self.reached
        self._anchor, self._stream, self._speed = now, passed, speed

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
