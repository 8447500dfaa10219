"""Generate a client of every backend from its served spec, compile it, and let it talk to the emulator.

`make test-generated` runs this, after the virtual environment and the Node modules beside it are there. What is made is
left there to look at: `python/build/NAME`, `typescript/build/types/NAME.d.ts`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

HERE = Path(__file__).parent
BIN = HERE / "python" / ".venv" / "bin"
PACKAGES = HERE / "python" / "build"
NODE = HERE / "typescript"
MODULES = NODE / "node_modules"
TYPES = NODE / "build" / "types"
BACKENDS = ("deskchat", "dify", "plainchat", "ruoyi", "toolchat")

PYTHON_VERSION = "3.0"
"""What openapi-python-client is given: of 3.1 it cannot merge `const` with the type that it narrows."""
TYPESCRIPT_VERSION = "3.1"
OPTIONS = ("--default-non-nullable=false", "--empty-objects-unknown")
"""Without the first a member with a default would have to be sent, without the second an open object would be empty."""


def main() -> int:
    """Everything; 0 if all of it holds."""
    for made in (PACKAGES, TYPES.parent):
        shutil.rmtree(made, ignore_errors=True)
    PACKAGES.mkdir()
    TYPES.mkdir(parents=True)
    with emulator() as url, ThreadPoolExecutor(max_workers=2) as pool:
        for step in [pool.submit(make_python, url), pool.submit(make_typescript, url)]:
            step.result()
        environment = {**os.environ, "EMULATOR_URL": url}
        print(run("Python", [BIN / "python", "-m", "unittest", "test_clients"], HERE / "python", environment))
        print(run("TypeScript", ["node", "--test", NODE / "build" / "js" / "clients.test.js"], NODE, environment))
    return 0


@contextmanager
def emulator() -> Iterator[str]:
    """The address of an emulator on a free port, until the block ends."""
    command = [sys.executable, "-m", "emulator", "serve", "--port", "0", "--speed", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            ready, _, url = process.stdout.readline().strip().partition(" ")
            if ready != "ready":
                raise SystemExit("the emulator did not start")
            yield url
        finally:
            process.terminate()


def make_python(url: str) -> None:
    """A package for each backend, and beside it what the generator said."""
    for name in BACKENDS:
        spec = f"{url}/{name}/openapi.json?version={PYTHON_VERSION}"
        command = [
            BIN / "openapi-python-client",
            "generate",
            "--config",
            HERE / "python" / "config.yaml",
            "--meta",
            "none",
        ]
        said = run(f"openapi-python-client {name}", [*command, "--url", spec, "--output-path", PACKAGES / name], HERE)
        (PACKAGES / f"{name}.txt").write_text(said, "utf-8")
        with urlopen(spec) as reply:
            (PACKAGES / f"{name}.json").write_bytes(reply.read())


def make_typescript(url: str) -> None:
    """The types of each backend, and the tests compiled with them."""
    cli = ["node", MODULES / "openapi-typescript" / "bin" / "cli.js"]
    for name in BACKENDS:
        spec = f"{url}/{name}/openapi.json?version={TYPESCRIPT_VERSION}"
        run(f"openapi-typescript {name}", [*cli, spec, "--output", TYPES / f"{name}.d.ts", *OPTIONS], NODE)
    run("tsc", ["node", MODULES / "typescript" / "bin" / "tsc", "--project", NODE], NODE)


def run(what: str, command: list[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and tell how long it took. What it said; raises SystemExit with it when it failed."""
    started = time.monotonic()
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    print(f"{what}: {time.monotonic() - started:.1f} s", flush=True)
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
