"""`conform` against running servers: right, broken, slow, gone. Each run is a process of its own, so they are few."""

from __future__ import annotations

import html.parser
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import main
from emulator.server import make_server
from emulator.testing.server import ThreadedServer

pytest.importorskip("schemathesis")

ROOT = Path(__file__).parent.parent
QUICK = ["--examples", "2", "--phases", "examples,coverage"]
LIST = ["--only", "listConversations"]
Run = Callable[..., tuple[int, str, str]]
Scope = dict[str, Any]


class Wrapped(ThreadedServer):
    """The emulator with something between it and its callers."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        super().__init__(speed=0, backends=("plainchat",))
        self._server = make_server(wrap(self.app))


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Hypothesis keeps."""
    return tmp_path_factory.mktemp("hypothesis")


@pytest.fixture
def conform(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Run it from an empty folder; nothing may be left there or among the temporary files."""
    empty, temporary = tmp_path / "empty", tmp_path / "temporary"
    empty.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(empty)
    # Hypothesis has a second's work to do wherever it runs for the first time.
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tables))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["conform", *arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    yield run
    assert list(empty.iterdir()) == []
    assert list(temporary.iterdir()) == []


def calls(server: ThreadedServer, session: str = "default") -> list[tuple[str, str, bytes]]:
    """What arrived, in order."""
    entries = server.app.sessions.get(session).journal.entries
    return [(entry.call.method, f"{entry.call.path}?{entry.call.query!r}", entry.call.body) for entry in entries]


# ---- Right servers ----


def test_nothing_is_found_in_the_emulator(conform: Run, tmp_path: Path) -> None:
    junit, page = tmp_path / "found.xml", tmp_path / "found.html"
    with ThreadedServer(speed=0, backends=("plainchat",)) as server:
        code, out, err = conform(
            *("plainchat", "--url", f"{server.url}/plainchat", "--junit", str(junit), "--report", str(page)),
            *("--examples", "2", "--phases", "fuzzing,examples", "--only", "loginUser", *LIST),
        )
        made = calls(server)
    assert code == 0, out
    lines = out.splitlines()
    (row,) = [line.split() for line in lines if line.startswith("listConversations ")]
    assert row[1:3] == ["GET", "/api/conversations/list/{username}"] and int(row[3]) >= 3 and int(row[4]) >= 1
    # One more: a header with a NUL is tried first, and no operation hears of it.
    assert lines[-1].startswith(f"{len(made) + 1} requests to 2 operations in ") and lines[-1].endswith("no findings")
    assert "reads   GET     /plainchat/api/conversations/list/{username}  listConversations" in err
    assert "2 operations, 1 of which write; at most 440 requests in all." in err
    assert "\nfuzzing · POST /api/user/login\n" in err and "\x1b" not in out + err
    suite = ET.fromstring(junit.read_text())
    assert {case.get("name"): len(case) for case in suite.iter("testcase")} == {
        "listConversations (GET /api/conversations/list/{username})": 0,
        "loginUser (POST /api/user/login)": 0,
    }
    assert suite.get("tests") == "2" and suite.get("failures") == "0"
    assert "no findings" in readable(page)


def test_the_same_seed_makes_the_same_calls(conform: Run, own: list[str]) -> None:
    made, said = [], []
    for seed in ("3", "3", "4"):
        with answering(reply(200, b"{}")) as (url, got):
            _, out, _ = conform(*own, "--url", url, "--seed", seed, "--examples", "9", "--phases", "fuzzing")
        made.append(got)
        said.append(re.sub(r"in \d+ s", "", out.replace(url, "")))
    assert made[0] == made[1] != made[2]
    assert said[0] == said[1]


class Reader(html.parser.HTMLParser):
    """The text of a page, and that each tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def readable(page: Path) -> str:
    reader = Reader()
    reader.feed(page.read_text("utf-8"))
    assert reader.open == [] and reader.links == [], "whole, and nothing from elsewhere"
    return reader.text


# ---- Bounds ----


def test_read_only_sends_no_write(conform: Run) -> None:
    with ThreadedServer(speed=0, backends=("plainchat",)) as server:
        code, out, err = conform("plainchat", "--url", f"{server.url}/plainchat", "--read-only", "--examples", "3")
        made = calls(server)
    assert code == 0, out
    assert {method for method, _, _ in made} <= {"GET", "OPTIONS"} and len(made) > 20
    assert "3 operations, 0 of which write" in err and "deleteConversation" not in out + err


@pytest.mark.parametrize("budget", [1, 5, 40])
def test_a_budget_is_never_exceeded(conform: Run, budget: int) -> None:
    with ThreadedServer(speed=0, backends=("plainchat",)) as server:
        code, out, err = conform("plainchat", "--url", f"{server.url}/plainchat", "--budget", str(budget))
        made = len(server.app.sessions.get("default").journal.entries)
    # With one there is nothing but the question whether anybody is there.
    assert (code, "no call was accepted" in err) == ((1, True) if budget == 1 else (0, False))
    assert made <= budget, "probes of schemathesis may ask for what no backend answers"
    assert f"Stopped at {budget} requests, which is the budget" in out
    assert out.splitlines()[-1].startswith(f"{budget} requests to 8 operations")


def test_what_was_found_is_kept_when_the_budget_is_spent(conform: Run) -> None:
    with ThreadedServer(speed=0, backends=("plainchat",), profile="observed") as server:
        code, out, _ = conform("plainchat", "--url", f"{server.url}/plainchat", *LIST, *QUICK, "--budget", "9")
    assert code == 1
    assert "Stopped at 9 requests" in out and "1. listConversations · " in out


# ---- Broken servers ----


def without_names(app: Any) -> Any:
    """Conversations are listed without their names, and to anybody who has a token only."""

    async def broken(scope: Scope, receive: Any, send: Any) -> None:
        listing = scope["path"].startswith("/plainchat/api/conversations/list/")
        if listing and dict(scope["headers"]).get(b"authorization") != b"Bearer sesame-opens":
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        held: list[Any] = []

        async def through(message: Any) -> None:
            if not listing:
                await send(message)
                return
            held.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                body = b"".join(one.get("body", b"") for one in held[1:]).replace(b'"name":', b'"nmae":')
                await send(held[0])
                await send({"type": "http.response.body", "body": body})

        await app(scope, receive, through)

    return broken


def test_a_broken_reply_is_found_and_its_curl_line_shows_it(conform: Run, tmp_path: Path) -> None:
    junit, page = tmp_path / "found.xml", tmp_path / "found.html"
    with Wrapped(without_names) as server:
        code, out, err = conform(
            *("plainchat", "--url", f"{server.url}/plainchat", *LIST, *QUICK, "--junit", str(junit)),
            *("--report", str(page), "--header", "Authorization: Bearer sesame-opens"),
        )
        assert code == 1
        assert "sesame" not in out + err + junit.read_text() + page.read_text()
        at = out.index("1. listConversations · GET /api/conversations/list/{username} · response_schema_conformance")
        found = dict(line.strip().split(maxsplit=1) for line in out[at:].split("\n\n")[0].splitlines()[1:])
        assert found["expected"] == "A reply is as the schema of its status says."
        assert found["got"] == '200 application/json; /conversations/0: "name" is a required property'
        assert re.fullmatch(r"#/components/schemas/\w+/required: \S.*", found["spec"]), found["spec"]
        assert '-H "Authorization: $AUTHORIZATION"' in found["curl"]
        again = subprocess.run(
            ["sh", "-c", found["curl"]],
            env={**os.environ, "AUTHORIZATION": "Bearer sesame-opens", "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    assert again.stdout.startswith("HTTP/1.1 200") and '"nmae":' in again.stdout
    failures = list(ET.fromstring(junit.read_text()).iter("failure"))
    assert "response_schema_conformance" in [one.get("type") for one in failures]
    assert found["got"] in " ".join((failures[0].text or "").split("\n"))
    assert found["got"] in readable(page)


SPEC = """openapi: 3.1.0
info: {title: Own, version: "1"}
servers: [{url: /own}]
paths:
  /things:
    get:
      operationId: listThings
      summary: All things there are.
      responses:
        "200":
          description: The things.
          content: {application/json: {schema: {type: array, items: {type: integer, description: One thing.}}}}
        "405": {description: No.}
  /things/{id}:
    get:
      operationId: getThing
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses:
        "200": {description: One., content: {application/json: {schema: {type: integer}}}}
        "400": {description: No.}
        "404": {description: None.}
        "405": {description: No.}
    post:
      operationId: readThing
      x-changes-nothing: true
      parameters: [{name: id, in: path, required: true, schema: {type: string, enum: [all, "7"]}}]
      responses: {"200": {description: Read.}, "400": {description: No.}, "405": {description: No.}}
  /things/all:
    post:
      operationId: addThings
      responses: {"200": {description: Added.}, "405": {description: No.}}
  /things/latest/take:
    get:
      operationId: takeThing
      x-changes-nothing: false
      responses: {"200": {description: Taken.}, "405": {description: No.}}
"""


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every call alike; its address, and the calls it got."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            got.append(f"{self.command} {self.path}")
            answer(self)
            self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # A caller may give up.
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """A backend of one's own."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs/own.yaml").write_text(SPEC)
    return ["own", "--specs", str(tmp_path / "specs")]


def test_marks_say_what_changes_something(conform: Run, own: list[str]) -> None:
    with answering(reply(200, b"[]")) as (url, got):
        code, _, err = conform(*own, "--url", url, "--read-only", *QUICK)
    assert code == 1
    assert {method for method, _, _ in (call.partition(" ") for call in got)} <= {"GET", "POST", "OPTIONS"}
    assert any(call.startswith("POST /things/") for call in got), "it is marked as a read"
    assert not [call for call in got if "take" in call], "it is marked as no read"
    assert "POST /things/all" not in got, "the other POST is the read"
    assert "reads   POST    /things/{id}  readThing" in err


BROKEN = {
    "always-500": (reply(500, b"oh"), {"not_a_server_error", "status_code_conformance"}),
    "no-json": (reply(200, b"[1,"), {"response_schema_conformance"}),
    "another-type": (reply(200, b"hi", **{"Content-Type": "text/html"}), {"content_type_conformance"}),
    "another-schema": (reply(200, b'["\\u0000\\ud800"]'), {"response_schema_conformance"}),
    "compressed-badly": (reply(200, b"[]", **{"Content-Encoding": "gzip"}), {"no_reply"}),
    "too-deep": (reply(200, b"[" * 9_000 + b"]" * 9_000), {"no_reply"}),
    "cut-short": (reply(200, b"[]", **{"Content-Length": "9"}), {"no_reply"}),
}


def test_a_server_that_always_answers_wrongly(conform: Run, tmp_path: Path) -> None:
    head, _, rest = SPEC.partition("  /things:\n")
    shape = rest.partition("  /things/{id}:")[0]
    (tmp_path / "bad.yaml").write_text(
        head.replace("/own", "/bad")
        + "".join(f"  /{name}:\n" + shape.replace("listThings", f"get-{name}") for name in BROKEN)
    )

    def answer(handler: BaseHTTPRequestHandler) -> None:
        name = handler.path[1:].partition("?")[0]
        (BROKEN[name][0] if name in BROKEN else reply(404, b""))(handler)

    with answering(answer) as (url, _):
        code, out, _ = conform("bad", "--specs", str(tmp_path), "--url", url, *QUICK, "--timeout", "2")
    assert code == 1 and "Never called" not in out
    assert "the reply nests deeper than 200 levels" in out
    for name, (_, checks) in BROKEN.items():
        for check in checks:
            assert f"get-{name} · GET /{name} · {check}\n" in out


def test_passwords_of_the_machine_stay_there(
    conform: Run, own: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    sent: set[str | None] = set()

    def note(handler: BaseHTTPRequestHandler) -> None:
        sent.add(handler.headers.get("authorization"))
        reply(200, b"[]")(handler)

    with answering(note) as (url, _):
        conform(
            *own, "--url", url, "--only", "listThings", "--phases", "examples", "--header", "Authorization: Bearer mine"
        )
    assert sent == {"Bearer mine"}


OWN_RULES = """
[auth]
dynamic.openapi.x = {path = "/login", payload = {}, extract_from = "body", extract_selector = "/token"}

[phases.coverage]
unexpected-methods = ["DELETE"]

[[project]]
title = "Own"

[project.phases.coverage]
unexpected-methods = ["PATCH"]
"""


def test_rules_of_ones_own_cannot_undo_what_is_promised(conform: Run, own: list[str], tmp_path: Path) -> None:
    rules = tmp_path / "specs/schemathesis.toml"
    rules.write_text(OWN_RULES)
    arguments = [*own, "--only", "listThings", "--phases", "coverage", "--read-only"]
    with answering(reply(200, b"[]")) as (url, got):
        code, out, err = conform(*arguments, "--url", url)
        assert {call.partition(" ")[0] for call in got} == {"GET", "OPTIONS"}, err
        assert "Withheld" not in out
        rules.write_bytes(b"# \xff")
        code, out, err = conform(*arguments, "--url", url)
    assert code == 1 and "error: " in err and "utf-8" in err


def test_a_thread_that_dies_in_the_run_is_told(
    conform: Run, own: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dying.py").write_text("import threading\nthreading.Thread(target=lambda: {}['gone']).start()\n")
    (tmp_path / "specs/schemathesis.toml").write_text('hooks = "dying"')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with answering(reply(200, b"[]")) as (url, _):
        code, _, err = conform(*own, "--url", url, "--only", "listThings", "--phases", "examples")
    assert code == 1 and "error: KeyError: 'gone'" in err


@pytest.mark.parametrize(("status", "ask"), [(401, "Is the credential right?"), (404, " the base?")])
def test_a_server_that_refuses_every_call(conform: Run, own: list[str], tmp_path: Path, status: int, ask: str) -> None:
    junit, page = tmp_path / "found.xml", tmp_path / "found.html"
    spec = tmp_path / "specs/own.yaml"
    spec.write_text(SPEC.replace('"405": {description: No.}', "4XX: {description: No.}"))
    reports = ["--junit", str(junit), "--report", str(page), "--only", "getThing"]
    with answering(reply(status, b"{}")) as (url, _):
        code, out, err = conform(*own, "--url", url, *reports, "--examples", "2", "--phases", "fuzzing")
    assert code == 1 and "no findings" in out
    assert "error: no call was accepted" in err and f" × {status})" in err and ask in err
    suite = ET.fromstring(junit.read_text())
    assert suite.get("errors") == "1" and ask in str([one.get("message") for one in suite.iter("error")])
    assert '<p class="bad">' in page.read_text() and ask in readable(page)


def test_a_server_that_hangs(conform: Run, own: list[str]) -> None:
    first = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        if first.is_set():
            time.sleep(1)
        first.set()
        reply(200, b"[]")(handler)

    with answering(hang) as (url, _):
        code, out, _ = conform(*own, "--url", url, "--only", "listThings", *QUICK, "--timeout", "0.3", "--budget", "8")
    assert code == 1
    assert "listThings · GET /things · no_reply" in out and "no answer in time" in out
    assert re.search(rf"curl -i .*{url}/things", out)


def drip(handler: BaseHTTPRequestHandler, head: bytes, piece: bytes) -> None:
    """A reply that never ends, each of its pieces well in time."""
    handler.wfile.write(b"HTTP/1.1 " + head)
    while True:
        handler.wfile.write(piece)
        time.sleep(0.05)


DRIPS = {
    "body": (b"200 OK\r\nContent-Type: application/json\r\n\r\n", b" "),
    "continue": (b"100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "stream": (b"200 OK\r\nContent-Type: text/event-stream\r\n\r\n", b"data: {}\n\n"),
    "chunk": (b"200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
}


@pytest.mark.parametrize("what", DRIPS)
def test_a_server_that_never_comes_to_an_end(conform: Run, own: list[str], what: str) -> None:
    asked = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        # Who asks for the root is one of schemathesis' own questions.
        if len(asked) == 1 or (handler.path == "/" and what != "stream"):
            reply(200, b"[]")(handler)
        else:
            drip(handler, *DRIPS[what])

    begun = time.monotonic()
    with answering(answer) as (url, _):
        arguments = ["--only", "listThings", "--phases", "examples,coverage", "--timeout", "0.2", "--budget", "6"]
        code, out, _ = conform(*own, "--url", url, *arguments)
    assert time.monotonic() - begun < 20
    if what == "stream":
        assert len(asked) > 3, "it goes on after its question"
        assert re.search(r"^\d streams? of listThings did not end in time", out, re.MULTILINE)
    else:
        assert code == 1 and "the reply did not end within 0.8 seconds" in out


def test_a_server_that_dies(conform: Run, own: list[str]) -> None:
    left = [6]

    def die(handler: BaseHTTPRequestHandler) -> None:
        left[0] -= 1
        reply(200, b"[]")(handler)
        if left[0] == 0:
            assert isinstance(handler.server, ThreadingHTTPServer)
            handler.server.socket.close()

    with answering(die) as (url, _):
        code, out, _ = conform(*own, "--url", url, "--only", "listThings", *QUICK)
    assert code == 1
    requests, _, rest = out.splitlines()[-1].partition(" ")
    assert " · no_reply\n" in out and int(requests) <= 9 and rest.startswith("requests to 1 operation")


def test_where_nothing_answers(conform: Run, own: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = conform(*own, "--url", url)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"error: {url}/things cannot be reached: Connection refused."


def test_where_somebody_else_answers(conform: Run, own: list[str], tmp_path: Path) -> None:
    junit = tmp_path / "found.xml"
    with answering(reply(301, b"", Location="https://elsewhere.example/")) as (url, got):
        code, out, err = conform(*own, "--url", url, "--junit", str(junit))
        assert (code, out) == (1, "")
        assert "answers with a redirect to 'https://elsewhere.example/'" in err and len(got) == 1
        assert ET.fromstring(junit.read_text()).get("errors") == "1"
        code, out, err = conform(*own, "--url", url.replace("http:", "https:"))
        assert (code, out) == (1, "")
        assert f"error: {url.replace('http:', 'https:')}/things cannot be reached: TLS: " in err


def test_a_base_where_nothing_of_the_spec_is(conform: Run) -> None:
    with ThreadedServer(speed=0) as server:
        code, out, err = conform("deskchat", "--url", server.url)
    assert (code, out) == (1, "")
    assert "nothing that the spec describes is there" in err and "Is this the base?" in err


# ---- Ending early ----


@contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "emulator", "conform", *arguments]
    with subprocess.Popen(command, cwd=ROOT, text=True, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped(own: list[str], tmp_path: Path, tables: Path, number: int, code: int) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "HYPOTHESIS_STORAGE_DIRECTORY": str(tables)}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
    with (
        answering(reply(200, b"{}")) as (url, got),
        started(*own, "--url", url, "--examples", "9999", "--phases", "coverage,fuzzing", **options) as process,
    ):
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("fuzzing"):
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        made = len(got)
        time.sleep(0.3)
        assert len(got) == made, "nobody calls any more"
    assert process.returncode == code, err
    assert "Traceback" not in out + err and list(temporary.iterdir()) == []
    if number == signal.SIGINT:
        assert "Stopped before the end" in out and "1. listThings · " in out and " requests to 5 " in out


@pytest.mark.parametrize("where", ["| true", "> /dev/full"])
def test_reports_and_code_are_kept_where_nobody_reads(own: list[str], tmp_path: Path, where: str) -> None:
    junit = tmp_path / "found.xml"
    with answering(reply(200, b"{}")) as (url, _):
        arguments = [
            "conform",
            *own,
            "--url",
            url,
            "--junit",
            str(junit),
            "--only",
            "listThings",
            "--phases",
            "coverage",
        ]
        command = shlex.join([sys.executable, "-m", "emulator", *arguments])
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command} {where}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert ET.fromstring(junit.read_text()).find(".//failure") is not None
    assert ("cannot be printed" in done.stderr) is (where == "> /dev/full")


def test_a_terminal_shows_one_line_that_changes() -> None:
    ours, theirs = pty.openpty()
    arguments = (*LIST, "--examples", "2", "--phases", "coverage,stateful")
    shown = b""
    with (
        ThreadedServer(speed=0, backends=("plainchat",)) as server,
        started(
            *("plainchat", "--url", f"{server.url}/plainchat", *arguments), stdout=subprocess.PIPE, stderr=theirs
        ) as process,
    ):
        os.close(theirs)
        while select.select([ours], [], [], 20)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:
                break
        out, _ = process.communicate(timeout=20)
    os.close(ours)
    assert process.returncode == 0 and "\x1b" not in out
    assert "The stateful phase did nothing: no links of the spec join" in out
    assert "\r\x1b[K" in shown.decode() and " of at most 220 requests · coverage · GET /api/" in shown.decode()
    assert shown.endswith(b"\r\x1b[K")


def test_the_process_of_a_run_that_cannot_start(conform: Run, own: list[str], tmp_path: Path) -> None:
    (tmp_path / "specs/schemathesis.toml").write_text("[[[")
    with answering(reply(200, b"[]")) as (url, _):
        code, _, err = conform(*own, "--url", url)
    assert code == 1
    assert "error: the run ended before its time" in err and "not valid TOML" in err
