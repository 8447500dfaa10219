"""docs/front-ends.md: what it shows of the examples stands in them, and what it names is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from emulator.executing import HANDED_ON
from emulator.fault import FAULTS
from emulator.service import spec_files
from emulator.settings import Settings

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "front-ends.md").read_text(encoding="utf-8")
SHOWN = re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```$', TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("file", "block"), SHOWN, ids=[f"{number}-{file}" for number, (file, _) in enumerate(SHOWN)])
def test_what_is_shown_of_an_example_stands_there(file: str, block: str) -> None:
    assert block in (ROOT / file).read_text(encoding="utf-8")


def test_the_examples_are_shown() -> None:
    assert {file.split("/")[1] for file, _ in SHOWN} == {"node-test", "vite-chat"}


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    assert len(links) >= 4
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_variables_signals_and_faults_are_named() -> None:
    for name in spec_files(Settings()):
        assert f"_{name.upper()}_URL" in TEXT
    assert set(re.findall(r"`(SIG[A-Z0-9]+)`", TEXT)) == {one.name for one in HANDED_ON}
    assert set(re.findall(r"fault: \{?(\w+)", TEXT)) <= set(FAULTS)


def test_the_examples_need_exactly_what_was_tried() -> None:
    for file in (ROOT / "examples").glob("*/package.json"):
        package = json.loads(file.read_text(encoding="utf-8"))
        wanted = package.get("dependencies", {}) | package.get("devDependencies", {})
        locked = json.loads((file.parent / "package-lock.json").read_text(encoding="utf-8"))["packages"]
        assert wanted and all(locked[f"node_modules/{name}"]["version"] == wanted[name] for name in wanted), file
