"""Every fenced block of the README and of docs/: run here, run by another test file, or named with the reason why not.

A page that nobody knows fails. To add one, write blocks that the runners below can run, or put the page into ELSEWHERE
with the test file that runs its blocks.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import re
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import yaml
from test_container import COMPOSE
from test_scenario_check import found
from test_scenario_schema import told

from emulator import __version__
from emulator.cli import TOKEN, _parser
from emulator.testing.server import ThreadedServer

ROOT = Path(__file__).parent.parent
ADDRESS = "http://127.0.0.1:8787"
ELSEWHERE = {
    "docs/dify-spec-findings.md": "test_dify_spec_findings.py",
    "docs/front-ends.md": "test_front_ends_docs.py",
    "docs/in-process.md": "test_in_process.py",
    "docs/parsing-streams.md": "test_parsing_docs.py",
    "docs/pytest.md": "test_pytest_docs.py",
    "docs/scenario-language.md": "test_scenario_docs.py",
}
"""Page → the test file that runs its blocks."""
NOT_RUN = {
    ("docs/scenarios.md", "curl … -H 'X-Emulator-Scenario: byte-by-byte'"): "where a header goes; whole in the README",
    ("docs/scenarios.md", 'curl … -d \'{"query": "/scenario'): "where the text goes; whole in the README",
    ("docs/contract-testing.md", "1. listConversations"): "what conform prints",
    ("docs/contract-testing.md", "- run: pip install"): "steps of somebody's CI",
    ("docs/contract-checks.md", "pip install"): "calls a server of the reader's",
    ("docs/contract-checks.md", "/conversations/{conversation_id}:"): "a piece of a spec",
}
"""(page, how a block or a command in it begins) → why it cannot be run."""
SERVERS: Mapping[str, Mapping[str, Any]] = {
    # Bound as in a container, so that the control API asks for the token of the page.
    "docs/install.md": {"host": "127.0.0.2", "token": "only-for-our-tests"},
}
"""Page → what its server is started with, beside speed 0."""
BREAKS_OFF = "disconnect-mid-stream"
"""The scenario that a reader of these pages is shown, and no answer comes of."""
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n`]*\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """What is typed at a prompt, and what is shown to come of it."""

    typed: str
    shown: str


@dataclass(frozen=True, slots=True)
class Around:
    """What a runner has: the page's own server, and a folder."""

    url: str
    folder: Path


def made_pages() -> dict[str, str]:
    return {f"docs/{path}": text for path, text in script("backend_pages").pages().items()}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


WRITTEN = {
    str(file.relative_to(ROOT)): file.read_text("utf-8")
    for file in [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
}
PAGES = {**WRITTEN, **made_pages()}


def blocks(page: str) -> list[Block]:
    text = PAGES[page]
    return [
        Block(page, text[: one.start()].count("\n") + 1, one["language"], textwrap.dedent(one["text"]))
        for one in FENCE.finditer(text)
    ]


# ---- runners


def run_console(block: Block, around: Around) -> None:
    for command in commands(block):
        words = shlex.split(command.typed.replace("\\\n", " "), comments=True)
        while words and (assigned := re.match(r"([A-Z_]+)=", words[0])):
            assert assigned[1] == TOKEN, f"{block}: {assigned[1]} means nothing here"
            words.pop(0)
        runner = PROGRAMS.get(words[0])
        assert runner is not None, f"{block}: nothing here knows the command {words[0]!r}"
        if not is_left_out(block.page, command.typed):
            runner(block, around, words, command.shown)


def is_left_out(page: str, text: str) -> bool:
    return any(text.startswith(begun) for one, begun in NOT_RUN if one == page)


def commands(block: Block) -> Iterator[Command]:
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"{block}: expected a prompt in the first line"
    for part in parts[1:]:
        typed = re.match(r"(?:.*\\\n)*.*", part)
        assert typed is not None
        yield Command(typed[0], part[typed.end() :].strip("\n"))


def run_curl(block: Block, around: Around, words: Sequence[str], shown: str) -> None:
    """As curl would, for the few options that are used."""
    method, url, headers, body = "", "", {}, None
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "-N":
                pass
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest)
            case _:
                assert word.startswith(ADDRESS), f"{block}: {word!r} of curl is not known here"
                url = word.replace(ADDRESS, around.url)
    if body is not None:
        json.loads(body)
        assert headers.get("Content-Type") == "application/json", f"{block}: curl would send a form"
    method = method or ("GET" if body is None else "POST")
    call = functools.partial(httpx.request, method, url, headers=headers, content=body, timeout=30, verify=False)
    if BREAKS_OFF in f"{body} {headers}":
        with pytest.raises(httpx.ReadError):
            call()
        return
    reply = call()
    assert reply.is_success, f"{block}: {reply.status_code} {reply.text[:300]}"
    if shown:
        assert fits(shown, reply.text), f"{block}: shown is\n{shown}\nand came\n{reply.text[:600]}"


def fits(shown: str, came: str) -> bool:
    """Whether what came is what is shown, where … stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in re.split(r"\s*…\s*", shown))
    return re.fullmatch(pattern, came.strip("\n"), re.DOTALL) is not None


def run_make(block: Block, around: Around, words: Sequence[str], shown: str) -> None:
    """Not run: a target sets up environments, and CI runs each of them. Its name and arguments must be right."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    target, *more = words[1:]
    assert target in targets, f"{block}: there is no make {target}"
    for item in more:
        name, _, value = item.partition("=")
        assert (name, target) == ("ARGS", "serve"), f"{block}: {item} of make is not known here"
        _parser().parse_args(["serve", *shlex.split(value)])
    assert shown in ("", f"ready {ADDRESS}"), block


