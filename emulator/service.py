"""One backend being served: its spec, behaviour, routes, judge and scenarios, each opened when first needed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.backends import Backend, Behaviour, Extra, behaviour_module
from emulator.backends.plain import plain_backend
from emulator.contract.document import Document, Operation, open_document
from emulator.contract.lookup import Found, Lookup
from emulator.settings import Settings
from emulator.streams.scenario import Scenarios

if TYPE_CHECKING:
    from emulator.contract.events import Inspector
    from emulator.contract.judge import Judge

PACKAGE = Path(__file__).parent


def bundled(folder: str) -> Path:
    """`specs` or `scenarios`: inside the package when installed, beside it in a checkout."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def spec_files(settings: Settings) -> dict[str, Path]:
    """Backend name → spec file, own specs over bundled ones."""
    folders = [bundled("specs"), *([settings.specs] if settings.specs else [])]
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


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
            return behaviour_module(self.name) or plain_backend(self.name, self.document)

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
        return Scenarios(self.name, scenario_folders(self._settings))

    def bases(self) -> tuple[str, ...]:
        """Paths between the mount and the spec's paths, the one to show first."""
        return self.backend.bases or (self.document.base,)

    def find(self, method: str, path: str) -> Found[Route] | None:
        """Where a call below the mount leads. Raises Undecodable."""
        return self.lookup.find(method, path)

    def warm(self) -> None:
        """Open everything that a first call would wait for."""
        if self.lookup and self.judge and self.scenarios:
            self.inspector if self._settings.check_replies else None

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
