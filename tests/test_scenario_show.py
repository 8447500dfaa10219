"""`chat-emulator scenarios`: the list, one explained, and the frames that it would send."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_scenario_files import BUNDLED, WORDS

from emulator import showing
from emulator.cli import main

OWN = """
description: Says what it can.
operation: sendChatMessage
when: {body: {query: {contains: quota}}}
requires: {left: {at_least: 1}}
becomes: {left: 0}
faults: {truncate: {event: last}}
steps:
- say: "Hello {{ nth }}"
- repeat: 2
  steps: [wait: 1500ms]
- choose:
  - when: {nth: 9}
    becomes: {late: true}
    steps: [error: {code: rate_limit_error, status: 429}]
  - steps: [{say: "到了\\n", size: 9}, ping]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for name, text in (("mine", OWN), ("busy", "steps: [wait: 2s, reply: {status: 503, body: busy, headers: {a: b}}]")):
        file = tmp_path / "dify" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["scenarios", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "\x1b" not in out
    return out


def test_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys).splitlines()
    assert lines[0].split() == ["scenario", "backend", "for", "what", "it", "does"]
    for file in BUNDLED:
        assert any(line.split()[:2] == [file.stem, file.parent.name] for line in lines), file
    assert lines[-1].startswith(f"{len(BUNDLED)} scenarios")


def test_those_of_one_backend_are_listed(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "--backend", "dify", "--scenarios", str(own))
    rows = [line.split()[:3] for line in out.splitlines()[2:-2]]
    assert {row[1] for row in rows} == {"any", "dify"}
    assert ["mine", "dify", "sendChatMessage"] in rows


def test_a_broken_one_is_listed_with_its_mistake(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "dify" / "broken.yaml").write_text("steps: [sya: a]\n")
    out = shown(capsys, "--scenarios", str(own))
    assert re.search(r"broken +dify +cannot be used: .*broken.yaml:1:9: unknown step 'sya'", out)


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_each_bundled_one_is_explained_and_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backend = [] if file.parent.name == "any" else ["--backend", file.parent.name]
    out = shown(capsys, file.stem, *backend)
    assert out.startswith(f"{file.stem}  {file}\n")
    assert f"X-Emulator-Scenario: {file.stem}" in out
    sent = out.partition("\nsends")[2].splitlines()[1:]
    assert re.search(r"^ +[0-9]+\.[0-9]{3} s  ", "\n".join(sent), re.MULTILINE), sent


def test_one_of_ones_own_is_explained(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "mine", "--scenarios", str(own))
    assert "by itself, when body.query contains 'quota' and state.left is at least 1" in out
    assert "for      sendChatMessage\n" in out
    assert "states   left becomes 0\n" in out
    assert "faults   truncate at the last event\n" in out
    steps = out.partition("steps\n")[2].partition("\n\nsends")[0].splitlines()
    assert steps == [
        "  1. say, with values that are worked out for each call",
        "  2. 2 times:",
        "     1. waits 1.5 s",
        "  3. the first of these that fits:",
        "     when nth is 9:",
        "        late becomes true",
        "        1. fails with rate_limit_error, status 429",
        "     otherwise:",
        r'        1. says "到了\n" in pieces of 9, one each 30 ms',
        "        2. sends a keep-alive",
    ]
    frames = re.findall(r"^ +([0-9.]+) s  (.*)$", out, re.MULTILINE)
    assert [at for at, frame in frames if "event: ping" in frame] == ["3.090"]
    assert '"answer":"Hello"' in frames[0][1] and r'"answer":"到了\\n"' not in out
    assert frames[-1][1] == "[truncate]" and '"message_end"' not in out


def test_a_reply_is_shown_whole(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "busy", "--scenarios", str(own))
    assert 'answers with the HTTP status 503: body "busy", a: b' in out
    assert re.search(r"^ +2\.000 s  503\n +Content-Type: text/plain; charset=utf-8\n +a: b\n +busy$", out, re.MULTILINE)


def test_one_is_played_in_the_backend_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(r"^ +0\.300 s  Sure$", shown(capsys, "default", "--backend", "plainchat"), re.MULTILINE)
    assert 'data: {"type":"text"' in shown(capsys, "default", "--backend", "toolchat")
    assert shown(capsys, "default", "--seed", "1") != shown(capsys, "default")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["defualt"], "There is no scenario 'defualt'. Did you mean default?"),
        (["quota-exceeded", "--backend", "ruoyi"], "There is no scenario 'quota-exceeded'"),
        (["default", "--backend", "dfy"], "There is no backend 'dfy'. Did you mean 'dify'?"),
        (["--backend", "dfy"], "There is no backend 'dfy'"),
    ],
)
def test_a_name_that_is_not_there(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and "there are: " in err


def test_every_step_has_words() -> None:
    for name, (_, step) in WORDS.items():
        words = showing.STEPS[type(step)](step)
        assert words and "None" not in words and len(words) < 250, name


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"data: {}\n\n", r"data: {}\n\n"),
        ("三张票".encode(), "三张票"),
        ("三".encode()[:2], r"\xe4\xb8"),
        (b"\x00\r\n\x7f", r"\x00\r\n\x7f"),
        (b" happy", "' happy'"),
        (b"", ""),
    ],
)
def test_bytes_are_shown_in_one_line(data: bytes, line: str) -> None:
    assert showing.shown(data) == line


@pytest.mark.parametrize(("environment", "coloured"), [({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)])
def test_lines_fit_the_terminal(environment: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "emulator", "scenarios", "long-answer"],
        env={**os.environ, **environment, "COLUMNS": "60", "LINES": "20"},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    out = b""
    try:
        while piece := os.read(ours, 65536):
            out += piece
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(ours)
    assert process.wait(30) == 0
    assert (b"\x1b[1msends" in out) is coloured
    frames = [line for line in out.decode().splitlines() if " s  data: " in line]
    assert len(frames) > 20 and all(len(line) <= 60 and line.endswith("…") for line in frames)


def test_a_reader_that_has_enough() -> None:
    done = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m emulator scenarios long-answer | head -n 1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("long-answer  ")
