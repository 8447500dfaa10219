r"""Conversations as files and back: JSON, Markdown, plain text. Pure.

What a writer wrote its reader reads again without loss, apart from uuids, and in Markdown and plain text apart from
configurations, metadata, kinds of messages and the conversation's own times; line breaks in titles become blanks.
All times are to the second. Lines end in "\n" only, so every other character may stand in a text. FACTS.md 003 leaves
the formats open; they are ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from emulator.backends.deskchat import times
from emulator.backends.deskchat.records import Conversation, Json, Message
from emulator.contract.door import Unreadable, read_json
from emulator.jsontext import compact

ROLES = ("user", "assistant", "system")
MESSAGE_TYPES = ("text", "image", "file")
LINE_BREAKS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_SAID = rf"({'|'.join(ROLES)})"
MARKDOWN_HEADING = re.compile(rf"## {_SAID} ({times.MOMENT.pattern})\s*")
TEXT_LINE = re.compile(rf"\[({times.MOMENT.pattern})\] {_SAID}: (.*)", re.DOTALL)
TITLE, DESCRIPTION = "标题: ", "描述: "

Written = tuple[Conversation, Sequence[Message]]
T = TypeVar("T")


class Unusable(Exception):
    """A file that no export wrote."""


MOST_LINES = 500_000
"""Lines of a file that are looked at one by one."""


class TooMany(Exception):
    """A file with more conversations and messages than can be kept."""


@dataclass(frozen=True, slots=True)
class Line:
    """A message in a file. Times are Unix seconds, None where the file has none."""

    role: str = "user"
    content: str = ""
    message_type: str = "text"
    metadata: Json | None = None
    created_at: float | None = None


@dataclass(slots=True)
class Talk:
    """A conversation in a file; what is None is not in it."""

    title: str | None = None
    description: str | None = None
    config: Json = field(default_factory=dict)
    created_at: float | None = None
    updated_at: float | None = None
    lines: list[Line] = field(default_factory=list)


def read(data: bytes, most: int) -> list[Talk]:
    """The conversations of a file of any format, told by how it begins. Raises Unusable, and TooMany when there are
    more than `most` conversations and messages."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable from error
    if text[:1_000].lstrip().startswith(("{", "[")):
        talks = _from_json(text)
    elif text.startswith("# "):
        talks = _from_markdown(_lines(text))
    elif text.startswith(TITLE):
        talks = _from_text(_lines(text))
    else:
        raise Unusable
    found, count = [], 0
    for talk in talks:
        count += 1 + len(talk.lines)
        if count > most:
            raise TooMany
        found.append(talk)
    return found


def _lines(text: str) -> list[str]:
    """The lines of a file. A first line has no line break in it, so if it ends in CR an editor has rewritten all line
    ends."""
    if text.count("\n") > MOST_LINES:
        raise TooMany
    if text.partition("\n")[0].endswith("\r"):
        text = text.replace("\r\n", "\n")
    return text.split("\n")


# --- JSON --------------------------------------------------------------------------------------------------


def as_json(written: Written) -> dict[str, Any]:
    """A conversation as an object."""
    conversation, messages = written
    return {
        "uuid": conversation.id,
        "title": conversation.title,
        "description": conversation.description,
        "config": conversation.config,
        "created_at": times.shown(conversation.created_at),
        "updated_at": times.shown(conversation.updated_at),
        "messages": [
            {
                "uuid": one.id,
                "role": one.role,
                "content": one.content,
                "message_type": one.message_type,
                "message_metadata": one.metadata,
                "created_at": times.shown(one.created_at),
            }
            for one in messages
        ],
    }


def _from_json(text: str) -> Iterator[Talk]:
    try:
        value = read_json(text.encode())
    except Unreadable as error:
        raise Unusable from error
    for one in value if isinstance(value, list) else [value]:
        members = _object(one)
        yield Talk(
            title=_member(members, "title", str),
            description=_member(members, "description", str),
            config=_member(members, "config", dict) or {},
            created_at=_moment(members, "created_at"),
            updated_at=_moment(members, "updated_at"),
            lines=[_line(_object(message)) for message in _member(members, "messages", list) or ()],
        )


def _line(members: Mapping[str, Any]) -> Line:
    role = _member(members, "role", str) or "user"
    kind = _member(members, "message_type", str) or "text"
    if role not in ROLES or kind not in MESSAGE_TYPES:
        raise Unusable
    metadata = _member(members, "message_metadata", dict)
    return Line(role, _member(members, "content", str) or "", kind, metadata, _moment(members, "created_at"))


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unusable
    return value


