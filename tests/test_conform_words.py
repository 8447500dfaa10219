"""What `conform` says and refuses before it calls anything, and how it words what it found."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests

from emulator.cli import main
from emulator.conform import files
from emulator.conform.address import address
from emulator.conform.curl import SHORTEST, Secrets, curl
from emulator.conform.outcome import Outcome, Step, Tally
from emulator.conform.plan import Plan, asks_credential, at_most, changes, chosen, label
from emulator.conform.report import explained, findings, notes, trouble
from emulator.contract.document import Document, open_document
from emulator.errors import Misused
from emulator.service import spec_files
from emulator.settings import Settings

SPECS = spec_files(Settings())
HERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def plainchat() -> Document:
    return open_document(SPECS["plainchat"])


# ---- Addresses ----

ADDRESSES = {
    ("dify", "https://host/v1"): ("https://host/v1", "/v1", False),
    ("dify", "https://host/v1/"): ("https://host/v1", "/v1", False),
    ("dify", "https://host/proxied/"): ("https://host/proxied", "/proxied", False),
    ("dify", "http://127.8.0.1:8787/dify/v1"): ("http://127.8.0.1:8787/dify/v1", "/dify/v1", True),
    ("ruoyi", "http://localhost/"): ("http://localhost", "", True),
    ("ruoyi", "http://[::1]:80/dev-api"): ("http://[::1]:80/dev-api", "/dev-api", True),
    ("plainchat", "HTTP://LocalHost"): ("http://localhost", "", True),
    ("plainchat", "https://localhost.example"): ("https://localhost.example", "", False),
    ("plainchat", "http://10.0.0.1/x"): ("http://10.0.0.1/x", "/x", False),
}


@pytest.mark.parametrize(("backend", "given"), ADDRESSES)
def test_a_base(backend: str, given: str) -> None:
    found = address(given, open_document(SPECS[backend]))
    assert (found.url, found.path, found.loopback) == ADDRESSES[backend, given]


@pytest.mark.parametrize(("resolved", "here"), [("127.0.0.2", True), ("::1", True), ("192.0.2.1", False), ("", False)])
def test_a_name_of_this_machine_is_one_if_it_leads_here(
    plainchat: Document, monkeypatch: pytest.MonkeyPatch, resolved: str, here: bool
) -> None:
    def look(host: str, port: None) -> list[Any]:
        if not resolved:
            raise socket.gaierror
        return [(None, None, None, "", (resolved, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    assert address("http://chat.localhost", plainchat).loopback is here


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("host/v1", "wants http://… or https://…"),
        ("ftp://host/v1", "wants http://… or https://…"),
        ("https:///v1", "wants http://… or https://…"),
        ("file:///etc/passwd", "wants http://… or https://…"),
        ("https://me:pass@host/v1", "give them as --header"),
        ("https://host/v1?key=1", "without ?, #"),
        ("https://host/v1#a", "without ?, #"),
        ("https://host/v 1", "without ?, #"),
        ("https://host:port/v1", "cannot be read"),
        ("https://[::1/v1", "cannot be read"),
        ("http://0.0.0.0\\.localhost/v1", "no backslash"),
        ("http://localhost/\\host/v1", "no backslash"),
        ("http://[::1]x:1/v1", "by its name or address"),
        ("http://a%2fb.localhost/v1", "by its name or address"),
        ("http://a,b/v1", "by its name or address"),
        ("https://host", "Give https://host/v1, or, where they stand right below it, https://host/ with the slash"),
        ("https://host/dify", "Give https://host/dify/v1, or"),
    ],
)
def test_a_base_that_could_only_be_guessed(given: str, says: str) -> None:
    with pytest.raises(Misused) as refused:
        address(given, open_document(SPECS["dify"]))
    assert says in refused.value.detail and "pass@" not in refused.value.detail


# ---- Wrong use ----

WRONG = {
    "no url": ([], "conform wants --url"),
    "phase": (["--url", HERE, "--phases", "fuzzing,fast"], "There is no phase 'fast'"),
    "no phase": (["--url", HERE, "--phases", ""], "There is no phase ''"),
    "budget": (["--url", HERE, "--budget", "0"], "--budget wants 1 or more"),
    "examples": (["--url", HERE, "--examples", "-1"], "--examples wants 1 or more"),
    "timeout": (["--url", HERE, "--timeout", "nan"], "--timeout wants 0.01"),
    "long timeout": (["--url", HERE, "--timeout", "1e300"], "--timeout wants 0.01 to 3600 seconds, got 1e+300"),
    "no timeout": (["--url", HERE, "--timeout", "1e-9"], "--timeout wants 0.01 to 3600 seconds, got 1e-09"),
    "a length": (["--url", HERE, "--header", "Content-Length: 5"], "--header cannot give Content-Length"),
    "operation": (["--url", HERE, "--only", "logUser"], "no operation 'logUser'. Did you mean 'loginUser'?"),
    "nothing left": (["--url", HERE, "--only", "loginUser", "--read-only"], "leaves nothing to call"),
    "header": (["--url", HERE, "--header", "hunter2"], "Expected --header 'Name: value'"),
    "header's sign": (["--url", HERE, "--header", "A: hunter2\nB: c"], "Expected --header 'Name: value'"),
    "two headers": (["--url", HERE, "--header", "A: 1", "--header", "a: 2"], "gives a twice"),
    "report": (["--url", HERE, "--report", "/nowhere/at/all.html"], "/nowhere/at/all.html cannot be written"),
    "one report": (["--url", HERE, "--report", "a.html", "--junit", "./a.html"], "both name a.html"),
    "a folder": (["--url", HERE, "--junit", "/"], "/ cannot be written: Is a directory"),
    "elsewhere": (["--url", "http://192.0.2.1"], "http://192.0.2.1 is not this machine: say --yes"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_use(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr("emulator.conform.command.perform", None)
    arguments, says = WRONG[what]
    assert main(["conform", "plainchat", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and says in err and "hunter2" not in err


def test_one_report_is_written_where_the_other_cannot_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("schemathesis")

    def perform(plan: Plan, heard: Any) -> Outcome:
        (tmp_path / "folder").rmdir()
        return whole(plan)

    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("emulator.conform.command.perform", perform)
    reports = ["--junit", str(tmp_path / "folder/a.xml"), "--report", str(tmp_path / "a.html")]
    assert main(["conform", "plainchat", "--url", HERE, *reports]) == 1
    assert "a.xml cannot be written: No such file" in capsys.readouterr().err
    assert "no findings" in (tmp_path / "a.html").read_text()


def test_an_unknown_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "plainchart", "--url", HERE]) == 2
    assert "There is no backend 'plainchart'. Did you mean 'plainchat'?" in capsys.readouterr().err


def test_a_missing_extra(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "schemathesis" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert main(["conform", "plainchat", "--url", HERE]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "chat-emulator[contract]" in err and "CLONE_OR_WHEEL" in err and err.count("\n") == 1
    assert main(["conform", "plainchat", "--list"]) == 0, "to list needs nothing"


def test_stopped_before_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("emulator.cli._parser", stop)
    assert main(["conform", "plainchat", "--list"]) == 130


class Terminal:
    """Somebody who answers."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


