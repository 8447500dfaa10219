"""docs/pytest.md: its tests are run as they stand there, what it shows of a failure is what is printed, and it names
every member, option and marker argument."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from inner_pytest import ROOT, Run, run_pytest

from emulator.testing import Entry, Message, Session
from emulator.testing.plugin import MARKED

TEXT = (ROOT / "docs" / "pytest.md").read_text("utf-8")
BLOCKS: list[str] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
CONFTEST = [block for block in BLOCKS if block.startswith("# conftest.py")]
FAILING = [block for block in BLOCKS if block.startswith("# fails on purpose")]
PASSING = [block for block in BLOCKS if block not in (*CONFTEST, *FAILING)]
SHOWN: list[str] = re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_its_tests_pass(tmp_path: Path) -> None:
    for number, block in enumerate(PASSING):
        (tmp_path / f"test_docs_{number}.py").write_text(block, "utf-8")
    done = run_pytest(tmp_path, "")
    count = sum(block.count("def test_") for block in PASSING)
    assert (done.code, done.counts) == (0, {"passed": count}), done.output
    assert len(PASSING) >= 5 and count >= 7


def test_the_first_one_has_five_lines() -> None:
    body = PASSING[0].partition("def test_a_first_answer")[2].splitlines()
    assert len([line for line in body if line.strip()]) == 5


def test_its_settings_of_ones_own(tmp_path: Path) -> None:
    (block,) = CONFTEST
    (tmp_path / "conftest.py").write_text(block, "utf-8")
    (tmp_path / "scenarios" / "dify").mkdir(parents=True)
    (tmp_path / "scenarios" / "dify" / "ours.yaml").write_text("steps: [{say: Ours.}]\n", "utf-8")
    done = run_pytest(tmp_path, "def test_own(chat_emulator): chat_emulator.arm('dify', scenario='ours')\n")
    assert done.counts == {"passed": 1}, done.output


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of the test that fails on purpose."""
    (block,) = FAILING
    return run_pytest(tmp_path_factory.mktemp("docs"), block)


def test_what_it_shows_of_a_failure_is_printed(failed: Run) -> None:
    (shown,) = SHOWN
    printed = "\n".join(plain(line) for line in failed.output.splitlines())
    for line in shown.splitlines():
        # A line that goes on is cut in the text.
        assert plain(line).removesuffix("…") in printed, f"{line}\n---\n{failed.output}"


def plain(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", re.sub(r"-{5,}", "--", line))
    line = re.sub(r"-seed \d+", "-seed N", re.sub(r"^test_\w+\.py:", "FILE:", line))
    return re.sub(r"-[0-9a-f]{10}\b", "-HASH", re.sub(r"\bseed \d+", "seed N", line))


def test_it_names_everything() -> None:
    members = {name for name, _ in inspect.getmembers(Session) if not name.startswith("_")}
    told = set(re.findall(r"`(\w+)", TEXT)) | set(re.findall(r"chat_emulator\.(\w+)", TEXT))
    # For the plugin itself.
    assert members - told == {"report"}
    assert {*Entry.__dataclass_fields__, "events"} - told == set()
    assert {"headers", "body", "json", "content", "truncated"} <= told | set(re.findall(r"\.(\w+)`", TEXT))
    assert set(dir(Message)) >= {"headers", "body", "json", "content", "truncated"}
    assert all(f"{name}=" in TEXT for name in MARKED)
    for method in (Session.arm, Session.calls, Session.expect):
        for name, parameter in inspect.signature(method).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                assert f"{name}=" in TEXT, name
    assert "--chat-emulator-seed N" in TEXT and "--chat-emulator-url URL" in TEXT
