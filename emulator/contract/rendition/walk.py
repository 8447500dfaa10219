"""A document rewritten object by object, each told by what it is and where it came from.

Owns which object of OpenAPI stands where, following references, and the list of what was lost on the way. What changes
between two versions is in `to_31` and `to_30`; nothing here knows a version.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import unquote, urldefrag, urljoin

from emulator.contract.document import METHODS
from emulator.source import Pointer

T = TypeVar("T")
Shape = Literal["one", "list", "map"]
Fields = Mapping[str, tuple[Shape, str]]

APPLIED: dict[str, Shape] = {
    "allOf": "list",
    "anyOf": "list",
    "oneOf": "list",
    "prefixItems": "list",
    "not": "one",
    "if": "one",
    "then": "one",
    "else": "one",
    "items": "one",
    "contains": "one",
    "additionalProperties": "one",
    "propertyNames": "one",
    "unevaluatedItems": "one",
    "unevaluatedProperties": "one",
    "contentSchema": "one",
    "properties": "map",
    "patternProperties": "map",
    "dependentSchemas": "map",
    "$defs": "map",
}
"""Keywords of a schema whose values are schemas."""

_PATH_ITEM: Fields = {
    "servers": ("list", "server"),
    "parameters": ("list", "parameter"),
    "additionalOperations": ("map", "operation"),
    **dict.fromkeys(METHODS, ("one", "operation")),
}

FIELDS: dict[str, Fields] = {
    "openapi": {
        "info": ("one", "info"),
        "servers": ("list", "server"),
        "paths": ("one", "paths"),
        "webhooks": ("map", "path_item"),
        "x-webhooks": ("map", "path_item"),
        "components": ("one", "components"),
        "security": ("list", "requirement"),
        "tags": ("list", "tag"),
    },
    "info": {"license": ("one", "license")},
    "components": {
        "schemas": ("map", "schema"),
        "responses": ("map", "response"),
        "parameters": ("map", "parameter"),
        "examples": ("map", "example"),
        "requestBodies": ("map", "request_body"),
        "headers": ("map", "header"),
        "securitySchemes": ("map", "security_scheme"),
        "links": ("map", "link"),
        "callbacks": ("map", "callback"),
        "pathItems": ("map", "path_item"),
        "mediaTypes": ("map", "media_type"),
    },
    "path_item": _PATH_ITEM,
    "operation": {
        "parameters": ("list", "parameter"),
        "requestBody": ("one", "request_body"),
        "responses": ("one", "responses"),
        "callbacks": ("map", "callback"),
        "security": ("list", "requirement"),
        "servers": ("list", "server"),
    },
    "parameter": {
        "schema": ("one", "schema"),
        "content": ("map", "media_type"),
        "examples": ("map", "example"),
    },
    "header": {
        "schema": ("one", "schema"),
        "content": ("map", "media_type"),
        "examples": ("map", "example"),
    },
    "request_body": {"content": ("map", "media_type")},
    "response": {
        "headers": ("map", "header"),
        "content": ("map", "media_type"),
        "links": ("map", "link"),
    },
    "media_type": {
        "schema": ("one", "schema"),
        "itemSchema": ("one", "schema"),
        "x-itemSchema": ("one", "schema"),
        "examples": ("map", "example"),
        "encoding": ("map", "encoding"),
        "prefixEncoding": ("list", "encoding"),
        "itemEncoding": ("one", "encoding"),
    },
    "encoding": {
        "headers": ("map", "header"),
        "encoding": ("map", "encoding"),
        "prefixEncoding": ("list", "encoding"),
        "itemEncoding": ("one", "encoding"),
    },
    "link": {"server": ("one", "server")},
    "security_scheme": {"flows": ("one", "flows")},
    "schema": {keyword: (shape, "schema") for keyword, shape in APPLIED.items()},
}
"""Kind of object → its members that are objects too."""

OPEN = {"paths": "path_item", "responses": "response", "callback": "path_item"}
"""Kinds whose members have any name, and what these are; only what begins with `x-` is something else."""

SECTIONS = {kind: section for section, (_, kind) in FIELDS["components"].items()}
"""Kind → where it stands under `components`: what may be a reference."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that a version cannot say. `at` is a JSON pointer into the whole document, `lost` a key of the tables
    in `to_31` and `to_30`."""

    at: str
    lost: str


class _Gone:
    """Instead of an object that has no place in the rendition."""


GONE = _Gone()

Rule = Callable[["Step", dict[str, Any], Pointer], Any]
"""Changes an object's own members (its copy may be changed), or answers GONE; what it holds is rewritten after it."""
Whole = Callable[["Step", Any, Pointer], Any]
"""Rewrites a schema with all that it holds."""