def whole(plan: Plan) -> Outcome:
    """What comes of a run in which each operation was called, and answered as it should be."""
    return Outcome(finished=True, tallies={label(one): Tally(1, {200: 1}) for one in plan.operations})


@pytest.mark.parametrize(("answer", "arguments", "called"), [("y\n", [], True), ("n\n", [], False), ("", [], False)])
def test_another_machine_is_called_when_somebody_agrees(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    arguments: list[str],
    called: bool,
) -> None:
    pytest.importorskip("schemathesis")
    performed = []

    def perform(plan: Plan, heard: Any) -> Outcome:
        performed.append(plan)
        return whole(plan)

    monkeypatch.setattr("emulator.conform.command.perform", perform)
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    code = main(["conform", "plainchat", "--url", "http://192.0.2.1", *arguments])
    err = capsys.readouterr().err
    assert (code, bool(performed)) == ((0, True) if called else (2, False))
    assert "Make these calls to http://192.0.2.1? [y/N]" in err
    assert ("Nothing was called." in err) is not called


def test_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "dify", "--list", "--url", "https://host/v1", "--read-only", "--budget", "70"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(
        "dify at https://host/v1, seed 0, 50 examples, examples, coverage, fuzzing, stateful, read-only"
    )
    assert "two questions of schemathesis: GET /v1/ and /v1/schemathesis-probe…" in out
    assert "  reads   GET     /v1/info  " in out and "writes" not in out
    assert "13 operations, 0 of which write; at most 70 requests in all." in out


