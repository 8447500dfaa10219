"""chat-emulator: a stand-in for chat backends. The public API, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Emulator", "Settings", "__version__", "create_app"]

if TYPE_CHECKING:
    from emulator.app import create_app
    from emulator.settings import Settings
    from emulator.testing.thread import Emulator


def __getattr__(name: str) -> Any:
    """Imported when first used: a plain `import emulator` costs nothing."""
    if name == "create_app":
        from emulator.app import create_app

        return create_app
    if name == "Settings":
        from emulator.settings import Settings

        return Settings
    if name == "Emulator":
        from emulator.testing.thread import Emulator

        return Emulator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What completion shows."""
    return __all__
