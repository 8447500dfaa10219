"""Pages of the documentation that nobody writes: one per backend, one that lists them, the control API's operations.

Made from specs, backends and scenarios whenever the documentation is built, so that they say what the server does.
Pure: returns Markdown by path. `python scripts/backend_pages.py PATH` prints one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from emulator.app import open_services
from emulator.backends import Difference
from emulator.contract.document import Document, Operation
from emulator.control.api import SPEC
from emulator.rehearsal import Frame, Rehearsal
from emulator.service import Service
from emulator.settings import Settings
from emulator.streams.scenario import Scenario
from emulator.streams.shelf import ANY

FOLDER = "backends"
ADDRESS = "http://127.0.0.1:8787"
SHOWN_FRAMES = 2
"""Pieces of an answer that are shown, before the last one."""
LONGEST_FRAME = 240
EXAMPLE = "default"
"""The scenario whose answer is shown: a short one, which every backend can give."""

ABOUT_ALL = """\
{operations} operations of {backends} backends. Each page is made from the backend's OpenAPI document, its module and
its scenario files when this documentation is built."""
ALONE = """\
With a single backend chosen (`chat-emulator serve dify`) it also answers at the documented place, without its name in
front. A backend of your own is a spec, a module and a scenario folder: [contributing](../contributing.md)."""
ABOUT_OPERATIONS = """\
All {operations} of the document; each keeps state and answers as the document promises. Any documented reply can be had
on an otherwise well-formed call: `Prefer: code=STATUS, example=NAME`, with the names below."""
ABOUT_SCENARIOS = """\
What an answer can be made to do: the header `X-Emulator-Scenario: NAME`, `/scenario NAME` as the text of the chat, or
[armed](../control.md). This backend can say these [steps](../scenario-language.md#steps): {steps}."""
ABOUT_PROFILES = """\
The profile decides: `--profile documented` (the default) or `--profile observed`; for one session, a `PATCH`."""


def pages() -> dict[str, str]:
    """Path below `docs/` → Markdown. The list comes first."""
    services = open_services(Settings())
    made = {f"{FOLDER}/index.md": _list(services)}
    return made | {f"{FOLDER}/{name}.md": _page(service) for name, service in services.items()}


def control_operations() -> str:
    """The operations of the control API, as tables."""
    from emulator.contract.document import open_document

    return "\n".join(_operations(open_document(SPEC), "/_emulator", "###"))


def _list(services: Mapping[str, Service]) -> str:
    rows = [
        (
            f"[`{name}`]({name}.md)",
            service.backend.title,
            f"`/{name}{service.bases()[0]}`",
            str(len(service.document.operations)),
            str(len(service.scenarios.names())),
            str(len(service.backend.differences)),
        )
        for name, service in services.items()
    ]
    counted = sum(len(service.document.operations) for service in services.values())
    text = [
        "# Backends",
        ABOUT_ALL.format(operations=counted, backends=len(services)),
        *_table(("backend", "what it is", "base URL", "operations", "scenarios", "differences"), rows),
        ALONE,
    ]
    return "\n\n".join(text) + "\n"


def _page(service: Service) -> str:
    name, backend, document = service.name, service.backend, service.document
    text = [
        f"# {backend.title}",
        "\n\n".join(filter(None, (document.raw["info"].get("summary"), document.raw["info"].get("description")))),
        *_addresses(service),
        *_credentials(service),
        "## A call",
        *_call(service),
        "## Operations",
        ABOUT_OPERATIONS.format(operations=len(document.operations)),
        *_operations(document, f"/{name}{service.bases()[0]}", "###", backend.chat_text),
        *_extras(service),
        "## Scenarios",
        ABOUT_SCENARIOS.format(steps=", ".join(f"`{word}`" for word in sorted(backend.speaks))),
        *_scenarios(service),
        *_differences(backend.differences),
    ]
    return "\n\n".join(text) + "\n"


def _addresses(service: Service) -> Iterator[str]:
    bases = [f"`/{service.name}{base}`" for base in service.bases()]
    rows = [
        *([("where on the server", ", also ".join(bases))] if len(bases) > 1 else []),
        ("contract", f"OpenAPI {service.document.raw['openapi']}: `/{service.name}/openapi.json`, `.yaml`"),
        ("serve it alone", f"`chat-emulator serve {service.name}`, then also at `{service.bases()[0] or '/'}`"),
    ]
    yield _rows(("base URL", f"`{ADDRESS}/{service.name}{service.bases()[0]}`"), rows)


def _credentials(service: Service) -> Iterator[str]:
    yield "## Who is let in"
    credentials = service.backend.credentials
    if not credentials:
        yield "Everybody: this API has no accounts."
        return
    yield from _table(("what to send", "who that is"), [(f"`{one.value}`", one.what) for one in credentials])
    if service.document.raw.get("security"):
        yield f"Anything else is refused. `--key {service.name}:MINE=ACCOUNT` lets one more key in."


# ---- a call


def _call(service: Service) -> Iterator[str]:
    """The first operation that streams, called with its own example, and what comes back of a short scenario."""
    rehearsal = Rehearsal(service)
    operation = rehearsal.answering()[0]
    ask = rehearsal.ask(operation)
    assert ask is not None, operation.id
    scenario = service.scenarios.get(EXAMPLE)
    played = rehearsal.play(operation, scenario.unfold(rehearsal.scene(operation)).steps)
    assert played is not None, operation.id
    call = ask.call
    query = f"?{call.query.decode()}" if call.query else ""
    lines = [f"$ curl -N '{ADDRESS}/{service.name}{call.path}{query}'"]
    if call.method != "POST":
        lines[0] += f" -X {call.method}"
    headers = [f"X-Emulator-Scenario: {EXAMPLE}"]
    told = ("authorization", "content-type") if _is_guarded(service.document, operation) else ("content-type",)
    headers += [f"{name.title()}: {value}" for name, value in call.headers.items() if name in told]
    lines += [f"    -H '{header}'" for header in headers]
    lines += [f"    -d '{_body(call.body)}'"] if call.body else []
    *first, last = [frame for frame in played.frames if frame.bytes]
    shown = [*map(_frame, first[:SHOWN_FRAMES]), "…\n", _frame(last)]
    yield f"`{operation.id}` with the document's own example (scenario `{EXAMPLE}`):"
    yield "```console\n" + " \\\n".join(lines) + "\n" + "".join(shown).rstrip("\n") + "\n```"


def _is_guarded(document: Document, operation: Operation) -> bool:
    return bool(operation.raw.get("security", document.raw.get("security")))


def _body(body: bytes) -> str:
    return json.dumps(json.loads(body), ensure_ascii=False).replace("'", "'\\''")


def _frame(frame: Frame) -> str:
    # Seconds of the clock are the one thing that is another at each reader's.
    text = re.sub(r'("created_at":)\d+', r"\1…", frame.bytes.decode("utf-8"))
    return text if len(text) <= LONGEST_FRAME else text[:LONGEST_FRAME] + "…\n\n"


# ---- operations


def _operations(document: Document, base: str, level: str, chat_text: Mapping[str, str] | None = None) -> Iterator[str]:
    """By tag, in the order of the document: a table, and the errors of each operation."""
    said = {tag["name"]: tag.get("description", "") for tag in document.raw.get("tags", ())}
    by_tag: dict[str, list[Operation]] = {tag: [] for tag in said}
    for operation in document.operations.values():
        by_tag.setdefault((operation.raw.get("tags") or [""])[0], []).append(operation)
    for tag, operations in by_tag.items():
        if operations:
            yield f"{level} {tag[:1].upper()}{tag[1:]}"
            yield said.get(tag, "")
            rows = [_operation(one, base, chat_text or {}) for one in operations]
            yield from _table(("call", "what it does", "replies"), rows)
            yield from _errors(document, operations)


def _operation(operation: Operation, base: str, chat_text: Mapping[str, str]) -> tuple[str, ...]:
    notes = ["**streams**"] if operation.streams or _is_chunked(operation) else []
    notes += ["plays scenarios"] if operation.id in chat_text else []
    does = operation.raw.get("summary", "")
    return (
        f"**{operation.method}** `{base}{operation.path}`<br>`{operation.id}`",
        f"{does} ({', '.join(notes)})" if notes else does,
        " ".join(operation.responses),
    )


def _is_chunked(operation: Operation) -> bool:
    """Whether an answer is text without frames."""
    return any("text/plain" in (one.get("content") or {}) for one in operation.responses.values())


def _errors(document: Document, operations: Sequence[Operation]) -> Iterator[str]:
    """What can be preferred, folded away: some APIs document dozens."""
    lines = [
        '??? note "Errors that are documented, and can be preferred"',
    ]
    for operation in operations:
        failing = {status: one for status, one in operation.responses.items() if not status.startswith("2")}
        lines += ["", f"    `{operation.id}`", ""]
        for status, response in failing.items():
            names = ", ".join(f"`{name}`" for name in document.examples(operation, status))
            says = " ".join(str(response.get("description", "")).split())
            lines.append(f"    - **{status}** {says}{f' ({names})' if names else ''}")
    yield "\n".join(lines)


def _extras(service: Service) -> Iterator[str]:
    extras = service.backend.extras
    if extras:
        yield "### Beyond the document"
        yield "What the real system answers as well, and clients of it use:"
        rows = [(f"**{one.method}** `/{service.name}{one.path}`", one.summary) for one in extras]
        yield from _table(("call", "what it does"), rows)


# ---- scenarios and differences


def _scenarios(service: Service) -> Iterator[str]:
    own: list[Scenario] = []
    shared: list[Scenario] = []
    for scenario in service.scenarios.all():
        (shared if service.scenarios.file(scenario.name).parent.name == ANY else own).append(scenario)
    if own:
        yield "### Of this backend"
        yield from _table(("scenario", "what happens", "for"), [(*_scenario(one), _whom(one)) for one in own])
    yield "### Of every backend"
    yield from _table(("scenario", "what happens"), map(_scenario, shared))


def _scenario(scenario: Scenario) -> tuple[str, str]:
    return f"`{scenario.name}`", " ".join(scenario.description.split())


def _whom(scenario: Scenario) -> str:
    if scenario.operation is not None:
        return f"`{scenario.operation}`"
    return "operations that give an answer" if scenario.speaks else "every operation"


def _differences(differences: Sequence[Difference]) -> Iterator[str]:
    yield "## Where document and running system disagree"
    if not differences:
        yield "Nowhere that is known."
        return
    alike = [one for one in differences if one.observed.startswith("the same")]
    other = [one for one in differences if one not in alike]
    if other:
        yield ABOUT_PROFILES
        rows = [(f"`{one.name}`", one.documented, one.observed) for one in other]
        yield from _table(("difference", "documented", "observed"), rows)
    if alike:
        yield "### The same in both profiles"
        yield "Where sources differ, and clients need one of them:"
        done = [(f"`{one.name}`", f"{one.documented}{one.observed.removeprefix('the same')}") for one in alike]
        yield from _table(("question", "what is done"), done)


# ---- Markdown


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _rows(head, rows)


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: Any) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


if __name__ == "__main__":
    print(pages()[sys.argv[1]], end="")