def test_what_changes_something() -> None:
    deskchat = open_document(SPECS["deskchat"])
    reads = {one.id for one in chosen(deskchat, [], read_only=True)}
    assert {"listConversations", "searchChats", "exportConversation"} <= reads
    assert not any(changes(one) for one in chosen(deskchat, [], read_only=True))
    assert not {"sendMessage", "deleteGroup", "importConversations", "generateTitle"} & reads
    assert [one.id for one in chosen(deskchat, ["GET /chat/search"], False)] == ["searchChats"]
    assert at_most(2, 10) > at_most(1, 10) > at_most(1, 1) > 0


# ---- Whether all was tried ----


def planned(document: Document, phases: tuple[str, ...] = ("fuzzing",)) -> Plan:
    operations = tuple(document.operations.values())
    return Plan(document, address(HERE + "/", document), operations, {}, Path(), 0, 1, phases, False, 1, 1.0)


def test_a_run_that_left_operations_out_is_none(plainchat: Document) -> None:
    plan = planned(plainchat)
    outcome = whole(plan)
    assert trouble(plan, outcome) == []
    del outcome.tallies["GET /api/conversations/list/{username}"]
    assert trouble(plan, outcome) == ["1 of 8 operations were never called"]
    assert trouble(planned(plainchat, ("examples", "stateful")), outcome) == [], "there need be no example of each"
    outcome.spent = True
    assert trouble(plan, outcome) == [], "that is known"
    outcome.interrupted, outcome.broken = True, "x"
    assert trouble(plan, outcome) == [], "that is known, too"


def test_what_was_promised_and_not_judged_is_told(plainchat: Document) -> None:
    plan = planned(plainchat)
    outcome = whole(plan)
    for one in plan.operations:
        outcome.tallies[label(one)].checks = {name: [1, 0] for name in one.raw.get("x-promises", {})}
    assert notes(plan, outcome) == []
    del outcome.tallies["DELETE /api/conversations/{conversation_id}/delete"].checks["deleted_is_gone"]
    assert notes(plan, outcome) == ["Promised and never judged: deleteConversation (deleted_is_gone)."]


def test_a_run_without_a_right_credential_is_none() -> None:
    plan = planned(open_document(SPECS["toolchat"]))
    outcome = whole(plan)
    locked = [label(one) for one in plan.operations if asks_credential(plan.document, one)]
    assert 2 < len(locked) < len(plan.operations)
    outcome.warnings = {"missing_auth": locked[1:]}
    assert trouble(plan, outcome) == []
    outcome.warnings = {"missing_auth": locked}
    assert trouble(plan, outcome) == ["no operation that asks for a credential accepted it. Is it right?"]
    for tally in outcome.tallies.values():
        tally.statuses = {401: 2}
    (why,) = trouble(plan, outcome)
    assert why.startswith("no call was accepted") and f"({len(plan.operations) * 2} × 401)" in why.replace(
        "replies: ", ""
    )


def test_how_deep_a_reply_nests() -> None:
    pytest.importorskip("schemathesis")
    from emulator.conform.inside import Nesting

    def depth(media: str, *chunks: bytes) -> int:
        nesting = Nesting(media)
        return [nesting.depth(chunk) for chunk in chunks][-1]

    assert depth("application/json", b'{"a": [[', b'1], {"b": []}]}') == 4
    assert depth("application/problem+json", b'{"[[\\', b'"[[[": "\\\\", "c": [', b"]}") == 2
    assert depth("text/event-stream", b"data: [[\n", b'data: "[\n\ndata: [', b"1\n") == 2
    assert depth("text/html", b"[[[[") == 0


# ---- What a read-only run lets out ----

