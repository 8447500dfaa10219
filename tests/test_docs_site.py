"""What the documentation's site is made with: links led to pages, pages that are made, and what is looked for in it.
mkdocs itself runs in `make docs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from example_calls import SERVICES
from test_docs_snippets import PAGES, script

from emulator.cli import _parser
from emulator.settings import Limits

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def hook() -> Any:
    return script("docs_hook")


@pytest.mark.parametrize(
    ("name", "written", "led"),
    [
        ("README.zh-CN.md", "[faults](docs/faults.md#x)", "[faults](faults.md#x)"),
        ("README.zh-CN.md", "[English](README.md)", "[English](index.md)"),
        ("CONTRIBUTING.md", "[licence](LICENSE)", "licence"),
        ("docs/index.md", "[`scenarios/`](../scenarios)", "`scenarios/`"),
        ("docs/index.md", "[how](../ARCHITECTURE.md)", "[how](architecture.md)"),
        ("docs/index.md", "[faults](faults.md)", "[faults](faults.md)"),
        ("docs/backends/dify.md", "[how](../contributing.md)", "[how](../contributing.md)"),
        # To nothing: left for mkdocs to complain about.
        ("docs/index.md", "[gone](../gone.md)", "[gone](../gone.md)"),
        ("docs/index.md", "[web](https://example.com/a)", "[web](https://example.com/a)"),
        ("docs/index.md", "`[a](../ARCHITECTURE.md)`", "`[a](../ARCHITECTURE.md)`"),
        ("docs/index.md", "```\n[a](../ARCHITECTURE.md)\n```", "```\n[a](../ARCHITECTURE.md)\n```"),
    ],
)
def test_links_lead_to_pages(hook: Any, name: str, written: str, led: str) -> None:
    assert hook.relinked(written, name) == led


def test_the_backends_are_in_the_menu(hook: Any) -> None:
    nav = [{"One": ["index.md", {"中文": "zh.md"}]}, {"Backends": ["backends/index.md"]}]
    config = {"nav": nav}
    hook.on_config(config)
    backends = [f"backends/{name}.md" for name in SERVICES]
    assert config["nav"] == [
        {"One": ["index.md", {"中文": "zh.md"}]},
        {"Backends": ["backends/index.md", *backends]},
    ]


def test_a_backends_page_says_what_there_is() -> None:
    for name, service in SERVICES.items():
        text = PAGES[f"docs/backends/{name}.md"]
        names = [*service.document.operations, *service.scenarios.names(), *service.backend.difference_names]
        assert [one for one in names if f"`{one}`" not in text] == [], name
        sides = [f"{one.documented} | {one.observed} |" for one in service.backend.differences]
        assert [one for one in sides if "| the same" not in one and one not in text] == [], name
        assert f"[`{name}`]({name}.md)" in PAGES["docs/backends/index.md"]


def test_counts_are_right() -> None:
    counted = sum(len(service.document.operations) for service in SERVICES.values())
    assert len(SERVICES) == 5
    for page in ("README.md", "docs/index.md"):
        assert f"{counted} operations" in PAGES[page], page
    assert f"{counted} 个接口" in PAGES["README.zh-CN.md"]


def test_every_option_of_serve_is_named() -> None:
    (commands,) = (action for action in _parser()._actions if action.dest == "command")
    serve = dict(commands.choices or {})["serve"]
    options = {option for action in serve._actions for option in action.option_strings if option.startswith("--")}
    assert sorted(option for option in options - {"--help"} if f"`{option}" not in PAGES["docs/install.md"]) == []


def test_the_bounds_are_those_of_the_settings() -> None:
    limits = Limits()
    said = {
        f"| records, a session and backend | {limits.records:,} and {limits.bytes >> 20} MB;",
        f"| all sessions together | {limits.sessions:,} sessions, {limits.total_bytes >> 30} GB;",
        f"| journal of a session | {limits.journal_entries:,} entries, {limits.journal_bytes >> 20} MB;",
        f" {limits.journal_body_bytes >> 10} KB of a body |",
        f"| body of a request | {limits.text_body_bytes >> 20} MB, uploads {limits.body_bytes >> 20} MB,",
        f"| time a client may take to read one frame | {limits.send_seconds:g} s |",
    }
    assert [one for one in said if one not in PAGES["docs/limits.md"]] == []
    assert (limits.idle_seconds, limits.stall_seconds) == (86_400, 3_600), "a day, an hour"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with one good page."""
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "search_index.json").write_text(json.dumps({"docs": [{"location": ""}]}))
    (tmp_path / "index.html").write_text('<link rel="canonical" href="https://a.example/"><img src="a.png">')
    (tmp_path / "a.css").write_text("a { background: url(b.png) }")
    return tmp_path


def test_nothing_is_wrong_with_a_site_of_its_own(site: Path) -> None:
    check = script("check_site")
    assert check._loads(site) + check._search(site) == []


@pytest.mark.parametrize(
    ("file", "text", "finding"),
    [
        ("index.html", '<script src="https://cdn.example/a.js"></script>', "index.html loads https://cdn.example/a.js"),
        ("index.html", '<link rel="stylesheet" href="//a.example/f.css">', "index.html loads //a.example/f.css"),
        ("a.css", "@import 'https://a.example/f.css';", "a.css loads https://a.example/f.css"),
        ("a.css", "a { background: url(//a.example/b.png) }", "a.css loads //a.example/b.png"),
    ],
)
def test_what_is_loaded_from_elsewhere_is_told(site: Path, file: str, text: str, finding: str) -> None:
    (site / file).write_text(text)
    assert script("check_site")._loads(site) == [finding]


def test_a_page_that_cannot_be_searched_is_told(site: Path) -> None:
    (site / "lost").mkdir()
    (site / "lost" / "index.html").write_text("")
    assert script("check_site")._search(site) == ["lost/ cannot be searched"]
