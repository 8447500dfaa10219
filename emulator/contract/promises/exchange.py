"""One call and its reply, as the checks look at them: what was really sent, whatever it was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

from emulator.contract.promises.frames import Frames, read_frames
from emulator.contract.promises.values import MISSING, path_values

BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
HEAD = re.compile(
    rb'\r\ncontent-disposition: form-data; name="([^"]*)"(; filename\*?=[^\r\n]*)?(\r\n|$)', re.IGNORECASE
)


@dataclass(frozen=True)
class Exchange:
    """A call and its reply. `template` is the path in the spec, `url` what was sent; names of headers are in small
    letters. `cut_short` means that reading a stream was given up before its end."""

    template: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    reply_headers: Mapping[str, str]
    content: bytes
    cut_short: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the reply is a success."""
        return 200 <= self.status < 300

    @property
    def base(self) -> str:
        """The address in front of the spec's paths."""
        parts = urlsplit(self.url)
        segments = parts.path.split("/")
        return f"{parts.scheme}://{parts.netloc}" + "/".join(segments[: -(len(self.template.split("/")) - 1)])

    @cached_property
    def path_values(self) -> dict[str, str]:
        """The path's parameters as sent."""
        return path_values(self.template, urlsplit(self.url).path)

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """The query as sent."""
        return parse_qs(urlsplit(self.url).query, keep_blank_values=True)

    @cached_property
    def sent(self) -> Any:
        """The body as sent: JSON, or the fields of a form; MISSING where it is neither. A field that is there twice is
        left out: nobody knows which of them the server took."""
        kind = media_type(self.headers)
        if kind == "multipart/form-data":
            parts = {name: [part for part, is_file in parts if not is_file] for name, parts in self.parts.items()}
            return {name: found[0].decode("utf-8", "replace") for name, found in parts.items() if len(found) == 1}
        if kind == "application/x-www-form-urlencoded":
            fields = parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)
            return {name: values[0] for name, values in fields.items() if len(values) == 1}
        return as_json(self.body)

    @cached_property
    def unclear(self) -> frozenset[str]:
        """Fields of a form that are there more than once, or once as text and once as a file."""
        kind = media_type(self.headers)
        if kind == "multipart/form-data":
            return frozenset(name for name, parts in self.parts.items() if len(parts) > 1)
        if kind == "application/x-www-form-urlencoded":
            fields = parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)
            return frozenset(name for name, values in fields.items() if len(values) > 1)
        return frozenset()

    @cached_property
    def parts(self) -> dict[str, list[tuple[bytes, bool]]]:
        """The parts of a multipart body as sent: name → (bytes, whether it is a file), in order."""
        found = BOUNDARY.search(self.headers.get("content-type", ""))
        parts: dict[str, list[tuple[bytes, bool]]] = {}
        if found is None:
            return parts
        # The first piece is the preamble; each of the others begins with the end of the delimiter's line.
        for piece in (b"\r\n" + self.body).split(b"\r\n--" + found[1].encode())[1:]:
            head, _, content = piece.partition(b"\r\n\r\n")
            if piece.startswith(b"--"):
                break
            told = HEAD.match(head)
            # A part whose name can be read in two ways: the server may have read it otherwise.
            if told is None:
                return {}
            parts.setdefault(told[1].decode("utf-8", "replace"), []).append((content, told[2] is not None))
        return parts

    @cached_property
    def reply(self) -> Any:
        """The reply's body as JSON; MISSING where it is none."""
        kind = media_type(self.reply_headers)
        return as_json(self.content) if kind == "application/json" or kind.endswith("+json") else MISSING

    @property
    def is_stream(self) -> bool:
        """Whether the reply came as events."""
        return media_type(self.reply_headers) == "text/event-stream"

    @cached_property
    def frames(self) -> Frames:
        """The reply's events."""
        return read_frames(self.content)

    def line(self) -> str:
        """The call in a line, without its headers."""
        return f"{self.method} {self.url} → {self.status}"


def media_type(headers: Mapping[str, str]) -> str:
    """The media type that headers name, without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def as_json(content: bytes) -> Any:
    """Bytes as JSON, MISSING where they are none."""
    try:
        return json.loads(content) if content else MISSING
    except (ValueError, RecursionError):
        return MISSING


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A further call. `headers` replace those of the first call of the same names; `url` is an address that the server
    itself named, and then nothing else counts."""

    operation: str = ""
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = MISSING
    url: str | None = None


Ask = Callable[[FollowUp], Exchange | None]
"""Sends a follow-up; None when it may not be sent, and then nothing is concluded."""
TOO_MANY_REQUESTS = 429


def answered(ask: Ask, follow_up: FollowUp) -> Exchange | None:
    """The reply to a follow-up. None where nothing can be concluded: it was not sent, or a server that is busy or
    broken answered it. That an operation breaks is found when it is called itself."""
    reply = ask(follow_up)
    return None if reply is None or reply.status == TOO_MANY_REQUESTS or reply.status >= 500 else reply
