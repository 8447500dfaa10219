"""The package as another repository meets it: the wheel alone, in an empty environment, in a folder of its own.

    python scripts/foreign.py [--wheel FILE] [--tests 400] [--workers 4] [--pairs 15]

Shows, and exits with 1 where one does not hold:

- that a plain install brings neither pytest nor a contract tool;
- how long it takes from an empty folder to a first passing test, the one of docs/pytest.md (two minutes at most);
- that 400 tests in four processes do not meet, each process with its own emulator and all with one;
- what the plugin costs a run that does not use it: the median of the differences in processor time of interleaved
  pairs of `pytest --collect-only` (50 ms at most). Beside it what else comes with an install: Faker and anyio are
  needed to serve and are pytest plugins themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MOST_SECONDS = 120.0
MOST_COST = 50.0
"""Milliseconds."""
MOST_LINES = 60
"""Lines that are told of what has failed."""
TOOLS = {"pytest", "schemathesis", "hypothesis", "httpx", "requests", "mypy", "ruff"}
MINE = ("-p", "no:chat_emulator")
THEIRS = ("-p", "no:faker", "-p", "no:anyio")


class Failed(Exception):
    """Something does not hold."""


class Repository:
    """A repository of somebody else: a folder, and an environment in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ".venv" / "bin" / "python"
        names = [name for name in os.environ if name.startswith(("PYTHON", "PYTEST_", "CHAT_EMULATOR_"))]
        self.environment = {name: value for name, value in os.environ.items() if name not in names}
        self.environment["NO_PROXY"] = "127.0.0.1,localhost"

    def install(self, *packages: str) -> None:
        """pip install, with the versions that this project is tested with."""
        if not self.python.exists():
            venv.create(self.folder / ".venv", with_pip=True)
        quiet = ("--disable-pip-version-check", "install", "--quiet", "--quiet")
        self.run("-m", "pip", *quiet, "--constraint", str(ROOT / "constraints.txt"), *packages)

    def packages(self) -> set[str]:
        """Names of what is installed."""
        listed = json.loads(self.run("-m", "pip", "list", "--format", "json", "--disable-pip-version-check"))
        return {one["name"].lower() for one in listed}

    def run(self, *arguments: str, **environment: str) -> str:
        """Run Python there; returns what it printed. Raises Failed."""
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            told = "\n".join((done.stdout + done.stderr).splitlines()[-MOST_LINES:])
            raise Failed(f"{' '.join(arguments)} ended with {done.returncode}:\n{told}")
        return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Show all of it; returns an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheel", type=Path, help="the wheel (default: it is built)")
    parser.add_argument("--tests", type=int, default=400, help="how many tests at once (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=4, help="in how many processes (default: %(default)s)")
    most = "for the first test, from an empty folder (default: %(default)g)"
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help=most)
    parser.add_argument("--pairs", type=int, default=15, help="pairs of runs that are compared (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="foreign-") as temporary:
        try:
            wheel = chosen.wheel.resolve() if chosen.wheel is not None else build(Path(temporary) / "dist")
            folder = Path(temporary) / "repository"
            folder.mkdir()
            repository = Repository(folder)
            first_test(repository, wheel, chosen.seconds)
            crowd(repository, chosen.tests, chosen.workers)
            cost(repository, chosen.pairs)
        except Failed as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    return 0


def build(folder: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"no wheel: {done.stdout}{done.stderr}")
    (wheel,) = folder.iterdir()
    return wheel


def first_test(repository: Repository, wheel: Path, most: float) -> None:
    """From an empty folder to the first test of the document."""
    begun = time.monotonic()
    repository.install(str(wheel))
    plain = repository.packages() & TOOLS
    if plain:
        raise Failed(f"a plain install brings {', '.join(sorted(plain))}")
    repository.install(str(wheel), "pytest", "requests")
    text = (ROOT / "docs" / "pytest.md").read_text("utf-8")
    found = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    (repository.folder / "test_chat.py").write_text(found[1], "utf-8")
    last = repository.run("-m", "pytest", "-q").strip().splitlines()[-1]
    seconds = time.monotonic() - begun
    print(f"a plain install has none of: {', '.join(sorted(TOOLS))}")
    print(f"first test: {last}; {seconds:.0f} s from an empty folder, environment and packages included")
    if not last.startswith("1 passed") or seconds > most:
        raise Failed(f"the first test took {seconds:.0f} s: {last}")


def crowd(repository: Repository, count: int, workers: int) -> None:
    """Many tests, apart and on one emulator."""
    repository.install("pytest-xdist")
    folder = repository.folder
    shutil.copy(ROOT / "tests" / "foreign" / "crowd.py", folder / "test_crowd.py")
    apart = crowded(repository, count, workers)
    if len({one["server"] for one in apart}) != min(workers, count):
        raise Failed("each worker should have an emulator of its own")
    ids = [id for one in apart for id in one["ids"]]
    if len(set(ids)) != len(ids) or len({one["name"] for one in apart}) != count:
        raise Failed("two tests have met")
    serving = subprocess.Popen(
        [folder / ".venv" / "bin" / "chat-emulator", "serve", "--port", "0"],
        cwd=folder,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert serving.stdout is not None
        url = serving.stdout.readline().removeprefix("ready ").strip()
        shared = crowded(repository, count, workers, "--chat-emulator-url", url)
    finally:
        serving.terminate()
        serving.communicate()
    for one, other in zip(apart, shared, strict=True):
        if {**one, "server": url} != other:
            raise Failed(f"test {one['number']} differs on a shared emulator: {one} {other}")
    print(f"{len(set(ids))} conversations of {count} sessions, none in two; the same on one emulator as on {workers}")


def crowded(repository: Repository, count: int, workers: int, *options: str) -> list[dict[str, Any]]:
    """What the tests of one run have told."""
    shutil.rmtree(repository.folder / "told", ignore_errors=True)
    begun = time.monotonic()
    arguments = ("-m", "pytest", "-q", "-n", str(workers), "test_crowd.py", *options)
    last = repository.run(*arguments, CROWD=str(count)).strip().splitlines()[-1]
    print(f"pytest -n {workers} {' '.join(options)}: {last} ({time.monotonic() - begun:.0f} s)")
    if not last.startswith(f"{count} passed in"):
        raise Failed(last)
    told = repository.folder / "told"
    return [json.loads((told / f"{number}.json").read_text("utf-8")) for number in range(count)]


def cost(repository: Repository, pairs: int) -> None:
    """What the plugin, and the others that come along, add to a collection that uses none."""
    folder = repository.folder / "unused"
    folder.mkdir()
    (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n", "utf-8")
    # Without other plugins, and with what pytest has rewritten and compiled kept from the first time.
    base = ("-p", "no:xdist", "-p", "no:xdist.looponfail", *THEIRS)
    mine = compared(repository, folder, base, (*base, *MINE), pairs)
    print(f"the plugin, unused, adds {mine:.1f} ms of processor time to a collection (median of {pairs} pairs)")
    theirs = compared(repository, folder, base[:4], base, pairs)
    print(f"Faker's and anyio's own plugins, which come with what serving needs, add {theirs:.1f} ms")
    if mine > MOST_COST:
        raise Failed(f"the plugin costs {mine:.1f} ms unused")


def compared(repository: Repository, folder: Path, these: Sequence[str], those: Sequence[str], pairs: int) -> float:
    """How many milliseconds more these options take than those."""
    differences = []
    for number in range(pairs + 1):
        first, second = (these, those) if number % 2 else (those, these)
        taken = [spent(repository, folder, first), spent(repository, folder, second)]
        differences.append((taken[0] - taken[1]) * (1 if number % 2 else -1))
    # The first pair has compiled what was new.
    return statistics.median(differences[1:])


def spent(repository: Repository, folder: Path, options: Sequence[str]) -> float:
    """Milliseconds of processor time of one collection."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    repository.run("-m", "pytest", "--collect-only", "-q", *options, str(folder))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    sys.exit(main())
