"""The pytest plugin, as another repository meets it: each test here runs pytest in a folder of its own."""

from __future__ import annotations

import http.server
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from inner_pytest import PLUGIN, ROOT, Run, run, run_pytest

from emulator.testing.plugin import node_id, seed_of, session_name
from emulator.testing.server import ThreadedServer

ASK = """
import json, urllib.request
import pytest

def ask(session, query="Hi", mode="streaming"):
    body = {"inputs": {}, "query": query, "user": "abc-123", "response_mode": mode}
    headers = {"Authorization": "Bearer " + session.api_key("dify"), "Content-Type": "application/json"}
    request = urllib.request.Request(session.url("dify") + "/chat-messages", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return reply.read().decode()
"""


def passes(folder: Path, text: str, count: int, *arguments: str) -> Run:
    """A run in which so many tests pass, and nothing else happens."""
    done = run_pytest(folder, ASK + text, *arguments)
    assert (done.code, done.counts) == (0, {"passed": count}), done.output
    return done


# ---- a session a test


def test_a_session_a_test_on_one_server_a_run(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
seen = []

@pytest.mark.parametrize("number", range(3))
def test_alone(chat_emulator, chat_emulator_server, number):
    assert chat_emulator.calls() == []
    ask(chat_emulator, f"number {number}")
    call = chat_emulator.calls("dify").only
    assert call.request.json["query"] == f"number {number}"
    assert call.session == chat_emulator.name not in [name for name, _ in seen]
    seen.append((chat_emulator.name, chat_emulator_server.url()))
    assert len({url for _, url in seen}) == 1
    assert chat_emulator_server.calls() == []

def test_speed_clock_and_profile(chat_emulator):
    from emulator.testing.control import Control
    shown = Control(chat_emulator.url().partition("/_s/")[0]).call("GET", f"/sessions/{chat_emulator.name}")
    assert (shown["speed"], shown["profile"], shown["clock"]["kind"]) == (0, "documented", "virtual")
    assert shown["clock"]["now"].startswith("2026-01-01T00:00:00")

@pytest.mark.chat_emulator(seed=11, profile="observed")
class TestMarked:
    @pytest.mark.chat_emulator(seed=12, speed=50)
    def test_the_nearest_marker_wins(self, chat_emulator):
        shown = chat_emulator._ask("GET", "")
        assert (shown["seed"], shown["speed"], shown["profile"]) == (12, 50, "observed")
        assert shown["clock"]["kind"] == "virtual"

def test_nothing_of_the_others_is_kept(chat_emulator, chat_emulator_server):
    there = chat_emulator_server._control.call("GET", "/sessions")["sessions"]
    assert [one["name"] for one in there] == [chat_emulator.name]
""",
        6,
    )


def test_what_a_test_makes_of_its_session_ends_with_it(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
def test_makes_some(chat_emulator, chat_emulator_server):
    ask(chat_emulator)
    copy = chat_emulator.fork("a-copy")
    assert copy.fork("a-copy-of-it").session("another", seed=3).seed == 3
    chat_emulator_server.session("for-all", seed=4)
    ask(chat_emulator.session("default"))

def test_comes_later(chat_emulator, chat_emulator_server):
    there = chat_emulator_server._control.call("GET", "/sessions")["sessions"]
    assert {one["name"] for one in there} == {chat_emulator.name, "for-all", "default"}
    assert len(chat_emulator_server.calls()) == 1
""",
        2,
    )


def test_the_seed_is_stable_for_a_test_and_can_be_given(tmp_path: Path) -> None:
    text = """
import pytest
def test_one(chat_emulator):
    print("seed", chat_emulator.seed, ask(chat_emulator, mode="blocking"))
@pytest.mark.chat_emulator(seed=5)
def test_marked(chat_emulator):
    print("seed", chat_emulator.seed)
"""

    def told(*arguments: str) -> list[str]:
        done = passes(tmp_path, text, 2, "-s", *arguments)
        return re.findall(r"^(?:test_inner.py )?\.?(seed .*)$", re.sub(r"http://127.0.0.1:\d+", "", done.output), re.M)

    first = told()
    assert first == told()
    assert f"seed {seed_of('test_inner.py::test_one')} " in first[0] and "seed 5" in first[1]
    given = told("--chat-emulator-seed", "7")
    assert "seed 7 " in given[0] and "seed 5" in given[1] and given[0] != first[0]


@pytest.mark.parametrize(
    ("id", "readable"),
    [
        ("tests/test_a.py::test_refund", "test_refund"),
        ("tests/test_a.py::TestChat::test_refund[zh-3]", "TestChat-test_refund-zh-3"),
        ("test_a.py::test_x[../../ \u4f60\u597d?#%]", "test_x"),
        ("test_a.py::test_" + "long" * 50, "test_" + ("long" * 50)[:45]),
        ("test_a.py::\u4f60\u597d", "test"),
        ("README.md", "README-md"),
    ],
)
def test_names_of_sessions_are_readable_safe_and_of_bounded_length(id: str, readable: str) -> None:
    name = session_name(id)
    assert re.fullmatch(rf"{re.escape(readable)}-[0-9a-f]{{10}}", name)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name)
    assert name == session_name(id) != session_name(f"{id} ")


@pytest.mark.parametrize(
    ("id", "marks", "wanted"),
    [
        ("a.py::test_b", [], "a.py::test_b"),
        ("a.py::test_b@x", [], "a.py::test_b@x"),
        ("a.py::test_b@x", [pytest.mark.xdist_group("x")], "a.py::test_b"),
        ("a.py::test_b@default", [pytest.mark.xdist_group()], "a.py::test_b"),
        ("a.py::test_b@x_y", [pytest.mark.xdist_group("y"), pytest.mark.xdist_group(name="x")], "a.py::test_b"),
        ("a.py::test_b", [pytest.mark.xdist_group("x")], "a.py::test_b"),
    ],
)
def test_a_group_that_xdist_adds_is_no_part_of_an_id(id: str, marks: list[pytest.MarkDecorator], wanted: str) -> None:
    found = [mark.mark for mark in marks]
    item = SimpleNamespace(nodeid=id, iter_markers=lambda name: [mark for mark in found if mark.name == name])
    assert node_id(cast(pytest.Item, item)) == wanted


# ---- what is told about tests that fail


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of tests that fail, each in its own way."""
    return run_pytest(
        tmp_path_factory.mktemp("failed"),
        ASK
        + """
def test_status(chat_emulator):
    chat_emulator.arm("dify", fault="reset", operation="renameConversation")
    ask(chat_emulator, "/scenario error-mid-stream")
    assert chat_emulator.calls()[0].status == 429

@pytest.mark.chat_emulator(seed=3)
def test_refused(chat_emulator):
    with pytest.raises(urllib.error.HTTPError):
        ask(chat_emulator, mode="shouting")
    chat_emulator.expect("dify", "sendChatMessage", times=2, within=0.1)

def test_many(chat_emulator):
    for number in range(30):
        ask(chat_emulator, f"number {number} " + "x" * 5000, "blocking")
    raise RuntimeError("after many calls")

@pytest.fixture
def broken_later(chat_emulator):
    yield
    raise RuntimeError("in the teardown")

def test_teardown(chat_emulator, broken_later):
    ask(chat_emulator, "before the teardown")

@pytest.mark.xfail(strict=True, reason="on purpose")
def test_xfail(chat_emulator):
    raise RuntimeError

def test_passes(chat_emulator):
    ask(chat_emulator)

