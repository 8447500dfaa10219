"""One session of a running emulator, as a test holds it: addresses, what is armed, what was called.

Talks to the server over its control API only, so that one in a thread, one in another process and one on another
machine are the same. Blocks while it asks, which takes about a millisecond; may be used by several threads.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from emulator.testing.calls import Calls, Entry, gone, listed, read
from emulator.testing.control import Control, EmulatorError

DEFAULT = "default"
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What the server takes; its own module would bring all of a server along."""
WAIT_SECONDS = 1.0
"""How long `calls` and `expect` wait for calls to be over, or to come."""
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.05
MOST_REPORTED = 20
"""Calls that a report shows in full."""
MOST_REPORT = 12_000
"""Characters of a report."""
Verdict = str


class Session:
    """A private world of one emulator: its own data, seed, clock, journal and armed list.

    `start` are members of a change (`seed`, `speed`, `profile`, `clock`) that `reset` begins it with. Everything raises
    EmulatorError, in one sentence, when the emulator does not answer or refuses what was asked for.
    """

    def __init__(self, control: Control | None, name: str = DEFAULT, start: Mapping[str, Any] | None = None) -> None:
        self.name = _checked(name)
        self._reached = control
        self._start = dict(start or {})
        self._taken: dict[str, Any] | None = None
        self._blocks: list[Arming] = []
        self._made: list[Session] | None = None

    @property
    def _control(self) -> Control:
        __tracebackhide__ = True
        if self._reached is None:
            raise EmulatorError("This emulator does not run: use it as `with Emulator() as emulator:`, or start() it.")
        return self._reached

    def __repr__(self) -> str:
        return f"<Session {self.name} {'of no emulator yet' if self._reached is None else f'at {self._reached.url}'}>"

    # ---- what a client needs

    def url(self, backend: str | None = None) -> str:
        """The base URL of a backend for this session, to be given to a client as it stands; without a backend the
        address of the emulator. It ends without a slash."""
        __tracebackhide__ = True
        prefix = "" if self.name == DEFAULT else f"/_s/{self.name}"
        base = "" if backend is None else self._control.backend(backend)["base"]
        return f"{self._control.url}{prefix}{base}"

    def api_key(self, backend: str) -> str:
        """What a client sends as its API key or bearer token; empty for a backend that asks for none."""
        __tracebackhide__ = True
        return self._control.backend(backend).get("api_key") or ""

    @property
    def headers(self) -> dict[str, str]:
        """The header that names the session, for clients whose base URL cannot be chosen freely."""
        return {"X-Emulator-Session": self.name}

    # ---- what the next calls do

    def arm(
        self,
        backend: str,
        *,
        scenario: str | Mapping[str, Any] | None = None,
        prefer: str | None = None,
        fault: str | Mapping[str, Any] | Sequence[Any] | None = None,
        operation: str | None = None,
        when: Mapping[str, Any] | None = None,
        times: int | None = 1,
        required: bool = True,
    ) -> Arming:
        """Make the next matching call do something: play a `scenario` (by name, or one written out), give the
        documented reply that `prefer` names (`code=429, example=rate_limit_error`), or be struck by a `fault`, which
        may also stand beside one of the other two.

        `times` is how many calls use it, None as long as the session lasts; a fault with a time of its own (`refuse:
        {for: 5s}`) lasts until then. In `with session.arm(…):` what is left is taken back at the end of the block, and
        with `required` it is an AssertionError if no call has used it by then.
        """
        __tracebackhide__ = True
        wanted: dict[str, Any] = {
            "backend": backend,
            "operation": operation,
            "scenario": scenario,
            "prefer": prefer,
            "fault": fault,
            "when": when,
        }
        body = {name: value for name, value in wanted.items() if value is not None}
        if times != 1:
            # Left out it is once, unless the fault says how long.
            body["times"] = times
        return Arming(self, self._ask("POST", "/armed", body), required)

    def disarm(self) -> None:
        """Take back everything that is armed."""
        __tracebackhide__ = True
        self._ask("DELETE", "/armed")
        for block in self._blocks:
            block._taken_back = True

    def patch(self, **members: Any) -> None:
        """Change `seed`, `speed`, `profile`, `clock`, `advance` (`"25h"`: tokens expire, jobs finish) or `states`, as
        `PATCH` of the control API does."""
        __tracebackhide__ = True
        if not members:
            raise TypeError("patch: name what to change: seed, speed, profile, clock, advance or states")
        self._ask("PATCH", "", members)

    # ---- what was called

    def calls(
        self,
        backend: str | None = None,
        operation: str | None = None,
        *,
        status: int | None = None,
        scenario: str | None = None,
        verdict: Verdict | None = None,
        wait: float = WAIT_SECONDS,
    ) -> Calls:
        """The calls of this session so far, the oldest first, that are as asked.

        A client may have its answer a moment before the server has noted its end: calls under way are waited for, at
        most `wait` seconds (0 takes them as they are).
        """
        __tracebackhide__ = True
        query = {
            "backend": backend,
            "operation": operation,
            "status": status,
            "scenario": scenario,
            "verdict": verdict,
        }
        return self._over(query, wait)[0]

    def expect(
        self,
        backend: str | None = None,
        operation: str | None = None,
        *,
        times: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        order: Sequence[str] | None = None,
        status: int | None = None,
        scenario: str | None = None,
        verdict: Verdict | None = None,
        within: float = WAIT_SECONDS,
    ) -> Calls:
        """Raise AssertionError unless there were so many such calls: `times` exactly, or between `at_least` and
        `at_most`; at least one where nothing is said. With `order` operations were called in this order, whatever came
        between. Returns the calls that were meant.

        Calls that are still to come, from a thread or a task, are waited for, at most `within` seconds. Where the
        journal is full, and so has lost calls, a number of calls that must not be exceeded fails as well.
        """
        __tracebackhide__ = True
        least, most = _bounds(times, at_least, at_most, order)
        if order is not None and operation is not None:
            raise TypeError("expect: give an operation or an order, not both")
        self._known(backend, order or ())
        query = {
            "backend": backend,
            "operation": operation,
            "status": status,
            "scenario": scenario,
            "verdict": verdict,
        }
        left = within
        while True:
            found, left = self._over(query, left)
            meant = found if order is None else Calls(in_order(found, order), found.what, found.dropped)
            if len(meant) >= least or left <= 0:
                break
            left -= _pause(left, LONGEST_PAUSE)
        if order is not None and len(meant) < len(order):
            raise AssertionError(_out_of_order(order, len(meant), found))
        if len(meant) < least or (most is not None and len(meant) > most):
            others = [] if found.what == EVERY else [one for one in self.calls(wait=0) if one not in found]
            raise AssertionError(_miscounted(least, most, meant, others))
        if most is not None and found.dropped:
            what = f"expected {_wanted(least, most, found.what)}"
            raise AssertionError(f"{what}, which cannot be told: {gone(found.dropped)}\n{found.what}: {found}")
        return meant

    def _over(self, query: Mapping[str, Any], wait: float) -> tuple[Calls, float]:
        """The calls that are as asked, once they are over or `wait` seconds are; and what is left of these."""
        __tracebackhide__ = True
        pause = FIRST_PAUSE
        while True:
            found = self._entries(query)
            if wait <= 0 or not any(entry.under_way for entry in found):
                return found, wait
            wait -= _pause(wait, pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _known(self, backend: str | None, operations: Sequence[str]) -> None:
        """Raise EmulatorError for operations that are none: calls of them would never come."""
        __tracebackhide__ = True
        if operations:
            backends = self._control.backends.values() if backend is None else [self._control.backend(backend)]
            names = [name for one in backends for name in one["operations"]]
            for operation in operations:
                if operation not in names:
                    raise EmulatorError(f"There is no operation {operation!r} of {backend or 'any backend'}.")

    # ---- its state

    @property
    def seed(self) -> int:
        """The seed that its data come from."""
        __tracebackhide__ = True
        seed: int = self._ask("GET", "")["seed"]
        return seed

    def snapshot(self) -> dict[str, Any]:
        """All that the session keeps but its journal, as JSON. `restore` without an argument goes back to the last."""
        __tracebackhide__ = True
        taken: dict[str, Any] = self._ask("GET", "/snapshot")
        self._taken = taken
        return taken

    def restore(self, snapshot: Mapping[str, Any] | None = None) -> None:
        """Back to a snapshot, the last one taken unless one is given; the same calls then give the same bytes."""
        __tracebackhide__ = True
        taken = snapshot if snapshot is not None else self._taken
        if taken is None:
            raise EmulatorError("There is nothing to restore: take a snapshot() first, or give one.")
        self._note_used()
        self._ask("PUT", "/snapshot", taken)

    def reset(self) -> None:
        """Back to how the session began, with an empty journal and nothing armed."""
        __tracebackhide__ = True
        self._note_used()
        self._ask("DELETE", "")
        if self._start:
            self._ask("PATCH", "", self._start)

    def forget(self) -> None:
        """The emulator keeps nothing of this session any more; its next use begins it as any other."""
        __tracebackhide__ = True
        self._note_used()
        self._ask("DELETE", "")

    def fork(self, name: str) -> Session:
        """A second session that goes on from where this one stands."""
        __tracebackhide__ = True
        self._ask("POST", "/fork", {"to": _checked(name)})
        return self._child(Session(self._control, name, self._start))

    def session(self, name: str, **start: Any) -> Session:
        """Another session of the same emulator. With `seed`, `speed`, `profile` or `clock` it begins anew with these,
        else it is left as it is."""
        __tracebackhide__ = True
        made = Session(self._control, name, start)
        if start:
            made.reset()
        return self._child(made)

    def _remember_made(self) -> list[Session]:
        """From now on the sessions that are made of this one, and of those, are put into this list: whoever gave it to
        a test forgets them with it."""
        self._made = [] if self._made is None else self._made
        return self._made

    def _child(self, made: Session) -> Session:
        if self._made is not None:
            made._made = self._made
            self._made.append(made)
        return made

    def _note_used(self) -> None:
        """What is armed or in the journal may be gone after this: note of open blocks whether they were used."""
        __tracebackhide__ = True
        for block in self._blocks:
            block._used = block._used or bool(block._among(self.calls(block.backend, wait=0)))

    # ---- for reports

    def report(self) -> str:
        """What happened in this session, for a person: its settings, its last calls, what is armed. Of bounded length,
        and never raises EmulatorError: what could not be asked is told instead."""
        try:
            shown = self._ask("GET", "")
            entries = self._entries({"after": max(0, shown["calls"] - MOST_REPORTED)})
            armed = self._ask("GET", "/armed")["armed"]
        except EmulatorError as error:
            return str(error)
        settings = f"speed {shown['speed']:g} · {shown['profile']} · clock {shown['clock']['now']}"
        lines = [f"{self.url()} · {settings}", f"{shown['calls']} call{'s' * (shown['calls'] != 1)}"]
        if len(entries) < shown["calls"]:
            lines[-1] += f", the last {len(entries)}:"
        lines += [line for entry in entries for line in entry.lines()]
        lines += [f"armed and not used up: {_armed(one)}" for one in armed]
        text = "\n".join(lines)
        return text if len(text) <= MOST_REPORT else f"{text[:2_000]}\n…\n{text[2_000 - MOST_REPORT :]}"

    def _entries(self, query: Mapping[str, Any]) -> Calls:
        __tracebackhide__ = True
        shown = self._ask("GET", "/journal", query=query)
        try:
            return Calls([read(one) for one in shown["entries"]], _what(query), shown["dropped"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            what = f"its journal reads otherwise ({type(error).__name__}: {error})"
            raise EmulatorError(
                f"The emulator at {self._control.url} answers as another version does: {what}."
            ) from None

    def _ask(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        __tracebackhide__ = True
        return self._control.call(method, f"/sessions/{self.name}{path}", body, query)


class Arming:
    """Something armed in a session. It holds as it stands, and as a context manager for its block."""

    def __init__(self, session: Session, shown: Mapping[str, Any], required: bool) -> None:
        self.id: str = shown["id"]
        self.backend: str = shown["backend"]
        self._session = session
        self._shown = shown
        self._required = required
        self._used = self._taken_back = False

    def __repr__(self) -> str:
        return f"<Arming {_armed(self._shown)}>"

    @property
    def calls(self) -> Calls:
        """The calls that used it so far."""
        __tracebackhide__ = True
        return self._among(self._session.calls(self.backend))

    def _among(self, calls: Calls) -> Calls:
        used = [one for one in calls if one.chosen_by == f"armed {self.id}"]
        return Calls(used, f"calls that used {self.id}", calls.dropped)

    def disarm(self) -> bool:
        """Take back what is left of it; False if nothing was."""
        __tracebackhide__ = True
        self._taken_back = True
        return self._remove()

    def _remove(self) -> bool:
        __tracebackhide__ = True
        session = self._session
        if not any(one["id"] == self.id for one in session._ask("GET", "/armed")["armed"]):
            return False
        session._ask("DELETE", f"/armed/{self.id}")
        return True

    def __enter__(self) -> Self:
        self._session._blocks.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        __tracebackhide__ = True
        self._session._blocks.remove(self)
        if error is not None:
            # What went wrong in the block is to be told, and not that the emulator has gone as well.
            with contextlib.suppress(EmulatorError):
                self._remove()
            return
        gone = not self._remove() and self._shown["times"] is not None
        if not self._required or self._used:
            return
        # As they are: what a call uses is settled when it begins, and while we wait an event loop cannot read on.
        calls = self._session.calls(self.backend, wait=0)
        used = self._among(calls)
        # What is no longer there may have been taken back by the test itself, or used by a call that left the journal.
        # By itself it says nothing: a reset takes it away as well.
        content = used or (gone and (self._taken_back or used.dropped))
        if not content:
            what = f"no call has used what was armed for this block: {_armed(self._shown)}"
            raise AssertionError(f"{what}\ncalls to {self.backend}: {calls}{_misses(calls, self)}")


EVERY = "calls"


def _pause(left: float, most: float) -> float:
    """Sleep, and return for how long. Who waits counts the pauses: in a test the clocks may stand still."""
    seconds = min(left, most)
    time.sleep(seconds)
    return seconds


def _checked(name: object) -> str:
    """A session's name. It stands in addresses, and one that cannot would lead elsewhere."""
    __tracebackhide__ = True
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise EmulatorError(f"A session name is 1 to 64 of A-Za-z0-9._- and not {repr(name)[:80]}.")
    return name


def _what(query: Mapping[str, Any]) -> str:
    named = " ".join(str(query[name]) for name in ("backend", "operation") if query.get(name) is not None)
    rest = [f"{name} {query[name]}" for name in ("status", "scenario", "verdict") if query.get(name) is not None]
    return EVERY + f" of {named}" * bool(named) + f" with {' and '.join(rest)}" * bool(rest)


def _bounds(
    times: int | None, at_least: int | None, at_most: int | None, order: Sequence[str] | None
) -> tuple[int, int | None]:
    __tracebackhide__ = True
    numbers: dict[str, object] = {"times": times, "at_least": at_least, "at_most": at_most}
    for name, value in numbers.items():
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"expect: {name} is a whole number, not {value!r}")
        if value < 0:
            raise ValueError(f"expect: {name} is 0 or more, not {value}")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise ValueError(f"expect: at_least is no more than at_most, not {at_least} and {at_most}")
    given = [name for name, value in (("at_least", at_least), ("at_most", at_most)) if value is not None]
    if times is not None and given:
        raise TypeError(f"expect: give times or {' and '.join(given)}, not both")
    if order is not None:
        if times is not None or given:
            raise TypeError("expect: an order says how many calls there are; leave times, at_least and at_most out")
        names: object = order
        if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(one, str) for one in names):
            raise TypeError("expect: an order is a list of operations")
        if not names:
            raise ValueError("expect: an order names one operation or more")
        return len(order), None
    if times is not None:
        return times, times
    if at_least is None:
        return (1 if at_most is None else 0), at_most
    return at_least, at_most


def in_order(entries: Sequence[Entry], order: Sequence[str]) -> list[Entry]:
    """The first calls of these operations that stand in this order; fewer than there are operations when they do
    not."""
    found: list[Entry] = []
    for entry in entries:
        if len(found) < len(order) and entry.operation == order[len(found)]:
            found.append(entry)
    return found


def _out_of_order(order: Sequence[str], matched: int, calls: Calls) -> str:
    missing = f"{order[matched]} after {order[matched - 1]}" if matched else order[0]
    return f"expected {', then '.join(order)}; there was no {missing}\n{calls.what}: {calls}"


def _wanted(least: int, most: int | None, what: str) -> str:
    if most is None:
        wanted = f"at least {least}"
    elif least == most:
        wanted = f"exactly {least}"
    else:
        wanted = f"{least} to {most}" if least else f"at most {most}"
    # "Exactly 1 call of dify".
    return f"{wanted} {what.replace('calls', 'call', 1) if wanted.endswith(' 1') else what}"


def _miscounted(least: int, most: int | None, calls: Calls, others: Sequence[Entry]) -> str:
    wanted = _wanted(least, most, calls.what)
    return f"expected {wanted}, got {calls}" + f"\nother calls, {listed(others)}" * bool(others)


def _armed(shown: Mapping[str, Any]) -> str:
    what = [f"{name} {_said(shown[name])}" for name in ("scenario", "prefer", "fault") if shown[name] is not None]
    when = f" when {_said(shown['when'])}" if shown["when"] is not None else ""
    text = f"{' and '.join(what)} for {shown['backend']} {shown['operation'] or '(any operation)'}{when}"
    return f"{text if len(text) <= 300 else text[:299] + '…'} ({shown['id']})"


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _misses(calls: Calls, arming: Arming) -> str:
    label = f"armed {arming.id}: "
    found = [
        f"\n  #{entry.id} did not: {miss.removeprefix(label)}"
        for entry in calls
        for miss in entry.near_misses
        if miss.startswith(label)
    ]
    return "".join(found[-5:])
