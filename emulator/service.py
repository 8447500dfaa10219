"""One backend being served: its spec, behaviour, routes, judge and scenarios, each opened when first needed."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.backends import Backend, Behaviour, Extra, behaviour_module
from emulator.contract.document import Document, Operation, open_document, problems
from emulator.contract.lookup import Found, Lookup
from emulator.errors import Broken, nearest
from emulator.plain import plain_backend
from emulator.settings import Settings
from emulator.streams.shelf import Scenarios

if TYPE_CHECKING:
    from emulator.contract.events import Inspector
    from emulator.contract.judge import Judge

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
PACKAGE = Path(__file__).parent


def bundled(folder: str) -> Path:
    """`specs` or `scenarios`: inside the package when installed, beside it in a checkout."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def spec_files(settings: Settings) -> dict[str, Path]:
    """Backend name → spec file, own specs over bundled ones."""
    folders = [bundled("specs"), *([settings.specs] if settings.specs else [])]
    files = {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}
    for name, file in files.items():
        if not NAME.fullmatch(name):
            raise Broken(str(file), f"{name!r} is no name for a backend: expected a-z, 0-9, - and _, a letter first")
    return files


def scenario_folders(settings: Settings) -> list[Path]:
    """Folders with scenarios, later ones win."""
    return [bundled("scenarios"), *([settings.scenarios] if settings.scenarios else [])]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a method and path lead: a documented operation, or an extra."""

    operation: Operation | None
    behaviour: Behaviour | None
    extra: Extra | None = None


class Service:
    """One backend of one server."""

    def __init__(self, name: str, file: Path, settings: Settings) -> None:
        self.name = name
        self.file = file
        self._settings = settings
        # Warm-up in a thread and the first call may want the same part at once.
        self._lock = threading.RLock()

    @cached_property
    def document(self) -> Document:
        """Its spec. Raises Broken."""
        with self._lock:
            return open_document(self.file, own=self.file.parent == self._settings.specs)

    @cached_property
    def backend(self) -> Backend:
        """Its behaviour; one that answers from schemas alone where there is no module."""
        with self._lock:
            backend = behaviour_module(self.name, self._settings.modules)
            if backend is None:
                return plain_backend(self.name, self.document)
            _check_names(backend, self.document)
            return backend

    @cached_property
    def lookup(self) -> Lookup[Route]:
        """Its routes below the mount."""
        with self._lock:
            return Lookup(self._routes())

    @cached_property
    def judge(self) -> Judge:
        """Its judge; openapi-core is imported here."""
        with self._lock:
            from emulator.contract.judge import Judge

            return Judge(self.document)

    @cached_property
    def inspector(self) -> Inspector:
        """Checks what it sends."""
        with self._lock:
            from emulator.contract.events import Inspector

            return Inspector(self.document, self.judge.tools)

    @cached_property
    def scenarios(self) -> Scenarios:
        """Its scenarios."""
        folders = scenario_folders(self._settings)
        return Scenarios(self.name, folders, self.document.operations, self.backend.chat_text)

    @property
    def api_key(self) -> str | None:
        """What its first account sends as a bearer token; None where the document asks for no token."""
        known = self.backend.credentials
        return known[0].value if known and self.document.raw.get("security") else None

    def bases(self) -> tuple[str, ...]:
        """Paths between the mount and the spec's paths, the one to show first."""
        return self.backend.bases or (self.document.base,)

    def find(self, method: str, path: str) -> Found[Route] | None:
        """Where a call below the mount leads. Raises Undecodable."""
        return self.lookup.find(method, path)

    def reopen(self) -> None:
        """Take the spec from its file again, for calls from now on. Raises Broken, and then nothing has changed."""
        own = self.document.own
        document = open_document(self.file, own)
        mistakes = problems(self.file) if own else []
        if mistakes:
            raise mistakes[0]
        with self._lock:
            for part in ("backend", "lookup", "judge", "inspector"):
                self.__dict__.pop(part, None)
            self.__dict__["document"] = document

    def warm(self) -> None:
        """Open everything that a first call would wait for."""
        for part in ("lookup", "judge", "scenarios", *(["inspector"] if self._settings.check_replies else [])):
            getattr(self, part)

    def _routes(self) -> list[tuple[str, str, Route]]:
        routes = []
        for operation in self.document.operations.values():
            route = Route(operation, self.backend.behaviours.get(operation.id))
            paths = [operation.path]
            if self.backend.slashless and operation.path.endswith("/"):
                paths.append(operation.path[:-1])
            routes += [(operation.method, base + path, route) for base in self.bases() for path in paths]
        return routes + [
            (extra.method, extra.path, Route(None, extra.behaviour, extra)) for extra in self.backend.extras
        ]


def _check_names(backend: Backend, document: Document) -> None:
    """Raise Broken for a name in a BACKEND that its spec does not have."""
    if backend.name != document.name:
        raise Broken(str(document.file), f"its BACKEND is named {backend.name!r}, expected {document.name!r}")
    for what, ids in (("behaviours", backend.behaviours), ("chat_text", backend.chat_text)):
        for id in ids:
            if id not in document.operations:
                near = nearest(id, document.operations)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise Broken(str(document.file), f"{what} of its BACKEND names {id!r}, no operation of the spec{hint}")
