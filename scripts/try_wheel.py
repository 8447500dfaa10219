"""Build sdist and wheel once, look into both, and test what the wheel installs: `make test-wheel`.

The wheel is built from the sdist, so the sdist is whole if the wheel is. It goes into empty environments outside the
checkout: first alone, as a user gets it and as the container runs it, then with what its tests need. The tests are
copied away from the checkout, so that nothing of it can stand in for what the package lacks; `tests/conftest.py` ends a
run in which any module of the package is from elsewhere.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import contained

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
OLDEST = (3, 11)
NEWER = ((3, 14), (3, 13), (3, 12))
"""Versions to look for beside the oldest one, the most welcome first."""
INSTALL_SECONDS = 600
TEST_SECONDS = 900
RUNTIME_ONLY = ("hypothesis", "httpx", "mkdocs", "pytest", "requests", "schemathesis")
"""What a plain install does not bring."""
CHOSEN = {
    "test_every_operation.py": "every operation of every spec in the wheel answers its example",
    "test_*_golden.py": "replies and streams of each backend, byte for byte: other libraries, same bytes",
    "test_streams_socket.py": "streams, faults and disconnects over sockets: uvloop, httptools, our protocol class",
    "test_cli.py": "the commands, their exit codes, and that they find the bundled specs and scenarios",
    "test_scenario_show.py": "scenarios and their JSON Schema, read from the package",
    "test_sixth_backend.py": "a backend from outside the package",
    "test_plugin.py": "the pytest plugin, in runs of pytest of its own",
    "test_imports.py": "what is imported when",
}
"""Tests that go wrong when a file is missing, a dependency is another one, or Python is: file → why it is among them.
What is left out (the judge, the store, the models of backends) is pure Python that the checkout's own run tries."""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter that can make an environment."""

    version: tuple[int, int]
    command: str


class Failed(Exception):
    """One sentence about what went wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 fine, 1 failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", metavar="COMMAND", help="try these instead of those found")
    chosen = parser.parse_args(arguments)
    begun = time.monotonic()
    try:
        pythons = [_asked(one) for one in chosen.python] if chosen.python else _found()
        wheel = _build()
        _look_into()
        for python in pythons:
            _try(python, wheel)
    except (Failed, contained.Failed) as error:
        print(f"test-wheel: {error}", file=sys.stderr)
        return 1
    print(f"test-wheel: all of it in {time.monotonic() - begun:.0f} s", flush=True)
    return 0


def _say(text: str) -> None:
    print(f"test-wheel: {text}", flush=True)


# ---- which Pythons


def _found() -> list[Python]:
    """The oldest Python that the package promises, and one newer, as far as they are here."""
    oldest = _first(OLDEST)
    newer = next(filter(None, map(_first, NEWER)), None)
    for python, missing in ((oldest, "no Python 3.11 here"), (newer, "no Python newer than 3.11 here")):
        if python is None:
            _say(f"{missing}: looked on the PATH and in pyenv's folder; nothing is tried in its place")
    pythons = [python for python in (oldest, newer) if python is not None]
    if not pythons:
        raise Failed(f"no Python from {_dotted(OLDEST)} to {_dotted(NEWER[0])} with venv is here")
    return pythons


def _first(version: tuple[int, int]) -> Python | None:
    for command in _commands(version):
        if _version(command) == version:
            return Python(version, command)
    return None


def _commands(version: tuple[int, int]) -> Iterator[str]:
    if sys.version_info[:2] == version:
        yield sys.executable
    yield f"python{_dotted(version)}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for folder in sorted(
        pyenv.glob(f"{_dotted(version)}.*"), key=lambda one: [*map(int, re.findall(r"\d+", one.name))]
    ):
        yield str(folder / "bin" / "python")


def _version(command: str) -> tuple[int, int] | None:
    """Of a Python that runs (a version manager's shim may not) and has what an environment is made with."""
    code = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([command, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return None
    found = re.fullmatch(r"(\d+) (\d+)\n", done.stdout)
    return (int(found[1]), int(found[2])) if done.returncode == 0 and found else None


def _asked(command: str) -> Python:
    version = _version(command)
    if version is None:
        raise Failed(f"{command} does not run, or has no venv")
    return Python(version, command)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


# ---- what is built


def _build() -> Path:
    """The sdist, and the wheel from it, in `dist/`."""
    shutil.rmtree(DIST, ignore_errors=True)
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT)], "building", quiet=True)
    (wheel,) = DIST.glob("*.whl")
    (sdist,) = DIST.glob("*.tar.gz")
    _say(f"built {sdist.name} ({_kilobytes(sdist)}) and from it {wheel.name} ({_kilobytes(wheel)})")
    return wheel


