"""What may be written as a fault, what it means, and how a mistake is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.durations import duration
from emulator.fault import ALIASES, CUTS, FAULTS, LAST, MOST_FAULTS, Fault, parse, schema

NAMES = [
    "latency",
    "bandwidth",
    "slice",
    "coalesce",
    "line_end",
    "stall",
    "truncate",
    "reset",
    "malformed",
    "duplicate",
    "reorder",
    "drop",
    "ping_storm",
    "content_type",
    "content_length",
    "slow_headers",
    "refuse",
]
SCHEMA = jsonschema.Draft202012Validator(schema())


class Mistake(Exception):
    """What the tests' `fail` makes."""


ROOT = Path(__file__).parent.parent


def fail(pointer: tuple[str | int, ...], what: str) -> Exception:
    return Mistake(pointer, what)


def read(value: Any) -> tuple[Fault, ...]:
    return parse(value, fail)


def test_the_names_are_those_of_the_design() -> None:
    assert list(FAULTS) == NAMES
    assert set(NAMES) >= CUTS


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ("reset", [Fault("reset")]),
        ("disconnect", [Fault("reset")]),
        ({"reset": None}, [Fault("reset")]),
        ({"reset": True}, [Fault("reset")]),
        ({"reset": {}}, [Fault("reset")]),
        ({"name": "truncate", "event": 3}, [Fault("truncate", {}, 3)]),
        ({"kind": "truncate", "byte": 3}, [Fault("truncate", {}, None, 3)]),
        ({"disconnect": {"event": "last"}}, [Fault("reset", {}, LAST)]),
        ({"truncate": {"byte": 0}}, [Fault("truncate", {}, None, 0)]),
        ({"truncate": 3}, [Fault("truncate", {}, 3)]),
        ({"drop": "last"}, [Fault("drop", {}, LAST)]),
        ({"drop": {"chance": 0.2}}, [Fault("drop", {"chance": 0.2})]),
        ({"latency": "2s"}, [Fault("latency", {"for": 2.0})]),
        ({"latency": 2}, [Fault("latency", {"for": 2.0})]),
        (
            {"latency": {"for": "40ms", "jitter": "10 ms", "event": 1}},
            [Fault("latency", {"for": 0.04, "jitter": 0.01}, 1)],
        ),
        ({"bandwidth": 1024}, [Fault("bandwidth", {"rate": 1024})]),
        ({"slice": 3}, [Fault("slice", {"bytes": 3})]),
        ({"slice": {"at": [7, 3, 7]}}, [Fault("slice", {"at": (3, 7)})]),
        ({"slice": {"inside": "field", "every": "5ms"}}, [Fault("slice", {"inside": "field", "every": 0.005})]),
        ({"coalesce": 4}, [Fault("coalesce", {"events": 4})]),
        ({"line_end": "cr"}, [Fault("line_end", {"style": "cr"})]),
        ({"stall": "30s"}, [Fault("stall", {"for": 30.0})]),
        ({"duplicate": {"event": 2, "times": 3}}, [Fault("duplicate", {"times": 3}, 2)]),
        ({"ping_storm": 50}, [Fault("ping_storm", {"count": 50})]),
        ({"content_type": "text/html"}, [Fault("content_type", {"type": "text/html"})]),
        ({"content_length": -4}, [Fault("content_length", {"by": -4})]),
        ({"slow_headers": "1s"}, [Fault("slow_headers", {"every": 1.0})]),
        ({"refuse": "5s"}, [Fault("refuse", {"for": 5.0})]),
        ({"latency": "1m", "reset": 3}, [Fault("latency", {"for": 60.0}), Fault("reset", {}, 3)]),
        (["slice", {"latency": 0}, {"name": "drop"}], [Fault("slice"), Fault("latency", {"for": 0.0}), Fault("drop")]),
    ],
)
def test_what_it_means(value: Any, faults: list[Fault]) -> None:
    assert read(value) == tuple(faults)
    SCHEMA.validate(value)


