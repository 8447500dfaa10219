"""The journal of a session as it grows, for one reader. Knows no HTTP; lives on the loop.

A reader that falls behind is ended: what waits for it is bounded in number and in bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from emulator.call import Event
from emulator.world.journal import Entry, Happening, Journal

MOST_FEEDS = 32
"""Readers at a time on one server."""
MOST_WAITING = 500
MOST_BYTES = 4 * 1024 * 1024
"""Roughly, of the entries that wait for one reader."""
KEEP_ALIVE_SECONDS = 15.0

REASONS = {
    "reset": "the session was reset, or had to leave",
    "slow": "entries came faster than they were read",
    "stopped": "the server stops",
}
"""Why a feed ended → the words for it."""


class Feed:
    """What happens in a journal from now on, after those closed entries with an id beyond `after` that it has (None:
    none of them). Subscribed from the start; `close` it."""

    def __init__(self, journal: Journal, after: int | None) -> None:
        self._waiting: deque[tuple[Happening, Entry]] = deque()
        self._bytes = 0
        self._over: str | None = None
        self._left = False
        self._wake = asyncio.Event()
        # Calls under way are told when they close.
        known = [] if after is None else journal.select(after=after)
        self._before = deque(entry for entry in known if not entry.under_way)
        self._unsubscribe = journal.subscribe(self._put, lambda: self.end("reset"))

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events to send, until it ends (then a last one says why) or the reader leaves."""
        while self._before and not self._left:
            yield _event("closed", self._before.popleft())
        while not self._left:
            if self._waiting:
                what, entry = self._waiting.popleft()
                self._bytes -= entry.weight if what == "closed" else 0
                if what == "closed" or entry.under_way:
                    # Else its end waits here, too, and says more.
                    yield _event(what, entry)
            elif self._over is not None:
                yield Event(data={"reason": self._over, "detail": REASONS[self._over]}, event="end")
                return
            else:
                self._wake.clear()
                try:
                    await asyncio.wait_for(self._wake.wait(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield Event(comment="")

    def end(self, reason: str) -> None:
        """End it with a last event, after what waits."""
        self._over = self._over or reason
        self._wake.set()

    def leave(self) -> None:
        """The reader has gone."""
        self._left = True
        self._wake.set()

    def close(self) -> None:
        """Listen no longer."""
        self._unsubscribe()
        self._waiting.clear()
        self._before.clear()

    def _put(self, what: Happening, entry: Entry) -> None:
        if self._over is not None:
            return
        self._waiting.append((what, entry))
        self._bytes += entry.weight if what == "closed" else 0
        if len(self._waiting) > MOST_WAITING or self._bytes > MOST_BYTES:
            self._waiting.clear()
            self._before.clear()
            self._over = "slow"
        self._wake.set()


def _event(what: Happening, entry: Entry) -> Event:
    if what == "opened":
        # Without an id: who comes back is to get its end.
        return Event(data=entry.shown(), event="open")
    return Event(data=entry.shown(), event="entry", id=str(entry.id))
