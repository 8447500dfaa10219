"""A document as an older version of OpenAPI, for tools that do not read the newest.

Pure: document in, document and list of losses out. A rendition accepts every request, reply and value that the document
accepts, and some more where the older version cannot say as much; it never refuses more.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.contract.rendition import to_30, to_31
from emulator.contract.rendition.to_30 import to_30 as step_to_30
from emulator.contract.rendition.to_31 import to_31 as step_to_31
from emulator.contract.rendition.walk import Loss
from emulator.errors import Misused
from emulator.jsontext import compact

VERSIONS = ("3.2", "3.1", "3.0")
"""The newest first."""

PATCHES = {"3.2": ("3.2.0",), "3.1": ("3.1.0", "3.1.1", "3.1.2"), "3.0": tuple(f"3.0.{n}" for n in range(5))}
"""Versions that differ in wording only: each may be asked for."""

LOST: Mapping[str, tuple[str, str]] = {**to_31.LOST, **to_30.LOST}
"""Name of a loss → (what is lost, what stands in its place)."""

EXTENSION = "x-rendition"
"""Member of `info` that tells what a rendition is of, and what it lost."""

MEDIA_TYPES = {"json": "application/json", "yaml": "application/yaml"}


@dataclass(frozen=True, slots=True)
class Rendition:
    """A document of an older version, and what was lost on the way to it."""

    raw: Mapping[str, Any]
    losses: tuple[Loss, ...]


def version_of(raw: Mapping[str, Any]) -> str:
    """`3.2` of a document that says `openapi: 3.2.0`."""
    return ".".join(str(raw.get("openapi", "")).split(".")[:2])


def available(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The versions that a document can be had in: its own and older ones."""
    own = version_of(raw)
    return VERSIONS[VERSIONS.index(own) :] if own in VERSIONS else ()


def wanted(raw: Mapping[str, Any], asked: Sequence[str]) -> str:
    """The version that the values of `?version=` mean: `3.1` is `3.1` or `3.1.0`, none is that of the document.
    Raises Misused (400)."""
    if not asked:
        return version_of(raw)
    version = ", ".join(asked)
    for one in available(raw):
        if version == one or version in PATCHES[one]:
            return one
    what = f"This document is OpenAPI {raw['openapi']}; there is no rendition of it as {version[:20]!r}."
    raise Misused("Unknown version", what, available(raw))


def render(raw: Mapping[str, Any], version: str) -> Rendition:
    """A document as `3.1` or `3.0`; as it is in its own version. `raw` is valid OpenAPI and is not changed."""
    own = version_of(raw)
    if version == own:
        return Rendition(raw, ())
    losses: dict[Loss, None] = {}
    made, came_from = raw, {}
    if own == "3.2":
        step = step_to_31(made)
        made, came_from = step.run(), step.origins
        losses |= step.losses
    if version == "3.0":
        step = step_to_30(made, came_from)
        made = step.run()
        losses |= step.losses
    made = {**made, "info": {**made["info"], EXTENSION: {"of": raw["openapi"], "lost": _told(losses)}}}
    return Rendition(made, tuple(losses))


def _told(losses: Mapping[Loss, None]) -> list[dict[str, Any]]:
    """Losses for a reader: each kind once, with the places where it was lost."""
    places: dict[str, list[str]] = {}
    for loss in losses:
        places.setdefault(loss.lost, []).append(loss.at)
    return [{"what": LOST[lost][0], "instead": LOST[lost][1], "at": at} for lost, at in places.items()]


class Renditions:
    """The texts of one loaded document in every version, each made when first asked for and kept. `written` gives the
    YAML that it was read from, with its comments, or None."""

    def __init__(self, raw: Mapping[str, Any], written: Callable[[], bytes | None] = lambda: None) -> None:
        self._raw = raw
        self._written = written
        self._lock = threading.Lock()
        self._texts: dict[tuple[str, str], bytes] = {}

    def text(self, asked: Sequence[str], kind: str) -> bytes:
        """The document as `json` or `yaml`. Raises Misused for a version that it cannot be had in."""
        version = wanted(self._raw, asked)
        with self._lock:
            if (version, kind) not in self._texts:
                self._texts[version, kind] = self._made(version, kind)
            return self._texts[version, kind]

    def _made(self, version: str, kind: str) -> bytes:
        own = version == version_of(self._raw)
        if kind == "yaml" and own and (text := self._written()) is not None:
            return text
        raw = render(self._raw, version).raw
        return compact(raw) if kind == "json" else _yaml(raw)


def _yaml(raw: Mapping[str, Any]) -> bytes:
    import yaml

    class Dumper(yaml.CSafeDumper):
        """Without aliases: not every reader follows them."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    dumped: bytes = yaml.dump(
        copy.deepcopy(dict(raw)), Dumper=Dumper, allow_unicode=True, sort_keys=False, width=120, encoding="utf-8"
    )
    return dumped
