"""Reply, Stream → the wire. Whole replies at their time, streams frame by frame, damaged where a fault says so.

Beside `edge` and `app` the only file that knows HTTP libraries. Each stream watches for its client to leave and is
ended when a client does not read.

What breaks HTTP itself (`content_length`, `slow_headers`) is written by hand on the connection, which ends with the
answer. In process, where there is no connection, `content_length` only says the wrong thing in the head, `slow_headers`
makes the whole head wait, and `reset` and `refuse` raise ConnectionResetError; a stall that nobody can end but the
client lasts until then, or to its limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from emulator.call import Closed, Event, Headers, Item, Reply, Stream
from emulator.connection import FLUSH_SECONDS, RawAnswer, abort, reset, transport_of
from emulator.damage import Action, Chunk, Damage, Reset, Stall, Truncate, Until, seconds_of
from emulator.pipeline import Answer, note_breaches
from emulator.settings import Settings
from emulator.timeline import Timeline
from emulator.world.journal import Entry

log = logging.getLogger("emulator.edge")

LET_IN = 64
"""Items of an answer that are played on at once before others are let in."""
BODILESS = (204, 304)
"""Statuses without a body."""


def raw_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]


async def send_reply(
    answered: Answer, reply: Reply, headers: Headers, settings: Settings, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send a whole reply at its time."""
    if reply.after or answered.faults:
        await Replying(answered, reply, headers, settings, scope, receive, send).run()
        return
    if reply.status not in BODILESS:
        headers = (*headers, ("Content-Length", str(len(reply.body))))
    await send({"type": "http.response.start", "status": reply.status, "headers": raw_headers(headers)})
    await send({"type": "http.response.body", "body": reply.body})


