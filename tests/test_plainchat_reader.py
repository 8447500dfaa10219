"""The page's own reader: `node/plainchat_reader.test.mjs` drives the server with what a browser has."""

from __future__ import annotations

import pytest
from node_tests import run_node

from emulator.testing.server import ThreadedServer

SPEEDS = (0.0, 5.0)
"""Markers begin chunks of their own however little time there is."""


@pytest.mark.node
@pytest.mark.parametrize("speed", SPEEDS)
def test_the_pages_reader(speed: float) -> None:
    with ThreadedServer(backends=("plainchat",), speed=speed) as server:
        run_node("plainchat_reader", CHAT_EMULATOR_URL=server.url)
