"""The scenarios of a server: which file wins, what is told of names, and what a call gets by itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from emulator.errors import Broken, Misused
from emulator.streams.scenario import asked_for
from emulator.streams.shelf import Scenarios


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """The server's own folder and one of somebody's: `any` serves every backend, the rest one."""
    files = {
        "house/any/default": "house any",
        "house/any/common": "house any",
        "house/any/shared": "house any",
        "house/dify/shared": "house dify",
        "house/dify/special": "house dify",
        "house/other/foreign": "house other",
        "mine/any/common": "mine any",
        "mine/any/special": "mine any",
        "mine/dify/own": "mine dify",
    }
    for name, description in files.items():
        file = tmp_path / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"description: {description}\nsteps: [ping]\n")
    return [tmp_path / "house", tmp_path / "mine"]


def test_names_are_those_of_every_backend_and_its_own(folders: list[Path]) -> None:
    assert Scenarios("dify", folders).names() == ["common", "default", "own", "shared", "special"]
    assert Scenarios("other", folders).names() == ["common", "default", "foreign", "shared", "special"]
    assert [one.name for one in Scenarios("dify", folders).all()] == ["common", "default", "own", "shared", "special"]


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("default", "house any"),
        ("common", "mine any"),  # one's own replaces a bundled one
        ("shared", "house dify"),  # the backend's wins over that of every backend
        ("special", "house dify"),  # … also over somebody's own for every backend
        ("own", "mine dify"),
    ],
)
def test_of_two_with_one_name_the_nearer_wins(folders: list[Path], name: str, description: str) -> None:
    assert Scenarios("dify", folders).get(name).description == description


def test_an_unknown_name_is_told_with_those_there_are_and_the_nearest(folders: list[Path]) -> None:
    with pytest.raises(Misused) as caught:
        Scenarios("dify", folders).get("defualt")
    assert caught.value.status == 400
    assert caught.value.available == ("common", "default", "own", "shared", "special")
    assert caught.value.detail == "There is no scenario 'defualt'. Did you mean default?"


def test_a_name_like_none_has_no_guess(folders: list[Path]) -> None:
    with pytest.raises(Misused) as caught:
        Scenarios("dify", folders).get("zzz" * 100)
    assert "Did you mean" not in caught.value.detail
    assert len(caught.value.detail) < 150


def test_a_broken_file_is_told_when_it_is_asked_for_and_harms_no_other(folders: list[Path]) -> None:
    (folders[1] / "dify" / "broken.yaml").write_text("steps: [sya]\n")
    scenarios = Scenarios("dify", folders)
    assert scenarios.get("default").name == "default"
    with pytest.raises(Broken, match=r"broken\.yaml:1:9: unknown step 'sya'"):
        scenarios.get("broken")


def test_one_for_every_backend_may_be_for_an_operation_that_some_have(folders: list[Path]) -> None:
    (folders[1] / "any" / "some.yaml").write_text("operation: elsewhere\nsteps: [ping]\n")
    (folders[1] / "dify" / "wrong.yaml").write_text("operation: elsewhere\nsteps: [ping]\n")
    scenarios = Scenarios("dify", folders, ["here"], ["here"])
    assert scenarios.get("some").operation == "elsewhere"
    with pytest.raises(Broken, match="unknown operation 'elsewhere'"):
        scenarios.get("wrong")


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert Scenarios("dify", [tmp_path / "none"]).names() == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/scenario default", "default"),
        ("/scenario default and more of it", "default"),
        ("  \n/scenario\tdefault", "default"),
        ("/scenario", ""),
        ("/scenario  ", ""),
        ("/scenarios are what I like", None),
        ("/scenariodefault", None),
        ("please /scenario default", None),
        ("", None),
        ("/scenari", None),
    ],
)
def test_a_chat_text_asks_for_a_scenario(text: str, name: str | None) -> None:
    assert asked_for(text) == name


def test_looking_at_a_long_text_takes_no_time() -> None:
    begun = time.monotonic()
    for text in (" " * 2_000_000, "/scenario" + " " * 2_000_000, "/scenario" + " " * 2_000_000 + "\x00"):
        asked_for(text)
    assert time.monotonic() - begun < 5
