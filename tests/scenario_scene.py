"""What the tests of scenarios share: a file, its steps, and a call that a scenario may be for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emulator.source import parse
from emulator.streams.reading import load, read_scenario
from emulator.streams.scenario import Scenario, Unfolded
from emulator.streams.scene import Scene
from emulator.streams.steps import Respond, Step
from emulator.world.seed import Seed


def written(folder: Path, text: str, name: str = "mine") -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(text, "utf-8")
    return file


def steps_of(folder: Path, steps: str) -> tuple[Step | Respond, ...]:
    return load(written(folder, f"steps:\n{steps}\n")).steps


def scenario_of(text: str, name: str = "mine") -> Scenario:
    return read_scenario(parse(text, "mine.yaml"), name)


def unfolded(text: str, **changes: Any) -> Unfolded:
    return scenario_of(text).unfold(scene(**changes))


def scene(**changes: Any) -> Scene:
    """A call of sendChatMessage."""
    members: dict[str, Any] = {
        "operation": "sendChatMessage",
        "method": "POST",
        "url": "/v1/chat-messages",
        "headers": {},
        "path": {},
        "query": {},
        "body": {},
        "nth": 1,
        "turn": 1,
        "plays": {},
        "states": {},
        "session": "default",
        "seed": Seed(0, "dify"),
        "now": 0.0,
    }
    return Scene(**(members | changes))