def _kilobytes(file: Path) -> str:
    return f"{file.stat().st_size / 1024:.0f} KB"


def _look_into() -> None:
    """Contents and metadata of these very files; the same tests build files of their own in `make test`."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_packaging.py"]
    _run(command, "what the files contain", {"CHAT_EMULATOR_DIST": str(DIST), "PYTHONPATH": ""}, cwd=ROOT)


# ---- what is installed


def _try(python: Python, wheel: Path) -> None:
    """One environment: empty, with the wheel alone, with what its tests need."""
    name = f"Python {_dotted(python.version)}"
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chat-emulator-wheel-") as made:
        folder = Path(made).resolve()
        _run([python.command, "-m", "venv", str(folder / "venv")], f"{name}: an environment")
        _install(folder, str(wheel), name)
        _use(folder, name)
        contained.try_it(folder / "venv", folder / "contained", name)
        _install(folder, f"{wheel}[test]", name)
        alone = time.monotonic() - begun
        _test(folder, name)
    _say(f"{name}: installed and used in {alone:.0f} s, tested in {time.monotonic() - begun - alone:.0f} s")


def _install(folder: Path, what: str, name: str) -> None:
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    pins = ["--constraint", str(ROOT / "constraints.txt")]
    # Wheels only: a dependency that would have to be compiled here would have to be compiled by every user.
    _run([*pip, "-q", "-q", "--only-binary", ":all:", *pins, what], f"{name}: installing", seconds=INSTALL_SECONDS)


def _use(folder: Path, name: str) -> None:
    """What a plain install has to do: the commands answer from an empty folder, and a server lets a call in."""
    empty = folder / "empty"
    empty.mkdir()
    python = str(folder / "venv" / "bin" / "python")
    for command in (["--version"], ["routes"], ["scenarios"], ["check"], ["conform", "dify", "--list"]):
        _run([str(folder / "venv" / "bin" / "chat-emulator"), *command], f"{name}: {command[0]}", cwd=empty, quiet=True)
    _run([python, "-c", f"{CALL}\n{ABSENT.format(names=RUNTIME_ONLY)}"], f"{name}: a plain install", cwd=empty)


CALL = """
import json, os, pathlib, subprocess, sys, urllib.request
command = [os.path.join(os.path.dirname(sys.executable), "chat-emulator"), "serve", "--port", "0"]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
try:
    url = server.stdout.readline().removeprefix("ready ").strip()
    headers = {"Authorization": "Bearer app-emulator"}
    request = urllib.request.Request(url + "/dify/v1/conversations?user=abc-123", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as reply:
        assert json.load(reply)["data"], "no conversations"
finally:
    server.terminate()
    code = server.wait(10)
assert code == 0, code
"""
ABSENT = """
from importlib.util import find_spec
assert [name for name in {names} if find_spec(name)] == []
import emulator
assert pathlib.Path(emulator.__file__).is_relative_to(sys.prefix), emulator.__file__
"""


def _test(folder: Path, name: str) -> None:
    place = folder / "checkout"
    shutil.copytree(ROOT / "tests", place / "tests", ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    # The settings of pytest; the package that it describes is not there.
    shutil.copy(ROOT / "pyproject.toml", place)
    files: list[str] = []
    for pattern in CHOSEN:
        found = [str(file.relative_to(place)) for file in sorted((place / "tests").glob(pattern))]
        if not found:
            raise Failed(f"no test file is called {pattern} any more")
        files += found
    command = [str(folder / "venv" / "bin" / "python"), "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup"]
    command += ["-m", "not node", "-p", "no:cacheprovider", *files]
    _run(command, f"{name}: tests", {"CHAT_EMULATOR_INSTALLED": str(folder / "venv")}, place, TEST_SECONDS)


def _run(
    command: list[str],
    what: str,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 120,
    quiet: bool = False,
) -> None:
    """Raises Failed. `quiet` shows what is printed only if it fails."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**own, **(environment or {})},
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{what}: not done after {seconds:g} s") from error
    if done.returncode:
        print(done.stdout or "", file=sys.stderr)
        raise Failed(f"{what}: ended with code {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
