"""The page's own reader: `node/plainchat_reader.test.mjs` drives the server with what a browser has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from emulator.testing.server import ThreadedServer

READER = Path(__file__).parent / "node" / "plainchat_reader.test.mjs"
NODE = shutil.which("node")
SPEEDS = (0.0, 5.0)
"""Markers begin chunks of their own however little time there is."""


@pytest.mark.node
@pytest.mark.skipif(
    NODE is None and "CI" not in os.environ, reason="node is not installed: the page's reader is left out"
)
@pytest.mark.parametrize("speed", SPEEDS)
def test_the_pages_reader(speed: float) -> None:
    assert NODE is not None, "CI runs every test: install Node 18 or newer"
    with ThreadedServer(backends=("plainchat",), speed=speed) as server:
        ran = subprocess.run(
            [NODE, "--test", str(READER)],
            env={**os.environ, "CHAT_EMULATOR_URL": server.url},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
