"""The commands: what is printed where, exit codes, and a server that starts and ends cleanly."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import KEYS
from test_dify_operations import OPERATIONS, bare

from emulator import __version__, create_app, service
from emulator.cli import banner, main

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "emulator"]
SPEC = """openapi: 3.1.0
info: {title: Own, version: "1"}
paths:
  /hello:
    get:
      operationId: sayHello
      responses:
        "200":
          description: Hello.
          content: {application/json: {schema: {type: object}}}
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class Served:
    """A server as a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], 20)
        assert readable, "no ready line within 20 s"
        self.line = process.stdout.readline().decode()
        self.url = self.line.removeprefix("ready ").strip()

    def end(self, number: int) -> tuple[int, str, str]:
        """Send a signal; exit code, the rest of stdout, and stderr."""
        self.process.send_signal(number)
        begun = time.monotonic()
        out, err = self.process.communicate(timeout=10)
        assert time.monotonic() - begun < 5, "it ends at once"
        return self.process.returncode, out.decode(), err.decode()


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [*COMMAND, "serve", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield Served(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


# ---- serve ----


def test_serve_says_when_it_is_ready_and_nothing_else() -> None:
    more = ["--key", "dify:mine=app-emulator-flow", "--origin", "https://page.example", "--seed", "7", "--speed", "0"]
    with serving("dify", "--port", "0", "--profile", "observed", *more) as served:
        assert re.fullmatch(r"ready http://127\.0\.0\.1:[1-9][0-9]*\n", served.line)
        info = bare("GET", f"{served.url}/v1/info", headers={"Authorization": "Bearer mine"})
        assert info.json()["name"] == "Order Desk"
        assert (
            "access-control-allow-origin"
            not in bare("GET", f"{served.url}/v1/", headers={"Origin": "https://a"}).headers
        )
        assert "html" in bare("GET", f"{served.url}/v1/nothing").headers["content-type"], "profile observed"
        code, out, err = served.end(signal.SIGTERM)
    assert out == "", "the ready line is all there is on stdout"
    assert code in (0, 143, -signal.SIGTERM)
    assert "Traceback" not in err
    for text in (f"chat-emulator {__version__}", "seed 7", "speed 0", "observed", "clock virtual", *KEYS.values()):
        assert text in err
    assert f"{served.url}/dify/v1" in err and f"{served.url}/v1" in err


@pytest.mark.parametrize("waiting", ["streaming", "blocking", "half a body"])
def test_serve_ends_at_an_interrupt_whoever_waits(waiting: str) -> None:
    mode = "streaming" if waiting == "streaming" else "blocking"
    body = f'{{"inputs":{{}},"query":"/scenario long-answer","user":"u","response_mode":"{mode}"}}'.encode()
    head = f"POST /v1/chat-messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEYS['chat']}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with serving("dify", "--port", "0") as served:
        assert bare("GET", f"{served.url}/v1/").status_code == 200
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as sock:
            sock.sendall(head.encode() + (body[:10] if waiting == "half a body" else body))
            received = b""
            while waiting == "streaming" and b"data: " not in received:
                received += sock.recv(4096)
            time.sleep(0 if received else 0.3)  # Until the server has read what was sent.
            code, out, err = served.end(signal.SIGINT)
            while waiting == "streaming" and (more := sock.recv(4096)):
                received += more
    assert code in (0, 130, -signal.SIGINT)
    assert (out, "Traceback" in err) == ("", False), err
    if waiting == "streaming":
        assert b'"message_end"' in received and received.endswith(b"\r\n0\r\n\r\n"), "it ends as when stopped"


@pytest.mark.parametrize("given", ["a-token-of-mine", ""])
def test_the_token_of_the_environment(given: str) -> None:
    with serving("dify", "--port", "0", "--host", "127.0.0.2", CHAT_EMULATOR_TOKEN=given) as served:
        health = f"{served.url}/_emulator/health"
        assert bare("GET", health, headers={"Authorization": "Bearer a-token-of-mine"}).status_code == (
            200 if given else 401
        )


def test_a_bad_token_in_the_environment() -> None:
    done = run("serve", "dify", "--port", "0", CHAT_EMULATOR_TOKEN="blank blank")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Expected a token of 8 to 200" in done.stderr and "blank blank" not in done.stderr


def test_a_taken_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "dify", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [f"error: cannot listen on 127.0.0.1:{port}: Address already in use"]


def test_an_unknown_backend(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("serve", "routes"):
        assert main([command, "dfy"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "There is no backend 'dfy'. Did you mean 'dify'?" in err
        assert "there are: " in err and "ruoyi" in err


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


BROKEN = {
    "yaml": (SPEC + "  - x\n  :", r":1[0-9](:[0-9]+)?: "),
    "no-openapi": (SPEC.replace("openapi: 3.1.0", "swagger: '2.0'"), r":1(:[0-9]+)?: .*openapi"),
    "responses": (SPEC.replace("responses:", "replies:"), r":5(:[0-9]+)?: .*responses"),
    "reference": (SPEC.replace("{type: object}", "{$ref: '#/components/schemas/Nothing'}"), r":[0-9]+(:[0-9]+)?: "),
    "twice": (SPEC + SPEC.partition("paths:\n")[2].replace("/hello", "/again"), r":1[0-9](:[0-9]+)?: .*'sayHello'"),
    "same-key": (SPEC + SPEC.partition("paths:\n")[2], r":1[0-9](:[0-9]+)?: .*'/hello'"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_spec_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str], mistake: str) -> None:
    text, where = BROKEN[mistake]
    file = write(tmp_path, "own.yaml", text)
    assert main(["serve", "own", "--specs", str(tmp_path), "--port", "0"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(re.escape(str(file)) + where, err), err
    assert "Traceback" not in err


def test_a_broken_scenario_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "dify/mine.yaml", "description: x\nsteps:\n  - sya: Hello\n")
    assert main(["serve", "dify", "--scenarios", str(tmp_path), "--port", "0"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{file}:3:5: unknown step 'sya'; did you mean 'say'?" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--speed", "-1"],
        ["serve", "--speed", "fast"],
        ["serve", "--speed", "nan"],
        ["serve", "--speed", "inf"],
        ["serve", "--port", "70000"],
        ["serve", "--port", "-1"],
        ["serve", "--port", "http"],
        ["serve", "--port", "²"],
        ["serve", "--seed", "x"],
        ["serve", "--seed", "1.5"],
        ["serve", "--profile", "real"],
        ["serve", "--clock", "sun"],
        ["serve", "--specs", "/nowhere/at/all"],
        ["serve", "--scenarios", __file__],
        ["serve", "--nothing"],
        ["check", "dify"],
        ["sreve"],
    ],
    ids=" ".join,
)
def test_wrong_use(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert "usage: " in err and "error: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize("key", ["", "dify", "dify:", "dify:a", "dify:a=", "dify:=app-emulator", ":a=b", "a=b"])
def test_a_malformed_key(capsys: pytest.CaptureFixture[str], key: str) -> None:
    assert main(["serve", "dify", "--port", "0", "--key", key]) == 2
    assert "Expected --key BACKEND:KEY=ACCOUNT" in capsys.readouterr().err


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "serve" in err and "routes" in err and "check" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"chat-emulator {__version__}\n")


def test_the_banner_shows_a_token_beyond_loopback() -> None:
    app = create_app(backends=("dify",), host="0.0.0.0", seed=3)
    shown = banner(app, "http://0.0.0.0:1234")
    assert f"Authorization: Bearer {app.token}" in shown
    assert "http://127.0.0.1:1234/dify/v1" in shown and "0.0.0.0" not in shown
    assert "Bearer" not in banner(create_app(backends=("dify",)), "http://127.0.0.1:1")


# ---- routes ----


def test_routes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["routes", "dify"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].split() == ["backend", "method", "path", "operation", "answered"]
    for operation in OPERATIONS.values():
        (line,) = [line for line in lines if f" {operation.id} " in line]
        assert line.split() == ["dify", operation.method, f"/dify/v1{operation.path}", operation.id, "stateful"]
    assert [line for line in lines if "extra: " in line and " /dify/v1/ " in line]
    assert lines[-1] == "26 operations of 1 backend"
    assert "\x1b" not in out


def test_routes_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "own.yaml", SPEC)
    assert main(["routes", "own", "--specs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^own +GET +/own/hello +sayHello +from its schema$", out, re.MULTILINE)


def test_a_reader_that_has_enough() -> None:
    done = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m emulator routes dify | head -n 1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("backend")


# ---- check ----


@pytest.fixture
def nothing_bundled(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundled specs take seconds to check; there are none in these tests."""
    empty: Path = tmp_path_factory.mktemp("bundled")
    monkeypatch.setattr(service, "bundled", lambda folder: empty)


