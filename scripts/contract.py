"""Hold the server against its specs with schemathesis: `make contract`.

Each backend that has a behaviour, each seed: a fresh server, one `schemathesis run` with every check. A run fails on a
failure, an error, a warning, an operation or phase that was left out, and an error in the server's log. The settings
are those of emulator/contract/schemathesis.toml.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.backends import behaviour_module
from emulator.service import Service, spec_files
from emulator.settings import Settings

ROOT = Path(__file__).parent.parent
RULES = ROOT / "emulator/contract/schemathesis.toml"
START_SECONDS = 60
STOP_SECONDS = 10
RUN_SECONDS = 1200
AT_ONCE = 2
"""Runs at a time. Generating the calls takes longer than answering them, and the machines of CI have two cores."""


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


def main() -> int:
    """Run them all; returns the exit code."""
    chosen = _arguments()
    names = chosen.backend or backends()
    runs = [
        Run(name, seed, chosen.examples, chosen.phases, bearer(name)) for seed in seeds(chosen.seeds) for name in names
    ]
    failed = 0
    with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        for outcome in pool.map(perform, runs):
            failed += bool(outcome.findings)
            show(outcome)
    print(f"{len(runs)} runs, {failed} with findings", flush=True)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold the server against its specs with schemathesis.")
    parser.add_argument("--seeds", default="1-5", help="such as 7, 1-5 or 3,9 (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=50, help="generated for an operation (default: %(default)s)")
    parser.add_argument("--backend", action="append", choices=backends(), help="only this one; may be given again")
    parser.add_argument("--phases", default="examples,coverage,fuzzing", help="default: %(default)s")
    return parser.parse_args()


def seeds(text: str) -> list[int]:
    """`1-3,7` as [1, 2, 3, 7]."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def backends() -> list[str]:
    """The backends that have a behaviour. One served from its schemas alone keeps no promise about state."""
    return [name for name in spec_files(Settings()) if behaviour_module(name) is not None]


def bearer(name: str) -> str | None:
    """The first credential of a backend whose spec has a bearer scheme."""
    settings = Settings()
    service = Service(name, spec_files(settings)[name], settings)
    schemes = service.document.raw.get("components", {}).get("securitySchemes", {})
    if not any(scheme.get("scheme") == "bearer" for scheme in schemes.values()):
        return None
    return service.backend.credentials[0].value


def perform(run: Run) -> Outcome:
    """One run against a server of its own."""
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        log, report = Path(folder, "server.log"), Path(folder, "report.json")
        with serving(run.backend, log) as url:
            command = [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(RULES), "--no-color"),
                *("run", f"{url}/{run.backend}/openapi.json"),
                *("--checks", "all", "--phases", run.phases, "--workers", "1"),
                *("--max-examples", str(run.examples), "--seed", str(run.seed), "--generation-database", "none"),
                *("--report", "json", "--report-json-path", str(report)),
            ]
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
        errors = [line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith("ERROR")]
        output = "\n".join([f"$ {shlex.join(command)}", done.stdout, *errors])
        if not report.exists():
            return Outcome(run, [f"schemathesis ended with {done.returncode} and no report"], 0, 0.0, output)
        said = json.loads(report.read_text("utf-8"))
    found = findings(said, run.phases.split(","))
    if errors:
        found.append(f"{len(errors)} errors in the server's log, first {errors[0]}")
    if done.returncode != 0 and not found:
        found.append(f"schemathesis ended with {done.returncode}")
    return Outcome(run, found, said["test_cases"]["generated"], said["running_time"], output)


def findings(said: dict[str, Any], phases: Sequence[str]) -> list[str]:
    """What is wrong in schemathesis' report, a line each."""
    found = []
    if not said["complete"]:
        found.append(f"stopped early: {said['stop_reason']}")
    if said["test_cases"]["unique_failures"] or said["failures"]:
        found.append(f"{said['test_cases']['unique_failures'] or len(said['failures'])} failures")
    if said["errors"]:
        found.append(f"{len(said['errors'])} errors")
    found += [f"warning {kind}: {len(about)} × {about}" for kind, about in said["warnings"].items() if about]
    operations = said["operations"]
    if not operations["total"] or operations["tested"] != operations["total"]:
        found.append(f"{operations['tested']} of {operations['total']} operations tested")
    found += [f"phase {phase} was left out" for phase in phases if said["phases"][phase]["status"] == "skip"]
    return found


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
