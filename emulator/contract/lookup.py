"""Method and raw path → operation, or the methods that there are, or nothing.

Segments are compared after decoding each on its own, so an encoded slash stays inside its segment. Literal segments
win over parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What a path leads to. `target` is None when the path is known but not with this method; `methods` are those
    it has; `values` are its path parameters, decoded, in order of the template's names."""

    target: T | None
    values: dict[str, str]
    methods: tuple[str, ...]


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    parameter: _Node[T] | None = None
    targets: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)


class Undecodable(Exception):
    """A path segment is not UTF-8 or holds a NUL."""


class Lookup(Generic[T]):
    """A tree of path segments."""

    def __init__(self, routes: Iterable[tuple[str, str, T]]) -> None:
        self._root: _Node[T] = _Node()
        for method, template, target in routes:
            names: list[str] = []
            node = self._root
            for segment in template.split("/")[1:]:
                if segment.startswith("{") and segment.endswith("}"):
                    names.append(segment[1:-1])
                    if node.parameter is None:
                        node.parameter = _Node()
                    node = node.parameter
                else:
                    node = node.literals.setdefault(segment, _Node())
            node.targets[method] = (target, tuple(names))

    def find(self, method: str, path: str) -> Found[T] | None:
        """What `path` (raw, from "/" on) leads to; None when no template fits. An empty segment fits no parameter.
        Raises Undecodable."""
        segments = path.split("/")[1:]
        if "%" in path:
            segments = [decode(segment) for segment in segments]
        node, values = self._walk(self._root, segments, 0, [])
        if node is None:
            return None
        methods = tuple(node.targets)
        hit = node.targets.get(method) or (node.targets.get("GET") if method == "HEAD" else None)
        if hit is None:
            return Found(None, {}, methods)
        target, names = hit
        return Found(target, dict(zip(names, values, strict=True)), methods)

    def _walk(
        self, node: _Node[T], segments: list[str], at: int, values: list[str]
    ) -> tuple[_Node[T] | None, list[str]]:
        if at == len(segments):
            return (node, values) if node.targets else (None, values)
        segment = segments[at]
        literal = node.literals.get(segment)
        if literal is not None:
            found = self._walk(literal, segments, at + 1, values)
            if found[0] is not None:
                return found
        if node.parameter is not None and segment:
            return self._walk(node.parameter, segments, at + 1, [*values, segment])
        return None, values


def decode(segment: str) -> str:
    """One raw path segment as text. Raises Undecodable."""
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Undecodable(segment) from error
    if "\x00" in text:
        raise Undecodable(segment)
    return text
