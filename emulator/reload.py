"""`serve --reload`: changed specs and scenarios are picked up, sessions keep what they have.

Looks at the files now and then from a thread of its own. A file that is broken keeps its last good form, and its
mistake is told once for each change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from emulator.errors import Broken
from emulator.service import Service

EVERY_SECONDS = 0.5


class Reloader:
    """Watches the files of some services. `tell` gets one line for each thing that happened."""

    def __init__(self, services: Iterable[Service], tell: Callable[[str], None]) -> None:
        self._services = list(services)
        self._tell = tell
        self._specs = {service.name: _modified(service) for service in self._services}
        self._told: dict[str, set[str]] = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch until the process ends, or `stop`."""
        threading.Thread(target=self._watch, name="reload", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def look(self) -> None:
        """Look once."""
        for service in self._services:
            modified = _modified(service)
            if modified != self._specs[service.name]:
                self._specs[service.name] = modified
                self._reopen(service)
            broken = {str(error) for error in service.scenarios.refresh()}
            for line in sorted(broken - self._told.get(service.name, set())):
                self._tell(f"{line} (its last good form is kept)")
            self._told[service.name] = broken

    def _reopen(self, service: Service) -> None:
        try:
            service.reopen()
        except Broken as error:
            self._tell(f"{error} (the last good spec is kept)")
        else:
            self._tell(f"{service.file}: taken")

    def _watch(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            try:
                self.look()
            except Exception as error:  # whatever is in a file must not end the watch
                self._tell(f"{type(error).__name__} while looking for changes: {error}")


def _modified(service: Service) -> float:
    try:
        return service.file.stat().st_mtime
    except OSError:
        return 0.0