@dataclass
class Step:
    """One step from a version to the one before. `came_from` tells, by their identity, where objects of `raw` stood in
    the document that the first step began with; `origins` says the same of what this step made."""

    raw: Mapping[str, Any]
    rules: Mapping[str, Rule]
    schema: Whole
    refers: Callable[[Step, str, Mapping[str, Any], Pointer], Any]
    came_from: dict[int, Pointer] = field(default_factory=dict)
    losses: dict[Loss, None] = field(default_factory=dict)
    origins: dict[int, Pointer] = field(default_factory=dict)
    kept: list[dict[str, Any]] = field(default_factory=list)
    """What this step made: while it is kept, nothing else gets its identity."""
    hoisted: dict[Pointer, str] = field(default_factory=dict)
    added: dict[str, Any] = field(default_factory=dict)
    within: list[Pointer] = field(default_factory=list)
    """Path items being put in place of references to them, the outermost first."""
    key: str = ""
    """The name under which the object stands that is being rewritten: of a media type, its own."""
    found: dict[Callable[[Step], Any], Any] = field(default_factory=dict)
    """What rules found out about the whole of `raw`."""

    def __post_init__(self) -> None:
        self.places = Places(self.raw)

    def run(self) -> dict[str, Any]:
        """The whole document, rewritten."""
        made: dict[str, Any] = self.rewrite("openapi", self.raw, ())
        if self.added:
            components = made.setdefault("components", {})
            components["schemas"] = {**components.get("schemas", {}), **self.added}
        return made

    def once(self, find: Callable[[Step], T]) -> T:
        """What a rule needs to know of the whole document, found out when first asked for and kept."""
        if find not in self.found:
            self.found[find] = find(self)
        made: T = self.found[find]
        return made

    def lose(self, at: Pointer, lost: str) -> None:
        """Note that something is lost at a place."""
        self.losses[Loss(pointer_text(at), lost)] = None

    def stood(self, value: Any, at: Pointer) -> None:
        """Note where an object stands in `raw` that a rule puts elsewhere."""
        self.came_from.setdefault(id(value), at)

    def rewrite(self, kind: str, value: Any, at: Pointer) -> Any:
        """An object as the version below says it, or GONE. `at` is where it stands in `raw`."""
        at = self.came_from.get(id(value), at)
        if kind == "schema":
            made = self.schema(self, value, at)
        elif not isinstance(value, Mapping):
            return copy.deepcopy(value)
        elif "$ref" in value and kind in SECTIONS:
            made = self.refers(self, kind, value, at)
        else:
            rule = self.rules.get(kind)
            made = rule(self, dict(value), at) if rule else dict(value)
            if made is not GONE:
                self.inside(kind, made, at)
        if isinstance(made, dict):
            self.origins[id(made)] = at
            self.kept.append(made)
        return made

    def inside(self, kind: str, made: dict[str, Any], at: Pointer) -> None:
        """Rewrite what an object holds, in its place; plain values are copied."""
        for name, value in made.items():
            shape, inner = _member(kind, name)
            made[name] = self._members(shape, inner, value, (*at, name)) if shape else copy.deepcopy(value)
        for name in [name for name, value in made.items() if value is GONE]:
            del made[name]

    def _members(self, shape: str, kind: str, value: Any, at: Pointer) -> Any:
        """One object, a list of them or a mapping of them, without those that are gone."""
        if shape == "list" and isinstance(value, list):
            made = [self.rewrite(kind, one, (*at, i)) for i, one in enumerate(value)]
            return [one for one in made if one is not GONE]
        if shape == "map" and isinstance(value, Mapping):
            named: dict[str, Any] = {}
            for name, one in value.items():
                self.key = name
                named[name] = self.rewrite(kind, one, (*at, name))
            return {name: one for name, one in named.items() if one is not GONE}
        return self.rewrite(kind, value, at)

    def target(self, ref: str, schema: Any = None) -> Pointer | None:
        """Where a reference leads in `raw`; None when that is outside or nothing. `schema` is the one it stands in."""
        return self.places.find(ref, schema)

    def at(self, pointer: Pointer) -> Any:
        """What stands at a place of `raw`. Raises KeyError, IndexError or TypeError."""
        return look_up(self.raw, pointer)

    def hoist(self, target: Pointer) -> str:
        """A reference to a schema that stands anywhere, made to stand under `components/schemas`."""
        if len(target) == 3 and target[:2] == ("components", "schemas"):
            return "#" + pointer_text(target)
        if target not in self.hoisted:
            taken = {*self.raw.get("components", {}).get("schemas", {}), *self.hoisted.values()}
            name = _free_name(target, taken)
            # Named before it is rewritten: it may lead to itself.
            self.hoisted[target] = name
            self.added[name] = self.rewrite("schema", self.at(target), target)
        return f"#/components/schemas/{self.hoisted[target]}"