async def _watch(receive: Receive, line: Timeline) -> None:
    """Tell when the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    line.leave()


class Damaged:
    """One answer that faults strike, from its head (`begin`) or from somewhere in it to its end.

    `cut` says that it was ended early, `silent` that nothing more is to be sent, `ended` that the body has had its end,
    `broken` that it was to be reset and there is no connection to do it on.
    """

    def __init__(
        self, answered: Answer, damage: Damage, settings: Settings, scope: Scope, send: Send, line: Timeline
    ) -> None:
        self.damage = damage
        self.cut = self.silent = self.broken = self.ended = False
        self._answered = answered
        self._settings = settings
        self._scope = scope
        self._asgi = send
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._sent: float | None = None
        self._raw: RawAnswer | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent, for one reason or the other."""
        return self.silent or self._line.left

    @property
    def left(self) -> bool:
        """Whether the client has left of its own accord."""
        return self._line.left and not self.silent

    def sent_before(self, begun: float, sent: float | None) -> None:
        """The answer began at a time of the loop, and something was sent at another."""
        self._begun, self._sent = begun, sent

    # ---- the head

    async def hold(self) -> None:
        """What comes before the head: latency, or a refusal."""
        for fault, outcome, rng in self.damage.heads("latency"):
            outcome.strike()
            await self._line.until(self._line.reached + seconds_of(fault, rng))
        found = self.damage.head("refuse")
        if found is not None and not self.over:
            found[1].strike()
            await self._reset(flush=False)

    @property
    def by(self) -> int | None:
        """How many bytes more than come the head promises; None where it promises nothing wrong."""
        found = self.damage.head("content_length")
        return None if found is None else int(found[0].option("by"))

    async def begin(self, status: int, headers: Headers, length: int | None) -> None:
        """Send the head. `length` is how many bytes come; None is for as long as it takes."""
        found = self.damage.head("content_type")
        if found is not None:
            found[1].strike()
            kept = tuple(header for header in headers if header[0].lower() != "content-type")
            headers = (*kept, ("Content-Type", found[0].option("type")))
        length = self._promised(length)
        slow = self.damage.head("slow_headers")
        if slow is not None:
            slow[1].strike()
        every: float = 0.0 if slow is None else slow[0].option("every")
        transport = transport_of(self._scope)
        if transport is not None and (slow is not None or self.by is not None):
            self._raw = RawAnswer(transport, self._scope["method"], self._scope.get("http_version", "1.1"), status)

            async def pause() -> None:
                await self._line.until(self._line.reached + every)

            async with asyncio.timeout(None if slow is not None else self._settings.limits.send_seconds):
                await self._raw.head(raw_headers(headers), length, None if slow is None else pause)
        else:
            if slow is not None:
                await self._line.until(self._line.reached + every * (len(headers) + 2))
            if length is not None:
                headers = (*headers, ("Content-Length", str(length)))
            if not self._line.left:
                await self._put({"type": "http.response.start", "status": status, "headers": raw_headers(headers)})
        self._line.begin()

    def _promised(self, length: int | None) -> int | None:
        found = self.damage.head("content_length")
        if found is None or length is None:
            return length
        fault, outcome, _ = found
        promised: int = max(0, length + fault.option("by"))
        if promised == length:
            outcome.why = "the promise comes to the same"
        else:
            outcome.strike()
            self.cut = True
        return promised

    # ---- the body

    async def follow(self, actions: Iterable[Action], items: Iterable[Item] = ()) -> None:
        """Do what is to be done, to the end of the body. When a fault has ended it early, the rest of `items`, from
        which the actions are made, is played on for the store; not for a client that leaves by itself."""
        if not self.silent:
            for action in actions:
                if isinstance(action, Chunk):
                    await self._piece(action)
                elif isinstance(action, Until):
                    await self._line.until(action.at)
                else:
                    await self._strike(action)
                if self.over:
                    break
            else:
                await self._end()
        if self.silent:
            for number, _ in enumerate(items):
                if number % LET_IN == 0:
                    await asyncio.sleep(0)

    async def _piece(self, chunk: Chunk) -> None:
        if chunk.apart and self._sent is not None:
            await self._line.rest(self._sent + FLUSH_SECONDS)
        await self._write(chunk.data)
        self._sent = self._loop.time()
        entry = self._answered.entry
        if entry is not None and isinstance(self._answered.reply, Stream):
            for end in chunk.ends:
                if end.event is not None:
                    entry.add_frame((self._sent - self._begun) * 1000, end.size, noted(end.event))
        if self._line.speed == 0:
            # Let others in: a stop may come while an unpaced stream is under way.
            await asyncio.sleep(0)

    async def _strike(self, action: Stall | Truncate | Reset) -> None:
        match action:
            case Truncate():
                await self._end()
                self._silence()
            case Reset():
                await self._reset()
            case Stall(seconds):
                if not await self._line.stall(seconds, self._settings.limits.stall_seconds):
                    self._silence()
                    await abort(self._scope)

    def _silence(self) -> None:
        """A fault has ended the answer for its client."""
        self.cut = self.silent = True
        self.damage.freeze()

    async def _reset(self, flush: bool = True) -> None:
        self._silence()
        if transport_of(self._scope) is None:
            self.broken = True
        else:
            await reset(self._scope, flush)

    async def _write(self, data: bytes) -> None:
        if self._raw is None:
            await self._put({"type": "http.response.body", "body": data, "more_body": True})
        else:
            async with asyncio.timeout(self._settings.limits.send_seconds):
                await self._raw.send(data)

    async def _put(self, message: Message) -> None:
        async with asyncio.timeout(self._settings.limits.send_seconds):
            await self._asgi(message)

    async def _end(self) -> None:
        self.ended = True
        if self._raw is None:
            await self._put({"type": "http.response.body", "body": b"", "more_body": False})
            return
        self._raw.end()

    async def wait_for_the_end(self) -> None:
        """Where the connection was written to directly, the server takes the answer for unfinished until it is gone."""
        if self._raw is not None and self.ended:
            await self._line.rest(self._loop.time() + self._settings.limits.send_seconds)
            if not self._line.left:
                await abort(self._scope)

    def note(self, entry: Entry) -> None:
        """Tell the journal what became of each fault."""
        told = [
            {**known, **outcome.shown()} for known, outcome in zip(entry.faults, self.damage.outcomes, strict=False)
        ]
        source = f"scenario {entry.scenario}" if entry.scenario else "a step"
        told += [{"name": fault.name, "source": source, **outcome.shown()} for fault, outcome in self.damage.struck]
        entry.faults = tuple(told)


