"""Blacking secrets out of what is shown of calls: in JSON (also in SSE, also cut off), forms, multipart and queries.

Works on texts, so that what is not secret stays as it was, byte by byte; JSON stays JSON. One pass, whatever the text.
Owns which names are secret. Not looked into: JSON that is itself a text inside JSON, and base64.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

HIDDEN = "…"

SECRET_HEADERS = frozenset(
    {"authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key", "api-key", "x-auth-token"}
)

SECRET_ENDS = (
    *("password", "passwd", "pwd", "passphrase", "secret", "token", "apikey", "privatekey"),
    *("authorization", "authentication", "credential"),
)
"""A name is secret when it ends in one of these, whatever its case and without `_`, `-` and blanks."""
MARKS = re.compile(r"[_\-. ]")
MOST_NAME = 200

# Only to pass by texts in which nothing can be secret; a name may be written with escapes.
SUSPECT = re.compile(
    r"passw|pwd|passphrase|secret|token|(?:api|private)[_\-. ]?key|authenti|authorization|credential|\\u00|%[4-7]",
    re.IGNORECASE,
)
# One JSON string, perhaps cut off, and whether a colon makes it a name.
STRING = re.compile(r'"((?:[^"\\]++|\\.)*+)(?:"|\\?\Z)(\s*:\s*)?', re.DOTALL)
BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
SCALAR = re.compile(r"[^\s,}\]]*")
PLAIN = ("null", "true", "false", "")
PAIR = re.compile(r"(?:\A|(?<=&))([^=&]*)=([^&]*)")
# A refusal may quote a form as a text.
FORM_IN_TEXT = re.compile(r"(?<![\w.%-])([\w.-]{2,60})=([^&\s\"\\]+)")
BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,100})"|([^\s;"]{1,100}))', re.IGNORECASE)
FIELD_NAME = re.compile(r'\bname="([^"\r\n]*)"', re.IGNORECASE)
COUNTED = re.compile(r"-?[0-9]")


def is_secret(name: str) -> bool:
    """Whether what stands under this name is not shown."""
    return len(name) <= MOST_NAME and MARKS.sub("", name).casefold().endswith(SECRET_ENDS)


def headers(given: Mapping[str, str]) -> dict[str, str]:
    """Headers without secrets."""
    return {
        name: HIDDEN if name.lower() in SECRET_HEADERS or is_secret(name) else value for name, value in given.items()
    }


def query(text: str) -> str:
    """A query string or a form without secrets."""
    if not SUSPECT.search(text):
        return text
    return PAIR.sub(lambda pair: f"{pair[1]}={HIDDEN}" if is_secret(unquote_plus(pair[1])) else pair[0], text)


def body(text: str, content_type: str) -> str:
    """A body without secrets. What is neither a form nor multipart is taken for JSON, or for a text with JSON in it."""
    if not SUSPECT.search(text):
        return text
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return query(text)
    if kind.startswith("multipart/"):
        boundary = BOUNDARY.search(content_type)
        if boundary is not None:
            mark = f"--{boundary[1] or boundary[2]}"
            return mark.join(_part(one) for one in text.split(mark))
    return json_text(text)


def _part(part: str) -> str:
    head, blank, _ = part.partition("\r\n\r\n")
    name = FIELD_NAME.search(head)
    return f"{head}{blank}{HIDDEN}\r\n" if blank and name is not None and is_secret(name[1]) else part


def json_text(text: str) -> str:
    """A text with JSON in it, without secrets."""
    pieces: list[str] = []
    done = 0
    for found in STRING.finditer(text):
        if found.start() < done or found[2] is None or not is_secret(_name(found[1])):
            continue
        end = _end_of_value(text, found.end())
        if not _open(_name(found[1]), text[found.end() : end]):
            pieces += [text[done : found.end()], f'"{HIDDEN}"']
            done = end
    return FORM_IN_TEXT.sub(_pair, "".join(pieces) + text[done:] if pieces else text)


def _pair(found: re.Match[str]) -> str:
    return f"{found[1]}={HIDDEN}" if is_secret(found[1]) else found[0]


def _open(name: str, text: str) -> bool:
    """Whether a value can be shown although its name is secret: numbers tell how many tokens, or how long they took."""
    return text in PLAIN or (COUNTED.match(text) is not None and name.casefold().endswith("token"))


def _name(raw: str) -> str:
    if "\\" not in raw or len(raw) > MOST_NAME * 6:
        return raw
    try:
        return str(json.loads(f'"{raw}"', strict=False))
    except ValueError:
        return raw


def _end_of_value(text: str, at: int) -> int:
    """Where the JSON value that begins at `at` ends; the end of the text when it is cut off."""
    first = text[at : at + 1]
    if first not in ("{", "["):
        found = (STRING if first == '"' else SCALAR).match(text, at)
        assert found is not None
        return found.start(2) if first == '"' and found[2] is not None else found.end()
    depth = 0
    for found in BRACKET_OR_STRING.finditer(text, at):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    return len(text)


def value(given: Any) -> Any:
    """A JSON value without secrets; the same value where there are none."""
    if isinstance(given, str):
        return json_text(given) if SUSPECT.search(given) else given
    if isinstance(given, dict):
        changed = {name: _member(name, member) for name, member in given.items()}
        return changed if any(changed[name] is not member for name, member in given.items()) else given
    if isinstance(given, list | tuple):
        items = [value(item) for item in given]
        return items if any(new is not old for new, old in zip(items, given, strict=True)) else given
    return given


def _member(name: Any, member: Any) -> Any:
    if not isinstance(name, str) or not is_secret(name) or member is None or isinstance(member, bool):
        return value(member)
    return member if isinstance(member, int | float) and name.casefold().endswith("token") else HIDDEN
