"""A run in a process of its own, in a folder of its own, and the lines it writes.

A process, because schemathesis keeps settings, checks and hooks for a whole process, leaves files where it runs, and
has to end when it is told to.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from emulator.conform.outcome import Outcome
from emulator.conform.plan import Plan, label
from emulator.errors import Broken

PACKAGES = Path(__file__).parent.parent.parent
INSIDE = "emulator.conform.inside"
WIND_DOWN_SECONDS = 15.0
"""How long a run that was stopped may take to tell what it found."""
LAST_LINES = 8


class Ended(BaseException):
    """The process was asked to end (SIGTERM)."""


def perform(plan: Plan, heard: Callable[[Outcome, Mapping[str, Any]], None]) -> Outcome:
    """Run, and tell each line as it comes. Ctrl-C ends the run and keeps what was found; a second one does not wait."""
    outcome = Outcome()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chat-emulator-conform-") as name:
        folder = Path(name)
        rules = folder / "schemathesis.toml"
        rules.write_bytes(plan.rules.read_bytes())
        log = folder / "log"
        with log.open("w") as said, _started(folder, said, plan) as process:
            _give(process, _job(plan, rules))
            _listen(process, outcome, heard)
        told = (outcome.finished, outcome.spent, outcome.interrupted, outcome.broken, outcome.unreachable)
        if not any(told):
            lines = log.read_text("utf-8", "replace").strip().splitlines()[-LAST_LINES:]
            outcome.broken = "\n".join(["the run ended before its time", *lines])
    outcome.seconds = time.monotonic() - begun
    return outcome


def _job(plan: Plan, rules: Path) -> dict[str, Any]:
    names = [part for one in plan.operations for part in ("--include-name", label(one))]
    return {
        "url": plan.address.url,
        "headers": [f"{name}: {value}" for name, value in plan.headers.items()],
        "budget": plan.most,
        "timeout": plan.timeout,
        "read_only": plan.read_only,
        "known": plan.known(),
        "asked_first": plan.asked_first(),
        "arguments": [
            *("--config-file", str(rules), "--no-color", "run", str(plan.document.file.absolute())),
            *("--url", plan.address.url, "--phases", ",".join(plan.phases), "--workers", "1"),
            *("--max-examples", str(plan.examples), "--seed", str(plan.seed), "--generation-database", "none"),
            *("--request-timeout", str(plan.timeout), "--max-redirects", "0", "--continue-on-failure", *names),
        ],
    }


@contextmanager
def _started(folder: Path, log: Any, plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    """The process, ended with all that it started however this is left."""
    paths = [
        str(PACKAGES),
        *(str(Path(one).absolute()) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCHEMATHESIS_")}
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
    # A password that lies there is not for this server, and would take the place of the header that was given.
    environment["NETRC"] = os.devnull
    if plan.address.loopback:
        environment |= {"NO_PROXY": "*", "no_proxy": "*"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", INSIDE],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        # Ctrl-C is for the command, which passes it on once.
        start_new_session=True,
    )
    with process, _terminable():
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM unwinds, so that nothing is left behind."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _give(process: subprocess.Popen[bytes], job: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
    except BrokenPipeError:
        return


def _listen(
    process: subprocess.Popen[bytes], outcome: Outcome, heard: Callable[[Outcome, Mapping[str, Any]], None]
) -> None:
    assert process.stdout is not None
    watchdog: threading.Timer | None = None
    try:
        while True:
            try:
                for data in process.stdout:
                    line = json.loads(data)
                    outcome.take(line)
                    heard(outcome, line)
                break
            except KeyboardInterrupt:
                if outcome.interrupted:
                    break
                outcome.interrupted = True
                process.send_signal(signal.SIGINT)
                watchdog = threading.Timer(WIND_DOWN_SECONDS, process.kill)
                watchdog.daemon = True
                watchdog.start()
        if not outcome.interrupted:
            process.wait()
    except ValueError as error:
        raise Broken(INSIDE, f"an unreadable line: {error}") from error
    finally:
        if watchdog is not None:
            watchdog.cancel()