TWICE = """openapi: 3.1.0
info: {title: Twice, version: "1"}
paths:
  /items/{id}:
    post: {operationId: readItem, x-changes-nothing: true, responses: {"200": {description: Read.}}}
    get: {operationId: getItem, responses: {"200": {description: Read.}}}
  /items/create:
    post: {operationId: createItem, responses: {"200": {description: Made.}}}
    get: {operationId: takeItem, x-changes-nothing: false, responses: {"200": {description: Taken.}}}
  /items/{id}/{part}.txt:
    get: {operationId: burnItem, x-changes-nothing: false, responses: {"200": {description: Burnt.}}}
"""
LET_OUT = {
    ("POST", "/items/7"): True,
    ("POST", "/items/create"): False,
    ("POST", "/items/%63reate"): False,
    ("POST", "/items/create/"): False,
    ("GET", "/items/create"): False,
    ("HEAD", "/items/create"): False,
    ("HEAD", "/items/7"): True,
    ("GET", "/items/7/a.txt"): False,
    ("GET", "/other"): True,
    ("OPTIONS", "/items/create"): True,
    ("PUT", "/items/7"): False,
    ("TRACE", "/other"): False,
}


@pytest.mark.parametrize(("method", "path"), LET_OUT)
def test_what_a_read_only_run_lets_out(tmp_path: Path, method: str, path: str) -> None:
    pytest.importorskip("schemathesis")
    from emulator.conform.inside import Counter, Withheld

    (tmp_path / "twice.yaml").write_text(TWICE)
    plan = planned(open_document(tmp_path / "twice.yaml", own=True))
    told: list[Any] = []
    job = {"budget": 1, "timeout": 1.0, "read_only": True, "known": plan.known()}
    counter = Counter(lambda **line: told.append(line), job)  # type: ignore[arg-type]
    request = requests.Request(method, HERE + path).prepare()
    if LET_OUT[method, path]:
        counter.take(request)
        assert counter.sent == 1
    else:
        with pytest.raises(Withheld):
            counter.take(request)
        assert counter.sent == 0


# ---- Lines for the shell ----


