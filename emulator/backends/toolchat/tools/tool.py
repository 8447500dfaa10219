"""What a tool is, and the only source of chance that tools have: a digest of their arguments.

A tool's result depends on its arguments and on nothing else, neither on the seed nor on the time, so that the same
call has the same result in every session.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]
Result = dict[str, Any]
CATEGORIES = ("crawler", "code", "data", "weather")


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `properties` are the JSON Schemas of its arguments, `run` takes all of them, defaults filled in."""

    name: str
    category: str
    description: str
    properties: Mapping[str, Json]
    required: tuple[str, ...]
    run: Callable[[Json], Result]

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments. Closed, so that arguments fit the tools that can run them and no other."""
        return {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.required),
            "additionalProperties": False,
        }

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "parameters": self.parameters,
        }

    def filled(self, arguments: Json) -> dict[str, Any]:
        """Arguments that fit, with the defaults of what is left out; 5.0 is an integer, too."""
        given = {name: one["default"] for name, one in self.properties.items() if "default" in one} | dict(arguments)
        return {name: int(one) if self.properties[name]["type"] == "integer" else one for name, one in given.items()}


def digest(text: str) -> int:
    """The first 8 bytes of the SHA-256 of a text in UTF-8, as a number."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def chance(text: str) -> random.Random:
    """A generator that always starts alike for a text."""
    return random.Random(digest(text))