@pytest.mark.usefixtures("nothing_bundled")
def test_check_finds_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs, scenarios = tmp_path / "specs", tmp_path / "scenarios"
    unsound = write(specs, "unsound.yaml", SPEC.replace("          description: Hello.\n", ""))
    unreadable = write(specs, "unreadable.yaml", SPEC + "  - x\n  :")
    write(specs, "sound.yaml", SPEC)
    step = write(scenarios, "sound/a.yaml", "steps:\n  - say: Hi\n  - wiat: 1s\n")
    word = write(scenarios, "any/b.yaml", "step:\n  - say: Hi\n")
    write(scenarios, "any/c.yaml", "steps:\n  - say: Hi\n")
    assert main(["check", "--specs", str(specs), "--scenarios", str(scenarios)]) == 1
    out, err = capsys.readouterr()
    assert "\n".join(sorted(out.splitlines())).count("\n") >= 3
    for file, line in ((unsound, "8"), (unreadable, "1[0-9]"), (step, "3"), (word, "1")):
        assert re.search(rf"^{re.escape(str(file))}:{line}(:[0-9]+)?: \S", out, re.MULTILINE), (file, out)
    assert "sound.yaml" not in out.replace("unsound.yaml", "") and "c.yaml" not in out
    assert err == f"3 specs and 3 scenarios checked, {len(out.splitlines())} findings\n"


@pytest.mark.usefixtures("nothing_bundled")
def test_check_finds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "own.yaml", SPEC)
    assert main(["check", "--specs", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "1 specs and 0 scenarios checked, 0 findings\n")


def test_what_is_bundled_has_no_findings(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check"])
    out, _ = capsys.readouterr()
    assert (out, code) == ("", 0)


# ---- Colours ----


@pytest.mark.parametrize(("environment", "coloured"), [({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_on_a_terminal(environment: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, "routes", "dfy"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=theirs,
            timeout=30,
            check=False,
        )
        shown = os.read(ours, 4096)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert shown.startswith(b"\x1b[31merror:\x1b[0m " if coloured else b"error: ")


def test_no_colours_in_a_file() -> None:
    done = run("routes", "dfy", NO_COLOR="")
    assert (done.returncode, done.stdout) == (2, "")
    assert "\x1b" not in done.stderr


def test_check_tells_a_step_that_a_dialect_cannot_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "deskchat/t.yaml", "steps:\n  - say: Hi\n  - tool_call: {name: x}\n")
    assert main(["check", "--scenarios", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"{file}:3:5: this backend cannot say 'tool_call'; it says say, ")
