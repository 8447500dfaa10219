"""An OpenAPI document as operations, and the view of it that the server validates with.

Owns reading a spec and finding things in it. Checks only what it needs to serve; whether the document is valid
OpenAPI is asked by `problems`, in CI, by `check` and for specs that a user brings.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import Broken
from emulator.source import Pointer, load, read

if TYPE_CHECKING:
    from emulator.contract.rendition.render import Renditions

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
EVENT_STREAM = "text/event-stream"
MOST_WORDS = 300
"""Characters of a mistake that are told; jsonschema quotes whole objects."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One documented operation. `path` is the template below the base, `raw` its object in the document."""

    id: str
    method: str
    path: str
    raw: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]
    request_body: Mapping[str, Any] | None
    responses: Mapping[str, Mapping[str, Any]]

    @property
    def pointer(self) -> Pointer:
        """Where it stands in the document."""
        return ("paths", self.path, self.method.lower())

    @property
    def streams(self) -> bool:
        """Whether an answer may come as events."""
        return any(EVENT_STREAM in response.get("content", {}) for response in self.responses.values())


@dataclass(frozen=True)
class Document:
    """One backend's spec. `base` is the path that its server URL adds below the mount ("/v1", "")."""

    name: str
    raw: Mapping[str, Any]
    operations: Mapping[str, Operation]
    base: str
    file: Path
    own: bool = field(default=False)

    @cached_property
    def view(self) -> dict[str, Any]:
        """The server view: the document with the few changes that openapi-core needs to agree with it."""
        return _server_view(self.raw)

    @cached_property
    def renditions(self) -> Renditions:
        """Its texts, in its own version of OpenAPI and in older ones."""
        from emulator.contract.rendition.render import Renditions

        return Renditions(self.raw, self._written)

    def _written(self) -> bytes | None:
        """The file, unless it is away for a moment or says something else by now."""
        try:
            text = self.file.read_bytes()
            return text if load(self.file) == self.raw else None
        except (OSError, Broken):
            return None

    def resolve(self, value: Any) -> Any:
        """Follow local references of an object to the thing itself."""
        return resolve(self.raw, value)

    def examples(self, operation: Operation, status: str) -> dict[str, tuple[str, Any]]:
        """Name → (media type, value) of the examples documented for a status of an operation."""
        found: dict[str, tuple[str, Any]] = {}
        for media_type, content in (operation.responses.get(status, {}).get("content") or {}).items():
            for name, example in (content.get("examples") or {}).items():
                found.setdefault(name, (media_type, self.resolve(example).get("value")))
        return found


