"""Conditions: whether a call is one that a scenario, a branch of it or an arming is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.streams.scenario import Scene


def mismatch(when: Mapping[str, Any], scene: Scene) -> str | None:
    """Why the condition is not met, in words; None when it is."""
    return None