class Replying:
    """One whole reply on its way, later or damaged. A session that ends lets it go at once."""

    def __init__(
        self,
        answered: Answer,
        reply: Reply,
        headers: Headers,
        settings: Settings,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._answered = answered
        self._reply = reply
        self._headers = headers
        self._settings = settings
        self._scope = scope
        self._receive = receive
        self._send = send
        self._line = Timeline(answered.session)
        self._damaged: Damaged | None = None

    async def run(self) -> None:
        """Send it."""
        session = self._answered.session
        watcher = asyncio.get_running_loop().create_task(_watch(self._receive, self._line))
        if session is not None:
            session.held.add(self._line)
        try:
            await self._line.until(self._reply.after)
            if not self._line.left:
                await self._answer()
        except TimeoutError:
            log.warning("a client did not read its reply for %s s", self._settings.limits.send_seconds)
            await abort(self._scope)
        except OSError:
            self._line.left = True
        finally:
            if session is not None:
                session.held.discard(self._line)
            self._note()
            await _over(watcher, self._damaged)

    async def _answer(self) -> None:
        answered, reply = self._answered, self._reply
        if not answered.faults:
            whole = replace(reply, after=0.0)
            await send_reply(answered, whole, self._headers, self._settings, self._scope, self._receive, self._send)
            return
        damage = Damage(answered.faults, answered.noise)
        damaged = self._damaged = Damaged(answered, damage, self._settings, self._scope, self._send, self._line)
        await damaged.hold()
        if damaged.over:
            return
        json = any(name.lower() == "content-type" and "json" in value for name, value in reply.headers)
        body = b"" if reply.status in BODILESS else reply.body
        length = (
            None if reply.status in BODILESS else _length(Damage(answered.faults, answered.noise).reply(body, json))
        )
        await damaged.begin(reply.status, self._headers, length)
        await damaged.follow(damage.reply(body, json))

    def _note(self) -> None:
        entry, session, damaged = self._answered.entry, self._answered.session, self._damaged
        if entry is None or session is None or not self._answered.faults:
            return
        ended = False
        if damaged is not None:
            damaged.note(entry)
            ended = damaged.ended
        entry.closed = "cut" if damaged is not None and damaged.cut else "left" if not ended else None
        session.journal.close(entry)


async def _over(watcher: asyncio.Task[None], damaged: Damaged | None) -> None:
    """An answer is noted down: leave its connection as it has to be."""
    try:
        if damaged is not None:
            await damaged.wait_for_the_end()
    finally:
        watcher.cancel()
    if damaged is not None and damaged.broken:
        raise ConnectionResetError("the answer was cut on purpose")


def _length(actions: Iterable[Action], until: type | tuple[type, ...] = Truncate) -> int:
    """How many bytes would be sent up to the first of these actions."""
    length = 0
    for action in actions:
        if isinstance(action, until):
            break
        if isinstance(action, Chunk):
            length += len(action.data)
    return length


class Sending:
    """One stream on its way to one client."""

    def __init__(
        self,
        answered: Answer,
        stream: Stream,
        headers: Headers,
        settings: Settings,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._answered = answered
        self._stream = stream
        self._headers = headers
        self._settings = settings
        self._scope = scope
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._line = Timeline(answered.session)
        self._begun = self._loop.time()
        self._damaged: Damaged | None = None

    async def run(self) -> None:
        """Send everything, or as much as the client takes."""
        performance = self._stream.performance
        line = self._line
        watcher = self._loop.create_task(_watch(self._receive, line))
        performance.on_stop(line.stop)
        performance.on_advance(line.skip)
        try:
            if self._answered.faults:
                await self._run_damaged()
            else:
                await self._run()
        except TimeoutError:
            log.warning("a client did not read its stream for %s s", self._settings.limits.send_seconds)
            await abort(self._scope)
        except OSError:
            line.left = True
        except Exception:
            log.exception("a stream of %s broke", self._answered.entry.operation if self._answered.entry else "nothing")
            await abort(self._scope)
        finally:
            performance.leave()
            self._note()
            await _over(watcher, self._damaged)

    async def _run(self) -> None:
        """Without faults, until one stands among the steps."""
        session, entry, inspect = self._answered.session, self._answered.entry, self._answered.inspect
        encode, line, loop = self._stream.encode, self._line, self._loop
        await self._put(
            {"type": "http.response.start", "status": self._stream.status, "headers": raw_headers(self._headers)}
        )
        sent: float | None = None
        count = 0
        items = self._stream.performance.play()
        for item in items:
            if isinstance(item, float):
                if session is None or session.speed > 0:
                    await line.until(item)
                else:
                    line.reached = item
            elif isinstance(item, Event):
                data = encode(item)
                if item.apart and sent is not None:
                    await line.rest(sent + FLUSH_SECONDS)
                await self._put({"type": "http.response.body", "body": data, "more_body": True})
                sent = loop.time()
                count += 1
                if entry is not None:
                    entry.add_frame((sent - self._begun) * 1000, len(data), noted(item))
                    if inspect is not None:
                        note_breaches(entry, inspect(item))
                if session is not None and session.speed == 0:
                    # Let others in: a stop may come while an unpaced stream is under way.
                    await asyncio.sleep(0)
            else:
                damage = Damage((), self._answered.noise, self._stream.performance.ping, count, line.reached)
                damaged = self._damage(damage)
                damaged.sent_before(self._begun, sent)
                rest = self._inspected(chain((item,), items))
                await damaged.follow(damage.play(rest, encode), rest)
                return
            if line.left:
                return
        await self._put({"type": "http.response.body", "body": b"", "more_body": False})

    async def _run_damaged(self) -> None:
        """With faults from the start."""
        performance, encode = self._stream.performance, self._stream.encode
        damage = Damage(self._answered.faults, self._answered.noise, performance.ping)
        damaged = self._damage(damage)
        await damaged.hold()
        if damaged.left:
            return
        items: Iterator[Item] = self._inspected(performance.play())
        length = None
        if not damaged.silent:
            if damaged.by is not None:
                whole = await self._collected(items)
                if self._line.left:
                    return
                again = Damage(self._answered.faults, self._answered.noise, performance.ping)
                length = _length(again.play(whole, encode), (Truncate, Reset))
                items = iter(whole)
            await damaged.begin(self._stream.status, self._headers, length)
        await damaged.follow(damage.play(items, encode), items)

    def _damage(self, damage: Damage) -> Damaged:
        damaged = Damaged(self._answered, damage, self._settings, self._scope, self._send, self._line)
        damaged.sent_before(self._begun, None)
        self._damaged = damaged
        return damaged

    def _inspected(self, items: Iterable[Item]) -> Iterator[Item]:
        """The undamaged events go by what holds them against the spec."""
        entry, inspect = self._answered.entry, self._answered.inspect
        for item in items:
            if entry is not None and inspect is not None and isinstance(item, Event):
                note_breaches(entry, inspect(item))
            yield item

    async def _collected(self, items: Iterable[Item]) -> list[Item]:
        """Everything but the waits, each of which is kept."""
        whole: list[Item] = []
        for item in items:
            if isinstance(item, float):
                await self._line.until(item)
            else:
                whole.append(item)
                await asyncio.sleep(0)
            if self._line.left:
                break
        return whole

    async def _put(self, message: Message) -> None:
        async with asyncio.timeout(self._settings.limits.send_seconds):
            await self._send(message)

    def _note(self) -> None:
        entry, session, damaged = self._answered.entry, self._answered.session, self._damaged
        if entry is not None and session is not None:
            closed: Closed = self._stream.performance.closed
            if damaged is not None:
                damaged.note(entry)
                if damaged.cut:
                    closed = "cut"
            entry.closed = closed
            entry.duration_ms = round((self._loop.time() - self._begun) * 1000, 3)
            session.journal.close(entry)


def noted(event: Event) -> Any:
    """An event as the journal shows it."""
    if event.raw is not None:
        return event.raw.decode("utf-8", "replace")
    return event.data if event.data is not None else event.event or event.comment
