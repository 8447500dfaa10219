"""`chat-emulator exec`: a server for as long as a command runs.

Owns the command's environment, the signals on their way to it, and what its end means as an exit code. The server lives
in a thread of this process, so it can't outlive it. The command stays in our process group: what a terminal or a
supervisor does to the group (Ctrl-C, Ctrl-Z, a kill) reaches it without us, once, and it may read the terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress

from emulator.errors import Misused
from emulator.server import cannot_listen, raise_file_limit, reachable
from emulator.settings import Settings
from emulator.testing.server import ThreadedServer

FAILED, NOT_RUN, NOT_FOUND = 1, 126, 127
"""Exit codes: of our own failure; as a shell has them for a command that can't be run, and for one that isn't there."""
HANDED_ON = frozenset(
    {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2},
)
TYPED = frozenset({signal.SIGINT, signal.SIGQUIT})
"""Signals that a terminal sends to all of its foreground group when a key is pressed."""
CHANGED_BY_PYTHON = [one for one in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, one)]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXY = re.compile(r"(?:all|ftp|https?|wss?)_proxy", re.IGNORECASE)


class NotDone(Exception):
    """`exec` could not do its part. `code` is the exit code, `str()` a sentence."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def run(settings: Settings, command: Sequence[str], ready: Callable[[ThreadedServer, Mapping[str, str]], None]) -> int:
    """Serve, run the command, and return its exit code: 128 + n where signal n ended it.

    `ready` is called when calls are accepted, right before the command starts, with the variables that were set. Call
    it from the main thread. Raises Misused and Broken for settings that can't be served, NotDone where the port is
    taken, the command can't be started, or the server ends before the command.
    """
    with _held_signals() as (held, mask):
        try:
            server = ThreadedServer(settings)
        except OSError as error:
            raise NotDone(cannot_listen(settings.host, settings.port, error), FAILED) from None
        with server:
            ours = variables(server)
            ready(server, ours)
            # Whoever asked for an end while we were starting need not wait for the command.
            if early := signal.sigpending() & held & HANDED_ON:
                return 128 + int(min(early))
            pid = _start(command, {**os.environ, **ours, **past_proxies(os.environ)}, mask)
            # Afterwards, so that the command has the limit that it would have without us.
            raise_file_limit()
            code = _follow(pid, held)
            if not server.alive:
                raise NotDone("the emulator ended before the command did", code or FAILED)
            return code


def variables(server: ThreadedServer) -> dict[str, str]:
    """What the command finds in its environment beside what is there: CHAT_EMULATOR_URL, and for each backend
    CHAT_EMULATOR_<BACKEND>_URL and _KEY, the key empty where none is asked for. CHAT_EMULATOR_TOKEN opens the control
    API where the server is bound beyond loopback."""
    url = reachable(server.url)
    found = {"CHAT_EMULATOR_URL": url}
    if server.app.token is not None:
        found["CHAT_EMULATOR_TOKEN"] = server.app.token
    for name, service in server.app.services.items():
        stem = f"CHAT_EMULATOR_{name.upper().replace('-', '_')}"
        if f"{stem}_URL" in found:
            raise Misused("Same variable", f"Two backends would both have the variable {stem}_URL.")
        found[f"{stem}_URL"] = f"{url}/{name}{service.bases()[0]}"
        found[f"{stem}_KEY"] = service.api_key or ""
    return found


def past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """What to change so that calls to this machine don't go to a proxy: NO_PROXY in both spellings, with what they
    hold kept. Nothing where no proxy is set in the environment: on some systems NO_PROXY alone makes clients
    forget the proxies that are set elsewhere."""
    if not any(PROXY.fullmatch(name) and value for name, value in environment.items()):
        return {}
    changes = {}
    for name, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):
        # Most clients read one spelling, and not the same one.
        given = environment.get(name) or environment.get(other) or ""
        listed = [one.strip() for one in given.split(",") if one.strip()]
        if listed != ["*"]:
            changes[name] = ",".join([*listed, *(one for one in LOOPBACK if one not in listed)])
    return changes


@contextmanager
def _held_signals() -> Iterator[tuple[AbstractSet[int], AbstractSet[int]]]:
    """Signals wait until they are asked for; threads that are begun here leave them alone as well. Gives those that are
    held, and the mask that was there before. What is ignored, as by nohup, stays so, here and for the command."""
    held: set[int] = {one for one in HANDED_ON if signal.getsignal(one) is not signal.SIG_IGN} | {signal.SIGCHLD}
    # Where SIGCHLD is ignored, as some parents leave it, the command's exit code would be lost.
    before = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield held, mask
    finally:
        # What came too late for the command must not strike us.
        while late := signal.sigpending() & held:
            signal.sigwait(late)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGCHLD, before)


def _start(command: Sequence[str], environment: Mapping[str, str], mask: AbstractSet[int]) -> int:
    """Start the command with our standard streams and the signals as we found them; its process id."""
    default = [getattr(signal, one) for one in CHANGED_BY_PYTHON]
    try:
        # Unlike a fork this is safe beside other threads, and it says whether the command could be started.
        return os.posix_spawnp(command[0], list(command), environment, setsigmask=mask, setsigdef=default)
    except ValueError:
        raise NotDone("the command has no name", NOT_FOUND) from None
    except FileNotFoundError:
        if shutil.which(command[0]):
            raise NotDone(f"{command[0]!r} cannot be run: what its first line names is not there", NOT_RUN) from None
        raise NotDone(f"there is no command {command[0]!r}", NOT_FOUND) from None
    except OSError as error:
        raise NotDone(f"{command[0]!r} cannot be run: {error.strerror or error}", NOT_RUN) from None


def _follow(pid: int, held: AbstractSet[int]) -> int:
    """Hand signals on to the command until it has ended; its exit code."""
    ended: list[int] = []
    us = threading.get_ident()

    def wait() -> None:
        ended.append(os.waitpid(pid, 0)[1])
        # To this thread: the one that the system sends goes to any that does not hold it.
        signal.pthread_kill(us, signal.SIGCHLD)

    waiting = threading.Thread(target=wait, name="command", daemon=True)
    waiting.start()
    while not ended:
        number, typed = _next_signal(held)
        if not (typed or ended or number == signal.SIGCHLD):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
    waiting.join()
    code = os.waitstatus_to_exitcode(ended[0])
    return code if code >= 0 else 128 - code


def _next_signal(held: AbstractSet[int]) -> tuple[int, bool]:
    """Wait for a signal; its number, and whether a terminal sent it, in which case the command has it already."""
    if hasattr(signal, "sigwaitinfo"):
        found = signal.sigwaitinfo(held)
        # Positive codes are the kernel's own; kill() has 0 and less.
        return found.si_signo, found.si_signo in TYPED and found.si_code > 0
    number = signal.sigwait(held)
    return number, number in TYPED and _in_foreground()


def _in_foreground() -> bool:
    """Whether a key pressed in our terminal reaches our process group."""
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
