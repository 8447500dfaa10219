"""The lines for curl in docs/dify-spec-findings.md: sent as they stand, each is answered with the status beside it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import KEYS

from emulator.testing.server import ThreadedServer

TEXT = (Path(__file__).parent.parent / "docs" / "dify-spec-findings.md").read_text("utf-8")
GROUPS = re.findall(r"^## (\d+)\. .*?$(.*?)(?=^## )", TEXT, re.DOTALL | re.MULTILINE)
LINES = [
    (f"{group}-{number}", int(status), line)
    for group, section in GROUPS
    for block in re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    for number, (status, line) in enumerate(re.findall(r"^# (\d{3})\b[^\n]*\n(.*?)(?=^# |\Z)", block, re.DOTALL | re.M))
]
QUIETLY = """curl() {
  command curl --silent --show-error --max-time 20 --output "$BODY" --write-out '%{http_code}' "$@"
}
"""


@pytest.fixture(scope="module", params=["documented", "observed"])
def base(request: pytest.FixtureRequest) -> Iterator[str]:
    with ThreadedServer(backends=["dify"], speed=0, profile=request.param) as running:
        yield f"{running.url}/dify/v1"


def test_every_group_has_lines() -> None:
    assert sorted({int(name.split("-")[0]) for name, _, _ in LINES}) == list(range(1, 13))
    assert len(LINES) == TEXT.count("curl -i")


@pytest.mark.parametrize(("name", "status", "line"), LINES, ids=[name for name, _, _ in LINES])
def test_a_line_is_answered_as_the_page_says(tmp_path: Path, base: str, name: str, status: int, line: str) -> None:
    body = tmp_path / "reply"
    done = subprocess.run(
        ["sh", "-c", QUIETLY + line],
        env={**os.environ, "BASE": base, "KEY": KEYS["chat"], "BODY": str(body), "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (str(status), "")
    if name.startswith("10-"):
        assert body.read_text("utf-8").split("\n\n")[1].strip() == "null"
    if name.startswith("11-"):
        assert 'data: {"event":"message"' in body.read_text("utf-8")