def resolve(raw: Mapping[str, Any], value: Any) -> Any:
    """Follow `$ref: '#/…'` until there is none. Raises KeyError for a reference to nothing."""
    seen = 0
    while isinstance(value, Mapping) and isinstance(ref := value.get("$ref"), str):
        seen += 1
        if not ref.startswith("#/") or seen > 32:
            raise KeyError(ref)
        found: Any = raw
        for part in ref[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[key]
        value = found
    return value


def open_document(file: Path, own: bool = False) -> Document:
    """Read a spec. One of a user's own is read with all bounds. Raises Broken with the line of what is wrong."""
    raw = read(file).data if own else load(file, trusted=True)
    return _document(file, raw, own)


def _document(file: Path, raw: Any, own: bool) -> Document:
    name = file.stem
    if not isinstance(raw, dict) or not str(raw.get("openapi", "")).startswith("3."):
        raise _broken(file, ("openapi",), "expected an OpenAPI 3 document with a member openapi: 3.…")
    paths = raw.get("paths")
    if not isinstance(paths, dict):
        raise _broken(file, ("paths",), "expected a mapping of paths")
    operations: dict[str, Operation] = {}
    for path, item in paths.items():
        for operation in _operations(file, raw, path, item):
            if operation.id in operations:
                raise _broken(file, operation.pointer, f"operationId {operation.id!r} stands twice")
            operations[operation.id] = operation
    return Document(name, raw, operations, _base(name, raw), file, own)


def _operations(file: Path, raw: Mapping[str, Any], path: str, item: Any) -> Iterator[Operation]:
    if not path.startswith("/") or not isinstance(item, dict):
        raise _broken(file, ("paths", path), "expected a path that begins with / and a mapping of its methods")
    for method in METHODS:
        if method not in item:
            continue
        pointer: Pointer = ("paths", path, method)
        operation = item[method]
        if not isinstance(operation, dict) or not isinstance(operation.get("responses"), dict):
            raise _broken(file, pointer, "expected an operation with responses")
        try:
            parameters = [resolve(raw, one) for one in (*item.get("parameters", ()), *operation.get("parameters", ()))]
            body = resolve(raw, operation.get("requestBody"))
            responses = {str(status): resolve(raw, one) for status, one in operation["responses"].items()}
        except (KeyError, TypeError) as error:
            raise _broken(file, pointer, f"a reference to nothing: {error}") from error
        named = {(one.get("in"), one.get("name")): one for one in parameters}
        yield Operation(
            id=str(operation.get("operationId") or f"{method} {path}"),
            method=method.upper(),
            path=path,
            raw=operation,
            parameters=tuple(named.values()),
            request_body=body,
            responses=responses,
        )


def _base(name: str, raw: Mapping[str, Any]) -> str:
    servers = raw.get("servers")
    url = servers[0].get("url", "") if isinstance(servers, list) and servers else ""
    path = "/" + str(url).split("://", 1)[-1].partition("/")[2] if "://" in str(url) else str(url)
    return path.rstrip("/").removeprefix(f"/{name}")


def _broken(file: Path, pointer: Pointer, what: str) -> Broken:
    """Read once more, slowly, to tell the line."""
    return read(file).broken(pointer, what)


def problems(file: Path) -> list[Broken]:
    """Everything that makes the document no valid OpenAPI, or its promises none, each with its line."""
    from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator, OpenAPIV32SpecValidator

    from emulator.contract.promises.shapes import mistakes

    source = read(file)
    version = str(source.data.get("openapi", "")) if isinstance(source.data, dict) else ""
    validator: Any = {"3.0": OpenAPIV30SpecValidator, "3.1": OpenAPIV31SpecValidator}.get(
        version[:3], OpenAPIV32SpecValidator
    )
    found: list[Broken] = []
    try:
        found.extend(
            source.broken(getattr(error, "absolute_path", ()), _short(getattr(error, "message", str(error))))
            for error in validator(source.data).iter_errors()
        )
    except Exception as error:  # the validator itself fails on some broken documents
        found.append(source.broken((), f"cannot be validated: {_short(str(error))}"))
    if not found:
        found.extend(source.broken(mistake.pointer, _short(mistake.what)) for mistake in mistakes(source.data))
    return found


def _short(message: str) -> str:
    flat = " ".join(message.split())
    return flat if len(flat) <= MOST_WORDS else flat[:MOST_WORDS] + "…"


def _server_view(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Differences to the public document, for requests: an empty query value is allowed where it is text (openapi-core
    refuses `?user=` otherwise), patterns end where they say, and binary parts of a multipart body are not strings and
    have no encoding to check."""
    view: dict[str, Any] = copy.deepcopy(dict(raw))
    for item in view.get("paths", {}).values():
        for owner in (item, *(item[method] for method in METHODS if method in item)):
            for parameter in owner.get("parameters", ()):
                _allow_empty(resolve(view, parameter))
            body = resolve(view, owner.get("requestBody"))
            for media_type, content in (body or {}).get("content", {}).items():
                if media_type.startswith("multipart/"):
                    content.pop("encoding", None)
                    _open_binary(view, resolve(view, content.get("schema")))
    for parameter in view.get("components", {}).get("parameters", {}).values():
        _allow_empty(parameter)
    close_patterns(view)
    return view


def close_patterns(value: Any) -> None:
    """Make the `$` at the end of each pattern mean the end: Python's also matches before a last newline."""
    if isinstance(value, dict):
        pattern = value.get("pattern")
        if isinstance(pattern, str) and pattern.endswith("$") and not pattern.endswith("\\$"):
            value["pattern"] = pattern[:-1] + r"\Z"
        for name, member in value.items():
            if name not in ("example", "examples", "default", "enum", "const"):
                close_patterns(member)
    elif isinstance(value, list):
        for member in value:
            close_patterns(member)


def _allow_empty(parameter: Any) -> None:
    if isinstance(parameter, dict) and parameter.get("in") == "query":
        parameter["allowEmptyValue"] = True


def _open_binary(view: Mapping[str, Any], schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    for name, reference in schema.get("properties", {}).items():
        member = resolve(view, reference)
        if isinstance(member, dict):
            if member.get("format") == "binary" or "contentMediaType" in member:
                schema["properties"][name] = {}
            elif isinstance(items := resolve(view, member.get("items")), dict) and items.get("format") == "binary":
                member["items"] = {}
