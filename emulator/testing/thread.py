"""An emulator in a thread of the own process, for unittest, behave, notebooks, and whatever has no fixtures."""

from __future__ import annotations

import errno
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from emulator.errors import nearest
from emulator.settings import Settings
from emulator.testing.control import Control, EmulatorError
from emulator.testing.session import Session

if TYPE_CHECKING:
    from emulator.testing.server import ThreadedServer


class Emulator(Session):
    """`with Emulator(speed=0) as emulator: …` answers until the block ends; `start` and `stop` do the same by hand.

    Takes Settings or its members, like `create_app`; the port is a free one unless one is given. It is also the session
    `default` of its server, the one of clients that name none; `session(name)` gives others. Raises EmulatorError when
    it cannot start, Misused or Broken for settings that cannot be.
    """

    def __init__(self, settings: Settings | None = None, **changes: Any) -> None:
        if settings is not None and changes:
            raise TypeError("give Settings or their members, not both")
        members = [one.name for one in fields(Settings)]
        for name in changes:
            if name not in members:
                near = nearest(name, members)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise TypeError(f"there is no setting {name!r}{hint}")
        super().__init__(None)
        self._settings = settings if settings is not None else Settings(**{"port": 0, **changes})
        self._server: ThreadedServer | None = None

    def start(self) -> Self:
        """Start, and return when calls are accepted."""
        __tracebackhide__ = True
        if self._server is not None:
            raise EmulatorError("This emulator runs already.")
        try:
            from emulator.server import reachable
            from emulator.testing.server import ThreadedServer
        except ModuleNotFoundError as error:
            what = f"The emulator needs the package {error.name!r}, which is not installed"
            raise EmulatorError(f"{what}: pip install chat-emulator brings it.") from None
        settings = self._settings
        try:
            server = ThreadedServer(settings)
        except OSError as error:
            where, why = f"{settings.host}:{settings.port}", (error.strerror or str(error)).lower()
            hint = "; port 0 takes a free one" if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
            raise EmulatorError(f"The emulator cannot listen on {where}: {why}{hint}.") from None
        try:
            self._server = server.start()
        except RuntimeError as error:
            server.stop()
            raise EmulatorError(f"{str(error).capitalize()}; its log says why.") from None
        control = Control(reachable(server.url), server.app.token)
        try:
            control.check()
        except EmulatorError:
            self.stop()
            raise
        self._reached = control
        return self

    def stop(self) -> None:
        """End it; open streams are cut. Nothing happens where it does not run."""
        if self._server is not None:
            self._server.stop()
            self._server = self._reached = None

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
