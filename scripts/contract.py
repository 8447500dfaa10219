"""Hold the server against its specs with schemathesis: `make contract`.

The control API and each backend that has a behaviour, each seed: a fresh server, one `schemathesis run` with every
check. A run fails on a failure, an error, a warning, an operation of the spec's file that was left out, a phase that
did not end well, a story of contract_reach.py that the stateful phase did not reach, and an error in the server's log.
The settings are those of emulator/contract/schemathesis.toml.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contract_reach import Step, read_chains, wanted

from emulator.backends import behaviour_module
from emulator.contract.document import METHODS
from emulator.control.api import SPEC as CONTROL_SPEC
from emulator.service import Service, spec_files
from emulator.settings import Settings
from emulator.source import load

ROOT = Path(__file__).parent.parent
STATEFUL = "stateful"
MOST_AGAIN = 12
"""Times that the stateful phase is run again for one backend and seed."""
RULES = ROOT / "emulator/contract/schemathesis.toml"
START_SECONDS = 60
STOP_SECONDS = 10
RUN_SECONDS = 3600
AT_ONCE = 2
"""Runs at a time. Generating the calls takes longer than answering them, and the machines of CI have two cores."""


CONTROL = "control"
"""The control API among the backends."""
CONTROLLED = "dify"
"""The backend of the server whose control API is tried: the document's examples name it."""
ENDLESS = "watchJournal"
"""A stream without an end; tests/test_control_feed.py reads it."""
SESSION = "tour"
"""The session of the examples in the control API's document."""


@dataclass(frozen=True, slots=True)
class Run:
    """One backend and one seed."""

    backend: str
    seed: int
    examples: int
    phases: str
    token: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. `findings` empty means that all is well; `output` is for whoever has to mend it."""

    run: Run
    findings: Sequence[str]
    cases: int
    seconds: float
    output: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one `schemathesis run` said: findings, how much it did, and what its chains of calls reached."""

    found: Sequence[str]
    cases: int
    seconds: float
    output: str
    chains: int = 0
    steps: frozenset[Step] = frozenset()


def main() -> int:
    """Run them all; returns the exit code."""
    chosen = _arguments()
    names = chosen.backend or backends()
    runs = [
        Run(name, seed, chosen.examples, phases_of(name, chosen.phases), bearer(name))
        for seed in seeds(chosen.seeds)
        for name in names
    ]
    failed = 0
    with ThreadPoolExecutor(min(chosen.at_once, os.cpu_count() or 1)) as pool:
        for outcome in pool.map(perform, runs):
            failed += bool(outcome.findings)
            show(outcome)
    print(f"{len(runs)} run{'s' * (len(runs) != 1)}, {failed} with findings", flush=True)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold the server against its specs with schemathesis.")
    parser.add_argument("--seeds", default="1", help="such as 7, 1-5 or 3,9 (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=50, help="generated for an operation (default: %(default)s)")
    parser.add_argument("--backend", action="append", choices=backends(), help="only this one; may be given again")
    parser.add_argument("--phases", default="examples,coverage,fuzzing,stateful", help="default: %(default)s")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="runs at a time (default: %(default)s)")
    return parser.parse_args()


def seeds(text: str) -> list[int]:
    """`1-3,7` as [1, 2, 3, 7]."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def backends() -> list[str]:
    """The backends that have a behaviour (one served from its schemas alone keeps no promise about state), and the
    control API."""
    return [*(name for name in spec_files(Settings()) if behaviour_module(name) is not None), CONTROL]


def bearer(name: str) -> str | None:
    """The first credential of a backend whose spec has a bearer scheme."""
    if name == CONTROL:
        return None
    settings = Settings()
    service = Service(name, spec_files(settings)[name], settings)
    schemes = service.document.raw.get("components", {}).get("securitySchemes", {})
    if not any(scheme.get("scheme") == "bearer" for scheme in schemes.values()):
        return None
    return service.backend.credentials[0].value


def phases_of(name: str, phases: str) -> str:
    """Those that a document allows. The control API's has no links, so no chains of calls begin there."""
    return ",".join(phase for phase in phases.split(",") if name != CONTROL or phase != STATEFUL)


def perform(run: Run) -> Outcome:
    """One run; the stateful phase again where it ended too soon or reached too little. Each has a server of its own."""
    stateful = STATEFUL in run.phases.split(",")
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        parts = [_part(run, run.phases, run.seed, Path(folder))]
        while stateful and len(parts) <= MOST_AGAIN and not parts[-1].found and _too_little(run, parts):
            parts.append(_part(run, STATEFUL, run.seed * 1000 + len(parts), Path(folder)))
    found = [finding for part in parts for finding in part.found]
    if stateful and not found:
        found += _too_little(run, parts)
    output = "\n".join(part.output for part in parts if part.found)
    return Outcome(run, found, sum(part.cases for part in parts), sum(part.seconds for part in parts), output)


def _part(run: Run, phases: str, seed: int, folder: Path) -> Part:
    log = folder / f"{seed}.log"
    with serving(CONTROLLED if run.backend == CONTROL else run.backend, log) as url:
        if run.backend == CONTROL:
            prepare(url)
        part = _schemathesis(run, url, phases, seed, folder)
    errors = errors_in(log.read_text("utf-8", "replace"))
    if not errors:
        return part
    found = (*part.found, f"lines of errors in the server's log: {len(errors)}, first {errors[0]}")
    return replace(part, found=found, output="\n".join([part.output, *errors]))


def errors_in(log: str) -> list[str]:
    """The lines of a server's log that begin an error: written as one, or a traceback that nobody caught."""
    return [
        line for line in log.splitlines() if re.match(r"(ERROR|CRITICAL)\b|.*Traceback \(most recent call last\)", line)
    ]


