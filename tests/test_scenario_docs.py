"""The reference of the language: its examples are read, fit the schema and have no findings; it names every word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from test_scenario_check import found
from test_scenario_schema import told

from emulator.streams import reading, when
from emulator.streams import words as words_of
from emulator.streams.expressions import FILTERS
from emulator.streams.values import FAKES, NAMES, TESTS

TEXT = (Path(__file__).parent.parent / "docs" / "scenario-language.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
STEPS = [
    step
    for cell in re.findall(r"^\| `\w+` \| (`- .*?) \|", TEXT, re.MULTILINE)
    for step in re.findall(r"`(- .*?)`", cell)
]


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_is_fine(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, "dify/example.yaml", text) == []
    assert told(yaml.safe_load(text)) == []


@pytest.mark.parametrize("step", [step for step in STEPS if "…" not in step and "repeat" not in step])
def test_a_step_of_the_table_is_fine(step: str) -> None:
    data = {"steps": yaml.safe_load(step)}
    reading.scenario_from(data, "example", None, None, LookupError)
    assert told(data) == []


def test_every_word_is_named() -> None:
    words = {*reading.MEMBERS, *words_of.WORDS, *words_of.PACING, *words_of.REPLY, *when.WORDS, *when.TESTS}
    words |= {*NAMES, *FAKES, *FILTERS, *TESTS}
    assert sorted(word for word in words if not re.search(rf"\b{word}\b", TEXT)) == []
    assert {step.split()[1].rstrip(":") for step in STEPS} == set(words_of.WORDS)
