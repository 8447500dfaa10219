"""The pytest plugin: one server a run, one session a test, and the journal of a test that fails in its report.

It is loaded in every run of whoever has this package installed: nothing but pytest is imported until a fixture is used,
and no option, marker or report changes for tests that use none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from emulator.testing.session import Session

MARKER = "chat_emulator"
MARKED = {"seed": None, "speed": 0, "profile": "documented"}
"""What the marker takes → what holds without it; a seed of its own derives from the test's id."""
TITLE = "chat-emulator"
MOST_READABLE = 50
HASH = 10
"""Characters of a session's name that are for people, and of those that are not."""


@dataclass(slots=True)
class Held:
    """The session of a test, those that it made of it, the line about its seed, and whether the test has failed."""

    session: Session
    made: list[Session]
    seed: str
    failed: bool = False


DEFAULT = "default"
HELD = pytest.StashKey[Held]()
ANYTHING = (Exception, pytest.fail.Exception, pytest.skip.Exception)
"""What may come of asking the emulator while patches of the test still hold, as of sockets. Raised from a hook it would
end the whole run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """pytest's hook."""
    group = parser.getgroup("chat-emulator", "chat-emulator, a stand-in for chat backends")
    group.addoption("--chat-emulator-seed", type=int, metavar="N", help="the seed of every test that has no marker")
    group.addoption("--chat-emulator-url", metavar="URL", help="use the emulator that runs at this address")


def pytest_configure(config: pytest.Config) -> None:
    """pytest's hook."""
    what = "what the session of the fixture chat_emulator begins with"
    config.addinivalue_line("markers", f"{MARKER}(seed=…, speed=0, profile='documented'): {what}")


@pytest.fixture(scope="session")
def chat_emulator_server(pytestconfig: pytest.Config) -> Session:
    """The emulator of this run (under xdist: of this worker), or the one of `--chat-emulator-url`, as its session
    `default`; `.session(name)` gives others."""
    from emulator.testing import Emulator, EmulatorError, connect

    url = pytestconfig.getoption("chat_emulator_url")
    try:
        if url:
            return connect(url)
        server = Emulator(speed=0).start()
    except EmulatorError as error:
        hint = " Start one with `chat-emulator serve`, or leave --chat-emulator-url out." if url else ""
        raise _failure(f"{error}{hint}") from None
    # Later than the fixture would: the reports of the last test still ask it.
    pytestconfig.add_cleanup(server.stop)
    return server


@pytest.fixture
def chat_emulator(request: pytest.FixtureRequest, chat_emulator_server: Session) -> Session:
    """A session of this test alone: `.url(backend)` and `.api_key(backend)` for the client, `.arm(…)` before,
    `.calls(…)` and `.expect(…)` after."""
    from emulator.testing import EmulatorError

    item = request.node
    id = node_id(item)
    marked = _marked(item)
    given = request.config.getoption("chat_emulator_seed")
    if "seed" in marked:
        seed, source = marked["seed"], "given by the marker"
    elif given is not None:
        seed, source = given, "given by --chat-emulator-seed"
    else:
        seed, source = seed_of(id), "from the test's id"
    start = {**MARKED, **marked, "seed": seed, "clock": "virtual"}
    try:
        session = chat_emulator_server.session(session_name(id), **start)
    except EmulatorError as error:
        said = f"The marker {MARKER}: " if marked else ""
        raise _failure(f"{said}{error}") from None
    line = f"seed {seed} ({source}; --chat-emulator-seed {seed} for any test)"
    item.stash[HELD] = Held(session, session._remember_made(), line)
    return session


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """pytest's hook: a test that fails tells what its session has seen."""
    report = yield
    held = item.stash.get(HELD, None)
    if held is not None and report.failed:
        held.failed = True
        report.sections.append((TITLE, f"{held.seed}\n{_journal(held.session)}"))
    return report


def _journal(session: Session) -> str:
    try:
        return session.report()
    except ANYTHING as error:
        return f"the journal could not be read: {type(error).__name__}: {error}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """pytest's hook: when all of a test is over its session is forgotten, so that thousands of tests keep no more than
    one. On a server that runs on, that of a failed test stays to be looked at."""
    try:
        return (yield)
    finally:
        held = item.stash.get(HELD, None)
        if held is not None:
            del item.stash[HELD]
            if not (held.failed and item.config.getoption("chat_emulator_url")):
                for session in (held.session, *held.made):
                    _forget(session)


def _forget(session: Session) -> None:
    if session.name == DEFAULT:
        # All tests share it, though one has asked for it.
        return
    # A server that is gone has forgotten it.
    with contextlib.suppress(*ANYTHING):
        session.forget()


def node_id(item: pytest.Item) -> str:
    """The id of a test, the same with and without xdist, which adds the group to it."""
    groups = [mark.args[0] if mark.args else mark.kwargs.get("name", "default") for mark in _grouped(item)]
    return item.nodeid.removesuffix(f"@{'_'.join(sorted({str(group) for group in groups}))}") if groups else item.nodeid


def _grouped(item: pytest.Item) -> list[pytest.Mark]:
    return list(item.iter_markers("xdist_group"))


def seed_of(id: str) -> int:
    """The seed of a test: 32 bits of its id's hash."""
    return int.from_bytes(sha256(id.encode()).digest()[:4], "big")


def session_name(id: str) -> str:
    """The session of a test: what people call it, and a hash, since other tests may be called the same."""
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", id.partition("::")[2] or id)[:MOST_READABLE].strip("-")
    return f"{readable or 'test'}-{sha256(id.encode()).hexdigest()[:HASH]}"


def _marked(item: pytest.Item) -> dict[str, Any]:
    """What markers say, the nearest first. Fails the test for what a marker cannot say."""
    found: dict[str, Any] = {}
    for mark in item.iter_markers(MARKER):
        if mark.args:
            names = ", ".join(MARKED)
            raise _failure(f"The marker {MARKER} takes {names} by name, as in {MARKER}(seed=7); got {mark.args[0]!r}.")
        for name, value in mark.kwargs.items():
            if name not in MARKED:
                raise _failure(f"The marker {MARKER} takes {', '.join(MARKED)}, and no {name!r}.")
            found.setdefault(name, value)
    return found


def _failure(sentence: str) -> BaseException:
    """A failure that is told in one sentence, without a traceback."""
    return pytest.fail.Exception(sentence, pytrace=False)
