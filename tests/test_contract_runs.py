"""What scripts/contract.py makes of a report and a log: nothing that went wrong passes for all right."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent / "scripts"))
from contract import CONTROL, backends, documented, errors_in, findings

from emulator.contract.document import open_document
from emulator.service import spec_files
from emulator.settings import Settings

PHASES = ["coverage", "stateful"]
REPORT: dict[str, Any] = {
    "complete": True,
    "stop_reason": "completed",
    "test_cases": {"unique_failures": 0},
    "failures": [],
    "errors": [],
    "warnings": {"missing_auth": []},
    "operations": {"tested": 3, "total": 3},
    "phases": {"coverage": {"status": "success"}, "stateful": {"status": "success"}, "fuzzing": {"status": "skip"}},
}


def test_a_good_report() -> None:
    assert findings(REPORT, PHASES, 3) == []
    assert findings({**REPORT, "operations": {"tested": 1, "total": 3}}, PHASES, None) == []


@pytest.mark.parametrize(
    ("place", "value", "found"),
    [
        (("complete",), False, "stopped early: completed"),
        (("test_cases", "unique_failures"), 2, "2 failures"),
        (("errors",), [{}], "1 errors"),
        (("warnings", "missing_auth"), ["GET /a"], "warning missing_auth: 1 × ['GET /a']"),
        (("phases", "stateful", "status"), "skip", "phase stateful ended with skip"),
        (("phases", "stateful", "status"), "error", "phase stateful ended with error"),
        (("phases", "stateful", "status"), "interrupted", "phase stateful ended with interrupted"),
        (("phases", "stateful"), {}, "phase stateful ended with missing"),
        # What is served has lost an operation, and all that is left was tested.
        (("operations",), {"tested": 2, "total": 2}, "2 of 3 operations tested"),
    ],
)
def test_a_report_with_a_finding(place: tuple[str, ...], value: Any, found: str) -> None:
    report = copy.deepcopy(REPORT)
    at = report
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    assert findings(report, PHASES, 3) == [found]


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("ERROR:    Exception in ASGI application", True),
        ("CRITICAL: out of memory", True),
        ("Traceback (most recent call last):", True),
        ("  + Exception Group Traceback (most recent call last):", True),
        ("WARNING:  Invalid HTTP request received.", False),
        ("INFO:     ERROR is a word here", False),
    ],
)
def test_errors_in_a_log(line: str, counts: bool) -> None:
    assert errors_in(f"INFO:     started\n{line}\n") == [line] * counts


def test_operations_are_counted_in_the_file() -> None:
    files = spec_files(Settings())
    names = [name for name in backends() if name != CONTROL]
    assert {name: documented(name) for name in names} == {
        name: len(open_document(files[name]).operations) for name in names
    }
    assert documented(CONTROL) > 5