def _schemathesis(run: Run, url: str, phases: str, seed: int, folder: Path) -> Part:
    report, events = folder / f"{seed}.json", folder / f"{seed}.ndjson"
    mount = "_emulator" if run.backend == CONTROL else run.backend
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(RULES), "--no-color"),
        *("run", f"{url}/{mount}/openapi.json"),
        *("--phases", phases, "--workers", "1"),
        *("--max-examples", str(run.examples), "--seed", str(seed), "--generation-database", "none"),
        *("--report", "json,ndjson", "--report-json-path", str(report), "--report-ndjson-path", str(events)),
    ]
    if run.backend == CONTROL:
        command += ["--exclude-operation-id", ENDLESS]
    if run.token is not None:
        command += ["--header", f"Authorization: Bearer {run.token}"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=RUN_SECONDS,
        check=False,
    )
    output = "\n".join([f"$ {shlex.join(command)}", done.stdout])
    if not report.exists():
        return Part((f"schemathesis ended with {done.returncode} and no report",), 0, 0.0, output)
    said = json.loads(report.read_text("utf-8"))
    # A run of the stateful phase alone does not go to operations that no link leads to.
    wanted_operations = None if phases == STATEFUL else documented(run.backend) - (run.backend == CONTROL)
    found = findings(said, phases.split(","), wanted_operations)
    if done.returncode != 0 and not found:
        found.append(f"schemathesis ended with {done.returncode}")
    chains, steps = read_chains(events, _operation_ids(run.backend)) if STATEFUL in phases else (0, frozenset())
    events.unlink()
    return Part(found, said["test_cases"]["generated"], said["running_time"], output, chains, frozenset(steps))


def _too_little(run: Run, parts: Sequence[Part]) -> list[str]:
    """What the stateful phase left to wish for.

    schemathesis ends it without a word when the server answers a chain that it repeats otherwise than before, which is
    what servers with a memory do. So a run may have far fewer chains than were asked for.
    """
    found = []
    chains = sum(part.chains for part in parts)
    if chains < run.examples:
        found.append(f"only {chains} chains in the stateful phase")
    left = wanted(run.backend) - {step for part in parts for step in part.steps}
    if left:
        found.append(
            "the stateful phase did not reach " + ", ".join(f"{first} → {then}" for first, then in sorted(left))
        )
    return found


def _operation_ids(backend: str) -> dict[tuple[str, str], str]:
    settings = Settings()
    operations = Service(backend, spec_files(settings)[backend], settings).document.operations.values()
    return {(operation.method, operation.path): operation.id for operation in operations}


def documented(name: str) -> int:
    """How many operations the file of a spec has. The document that is served may have lost some."""
    file = CONTROL_SPEC if name == CONTROL else spec_files(Settings())[name]
    return sum(method in METHODS for item in load(file, trusted=True)["paths"].values() for method in item)


def findings(said: dict[str, Any], phases: Sequence[str], operations: int | None) -> list[str]:
    """What is wrong in schemathesis' report, a line each. So many operations were to be tested (None: no matter how
    many)."""
    found = []
    if not said["complete"]:
        found.append(f"stopped early: {said['stop_reason']}")
    if said["test_cases"]["unique_failures"] or said["failures"]:
        found.append(f"{said['test_cases']['unique_failures'] or len(said['failures'])} failures")
    if said["errors"]:
        found.append(f"{len(said['errors'])} errors")
    found += [f"warning {kind}: {len(about)} × {about}" for kind, about in said["warnings"].items() if about]
    tested = said["operations"]["tested"]
    if operations is not None and tested != operations:
        found.append(f"{tested} of {operations} operations tested")
    ends = {phase: said["phases"].get(phase, {}).get("status", "missing") for phase in phases}
    # What failed is told above, one by one.
    found += [f"phase {phase} ended with {end}" for phase, end in ends.items() if end not in ("success", "failure")]
    return found


def prepare(url: str) -> None:
    """Let the session of the examples have a call in its journal, and something armed to read and to take back."""
    urllib.request.urlopen(f"{url}/_s/{SESSION}/{CONTROLLED}/v1/").close()
    body = json.dumps({"backend": CONTROLLED, "scenario": "default", "times": None}).encode()
    armed = f"{url}/_emulator/sessions/{SESSION}/armed"
    for _ in range(2):
        call = urllib.request.Request(armed, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(call).close()


@contextlib.contextmanager
def serving(backend: str, log: Path) -> Iterator[str]:
    """A server for one backend on a free port; gives its address."""
    command = [sys.executable, "-m", "emulator", "serve", backend, "--port", "0", "--speed", "0"]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=errors) as server,
    ):
        assert server.stdout is not None
        watchdog = threading.Timer(START_SECONDS, server.kill)
        watchdog.start()
        try:
            word, _, url = server.stdout.readline().strip().partition(" ")
            watchdog.cancel()
            if word != "ready":
                raise RuntimeError(f"the server for {backend} did not start: {log.read_text()}")
            yield url
        finally:
            watchdog.cancel()
            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


def show(outcome: Outcome) -> None:
    """Print a line, and where something was found all there is to know."""
    run = outcome.run
    verdict = "FAIL" if outcome.findings else "ok"
    name = f"{run.backend} seed {run.seed}"
    print(f"{verdict:<4} {name:<20} {outcome.cases:>6} cases in {outcome.seconds:.0f} s", flush=True)
    if outcome.findings:
        print(outcome.output)
        for finding in outcome.findings:
            print(f"  {name}: {finding}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
