"""What was expected and which documented sentence is broken, for a finding of any check.

Checks of our own say it themselves. For a schema it is the description that stands nearest above the broken keyword;
for the rest it is a sentence for the check, and what the operation documents.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.conform.outcome import NO_REPLY, UNTESTABLE, Finding
from emulator.conform.plan import label
from emulator.contract.document import Document, Operation, resolve

EXPECTED: Mapping[str, str] = {
    NO_REPLY: "Every call gets a whole reply.",
    UNTESTABLE: "Calls can be made of what the spec says.",
    "not_a_server_error": "No call is answered with a 5xx.",
    "status_code_conformance": "A reply has a status that is documented for the operation.",
    "content_type_conformance": "A reply has a media type that is documented for its status.",
    "response_headers_conformance": "A reply has the headers that are documented for its status, as documented.",
    "response_schema_conformance": "A reply is as the schema of its status says.",
    "negative_data_rejection": "A call that the spec does not allow is refused with a 4xx.",
    "positive_data_acceptance": "A call that the spec allows is not refused as malformed.",
    "missing_required_header": "A call without a required header is refused.",
    "unsupported_method": "A method that is not documented is refused with 405, and Allow names those that are.",
    "allow_header_conformance": "Allow in the reply to OPTIONS names the documented methods.",
    "use_after_free": "What was deleted is gone.",
    "ensure_resource_availability": "What was created is there.",
    "ignored_auth": "A call without a valid credential is refused.",
}
AT = re.compile(r"^Schema at (/\S+):$", re.MULTILINE)
MOST = 400
"""Letters of what a finding says in a line."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a finding is about. `place` points into the spec, `sentence` is what stands there."""

    expected: str
    got: str
    place: str
    sentence: str


def said(document: Document, finding: Finding, sentences: Mapping[str, str]) -> Said:
    """Expected, got, and the sentence broken."""
    about = finding.about
    operation = next((one for one in document.operations.values() if label(one) == finding.operation), None)
    expected = about.get("sentence") or sentences.get(finding.check) or EXPECTED.get(finding.check) or finding.title
    place, sentence = _documented(document, operation, finding)
    sentence = str(about.get("said") or sentence)
    return Said(expected, _got(finding), place, sentence)


def _got(finding: Finding) -> str:
    about = finding.about
    words = about.get("what") or about.get("validation_message") or _joined(_first(finding.message)) or finding.title
    if about.get("instance_path"):
        words = f"{_pointer(about['instance_path'])}: {words}"
    if finding.reply is not None:
        media = f" {finding.reply.type}" if finding.reply.type else ""
        words = f"{finding.reply.status}{media}; {words}"
    return _short(words)


def _first(message: str) -> str:
    """A message up to what quotes whole schemas and values."""
    return re.split(r"\n\s*(?:Schema(?: at \S+)?|Value):\n", message)[0]


def _joined(message: str) -> str:
    """The lines of a message as one."""
    return "; ".join(line.strip() for line in message.splitlines() if line.strip())


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= MOST else words[: MOST - 1] + "…"


def _documented(document: Document, operation: Operation | None, finding: Finding) -> tuple[str, str]:
    if operation is None:
        return "", ""
    if "schema_path" in finding.about and finding.reply is not None:
        found = _schema(document, operation, finding)
        if found is not None:
            return found
    parts = (*operation.pointer, *PLACES.get(finding.check, ()))
    if finding.check in OF_RESPONSES:
        statuses = [
            f"{status} {_short(str(one.get('description', '')))}" for status, one in operation.responses.items()
        ]
        return _place(parts), _short("documented: " + "; ".join(statuses))
    return _place(parts), _short(str(operation.raw.get("description") or operation.raw.get("summary") or ""))


OF_RESPONSES = frozenset({"status_code_conformance", "content_type_conformance", "not_a_server_error"})
PLACES: Mapping[str, tuple[str, ...]] = dict.fromkeys(OF_RESPONSES, ("responses",))


def _schema(document: Document, operation: Operation, finding: Finding) -> tuple[str, str] | None:
    """Place and description of a broken keyword, from the pointer that is named or from the schema of the reply."""
    path = list(finding.about["schema_path"])
    named = AT.search(finding.message)
    if named is not None and named[1].startswith("/components/"):
        keyword = path[-1:] if path else []
        return _walk(document.raw, [*map(_unescaped, named[1][1:].split("/")), *keyword], ())
    assert finding.reply is not None
    status = str(finding.reply.status)
    key = next((one for one in (status, f"{status[0]}XX", "default") if one in operation.responses), None)
    if key is None:
        return None
    at: list[Any] = [*operation.pointer, "responses", key]
    content = operation.responses[key].get("content") or {}
    media = finding.reply.type.partition(";")[0].strip()
    media = media if media in content else next(iter(content), "")
    if finding.check == "response_schema_conformance" and media:
        return _walk(document.raw, [*at, "content", media, "schema"], path)
    return _place(at), _short(str(operation.responses[key].get("description", "")))


def _walk(raw: Mapping[str, Any], start: Sequence[Any], path: Sequence[Any]) -> tuple[str, str]:
    """Follow a path with its references; the place it ends at, and the description met last."""
    value: Any = raw
    place: list[Any] = []
    description = ""
    for part in [*start, *path]:
        if isinstance(value, Mapping) and "$ref" in value and part != "$ref":
            place = [_unescaped(one) for one in str(value["$ref"]).removeprefix("#/").split("/")]
            value = resolve(raw, value)
            description = _described(value) or description
        if part == "$ref":
            continue
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
        place.append(part)
        description = _described(value) or description
    return _place(place), _short(description)


def _described(value: Any) -> str:
    found = value.get("description") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""


def _place(parts: Sequence[Any]) -> str:
    return "#" + _pointer(parts)


def _pointer(parts: Sequence[Any]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def shown(body: str, hide: Callable[[str], str]) -> str:
    """The beginning of a reply on one line, with nothing in it that was to be hidden."""
    with contextlib.suppress(ValueError, RecursionError):
        body = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":"))
    return _short(hide(body))


def plain(text: str) -> str:
    """The text without what could move a terminal's cursor, or stands for no character."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )
