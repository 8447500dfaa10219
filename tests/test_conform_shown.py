"""`conform` from the command line, against whole backends: the emulator as documented, the emulator as systems were
observed, and one broken server for each backend.

What differs between `documented` and `observed` stands in each backend's differences.py. Each finding has to be of one
of them, and each of them has to be found, or to be named here with the reason why no run can see it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from example_calls import BEARERS, SERVICES

from emulator.backends import Difference
from emulator.conform.plan import changes
from emulator.conform.sentences import EXPECTED
from emulator.contract.promises.shapes import SHAPES
from emulator.testing.server import ThreadedServer

sys.path.append(str(Path(__file__).parent / "mutants"))
from registry import by_hand, generic
from runner import Server
from wrapping import Mutant

ROOT = Path(__file__).parent.parent
SEED = 0
RULING = "the same"
"""How `observed` begins in a difference that records a ruling: both sides are alike."""


# ---- What is known to differ ----

AUTH, SCHEMA, STATUS = "ignored_auth", "response_schema_conformance", "status_code_conformance"
CRASH, TYPE, REFUSED = "not_a_server_error", "content_type_conformance", "positive_data_acceptance"
GONE, ISOLATED, READ_BACK = "deleted_is_gone", "users_isolated", "write_read_back"
Where = Mapping[str, Sequence[str]]
"""Check → ids of operations."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run finds of one difference. `says` are words of the difference about just that, `got` is a pattern of
    what a finding says and, in the next line, of the reply. It is found everywhere in `at`, and now and then in
    `perhaps`; with nothing in `at` it takes some luck."""

    says: str
    got: str
    at: Where
    perhaps: Where = field(default_factory=dict)

    def fits(self, found: Found) -> bool:
        """Whether a finding is of this difference."""
        named = (*self.at.get(found.check, ()), *self.perhaps.get(found.check, ()))
        return found.operation in named and re.search(self.got, f"{found.got}\n{found.reply}") is not None


@dataclass(frozen=True, slots=True)
class Found:
    """A finding, as the JUnit file tells it."""

    operation: str
    check: str
    got: str
    reply: str


TEXT = "It changes words of a message for people. Specs and checks leave those free."

SEEN: Mapping[str, Mapping[str, Seen]] = {
    "plainchat": {
        "suggest_body": Seen(
            "a bare array",
            r'^200 .* is not of type "object"\n\[',
            {SCHEMA: ["getNextSuggestions"]},
        ),
        "history_body": Seen(
            "a bare array",
            r'^200 .* is not of type "object"\n\[|the upload is not where it should be listed',
            {SCHEMA: ["getConversationHistory"]},
            {"upload_kept": ["uploadFiles"]},
        ),
        "times": Seen(
            "integer seconds",
            r'^200 .*/conversations/0/created_at: [0-9]{10} is not of type "string"',
            {SCHEMA: ["listConversations"]},
        ),
        "suggest_failure": Seen(
            "they get 500",
            r'^500 .*\n\{"error":"服务器内部错误"\}',
            {one: ["getNextSuggestions"] for one in (CRASH, STATUS)},
        ),
        "history_failure": Seen(
            "it gets 500",
            r'^500 .*\n\{"error":"服务器内部错误"\}',
            {one: ["getConversationHistory"] for one in (CRASH, STATUS)},
        ),
        "chat_not_json": Seen(
            "it gets 500",
            r'^500 .*\n\{"error":"服务器内部错误"\}',
            {CRASH: ["sendChatMessage"], STATUS: ["sendChatMessage"]},
        ),
    },
    "ruoyi": {
        "bad_token_status": Seen(
            "HTTP 200 with the same body",
            r'^200 .*invalid credentials provided.*\n\{"code":401,',
            {AUTH: list(SERVICES["ruoyi"].document.operations)},
        ),
    },
    "toolchat": {
        "error_envelope": Seen(
            "they have `detail` alone",
            r'^4\d\d .*; "success" is a required property\n\{"detail":[^}]*',
            {SCHEMA: list(SERVICES["toolchat"].document.operations)},
        ),
        "taken_status": Seen(
            "it gets 400",
            r'^400 .*\n\{"detail":"(用户名|邮箱)已存在"\}',
            {SCHEMA: ["registerUser"], REFUSED: ["registerUser"]},
        ),
        "filtered_categories": Seen(
            "only that one",
            r'^200 .*; /data/categorized: "\w+" is a required property',
            {SCHEMA: ["listTools"]},
        ),
    },
    "deskchat": {
        "deleted_by_uuid": Seen(
            "it can still be reached by its uuid and has status `deleted`; lists, search and statistics leave it out",
            r'was deleted, and still|/data/status: "active" was expected|is not in the list: GET \S+/chat/search\?'
            r"|for a resource that was previously deleted",
            {
                GONE: ["deleteConversation", "deleteConversations", "deleteMessage"],
                SCHEMA: ["getConversation"],
                READ_BACK: ["editMessage"],
            },
            {"use_after_free": ["deleteConversation"]},
        ),
        "regenerate": Seen(
            "it answers a fixed placeholder (the wording is ours) and changes nothing",
            'expected "这是重新生成的回复内容"',
            {READ_BACK: ["regenerateMessage"]},
        ),
    },
    "dify": {
        "body_no_object": Seen(
            "it gets 500 `unknown`",
            r'^500 .*\n\{"code":"unknown","message":"Internal Server Error","status":500\}',
            {
                CRASH: [
                    *("sendChatMessage", "stopChatMessageGeneration", "postChatMessageFeedback", "renameConversation"),
                    *("updateChatConversationVariable", "deleteConversation", "textToAudioChat", "createAnnotation"),
                    *("updateAnnotation", "initialAnnotationReplySettings"),
                ],
                STATUS: [
                    *("stopChatMessageGeneration", "postChatMessageFeedback", "renameConversation"),
                    *("updateChatConversationVariable", "deleteConversation", "createAnnotation", "updateAnnotation"),
                    "initialAnnotationReplySettings",
                ],
                SCHEMA: ["sendChatMessage", "textToAudioChat"],
            },
        ),
        "html_not_found": Seen(
            "werkzeug's HTML page",
            r"^404 text/html.*\n<!doctype html> <html lang=en> <title>404 Not Found</title>",
            {
                TYPE: [
                    *("getSuggestedQuestions", "previewChatFile", "getEndUserChat", "postChatMessageFeedback"),
                    *("getConversationVariables", "renameConversation", "updateChatConversationVariable"),
                    *("deleteConversation", "updateAnnotation", "deleteAnnotation"),
                    "getInitialAnnotationReplySettingsStatus",
                ]
            },
        ),
        "attached_upload": Seen(
            "an unknown one gets 400 `invalid_param` in a query",
            r'^400 .*\n\{"code":"invalid_param","message":"Invalid upload file',
            {REFUSED: ["sendChatMessage"]},
        ),
        "end_user_type": Seen("`service-api`", '/type: "service_api" was expected', {SCHEMA: ["getEndUserChat"]}),
        "end_user_times": Seen(
            "without a zone",
            r'/created_at: "[-0-9]{10}T[:0-9]{8}" (does not match|is not a "date-time")',
            {SCHEMA: ["getEndUserChat"]},
        ),
        "feedback_times": Seen(
            "without a zone",
            r'/data/0/created_at: "[-0-9]{10}T[:0-9]{8}" (does not match|is not a "date-time")',
            {SCHEMA: ["getChatAppFeedbacks"]},
        ),
        "delete_needs_body": Seen(
            "without a JSON content type it gets 415",
            r'^415 .*\n\{"code":"unsupported_media_type"',
            # Its body may be left out, which few of the calls do.
            {},
            {REFUSED: ["deleteConversation"]},
        ),
        "audio_missing": Seen(
            "400 `bad_request_key_error`",
            '/code: "bad_request_key_error" is not one of',
            {SCHEMA: ["audioToText"]},
        ),
        "audio_types": Seen(
            "only `audio/` + mp3, m4a, wav, amr, mpga are",
            r'^415 .*\n\{"code":"unsupported_audio_type"',
            {REFUSED: ["audioToText"]},
        ),
        "annotation_action": Seen(
            "it gets 500",
            r'^500 .*\n\{"code":"internal_server_error"',
            {one: ["getInitialAnnotationReplySettingsStatus"] for one in (CRASH, STATUS)},
            {one: ["initialAnnotationReplySettings"] for one in (CRASH, STATUS)},
        ),
    },
}
"""Backend → difference → what a run finds of it."""

UNSEEN: Mapping[str, Mapping[str, str]] = {
    "plainchat": {},
    "ruoyi": {"crash_status": "Nothing fails unexpectedly unless a scenario says so."},
    "toolchat": {"slash_redirect": "A run calls paths as the spec has them, with the slash at their end."},
    "deskchat": {
        "message_count": "The counts differ while an answer is under way and after a failure; nothing adds them up.",
        "needs_api_key": "A stream may end with a failure, and the checks excuse what is missing then.",
        "task_id_exposed": "The header is for browsers; a spec does not document it, and a run is no page.",
    },
    "dify": {
        **dict.fromkeys(("internal_error_text", "not_found_hint", "variable_mismatch_text"), TEXT),
        **dict.fromkeys(("site_missing_text", "annotation_missing_text", "too_large_text"), TEXT),
        "too_many_requests": "Runs send one call at a time.",
        "upload_addresses": "The spec allows null for each of the three, since both kinds of reply are known.",
        "parent_message": "The spec allows null and a UUID, since both are known.",
    },
}
"""Backend → difference → why no run can see it."""


def differences(backend: str) -> dict[str, Difference]:
    """Those that have two different sides, by their names."""
    module = import_module(f"emulator.backends.{backend}.differences")
    found: Sequence[Difference] = module.DIFFERENCES
    return {one.name: one for one in found if not one.observed.startswith(RULING)}


@pytest.mark.parametrize("backend", SERVICES)
def test_each_difference_is_to_be_found_or_has_its_reason(backend: str) -> None:
    known, seen, unseen = differences(backend), SEEN[backend], UNSEEN[backend]
    assert seen.keys() | unseen.keys() == known.keys()
    assert seen.keys() & unseen.keys() == set()
    assert [name for name, one in seen.items() if one.says not in known[name].observed] == []
    assert all(why.endswith(".") for why in unseen.values())


@pytest.mark.parametrize("backend", SERVICES)
def test_what_is_to_be_found_names_operations_and_checks(backend: str) -> None:
    where = [part for one in SEEN[backend].values() for part in (one.at, one.perhaps)]
    assert {check for part in where for check in part} <= {*EXPECTED, *SHAPES}
    assert {id for part in where for ids in part.values() for id in ids} <= SERVICES[backend].document.operations.keys()


# ---- Runs ----


@dataclass(frozen=True, slots=True)
class Run:
    """What a run said, in the terminal and in its two files."""

    code: int
    out: str
    err: str
    suite: ET.Element
    page: str

    @property
    def findings(self) -> list[Found]:
        """All findings."""
        return [
            Found(
                str(case.get("name")).partition(" ")[0],
                str(failure.get("type")),
                _told(failure, "got"),
                _told(failure, "reply"),
            )
            for case in self.suite.iter("testcase")
            for failure in case.iter("failure")
        ]


def _told(failure: ET.Element, word: str) -> str:
    """A line of a finding, without its name."""
    lines = [line for line in str(failure.text).splitlines() if line.startswith(f"{word}: ")]
    return lines[0].partition(": ")[2] if lines else ""


def conform(backend: str, url: str, folder: Path, examples: int, seed: int = SEED, more: Sequence[str] = ()) -> Run:
    """The command, in a process of its own."""
    service = SERVICES[backend]
    junit, page = folder / "found.xml", folder / "found.html"
    headers = ["--header", f"Authorization: Bearer {BEARERS[backend]}"] if backend in BEARERS else []
    done = subprocess.run(
        [
            *(sys.executable, "-m", "emulator", "conform", backend, "--url", f"{url}/{backend}{service.bases()[0]}"),
            *("--examples", str(examples), "--seed", str(seed), "--junit", str(junit), "--report", str(page)),
            *(*headers, *more),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert junit.exists(), done.stdout + done.stderr
    return Run(
        done.returncode, done.stdout, done.stderr, ET.fromstring(junit.read_text("utf-8")), page.read_text("utf-8")
    )


def notes(run: Run) -> list[str]:
    """What stands between the table and the last line."""
    return [line for line in run.out.rpartition("\n\n")[2].splitlines() if line][:-1]


@pytest.mark.contract
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", SERVICES)
def test_nothing_is_found_in_the_emulator(backend: str, tmp_path: Path) -> None:
    with ThreadedServer(speed=0, backends=(backend,)) as server:
        run = conform(backend, server.url, tmp_path, examples=5)
    assert (run.code, run.findings) == (0, []), run.out
    assert notes(run) == []
    operations = len(SERVICES[backend].document.operations)
    assert re.search(rf"requests to {operations} operations in \d+ s, no findings$", run.out.strip())
    assert [run.suite.get(name) for name in ("tests", "failures", "skipped")] == [str(operations), "0", "0"]


@pytest.mark.contract
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", SERVICES)
def test_a_read_only_run_finds_nothing_in_the_emulator(backend: str, tmp_path: Path) -> None:
    with ThreadedServer(speed=0, backends=(backend,)) as server:
        run = conform(backend, server.url, tmp_path, examples=3, more=["--read-only"])
        entries = server.app.sessions.get("default").journal.entries
        reads = {one.id for one in SERVICES[backend].document.operations.values() if not changes(one)}
        sent = {entry.operation for entry in entries if entry.call.method not in ("GET", "HEAD", "OPTIONS")}
    assert (run.code, run.findings) == (0, []), run.out
    assert sent <= reads


def observed(backend: str, folder: Path, seed: int = SEED) -> tuple[Run, list[Found]]:
    """A run against the emulator as systems were observed, and all that was found: where a difference takes luck, its
    operations are called again, by other seeds."""
    with ThreadedServer(speed=0, backends=(backend,), profile="observed") as server:
        run = conform(backend, server.url, folder, examples=10, seed=seed)
        found = run.findings
        for seen in SEEN[backend].values():
            only = [part for ids in seen.perhaps.values() for id in ids for part in ("--only", id)]
            for other in range(seed * AGAIN + 1, (seed + 1) * AGAIN + 1):
                if seen.at or any(map(seen.fits, found)):
                    break
                again = conform(backend, server.url, folder, 60, other, [*only, "--phases", "fuzzing"])
                found += again.findings
    return run, found


AGAIN = 8
"""Times that calls are made again for the sake of one difference."""


def unexplained(backend: str, found: Sequence[Found]) -> list[Found]:
    """Findings that are of no known difference."""
    return [one for one in found if not any(seen.fits(one) for seen in SEEN[backend].values())]


def missing(backend: str, found: Sequence[Found]) -> list[tuple[str, str, str]]:
    """(difference, check, operation) of what should have been found, or (difference, "", "") for all of it."""
    none = [(name, "", "") for name, seen in SEEN[backend].items() if not any(map(seen.fits, found))]
    return none + [
        (name, check, operation)
        for name, seen in SEEN[backend].items()
        for check, operations in seen.at.items()
        for operation in operations
        if not any((one.check, one.operation) == (check, operation) and seen.fits(one) for one in found)
    ]


@pytest.mark.contract
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", SERVICES)
def test_the_known_differences_and_only_those_are_found(backend: str, tmp_path: Path) -> None:
    run, found = observed(backend, tmp_path)
    assert run.code == 1
    assert unexplained(backend, found) == []
    assert missing(backend, found) == []
    assert notes(run) == []


def test_a_finding_of_no_known_difference_is_told() -> None:
    crash = Found("listConversations", CRASH, "500 application/json; Server error", '{"error":"服务器内部错误"}')
    assert unexplained("plainchat", [crash]) == [crash]
    elsewhere = Found("getNextSuggestions", SCHEMA, '200 application/json; /data: 1 is not of type "array"', "{}")
    assert unexplained("plainchat", [elsewhere]) == [elsewhere]
    assert ("times", SCHEMA, "listConversations") in missing("plainchat", [crash, elsewhere])
    assert ("delete_needs_body", "", "") in missing("dify", [])


# ---- Broken servers ----

Shown = Callable[[list[str]], bool]


def _body(reply: str) -> str:
    """What curl prints below the head."""
    return reply.replace("\r\n", "\n").partition("\n\n")[2]


def _ended_nowhere(replies: list[str]) -> bool:
    return '"event":"message"' in replies[0] and not re.search('"event": ?"(message_end|error)"', replies[0])


def _answered_whoever(replies: list[str]) -> bool:
    listed, anyway = map(_body, replies)
    return bool(json.loads(listed)) and json.loads(anyway) == json.loads(listed)


def _still_there(replies: list[str]) -> bool:
    deleted, still = map(_body, replies)
    return "对话已删除" in deleted and bool(json.loads(still)["data"])


def _same_page_twice(replies: list[str]) -> bool:
    first, second = (json.loads(_body(reply))["data"]["list"] for reply in replies)
    return bool(first) and [one["id"] for one in first] == [one["id"] for one in second]


def _seen_by_another(replies: list[str]) -> bool:
    mine, *_, theirs = ([one["id"] for one in _items(reply)] for reply in replies)
    return bool(mine) and set(mine) & set(theirs) != set()


def _items(reply: str) -> list[dict[str, Any]]:
    data = json.loads(_body(reply)).get("data")
    items: list[dict[str, Any]] = data.get("items", []) if isinstance(data, dict) else []
    return items


@dataclass(frozen=True, slots=True)
class Fault:
    """One mutant as a real service: the check that has to find it; others that may, of the same operation; and how the
    replies to the printed lines show it."""

    mutant: str
    check: str
    shown: Shown
    others: frozenset[str] = frozenset()


FAULTS = (
    Fault("dify/sendChatMessage/end missing", "event_order", _ended_nowhere, frozenset({SCHEMA})),
    Fault("ruoyi/get_user_chats_api_ai_dify_chats_get/any token", AUTH, _answered_whoever),
    Fault("plainchat/deleteConversation/deleted still readable", GONE, _still_there),
    Fault(
        "deskchat/listConversations/page ignored",
        "paging_honoured",
        _same_page_twice,
        # A page of nought, which is ignored as well.
        frozenset({"negative_data_rejection"}),
    ),
    Fault("toolchat/listConversations/other user's data", ISOLATED, _seen_by_another),
)


def mutant_of(server: Server, name: str) -> Mutant:
    """One of the registry."""
    backend = server.service.name
    (found,) = (one for one in (*generic(backend, server.service, {}), *by_hand()) if one.name == name)
    return found


def again(block: str, backend: str) -> list[str]:
    """What the lines of a finding get when they are typed into a shell, in the order in which they were sent."""
    lines = [line.split(maxsplit=1) for line in block.splitlines()]
    calls = [line for word in ("before", "curl", "after") for name, line in lines[1:] if name == word]
    environment = {**os.environ, "AUTHORIZATION": f"Bearer {BEARERS.get(backend)}", "NO_PROXY": "*"}
    return [
        subprocess.run(
            ["sh", "-c", f"{call} -s"], env=environment, capture_output=True, text=True, timeout=20, check=True
        ).stdout
        for call in calls
    ]


@pytest.mark.contract
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.mutant).partition("/")[0])
def test_a_broken_server_is_found_out(fault: Fault, tmp_path: Path) -> None:
    backend, operation, _ = fault.mutant.split("/")
    server = Server(backend)
    with server.running():
        mutant = mutant_of(server, fault.mutant)
        assert fault.check in mutant.spec | mutant.checks
        server.wrapped.mutant = mutant
        run = conform(backend, server.url, tmp_path, examples=5)
        assert run.code == 1
        found = {(one.operation, one.check) for one in run.findings}
        assert (operation, fault.check) in found, run.out
        assert found <= {(operation, check) for check in (fault.check, *fault.others)}, "nothing else is blamed"
        head = re.search(rf"^\d+\. {operation} · \S+ \S+ · {fault.check}$", run.out, re.MULTILINE)
        assert head is not None
        replies = again(run.out[head.start() :].split("\n\n")[0], backend)
        assert fault.shown(replies), replies
    title = head[0].partition(". ")[2]
    assert any(str(one.text).startswith(title) for one in run.suite.iter("failure"))
    assert re.search(rf"<h2>\d+\. {re.escape(title)}</h2>", run.page)
    assert BEARERS.get(backend, "\n\n\n") not in run.out + run.page + ET.tostring(run.suite, encoding="unicode")
