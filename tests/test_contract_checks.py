"""The checks as schemathesis runs them: against a miniature server that keeps its promises, or breaks one at a time."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from emulator.contract.document import problems
from emulator.contract.promises.shapes import KEY, SHAPES, mistakes
from emulator.service import spec_files
from emulator.settings import Settings

schemathesis = pytest.importorskip("schemathesis")

ROOT = Path(__file__).parent.parent
SAID = "Things document"
NOTE = {"type": "object", "properties": {"id": {}, "text": {}}}


def operation(id: str, promises: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    said = {check: {"said": f"{SAID}, {check}", **given} for check, given in (promises or {}).items()}
    answered = {"200": {"description": "Done."}, "404": {"description": "Not there."}}
    return {"operationId": id, "responses": answered, **({KEY: said} if said else {}), **more}


def parameter(name: str, where: str = "query", example: Any = 2) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {}, "example": example}


ID = [parameter("id", "path", "n1")]
BODY = {"content": {"application/json": {"schema": NOTE}}}
FORM = {
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"f": {"type": "string", "format": "binary"}}}
        }
    }
}
KINDS = {"kind": "/type", "pings": ["ping"]}
SPEC: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Things", "version": "1"},
    "paths": {
        "/notes": {
            "get": operation(
                "listNotes",
                {
                    "paging_honoured": {
                        "items": "/notes",
                        "id": "/id",
                        "size": {"query": "limit", "default": 10},
                        "next": {"offset": "offset"},
                    },
                    "filter_honoured": {"items": "/notes", "query": "word", "in": ["/text"], "how": "contains"},
                    "users_isolated": {
                        "read": "listNotes",
                        "with": {"query.user": "another"},
                        "items": "/notes",
                        "id": "/id",
                    },
                },
                parameters=[parameter(name) for name in ("limit", "offset", "word", "user")],
            ),
            "post": operation(
                "createNote",
                {
                    "write_echoed": {"members": {"/text": "$request.body#/text"}},
                    "write_read_back": {
                        "read": "listNotes",
                        "items": "/notes",
                        "id": "/id",
                        "is": "$response.body#/id",
                        "members": {"/text": "$request.body#/text"},
                    },
                },
                requestBody=BODY,
            ),
        },
        "/notes/{id}": {
            "delete": operation(
                "deleteNote",
                {
                    "deleted_is_gone": {
                        "id": "$request.path.id",
                        "from": [{"read": "listNotes", "items": "/notes", "id": "/id"}],
                    }
                },
                parameters=ID,
            )
        },
        "/files": {
            "post": operation(
                "upload",
                {
                    "upload_kept": {
                        "part": "f",
                        "steps": [{"call": "download", "with": {"path.id": "$response.body#/id"}}],
                    }
                },
                requestBody=FORM,
            )
        },
        "/files/{id}": {"get": operation("download", parameters=ID)},
        "/chat": {
            "post": operation(
                "chat",
                {
                    "event_order": {**KINDS, "ends": ["end"]},
                    "ids_constant": {**KINDS, "same": ["/id"]},
                    "ping_tolerated": {**KINDS, "ends": ["end"]},
                    "text_adds_up": {
                        **KINDS,
                        "pieces": {"of": ["piece"], "at": "/text"},
                        "whole": {"of": "end", "at": "/text"},
                    },
                    "streaming_honoured": {"asks": "$request.body#/stream", "stream": [True]},
                },
                requestBody=BODY,
            )
        },
        "/text": {"post": operation("text", {"text_ending": {"marks": [r"\[END\]"]}}, requestBody=BODY)},
    },
}

FRAMES = {
    "": ('{"type":"piece","id":1,"text":"a"}', "", '{"type":"end","id":1,"text":"a"}'),
    "event_order": ('{"type":"piece","id":1,"text":"a"}', '{"type":"piece","id":1,"text":""}'),
    "ids_constant": ('{"type":"piece","id":1,"text":"a"}', '{"type":"end","id":2,"text":"a"}'),
    "ping_tolerated": ('{"type":"end","id":1,"text":""}', ""),
    "text_adds_up": ('{"type":"end","id":1,"text":"a"}',),
}


class Notes(BaseHTTPRequestHandler):
    """Keeps notes, and breaks the promise named by `fault`."""

    fault = ""
    notes: dict[str, str]
    files: dict[str, bytes]

    def log_message(self, format: str, *args: Any) -> None:
        return

    def _answer(self, value: Any, status: int = 200, kind: str = "application/json") -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.startswith("/files/"):
            content = self.files.get(url.path.rpartition("/")[2], b"")
            self._answer(content[1:] if self.fault == "upload_kept" else content, kind="image/png")
            return
        notes = [{"id": id, "text": text} for id, text in self.notes.items()]
        if asked.get("user") == "another" and self.fault != "users_isolated":
            notes = []
        if "word" in asked and self.fault != "filter_honoured":
            notes = [note for note in notes if asked["word"] in note["text"]]
        start = int(asked.get("offset", 0)) if self.fault != "paging_honoured" else 0
        self._answer({"notes": notes[start : start + int(asked.get("limit", 10))]})

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/files":
            type(self).files["f1"] = body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
            self._answer({"id": "f1"})
        elif self.path == "/text":
            self._answer(b"Hello" if self.fault == "text_ending" else b"Hello[END]", kind="text/plain")
        elif self.path == "/notes":
            text, id = json.loads(body)["text"], f"n{len(self.notes) + 1}"
            if self.fault != "write_read_back":
                type(self).notes[id] = text
            self._answer({"id": id, "text": "" if self.fault == "write_echoed" else text})
        elif self.fault == "streaming_honoured":
            self._answer({})
        else:
            frames = FRAMES.get(self.fault, FRAMES[""])
            lines = [f"data: {data}\n\n" if data else "event: ping\n\n" for data in frames]
            self._answer("".join(lines).encode(), kind="text/event-stream")

    def do_DELETE(self) -> None:
        if self.fault != "deleted_is_gone":
            type(self).notes.pop(self.path.rpartition("/")[2], None)
        self._answer({})


@pytest.fixture
def notes() -> Iterator[tuple[type[Notes], str]]:
    """A server of its own: what it is made of, and where it is."""
    handler = type("Fresh", (Notes,), {"notes": {f"n{n}": f"note {n}" for n in range(1, 4)}, "files": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("listNotes", {"query": {"limit": 1}}),
    ("listNotes", {"query": {"word": "note 2"}}),
    ("createNote", {"body": {"text": "new"}, "media_type": "application/json"}),
    ("deleteNote", {"path_parameters": {"id": "n1"}}),
    ("upload", {"body": {"f": b"\x00bytes\r\n"}, "media_type": "multipart/form-data"}),
    ("chat", {"body": {"stream": True}, "media_type": "application/json"}),
    ("text", {"body": {}, "media_type": "application/json"}),
)


def failures(base: str) -> dict[str, Any]:
    """The checks that fail in one round of calls."""
    from emulator.contract.checks import CHECKS, NotKept

    schema = schemathesis.openapi.from_dict(copy.deepcopy(SPEC))
    wanted = [schemathesis.checks.CHECKS.get_one(check.name) for check in CHECKS]
    found: dict[str, Any] = {}
    for id, arguments in CALLS:
        case = schema.find_operation_by_id(id).Case(**arguments)
        response = case.call(base_url=base)
        try:
            case.validate_response(response, checks=wanted)
        except schemathesis.errors.FailureGroup as group:
            for failure in group.exceptions:
                assert isinstance(failure, NotKept), failure
                assert failure.said == f"{SAID}, {failure.check}" and failure.said in failure.message
                found[failure.check] = failure
    return found


def test_a_server_that_keeps_its_promises(notes: tuple[type[Notes], str]) -> None:
    assert failures(notes[1]) == {}


@pytest.mark.parametrize("fault", sorted(SHAPES))
def test_a_server_that_breaks_one(notes: tuple[type[Notes], str], fault: str) -> None:
    notes[0].fault = fault
    assert failures(notes[1]).keys() == {fault}


def test_a_failure_has_the_calls_that_showed_it(notes: tuple[type[Notes], str]) -> None:
    notes[0].fault = "deleted_is_gone"
    (failure,) = failures(notes[1]).values()
    (made,) = failure.after
    assert (made.method, made.url, made.body, made.status) == ("GET", f"{notes[1]}/notes", b"", 200)
    assert "user-agent" in made.headers
    assert failure.message.splitlines()[-1] == f"Followed up by GET {notes[1]}/notes → 200"
    assert failure.what == f'"n1" was deleted, and is still listed: GET {notes[1]}/notes → 200'


def test_a_failure_without_further_calls_has_none(notes: tuple[type[Notes], str]) -> None:
    notes[0].fault = "write_echoed"
    (failure,) = failures(notes[1]).values()
    assert failure.after == () and "Followed up" not in failure.message


def test_an_address_that_was_fetched_is_kept_with_the_headers_it_was_sent_with(
    notes: tuple[type[Notes], str],
) -> None:
    notes[0].fault = "upload_kept"
    (failure,) = failures(notes[1]).values()
    made = failure.after[-1]
    assert (made.method, made.status) == ("GET", 200) and made.url.startswith(f"{notes[1]}/") and made.headers


def test_each_check_is_registered_and_has_a_shape() -> None:
    from emulator.contract.checks import CHECKS

    assert [check.name for check in CHECKS] == list(SHAPES)
    assert {check.key for check in CHECKS} == {KEY}
    assert set(SHAPES) <= set(schemathesis.checks.CHECKS.get_all_names())


def test_each_check_is_promised_by_a_bundled_spec() -> None:
    promised = {
        check
        for file in spec_files(Settings()).values()
        for item in yaml.safe_load(file.read_text("utf-8"))["paths"].values()
        for one in item.values()
        for check in one.get(KEY, {})
    }
    assert promised == set(SHAPES)


@pytest.mark.parametrize("file", list(spec_files(Settings()).values()), ids=lambda file: file.stem)
def test_bundled_promises_can_be_understood(file: Path) -> None:
    assert [str(mistake) for mistake in mistakes(yaml.safe_load(file.read_text("utf-8")))] == []


PAGED = {"said": "x", "items": "", "id": "", "size": {"most": 5}}


@pytest.mark.parametrize("file", list(spec_files(Settings()).values()), ids=lambda file: file.stem)
def test_bundled_marks_are_looked_for_in_time(file: Path) -> None:
    """A text of nothing but beginnings of marks took time by the square of its length."""
    raw = yaml.safe_load(file.read_text("utf-8"))
    operations = [one for item in raw["paths"].values() for one in item.values() if isinstance(one, dict)]
    marks = [mark for one in operations for mark in one.get(KEY, {}).get("text_ending", {}).get("marks", ())]
    assert bool(marks) is (file.stem == "plainchat")
    text = "[MESSAGE_ID:" * 50_000 + "[ERROR] " * 50_000
    before = time.process_time()
    assert all(len(re.findall(mark, text)) < 2 for mark in marks)
    assert time.process_time() - before < 5


WRONG: tuple[tuple[Any, str], ...] = (
    (["a"], "expected an object"),
    ({"event_ordr": {}}, "did you mean event_order?"),
    ({"event_order": {"kind": "/type", "ends": ["end"]}}, "'said' is a required property"),
    ({"event_order": {"said": "x", "kind": "type", "ends": ["end"]}}, "'type' does not match"),
    ({"event_order": {"said": "x", "kind": "/type", "ends": ["end"], "end": 1}}, "'end' was unexpected"),
    ({"write_read_back": {"said": "x", "read": "getThing", "members": {}}}, "no operation 'getThing'"),
    ({"write_read_back": {"said": "x", "read": "listNote", "members": {}}}, "did you mean listNotes?"),
    ({"write_echoed": {"said": "x", "members": {"/a": "$request.boddy#/a"}}}, "is no expression"),
    ({"write_echoed": {"said": "x", "members": {"/a": 1}, "when": {"$x": [1]}}}, "is no expression"),
    ({"write_echoed": {"said": "x", "members": {"/a": 1}, "when": {"name": [1]}}}, 'when/name: "name" is no expr'),
    ({"write_echoed": {"said": "x", "members": {"/a": 1}, "when": {7: [1]}}}, "when/7: 7 is no expression"),
    ({"write_echoed": {"said": "x", "members": {1: 1}}}, "1 is not of type 'string'"),
    ({"write_echoed": {"said": "x", "members": {"/a": [[["$x"]]]}}}, 'members//a/0/0/0: "$x" is no expression'),
    ({"write_echoed": []}, "write_echoed: an empty list"),
    ({1: {}}, "there is no check '1'"),
    ({"filter_honoured": {"said": "x", "items": "", "in": [""], "how": "equals", "value": "7"}}, "value: '7' does not"),
    ({"streaming_honoured": {"said": "x", "asks": "yes", "stream": [1]}}, "asks: 'yes' does not match"),
    ({"upload_kept": {"said": "x", "part": "f", "steps": [{"call": "listNotes"}], "fetch": {}}}, "fetch: {} is not of"),
    (
        {"write_read_back": {"said": "x", "read": "deleteNote", "members": {}}},
        "with: deleteNote cannot be called without path.id",
    ),
    (
        {"write_read_back": {"said": "x", "read": "listNotes", "members": {}, "with": {"path.idd": 1}}},
        "with/path.idd: the path of listNotes has no such",
    ),
    ({"write_read_back": {"said": "x", "read": "listNotes", "members": {}, "with": {7: 1}}}, "7 is not of type"),
    ({"text_ending": {"said": "x", "marks": ["a{99999999999999999999}"]}}, "is no pattern"),
    ({"text_ending": {"said": "x", "marks": ["(" * 5000 + ")" * 5000]}}, "is no pattern"),
    ({"text_ending": {"said": "x", "marks": ["a*"]}}, 'marks: "a*" is no mark'),
    ({"paging_honoured": {**PAGED, "more": {"at": "/more", "means": "full"}}}, "size: 'query' is a required"),
    ({"paging_honoured": {**PAGED, "more": {"at": "/more", "means": "exact"}}}, "'next' is a required"),
    ({"paging_honoured": {"said": "x", "items": "", "id": "", "next": {"page": "p"}}}, "'size' is a dependency of"),
    ({"text_ending": {"said": "x", "marks": ["["]}}, "is no pattern"),
    ({"event_order": {"$ref": "#/components/nothing"}}, "a reference to nothing"),
    ({"paging_honoured": [{"said": "x", "items": "", "id": ""}, {"said": "x", "items": ""}]}, "1: 'id' is a required"),
)


@pytest.mark.parametrize(("promised", "word"), WRONG)
def test_a_promise_that_cannot_be_understood(tmp_path: Path, promised: Any, word: str) -> None:
    spec = copy.deepcopy(SPEC)
    spec["paths"]["/text"]["post"][KEY] = promised
    found = [str(mistake) for mistake in mistakes(spec)]
    assert len(found) == 1 and word in found[0] and "paths//text/post/x-promises" in found[0]
    file = tmp_path / "things.yaml"
    file.write_text(yaml.safe_dump(spec))
    assert len(problems(file)) == 1
    with pytest.raises(Exception, match=KEY):
        schemathesis.openapi.from_dict(spec)


def test_values_may_have_members_of_any_names() -> None:
    spec = copy.deepcopy(SPEC)
    odd = {"read": "nothing", "call": 7, "when": [1], "marks": "["}
    spec["paths"]["/text"]["post"][KEY] = {
        "write_echoed": {"said": "x", "members": {"/a": odd}},
        "write_read_back": {"said": "x", "read": "listNotes", "items": "", "id": "", "is": odd, "body": odd},
        "deleted_is_gone": {"said": "x", "id": odd, "from": [{"read": "listNotes", "gives": [404], "body": odd}]},
    }
    assert [str(one) for one in mistakes(spec)] == []


@pytest.mark.parametrize(
    ("promised", "place"),
    [
        ({"deleted_is_gone": {"said": "x", "id": 1, "from": [{"read": "no", "gives": [404]}]}}, "from/0/read"),
        ({"upload_kept": {"said": "x", "part": "f", "steps": [{"call": "no"}]}}, "steps/0/call"),
        (
            {
                "users_isolated": {
                    "said": "x",
                    "read": "listNotes",
                    "gives": [404],
                    "sign_in": {"steps": [{"call": "no"}], "header": "a"},
                }
            },
            "sign_in/steps/0/call",
        ),
        (
            {
                "text_adds_up": {
                    "said": "x",
                    "kind": "name",
                    "pieces": {"of": ["a"], "at": ""},
                    "whole": {"read": "no", "items": "", "last": True, "at": ""},
                }
            },
            "whole/read",
        ),
    ],
)
def test_every_follow_up_is_looked_at(promised: Any, place: str) -> None:
    spec = copy.deepcopy(SPEC)
    spec["paths"]["/text"]["post"][KEY] = promised
    (mistake,) = mistakes(spec)
    assert f"{place}: there is no operation 'no'" in str(mistake)


def test_a_promise_that_is_nested_too_deeply() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    spec = copy.deepcopy(SPEC)
    spec["paths"]["/text"]["post"][KEY] = {"write_echoed": {"said": "x", "members": {"/a": deep}}}
    assert [str(one) for one in mistakes(spec)] == ["paths//text/post/x-promises/write_echoed: nested too deeply"]


def test_it_says_what_is_missing() -> None:
    code = "import sys; sys.modules['schemathesis'] = None\nimport emulator\nimport emulator.contract.checks"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith("need schemathesis: pip install 'chat-emulator[contract]'.")


def test_importing_the_package_imports_no_schemathesis() -> None:
    code = "import emulator, emulator.app, sys\nprint('schemathesis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_schemathesis_loads_them(notes: tuple[type[Notes], str], tmp_path: Path) -> None:
    """The command line, the environment variable, a report: as somebody else would use them."""
    notes[0].fault = "text_ending"
    file, report = tmp_path / "things.json", tmp_path / "report.json"
    file.write_text(json.dumps(SPEC))
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(file), "--url", notes[1]]
    command += [
        "--phases",
        "fuzzing",
        "--max-examples",
        "1",
        "--include-operation-id",
        "text",
        "--checks",
        "text_ending",
    ]
    command += ["--report", "json", "--report-json-path", str(report), "--generation-database", "none"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "emulator.contract.checks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Promised: Things document, text_ending" in done.stdout


def test_what_a_form_says_twice_is_promised_to_nobody() -> None:
    from emulator.contract.checks import CHECKS, applies
    from emulator.contract.promises.exchange import Exchange
    from emulator.contract.promises.shapes import Promise

    (check,) = (check for check in CHECKS if check.name == "write_read_back")
    form = {"content-type": "application/x-www-form-urlencoded"}
    once, twice = (
        Exchange("/sign-up", "POST", "http://test/sign-up", form, body, 200, {}, b"{}")
        for body in (b"name=a&word=b", b"name=a&word=b&name=c")
    )
    about_names = Promise(check.name, "x", {"read": "logIn", "body": {"name": "$request.body#/name"}})
    about_words = Promise(check.name, "x", {"read": "logIn", "body": {"word": "$request.body#/word"}})
    assert applies(check, about_names, once) and applies(check, about_words, once)
    assert not applies(check, about_names, twice) and applies(check, about_words, twice)
