"""The scenarios of a server: folders, which file wins, and what has changed.

A file in `any/` serves every backend that streams; one in a backend's own folder serves that backend and wins over one
of the same name in `any/`. Own folders add to the bundled ones, the same name replaces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from emulator.errors import Broken, Misused, nearest
from emulator.streams.reading import load
from emulator.streams.scenario import Scenario
from emulator.streams.scene import Scene

ANY = "any"


class Scenarios:
    """All scenarios that a backend can be asked for. Folders are listed at once, files read when first needed.

    `playable` are the operations that one can be for, `answering` those of them that can play steps; None when that
    does not matter.
    """

    def __init__(
        self,
        backend: str,
        folders: Iterable[Path],
        playable: Collection[str] | None = None,
        answering: Collection[str] | None = None,
    ) -> None:
        self._playable = playable
        self._answering = answering
        self._parts = parts_of(backend, folders)
        self._read: dict[str, tuple[float, Scenario]] = {}
        self._automatic: dict[str, tuple[Scenario, ...]] = {}
        self._files = files_in(self._parts)

    def names(self) -> list[str]:
        """All names, in order."""
        return sorted(self._files)

    def file(self, name: str) -> Path:
        """The file of a scenario. Raises Misused with the names there are."""
        file = self._files.get(name)
        if file is None:
            near = nearest(name, self._files)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise Misused("Unknown scenario", f"There is no scenario {name[:80]!r}.{hint}", self.names())
        return file

    def get(self, name: str) -> Scenario:
        """The scenario with this name. Raises Misused with the names there are, Broken for a file that cannot be
        used."""
        found = self._read.get(name)
        return found[1] if found is not None else self._load(name, self.file(name))

    def _load(self, name: str, file: Path) -> Scenario:
        at = _changed(file)
        if file.parent.name == ANY:
            # What it is for may be an operation that only other backends have.
            scenario = load(file)
        else:
            scenario = load(file, self._playable, answering=self._answering)
        self._read[name] = (at, scenario)
        return scenario

    def refresh(self) -> list[Broken]:
        """Look at the folders again and read what has changed. A file that is broken now keeps its last good form;
        returns what is wrong."""
        broken: list[Broken] = []
        files = files_in(self._parts)
        changed = files.keys() != self._files.keys()
        for name, file in files.items():
            known = self._read.get(name)
            if known is not None and known[1].file == str(file) and known[0] == _changed(file):
                continue
            try:
                self._load(name, file)
                changed = True
            except Broken as error:
                broken.append(error)
            except OSError:
                continue
        for name in [name for name in self._read if name not in files]:
            del self._read[name]
        self._files = files
        if changed:
            # Whoever is filling the old one meanwhile fills what nobody looks at any more.
            self._automatic = {}
        return broken

    def all(self) -> list[Scenario]:
        """Every scenario, read."""
        return [self.get(name) for name in self.names()]

    def automatic(self, operation: str) -> tuple[Scenario, ...]:
        """The scenarios that say of themselves which calls they are for, and may mean this operation's."""
        known = self._automatic
        found = known.get(operation)
        if found is None:
            found = known[operation] = tuple(self._find_automatic(operation))
        return found

    def _find_automatic(self, operation: str) -> Iterable[Scenario]:
        for name in self.names():
            try:
                scenario = self.get(name)
            except (Broken, Misused):
                # Told at start, by `check`, by whoever reloads, and to who asks for it by name.
                continue
            if scenario.automatic and self._may_be_for(scenario, operation):
                yield scenario

    def _may_be_for(self, scenario: Scenario, operation: str) -> bool:
        """Whether it is for this operation; one that names none and speaks is for all that give answers."""
        if scenario.operation is not None:
            return scenario.operation == operation
        return self._answering is None or operation in self._answering or not scenario.speaks

    def matching(self, scene: Scene) -> tuple[Scenario | None, list[str]]:
        """The first scenario by name that says of itself that it is for this call, and why those before were not, each
        as "NAME: reason"."""
        missed: list[str] = []
        for scenario in self.automatic(scene.operation):
            reason = scenario.unmet(scene)
            if reason is None:
                return scenario, missed
            missed.append(f"{scenario.name}: {reason}")
        return None, missed


def parts_of(backend: str, folders: Iterable[Path]) -> list[Path]:
    """The folders in which a backend's scenarios are, later ones win."""
    listed = list(folders)
    return [folder / part for part in (ANY, backend) for folder in listed]


def files_in(parts: Iterable[Path]) -> dict[str, Path]:
    """Name → file of all scenarios in some folders, those of later ones over those of earlier ones."""
    return {
        file.stem: file
        for part in parts
        for file in sorted(part.glob("*.yaml"))
        # Editors and file systems leave hidden ones beside them.
        if file.is_file() and not file.name.startswith(".")
    }


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
