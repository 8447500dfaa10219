"""A server in a thread, for tests and for whoever needs one beside their own code."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

from emulator.app import App, create_app
from emulator.server import address_of, listen, make_server
from emulator.settings import Settings

START_SECONDS = 10.0
PAUSE = 0.002


class ThreadedServer:
    """`with ThreadedServer(speed=0) as server: …` answers at `server.url` until the block ends.

    Takes Settings or its members, like `create_app`; the port is a free one unless one is given.
    """

    def __init__(self, settings: Settings | None = None, **changes: Any) -> None:
        changes.setdefault("port", 0) if settings is None else None
        self.app: App = create_app(settings, **changes)
        self._socket = listen(self.app.settings.host, self.app.settings.port)
        self._server = make_server(self.app)
        self._thread = threading.Thread(target=self._run, name="chat-emulator", daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return address_of(self._socket)

    @property
    def alive(self) -> bool:
        """Whether it answers calls."""
        return self._server.started and self._thread.is_alive()

    def start(self) -> Self:
        """Start, and return when calls are accepted."""
        self._thread.start()
        # Pauses are counted: in a test the clocks may stand still.
        left = START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or left <= 0:
                raise RuntimeError("the emulator did not start")
            time.sleep(PAUSE)
            left -= PAUSE
        return self

    def stop(self) -> None:
        """End it; open streams are cut."""
        if self._server.loop is not None and self._thread.is_alive():
            self._server.loop.call_soon_threadsafe(self._stop_streams)
        self._server.should_exit = True
        self._thread.join(START_SECONDS)
        self._socket.close()

    def _stop_streams(self) -> None:
        for session in self.app.sessions:
            session.stop_all()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
