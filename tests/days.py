"""Which of the bundled scenarios are the cookbook's: tests/test_worst_days.py plays them, and the tests of each backend
the others."""

from __future__ import annotations

from emulator.streams.shelf import Scenarios

DAYS = frozenset(
    {
        *("broken-json", "byte-by-byte", "crlf", "echo", "ends-early", "fails-twice", "flaky", "in-lumps"),
        *("missing-piece", "never-ends", "no-last-event", "out-of-order", "ping-storm", "proxy-page", "rate-limited"),
        *("refused", "said-twice", "second-turn-fails", "slow-first-token", "slow-headers", "slow-network"),
        *("split-characters", "three-answers-a-day", "token-expires", "unavailable", "uneven-pace"),
        *("wrong-length", "wrong-type"),
    }
)


def other_names(scenarios: Scenarios) -> list[str]:
    """The scenarios that are none of the cookbook's."""
    return [name for name in scenarios.names() if name not in DAYS]