class Places:
    """Where references lead: pointers, anchors and the ids of schemas."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self._self = str(raw.get("$self", ""))
        self._resources: dict[str, Pointer] = {self._self: (), "": ()}
        self._anchors: dict[tuple[str, str], Pointer] = {}
        self._bases: dict[int, str] = {}
        for schema, at in schemas_of(raw):
            self._note(schema, at)

    def _note(self, schema: Mapping[str, Any], at: Pointer) -> None:
        # Outer schemas come first, so the base of what is around is known.
        base = self._bases.get(id(schema), self._self)
        if isinstance(schema.get("$id"), str):
            base = urldefrag(urljoin(base, schema["$id"])).url
            self._resources[base] = at
        for word in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(word), str):
                self._anchors[base, schema[word]] = at
        self._bases[id(schema)] = base
        for inner, _ in _held("schema", schema, at):
            if isinstance(inner[1], Mapping):
                self._bases[id(inner[1])] = base

    def base(self, schema: Any = None) -> str:
        """What the references of a schema are relative to."""
        return self._bases.get(id(schema), self._self)

    def find(self, ref: str, schema: Any = None) -> Pointer | None:
        """The place, or None."""
        base = self.base(schema)
        url, fragment = (base, ref[1:]) if ref.startswith("#") else urldefrag(urljoin(base, ref))
        if url not in self._resources:
            return None
        if fragment and not fragment.startswith("/"):
            return self._anchors.get((url, fragment))
        place = self._resources[url]
        try:
            for part in fragment.split("/")[1:]:
                key: str | int = unquote(part).replace("~1", "/").replace("~0", "~")
                if isinstance(look_up(self._raw, place), list):
                    key = int(key)
                place = (*place, key)
            look_up(self._raw, place)
        except (KeyError, IndexError, TypeError, ValueError):
            return None
        return place


def schemas_of(raw: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Pointer]]:
    """Every schema of a document with its place, the outer ones first."""
    waiting: list[tuple[tuple[str, Any], Pointer]] = [(("openapi", raw), ())]
    while waiting:
        (kind, value), at = waiting.pop()
        if not isinstance(value, Mapping):
            continue
        if kind == "schema":
            yield value, at
        waiting += _held(kind, value, at)


def _held(kind: str, value: Mapping[str, Any], at: Pointer) -> list[tuple[tuple[str, Any], Pointer]]:
    """The objects that an object holds: (kind, object), place."""
    found: list[tuple[tuple[str, Any], Pointer]] = []
    for name, inner in value.items():
        shape, of = _member(kind, name)
        if shape == "one":
            found.append(((of, inner), (*at, name)))
        elif shape == "list" and isinstance(inner, list):
            found += [((of, one), (*at, name, i)) for i, one in enumerate(inner)]
        elif shape == "map" and isinstance(inner, Mapping):
            found += [((of, one), (*at, name, key)) for key, one in inner.items()]
    return found


def look_up(raw: Any, pointer: Pointer) -> Any:
    """What stands at a pointer. Raises KeyError, IndexError or TypeError."""
    for part in pointer:
        raw = raw[part]
    return raw


def pointer_text(pointer: Pointer) -> str:
    """As RFC 6901 writes it."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)


def _member(kind: str, name: str) -> tuple[str, str]:
    """Shape and kind of a member; no shape for a plain value."""
    if kind in OPEN and not name.startswith("x-"):
        return "one", OPEN[kind]
    return FIELDS.get(kind, {}).get(name, ("", ""))


STRUCTURE = frozenset({"components", "schemas", "properties", "$defs", "paths", "content", "schema", "responses"})


def _free_name(target: Pointer, taken: set[str]) -> str:
    words = [str(part) for part in target if part not in STRUCTURE] or ["schema"]
    name = base = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(words)).strip("_") or "schema"
    n = 1
    while name in taken:
        n += 1
        name = f"{base}_{n}"
    return name
