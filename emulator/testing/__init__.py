"""For tests: the pytest plugin (`plugin`), an emulator in a thread, and sessions of a running one with typed journals.

Names are imported when first used, so that the plugin costs nothing where no test needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.testing.calls import Calls, Entry, Frame, Message
    from emulator.testing.control import EmulatorError
    from emulator.testing.session import Arming, Session
    from emulator.testing.thread import Emulator

__all__ = ["Arming", "Calls", "Emulator", "EmulatorError", "Entry", "Frame", "Message", "Session", "connect"]

PLACES = {
    "Arming": "session",
    "Calls": "calls",
    "Emulator": "thread",
    "EmulatorError": "control",
    "Entry": "calls",
    "Frame": "calls",
    "Message": "calls",
    "Session": "session",
}


def connect(url: str, token: str | None = None) -> Session:
    """The session `default` of an emulator that runs at `url`; `session(name)` of it gives others. `token` is what one
    bound beyond loopback asks for; without it CHAT_EMULATOR_TOKEN is sent. Raises EmulatorError when none answers
    there, or for a token that can be none."""
    import os

    from emulator.settings import TOKEN
    from emulator.testing.control import Control, EmulatorError
    from emulator.testing.session import Session

    # What was read from a file or pasted has often a line's end.
    given = (token or os.environ.get("CHAT_EMULATOR_TOKEN") or "").strip()
    if given and not TOKEN.fullmatch(given):
        # Not quoted: it may be somebody's secret.
        where = "the argument token" if token else "CHAT_EMULATOR_TOKEN"
        raise EmulatorError(f"Expected 8 to 200 letters, digits and . _ ~ + / - as {where}, got something else.")
    control = Control(url, given or None)
    control.check()
    return Session(control)


def __getattr__(name: str) -> Any:
    if name in PLACES:
        return getattr(importlib.import_module(f"emulator.testing.{PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