def _member(members: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    value = members.get(name)
    if value is not None and not isinstance(value, kind):
        raise Unusable
    return value


def _moment(members: Mapping[str, Any], name: str) -> float | None:
    text = _member(members, name, str)
    return None if text is None else _seconds(text)


def _seconds(text: str) -> float:
    try:
        return times.read(text)
    except ValueError as error:
        raise Unusable from error


# --- Markdown ----------------------------------------------------------------------------------------------


def as_markdown(written: Written) -> str:
    r"""A heading with the title, the description as a quote, per message a heading with role and time and its text.
    Blocks are a blank line apart. A line of a text that begins with `#` or `\` gets a `\` in front."""
    conversation, messages = written
    blocks = ["# " + LINE_BREAKS.sub(" ", conversation.title)]
    if conversation.description is not None:
        blocks.append("\n".join("> " + line for line in conversation.description.split("\n")))
    for one in messages:
        lines = ("\\" + line if line.startswith(("#", "\\")) else line for line in one.content.split("\n"))
        blocks += [f"## {one.role} {times.shown(one.created_at)}", "\n".join(lines)]
    return "\n\n".join(blocks) + "\n"


def _from_markdown(lines: Sequence[str]) -> Iterator[Talk]:
    talk = Talk()
    for start, end in _blocks(lines, lambda line: line.startswith("#")):
        head, body = lines[start], lines[start + 1 : end]
        said = MARKDOWN_HEADING.fullmatch(head)
        if said is not None:
            content = _without_edges(body)
            text = "\n".join(line[1:] if line.startswith("\\") else line for line in content)
            talk.lines.append(Line(said[1], text, created_at=_seconds(said[2])))
        elif head.startswith("# "):
            if talk.title is not None:
                yield talk
            talk = Talk(title=head[2:], description=_quote(body))
        else:
            raise Unusable
    yield talk


def _without_edges(lines: Sequence[str]) -> Sequence[str]:
    """The lines of a text without the blank line behind its heading and the one in front of the next."""
    start = 1 if lines and not lines[0] else 0
    end = len(lines) - 1 if len(lines) > start and not lines[-1] else len(lines)
    return lines[start:end]


def _quote(lines: Sequence[str]) -> str | None:
    quoted = []
    for line in lines:
        if line.startswith(">"):
            quoted.append(line[2:])
        elif line.strip():
            raise Unusable
    return "\n".join(quoted) if quoted else None


def _blocks(lines: Sequence[str], begins: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """First line and end of each part that begins at such a line; the first line of all is one."""
    start = 0
    for at in range(1, len(lines)):
        if begins(lines[at]):
            yield start, at
            start = at
    yield start, len(lines)


# --- plain text --------------------------------------------------------------------------------------------


def as_text(written: Written) -> str:
    """A line with the title, one with the description, an empty line, a line per message. Further lines of a text are
    indented by two blanks."""
    conversation, messages = written
    lines = [TITLE + LINE_BREAKS.sub(" ", conversation.title)]
    if conversation.description is not None:
        lines.append(DESCRIPTION + _indented(conversation.description))
    if messages:
        lines.append("")
    lines += [f"[{times.shown(one.created_at)}] {one.role}: {_indented(one.content)}" for one in messages]
    return "\n".join(lines) + "\n"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _from_text(lines: Sequence[str]) -> Iterator[Talk]:
    talk = Talk()
    for start, end in _blocks(lines, lambda line: line != "" and not line.startswith("  ")):
        head = lines[start]
        # Empty lines stand between parts only: an empty line of a text has its two blanks.
        further = [line[2:] for line in lines[start + 1 : end] if line]
        said = TEXT_LINE.fullmatch(head)
        if head.startswith(TITLE):
            if talk.title is not None:
                yield talk
            if further:
                raise Unusable
            talk = Talk(title=head.removeprefix(TITLE))
        elif said is not None:
            content = "\n".join([said[3], *further])
            talk.lines.append(Line(said[2], content, created_at=_seconds(said[1])))
        elif head.startswith(DESCRIPTION) and talk.description is None and not talk.lines:
            talk.description = "\n".join([head.removeprefix(DESCRIPTION), *further])
        else:
            raise Unusable
    yield talk


def write(format: str, written: Sequence[Written], many: bool) -> bytes:
    """The file of one or several conversations, in one of the formats `json`, `markdown` and `txt`."""
    if format == "json":
        return compact([as_json(one) for one in written] if many else as_json(written[0]))
    one_file = as_markdown if format == "markdown" else as_text
    return "\n".join(one_file(one) for one in written).encode()