def test_without(): raise RuntimeError("no fixture here")
""",
    )


def test_counts_of_the_run_of_failures(failed: Run) -> None:
    assert failed.counts == {"failed": 4, "passed": 2, "xfailed": 1, "error": 1}, failed.output


def test_a_failing_test_tells_its_seed_and_its_journal(failed: Run) -> None:
    told = failed.section("test_status")
    seed = seed_of("test_inner.py::test_status")
    assert "assert 200 == 429" in told
    assert "where 200 = <Entry #1 dify sendChatMessage POST /v1/chat-messages" in told
    assert f"seed {seed} (from the test's id; --chat-emulator-seed {seed} for any test)" in told
    assert re.search(r"^-+ chat-emulator -+$", told, re.MULTILINE)
    assert re.search(r"^#1 dify sendChatMessage POST .* → 200 scenario error-mid-stream \d+ frames ended$", told, re.M)
    assert '"query": "/scenario error-mid-stream"' in told
    assert re.search(r"frames   message x\d+, error$", told, re.MULTILINE)
    assert "armed and not used up: fault reset for dify renameConversation (a1)" in told


def test_a_count_that_is_wrong_tells_the_calls(failed: Run) -> None:
    told = failed.section("test_refused")
    assert "AssertionError: expected exactly 2 calls of dify sendChatMessage, got 1:" in told
    assert "refused  body/response_mode: expected" in told
    assert "seed 3 (given by the marker" in told
    # The lines of the test itself and none of ours.
    assert "emulator/testing" not in told


def test_the_journal_in_a_report_is_bounded(failed: Run) -> None:
    told = failed.section("test_many")
    assert "30 calls, the last 20:" in told and "#30 " in told and "#10 " not in told
    assert len(told) < 20_000


def test_a_teardown_that_fails_tells_the_journal(failed: Run) -> None:
    assert '"query": "before the teardown"' in failed.section("test_teardown")


def test_a_test_without_the_fixture_is_told_as_ever(failed: Run) -> None:
    assert "chat-emulator" not in failed.section("test_without")
    assert failed.output.count("-- chat-emulator --") == 4


# ---- what is wrong is told in one sentence


WRONG_MARKERS = {
    "sed=3": "The marker chat_emulator takes seed, speed, profile, and no 'sed'.",
    "3": "The marker chat_emulator takes seed, speed, profile by name, as in chat_emulator(seed=7); got 3.",
    "seed='x'": "The marker chat_emulator: seed: expected an integer, got 'x'.",
    "seed=True": "The marker chat_emulator: seed: expected an integer, got True.",
    "seed=None": "The marker chat_emulator: seed: expected an integer, got null.",
    "seed=2**70": "The marker chat_emulator: seed: expected at most 18446744073709551615, got 1180591620717411303424.",
    "speed=-1": "The marker chat_emulator: speed: expected at least 0, got -1.",
    "profile='observd'": "The marker chat_emulator: profile: expected one of 'documented', 'observed', got 'observd'.",
}


def test_wrong_markers(tmp_path: Path) -> None:
    tests = [
        f"@pytest.mark.chat_emulator({marker})\ndef test_{number}(chat_emulator): pass"
        for number, marker in enumerate(WRONG_MARKERS)
    ]
    done = run_pytest(tmp_path, "\n".join(("import pytest", *tests)))
    assert done.counts == {"error": len(tests)}
    assert [one_sentence(done, f"test_{number}") for number in range(len(tests))] == list(WRONG_MARKERS.values())


def one_sentence(done: Run, test: str) -> str:
    """The one line that is said about a test whose setup failed."""
    assert "Traceback" not in done.output, done.output
    lines = [line for line in done.section(test).splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


USES_IT = """
def test_uses_it(chat_emulator): pass
def test_does_not(): pass
"""


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of a server that is none of ours."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<h1>It works!</h1>")

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_at_which_nothing_answers(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        done = run_pytest(tmp_path, USES_IT, "--chat-emulator-url", url)
    assert done.counts == {"passed": 1, "error": 1}
    assert one_sentence(done, "test_uses_it") == (
        f"No emulator answers at {url}: connection refused. Start one with `chat-emulator serve`, or leave "
        "--chat-emulator-url out."
    )


def test_an_address_at_which_something_else_answers(tmp_path: Path, stranger: str) -> None:
    done = run_pytest(tmp_path, USES_IT, "--chat-emulator-url", stranger)
    assert one_sentence(done, "test_uses_it").startswith(f"What answers at {stranger} is no chat-emulator: ")


def test_an_address_that_is_none(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USES_IT, "--chat-emulator-url", "localhost:8787")
    wanted = "Expected an address such as http://127.0.0.1:8787, got 'localhost:8787'. Start one"
    assert one_sentence(done, "test_uses_it").startswith(wanted)


def test_an_emulator_that_asks_for_its_token(tmp_path: Path) -> None:
    with ThreadedServer(host="0.0.0.0") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        done = run_pytest(tmp_path, USES_IT, "--chat-emulator-url", url)
        assert f"The emulator at {url} asks for its token" in one_sentence(done, "test_uses_it")
        given = f"import os; os.environ['CHAT_EMULATOR_TOKEN'] = {server.app.token!r}\n{USES_IT}"
        assert run_pytest(tmp_path, given, "--chat-emulator-url", url).counts == {"passed": 2}


def test_a_seed_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USES_IT, "--chat-emulator-seed", "x")
    assert done.code == 4 and "--chat-emulator-seed: invalid int value: 'x'" in done.output


def test_a_server_that_dies_between_the_tests(tmp_path: Path) -> None:
    text = """
def test_kills_it(chat_emulator, chat_emulator_server):
    chat_emulator_server.stop()
    chat_emulator.calls()
def test_comes_later(chat_emulator): pass
"""
    done = run_pytest(tmp_path, ASK + text)
    assert done.counts == {"failed": 1, "error": 1}
    told = done.section("test_kills_it")
    assert re.search(
        r"^E +emulator.testing.EmulatorError: No emulator answers at http://\S+: connection refused.$", told, re.M
    )
    assert "emulator/testing" not in told and "During handling" not in told
    assert one_sentence(done, "test_comes_later").startswith("This emulator does not run: ")


def test_a_taken_port_and_a_missing_package(tmp_path: Path) -> None:
    text = """
import socket, sys
from emulator import Emulator
@pytest.fixture(scope="session")
def chat_emulator_server():
    with Emulator(port=TAKEN.getsockname()[1]) as server:
        yield server
TAKEN = socket.create_server(("127.0.0.1", 0))
def test_taken(chat_emulator): pass
def test_missing(monkeypatch):
    TAKEN.close()
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in list(sys.modules):
        if name in ("emulator.server", "emulator.testing.server"):
            monkeypatch.delitem(sys.modules, name)
    Emulator().start()
"""
    done = run_pytest(tmp_path, ASK + text)
    assert done.counts == {"failed": 1, "error": 1}, done.output
    assert re.search(
        r"^E +emulator.testing.EmulatorError: The emulator cannot listen on 127.0.0.1:\d+: address already in use; "
        r"port 0 takes a free one.$",
        done.section("test_taken"),
        re.MULTILINE,
    )
    missing = "The emulator needs the package 'uvicorn', which is not installed: pip install chat-emulator brings it."
    assert missing in done.section("test_missing")


PATCHED = """
import socket

RAISED = (RuntimeError, ValueError, KeyError, pytest.fail.Exception, pytest.skip.Exception)
KINDS = {kind.__name__: kind for kind in RAISED}

@pytest.mark.parametrize("kind", KINDS)
def test_patched(chat_emulator, monkeypatch, kind):
    def refused(*arguments, **named):
        raise KINDS[kind]("no network")
    monkeypatch.setattr(socket, "socket", refused)
    raise RuntimeError("of the test")

def test_passes(chat_emulator):
    ask(chat_emulator)
"""


def test_sockets_that_a_test_has_replaced_do_not_end_the_run(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, ASK + PATCHED)
    assert done.counts == {"failed": 5, "passed": 1}, done.output
    told = done.section("test_patched[RuntimeError]")
    assert re.search(r"^The emulator at http://\S+ cannot be called: RuntimeError: no network\.$", told, re.MULTILINE)
    assert "RuntimeError: of the test" in told
    for kind, name in (("KeyError", "KeyError: 'no network'"), ("Failed", "Failed: no network")):
        assert f"the journal could not be read: {name}" in done.section(f"test_patched[{kind}]")


def test_a_server_of_another_version_does_not_end_the_run(tmp_path: Path) -> None:
    text = """
from emulator.testing.control import Control

def test_other(chat_emulator, monkeypatch):
    monkeypatch.setattr(Control, "call", lambda *asked: {"calls": 1})
    assert not chat_emulator.calls()
