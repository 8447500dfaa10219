"""What is not imported: start-up time is a promise, and these imports would break it unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"faker", "jinja2", "jsonschema", "jsonschema_path", "openapi_core", "openapi_spec_validator"}
"""What only some calls or commands need."""
SERVER = {"starlette", "uvicorn", "uvloop", "yaml"}
"""What serving needs, and a plain import does not."""
TESTING = {"httpx", "hypothesis", "pytest", "requests", "schemathesis"}
"""What is not there where only the runtime is installed."""

LOADED = """
import json, sys
{code}
print(json.dumps(sorted(sys.modules)))
"""

# The `ready` line is the moment that counts: what the server opens afterwards, nobody waits for.
AT_READY = """
import json, os, sys

class Ready:
    def write(self, text):
        if text.startswith("ready "):
            sys.__stdout__.write(json.dumps(sorted(sys.modules)))
            sys.__stdout__.flush()
            os._exit(0)

    def flush(self):
        pass

sys.stdout = Ready()
from emulator.cli import main
sys.exit(main(["serve", *{backends!r}, "--port", "0"]))
"""


def _loaded(program: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has loaded by the end of a program."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "code",
    [
        "import emulator",
        "import emulator.cli",
        "from emulator import Settings; Settings()",
        "import emulator.cli; emulator.cli._parser().parse_args(['serve', 'dify'])",
    ],
)
def test_a_plain_import_is_light(code: str) -> None:
    loaded = _loaded(LOADED.format(code=code))
    assert "emulator" in loaded
    assert loaded & (HEAVY | SERVER | TESTING) == set()


@pytest.mark.parametrize("backends", [["dify"], []], ids=["one backend", "all backends"])
def test_serve_is_ready_before_anything_heavy_is_imported(backends: list[str]) -> None:
    loaded = _loaded(AT_READY.format(backends=backends))
    assert loaded >= {"starlette", "uvicorn", "uvloop"}
    assert loaded & (HEAVY | TESTING) == set()


def test_the_measure_sees_a_heavy_import() -> None:
    assert _loaded(LOADED.format(code="import emulator.contract.judge")) >= {"openapi_core", "jsonschema"}
