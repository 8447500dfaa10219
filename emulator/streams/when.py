"""Conditions: whether a call is one that a scenario, a branch of it or an arming is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.streams.scenario import Scene


def mismatch(when: Mapping[str, Any], scene: Scene) -> str | None:
    """Why the condition is not met, in words; None when it is."""
    # Placeholder: only `body` with plain values, and `nth`.
    for name, wanted in when.get("body", {}).items():
        value = scene.body.get(name) if isinstance(scene.body, dict) else None
        if value != wanted:
            return f"body {name} is not {wanted!r}"
    if when.get("nth", scene.nth) != scene.nth:
        return f"it is call {scene.nth} and not {when['nth']}"
    return None


def check_when(data: Any, fail: Callable[[tuple[str | int, ...], str], Exception]) -> None:
    """Placeholder. Raise what `fail` makes unless `data` is a condition."""
    if not isinstance(data, dict):
        raise fail((), "expected a mapping with body, header, query, path, state, nth, play or turn")
    for word in data:
        if word not in ("body", "header", "query", "path", "state", "nth", "play", "turn"):
            raise fail((word,), f"unknown word {word!r}")