"""
    done = run_pytest(tmp_path, ASK + text)
    assert done.counts == {"failed": 1}, done.output
    told = done.section("test_other")
    assert re.search(
        r"^E .*EmulatorError: The emulator at \S+ answers as another version does: its journal", told, re.M
    )
    assert "answers as another version does: its journal" in told.partition("-- chat-emulator --")[2]


# ---- one server for all, and own settings


def test_one_server_shared_by_its_address(tmp_path: Path) -> None:
    with ThreadedServer(speed=1, seed=99) as server:
        text = """
def test_passes(chat_emulator):
    ask(chat_emulator)
def test_fails(chat_emulator):
    ask(chat_emulator)
    raise RuntimeError
"""
        for _ in range(2):
            # Also the second time each test finds its session as new.
            done = run_pytest(tmp_path, ASK + text, "--chat-emulator-url", server.url + "/")
            assert done.counts == {"passed": 1, "failed": 1}, done.output
            assert "\n1 call\n" in done.output and server.url in done.output
        # What failed can be looked at.
        assert [one.name for one in server.app.sessions] == [session_name("test_inner.py::test_fails")]


def test_a_server_of_ones_own_settings(tmp_path: Path) -> None:
    (tmp_path / "scenarios" / "dify").mkdir(parents=True)
    (tmp_path / "scenarios" / "dify" / "ours.yaml").write_text("steps: [{say: Ours.}]\n")
    passes(
        tmp_path,
        """
from pathlib import Path
from emulator import Emulator

@pytest.fixture(scope="session")
def chat_emulator_server():
    with Emulator(backends=("dify",), scenarios=Path(__file__).parent / "scenarios") as server:
        yield server

def test_own(chat_emulator):
    chat_emulator.arm("dify", scenario="ours")
    assert "Ours." in ask(chat_emulator, mode="blocking")
    with pytest.raises(Exception, match="There is no backend 'ruoyi'; there are dify."):
        chat_emulator.url("ruoyi")
""",
        1,
    )


# ---- what it costs where it is not used

LOADED = """
import json, sys
def pytest_unconfigure(config):
    (config.rootpath / "loaded").write_text(json.dumps(sorted(sys.modules)))
"""
OWN = {"emulator", "emulator.testing", "emulator.testing.plugin"}


def loaded(folder: Path, *arguments: str) -> set[str]:
    """Modules that are there at the end of a run."""
    (folder / "conftest.py").write_text(LOADED)
    (folder / "test_inner.py").write_text("def test_nothing(): pass\ndef test_uses_it(chat_emulator): pass\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = run(folder, "-p", "no:cacheprovider", *arguments)
    assert done.counts == {"passed": 1, "deselected": 1}, done.output
    names: set[str] = set(json.loads((folder / "loaded").read_text()))
    return names


def test_nothing_is_imported_until_the_fixture_is_used(tmp_path: Path) -> None:
    without = loaded(tmp_path, "-k", "nothing")
    unused = loaded(tmp_path, "-k", "nothing", "-p", PLUGIN)
    assert unused - without == OWN
    assert {"starlette", "uvicorn", "openapi_core", "emulator.app"} <= loaded(tmp_path, "-k", "uses", "-p", PLUGIN)


def test_it_is_known_to_pytest_by_an_entry_point() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert '[project.entry-points.pytest11]\nchat_emulator = "emulator.testing.plugin"\n' in text


def test_its_help_names_its_options(tmp_path: Path) -> None:
    done = run(tmp_path, "-p", PLUGIN, "--help")
    assert "--chat-emulator-seed=N" in done.output and "--chat-emulator-url=URL" in done.output
    assert (
        "@pytest.mark.chat_emulator(seed=…, speed=0, profile='documented')"
        in run(tmp_path, "-p", PLUGIN, "--markers").output
    )


def test_a_plain_install_has_no_test_tools() -> None:
    program = """
import sys
class None_:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pytest", "_pytest", "httpx", "requests", "schemathesis", "hypothesis"):
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, None_())
import emulator, emulator.testing
with emulator.Emulator(speed=0) as running:
    assert running.session("a", seed=3).seed == 3
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