class Echo(BaseHTTPRequestHandler):
    got: ClassVar[dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        Echo.got = {"method": self.command, "path": self.path, "headers": dict(self.headers.items()), "body": body}
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


JSON = {"Content-Type": "application/json"}
REQUESTS = {
    "plain": ("GET", "/a?b=c&d=%20", {}, None),
    "signs of the shell": ("GET", "/a?b=$HOME`id`;'\"!%5C*", {}, None),
    "signs of curl": ("GET", "/a/../b/./%2e%2e?c[]={1,2}", {}, None),
    "json": ("POST", "/a", JSON, '{"a": "it\'s $HOME \\n \u2028 你好"}'.encode()),
    "an at sign": ("POST", "/a", JSON, b"@/etc/passwd"),
    "lines": ("POST", "/a", {"Content-Type": "text/plain"}, b"a\nb\r\nc\n"),
    "bytes": ("POST", "/a", {"Content-Type": "application/octet-stream"}, bytes(range(256))),
    "no type": ("POST", "/a", {}, b"x=1"),
    "empty": ("POST", "/a", {}, None),
    "a body in a read": ("GET", "/a", JSON, b"{}"),
    "a method of its own": ("QUERY", "/a", JSON, b"{}"),
    "delete": ("DELETE", "/a", {}, None),
    "head": ("HEAD", "/a", {}, None),
    "headers": (
        "GET",
        "/a",
        {"X-Empty": "", "X-Quoted": "a'b\"c$d`", "Accept": "text/html", "X-Odd": "é%\\\x01"},
        None,
    ),
    "a secret": ("GET", "/a?token=open-sesame", {"Authorization": "Bearer open-sesame"}, None),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_line_sends_the_same_again(echo: str, what: str) -> None:
    method, path, headers, body = REQUESTS[what]
    step = Step(method, echo + path, {"Accept": "*/*", "User-Agent": "x", **headers}, body, len(body or b""))
    line = curl(step, Secrets({"Authorization": "Bearer open-sesame"}))
    assert "sesame" not in line and all(letter.isprintable() or letter in "\n\t" for letter in line)
    subprocess.run(
        ["sh", "-c", line],
        env={**os.environ, "NO_PROXY": "*", "AUTHORIZATION": "Bearer open-sesame"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=10,
        check=True,
    )
    got = Echo.got
    assert (got["method"], got["body"]) == (method, body or b"")
    assert got["path"] == path.replace("open-sesame", "$AUTHORIZATION")
    sent = {name: value for name, value in got["headers"].items() if name in {"Content-Type", *headers}}
    assert sent == headers
    assert got["headers"]["Accept"] == headers.get("Accept", "*/*")


def test_secrets_are_hidden_wherever_they_come_back() -> None:
    secrets = Secrets(
        {"Authorization": "Bearer open-sesame", "X-Key": "k1", "Accept": "text/html", "X-Token": "abcdef"}
    )
    assert secrets.hide("Bearer open-sesame, open-sesame, abcdef, k1, text/html") == (
        "$AUTHORIZATION, $AUTHORIZATION, $X_TOKEN, k1, text/html"
    )
    line = curl(Step("GET", HERE, {"x-key": "k1", "Authorization": "Bearer wrong"}, None, 0), secrets)
    assert '-H "x-key: $X_KEY"' in line and "'Authorization: Bearer wrong'" in line


def test_a_secret_is_hidden_however_it_is_written() -> None:
    secrets = Secrets({"Authorization": 'Bearer a/b"c&d+e=f', "Cookie": "sid=opensesame; theme=night-owl"})
    forms = [r"a\/b\"c&d+e=f", "a/b&quot;c&amp;d+e=f", 'a/b"c&amp;d+e=f', "a%2Fb%22c%26d%2Be%3Df"]
    assert [secrets.hide(form) for form in forms] == ["$AUTHORIZATION"] * len(forms)
    assert secrets.hide("opensesame night-owl") == "$COOKIE $COOKIE"


@pytest.mark.parametrize("before", range(340, 420, 3))
def test_no_part_of_a_long_secret_is_shown(plainchat: Document, before: int) -> None:
    letters = "".join(chr(97 + (at * at) % 26) for at in range(1000))
    body = json.dumps({"a": "y" * before, "token": letters})
    reply = {"status": 200, "type": "text/html", "body": body[: before + 500], "size": len(body)}
    finding = {"operation": "POST /api/chat", "check": "c", "phase": "fuzzing", "title": "t", "message": body}
    outcome = Outcome()
    outcome.take({"kind": "finding", **finding, "what": f"{'x' * before}{letters}", "reply": reply, "steps": []})
    told = explained(planned(plainchat), outcome, outcome.findings[0], Secrets({"X-Key": letters}))
    assert letters[:SHORTEST] not in str(told)


def test_the_beginning_of_a_secret_is_one() -> None:
    secrets = Secrets({"Authorization": "Bearer 0123456789abcdefghij"})
    assert secrets.hide("it was 0123456789abcdefgh… and 0123456") == "it was $AUTHORIZATION… and $AUTHORIZATION"
    assert secrets.hide("Bearer 012 of 0123456789") == "Bearer 012 of $AUTHORIZATION"


def test_the_name_of_a_header_runs_nothing(echo: str) -> None:
    name = "X-`id`$HOME'"
    line = curl(Step("GET", echo + "/a", {name: "open-sesame"}, None, 0), Secrets({name: "open-sesame"}))
    (variable,) = re.findall(r'"\$(\w+)"', line)
    subprocess.run(
        ["sh", "-c", f"{line} -s -o /dev/null"],
        env={**os.environ, "NO_PROXY": "*", variable: "open-sesame"},
        timeout=10,
        check=True,
    )
    assert Echo.got["headers"][name] == "open-sesame"


def test_a_mistake_in_a_promise_is_told_before_anything_is_called(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    promised = TWICE.replace(
        "operationId: getItem", "operationId: getItem, x-promises: {kept_for_ever: {said: It is.}}"
    )
    (tmp_path / "twice.yaml").write_text(promised)
    assert main(["conform", "twice", "--specs", str(tmp_path), "--url", HERE]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "kept_for_ever" in err and "twice.yaml" in err


def test_there_are_no_more_failures_than_cases(plainchat: Document) -> None:
    outcome = whole(planned(plainchat))
    finding: dict[str, Any] = {
        "operation": "POST /api/chat",
        "phase": "fuzzing",
        "title": "t",
        "reply": None,
        "steps": [],
    }
    for check in ("a", "b"):
        outcome.take({"kind": "finding", "check": check, "message": "No.\nExpected: 400", **finding})
    tree = ET.fromstring(files.junit(planned(plainchat), outcome, Secrets({})))
    assert (tree.get("tests"), tree.get("failures"), len(list(tree.iter("failure")))) == ("8", "1", 2)
    assert "got: No.; Expected: 400" in str([one.text for one in tree.iter("failure")])


def test_a_long_body_is_left_out() -> None:
    line = curl(Step("POST", HERE, JSON, None, 200_000), Secrets({}))
    assert line.startswith("# The body of 200000 bytes is left out.\ncurl -i -X POST")


# ---- Files ----


def test_files_say_anything(plainchat: Document) -> None:
    hostile = "</td><script>alert(1)</script>&\x00\x1b[31m\ud800]]>"
    outcome = Outcome(finished=True)
    reply = {"status": 200, "type": "text/html", "body": hostile, "size": 9}
    step = {"method": "GET", "url": HERE, "headers": {"A": "b"}, "body": None, "size": 0}
    finding = {"operation": "POST /api/chat", "check": "c", "phase": "fuzzing", "title": hostile, "message": hostile}
    outcome.take({"kind": "finding", **finding, "reply": reply, "steps": [step]})
    outcome.take({"kind": "error", "operation": hostile, "what": hostile, "phase": None, "steps": [], "silent": True})
    operations = tuple(plainchat.operations.values())
    where = address(HERE, plainchat)
    plan = Plan(plainchat, where, operations, {}, Path(), 0, 1, ("fuzzing",), False, 1, 1.0)
    tree = ET.fromstring(files.junit(plan, outcome, Secrets({})).encode())
    assert [len(list(tree.iter(name))) for name in ("testcase", "failure", "skipped")] == [10, 2, 7]
    assert json.dumps([tree.get(name) for name in ("tests", "failures", "skipped")]) == '["10", "2", "7"]'
    page = files.page(plan, outcome, Secrets({})).encode().decode()
    assert "<script>" not in page and "&lt;script&gt;" in page and "\x00" not in page and "\x1b" not in page


ASKED = {"accept": "*/*", "authorization": "Bearer open-sesame", "user-agent": "x"}


def test_a_finding_of_a_promise_says_its_sentence_and_the_calls_that_showed_it(plainchat: Document) -> None:
    plan = Plan(plainchat, address(HERE, plainchat), (), {}, Path(), 0, 1, ("fuzzing",), False, 1, 1.0)
    step = {"method": "DELETE", "url": HERE + "/a", "headers": {"Accept": "*/*"}, "body": None, "size": 0}
    line = {
        "kind": "finding",
        "check": "deleted_is_gone",
        "phase": "fuzzing",
        "title": "Promise not kept",
        "operation": "DELETE /api/conversations/{conversation_id}/delete",
        "message": "What was deleted is gone.\nIt is still in a list.\nPromised: It goes.\nFollowed up by GET /b → 200",
        "sentence": "What was deleted is gone.",
        "said": "It goes.",
        "what": "It is still in a list.",
        "steps": [step],
        "reply": None,
        "after": [
            {**step, "method": "GET", "url": HERE + "/b?key=open-sesame", "headers": ASKED, "status": 404},
            {**step, "method": "POST", "headers": ASKED, "body": "b3Blbi1zZXNhbWU=", "size": 11, "status": 200},
        ],
    }
    outcome = Outcome()
    outcome.take(line)
    secrets = Secrets({"Authorization": "Bearer open-sesame"})
    again = 'curl -i -X POST -H "authorization: $AUTHORIZATION"'
    assert explained(plan, outcome, outcome.findings[0], secrets) == [
        ("expected", "What was deleted is gone."),
        ("got", "It is still in a list."),
        ("spec", "#/paths/~1api~1conversations~1{conversation_id}~1delete/delete: It goes."),
        ("curl", f"curl -i -X DELETE {HERE}/a"),
        ("after", f"curl -i -H \"authorization: $AUTHORIZATION\" '{HERE}/b?key=$AUTHORIZATION'"),
        ("answered", "404"),
        ("after", f"{again} -H Content-Type: --data-raw '$AUTHORIZATION' {HERE}/a"),
        ("answered", "200"),
    ]
    for text in (files.junit(plan, outcome, secrets), files.page(plan, outcome, secrets)):
        assert "sesame" not in text and "/b?key=$AUTHORIZATION" in text
    page = files.page(plan, outcome, secrets)
    assert "<dt>after</dt><dd><pre>curl -i -X POST" in page and "<dt>answered</dt><dd>404</dd>" in page
    (block,) = findings(plan, outcome, secrets)
    assert "\n   after     curl -i -H" in block and "\n   answered  200" in block
