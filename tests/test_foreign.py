"""Many tests at once in a repository that is not this one: some here, four hundred in scripts/foreign.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from inner_pytest import PLUGIN, ROOT, run

from emulator.testing.server import ThreadedServer

COUNT = 24


def crowd(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """What each test was given; all of them have passed."""
    shutil.rmtree(folder / "told", ignore_errors=True)
    shutil.copy(ROOT / "tests" / "foreign" / "crowd.py", folder / "test_crowd.py")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", "utf-8")
    done = run(folder, "-p", PLUGIN, "-p", "no:cacheprovider", *arguments)
    assert (done.code, done.counts) == (0, {"passed": COUNT}), done.output
    return [json.loads((folder / "told" / f"{number}.json").read_text("utf-8")) for number in range(COUNT)]


@pytest.fixture(autouse=True)
def how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROWD", str(COUNT))


def without_place(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name != "server"} for one in told]


def test_a_crowd_with_a_server_for_each_worker_and_with_one_for_all(tmp_path: Path) -> None:
    apart = crowd(tmp_path, "-p", "xdist.plugin", "-n", "2")
    assert len({one["name"] for one in apart}) == len({one["seed"] for one in apart}) == COUNT
    # Nobody has an id that somebody else has.
    ids = [id for one in apart for id in one["ids"]]
    assert len(ids) == len(set(ids))
    assert len({one["server"] for one in apart}) == 2
    with ThreadedServer(seed=9) as server:
        shared = crowd(tmp_path, "-p", "xdist.plugin", "-n", "2", "--chat-emulator-url", server.url)
        assert {one["server"] for one in shared} == {server.url}
        assert len(server.app.sessions) == 0
    assert without_place(apart) == without_place(shared)
