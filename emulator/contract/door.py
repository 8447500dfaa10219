"""What JSON and HTTP allow at all, before any schema is asked. Pure; raises only `Unreadable`.

JSON: RFC 8259 in UTF-8 without a BOM, and beyond it no duplicate keys, no numbers outside a double or of thousands
of digits, no lone surrogates, no nesting deeper than `MOST_DEPTH`: such bodies cannot be stored and sent again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from emulator.call import Part

MOST_DEPTH = 100
MOST_DIGITS = 400
MOST_PARTS = 1_000
MOST_VALUES = 200_000
"""Values in one JSON body: judging more would keep everybody else waiting."""
SURROGATE = re.compile("[\ud800-\udfff]")


class Unreadable(Exception):
    """Something is no JSON, no query, no multipart body. `str()` says what and where."""


def read_json(body: bytes) -> Any:
    """The JSON value of a body."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise Unreadable("a byte order mark at byte 0")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"bytes that are not UTF-8 at byte {error.start}") from error
    if text.count("[") + text.count("{") > MOST_DEPTH:
        _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"{error.msg} at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        raise Unreadable(f"nesting deeper than {MOST_DEPTH}") from error
    if text.count(",") > MOST_VALUES:
        _check_count(value)
    if "\\u" in text and ("\\ud" in text or "\\uD" in text):
        _check_surrogates(value)
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Unreadable(f"the key {key[:40]!r} twice in one object")
            seen.add(key)
    return found


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Unreadable(f"the number {text[:40]}, which is out of range")
    return value


def _int(text: str) -> int:
    digits = len(text.lstrip("-"))
    if digits > MOST_DIGITS:
        raise Unreadable(f"an integer of {digits} digits")
    return int(text)


def _constant(text: str) -> Any:
    raise Unreadable(f"{text}, which is no JSON value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_float, parse_int=_int, parse_constant=_constant, strict=True
)


def _check_depth(text: str) -> None:
    depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise Unreadable(f"nesting deeper than {MOST_DEPTH}")
        elif character in "]}":
            depth -= 1


def _check_count(value: Any) -> None:
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise Unreadable(f"more than {MOST_VALUES} values")
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _check_surrogates(value: Any) -> None:
    if isinstance(value, str):
        if SURROGATE.search(value):
            raise Unreadable("a lone surrogate in a string")
    elif isinstance(value, dict):
        for key, member in value.items():
            _check_surrogates(key)
            _check_surrogates(member)
    elif isinstance(value, list):
        for member in value:
            _check_surrogates(member)


def read_query(query: bytes) -> dict[str, list[str]]:
    """Name → values of a query string or a urlencoded form, in order; `+` is a blank."""
    found: dict[str, list[str]] = {}
    if not query:
        return found
    for pair in query.split(b"&"):
        if not pair:
            continue
        name, _, value = pair.partition(b"=")
        found.setdefault(_unquote(name), []).append(_unquote(value))
    return found


def _unquote(raw: bytes) -> str:
    if b"%" not in raw and b"+" not in raw:
        data = raw
    else:
        data = unquote_to_bytes(raw.replace(b"+", b" "))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("percent-encoded bytes that are not UTF-8") from error
    if "\x00" in text:
        raise Unreadable("a NUL character")
    return text


def media_type(content_type: str) -> str:
    """`type/subtype` of a Content-Type value, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def read_multipart(body: bytes, content_type: str) -> list[Part]:
    """The parts of a `multipart/form-data` body, in order."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Unreadable("a multipart body without a boundary")
    reader = _Multipart(parse_options_header)
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]  # a plain dict of callbacks
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Unreadable(f"a broken multipart body: {error}") from error
    if body and not reader.ended:
        raise Unreadable("a multipart body without its closing boundary")
    return reader.parts


class _Multipart:
    """Callbacks of python-multipart to Part values."""

    def __init__(self, parse_options: Any) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._parse_options = parse_options
        self._headers: dict[str, bytes] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._data = bytearray()

    def callbacks(self) -> Mapping[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._last,
        }

    def _begin(self) -> None:
        if len(self.parts) >= MOST_PARTS:
            raise Unreadable(f"more than {MOST_PARTS} parts")
        self._headers = {}
        self._data = bytearray()

    def _header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _last(self) -> None:
        self.ended = True

    def _end(self) -> None:
        _, options = self._parse_options(self._headers.get("content-disposition", b""))
        name = options.get(b"name")
        if name is None:
            raise Unreadable("a part without a name")
        filename = options.get(b"filename")
        content_type = self._headers.get("content-type")
        self.parts.append(
            Part(
                name=_clean(name),
                data=bytes(self._data),
                filename=None if filename is None else _clean(filename),
                content_type=None if content_type is None else content_type.decode("latin-1").strip(),
            )
        )


def _clean(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").replace("\x00", "")