@pytest.mark.parametrize(
    ("value", "pointer", "words"),
    [
        (None, (), "expected a fault such as `reset` or `latency: 2s`, got nothing"),
        (3, (), "got 3"),
        ({}, (), "got {}"),
        ([], (), "at least one fault"),
        ([["reset"]], (0,), "got ['reset']"),
        (["reset"] * (MOST_FAULTS + 1), (), "20 faults at most"),
        ("rest", (), "unknown fault 'rest'; did you mean 'reset'? expected one of latency, "),
        ("", (), "unknown fault ''; expected one of"),
        ({"name": "latenzy"}, ("name",), "did you mean 'latency'?"),
        ({"name": ["reset"]}, ("name",), "unknown fault ['reset']"),
        (["reset", {"latenci": 1}], (1, "latenci"), "did you mean 'latency'?"),
        ({"latency": "soon"}, ("latency",), "expected a duration such as 40ms, 1.5s or 2m, got 'soon'"),
        ({"latency": "2h"}, ("latency",), "expected a duration from 0 to 3600s, got '2h'"),
        ({"latency": -1}, ("latency",), "from 0 to 3600s, got -1"),
        ({"latency": float("nan")}, ("latency",), "from 0 to 3600s, got nan"),
        ({"latency": 10**400}, ("latency",), "got a huge number"),
        ({"latency": {"fro": 1}}, ("latency", "fro"), "unknown option of latency 'fro'; did you mean 'for'?"),
        ({"latency": {"jitter": False}}, ("latency", "jitter"), "expected a duration"),
        ([{"name": "drop", "chance": 1.5}], (0, "chance"), "expected a number from 0 to 1, got 1.5"),
        ({"drop": {"chance": True}}, ("drop", "chance"), "got True"),
        ({"drop": {"byte": 3}}, ("drop", "byte"), "expected one of chance, event"),
        ({"truncate": {"event": 1, "byte": 2}}, ("truncate",), "expected one of event, byte at most"),
        ({"truncate": -1}, ("truncate",), "expected a whole number from 0 to 1000000000 or last, got -1"),
        ({"truncate": {"byte": "last"}}, ("truncate", "byte"), "expected a whole number"),
        ({"truncate": [1]}, ("truncate",), "expected event and byte in a mapping, got [1]"),
        ({"slice": 0}, ("slice",), "from 1 to 1000000, got 0"),
        ({"slice": {"bytes": 1, "at": [1]}}, ("slice",), "expected one of bytes, at, inside at most"),
        ({"slice": {"at": []}}, ("slice", "at"), "a list of 1 to 1000 offsets, got []"),
        ({"slice": {"at": [0]}}, ("slice", "at"), "from 1 to"),
        ({"slice": {"inside": "chars"}}, ("slice", "inside"), "did you mean 'character'?"),
        ({"line_end": "lf"}, ("line_end",), "expected one of crlf, cr"),
        ({"coalesce": 1}, ("coalesce",), "from 2 to 1000"),
        ({"ping_storm": 10**9}, ("ping_storm",), "from 1 to 10000"),
        ({"content_type": "a\r\nb"}, ("content_type",), "printable ASCII"),
        ({"content_type": ""}, ("content_type",), "1 to 200 characters"),
        ({"refuse": {"event": 1}}, ("refuse", "event"), "unknown option of refuse 'event'; "),
        ({"latency": {3: 1}}, ("latency", 3), "unknown option of latency 3"),
    ],
)
def test_a_mistake_is_told_where_it_is(value: Any, pointer: tuple[str | int, ...], words: str) -> None:
    with pytest.raises(Mistake) as told:
        read(value)
    assert told.value.args[0] == pointer
    assert words in told.value.args[1]


@pytest.mark.parametrize("name", [*FAULTS, *ALIASES])
def test_a_bare_name_has_all_it_needs(name: str) -> None:
    (fault,) = read(name)
    kind = FAULTS[fault.name]
    assert (kind.says[-1], kind.head and bool(kind.addresses)) == (".", False)
    assert kind.main is None or kind.main in (*kind.options, *kind.addresses)
    for word, option in kind.options.items():
        assert option.says.endswith(".")
        if option.default is not None:
            # What stands there by default may be written there.
            (written,) = read({name: {word: option.default}})
            assert fault.option(word) == written.option(word) == option.default


def test_what_cuts() -> None:
    cuts = {name for name in FAULTS if read(name)[0].cuts}
    assert cuts == CUTS
    assert not read({"stall": "1s"})[0].cuts


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NAMES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*NAMES, "name", "event", "byte", "for", "at", "chance", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(json_values)
def test_anything_is_read_or_refused(value: Any) -> None:
    """Nothing but `fail`'s own error, and what is taken the schema takes, too."""
    try:
        faults = read(value)
    except Mistake:
        return
    assert 0 < len(faults) <= MOST_FAULTS
    assert SCHEMA.is_valid(value)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("40ms", 0.04), ("1.5s", 1.5), ("2m", 120.0), ("1h", 3600.0), (" 3 s ", 3.0), (0, 0.0), (2.5, 2.5)],
    ids=repr,
)
def test_durations(written: Any, seconds: float) -> None:
    assert duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written", ["", "s", "-1s", "1 day", "1e3s", "٣s", True, None, [], 3601, 10**400, float("inf")], ids=repr
)
def test_no_durations(written: Any) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        duration(written)


def test_another_bound() -> None:
    assert duration("24h", longest=86_400) == 86_400


def test_the_page_about_faults_is_what_the_table_says() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import fault_docs; print(fault_docs.text(), end='')"],
        cwd=ROOT / "scripts",
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert (ROOT / "docs" / "faults.md").read_text("utf-8") == made, "run scripts/fault_docs.py"