def run_emulator(block: Block, around: Around, words: Sequence[str], shown: str) -> None:
    """Parsed only: what the commands do is in their own tests."""
    assert not shown, f"{block}: nothing here looks at what a command prints"
    if words[1] == "serve":
        words = [str(around.folder) if word == "DIR" else word for word in words]
    _parser().parse_args(words[1:])


def run_installer(block: Block, around: Around, words: Sequence[str], shown: str) -> None:
    """Not run: it needs a package index, and `make test-wheel` installs this very file. The file's name and the command
    behind it must be right."""
    for word in words:
        if word.endswith(".whl"):
            assert Path(word).name == f"chat_emulator-{__version__}-py3-none-any.whl", block
    if "chat-emulator" in words:
        run_emulator(block, around, words[words.index("chat-emulator") :], shown)


def run_docker(block: Block, around: Around, words: Sequence[str], shown: str) -> None:
    """Not run: there is no engine here. Services, images and what goes to `serve` must be right."""
    images = {service["image"] for service in COMPOSE["services"].values()}
    if words[1] == "compose":
        if words[2] == "run":
            assert words[-1] in COMPOSE["services"], block
        return
    named = [word for word in words if word.startswith("chat-emulator:")]
    assert len(named) == 1 and named[0] in images, block
    if words[1] == "run":
        options = words[words.index(named[0]) + 1 :]
        folders = {"/scenarios": str(around.folder)}
        _parser().parse_args(["serve", "--host", "0.0.0.0", *(folders.get(word, word) for word in options)])


def run_python(block: Block, around: Around) -> None:
    assert not re.search(r"^\s*(async )?def test_", block.text, re.MULTILINE), f"{block}: pytest has to run this"
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block.text.replace(ADDRESS, around.url), str(block), "exec"), {"__name__": "__main__"})


def run_scenario(block: Block, around: Around) -> None:
    assert found(around.folder, "dify/example.yaml", block.text) == [], block
    assert told(yaml.safe_load(block.text)) == [], block


PROGRAMS: Mapping[str, Callable[[Block, Around, Sequence[str], str], None]] = {
    "curl": run_curl,
    "make": run_make,
    "chat-emulator": run_emulator,
    ".venv/bin/chat-emulator": run_emulator,
    **dict.fromkeys((".venv/bin/pip", "pipx", "python3", "uv", "uvx"), run_installer),
    "docker": run_docker,
}
RUNNERS: Mapping[str, Callable[[Block, Around], None]] = {
    "console": run_console,
    "json": lambda block, around: json.loads(block.text),
    "python": run_python,
    "toml": lambda block, around: (tomllib.loads(block.text), None)[1],
    "yaml": run_scenario,
}


# ---- tests


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ELSEWHERE and blocks(page)])
def test_the_blocks_of_a_page(page: str, tmp_path: Path) -> None:
    with ThreadedServer(speed=0, check_replies=True, **SERVERS.get(page, {})) as server:
        around = Around(server.url, tmp_path)
        for block in blocks(page):
            if is_left_out(page, block.text):
                continue
            runner = RUNNERS.get(block.language)
            assert runner is not None, f"{block}: nothing here runs {block.language or 'a block without a language'!r}"
            runner(block, around)
        for session in server.app.sessions:
            assert [entry.breaches for entry in session.journal.entries if entry.breaches] == []


@pytest.mark.parametrize(("page", "file"), ELSEWHERE.items())
def test_another_test_runs_the_page(page: str, file: str) -> None:
    assert blocks(page), "then it needs nobody"
    assert Path(page).name in (ROOT / "tests" / file).read_text("utf-8")


def test_no_reason_is_left_over() -> None:
    for page, begun in NOT_RUN:
        texts = [block.text for block in blocks(page)]
        texts += [one.typed for block in blocks(page) if block.language == "console" for one in commands(block)]
        assert any(one.startswith(begun) for one in texts), (page, begun)
    assert set(SERVERS) <= set(PAGES)


def test_a_fence_is_never_overlooked() -> None:
    for page, text in PAGES.items():
        assert len(re.findall(r"^\s*```", text, re.MULTILINE)) == 2 * len(blocks(page)), page
        assert "~~~" not in text, f"{page}: fences are made of backticks here"


@pytest.mark.parametrize(
    ("shown", "came", "right"),
    [
        ('data: {"a":"…"}', 'data: {"a":"b"}\n\n', True),
        ('data: {"a":"…', 'data: {"a":"b"}\n\ndata: 2', True),
        ('data: {"a":"b"}', 'data: {"a":"b"}\n\ndata: 2', False),
        ('data: {"b":"…', 'data: {"a":"b"}', False),
        ("…\ndata: last", "data: first\n\ndata: last\n\n", True),
    ],
)
def test_what_is_shown_is_held_against_what_came(shown: str, came: str, right: bool) -> None:
    assert fits(shown, came) is right


@pytest.mark.parametrize(
    "text",
    [
        "$ rm -r /tmp/x\n",
        "$ make coffee\n",
        "$ make serve ARGS='--sped 0'\n",
        "$ curl http://127.0.0.1:8787/dify/v1/nothing\n",
        "$ curl http://127.0.0.1:8787/dify/v1/\n{}\n",
        "$ curl -k http://127.0.0.1:8787/dify/v1/\n",
        "$ chat-emulator sreve\n",
        "$ uvx --from /path/to/chat_emulator-0.0.9-py3-none-any.whl chat-emulator serve\n",
        "$ docker run chat-emulator:other\n",
        "$ docker compose run first\n",
        "no prompt\n",
    ],
)
def test_a_wrong_command_is_told(server: ThreadedServer, tmp_path: Path, text: str) -> None:
    with pytest.raises((AssertionError, SystemExit)):
        run_console(Block("page.md", 1, "console", text), Around(server.url, tmp_path))
