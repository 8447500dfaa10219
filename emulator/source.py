"""YAML and JSON files with the place of every value, read safely and bounded.

Owns turning text into plain JSON data: no tags, no timestamps, only `true`/`false` as booleans, no duplicate keys.
Size, depth and aliases are bounded, so that no file can exhaust memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from emulator.errors import Broken

MOST_BYTES = 4 * 1024 * 1024
MOST_DEPTH = 64
MOST_NODES = 500_000
FEW_OPENERS = 5_000
"""Characters that can nest one level without a line of their own; this many cannot exhaust the stack."""

PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "int", "map", "null", "seq", "str"))
"""What a value is without a tag; a tag that says the same is harmless."""

Pointer = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The data of one file, and where each value and key stands in it."""

    file: str
    data: Any
    places: dict[Pointer, tuple[int, int]]

    def broken(self, pointer: Iterable[str | int], what: str) -> Broken:
        """An error that names the line and column of `pointer`, or of its nearest parent."""
        # A status that is a key here may be a number to whoever found the mistake.
        places = {tuple(map(str, known)): place for known, place in self.places.items()}
        path = tuple(map(str, pointer))
        while path not in places and path:
            path = path[:-1]
        line, column = places.get(path, (1, 1))
        return Broken(self.file, what, line, column)


class _Loader(yaml.CSafeLoader):
    """The safe loader with the scalars of JSON instead of those of YAML 1.1."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|false)$", "tf"),
    ("tag:yaml.org,2002:null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("tag:yaml.org,2002:int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789"),
    ("tag:yaml.org,2002:float", r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$", "-0123456789"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


def load(path: Path, trusted: bool = False) -> Any:
    """The plain data of a YAML or JSON file, quickly and without places. A `trusted` one is not looked through for
    bottomless nesting first. Raises Broken."""
    text = _text(path)
    try:
        if not trusted:
            _check_depth(text, str(path))
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return read(path).data


def read(path: Path) -> Source:
    """The data of a YAML or JSON file with the place of every value. Raises Broken with line and column."""
    return parse(_text(path), str(path))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Broken(str(path), f"larger than {MOST_BYTES} bytes")
        return path.read_text("utf-8")
    except OSError as error:
        raise Broken(str(path), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise Broken(str(path), f"not UTF-8 at byte {error.start}") from error


def parse(text: str, file: str) -> Source:
    """Like `read`, for text that is there already."""
    try:
        _check_depth(text, file)
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        raise Broken(file, what, *((mark.line + 1, mark.column + 1) if mark else ())) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise Broken(file, str(error) or "nested too deep") from error
    walker = _Walker(file)
    data = None if node is None else walker.value(node, (), 0)
    return Source(file, data, walker.places)


def _check_depth(text: str, file: str) -> None:
    """Raise Broken for what is nested too deep to be read at all: the C parser recurses without a bound, its events
    do not."""
    if sum(text.count(opener) for opener in "[{-?") <= FEW_OPENERS:
        return
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH + 1:
                mark: Any = event.start_mark
                raise Broken(file, f"nested deeper than {MOST_DEPTH} levels", mark.line + 1, mark.column + 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Walker:
    """Nodes to data, with a bound on depth and on nodes (aliases count each time they are used)."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Pointer, tuple[int, int]] = {}
        self._constructor = yaml.constructor.SafeConstructor()
        self._nodes = 0

    def value(self, node: Any, pointer: Pointer, depth: int) -> Any:
        self._nodes += 1
        if depth > MOST_DEPTH:
            raise self._broken(node, f"nested deeper than {MOST_DEPTH} levels")
        if self._nodes > MOST_NODES:
            raise self._broken(node, f"more than {MOST_NODES} values (aliases count each time)")
        self.places.setdefault(pointer, (node.start_mark.line + 1, node.start_mark.column + 1))
        if node.tag not in PLAIN_TAGS:
            raise self._broken(node, f"tag {node.tag} is not allowed")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, pointer, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*pointer, i), depth + 1) for i, child in enumerate(node.value)]
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError) as error:
            raise self._broken(node, str(getattr(error, "problem", None) or error)) from error

    def _mapping(self, node: Any, pointer: Pointer, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, child in node.value:
            key = self.value(key_node, (*pointer, "\x00key"), depth + 1)
            self.places.pop((*pointer, "\x00key"), None)
            if not isinstance(key, str):
                key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            if key in found:
                raise self._broken(key_node, f"the key {key!r} stands twice")
            if key == "<<":
                raise self._broken(key_node, "merge keys are not allowed")
            self.places[(*pointer, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            found[key] = self.value(child, (*pointer, key), depth + 1)
        return found

    def _broken(self, node: Any, what: str) -> Broken:
        return Broken(self.file, what, node.start_mark.line + 1, node.start_mark.column + 1)
