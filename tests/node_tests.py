"""Runs the tests that are written in JavaScript, in `node/`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"


def missing() -> str | None:
    """Why the tests with Node cannot run here."""
    if shutil.which("node") is None:
        return "no Node here: install Node 18 or newer"
    if not (FOLDER / "node_modules" / "dify-client").is_dir():
        return "no tests/node/node_modules: run `npm ci` in tests/node, or `make test`"
    return None


def require_node() -> None:
    """Skip where there is no Node, but not in CI."""
    why = missing()
    if why is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


def run_node(file: str, **environment: str) -> None:
    """Run one file of tests, all of which have to pass."""
    require_node()
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", f"{file}.test.mjs"],
        cwd=FOLDER,
        env={**os.environ, **environment, "NODE_OPTIONS": ""},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "# fail 0" in done.stdout and "# pass 0" not in done.stdout
