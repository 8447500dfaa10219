"""A request as a line for the shell, and the words in it that nobody else should read.

The line is for a POSIX shell. Whoever runs it sets the variables that stand for secrets first.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Mapping
from itertools import takewhile
from urllib.parse import quote

from emulator.conform.outcome import Step

ADDED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "transfer-encoding",
        "user-agent",
        "x-schemathesis-probe",
        "x-schemathesis-testcaseid",
    }
)
"""Headers that every client has of its own."""
PLAIN = frozenset({"accept", "accept-language", "content-type", "prefer", "user-agent"})
"""Headers that may be given and are no secret, as are those of the emulator."""
SHORTEST = 6
"""Letters of a secret that is looked for in text; a shorter one would be found everywhere."""
CERTAIN = 16
"""Letters at the beginning of a secret by which it is known although the rest is missing: what quotes may shorten."""


class Secrets:
    """The headers that a person gave, each with the variable that stands for its value."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._variables: dict[str, tuple[str, str]] = {}
        self._words: list[tuple[str, str]] = []
        for name, value in headers.items():
            lower = name.lower()
            if lower in PLAIN or lower.startswith("x-emulator-") or not value:
                continue
            variable = "$" + re.sub(r"[^A-Z0-9]", "_", name.upper())
            self._variables[lower] = (value, variable)
            words = {value, value.partition(" ")[2]}
            if lower == "cookie":
                words |= {pair.partition("=")[2].strip() for pair in value.split(";")}
            self._words += [(form, variable) for word in words for form in _forms(word) if len(form) >= SHORTEST]
        self._words.sort(key=lambda word: -len(word[0]))

    def variable(self, header: str, value: str) -> str | None:
        """What stands for the value of a header; None when it is not what was given."""
        given = self._variables.get(header.lower())
        return given[1] if given is not None and given[0] == value else None

    def hide(self, text: str) -> str:
        """The text with a variable in the place of each secret, and of its beginning where it was cut off."""
        for word, variable in self._words:
            text = text.replace(word, variable)
        for word, variable in self._words:
            # What a scheme begins with (`Bearer`) is no secret; the rest is a word of its own.
            if " " in word:
                continue
            if len(word) > CERTAIN:
                before, *after = text.split(word[:CERTAIN])
                text = before + "".join(variable + part[_alike(word[CERTAIN:], part) :] for part in after)
            for length in range(min(len(word), CERTAIN), SHORTEST - 1, -1):
                if text.endswith(word[:length]):
                    text = text[:-length] + variable
                    break
        return text


def _alike(one: str, other: str) -> int:
    """How many letters two words have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _forms(word: str) -> set[str]:
    """A word as it comes back in JSON, in HTML and in URLs."""
    escaped = json.dumps(word)[1:-1]
    quoted = quote(word, safe="")
    return {word, escaped, escaped.replace("/", "\\/"), html.escape(word), html.escape(word, quote=False), quoted}


def curl(step: Step, secrets: Secrets) -> str:
    """The line that sends a request again."""
    parts = ["curl", "-i"]
    if re.search(r"[\[\]{}]", step.url):
        parts.append("-g")
    if re.search(r"/\.\.?(/|$|\?)", step.url):
        parts.append("--path-as-is")
    if step.method == "HEAD":
        parts.append("-I")
    elif step.method != "GET" or step.size:
        parts += ["-X", shlex.quote(step.method)]
    names = {name.lower() for name in step.headers}
    for name, value in step.headers.items():
        if name.lower() not in ADDED and (name.lower(), value) != ("accept", "*/*"):
            parts += ["-H", _header(name, value, secrets)]
    if "accept" not in names:
        parts += ["-H", "Accept:"]
    before = ""
    if step.size:
        if "content-type" not in names:
            parts += ["-H", "Content-Type:"]
        before, data = _body(step, secrets)
        parts += data
    parts.append(shlex.quote(secrets.hide(step.url)))
    return before + " ".join(parts)


def _header(name: str, value: str, secrets: Secrets) -> str:
    variable = secrets.variable(name, value)
    if variable is not None:
        # A name may have signs that mean something to the shell.
        plain = re.fullmatch(r"[\w.-]+", name, re.ASCII)
        return f'"{name}: {variable}"' if plain else f'{shlex.quote(f"{name}: ")}"{variable}"'
    if not value:
        return shlex.quote(f"{name};")
    text = secrets.hide(f"{name}: {value}")
    if text.isascii() and text.isprintable():
        return shlex.quote(text)
    escaped = "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in "\\%'" else f"\\{byte:03o}"
        for letter in text
        for byte in letter.encode("latin-1", "replace")
    )
    return f"\"$(printf '{escaped}')\""


def _body(step: Step, secrets: Secrets) -> tuple[str, list[str]]:
    """What stands before the command, and what is added to it."""
    if step.body is None:
        return f"# The body of {step.size} bytes is left out.\n", []
    try:
        text = step.body.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if text.replace("\n", " ").replace("\t", " ").isprintable():
        return "", ["--data-raw", shlex.quote(secrets.hide(text))]
    hidden = secrets.hide(step.body.decode("latin-1")).encode("latin-1")
    return f"printf %s {base64.b64encode(hidden).decode()} | base64 -d | ", ["--data-binary", "@-"]
